//! A command that needs a run of the backend for every byte shares its turns with all others, and changes nothing of
//! what they answer.
#![allow(clippy::arithmetic_side_effects)] // a test

use core::cell::Cell;
use hostcmd::command::{Command as _, Expect};
use hostcmd::commands::cc_pin_zpk_to_zpk::PinZpkToZpk;
use hostcmd::table::TABLE;
use hostcmd::{Authorised, Engine, KeyTable, Port, Settings, Ticket, Unit};
use hsm::{Backend, BackendClass, LmkId, LmkInfo, OpBatch};
use hsm_sim::{LmkSet, Options, Simulator};
use std::rc::Rc;
use std::sync::Arc;

struct Counted(Simulator, Rc<Cell<usize>>);

impl Backend for Counted {
    fn run(&mut self, ops: &mut OpBatch) {
        self.1.set(self.1.get() + 1);
        self.0.run(ops);
    }
    fn lmks(&self) -> &[LmkInfo] {
        self.0.lmks()
    }
    fn class(&self) -> BackendClass {
        self.0.class()
    }
}

fn engine() -> (Engine, Rc<Cell<usize>>) {
    let simulator = Simulator::new(&LmkSet::public_test(), Options::default()).unwrap();
    let runs = Rc::default();
    let unit = Unit {
        authorised: Authorised::ALL,
        decimalisation_tables: vec![*b"0123456789012345"],
        ..Unit::default()
    };
    (Engine::new(Box::new(Counted(simulator, Rc::clone(&runs))), unit), runs)
}

// M0 in CFB8 over so many bytes.
fn long(length: usize) -> Vec<u8> {
    let head = format!("HEADM0020000BU3E9CE2724797FC6021B7A50C0AB6592D47A548B20AE81906{length:04X}");
    [head.as_bytes(), &vec![0x5A; length]].concat()
}

fn short() -> (Vec<u8>, Vec<u8>) {
    let reply = |expect: &Expect| if let Expect::Reply(reply) = expect { Some(reply.to_vec()) } else { None };
    let mut examples = PinZpkToZpk::EXAMPLES.iter().filter(|example| example.lmk == 0);
    let (request, reply) = examples.find_map(|e| Some((e.request.to_vec(), reply(&e.expect)?))).unwrap();
    ([&b"HEAD"[..], &request].concat(), [&b"HEAD"[..], &reply].concat())
}

fn reply(engine: &mut Engine, ticket: Ticket) -> Vec<u8> {
    let mut out = Vec::new();
    engine.finish(ticket, &mut out);
    out
}

#[test]
fn others_end_in_the_same_turn_beside_a_long_command() {
    let port = Rc::new(Port::new(LmkId(0), Settings::STRICT));
    let (mut alone, _) = engine();
    let ticket = alone.submit(&port, &long(1000));
    alone.run();
    let expected = reply(&mut alone, ticket);
    assert!(expected.starts_with(b"HEADM100") && expected.len() > 1000);

    let (mut engine, runs) = engine();
    let (request, translated) = short();
    let ticket = engine.submit(&port, &long(1000));
    let mut others = 0;
    loop {
        let other = engine.submit(&port, &request);
        let before = runs.get();
        let more = engine.turn();
        assert!(runs.get() - before <= Engine::ROUNDS, "{} runs in one turn", runs.get() - before);
        assert!(engine.is_done(&other));
        assert_eq!(reply(&mut engine, other), translated);
        others += 1;
        if !more {
            break;
        }
        assert!(!engine.is_done(&ticket));
        assert_eq!(engine.running(), 1);
    }
    assert!(engine.is_done(&ticket));
    assert_eq!(reply(&mut engine, ticket), expected);
    assert!(others >= 1000 / Engine::ROUNDS, "{others} turns");
}

// So that nobody but long data commands is ever held beyond its turn.
#[test]
fn every_other_command_ends_in_one_turn() {
    for row in TABLE {
        for (example, settings) in
            row.examples.iter().flat_map(|e| [(e, Settings::STRICT), (e, Settings::LEGACY)])
        {
            let (mut engine, runs) = engine();
            let port = Rc::new(Port::new(LmkId(example.lmk), settings));
            engine.submit(&port, &[b"HEAD", example.request].concat());
            engine.run();
            let code = row.about.code_text();
            assert!(
                runs.get() < Engine::ROUNDS || matches!(code, "M0" | "M2"),
                "{code}: {} runs",
                runs.get()
            );
        }
    }
}

// However many long commands follow each other without a moment at which none runs.
#[test]
fn a_key_table_is_dropped_with_the_last_command_that_began_with_it() {
    let port = Rc::new(Port::new(LmkId(0), Settings::STRICT));
    let (mut engine, _) = engine();
    let table = |number| Arc::new(KeyTable::new(number, LmkId(0), Vec::new()).unwrap());
    let (first, second) = (table(1), table(2));
    engine.set_key_table(Arc::clone(&first), 0);
    let before = engine.submit(&port, &long(100));
    engine.turn();
    engine.set_key_table(Arc::clone(&second), 0);
    let behind = engine.submit(&port, &long(1000));
    while !engine.is_done(&before) {
        assert_eq!(Arc::strong_count(&first), 2, "a command uses it");
        engine.turn();
    }
    assert!(!engine.is_done(&behind));
    assert_eq!((Arc::strong_count(&first), Arc::strong_count(&second)), (1, 2));
}
