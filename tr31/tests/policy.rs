//! What a policy refuses, on the way in and on the way out, and that it refuses with a reason.

mod common;

use common::{attributes, counting, kbpk};
use paytypes::soft::{Soft, SoftKey};
use paytypes::{CipherKind, hex, now};
use tr31::{
    BlockId, ErrorKind, Header, Kbpk, KcvMethod, KeyBlock, KeyBlockError, Masking, Policy, Version, Versions,
    field, kcv, wrap,
};

const GOOD: [u8; 24] =
    *b"\x13\x57\x9B\xDF\x02\x46\x8A\xCE\xFD\xB9\x75\x31\xEC\xA8\x64\x20\x0B\x16\x2C\x58\xB0\x61\xC2\x85";

fn make(
    kbpk: &Kbpk<SoftKey>,
    header: &Header<'_>,
    key: &[u8],
    policy: &Policy,
) -> Result<Vec<u8>, KeyBlockError> {
    now(wrap(&Soft, kbpk, header, key, Masking::Standard, policy, &mut counting())).expect("ready")
}

fn read(kbpk: &Kbpk<SoftKey>, text: &[u8], policy: &Policy) -> Result<(), KeyBlockError> {
    now(KeyBlock::parse(text)?.unwrap(&Soft, kbpk, policy)).expect("ready").map(drop)
}

// The same judgement on both ways: made without policy and then read, and made under the policy.
fn judged(kbpk: &Kbpk<SoftKey>, header: &Header<'_>, key: &[u8], policy: &Policy) -> KeyBlockError {
    let text = make(kbpk, header, key, &Policy::NONE).expect("block without policy");
    read(kbpk, &text, &Policy::NONE).expect("read without policy");
    let error = read(kbpk, &text, policy).expect_err("refused on the way in");
    assert_eq!(make(kbpk, header, key, policy).expect_err("refused on the way out"), error);
    error
}

fn header(version: Version, code: &str) -> Header<'static> {
    Header::new(version, attributes(&code[..2], &code[2..3], &code[3..4], "00", &code[4..]))
}

#[test]
fn versions_by_profile() {
    for (policy, import, export) in [
        (Policy::X9_143_STRICT, "BD", "BD"),
        (Policy::TR31_2018, "ABCD", "BD"),
        (Policy::ISO_20038, "DE", "DE"),
        (Policy::lenient("lenient"), "ABCDE", "BDE"),
        (Policy::NONE, "ABCDE", "ABCDE"),
        (Policy { export: Versions::ALL, ..Policy::TR31_2018 }, "ABCD", "ABCDE"),
    ] {
        for version in Version::ALL {
            let kbpk = kbpk(version, &GOOD);
            let header = header(version, "P0TBE");
            let text = make(&kbpk, &header, &GOOD[..16], &Policy::NONE).unwrap();
            let letter = char::from(version.letter());
            let in_ok = read(&kbpk, &text, &policy).map_err(|e| (e.kind, e.field));
            let out_ok = make(&kbpk, &header, &GOOD[..16], &policy).map(drop).map_err(|e| (e.kind, e.field));
            let refused = Err((ErrorKind::Policy, field::VERSION));
            assert_eq!(in_ok, if import.contains(letter) { Ok(()) } else { refused }, "{}", policy.name);
            assert_eq!(out_ok, if export.contains(letter) { Ok(()) } else { refused }, "{}", policy.name);
        }
    }
}

#[test]
fn the_matrix_names_the_field() {
    let kbpk = kbpk(Version::D, &[0x29; 32]);
    for (code, name, offset) in [
        ("Z0TBE", field::USAGE, 5),
        ("10TBE", field::USAGE, 5),
        ("V2RVE", field::ALGORITHM, 7),
        ("B0TBE", field::MODE, 8),
    ] {
        let error = judged(&kbpk, &header(Version::D, code), &GOOD[..16], &Policy::X9_143_STRICT);
        assert_eq!((error.kind, error.field, error.offset), (ErrorKind::Policy, name, offset), "{code}");
    }
    let own = header(Version::D, "10TBE");
    assert!(make(&kbpk, &own, &GOOD[..16], &Policy::TR31_2018).is_ok());
}

