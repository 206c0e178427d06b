//! The load: one thread with a host-command engine for every node. Open loop: transaction `n` begins at its time, late
//! or not. Node A takes a PIN from a terminal and protects it under the zone key (`CA` to the base index); the block
//! is on its way for up to twice the skew; node B translates it (`CC` from the index of the generation that node A
//! named) under a key that the oracle outside of the engines has; the oracle opens it and compares. Nothing is tried
//! twice.

use super::report::{Stage, Tally};
use crate::oracle::{self, Key};
use hostcmd::{Engine, KeyTable, Port, Settings, Unit};
use hsm::LmkId;
use hsm_sim::{LmkSet, Options, Simulator};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Clocks of nodes are wrong by this at most, milliseconds.
pub const SKEW_MS: u64 = 400;

/// What the thread is told.
pub enum Order {
    /// A node has a new table; `done` when its engine uses it and has let the one before go.
    Table { node: usize, table: Arc<KeyTable>, done: oneshot::Sender<()> },
    /// A node takes traffic, or not.
    Traffic { node: usize, on: bool },
    /// The campaigns are here now.
    Stage(Stage),
    /// The load begins.
    Begin,
    /// No transaction begins any more; those on their way are finished.
    End,
}

/// Right transactions of each stage, to look at while it runs.
pub type Counters = Arc<[AtomicU64; Stage::COUNT]>;

/// What the load is.
pub struct Plan {
    /// Nodes.
    pub nodes: usize,
    /// Zones; zone `z` has the indices `3z`, `3z + 1`, `3z + 2`.
    pub zones: usize,
    /// Transactions a second.
    pub rate: u32,
    /// Seed of every choice.
    pub seed: u64,
}

struct Sample {
    account: String,
    clear: [u8; 8],
    from_terminal: String,
}

struct Seat {
    engine: Engine,
    current: Vec<Option<u32>>,
}

struct Block {
    zone: usize,
    from: usize,
    to: usize,
    sample: usize,
    generation: u32,
    stage: Stage,
    text: String,
}

const TPK_PAIR: Key = [0xE0, 0xE0, 1, 1, 1, 1, 1, 1, 0xF1, 0xF1, 1, 1, 1, 1, 1, 1];
const ZPK_PAIR: Key =
    [0x61, 0x61, 0x61, 0x61, 0x61, 0x61, 0x61, 0x61, 0x70, 0x70, 0x70, 0x70, 0x70, 0x70, 0x70, 0x70];

struct Load {
    plan: Plan,
    port: Rc<Port>,
    seats: Vec<Seat>,
    in_traffic: Vec<usize>,
    samples: Vec<Sample>,
    terminal: String,
    issuer: (Key, String),
    stage: Stage,
    random: u64,
    on_the_way: BTreeMap<(Duration, u64), Block>,
    counters: Counters,
    tally: Tally,
}

