//! A small machine: named counters that are opened, raised and closed.

use keylink::Instant3;
use keymgr::log::Entry;
use keymgr::store::{Change, Packed, Stored, Table, Value};
use keymgr::writer::{Decided, Machine};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    pub name: String,
    pub value: u64,
    pub changed_ms: u64,
}

impl Stored for Counter {
    const TABLE: Table = Table::KeySets;

    fn key(&self) -> Vec<u8> {
        self.name.clone().into_bytes()
    }

    fn columns(&self) -> Vec<(&'static str, Value)> {
        vec![("alias", self.name.as_str().into()), ("kind", "counter".into()), ("state", "open".into())]
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Input {
    Open { name: String },
    Raise { name: String, by: u64 },
    Close { name: String },
    Look,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    Known,
    Unknown,
}

#[derive(Debug, Default)]
pub struct Counters(pub BTreeMap<String, Counter>);

impl Machine for Counters {
    type Input = Input;
    type Outcome = u64;
    type Refusal = Refusal;

    fn load(rows: &mut dyn Iterator<Item = Packed>) -> Result<Self, String> {
        let mut counters = BTreeMap::new();
        for rows in rows {
            for row in rows.rows().filter(|row| row.table == Counter::TABLE) {
                let counter = Counter::from_body(row.body).map_err(|error| error.to_string())?;
                counters.insert(counter.name.clone(), counter);
            }
        }
        Ok(Self(counters))
    }

    fn handle(&mut self, now: Instant3, input: Input) -> Result<Decided<u64>, Refusal> {
        let entry = |action: &str, name: &str| Entry {
            actor: "tester".into(),
            action: action.into(),
            objects: vec![name.into()],
            decision: "allowed".into(),
            ..Entry::default()
        };
        match input {
            Input::Open { name } => {
                if self.0.contains_key(&name) {
                    return Err(Refusal::Known);
                }
                let counter = Counter { name: name.clone(), value: 0, changed_ms: now.utc_ms };
                let decided = Decided {
                    changes: vec![Change::put(&counter)],
                    entry: entry("open", &name),
                    silent: false,
                    outcome: 0,
                };
                self.0.insert(name, counter);
                Ok(decided)
            }
            Input::Raise { name, by } => {
                let counter = self.0.get_mut(&name).ok_or(Refusal::Unknown)?;
                counter.value += by;
                counter.changed_ms = now.utc_ms;
                let changes = vec![Change::put(counter)];
                Ok(Decided { changes, entry: entry("raise", &name), silent: false, outcome: counter.value })
            }
            Input::Look => Ok(Decided {
                changes: Vec::new(),
                entry: entry("look", ""),
                silent: true,
                outcome: self.0.len() as u64,
            }),
            Input::Close { name } => {
                let counter = self.0.remove(&name).ok_or(Refusal::Unknown)?;
                let changes = vec![Change::delete(&counter)];
                Ok(Decided { changes, entry: entry("close", &name), silent: false, outcome: counter.value })
            }
        }
    }
}