#[test]
fn reserved_codes_are_refused_by_profiles_only() {
    let kbpk = kbpk(Version::D, &[0x29; 32]);
    for (code, context, reserved, name) in [
        ("P0QBE", b'0', b'0', field::ALGORITHM),
        ("P0TQE", b'0', b'0', field::MODE),
        ("P0TBQ", b'0', b'0', field::EXPORTABILITY),
        ("P0TB1", b'0', b'0', field::EXPORTABILITY),
        ("P0TBE", b'3', b'0', field::CONTEXT),
        ("P0TBE", b'0', b'1', field::RESERVED),
    ] {
        let header = Header { context, reserved, ..header(Version::D, code) };
        let error = judged(&kbpk, &header, &GOOD[..16], &Policy::X9_143_STRICT);
        assert_eq!((error.kind, error.field), (ErrorKind::HeaderField, name));
    }
    // A key context is X9.143's; TR-31:2018 has none.
    let stored = Header { context: b'1', ..header(Version::D, "P0TBE") };
    assert!(make(&kbpk, &stored, &GOOD[..16], &Policy::X9_143_STRICT).is_ok());
    assert_eq!(judged(&kbpk, &stored, &GOOD[..16], &Policy::TR31_2018).field, field::CONTEXT);
}

#[test]
fn the_protection_key_is_at_least_as_strong() {
    let strict = Policy { import: Versions::ALL, export: Versions::ALL, ..Policy::X9_143_STRICT };
    let weaker = [
        (Version::B, 16, "P0TBE", 24),
        (Version::B, 16, "P0ABE", 16),
        (Version::B, 24, "P0ABE", 16),
        (Version::A, 24, "P0ABE", 32),
        (Version::D, 16, "P0ABE", 24),
        (Version::D, 24, "P0ABE", 32),
        (Version::E, 16, "P0ABE", 32),
    ];
    let secret: Vec<u8> = (1..=32).collect();
    for (version, size, code, length) in weaker {
        let key: Vec<u8> = if length == 24 { GOOD.to_vec() } else { secret[..length].to_vec() };
        let error = judged(&kbpk(version, &secret[..size]), &header(version, code), &key, &strict);
        assert_eq!(error.kind, ErrorKind::KbpkStrength, "{code} {length} under {size}");
    }
    for (version, size, code, length) in
        [(Version::B, 16, "P0TBE", 16), (Version::B, 24, "P0TBE", 24), (Version::D, 16, "P0TBE", 24)]
    {
        let kbpk = kbpk(version, &secret[..size]);
        assert!(make(&kbpk, &header(version, code), &GOOD[..length], &strict).is_ok());
    }
    let kbpk = kbpk(Version::D, &secret);
    assert!(make(&kbpk, &header(Version::D, "P0ABE"), &secret, &strict).is_ok());
}

#[test]
fn weak_keys_and_equal_parts_are_refused() {
    let kbpk = kbpk(Version::D, &[0x29; 32]);
    let tdes = header(Version::D, "P0TBE");
    let (a, b) = (&GOOD[..8], &GOOD[8..16]);
    let weak = [0x01; 8];
    let semi_weak = *b"\x01\xFE\x01\xFE\x01\xFE\x01\xFE";
    let mut parity = a.to_vec();
    parity[0] ^= 1;
    for key in [
        [a, a].concat(),
        [a, &parity].concat(),
        [a, &weak].concat(),
        [&semi_weak, b].concat(),
        [a, b, a].concat(),
        [a, b, b].concat(),
        [a, a, b].concat(),
        vec![0; 16],
    ] {
        for policy in [Policy::X9_143_STRICT, Policy::lenient("lenient")] {
            assert_eq!(judged(&kbpk, &tdes, &key, &policy).kind, ErrorKind::WeakKey);
        }
    }
    let aes = header(Version::D, "P0ABE");
    assert_eq!(judged(&kbpk, &aes, &[0; 16], &Policy::X9_143_STRICT).kind, ErrorKind::WeakKey);
    // Equal halves are nothing special for AES.
    assert!(make(&kbpk, &aes, &[a, a].concat(), &Policy::X9_143_STRICT).is_ok());
}

#[test]
fn single_des_is_refused_unless_wanted() {
    let kbpk = kbpk(Version::D, &[0x29; 32]);
    for code in ["D0DBE", "D0TBE"] {
        let header = header(Version::D, code);
        let error = judged(&kbpk, &header, &GOOD[..8], &Policy::X9_143_STRICT);
        assert_eq!((error.kind, error.field), (ErrorKind::Policy, field::ALGORITHM));
        let legacy = Policy { single_des: true, ..Policy::X9_143_STRICT };
        assert!(make(&kbpk, &header, &GOOD[..8], &legacy).is_ok());
    }
}