/// Runs the load until it is told to end, or whoever gives orders is gone.
pub fn run(plan: Plan, orders: &Receiver<Order>, counters: Counters) -> Tally {
    let mut load = Load::new(plan, counters);
    let step = Duration::from_secs(1) / load.plan.rate.max(1);
    let (mut began, mut next, mut number, mut ending) = (None::<Instant>, Duration::ZERO, 0_u64, false);
    loop {
        let elapsed = began.map(|at| at.elapsed()).unwrap_or_default();
        let due = load.on_the_way.keys().next().map(|(at, _)| *at);
        let wake = match (began, ending) {
            (Some(_), false) => due.unwrap_or(next).min(next),
            (Some(_), true) => match due {
                Some(due) => due,
                None => break,
            },
            (None, _) => elapsed + Duration::from_millis(20),
        };
        match orders.recv_timeout(wake.saturating_sub(elapsed)) {
            Ok(Order::Begin) => began = Some(Instant::now()),
            Ok(Order::End) => {
                ending = true;
                load.tally.seconds = elapsed.as_secs_f64();
            }
            Ok(order) => load.follow(order),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let Some(at) = began else { continue };
        let now = at.elapsed();
        // A few at a time, so that a table never waits for long.
        for _ in 0..16 {
            if !ending && next <= now {
                load.tally.late_ms = load.tally.late_ms.max((now - next).as_secs_f64() * 1000.0);
                load.protect(next, number);
                number += 1;
                next += step;
            }
            match load.on_the_way.first_key_value() {
                Some(((due, _), _)) if *due <= now => {
                    if let Some((_, block)) = load.on_the_way.pop_first() {
                        load.translate(&block);
                    }
                }
                _ if next > now || ending => break,
                _ => {}
            }
        }
    }
    load.tally
}

fn backend() -> Box<dyn hsm::Backend> {
    let simulator = Simulator::new(&LmkSet::public_test(), Options::default());
    Box::new(simulator.unwrap_or_else(|error| unreachable!("the public test LMKs load: {error}")))
}

impl Load {
    fn new(plan: Plan, counters: Counters) -> Self {
        let mut random = plan.seed | 1;
        let mut key = || -> Key { oracle::odd(core::array::from_fn(|_| (draw(&mut random) >> 24) as u8)) };
        let (terminal, issuer) = (key(), key());
        let sample = |n: u64| {
            let (pin, account) =
                (format!("{:04}", (n * 7919) % 10_000), format!("{:012}", 400_000_000 + n * 37));
            let clear = oracle::iso0(&pin, &account);
            Sample { account, clear, from_terminal: oracle::hex(&oracle::encrypt(&terminal, clear)) }
        };
        let seat =
            |_| Seat { engine: Engine::new(backend(), Unit::default()), current: vec![None; plan.zones] };
        let settings =
            Port { header_length: 0, generation_trailer: true, ..Port::new(LmkId(0), Settings::STRICT) };
        Self {
            port: Rc::new(settings),
            seats: (0..plan.nodes).map(seat).collect(),
            in_traffic: Vec::new(),
            samples: (0..256).map(sample).collect(),
            terminal: oracle::under_test_lmk(TPK_PAIR, 0, &terminal),
            issuer: (issuer, oracle::under_test_lmk(ZPK_PAIR, 0, &issuer)),
            stage: Stage::Before,
            random,
            on_the_way: BTreeMap::new(),
            counters,
            tally: Tally { carried: vec![0; plan.nodes], ..Tally::default() },
            plan,
        }
    }

    fn follow(&mut self, order: Order) {
        match order {
            Order::Table { node, table, done } => {
                let Some(seat) = self.seats.get_mut(node) else { return };
                for set in table.sets() {
                    if let Some(current) = seat.current.get_mut(usize::from(set.base / 3)) {
                        *current = set.current.as_ref().map(|slot| slot.generation);
                    }
                }
                seat.engine.set_key_table(table, 0);
                // A node that has ended does not listen.
                let _ = done.send(());
            }
            Order::Traffic { node, on } => {
                self.in_traffic.retain(|other| *other != node);
                if on {
                    self.in_traffic.push(node);
                }
            }
            Order::Stage(stage) => self.stage = stage,
            Order::Begin | Order::End => {}
        }
    }

    fn pick(&mut self, below: usize) -> usize {
        usize::try_from(draw(&mut self.random) >> 16).unwrap_or_default() % below.max(1)
    }

    fn protect(&mut self, due: Duration, number: u64) {
        let count = self.in_traffic.len();
        if count < 2 {
            return;
        }
        let first = self.pick(count);
        let second = (first + 1 + self.pick(count - 1)) % count;
        let zone = usize::try_from(number).unwrap_or_default() % self.plan.zones;
        let sample = self.pick(self.samples.len());
        let wait = Duration::from_millis(self.pick(2 * SKEW_MS as usize + 1) as u64);
        let (Some(&from), Some(&to)) = (self.in_traffic.get(first), self.in_traffic.get(second)) else {
            return;
        };
        let Some(what) = self.samples.get(sample) else { return };
        let (terminal, block, account) = (&self.terminal, &what.from_terminal, &what.account);
        let request = format!("CA{terminal}K{:03X}12{block}0101{account}", 3 * zone);
        let reply = self.exchange(from, &request);
        self.tally.begun += 1;
        let found = reply.strip_prefix("CB00").and_then(|body| {
            let generation = body.rsplit_once(':')?.1.trim_end().parse::<u32>().ok()?;
            Some((body.get(2..18)?.to_owned(), generation))
        });
        let Some((text, generation)) = found else {
            let code = reply.get(2..4).unwrap_or("??");
            self.tally.refuse(self.stage, format!("node-{from:03} does not protect ({code})"));
            return;
        };
        self.tally.protected(zone, generation, from, self.stage);
        let block = Block { zone, from, to, sample, generation, stage: self.stage, text };
        self.on_the_way.insert((due + wait, number), block);
    }

    fn translate(&mut self, block: &Block) {
        let Some(sample) = self.samples.get(block.sample) else { return };
        let index = 3 * block.zone + if block.generation % 2 == 1 { 1 } else { 2 };
        let request = format!("CCK{index:03X}{}12{}0101{}", self.issuer.1, block.text, sample.account);
        let clear = sample.clear;
        let at_node = self.seats.get(block.to).and_then(|s| s.current.get(block.zone).copied().flatten());
        let reply = self.exchange(block.to, &request);
        let Some(made) = reply.strip_prefix("CD00").and_then(|body| body.get(2..18)) else {
            let code = reply.get(2..4).unwrap_or("??");
            let what = self.tally.why_refused(block.zone, block.generation, self.stage);
            self.tally.refuse(block.stage, format!("node-{:03} {what} ({code})", block.to));
            return;
        };
        let made: Option<[u8; 8]> = oracle::unhex(made).and_then(|bytes| bytes.first_chunk().copied());
        if made.map(|made| oracle::decrypt(&self.issuer.0, made)) != Some(clear) {
            self.tally.wrong += 1;
            return;
        }
        self.tally.right(block.stage, self.stage, block.generation, at_node);
        for node in [block.from, block.to] {
            if let Some(carried) = self.tally.carried.get_mut(node) {
                *carried += 1;
            }
        }
        if let Some(counter) = self.counters.get(block.stage as usize) {
            counter.fetch_add(1, Relaxed);
        }
    }

    fn exchange(&mut self, node: usize, request: &str) -> String {
        let Some(seat) = self.seats.get_mut(node) else { return String::new() };
        let ticket = seat.engine.submit(&self.port, request.as_bytes());
        seat.engine.run();
        let mut reply = Vec::new();
        seat.engine.finish(ticket, &mut reply);
        String::from_utf8_lossy(&reply).into_owned()
    }
}

// Choices of a load, not secrets (SplitMix64).
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
