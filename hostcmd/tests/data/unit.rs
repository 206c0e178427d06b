//! Character sets, random values and the figures of the unit.

use crate::harness::{AES_BLOCK, Host, TDES_BLOCK, VARIANT, request};
use hostcmd::{PinLimits, Port, Settings, Unit};
use hsm::{LmkId, Scheme};
use std::rc::Rc;

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
