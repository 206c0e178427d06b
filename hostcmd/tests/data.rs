//! The MAC and data commands under every kind of LMK: messages in parts, round trips, and the refusal of
//! keys that have another use.

use core::pin::pin;
use core::task::{Context, Poll, Waker};
use hostcmd::{Authorised, Engine, Finished, PinLimits, Port, Settings, Unit};
use hsm::{BlockAttributes, Hsm, KeyType, LmkId, Scheme, SealAs};
use hsm_sim::{LmkSet, Options, Simulator};
use paytypes::{Cipher, CipherKind, Exportability, KeyUsage, KeyVersion, ModeOfUse, hex};
use std::rc::Rc;

const VARIANT: u8 = 0;
const TDES_BLOCK: u8 = 1;
const AES_BLOCK: u8 = 2;

/// An engine, and a simulator with the same LMKs that makes key tokens for it.
struct Host {
    engine: Engine,
    officer: Simulator,
    settings: Settings,
}

fn simulator() -> Simulator {
    Simulator::new(&LmkSet::public_test(), Options::default()).unwrap()
}

impl Host {
    fn new(settings: Settings) -> Self {
        Self::with_unit(settings, Unit::default())
    }

    fn with_unit(settings: Settings, unit: Unit) -> Self {
        let unit = Unit { authorised: Authorised::ALL, ..unit };
        Self { engine: Engine::new(Box::new(simulator()), unit), officer: simulator(), settings }
    }

    /// Reply behind the header and the reply code.
    fn send(&mut self, lmk: u8, request: &[u8]) -> Vec<u8> {
        let port = Rc::new(Port::new(LmkId(lmk), self.settings));
        let ticket = self.engine.submit(&port, &[b"HEAD".as_slice(), request].concat());
        self.engine.run();
        let mut reply = Vec::new();
        assert!(matches!(self.engine.finish(ticket, &mut reply), Finished::Reply { .. }));
        assert_eq!(reply.get(..5), Some([b"HEAD".as_slice(), &request[..1]].concat().as_slice()));
        reply.split_off(6)
    }

    fn code(&mut self, lmk: u8, request: &[u8]) -> String {
        let reply = self.send(lmk, request);
        String::from_utf8(reply[..2].to_vec()).unwrap()
    }

    /// Body of a reply that must be good.
    fn body(&mut self, lmk: u8, request: &[u8]) -> Vec<u8> {
        let reply = self.send(lmk, request);
        let shown = String::from_utf8_lossy(request);
        assert_eq!(reply.get(..2), Some(b"00".as_slice()), "{} for {shown}", String::from_utf8_lossy(&reply));
        reply[2..].to_vec()
    }

    fn seal(&mut self, lmk: u8, kind: CipherKind, length: usize, form: SealAs) -> Vec<u8> {
        let hsm = Hsm::new();
        let mut clear: Vec<u8> = (0..length).map(|n| u8::try_from((n * 37 + 11) % 251).unwrap()).collect();
        if kind != CipherKind::Aes {
            paytypes::parity::make_odd(&mut clear);
        }
        let mut task = pin!(async {
            let key = hsm.load(kind, &clear).await.unwrap();
            hsm.seal(LmkId(lmk), &key, form).await.unwrap()
        });
        let token = loop {
            match task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(token) => break token,
                Poll::Pending => hsm.run(&mut self.officer),
            }
        };
        let mut text = Vec::new();
        token.write(&mut text);
        text
    }

    fn block(&mut self, lmk: u8, usage: [u8; 2], mode: u8, kind: CipherKind, length: usize) -> Vec<u8> {
        let attributes = BlockAttributes {
            usage: KeyUsage(usage),
            mode: ModeOfUse(mode),
            version: KeyVersion::UNUSED,
            exportability: Exportability::EXPORTABLE,
        };
        self.seal(lmk, kind, length, SealAs::Block { attributes, optional_count: 0, optional: Vec::new() })
    }

    fn variant(&mut self, key_type: [u8; 3], scheme: Scheme) -> Vec<u8> {
        let length = scheme.key_length().unwrap();
        let kind = if length == 8 { CipherKind::Des } else { CipherKind::Tdes };
        let key_type = KeyType::new(key_type).unwrap();
        self.seal(VARIANT, kind, length, SealAs::Variant { scheme, key_type })
    }
}

