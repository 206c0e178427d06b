//! A key of another use, type, mode or cipher is refused.

use crate::harness::{AES_BLOCK, Host, TDES_BLOCK, VARIANT, request};
use hostcmd::Settings;
use hsm::{KeyType, Scheme};
use paytypes::CipherKind;

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
