//! Data encryption: round trips in every mode and format, chained messages, and refusals field by field.

use crate::harness::{AES_BLOCK, Host, Named, TDES_BLOCK, VARIANT, named, request};
use hostcmd::Settings;
use hsm::Scheme;
use paytypes::{CipherKind, hex};

fn data_keys(host: &mut Host) -> Vec<Named> {
    let ksn = b"A05FFFF000001315240003A";
    let aes_ksn = b"808123456789012345600000003";
    let base = host.variant(*b"009", Scheme::U);
    let base_block = host.block(TDES_BLOCK, *b"41", b'X', CipherKind::Tdes, 16);
    let base_aes = host.block(AES_BLOCK, *b"B0", b'X', CipherKind::Aes, 32);
    vec![
        named(VARIANT, "00A", host.variant(*b"00A", Scheme::U), 8),
        named(VARIANT, "00B", host.variant(*b"00B", Scheme::T), 8),
        named(VARIANT, "30B", host.variant(*b"30B", Scheme::U), 8),
        named(VARIANT, "009", request(&[&base, ksn]), 8),
        named(TDES_BLOCK, "FFF", host.block(TDES_BLOCK, *b"21", b'B', CipherKind::Tdes, 16), 8),
        named(TDES_BLOCK, "FFF", host.block(TDES_BLOCK, *b"22", b'N', CipherKind::Tdes, 24), 8),
        named(TDES_BLOCK, "FFF", request(&[&base_block, ksn]), 8),
        named(AES_BLOCK, "FFF", host.block(AES_BLOCK, *b"23", b'B', CipherKind::Tdes, 24), 8),
        named(AES_BLOCK, "FFF", host.block(AES_BLOCK, *b"D0", b'B', CipherKind::Aes, 16), 16),
        named(AES_BLOCK, "FFF", host.block(AES_BLOCK, *b"D0", b'N', CipherKind::Aes, 32), 16),
        named(AES_BLOCK, "FFF", request(&[&base_aes, aes_ksn]), 16),
    ]
}

fn written(format: u8, data: &[u8]) -> Vec<u8> {
    let text = if format == b'1' { hex::encode(data).into_bytes() } else { data.to_vec() };
    request(&[format!("{:04X}", text.len()).as_bytes(), &text])
}

/// Initial value and data of a reply.
fn parted(body: &[u8], iv_digits: usize, format: u8) -> (Vec<u8>, Vec<u8>) {
    let (iv, rest) = body.split_at(iv_digits);
    let (length, text) = rest.split_at(4);
    assert_eq!(length, format!("{:04X}", text.len()).as_bytes());
    let data = if format == b'1' { hex::decode_vec(text).unwrap() } else { text.to_vec() };
    (iv.to_vec(), data)
}

#[test]
fn what_m0_encrypts_m2_decrypts() {
    let host = &mut Host::new(Settings::STRICT);
    for key in data_keys(host) {
        for (mode, length) in
            [(b"00", 3 * key.block), (b"01", 3 * key.block), (b"02", 2 * key.block + 3), (b"03", 5 * 8)]
        {
            let clear: Vec<u8> = (b' '..=b'~').cycle().take(length).collect();
            let iv = if mode == b"00" { Vec::new() } else { vec![b'5'; key.block * 2] };
            let run = |host: &mut Host, command: &[u8], input: u8, output: u8, data: &[u8]| {
                let head = [command, mode, &[input, output], key.key_type.as_bytes()].concat();
                let body = host.body(key.lmk, &request(&[&head, &key.token, &iv, &written(input, data)]));
                parted(&body, iv.len(), output)
            };
            for (clear_format, cipher_format) in
                [(b'0', b'0'), (b'0', b'1'), (b'1', b'0'), (b'1', b'1'), (b'2', b'0'), (b'2', b'1')]
            {
                let (next, hidden) = run(host, b"M0", clear_format, cipher_format, &clear);
                assert_ne!(hidden, clear);
                assert_eq!(run(host, b"M2", cipher_format, clear_format, &hidden), (next, clear.clone()));
            }
        }
    }
}