#[test]
fn kp_and_kc_are_verified() {
    for (version, size, method) in [(Version::B, 16, KcvMethod::Legacy), (Version::D, 32, KcvMethod::Cmac)] {
        let secret: Vec<u8> = (1..=size).collect();
        let own = kbpk(version, &secret);
        let key = SoftKey::new(CipherKind::Tdes, &GOOD[..16]).unwrap();
        let value = now(kcv(&Soft, &key)).unwrap().unwrap();
        let mut header = header(version, "P0TBE");
        header.blocks.push_check_value(BlockId::KP, method, own.check_value(method)).unwrap();
        header.blocks.push_check_value(BlockId::KC, KcvMethod::Legacy, &value).unwrap();
        let text = make(&own, &header, &GOOD[..16], &Policy::X9_143_STRICT).unwrap();
        read(&own, &text, &Policy::X9_143_STRICT).unwrap();

        let other = kbpk(version, &vec![0x71; usize::from(size)]);
        let wrong = read(&other, &text, &Policy::X9_143_STRICT).unwrap_err();
        assert_eq!((wrong.kind, wrong.field, wrong.offset), (ErrorKind::KpMismatch, "KP", 16));
        assert_eq!(read(&other, &text, &Policy::NONE).unwrap_err().kind, ErrorKind::MacMismatch);
        assert_eq!(
            make(&other, &header, &GOOD[..16], &Policy::X9_143_STRICT).unwrap_err().kind,
            ErrorKind::KpMismatch
        );

        let error = judged(&own, &header, &GOOD[8..24], &Policy::X9_143_STRICT);
        assert_eq!((error.kind, error.field), (ErrorKind::KcMismatch, "KC"));
    }
}

#[test]
fn content_is_judged_by_profiles_only() {
    let kbpk = kbpk(Version::D, &[0x29; 32]);
    let mut bad = header(Version::D, "B0TXE");
    bad.blocks.push(BlockId::LB, b"first").unwrap();
    bad.blocks.push(BlockId::KS, b"not hex").unwrap();
    let error = judged(&kbpk, &bad, &GOOD[..16], &Policy::X9_143_STRICT);
    assert_eq!((error.kind, error.field, error.offset), (ErrorKind::OptData, "KS", 25));
    let mut bad = header(Version::D, "B0TXE");
    bad.blocks.push(BlockId::KC, b"09").unwrap();
    assert_eq!(judged(&kbpk, &bad, &GOOD[..16], &Policy::lenient("lenient")).kind, ErrorKind::OptData);
    let hmac = header(Version::D, "M7HCE");
    assert_eq!(judged(&kbpk, &hmac, &GOOD, &Policy::X9_143_STRICT).field, "HM");
    assert!(make(&kbpk, &hmac, &GOOD, &Policy::ISO_20038).is_ok());
}

#[test]
fn lower_case_is_for_lenient_readers() {
    let kbpk = kbpk(Version::D, &[0x29; 32]);
    let text = make(&kbpk, &header(Version::D, "P0TBE"), &GOOD, &Policy::X9_143_STRICT).unwrap();
    let mut lower = text.clone();
    lower[16..].make_ascii_lowercase();
    read(&kbpk, &lower, &Policy::lenient("lenient")).unwrap();
    let error = read(&kbpk, &lower, &Policy::X9_143_STRICT).unwrap_err();
    let first = lower.iter().skip(16).position(u8::is_ascii_lowercase).unwrap() + 16;
    assert_eq!((error.kind, error.offset), (ErrorKind::PayloadEncoding, first));
}

#[test]
fn protection_keys_that_do_not_fit() {
    let new = |kind, length: usize, version| {
        let key = SoftKey::new(kind, &GOOD.repeat(2)[..length]).unwrap();
        now(Kbpk::new(&Soft, &key, version)).unwrap().map(drop).map_err(|e| e.kind)
    };
    assert_eq!(new(CipherKind::Aes, 16, Version::B), Err(ErrorKind::KbpkAlgorithm));
    assert_eq!(new(CipherKind::Tdes, 16, Version::D), Err(ErrorKind::KbpkAlgorithm));
    assert_eq!(new(CipherKind::Des, 8, Version::A), Err(ErrorKind::KbpkLength));
    assert_eq!(new(CipherKind::Des, 8, Version::E), Err(ErrorKind::KbpkAlgorithm));
    // Derived for another version: A and C share their keys, D and E do not.
    let (a, d) = (kbpk(Version::A, &GOOD), kbpk(Version::D, &GOOD));
    assert!(a.serves(Version::C) && !a.serves(Version::B) && d.serves(Version::D) && !d.serves(Version::E));
    let text = make(&d, &header(Version::D, "P0TBE"), &GOOD, &Policy::NONE).unwrap();
    assert_eq!(read(&a, &text, &Policy::NONE).unwrap_err().kind, ErrorKind::KbpkAlgorithm);
    assert_eq!(
        make(&a, &header(Version::D, "P0TBE"), &GOOD, &Policy::NONE).unwrap_err().kind,
        ErrorKind::KbpkAlgorithm
    );
}

