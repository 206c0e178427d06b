//! Runs the vectors that stand beside every command, through the engine and the simulator.

use hostcmd::command::Expect;
use hostcmd::table::TABLE;
use hostcmd::{Authorised, Engine, Finished, Port, Settings, Unit};
use hsm::LmkId;
use hsm_sim::{LmkSet, Options, Simulator};
use std::rc::Rc;

fn engine() -> Engine {
    let simulator = Simulator::new(&LmkSet::public_test(), Options::default()).unwrap();
    let unit = Unit {
        authorised: Authorised::ALL,
        decimalisation_tables: vec![*b"0123456789012345"],
        ..Unit::default()
    };
    Engine::new(Box::new(simulator), unit)
}

fn exchange(engine: &mut Engine, port: &Rc<Port>, request: &[u8]) -> Option<Vec<u8>> {
    let ticket = engine.submit(port, &[b"\x00\x19H%".as_slice(), request].concat());
    engine.run();
    let mut reply = Vec::new();
    match engine.finish(ticket, &mut reply) {
        Finished::Reply { .. } => Some(reply.strip_prefix(b"\x00\x19H%").expect("header").to_vec()),
        Finished::Close => None,
    }
}

fn like(pattern: &[u8], reply: &[u8]) -> bool {
    pattern.len() == reply.len() && pattern.iter().zip(reply).all(|(p, r)| *p == b'.' || p == r)
}

#[test]
fn every_example_holds_in_its_profiles() {
    let mut failures = Vec::new();
    for row in TABLE {
        let code = row.about.code_text();
        let positive = row.examples.iter().filter(|e| !matches!(e.expect, Expect::Code(_))).count();
        if positive == 0 || positive == row.examples.len() {
            failures.push(format!("{code}: needs a vector that succeeds and one that is refused"));
        }
        for (name, settings) in [("strict", Settings::STRICT), ("legacy", Settings::LEGACY)] {
            for (index, example) in row.examples.iter().enumerate() {
                let mut engine = engine();
                let port = Rc::new(Port::new(LmkId(example.lmk), settings));
                let reply = exchange(&mut engine, &port, example.request).unwrap_or_default();
                let good = match &example.expect {
                    Expect::Legacy(_) if name == "strict" => true,
                    Expect::Reply(wanted) | Expect::Legacy(wanted) => reply == *wanted,
                    Expect::Like(wanted) => like(wanted, &reply),
                    Expect::Code(wanted) => reply.get(2..) == Some(wanted.as_slice()),
                };
                if !good {
                    let shown = String::from_utf8_lossy(&reply);
                    failures
                        .push(format!("{code} example {index} ({name}): got {shown}, {:?}", example.expect));
                }
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn frames_without_a_reply_and_unknown_commands() {
    let mut engine = engine();
    let port = Rc::new(Port::new(LmkId(0), Settings::STRICT));
    for short in [b"".as_slice(), b"HEAD", b"HEADN"] {
        let ticket = engine.submit(&port, short);
        engine.run();
        assert_eq!(engine.finish(ticket, &mut Vec::new()), Finished::Close);
    }
    assert_eq!(exchange(&mut engine, &port, b"\x01\x02"), None);
    assert_eq!(exchange(&mut engine, &port, b"ZZwhatever").as_deref(), Some(b"Z[68".as_slice()));
    assert_eq!(exchange(&mut engine, &port, b"ZZ\x19trail").as_deref(), Some(b"Z[68\x19trail".as_slice()));
    assert_eq!(exchange(&mut engine, &port, b"B20000%07").as_deref(), Some(b"B313".as_slice()));
    assert_eq!(exchange(&mut engine, &port, b"B20000%0").as_deref(), Some(b"B315".as_slice()));
    assert_eq!(exchange(&mut engine, &port, b"B20000%01\x19ab").as_deref(), Some(b"B300\x19ab".as_slice()));
    let long = [b"B20000\x19".as_slice(), &[b'x'; 33]].concat();
    assert_eq!(exchange(&mut engine, &port, &long).as_deref(), Some(b"B315".as_slice()));
}

#[test]
fn ebcdic_ports_convert_text_and_leave_binary_data() {
    let mut engine = engine();
    let port = Port { ebcdic: true, header_length: 2, ..Port::new(LmkId(0), Settings::STRICT) };
    let text = |s: &[u8]| -> Vec<u8> { s.iter().map(|c| hostcmd::wire::to_ebcdic(*c)).collect() };
    let request = [b"\x01\x02".to_vec(), text(b"B20003"), b"A\x00z".to_vec(), text(b"\x19T")].concat();
    let ticket = engine.submit(&Rc::new(port), &request);
    engine.run();
    let mut reply = Vec::new();
    engine.finish(ticket, &mut reply);
    assert_eq!(reply, [b"\x01\x02".to_vec(), text(b"B300"), b"A\x00z".to_vec(), text(b"\x19T")].concat());
}

#[test]
fn many_commands_in_flight_answer_each_its_own() {
    let mut engine = engine();
    let port = Rc::new(Port::new(LmkId(0), Settings::STRICT));
    for _ in 0..3 {
        let tickets: Vec<_> =
            (0..200).map(|n| engine.submit(&port, format!("{n:04}B20004{n:04}").as_bytes())).collect();
        engine.run();
        for (n, ticket) in tickets.into_iter().enumerate() {
            let mut reply = Vec::new();
            engine.finish(ticket, &mut reply);
            assert_eq!(reply, format!("{n:04}B300{n:04}").as_bytes());
        }
    }
}
