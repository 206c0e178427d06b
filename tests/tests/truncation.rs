//! Every example of the table and every request of the wire file, cut at every byte and run in process:
//! refused, or itself a whole form of the layout, and never a panic. The decoder and the engine must agree
//! on which.
#![allow(clippy::print_stdout)] // counts for whoever reads the log

use hostcmd::command::{Authorised, Expect};
use hostcmd::decode::{Decoded, Decoder, Field, LmkId, Way, find};
use hostcmd::table::TABLE;
use hostcmd::{Code, Engine, Finished, Port, Settings, Unit};
use hsm_sim::{LmkSet, Options, Simulator};
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tests::expect::File;
use tests::wire::{self, text};

/// Fields without a length of their own that end with the message, by command: any beginning of them is a
/// whole form.
const OPEN_ENDED: &[(&str, &str)] = &[("MA", "data"), ("MC", "data"), ("ME", "data")];

struct Bench {
    engine: Engine,
    port: Rc<Port>,
}

impl Bench {
    fn new(lmk: u8, settings: Settings) -> Self {
        let backend = Simulator::new(&LmkSet::public_test(), Options::default()).expect("simulator");
        let tables = vec![*b"0123456789012345"];
        let unit = Unit { authorised: Authorised::ALL, decimalisation_tables: tables, ..Unit::default() };
        let port = Rc::new(Port::new(LmkId(lmk), settings));
        Self { engine: Engine::new(Box::new(backend), unit), port }
    }

    fn run(&mut self, frame: &[u8]) -> Option<(Code, Vec<u8>)> {
        let ticket = self.engine.submit(&self.port, frame);
        self.engine.run();
        let mut reply = Vec::new();
        match self.engine.finish(ticket, &mut reply) {
            Finished::Reply { code, .. } => Some((code, reply)),
            Finished::Close => None,
        }
    }

    fn decode(&self, frame: &[u8]) -> Decoded {
        Decoder { port: &self.port, reveal: false }.request(frame)
    }
}

// A cut message is a whole form when it is a beginning of the fields of the longer one. Its last field may be
// shorter only where the layout has no length. Besides, an account number is a PAN with its end mark or
// twelve digits: a PAN that lost its mark is the other form, and what follows is read from there.
fn is_shorter_form(cut: &Decoded, full: &Decoded) -> Result<(), String> {
    let Some(last) = cut.fields.last() else { return Err("no field".to_owned()) };
    let place = |f: &Field| (f.name, f.start, f.length);
    let mut pairs = cut.fields.iter().zip(&full.fields);
    let Some((ours, theirs)) = pairs.find(|(ours, theirs)| place(ours) != place(theirs)) else {
        return if cut.fields.len() <= full.fields.len() {
            Ok(())
        } else {
            Err("more fields than before".to_owned())
        };
    };
    let command = cut.row.map_or("", |row| row.about.code_text());
    let open = place(ours) == place(last) && OPEN_ENDED.contains(&(command, ours.name));
    let twelve = ours.length == 12 && full.field("end of PAN").is_some() && cut.field("end of PAN").is_none();
    if ours.name == "trailer" || (ours.name == theirs.name && (open || twelve)) {
        return Ok(());
    }
    Err(format!("{:?} is read as {:?}", place(theirs), place(ours)))
}

fn cut_everywhere(bench: &mut Bench, message: &[u8], failures: &mut String) -> (usize, usize) {
    let full = [b"HEAD", message].concat();
    let decoded = bench.decode(&full);
    let (mut cuts, mut whole) = (0, 0);
    for end in 0..full.len() {
        let frame = &full[..end];
        let (part, reply) = (bench.decode(frame), bench.run(frame));
        cuts += 1;
        let judged = match (&reply, part.stopped) {
            // Too short for a code: closed.
            (None, Some(_)) if end < 6 => Ok(()),
            (None, _) => Err("closed".to_owned()),
            (Some((Code::INTERNAL, _)), _) => Err("internal error".to_owned()),
            (Some((code, reply)), Some(stopped)) => {
                let bare = reply.starts_with(b"HEAD") && (reply.len() == 8 || reply.get(8) == Some(&0x19));
                if *code == stopped && bare {
                    Ok(())
                } else {
                    Err(format!("decoder says {stopped}, engine {code}"))
                }
            }
            (Some(_), None) => {
                whole += 1;
                if decoded.stopped.is_none() { is_shorter_form(&part, &decoded) } else { Ok(()) }
            }
        };
        if let Err(why) = judged {
            let shown = text(frame.get(4..).unwrap_or_default());
            writeln!(failures, "{shown:?} ({} of {}): {why}", end, full.len()).expect("memory");
        }
    }
    (cuts, whole)
}

fn settings_of(expect: &Expect) -> [Settings; 2] {
    match expect {
        Expect::Legacy(_) => [Settings::LEGACY; 2],
        _ => [Settings::STRICT, Settings::LEGACY],
    }
}

fn report(what: &str, (cuts, whole): (usize, usize), failures: &str) {
    println!("{what}: {cuts} cuts, {whole} of them whole");
    let count = failures.lines().count();
    let first: Vec<&str> = failures.lines().take(60).collect();
    assert!(failures.is_empty(), "{count} of {cuts} cuts:\n{}", first.join("\n"));
}

// The engine turns a panic of a handler into code 41; here none may happen at all.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn count_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let ours = info.location().is_some_and(|place| place.file().contains("tests/tests"));
        PANICS.fetch_add(usize::from(!ours), Ordering::SeqCst);
        before(info);
    }));
}

#[test]
fn nothing_that_is_cut_short_is_taken_for_something_else() {
    count_panics();
    let (mut failures, mut total) = (String::new(), (0, 0));
    for example in TABLE.iter().flat_map(|row| row.examples) {
        for settings in settings_of(&example.expect) {
            let mut bench = Bench::new(example.lmk, settings);
            let (cuts, whole) = cut_everywhere(&mut bench, example.request, &mut failures);
            total = (total.0 + cuts, total.1 + whole);
        }
    }
    report("examples of the table", total, &failures);

    let (mut failures, mut total) = (String::new(), (0, 0));
    let mut benches: Vec<Bench> = (0..3).map(|lmk| Bench::new(lmk, Settings::LEGACY)).collect();
    for case in File::load().cases {
        let bench = &mut benches[usize::from(case.slot)];
        for step in &case.steps {
            // Text that an earlier reply would give: a PIN under the LMK, in a form that is well made.
            let stored = if case.slot == 2 { format!("J{}", "0".repeat(32)) } else { "01234".to_owned() };
            let request = wire::bytes(&step.req.replace("${pinl}", &stored));
            let exists = request.first_chunk::<2>().is_some_and(|code| find(Way::Request, *code).is_some());
            if exists && !step.req.replace("${pinl}", "").contains("${") {
                let (cuts, whole) = cut_everywhere(bench, &request, &mut failures);
                total = (total.0 + cuts, total.1 + whole);
            }
        }
    }
    report("requests of the wire file", total, &failures);
    assert_eq!(PANICS.load(Ordering::SeqCst), 0, "panics");
}
