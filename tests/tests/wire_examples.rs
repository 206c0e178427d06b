//! Every request of the file of wire examples whose commands exist, against the real program: in the legacy
//! profile all of them, in the strict profile those that need no setting. The file and the model that judges
//! replies are independent of the server; a mismatch is a question, and an answer that is "the file is
//! wrong" goes into the list below with its reason.

#![allow(clippy::print_stdout)] // counts for whoever reads the log

use hostcmd::decode::{Way, find};
use std::collections::HashMap;
use std::fmt::Write as _;
use tests::expect::{Case, File, Saved, Verdict, judge};
use tests::server::Server;
use tests::softhsm::Backend;
use tests::wire::{Wire, text};

/// Identifier of a case, profile (`*` for both) and why the program answers otherwise.
const DEVIATIONS: &[(&str, &str, &str)] = &[
    ("MG-0-00146-positive", "strict", X_EXPORT),
    ("AU-0-00015-positive", "strict", X_EXPORT),
    ("DY-0-00071-positive", "strict", X_EXPORT),
];
const X_EXPORT: &str =
    "exports in the X9.17 form, which strict refuses with 29: the case should say that it needs x-export";

struct Connections<'s> {
    server: &'s Server,
    open: HashMap<u8, Wire>,
}

impl Connections<'_> {
    fn exchange(&mut self, slot: u8, request: &[u8]) -> Result<Vec<u8>, String> {
        let wire = self.open.entry(slot).or_insert_with(|| self.server.connect(slot));
        wire.exchange(request).map_err(|error| {
            self.open.remove(&slot);
            format!("no reply: {error}")
        })
    }
}

fn run(case: &Case, connections: &mut Connections<'_>) -> Result<(), String> {
    let mut saved = Saved::default();
    for (number, step) in case.steps.iter().enumerate() {
        let request = saved.request(step)?;
        let reply = connections.exchange(case.slot, &request)?;
        match judge(step, &reply, &mut saved) {
            Ok(Verdict::Expected) => {}
            Ok(Verdict::AlsoRight) => return Ok(()),
            Err(why) => {
                let (request, reply) = (text(&request), text(&reply));
                return Err(format!("step {number}: {why}\n    {request:?}\n    {reply:?}"));
            }
        }
    }
    Ok(())
}

fn is_known(case: &Case, profile: &str) -> bool {
    DEVIATIONS.iter().any(|(id, in_profile, _)| *id == case.id && ["*", profile].contains(in_profile))
}

fn run_all(backend: Backend, options: &[&str], takes: impl Fn(&Case) -> bool) {
    let profile = options[0];
    let cases = File::load().cases;
    let exists = |case: &&Case| case.commands().iter().all(|code| find(Way::Request, *code).is_some());
    let mut cases: Vec<&Case> = cases.iter().filter(exists).filter(|case| takes(case)).collect();
    cases.retain(|case| backend.lmks().contains(&case.slot));
    // RA ends the authorised state, which other cases need.
    cases.sort_by_key(|case| case.command == "RA");
    assert!(!cases.is_empty(), "no case of a command that exists");
    let options = [&["--authorised", "--profile"], options].concat();
    let Some(server) = Server::start_on(backend, &options) else { return };
    let mut connections = Connections { server: &server, open: HashMap::new() };
    let (mut failures, mut settled) = (String::new(), String::new());
    let mut failed = 0;
    for case in &cases {
        match (run(case, &mut connections), is_known(case, profile)) {
            (Ok(()), true) => writeln!(settled, "{} holds: it is no deviation", case.id).unwrap(),
            (Err(why), false) => {
                failed += 1;
                writeln!(failures, "{}: {why}", case.id).unwrap();
            }
            _ => {}
        }
    }
    println!("{backend:?}, {profile}: {} cases, {failed} failed", cases.len());
    assert!(failures.is_empty() && settled.is_empty(), "{failed} of {}:\n{failures}{settled}", cases.len());
}

#[test]
fn every_example_holds_in_the_legacy_profile() {
    run_all(Backend::Simulator, &["legacy"], |_| true);
}

#[test]
fn examples_that_need_no_setting_hold_in_the_strict_profile() {
    run_all(Backend::Simulator, &["strict"], |case| case.needs.is_empty());
}

#[test]
fn every_example_of_a_key_block_lmk_holds_on_a_token() {
    run_all(Backend::SoftHsm, &["legacy"], |_| true);
}

#[test]
fn strict_examples_of_a_key_block_lmk_hold_on_a_token() {
    run_all(Backend::SoftHsm, &["strict"], |case| case.needs.is_empty());
}

#[test]
fn every_example_holds_with_the_engine_in_workers() {
    run_all(Backend::Simulator, &["legacy", "--workers", "2"], |_| true);
}

#[test]
fn every_example_of_a_key_block_lmk_holds_on_a_token_in_workers() {
    run_all(Backend::SoftHsm, &["legacy", "--workers", "2"], |_| true);
}

#[test]
fn the_list_of_deviations_names_cases_that_exist() {
    let cases = File::load().cases;
    for (id, profile, why) in DEVIATIONS {
        assert!(cases.iter().any(|case| case.id == *id), "{id}");
        assert!(["*", "legacy", "strict"].contains(profile) && why.len() > 20, "{id}");
    }
}
