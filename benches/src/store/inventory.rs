//! A million keys: how long the questions of an officer take, and a start.

use super::{Args, Figure, Place, key};
use keylink::Instant3;
use keymgr::log::Entry;
use keymgr::store::{Change, Row, Store, Stored, Table, Value, cursor};
use keymgr::writer::{Decided, Machine, Options, Writer};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::time::{Duration, Instant};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const NOW_MS: u64 = 1_800_000_000_000;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Generation {
    id: u64,
    set: u64,
    state: String,
    kcv: String,
    block: String,
    protect_until_ms: u64,
}

impl Generation {
    // Periods end spread over six years.
    fn new(id: u64) -> Self {
        Self {
            id,
            set: id / 2,
            state: "active".into(),
            kcv: format!("{:06X}", id % 0xff_ffff),
            block: "D0112P0AE00N0000".repeat(9),
            protect_until_ms: NOW_MS + id.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (2190 * DAY_MS),
        }
    }
}

impl Stored for Generation {
    const TABLE: Table = Table::Generations;

    fn key(&self) -> Vec<u8> {
        // As a UUID of version 7: time first, then what spreads.
        [self.id.to_be_bytes(), self.id.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()].concat()
    }

    fn columns(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("key_set", Value::Bytes([self.set.to_be_bytes(); 2].concat())),
            ("number", self.id.into()),
            ("state", self.state.as_str().into()),
            ("kcv", self.kcv.as_str().into()),
            ("expires_ms", self.protect_until_ms.into()),
        ]
    }
}

struct Keys(HashMap<u64, Generation>);

impl Machine for Keys {
    type Input = u64;
    type Outcome = ();
    type Refusal = ();

    fn load(rows: &mut dyn Iterator<Item = Row>) -> Result<Self, String> {
        let keys = rows.filter(|row| row.table == Table::Generations).map(|row| {
            let key: Generation = row.object().map_err(|error| error.to_string())?;
            Ok((key.id, key))
        });
        Ok(Self(keys.collect::<Result<_, String>>()?))
    }

    fn handle(&mut self, _: Instant3, id: u64) -> Result<Decided<()>, ()> {
        let key = self.0.get_mut(&id).ok_or(())?;
        key.state = "suspended".into();
        Ok(Decided { changes: vec![Change::put(key)], entry: entry("key.suspend"), outcome: () })
    }
}

fn entry(action: &str) -> Entry {
    Entry { actor: "bench".into(), action: action.into(), decision: "allowed".into(), ..Entry::default() }
}

/// Loads the keys, asks, and starts anew.
pub fn run(args: &Args, place: &Place) -> Result<Vec<Figure>, String> {
    let text = |error: keymgr::store::Error| error.to_string();
    let begin = Instant::now();
    let mut ledger = place.lead().map_err(text)?;
    let mut next = 0;
    while next < args.keys {
        let end = args.keys.min(next + 1024);
        let batch = (next..end).map(|id| (entry("key.make"), vec![Change::put(&Generation::new(id))]));
        ledger.commit(batch.collect(), NOW_MS, true).map_err(text)?;
        next = end;
    }
    ledger.checkpoint().map_err(text)?;
    drop(ledger);
    eprintln!("{} keys loaded in {:.1} s", args.keys, begin.elapsed().as_secs_f64());

    let mut store = Store::read(&place.location).map_err(text)?;
    let expiry = median(|| expiring(&mut store, args.keys))?;
    let mut seed = 1u64;
    let page = median(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let after = Generation::new((seed >> 20) % args.keys.saturating_sub(101).max(1)).key();
        let page = store.page(Table::Generations, Some(&after), 100).map_err(text)?;
        if page.len() == 100.min(args.keys as usize) { Ok(()) } else { Err("a page is short".to_owned()) }
    })?;
    drop(store);
    Ok(vec![
        Figure::at_most("keys expiring in 30 days, all rows", expiry, 100.0),
        Figure::at_most("list page of 100 keys", page, 50.0),
        Figure::at_most("start to serving", start(place)?, 5000.0),
    ])
}

// All keys that expire in thirty days, page by page, and their count.
fn expiring(store: &mut Store, keys: u64) -> Result<(), String> {
    let text = |error: keymgr::store::Error| error.to_string();
    let until = NOW_MS + 30 * DAY_MS;
    let count = store.count_until(Table::Generations, "expires_ms", until).map_err(text)?;
    let (mut seen, mut after) = (0, None);
    loop {
        let page =
            store.page_until(Table::Generations, "expires_ms", until, after.as_ref(), 5000).map_err(text)?;
        let Some(last) = page.last() else { break };
        after = Some(cursor(last, "expires_ms"));
        seen += page.len() as u64;
    }
    let expected = keys / 73;
    let close = count > expected / 2 && count < expected * 2 + 10;
    if seen == count && close {
        Ok(())
    } else {
        Err(format!("{seen} of {count} keys expire, about {expected} should"))
    }
}

fn start(place: &Place) -> Result<Duration, String> {
    let location = place.location.clone();
    let begin = Instant::now();
    let clock = || Instant3 { utc_ms: NOW_MS, ..Instant3::default() };
    let options = Options::new(move || Store::lead(&location), key, clock, "bench");
    let writer = Writer::<Keys>::start(options).map_err(|error| error.to_string())?;
    writer.submit_blocking(None, 0).map_err(|_| "the first request is refused".to_owned())?;
    Ok(begin.elapsed())
}

fn median(mut once: impl FnMut() -> Result<(), String>) -> Result<Duration, String> {
    let mut times = Vec::new();
    for _ in 0..11 {
        let begin = Instant::now();
        once()?;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}
