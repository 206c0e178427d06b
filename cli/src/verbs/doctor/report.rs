//! What was found, for people and for programs.

use serde_json::{Map, Value, json};

/// How a check ended, in the order of its weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// As it should be.
    Good,
    /// Works, but worth a thought.
    Worth,
    /// Does not hold.
    Wrong,
    /// Is not there to be looked at.
    Missing,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Worth => "warning",
            Self::Wrong => "wrong",
            Self::Missing => "missing",
        }
    }
}

struct Check {
    name: &'static str,
    state: State,
    found: String,
    help: String,
}

/// All checks.
#[derive(Default)]
pub struct Report {
    checks: Vec<Check>,
    more: Map<String, Value>,
}

impl Report {
    /// Something is as it should be.
    pub fn good(&mut self, name: &'static str, found: impl Into<String>) {
        self.add(name, State::Good, found, "");
    }

    /// A finding, and what it means or what to do.
    pub fn add(
        &mut self,
        name: &'static str,
        state: State,
        found: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.checks.push(Check { name, state, found: found.into(), help: help.into() });
    }

    /// Something to be read by programs only.
    pub fn attach(&mut self, name: &str, value: Value) {
        self.more.insert(name.to_owned(), value);
    }

    /// The heaviest of all states.
    pub fn worst(&self) -> State {
        self.checks.iter().map(|check| check.state).max().unwrap_or(State::Good)
    }

    /// To standard output.
    pub fn print(&self, json: bool) {
        if json {
            println!("{}", self.json());
            return;
        }
        for Check { name, state, found, help } in &self.checks {
            println!("{:<8} {name}: {found}", state.name());
            if !help.is_empty() {
                println!("{:<8} {help}", "");
            }
        }
    }

    fn json(&self) -> Value {
        let checks = self.checks.iter();
        let checks: Vec<_> = checks
            .map(|c| json!({ "check": c.name, "state": c.state.name(), "found": c.found, "help": c.help }))
            .collect();
        let mut all = self.more.clone();
        all.insert("ok".to_owned(), (self.worst() < State::Wrong).into());
        all.insert("checks".to_owned(), checks.into());
        Value::Object(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_state_decides() {
        let mut report = Report::default();
        assert_eq!(report.worst(), State::Good);
        report.good("clock", "2026");
        report.add("swap", State::Worth, "on", "lock memory");
        assert_eq!((report.worst(), &report.json()["ok"]), (State::Worth, &json!(true)));
        report.add("login", State::Wrong, "refused", "");
        report.attach("lmks", json!([]));
        let document = report.json();
        assert_eq!((&document["ok"], &document["lmks"]), (&json!(false), &json!([])));
        assert_eq!(
            document["checks"][1],
            json!({"check": "swap", "state": "warning", "found": "on", "help": "lock memory"})
        );
    }
}
