//! Rules and what they do.
//!
//! A rule is a line of words: function, fault, and conditions in any order. `#` begins a comment.
//!
//! ```text
//! C_Encrypt device-removed after 10 for 3
//! *         session-invalid
//! C_Decrypt flip once
//! ```
//!
//! Functions are named as in the standard; `*` is every function but `C_Initialize` and `C_Finalize`.
//!
//! | fault | what the caller sees |
//! |---|---|
//! | `device-removed`, `session-invalid`, `not-logged-in`, `host-memory`, `device-error` | that return value; the module is not called |
//! | `rv=N` | return value N, decimal or `0x…` |
//! | `slow` or `slow=N` | the real answer after N times its time, 100 when not named |
//! | `hang` or `hang=MS` | nothing for so many milliseconds (30,000 when not named), then `CKR_DEVICE_ERROR` |
//! | `flip` | the real answer with one bit of its first byte changed |
//! | `segfault` | the process ends by SIGSEGV |
//!
//! Asking for a length is a call too. `after N`: the first N calls of the function are left alone. `for M`: then M calls are hit, and no more. Both
//! count within a process. `once`: one call of all processes together, for faults that end the process; marked by
//! a file beside the control file.

use cryptoki_sys::{
    CK_RV, CKR_DEVICE_ERROR, CKR_DEVICE_REMOVED, CKR_HOST_MEMORY, CKR_SESSION_HANDLE_INVALID,
    CKR_USER_NOT_LOGGED_IN,
};
use std::fs::{Metadata, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A return value in place of the call.
    Answer(CK_RV),
    /// So many times the real time.
    Slow(u32),
    /// Nothing for so long.
    Hang(Duration),
    /// A wrong answer.
    Flip,
    /// The end of the process.
    Segfault,
}

/// When a function has a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    function: String,
    fault: Fault,
    after: u64,
    hits_max: Option<u64>,
    once: bool,
}

/// Not a rule.
#[derive(Debug, PartialEq, Eq)]
pub struct NoRule(pub String);

impl FromStr for Rule {
    type Err = NoRule;

    fn from_str(text: &str) -> Result<Self, NoRule> {
        let wrong = || NoRule(text.to_owned());
        let mut words = text.split_whitespace();
        let function = words.next().ok_or_else(wrong)?.to_owned();
        if function != "*" && !crate::functions::NAMES.contains(&function.as_str()) {
            return Err(wrong());
        }
        let fault = words.next().and_then(fault).ok_or_else(wrong)?;
        let mut rule = Self { function, fault, after: 0, hits_max: None, once: false };
        while let Some(word) = words.next() {
            let mut number = || words.next().and_then(|word| word.parse().ok()).ok_or_else(wrong);
            match word {
                "after" => rule.after = number()?,
                "for" => rule.hits_max = Some(number()?),
                "once" => rule.once = true,
                _ => return Err(wrong()),
            }
        }
        Ok(rule)
    }
}

fn fault(word: &str) -> Option<Fault> {
    let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    Some(match (name, value) {
        ("device-removed", None) => Fault::Answer(CKR_DEVICE_REMOVED),
        ("session-invalid", None) => Fault::Answer(CKR_SESSION_HANDLE_INVALID),
        ("not-logged-in", None) => Fault::Answer(CKR_USER_NOT_LOGGED_IN),
        ("host-memory", None) => Fault::Answer(CKR_HOST_MEMORY),
        ("device-error", None) => Fault::Answer(CKR_DEVICE_ERROR),
        ("rv", Some(value)) => Fault::Answer(match value.strip_prefix("0x") {
            Some(hex) => CK_RV::from_str_radix(hex, 16).ok()?,
            None => value.parse().ok()?,
        }),
        ("slow", value) => Fault::Slow(value.map_or(Ok(100), str::parse).ok()?),
        ("hang", value) => Fault::Hang(Duration::from_millis(value.map_or(Ok(30_000), str::parse).ok()?)),
        ("flip", None) => Fault::Flip,
        ("segfault", None) => Fault::Segfault,
        _ => return None,
    })
}

/// All rules of a text; `;` or a line end between them. What is no rule is left out and told.
pub fn parse(text: &str) -> (Vec<Rule>, Vec<NoRule>) {
    let lines = text.split(['\n', ';']).map(|line| line.split('#').next().unwrap_or_default().trim());
    let (mut rules, mut wrong) = (Vec::new(), Vec::new());
    for line in lines.filter(|line| !line.is_empty()) {
        match line.parse() {
            Ok(rule) => rules.push(rule),
            Err(error) => wrong.push(error),
        }
    }
    (rules, wrong)
}

/// What a forwarder has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Forward,
    Answer(CK_RV),
    Slow(u32),
    Flip,
}

/// A rule at work.
struct Live {
    rule: Rule,
    seen: u64,
    hits: u64,
}

