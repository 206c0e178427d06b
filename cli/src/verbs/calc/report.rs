//! What a verb shows: named values, and whether the thing checked holds.

use crate::exit::{Exit, Failure};
use crate::verbs::vectors::{Input, Refused, compute};
use serde_json::{Map, Value};
use std::io::{self, Write};
use zeroize::Zeroize;

/// Named values in the order in which they are shown.
#[derive(Default)]
pub struct Report {
    rows: Vec<(String, Value)>,
    failure: Option<String>,
}

impl Report {
    /// One more value.
    pub fn row(&mut self, name: &str, value: impl Into<Value>) {
        self.rows.push((name.to_owned(), value.into()));
    }

    /// The thing checked does not hold: shown, and exit code 1.
    pub fn fails(&mut self, why: impl ToString) {
        self.failure = Some(why.to_string());
    }

    /// A value by its name.
    #[cfg(test)]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.rows.iter().find(|(row, _)| row == name).map(|(_, value)| value)
    }

    /// Lines of name and value, or one JSON object.
    pub fn write(&self, json: bool, out: &mut impl Write) -> Result<(), Failure> {
        if json {
            let object: Map<_, _> = self.rows.iter().cloned().collect();
            return writeln!(out, "{}", Value::Object(object)).map_err(Failure::environment);
        }
        let width = self.rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        self.rows.iter().try_for_each(|row| lines(row, width, out)).map_err(Failure::environment)
    }

    /// Exit of the verb.
    pub fn verdict(&self) -> Exit {
        match &self.failure {
            Some(why) => Err(Failure::check(why)),
            None => Ok(()),
        }
    }
}

fn lines((name, value): &(String, Value), width: usize, out: &mut impl Write) -> io::Result<()> {
    match value {
        Value::String(text) => writeln!(out, "{name:width$}  {text}"),
        Value::Array(list) => list.iter().try_for_each(|entry| match entry {
            Value::String(text) => writeln!(out, "{name:width$}  {text}"),
            other => writeln!(out, "{name:width$}  {other}"),
        }),
        other => writeln!(out, "{name:width$}  {other}"),
    }
}

/// The inputs of a function; every text in them is wiped afterwards, for some are secret.
#[derive(Default)]
pub struct Case(Map<String, Value>);

impl Case {
    /// One more input.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// One more input when there is one.
    pub fn maybe(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Computes over the inputs; a refusal is a failed check, a case that is none is wrong usage.
    pub fn apply<T>(mut self, run: impl FnOnce(&Input<'_>) -> Result<T, Refused>) -> Result<T, Failure> {
        let given = Value::Object(core::mem::take(&mut self.0));
        let out = run(&Input::new(&given));
        if let Value::Object(given) = given {
            self.0 = given;
        }
        out.map_err(failure)
    }

    /// Computes a function of the vectors.
    pub fn compute(self, function: &str) -> Result<Map<String, Value>, Failure> {
        self.apply(|given| compute(function, given.value()))
    }

    /// The one output of that name, as text.
    pub fn text(self, function: &str, name: &str) -> Result<String, Failure> {
        text_of(self.compute(function)?, name)
    }
}

/// An output as text.
pub fn text_of(mut out: Map<String, Value>, name: &str) -> Result<String, Failure> {
    match out.get_mut(name).map(Value::take) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(Failure::environment(format!("there is no output {name}"))),
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        self.0.values_mut().for_each(wipe);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(list) => list.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        _ => {}
    }
}

/// Exit code of a refusal.
pub fn failure(refused: Refused) -> Failure {
    if refused.class == Refused::INPUT {
        Failure::usage(refused.message)
    } else {
        Failure::check(format!("{}: {}", refused.class, refused.message))
    }
}
