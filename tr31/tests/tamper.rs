//! A changed block is refused wherever it was changed, behind the header always with the same answer, and no
//! mutation makes a reader panic.

mod common;

use common::{attributes, counting, kbpk, lmk_keys, s_header};
use paytypes::now;
use paytypes::soft::{Soft, SoftKey};
use tr31::sblock::{SBlock, SKeys, SVersion, open, seal};
use tr31::{BlockId, ErrorKind, Header, Kbpk, KeyBlock, KeyBlockError, Masking, Policy, Version, wrap};

const KEY: [u8; 16] = *b"\x13\x57\x9B\xDF\x02\x46\x8A\xCE\xFD\xB9\x75\x31\xEC\xA8\x64\x20";

enum Reader {
    Exchange(Kbpk<SoftKey>),
    Local(SKeys<SoftKey>),
}

impl Reader {
    fn read(&self, text: &[u8]) -> Result<(), KeyBlockError> {
        match self {
            Self::Exchange(kbpk) => {
                let block = KeyBlock::parse(text)?;
                now(block.unwrap(&Soft, kbpk, &Policy::NONE)).expect("ready").map(drop)
            }
            Self::Local(keys) => {
                let block = SBlock::parse(text)?;
                now(open(&Soft, keys, &block)).expect("ready").map(drop)
            }
        }
    }
}

// One block of each kind, with an optional block so that the header has all its parts.
fn samples() -> Vec<(Reader, Vec<u8>)> {
    let attributes = attributes("P0", "T", "B", "00", "E");
    let mut all = Vec::new();
    for version in Version::ALL {
        let kbpk = kbpk(version, b"protectionkey..!");
        let mut header = Header::new(version, attributes);
        header.blocks.push(BlockId::LB, b"abc").expect("label");
        let made = now(wrap(&Soft, &kbpk, &header, &KEY, Masking::Standard, &Policy::NONE, &mut counting()));
        all.push((Reader::Exchange(kbpk), made.expect("ready").expect("block")));
    }
    for version in [SVersion::Tdes, SVersion::Aes] {
        let keys = lmk_keys(version);
        let mut header = s_header(version, attributes);
        header.blocks.push(BlockId::LB, b"abc").expect("label");
        let mut out = Vec::new();
        now(seal(&Soft, &keys, &header, &KEY, &mut counting(), &mut out)).expect("ready").expect("block");
        all.push((Reader::Local(keys), out));
    }
    all
}

// Every position, every other printable character; lower case of the same hex digit is the same value for a
// reader that accepts it, so it is left out.
#[test]
fn every_single_character_is_bound() {
    for (reader, text) in samples() {
        reader.read(&text).expect("untouched block");
        let header = 16 + optional(&text);
        for at in 0..text.len() {
            for c in b' '..=b'~' {
                if c == text[at] || (at >= header && c.eq_ignore_ascii_case(&text[at])) {
                    continue;
                }
                let mut changed = text.clone();
                changed[at] = c;
                let error = reader.read(&changed).expect_err("changed block");
                if at >= header {
                    let both_cases = matches!(reader, Reader::Exchange(_));
                    let hex = c.is_ascii_hexdigit() && (both_cases || !c.is_ascii_lowercase());
                    let wanted = if hex { ErrorKind::MacMismatch } else { ErrorKind::PayloadEncoding };
                    assert_eq!(error.kind, wanted, "position {at}");
                    assert!(wanted != ErrorKind::MacMismatch || error.offset == mac_at(&reader, &text));
                }
            }
        }
    }
}

fn optional(text: &[u8]) -> usize {
    match KeyBlock::parse(text) {
        Ok(block) => block.header().blocks.text().len(),
        Err(_) => SBlock::parse(text).expect("block").header().blocks.text().len(),
    }
}

fn mac_at(reader: &Reader, text: &[u8]) -> usize {
    let mac = match reader {
        Reader::Exchange(_) => KeyBlock::parse(text).expect("block").header().version.mac_length(),
        Reader::Local(keys) if keys.version() == SVersion::Tdes => 4,
        Reader::Local(_) => 8,
    };
    text.len() - 2 * mac
}

#[test]
fn every_truncation_and_extension_is_refused() {
    for (reader, text) in samples() {
        for end in 0..text.len() {
            let error = reader.read(&text[..end]).expect_err("truncated block");
            let wanted = if end < 16 { ErrorKind::TooShort } else { ErrorKind::LengthField };
            assert_eq!(error.kind, wanted, "{end} characters");
            // The same with the length field put right, so that later checks see the end.
            let mut mended = text[..end].to_vec();
            if end >= 16 {
                mended[1..5].copy_from_slice(format!("{end:04}").as_bytes());
                reader.read(&mended).expect_err("truncated block");
            }
        }
        for extra in [&b"0"[..], b"00", b"\0", b"0000000000000000"] {
            let longer = [&text, extra].concat();
            assert!(matches!(
                reader.read(&longer).expect_err("longer block").kind,
                ErrorKind::LengthField | ErrorKind::BadChar
            ));
        }
    }
}

// A block's version letter changed to every other one that its length permits.
#[test]
fn a_block_is_not_read_as_another_version() {
    for (reader, text) in samples() {
        for letter in b"ABCDE01" {
            if *letter == text[0] {
                continue;
            }
            let mut changed = text.clone();
            changed[0] = *letter;
            reader.read(&changed).expect_err("other version");
        }
    }
}

// An inner length that cannot be is only made by the owner of the key; it gets the answer of a wrong MAC.
#[test]
fn impossible_inner_lengths_look_like_a_wrong_mac() {
    use paytypes::{Cipher, CipherKind, Direction, MacAlgorithm};
    let lmk = common::lmk(SVersion::Tdes);
    let mask = |byte| now(Soft.variant(&lmk, &[byte; 24])).expect("ready").expect("variant");
    let (kbek, kbak) = (mask(0x45), mask(0x4D));
    assert_eq!(kbek.shape().kind, CipherKind::Tdes);
    for bits in [0u16, 1, 127, 129, 184, 0xFFFF, 176] {
        let head = b"00072P0TB00E0001";
        let mut data = [0x5A; 24];
        data[..2].copy_from_slice(&bits.to_be_bytes());
        kbek.cbc(Direction::Encrypt, &head[..8], &mut data).expect("cbc");
        let mac = kbak.mac(MacAlgorithm::Iso1, &[0; 8], &[&head[..], &data].concat()).expect("mac");
        let text = [
            &head[..],
            paytypes::hex::encode(&data).as_bytes(),
            paytypes::hex::encode(&mac.as_bytes()[..4]).as_bytes(),
        ]
        .concat();
        let error = Reader::Local(lmk_keys(SVersion::Tdes)).read(&text).expect_err("inner length");
        // 176 bits fit, but are no TDES key: only then is the length named.
        let wanted = if bits == 176 { ErrorKind::KeyLength } else { ErrorKind::MacMismatch };
        assert_eq!(error.kind, wanted, "{bits} bits");
    }
}