/// A key as a request names it: LMK, key type, token, block length.
struct Named {
    lmk: u8,
    key_type: &'static str,
    token: Vec<u8>,
    block: usize,
}

fn named(lmk: u8, key_type: &'static str, token: Vec<u8>, block: usize) -> Named {
    Named { lmk, key_type, token, block }
}

fn request(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

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

// security.md section 2 row 12: a data or MAC command takes the usages of its own, and no other one.
#[test]
fn other_usages_are_refused_by_every_data_command() {
    let data: &[[u8; 2]] = &[*b"D0", *b"21", *b"22", *b"23"];
    let by_dukpt: &[[u8; 2]] = &[*b"B0", *b"41", *b"42"];
    let host = &mut Host::new(Settings::STRICT);
    let mut refused = 0;
    for lmk in [TDES_BLOCK, AES_BLOCK] {
        for usage in tr31::sblock::usages() {
            let token = host.block(lmk, usage.0, b'N', CipherKind::Tdes, 16);
            let ksn: &[u8] = if by_dukpt.contains(&usage.0) { b"A05FFFF000001315240003A" } else { b"" };
            let is_data = data.contains(&usage.0) || !ksn.is_empty();
            let mut attempt = |head: &[u8], ksn: &[u8], tail: &[u8], allowed: bool| {
                let sent = request(&[head, b"FFF", &token, ksn, b"00100102030405060708", tail]);
                let code = host.code(lmk, &sent);
                let wanted: &[&str] = if allowed { &["00", "01"] } else { &["A6"] };
                assert!(
                    wanted.contains(&code.as_str()),
                    "{usage:?} {code} {}",
                    String::from_utf8_lossy(head)
                );
                refused += usize::from(!allowed);
            };
            attempt(b"M00011", ksn, b"", is_data);
            attempt(b"M20011", ksn, b"", is_data);
            for (algorithm, own) in [(b'1', b"M1"), (b'3', b"M3"), (b'5', b"M1"), (b'6', b"M6")] {
                let retail = algorithm == b'3' && usage.0 == *b"36";
                let allowed = usage.0 == *b"M0" || usage.0 == *own || retail;
                attempt(&[b'M', b'6', b'0', b'1', b'0', algorithm, b'1'], b"", b"", allowed);
                attempt(&[b'M', b'8', b'0', b'1', b'0', algorithm, b'1'], b"", b"00000000", allowed);
            }
        }
    }
    assert!(refused > 1000, "{refused}");
}

#[test]
fn other_key_types_are_refused_by_every_data_command() {
    let host = &mut Host::new(Settings::STRICT);
    let hexadecimal = b"0123456789ABCDEF";
    let digits = |n: usize| [hexadecimal[n >> 8 & 15], hexadecimal[n >> 4 & 15], hexadecimal[n & 15]];
    for key_type in (0..0x1000).map(digits).filter(|t| *t != *b"FFF" && KeyType::new(*t).is_some()) {
        let token = host.variant(key_type, Scheme::U);
        let mut attempt = |head: &[u8], ksn: &[u8], tail: &[u8], allowed: &[&[u8; 3]]| {
            let sent = request(&[head, &key_type, &token, ksn, b"00100102030405060708", tail]);
            let code = host.code(VARIANT, &sent);
            let wanted: &[&str] = if allowed.contains(&&key_type) { &["00", "01"] } else { &["05"] };
            let shown = String::from_utf8_lossy(&key_type);
            assert!(wanted.contains(&code.as_str()), "{shown} {code} {}", String::from_utf8_lossy(head));
        };
        let ksn: &[u8] = if matches!(&key_type, b"009" | b"609") { b"A05FFFF000001315240003A" } else { b"" };
        attempt(b"M00011", ksn, b"", &[b"00A", b"00B", b"30B", b"10A", b"009", b"609"]);
        attempt(b"M20011", ksn, b"", &[b"00A", b"00B", b"30B", b"20A", b"009", b"609"]);
        attempt(b"M601011", b"", b"", &[b"003", b"008", b"103", b"108"]);
        attempt(b"M801011", b"", b"00000000", &[b"003", b"008", b"203", b"208"]);
    }
}

#[test]
fn modes_of_use_and_ciphers_are_judged() {
    let host = &mut Host::new(Settings::STRICT);
    let tail = b"00100102030405060708";
    for (head, usage, allowed, mac) in [
        ("M00011", *b"D0", "BEN", ""),
        ("M20011", *b"D0", "BDN", ""),
        ("M601011", *b"M1", "CGN", ""),
        ("M801011", *b"M1", "CVN", "00000000"),
    ] {
        for mode in "BCDEGNSTVXY".chars() {
            let token = host.block(TDES_BLOCK, usage, mode as u8, CipherKind::Tdes, 16);
            let sent = request(&[head.as_bytes(), b"FFF", &token, tail, mac.as_bytes()]);
            let code = host.code(TDES_BLOCK, &sent);
            assert_eq!(code == "A8", !allowed.contains(mode), "{mode} {code}");
        }
    }
    let aes = host.block(AES_BLOCK, *b"M0", b'C', CipherKind::Aes, 16);
    assert_eq!(host.code(AES_BLOCK, &request(&[b"M601031FFF", &aes, tail])), "A7");
}

#[test]
fn single_des_needs_the_legacy_profile() {
    for (settings, wanted) in [(Settings::STRICT, "27"), (Settings::LEGACY, "00")] {
        let host = &mut Host::new(settings);
        let tail = b"00100102030405060708";
        let tagged = host.variant(*b"00A", Scheme::Single);
        assert_eq!(host.code(VARIANT, &request(&[b"M0001100A", &tagged, tail])), wanted);
        let block = host.block(TDES_BLOCK, *b"D0", b'B', CipherKind::Des, 8);
        assert_eq!(host.code(TDES_BLOCK, &request(&[b"M00011FFF", &block, tail])), wanted);
        let block = host.block(TDES_BLOCK, *b"M1", b'C', CipherKind::Des, 8);
        assert_eq!(host.code(TDES_BLOCK, &request(&[b"M601011FFF", &block, tail])), wanted);
        // A CVK is a pair in every profile.
        for (lmk, token) in [
            (VARIANT, request(&[b"Z", &host.variant(*b"402", Scheme::Single)])),
            (VARIANT, host.variant(*b"402", Scheme::T)),
            (TDES_BLOCK, host.block(TDES_BLOCK, *b"C0", b'C', CipherKind::Des, 8)),
        ] {
            let sent = request(&[b"CW", &token, b"4123456789012345;8701101"]);
            assert_eq!(host.code(lmk, &sent), "27");
        }
    }
}

#[test]
fn card_values_take_card_keys_only() {
    let host = &mut Host::new(Settings::STRICT);
    for lmk in [TDES_BLOCK, AES_BLOCK] {
        for usage in tr31::sblock::usages() {
            let token = host.block(lmk, usage.0, b'N', CipherKind::Tdes, 16);
            let card = b"4123456789012345;8701101";
            let allowed = matches!(&usage.0, b"C0" | b"12" | b"13");
            let made = host.send(lmk, &request(&[b"CW", &token, card]));
            assert_eq!(&made[..2], if allowed { b"00" } else { b"A6" }, "{usage:?}");
            let value: &[u8] = made.get(2..5).unwrap_or(b"000");
            let verified = host.code(lmk, &request(&[b"CY", &token, value, card]));
            assert_eq!(verified, if allowed { "00" } else { "A6" }, "{usage:?}");
        }
        for (mode, make, verify) in
            [(b'G', "00", "A8"), (b'V', "A8", "01"), (b'C', "00", "01"), (b'B', "A8", "A8")]
        {
            let token = host.block(lmk, *b"C0", mode, CipherKind::Tdes, 16);
            let wrong = b"0004123456789012345;8701102";
            assert_eq!(host.code(lmk, &request(&[b"CW", &token, &wrong[3..]])), make);
            assert_eq!(host.code(lmk, &request(&[b"CY", &token, wrong])), verify);
        }
    }
}

// Text is converted between character sets, cipher text and hexadecimal values are what they are.
#[test]
fn an_ebcdic_host_gets_the_cipher_text_and_the_mac_of_an_ascii_host() {
    let host = &mut Host::new(Settings::STRICT);
    let to_ebcdic = |text: &[u8]| -> Vec<u8> { text.iter().map(|c| hostcmd::wire::to_ebcdic(*c)).collect() };
    let port = Rc::new(Port { ebcdic: true, header_length: 0, ..Port::new(LmkId(0), Settings::STRICT) });
    let key = host.variant(*b"00B", Scheme::U);
    let mac_key = host.variant(*b"003", Scheme::U);
    for ascii in [
        request(&[b"M00021", b"00B", &key, b"0010Text: 16 letters"]),
        request(&[b"M602130", b"003", &mac_key, b"0010Text: 16 letters"]),
    ] {
        let wanted = host.body(VARIANT, &ascii);
        let ticket = host.engine.submit(&port, &to_ebcdic(&ascii));
        host.engine.run();
        let mut reply = Vec::new();
        host.engine.finish(ticket, &mut reply);
        assert_eq!(reply.get(4..), Some(to_ebcdic(&wanted).as_slice()));
        if ascii.starts_with(b"M0") {
            let back = request(&[b"M20012", b"00B", &key, &wanted]);
            assert_eq!(host.body(VARIANT, &back), b"0010Text: 16 letters");
            let ticket = host.engine.submit(&port, &to_ebcdic(&back));
            host.engine.run();
            let mut reply = Vec::new();
            host.engine.finish(ticket, &mut reply);
            assert_eq!(reply, to_ebcdic(b"M3000010Text: 16 letters"));
        }
    }
}

#[test]
fn random_values_differ() {
    let host = &mut Host::new(Settings::STRICT);
    let mut seen = std::collections::HashSet::new();
    for lmk in [VARIANT, TDES_BLOCK, AES_BLOCK] {
        for _ in 0..100 {
            let value = host.body(lmk, b"N0016");
            assert_eq!(value.len(), 16);
            assert!(seen.insert(value));
        }
        assert_eq!(host.body(lmk, b"N0256").len(), 256);
        assert_eq!(host.code(lmk, b"N0257"), "01");
        assert_eq!(host.code(lmk, b"N0999"), "01");
    }
}

#[test]
fn status_replies_tell_the_figures_of_the_unit() {
    let unit = Unit {
        uptime_s: 3661,
        volumes: vec![(*b"CC", 1_234_567_890_123), (*b"NC", 7)],
        load: [3600, 0, 0, 61, 0, 0, 0, 0, 0, 1],
        pin_limits: PinLimits { minute: 2, hour: 1, attacks: 0 },
        sockets: 300,
        ..Unit::default()
    };
    let host = &mut Host::with_unit(Settings::STRICT, unit);
    let text = |host: &mut Host, request: &[u8]| String::from_utf8(host.body(VARIANT, request)).unwrap();
    let load = text(host, b"J2");
    assert!(load[48..].starts_with("0000003661000010000000360001002000000000000200300000000000"));
    assert!(load.ends_with("0901000000000001"));
    assert!(text(host, b"J4").ends_with("0000003661CC999999999999NC000000000007"));
    assert!(text(host, b"J8").ends_with("00000020000100000000"));
    assert!(text(host, b"JK").ends_with("\x1510"));
    assert!(text(host, b"NO00").starts_with("3199"));
}
