//! How many receipts a second the one writer makes durable, many nodes at a time, with a machine that does nothing but
//! keep them: the limit for what the centre's own machine does (`counted`).

use super::{Args, Figure, Place, key};
use keylink::Instant3;
use keymgr::log::Entry;
use keymgr::store::{Change, Packed, Store, Table};
use keymgr::writer::{Decided, Machine, Options, Writer};
use std::collections::HashMap;
use std::time::{Duration, Instant};

// Nodes that report at the same time.
const NODES: u64 = 512;

/// The last receipt of each node.
struct Receipts(HashMap<u64, u64>);

impl Machine for Receipts {
    type Input = (u64, u64);
    type Outcome = u64;
    type Refusal = ();

    // Receipts are not at hand, and the store of a run is new.
    fn load(_: &mut dyn Iterator<Item = Packed>) -> Result<Self, String> {
        Ok(Self(HashMap::new()))
    }

    fn handle(&mut self, now: Instant3, (node, seq): (u64, u64)) -> Result<Decided<u64>, ()> {
        let last = self.0.entry(node).or_default();
        if seq != *last + 1 {
            return Err(());
        }
        *last = seq;
        let columns = [
            ("node", node.to_be_bytes().as_slice().into()),
            ("seq", seq.into()),
            ("campaign", [7; 16].as_slice().into()),
            ("kind", "proven".into()),
        ];
        let row_key = [node.to_be_bytes(), seq.to_be_bytes()].concat();
        let receipt = Change::raw(Table::Receipts, row_key, &columns, vec![b'r'; 900]);
        let delivery = Change::raw(
            Table::Deliveries,
            node.to_be_bytes().to_vec(),
            &[("campaign", [7; 16].as_slice().into()), ("state", "proven".into())],
            format!("{{\"node\":{node},\"seq\":{seq},\"utc_ms\":{}}}", now.utc_ms).into_bytes(),
        );
        let entry = Entry { actor: format!("node:{node}"), action: "receipt".into(), ..Entry::default() };
        Ok(Decided { changes: vec![receipt, delivery], entry, silent: false, outcome: seq })
    }
}

/// Writes for some seconds, then counts what a reader finds.
pub fn run(args: &Args, place: &Place) -> Result<Vec<Figure>, String> {
    let location = place.location.clone();
    let clock = || Instant3 { utc_ms: 1_800_000_000_000, ..Instant3::default() };
    let options = Options::new(move || Store::lead(&location), key, clock, "bench");
    let writer = Writer::<Receipts>::start(options).map_err(|error| error.to_string())?;
    let begin = Instant::now();
    let until = begin + Duration::from_secs(args.seconds);
    let (mut seq, mut done, mut slowest) = (0, 0u64, Duration::ZERO);
    while Instant::now() < until {
        seq += 1;
        let round = Instant::now();
        let sent: Vec<_> = (0..NODES).filter_map(|node| writer.send(None, (node, seq))).collect();
        for answer in sent {
            match answer.blocking_recv() {
                Ok(Ok(answer)) if answer == seq => done += 1,
                _ => return Err("a receipt is not acknowledged".to_owned()),
            }
        }
        slowest = slowest.max(round.elapsed());
    }
    let rate = done as f64 / begin.elapsed().as_secs_f64();
    let commits = writer.standing().commits;
    drop(writer);
    let mut store = Store::read(&place.location).map_err(|error| error.to_string())?;
    let held = store.count(Table::Receipts).map_err(|error| error.to_string())?;
    if held != done {
        return Err(format!("{held} receipts are there, {done} were acknowledged"));
    }
    eprintln!(
        "{done} receipts in {commits} commits; the slowest round of {NODES} took {} ms",
        slowest.as_millis()
    );
    Ok(vec![Figure::at_least("durable receipts, the writer alone", rate, "/s", 5000.0)])
}