impl Live {
    fn is_for(&self, function: &str) -> bool {
        let any = self.rule.function == "*" && !["C_Initialize", "C_Finalize"].contains(&function);
        any || self.rule.function == function
    }

    // True when this call is hit.
    fn count(&mut self) -> bool {
        self.seen += 1;
        let hit = self.seen > self.rule.after && self.rule.hits_max.is_none_or(|most| self.hits < most);
        self.hits += u64::from(hit);
        hit
    }
}

/// What tells one state of a file from another.
type Stamp = (u64, u64, i64, i64);

#[derive(Default)]
struct State {
    control: Option<PathBuf>,
    stamp: Option<Stamp>,
    live: Vec<Live>,
    begun: bool,
}

static STATE: Mutex<State> = Mutex::new(State { control: None, stamp: None, live: Vec::new(), begun: false });

fn stamp(facts: &Metadata) -> Stamp {
    (facts.ino(), facts.size(), facts.mtime(), facts.mtime_nsec())
}

impl State {
    fn refresh(&mut self) {
        if !self.begun {
            self.begun = true;
            self.control = std::env::var_os("P11_SHIM_CONTROL").map(PathBuf::from);
            self.set(&std::env::var("P11_SHIM_FAULTS").unwrap_or_default());
        }
        let Some(path) = &self.control else { return };
        let now = path.metadata().ok().as_ref().map(stamp);
        if now != self.stamp {
            self.stamp = now;
            let text = std::fs::read_to_string(path).unwrap_or_default();
            self.set(&text);
        }
    }

    #[allow(clippy::print_stderr)] // whoever wrote the rule must see that it is none
    fn set(&mut self, text: &str) {
        let (rules, wrong) = parse(text);
        wrong.iter().for_each(|NoRule(line)| eprintln!("p11-shim: not a rule: {line}"));
        self.live = rules.into_iter().map(|rule| Live { rule, seen: 0, hits: 0 }).collect();
    }

    fn fault_of(&mut self, function: &str) -> Option<Fault> {
        self.refresh();
        let control = self.control.clone();
        for live in self.live.iter_mut().filter(|live| live.is_for(function)) {
            if live.count() && (!live.rule.once || first(control.as_ref())) {
                return Some(live.rule.fault);
            }
        }
        None
    }
}

// The first of all processes makes the mark.
fn first(control: Option<&PathBuf>) -> bool {
    control.is_some_and(|path| {
        OpenOptions::new().write(true).create_new(true).open(path.with_extension("fired")).is_ok()
    })
}

pub(crate) fn act(function: &str) -> Act {
    // The lock is not held while a call hangs: other sessions go on.
    let fault = STATE.lock().unwrap_or_else(PoisonError::into_inner).fault_of(function);
    match fault {
        None => Act::Forward,
        Some(Fault::Answer(answer)) => Act::Answer(answer),
        Some(Fault::Slow(factor)) => Act::Slow(factor),
        Some(Fault::Flip) => Act::Flip,
        Some(Fault::Hang(time)) => {
            std::thread::sleep(time);
            Act::Answer(CKR_DEVICE_ERROR)
        }
        Some(Fault::Segfault) => {
            // A raised signal would be let pass once: the standard library looks for stack overflows first.
            // SAFETY: nothing is mapped so low, so the process ends here, as the rule asks.
            unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(0) };
            Act::Answer(CKR_DEVICE_ERROR)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_and_others_told() {
        let (rules, wrong) = parse(
            "C_Encrypt device-removed after 10 for 3 # comment\n\n* slow; C_Decrypt flip once\nC_Nothing flip\n\
             C_Sign melt\nC_Sign rv=0x30\nC_Sign hang=50 after\n",
        );
        let rule = |function: &str, fault| Rule {
            function: function.to_owned(),
            fault,
            after: 0,
            hits_max: None,
            once: false,
        };
        let first =
            Rule { after: 10, hits_max: Some(3), ..rule("C_Encrypt", Fault::Answer(CKR_DEVICE_REMOVED)) };
        let third = Rule { once: true, ..rule("C_Decrypt", Fault::Flip) };
        let fourth = rule("C_Sign", Fault::Answer(CKR_DEVICE_ERROR));
        assert_eq!(rules, [first, rule("*", Fault::Slow(100)), third, fourth]);
        assert_eq!(wrong.len(), 3);
    }

    #[test]
    fn after_and_for_choose_the_calls() {
        let rule = "C_Sign flip after 2 for 3".parse().unwrap();
        let mut live = Live { rule, seen: 0, hits: 0 };
        let hits: Vec<_> = (0..8).map(|_| live.count()).collect();
        assert_eq!(hits, [false, false, true, true, true, false, false, false]);
        assert!(live.is_for("C_Sign") && !live.is_for("C_Encrypt"));
        let all = Live { rule: "* flip".parse().unwrap(), seen: 0, hits: 0 };
        assert!(all.is_for("C_Login") && !all.is_for("C_Initialize"));
    }
}