#[test]
fn key_lengths_by_algorithm() {
    let kbpk = kbpk(Version::D, &[0x29; 32]);
    for (code, lengths) in [("P0ABE", &[0, 8, 15, 17, 33][..]), ("P0TBE", &[0, 5, 15, 32]), ("M7HCE", &[0])] {
        for length in lengths {
            let error = make(&kbpk, &header(Version::D, code), &vec![7; *length], &Policy::NONE);
            assert_eq!(error.unwrap_err().kind, ErrorKind::KeyLength);
        }
    }
    let long = make(&kbpk, &header(Version::D, "S0RSE"), &vec![7; 5000], &Policy::NONE).unwrap_err();
    assert_eq!(long.kind, ErrorKind::LengthField);
}

// Nothing that can be printed shows a key or a cryptogram.
#[test]
fn debug_is_quiet() {
    let kbpk = kbpk(Version::D, &[0x29; 32]);
    let mut header = header(Version::D, "P0TBE");
    header.blocks.push(BlockId::LB, b"a label").unwrap();
    let text = make(&kbpk, &header, &GOOD, &Policy::X9_143_STRICT).unwrap();
    let block = KeyBlock::parse(&text).unwrap();
    let key = now(block.unwrap(&Soft, &kbpk, &Policy::X9_143_STRICT)).unwrap().unwrap();
    let shown = format!("{block:?} {key:?} {kbpk:?}");
    assert!(shown.contains("a label") && shown.contains("ClearBytes(24 bytes)"));
    let payload = String::from_utf8_lossy(&text[48..64]).into_owned();
    for secret in [hex::encode(&GOOD[..4]), payload, format!("{:?}", &GOOD[..4])] {
        assert!(!shown.contains(secret.trim_matches(['[', ']'])));
    }
}

// TR-31 knows no key context: what stands there is reserved. The names are those of status and messages.
#[test]
fn contexts_and_names_of_the_profiles() {
    for (policy, name, contexts) in [
        (Policy::X9_143_STRICT, "x9.143-strict", "012"),
        (Policy::TR31_2018, "tr31-2018", "0"),
        (Policy::ISO_20038, "iso-20038", "0"),
        (Policy::lenient("lenient"), "lenient", "012z"),
        (Policy::NONE, "none", "012z"),
    ] {
        assert_eq!(policy.name, name);
        let kbpk = kbpk(Version::D, &[0x29; 32]);
        for context in *b"012z" {
            let header = Header { context, ..header(Version::D, "P0TBE") };
            let made = make(&kbpk, &header, &GOOD[..16], &policy).map(drop).map_err(|e| (e.kind, e.field));
            let refused = Err((ErrorKind::HeaderField, field::CONTEXT));
            assert_eq!(made, if contexts.contains(char::from(context)) { Ok(()) } else { refused }, "{name}");
        }
    }
}

#[test]
fn check_values_of_every_cipher() {
    let kbpk = kbpk(Version::D, &[0x29; 32]);
    let policy = Policy { single_des: true, ..Policy::X9_143_STRICT };
    for (kind, code, length) in
        [(CipherKind::Aes, "D0ABE", 24), (CipherKind::Tdes, "D0TBE", 16), (CipherKind::Des, "D0DBE", 8)]
    {
        for method in [KcvMethod::Legacy, KcvMethod::Cmac] {
            let key = SoftKey::new(kind, &GOOD[..length]).unwrap();
            let value = now(async {
                match method {
                    KcvMethod::Legacy => tr31::kcv_legacy(&Soft, &key).await,
                    KcvMethod::Cmac => tr31::kcv_cmac(&Soft, &key).await,
                }
            });
            let mut header = header(Version::D, code);
            header.blocks.push_check_value(BlockId::KC, method, &value.unwrap().unwrap()).unwrap();
            let text = make(&kbpk, &header, &GOOD[..length], &policy).unwrap();
            read(&kbpk, &text, &policy).unwrap();
            let mut other = GOOD;
            other[0] ^= 0x10;
            let error = judged(&kbpk, &header, &other[..length], &policy);
            assert_eq!((error.kind, error.field), (ErrorKind::KcMismatch, "KC"), "{kind:?} {method:?}");
        }
    }
}
