//! MACs in parts against the whole, wrong MACs, and the refusals of the MAC commands field by field.

use crate::harness::{AES_BLOCK, Host, Named, TDES_BLOCK, VARIANT, named, request};
use hostcmd::Settings;
use hsm::Scheme;
use paytypes::{CipherKind, hex};

fn mac_keys(host: &mut Host, algorithm: u8) -> Vec<Named> {
    let usage = match algorithm {
        b'1' | b'5' => *b"M1",
        b'3' => *b"M3",
        _ => *b"M6",
    };
    let mut keys = vec![
        named(VARIANT, "003", host.variant(*b"003", Scheme::U), 8),
        named(VARIANT, "008", host.variant(*b"008", Scheme::T), 8),
        named(TDES_BLOCK, "FFF", host.block(TDES_BLOCK, usage, b'C', CipherKind::Tdes, 16), 8),
        named(AES_BLOCK, "FFF", host.block(AES_BLOCK, *b"M0", b'N', CipherKind::Tdes, 24), 8),
    ];
    if algorithm != b'3' {
        for length in [16, 24, 32] {
            let token = host.block(AES_BLOCK, usage, b'C', CipherKind::Aes, length);
            keys.push(named(AES_BLOCK, "FFF", token, 16));
        }
    }
    keys
}

struct MacFlags {
    mode: u8,
    size: u8,
    algorithm: u8,
    padding: u8,
}

fn mac_request(command: &[u8], flags: &MacFlags, key: &Named, iv: &[u8], data: &[u8], mac: &[u8]) -> Vec<u8> {
    let MacFlags { mode, size, algorithm, padding } = *flags;
    let length = format!("{:04X}", data.len() * 2);
    request(&[
        command,
        &[mode, b'1', size, algorithm, padding],
        key.key_type.as_bytes(),
        &key.token,
        iv,
        length.as_bytes(),
        hex::encode(data).as_bytes(),
        mac,
    ])
}

/// The message cut into pieces, all but the last of whole blocks.
fn pieces<'a>(message: &'a [u8], block: usize, cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut rest = message;
    let mut out = Vec::new();
    for blocks in cuts {
        let (piece, behind) = rest.split_at(blocks * block);
        out.push(piece);
        rest = behind;
    }
    out.push(rest);
    out
}

fn mode_of(index: usize, count: usize) -> u8 {
    match (index, count) {
        (_, 1) => b'0',
        (0, _) => b'1',
        (i, n) if i + 1 == n => b'3',
        _ => b'2',
    }
}

#[test]
fn a_mac_in_parts_equals_the_whole() {
    let host = &mut Host::new(Settings::STRICT);
    let mut compared = 0;
    for (algorithm, paddings) in [(b'1', "0123"), (b'3', "0123"), (b'5', "0123"), (b'6', "01")] {
        for key in mac_keys(host, algorithm) {
            for padding in paddings.bytes() {
                for rest in [0, 1, key.block - 1] {
                    if padding == b'0' && rest != 0 && algorithm != b'6' {
                        continue;
                    }
                    let message: Vec<u8> = (0..=255).cycle().take(5 * key.block + rest).collect();
                    compared += parts_equal_whole(host, &key, algorithm, padding, &message);
                }
            }
        }
    }
    assert!(compared > 500, "{compared}");
}

fn parts_equal_whole(host: &mut Host, key: &Named, algorithm: u8, padding: u8, message: &[u8]) -> usize {
    let mut compared = 0;
    for size in [b'0', b'1'] {
        let flags = |mode| MacFlags { mode, size, algorithm, padding };
        let whole = host.body(key.lmk, &mac_request(b"M6", &flags(b'0'), key, b"", message, b""));
        assert_eq!(whole.len(), if size == b'1' { 16 } else { 8 });
        assert_eq!(host.code(key.lmk, &mac_request(b"M8", &flags(b'0'), key, b"", message, &whole)), "00");
        for cuts in [&[1][..], &[4], &[2, 1], &[1, 1, 1, 1]] {
            let pieces = pieces(message, key.block, cuts);
            let (mut made, mut verified) = (Vec::new(), Vec::new());
            for (index, piece) in pieces.iter().enumerate() {
                let mode = mode_of(index, pieces.len());
                let (made_part, verified_part) = (
                    mac_request(b"M6", &flags(mode), key, &made, piece, b""),
                    mac_request(
                        b"M8",
                        &flags(mode),
                        key,
                        &verified,
                        piece,
                        if mode == b'3' { &whole } else { b"" },
                    ),
                );
                // Method 3 begins with the length of the whole message.
                if padding == b'3' {
                    assert_eq!(host.code(key.lmk, &made_part), "09");
                    assert_eq!(host.code(key.lmk, &verified_part), "09");
                    break;
                }
                made = host.body(key.lmk, &made_part);
                verified = host.body(key.lmk, &verified_part);
                if mode != b'3' {
                    assert_eq!((made.len(), &made), (key.block * 2, &verified));
                }
            }
            if padding != b'3' {
                assert_eq!(made, whole, "algorithm {algorithm} padding {padding} cuts {cuts:?}");
                compared += 1;
            }
        }
    }
    compared
}

#[test]
fn every_wrong_digit_of_a_mac_is_seen() {
    let host = &mut Host::new(Settings::STRICT);
    for algorithm in *b"1356" {
        for key in mac_keys(host, algorithm) {
            let flags = MacFlags { mode: b'0', size: b'1', algorithm, padding: b'1' };
            let mac = host.body(key.lmk, &mac_request(b"M6", &flags, &key, b"", b"a message", b""));
            for at in 0..mac.len() {
                let mut wrong = mac.clone();
                wrong[at] = if wrong[at] == b'0' { b'1' } else { b'0' };
                let verify = mac_request(b"M8", &flags, &key, b"", b"a message", &wrong);
                assert_eq!(host.code(key.lmk, &verify), "01");
            }
        }
    }
}

#[test]
fn flags_and_lengths_of_mac_commands_are_refused_by_field() {
    let host = &mut Host::new(Settings::STRICT);
    let token = host.variant(*b"003", Scheme::U);
    let key = String::from_utf8(token).unwrap();
    let cases = [
        (format!("M640011003{key}0008"), "02"),
        (format!("M603011003{key}0008"), "03"),
        (format!("M601211003{key}0008"), "04"),
        (format!("M601021003{key}0008"), "04"),
        (format!("M601014003{key}0008"), "09"),
        (format!("M601062003{key}0008"), "09"),
        (format!("M611013003{key}0008"), "09"),
        (format!("M601011402{key}0008"), "05"),
        (format!("M601011FFF{key}00100102030405060708"), "05"),
        (format!("M601011003{key}0007010203A"), "06"),
        (format!("M601011003{key}00100102030405060"), "80"),
        (format!("M601010003{key}000E01020304050607"), "80"),
        (format!("M611011003{key}000E01020304050607"), "80"),
        (format!("M611011003{key}0000"), "80"),
        (format!("M631011003{key}00000000000000000000"), "80"),
        (format!("M631011003{key}00000000000000000"), "15"),
        (format!("M601011003{key}0010010203040506070801"), "15"),
        (format!("M601011003{key}0010010203040506070G"), "15"),
        (format!("M601011008{key}00100102030405060708"), "10"),
    ];
    for (request, code) in cases {
        assert_eq!(host.code(VARIANT, request.as_bytes()), code, "{request}");
    }
    assert_eq!(host.code(AES_BLOCK, format!("M601011003{key}00100102030405060708").as_bytes()), "05");
}
