//! The token: module, login, mechanisms with what their lack means for commands, sessions, LMKs, known answers
//! and objects.

use super::Args;
use super::report::{Report, State};
use crate::exit::Failure;
use crate::token::{pin_file, prepare};
use gateway::config::TokenSource;
use hsm::LmkInfo;
use hsm_pkcs11::initialise::{TokenFacts, tokens};
use hsm_pkcs11::objects::{ObjectFacts, dump};
use hsm_pkcs11::{Capability, Hidden, Options, Token, TokenError, TokenUri};
use paytypes::CipherKind;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Sessions of a worker: one for everything, and one for each direction.
const SESSIONS: u64 = 3;

/// What commands answer without DES (docs/host-commands.md), and what is left.
const WITHOUT_DES: [(&str, &str); 6] = [
    ("CW CY", "47: card values are made with DES keys"),
    ("DC EC DG FW", "47: PVVs are made with DES keys"),
    ("DA EA DE BK EE", "47: IBM 3624 PINs are made with DES keys"),
    ("CA CC CI G0 JC JE JG BC BE", "47 for PIN blocks other than format 48 (ISO 4) and for DES working keys"),
    ("M6 M8 M0 M2", "47 for DES keys; AES keys and CMAC work"),
    ("A0 A6 A8 B0 BU", "47 for DES keys and a 3DES LMK; AES keys and TR-31 version D work"),
];

/// Looks at the token of a URI. Stops where nothing behind can be seen.
pub fn look(args: &Args, uri: &str, report: &mut Report) -> Result<(), Failure> {
    let uri = TokenUri::parse(uri).map_err(Failure::usage)?;
    let source = TokenSource { uri: args.token.clone().unwrap_or_default(), pin_file: args.pin_file.clone() };
    let Some(facts) = module(&uri, report) else { return Ok(()) };
    if !pin(&facts, &source, &uri, report) {
        return Ok(());
    }
    let Some(token) = login(args, &source, report)? else { return Ok(()) };
    // What a generic token gives, whatever it is called (docs/security.md).
    report.good("class", "B: LMKs stay on the token, other keys pass through the memory of who uses it");
    mechanisms(token.capability(), report);
    sessions(args, token.capability(), report);
    lmks(&token, report);
    known_answers(&token, report);
    objects(&token, report);
    Ok(())
}

fn module(uri: &TokenUri, report: &mut Report) -> Option<TokenFacts> {
    let Some(path) = uri.module() else {
        let help = "name one with `module-path=…` in the URI, or install one (apt package softhsm2)";
        report.add("module", State::Missing, "no PKCS#11 module is named, and none is found", help);
        return None;
    };
    let name = path.display().to_string();
    let all = match tokens(&path) {
        Ok(all) => all,
        Err(error) => {
            let help = "is it a PKCS#11 module of this machine's architecture, and may this user read it?";
            report.add("module", State::Missing, format!("{name} does not load: {error}"), help);
            return None;
        }
    };
    report.good("module", format!("{name} loads"));
    let is = |wanted: &Option<String>, value: &str| wanted.as_ref().is_none_or(|wanted| wanted == value);
    let mut found = all.into_iter().filter(|token| {
        token.initialised
            && is(&uri.token, &token.label)
            && is(&uri.serial, &token.serial)
            && is(&uri.manufacturer, &token.manufacturer)
            && is(&uri.model, &token.model)
            && uri.slot_id.is_none_or(|id| id == token.slot)
    });
    match (found.next(), found.count()) {
        (Some(token), 0) => {
            let TokenFacts { label, serial, manufacturer, model, slot, .. } = &token;
            report.good("token", format!("`{label}`, serial {serial}, {manufacturer} {model}, slot {slot}"));
            Some(token)
        }
        (None, _) => {
            let help = "`payhsm token list` shows what is there, `payhsm token init` makes one";
            report.add("token", State::Missing, "no token matches the URI", help);
            None
        }
        (Some(_), more) => {
            let found = format!("{} tokens match the URI", more.saturating_add(1));
            report.add("token", State::Wrong, found, "name a serial number");
            None
        }
    }
}

// True when the PIN may be tried.
fn pin(facts: &TokenFacts, source: &TokenSource, uri: &TokenUri, report: &mut Report) -> bool {
    match pin_file(source, uri) {
        None => {
            let help = "serving needs --pin-file, `pin-source=file:…` in the URI or a systemd credential";
            report.add("PIN file", State::Worth, "none: the PIN is asked for", help);
        }
        Some(path) => pin_file_mode(&path, report),
    }
    let count = match facts {
        TokenFacts { has_pin: false, .. } => ("the token has no user PIN", "`payhsm token init` sets one"),
        TokenFacts { pin_locked: true, .. } => {
            ("the user PIN is locked", "its security officer sets a new one")
        }
        TokenFacts { pin_final_try: true, .. } => {
            ("the next wrong PIN locks the token: not tried", "log in once with the right PIN by other means")
        }
        TokenFacts { pin_count_low: true, .. } => {
            report.add("PIN count", State::Worth, "a wrong PIN was entered before", "");
            return true;
        }
        _ => return true,
    };
    report.add("PIN count", State::Wrong, count.0, count.1);
    false
}

fn pin_file_mode(path: &Path, report: &mut Report) {
    let name = path.display();
    match std::fs::metadata(path) {
        Err(error) => report.add("PIN file", State::Missing, format!("{name}: {error}"), ""),
        Ok(facts) if facts.permissions().mode() & 0o077 != 0 => {
            let mode = facts.permissions().mode() & 0o777;
            let help = format!("others than its owner reach it: chmod 600 {name}");
            report.add("PIN file", State::Wrong, format!("{name} has mode {mode:o}"), help);
        }
        Ok(_) => report.good("PIN file", format!("{name}, for its owner only")),
    }
}

