//! Key blocks and PIN blocks.

use paytypes::random::Drawn;
use paytypes::soft::{Soft, SoftKey};
use paytypes::{Cipher, CipherKind, now};
use pinblock::{Account, ClearBlock, Format};
use tr31::sblock::{SBlock, SKeys};
use tr31::{Kbpk, KeyBlock, Policy};

const TDES: [u8; 24] =
    *b"\x01\x23\x45\x67\x89\xAB\xCD\xEF\x80\x80\x80\x80\x80\x80\x80\x80\xFE\xDC\xBA\x98\x76\x54\x32\x10";
const AES: [u8; 16] = [0x5A; 16];

fn load(kind: CipherKind) -> SoftKey {
    let clear: &[u8] = if kind == CipherKind::Aes { &AES } else { &TDES };
    now(Soft.load(kind, clear)).expect("ready").expect("a key")
}

/// Text as a TR-31 block and as an `S` block: parsing says what the text says of itself, and nothing opens
/// under keys that did not make it, except what a seed made.
pub fn keyblock(text: &[u8]) {
    if let Ok(block) = KeyBlock::parse(text) {
        assert_eq!(tr31::declared_length(text), Some(text.len()), "length field");
        assert_eq!(block.text(), text);
        for kind in [CipherKind::Tdes, CipherKind::Aes] {
            let kbpk = now(Kbpk::new(&Soft, &load(kind), block.header().version)).expect("ready");
            let Ok(kbpk) = kbpk else { continue };
            for policy in [&Policy::X9_143_STRICT, &Policy::TR31_2018] {
                if let Ok(key) = now(block.unwrap(&Soft, &kbpk, policy)).expect("ready") {
                    assert!(
                        usize::from(key.bits).div_ceil(8) <= block.payload_length(),
                        "key longer than block"
                    );
                }
            }
        }
    }
    if let Ok(block) = SBlock::parse(text) {
        assert_eq!(tr31::sblock::declared_length(text), Some(text.len()), "length field");
        for kind in [CipherKind::Tdes, CipherKind::Aes] {
            let keys = now(SKeys::new(&Soft, &load(kind))).expect("ready").expect("keys");
            let _refused_or_a_seed = now(tr31::sblock::open(&Soft, &keys, &block)).expect("ready");
        }
    }
}

/// A clear PIN block in every format: what decodes has a PIN of 4 to 12 digits, and the PIN formed anew
/// decodes to itself. Input: eight or sixteen bytes of block, twelve of account.
pub fn pinblock(data: &[u8]) {
    let wide = data.len() >= 28;
    let Some((block, rest)) = data.split_at_checked(if wide { 16 } else { 8 }) else { return };
    let Some(account) = rest.first_chunk::<12>().map(|digits| digits.map(|d| b'0' + d % 10)) else { return };
    let account = Account::from_field(&account).expect("twelve digits");
    let block = ClearBlock::new(block).expect("8 or 16 bytes");
    for format in Format::ALL {
        let mut random = Drawn::new(data);
        for to in Format::ALL {
            let moved = pinblock::reformat(*format, *to, &block, &account, &account, &mut random, false);
            if let Ok(moved) = moved {
                assert!((4..=12).contains(&moved.pin_length), "{format:?} to {to:?}");
            }
        }
        let Ok(pin) = pinblock::decode(*format, &block, &account) else { continue };
        assert!((4..=12).contains(&pin.expose().len()), "{format:?}");
        let again = pinblock::encode(*format, &pin, &account, &mut random);
        if let Ok(again) = again {
            let read = pinblock::decode(*format, &again, &account).expect("what was formed is read");
            assert_eq!(read.expose(), pin.expose(), "{format:?}");
        }
    }
}
