//! Whole frames. The first byte of the input chooses the listener: LMK, profile, character set and header
//! length; the rest is the frame.

use hostcmd::command::Authorised;
use hostcmd::decode::{Decoder, LmkId, Way};
use hostcmd::{Code, Engine, Finished, Port, Settings, Unit};
use hsm_sim::{LmkSet, Options, RandomSource, Simulator};
use std::cell::RefCell;
use std::rc::Rc;

fn port(choice: u8) -> Port {
    let settings = if choice & 0x04 == 0 { Settings::STRICT } else { Settings::LEGACY };
    let mut port = Port::new(LmkId((choice & 0x03).min(2)), settings);
    port.ebcdic = choice & 0x08 != 0;
    port.header_length = if choice & 0x10 == 0 { 4 } else { usize::from(choice >> 5) };
    port
}

fn new_engine() -> Engine {
    // Opened keys are kept in little room, so that eviction is exercised as well.
    let options = Options { random: RandomSource::seeded(1) };
    let backend = Simulator::new(&LmkSet::public_test(), options).expect("test LMKs may be seeded");
    let unit = Unit {
        authorised: Authorised::ALL,
        decimalisation_tables: vec![*b"0123456789012345"],
        ..Unit::default()
    };
    Engine::new(Box::new(backend), unit)
}

thread_local! {
    static ENGINE: RefCell<Engine> = RefCell::new(new_engine());
}

/// A frame through the engine and the simulator: a reply with its own header and code, or a close for what
/// has no printable code; never an internal error.
pub fn engine(data: &[u8]) {
    let Some((choice, frame)) = data.split_first() else { return };
    let port = Rc::new(port(*choice));
    ENGINE.with_borrow_mut(|engine| {
        engine.set_authorised(Authorised::ALL);
        let ticket = engine.submit(&port, frame);
        engine.run();
        assert_eq!(engine.running(), 0, "a command that never ends");
        let mut reply = Vec::new();
        match engine.finish(ticket, &mut reply) {
            Finished::Close => assert!(reply.is_empty(), "bytes on a close"),
            Finished::Reply { code, .. } => {
                assert_ne!(code, Code::INTERNAL, "a handler panicked or lost its way");
                let header = frame.get(..port.header_length).expect("a reply needs a header");
                assert!(reply.starts_with(header), "another header");
                assert!(reply.len() >= port.header_length + 4, "no code");
            }
        }
    });
}

/// A frame through the decoder, both ways: fields lie one behind the other inside the frame.
pub fn decode(data: &[u8]) {
    let Some((choice, frame)) = data.split_first() else { return };
    let port = port(*choice);
    for reveal in [false, true] {
        let decoder = Decoder { port: &port, reveal };
        for way in [decoder.guess(frame), Way::Request, Way::Reply] {
            let decoded = decoder.frame(way, frame);
            let end = decoded.fields.iter().fold(0, |at, field| {
                assert_eq!(field.start, at, "a gap before {}", field.name);
                at + field.length
            });
            assert_eq!(end + decoded.left_over, frame.len(), "bytes that belong to nothing");
            assert!(!decoded.is_whole() || decoded.row.is_some(), "whole without a command");
        }
    }
}