// The initial value of a reply goes on where it stopped, and a length may count bytes.
#[test]
fn data_goes_on_in_the_next_message_and_lengths_may_count_bytes() {
    let host = &mut Host::new(Settings::STRICT);
    for key in data_keys(host) {
        for (mode, cut) in [(b"01", 2 * key.block), (b"02", 5), (b"03", 16)] {
            let clear: Vec<u8> = (1..=u8::try_from(cut + 2 * key.block).unwrap()).collect();
            let zeros = vec![b'0'; key.block * 2];
            let run = |host: &mut Host, iv: &[u8], data: &[u8]| {
                let head = [b"M0", mode.as_slice(), b"11", key.key_type.as_bytes()].concat();
                let in_bytes = format!("{:04X}{}", data.len(), hex::encode(data));
                let body = host.body(key.lmk, &request(&[&head, &key.token, iv, in_bytes.as_bytes()]));
                parted(&body, key.block * 2, b'1')
            };
            let (last, whole) = run(host, &zeros, &clear);
            let (between, first) = run(host, &zeros, &clear[..cut]);
            let (end, second) = run(host, &between, &clear[cut..]);
            assert_eq!((request(&[&first, &second]), end), (whole, last));
        }
    }
}

#[test]
fn a_key_of_a_unidirectional_base_differs_by_direction() {
    let host = &mut Host::new(Settings::STRICT);
    let variant = host.variant(*b"609", Scheme::U);
    let tdes = host.block(TDES_BLOCK, *b"42", b'X', CipherKind::Tdes, 16);
    let aes = host.block(AES_BLOCK, *b"42", b'X', CipherKind::Aes, 16);
    let (ksn, aes_ksn) = (&b"A05FFFF000001315240003A"[..], &b"808123456789012345600000003"[..]);
    let keys = [
        named(VARIANT, "609", request(&[&variant, ksn]), 8),
        named(TDES_BLOCK, "FFF", request(&[&tdes, ksn]), 8),
        named(AES_BLOCK, "FFF", request(&[&aes, aes_ksn]), 16),
    ];
    for key in keys {
        let clear = vec![0x11; key.block];
        let sent = request(&[b"M00000", key.key_type.as_bytes(), &key.token, &written(b'0', &clear)]);
        let (_, hidden) = parted(&host.body(key.lmk, &sent), 0, b'0');
        let back = request(&[b"M20000", key.key_type.as_bytes(), &key.token, &written(b'0', &hidden)]);
        assert_ne!(parted(&host.body(key.lmk, &back), 0, b'0').1, clear);
    }
}

#[test]
fn flags_and_lengths_of_data_commands_are_refused_by_field() {
    let host = &mut Host::new(Settings::STRICT);
    let key = String::from_utf8(host.variant(*b"00B", Scheme::U)).unwrap();
    let base = String::from_utf8(host.variant(*b"009", Scheme::U)).unwrap();
    let cases = [
        (format!("M0041100B{key}0010"), "02"),
        (format!("M0003100B{key}0010"), "03"),
        (format!("M2002100B{key}0010"), "03"),
        (format!("M0001200B{key}0010"), "04"),
        (format!("M00011001{key}0010"), "05"),
        (format!("M00011FFF{key}00100102030405060708"), "05"),
        (format!("M0001100B{key}0000"), "06"),
        (format!("M0001100B{key}0003010"), "06"),
        (format!("M0001100B{key}000E01020304050607"), "80"),
        (format!("M0001100B{key}001001020304050607"), "80"),
        (format!("M0031100B{key}0000000000000000000E01020304050607"), "80"),
        (format!("M0011100B{key}00000000000000GG00100102030405060708"), "15"),
        (format!("M0001100A{key}00100102030405060708"), "10"),
        (format!("M00011009{base}A0GFFFF000001315240003A00100102030405060708"), "15"),
        (format!("M00011009{base}A05FFFF000001315240000000100102030405060708"), "15"),
    ];
    for (request, code) in cases {
        assert_eq!(host.code(VARIANT, request.as_bytes()), code, "{request}");
    }
    // A reply that does not fit the buffer: binary in, hexadecimal out.
    let long = vec![0; 16_008];
    let sent = request(&[b"M0000100B", key.as_bytes(), &written(b'0', &long)]);
    assert_eq!(host.code(VARIANT, &sent), "80");
    let fits = request(&[b"M0000100B", key.as_bytes(), &written(b'0', &long[..16_000])]);
    assert_eq!(host.code(VARIANT, &fits), "00");
}