fn login(args: &Args, source: &TokenSource, report: &mut Report) -> Result<Option<Token>, Failure> {
    let prepared = match prepare(source, false) {
        Ok(prepared) => prepared,
        Err(failure) if failure.code == 2 => return Err(failure),
        Err(failure) => {
            report.add("login", State::Wrong, failure.message, "");
            return Ok(None);
        }
    };
    let options = Options { hidden: Hidden { des: args.without_des, aes_cmac: false }, ..Options::default() };
    let help = match prepared.open_with(options) {
        Ok(token) => {
            report.good("login", "the token takes the PIN");
            return Ok(Some(token));
        }
        Err(error) => {
            let help = match &error {
                TokenError::PinRefused => {
                    "a few more would lock it: look at the PIN file before you try again"
                }
                _ => "",
            };
            (error.to_string(), help)
        }
    };
    report.add("login", State::Wrong, help.0, help.1);
    Ok(None)
}

fn mechanisms(capability: &Capability, report: &mut Report) {
    let needs = capability.needs();
    for need in needs.iter().filter(|need| !need.offered) {
        let state = if need.vital { State::Wrong } else { State::Worth };
        report.add("mechanism", state, format!("{} is missing", need.mechanism), need.consequence);
    }
    let offered = needs.iter().filter(|need| need.offered).count();
    report.good("mechanisms", format!("{offered} of {} that are used are there", needs.len()));
    let list: Vec<_> = needs
        .iter()
        .map(|need| {
            json!({
                "mechanism": need.mechanism,
                "offered": need.offered,
                "vital": need.vital,
                "consequence": need.consequence,
            })
        })
        .collect();
    report.attach("mechanisms", list.into());
    let mut commands = Vec::new();
    if !capability.offers(CipherKind::Tdes) {
        for (codes, answer) in WITHOUT_DES {
            report.add("commands", State::Worth, codes, format!("answer {answer}"));
            commands.push(json!({ "commands": codes, "answer": answer }));
        }
    }
    report.attach("commands", commands.into());
}

fn sessions(args: &Args, capability: &Capability, report: &mut Report) {
    // Each process has an anchor besides.
    let wanted = args.workers.max(1).saturating_mul(SESSIONS.saturating_add(1));
    let workers = args.workers.max(1);
    match capability.sessions_max {
        None => report.good("sessions", "the token states no limit"),
        Some(most) if most >= wanted => {
            report.good("sessions", format!("{most} at most, {wanted} for {workers} workers"));
        }
        Some(most) if most > workers.saturating_mul(2) => {
            let found = format!("{most} at most, {wanted} would be used by {workers} workers");
            report.add("sessions", State::Worth, found, "workers use one each: slower");
        }
        Some(most) => {
            let found = format!("{most} at most, not enough for {workers} workers");
            report.add("sessions", State::Wrong, found, "take fewer workers");
        }
    }
}

fn lmks(token: &Token, report: &mut Report) {
    let lmks = match token.lmks() {
        Ok(lmks) => lmks,
        Err(error) => {
            report.add(
                "LMK",
                State::Wrong,
                error.to_string(),
                "an LMK must be whole, and of the attributes it was made with",
            );
            return;
        }
    };
    if lmks.is_empty() {
        report.add("LMK", State::Wrong, "none on the token", "make one: `payhsm lmk init --token …`");
    }
    let shown = |lmk: &LmkInfo| String::from_utf8_lossy(&lmk.check).into_owned();
    for lmk in &lmks {
        let found = format!("{} {:?}, check value {} as computed anew", lmk.id, lmk.scheme, shown(lmk));
        if lmk.test {
            report.add(
                "LMK",
                State::Worth,
                found,
                "a public test LMK: everybody knows it, it protects nothing",
            );
        } else {
            report.good("LMK", found);
        }
    }
    let list: Vec<_> = lmks
        .iter()
        .map(|lmk| json!({ "id": lmk.id.0, "scheme": format!("{:?}", lmk.scheme), "check": shown(lmk), "test": lmk.test }))
        .collect();
    report.attach("lmks", list.into());
}

fn known_answers(token: &Token, report: &mut Report) {
    match token.known_answers() {
        Ok(true) => report.good("known answers", "the token computes published vectors rightly"),
        Ok(false) => {
            let help = "the token or its module is broken: do not serve from it";
            report.add("known answers", State::Wrong, "the token computes published vectors wrongly", help);
        }
        Err(error) => report.add("known answers", State::Wrong, error.to_string(), ""),
    }
}

fn objects(token: &Token, report: &mut Report) {
    let objects = match dump(token) {
        Ok(objects) => objects,
        Err(error) => return report.add("objects", State::Wrong, error.to_string(), ""),
    };
    let kept: Vec<&ObjectFacts> = objects.iter().filter(|object| object.on_token).collect();
    for object in kept.iter().filter(|object| object.is_ours()) {
        let conflicts = object.conflicts();
        if !conflicts.is_empty() {
            let found = format!("`{}`: {}", object.label, conflicts.join(", "));
            report.add(
                "object",
                State::Wrong,
                found,
                "a key must do one thing and never leave: make it anew",
            );
        }
    }
    let orphans = kept.iter().filter(|object| object.label.is_empty()).count();
    let foreign = kept.iter().filter(|object| !object.label.is_empty() && !object.is_ours()).count();
    if orphans > 0 {
        let found = format!("{orphans} secret keys without a label");
        report.add("orphans", State::Worth, found, "left by tools that failed half-way: nobody uses them");
    }
    report.good("objects", format!("{} secret keys: {foreign} of others", kept.len()));
    report.attach("objects", json!({ "on_token": kept.len(), "orphans": orphans, "of_others": foreign }));
}
