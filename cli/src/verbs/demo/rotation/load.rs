//! The load: one thread, with a host-command engine for every node of this process and a connection to every other.
//! Open loop: transaction `n` begins at its time, late or not, whatever is still unanswered. Node A takes a PIN from a
//! terminal and protects it under the zone key (`CA` to the base index); the block is on its way for up to twice the
//! skew; node B translates it (`CC` from the index of the generation that node A named) under a key that the oracle
//! outside of the engines has; the oracle opens it and compares. Nothing is asked twice: what is refused, or not
//! answered, is lost, and counted.

use super::fleet;
use super::line::Line;
use super::report::{Carried, Stage, Tally};
use crate::oracle::{self, Key};
use hostcmd::{Engine, KeyTable, Port, Settings, Unit};
use hsm::LmkId;
use hsm_sim::{LmkSet, Options, Simulator};
use std::collections::{BTreeMap, HashMap};
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
    /// Hosts reach this node by a connection from now on.
    Connected { node: usize, line: Line },
    /// A reply on a connection.
    Reply { node: usize, ticket: u16, reply: String },
    /// A connection has ended.
    Hung { node: usize, why: Option<String> },
    /// A node takes traffic, or not.
    Traffic { node: usize, on: bool },
    /// Tells when a node that takes no traffic any more has nothing on its way or unanswered either.
    Drained { node: usize, done: oneshot::Sender<()> },
    /// The campaigns are here now.
    Stage(Stage),
    /// The load begins.
    Begin,
    /// No transaction begins any more; those on their way are finished.
    End,
}

/// The longest wait for replies when the load has ended.
const LAST_REPLIES: Duration = Duration::from_secs(5);

/// Right transactions, to look at while it runs.
pub struct Counters {
    /// Of each stage.
    pub stages: [AtomicU64; Stage::COUNT],
    /// In which each node had a part.
    pub nodes: Box<[AtomicU64]>,
}

impl Counters {
    /// For so many nodes.
    pub fn new(nodes: usize) -> Self {
        Self { stages: Default::default(), nodes: (0..nodes).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Of a stage.
    pub fn stage(&self, stage: Stage) -> u64 {
        self.stages.get(stage as usize).map_or(0, |counter| counter.load(Relaxed))
    }

    /// Of a node.
    pub fn node(&self, node: usize) -> u64 {
        self.nodes.get(node).map_or(0, |counter| counter.load(Relaxed))
    }
}

/// What the load is.
pub struct Plan {
    /// Nodes.
    pub nodes: usize,
    /// Nodes behind the first that are processes of their own.
    pub processes: usize,
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

enum Way {
    Engine(Box<Engine>),
    Line(Line),
    Gone,
}

struct Seat {
    way: Way,
    // Generation that protects, by zone: as in its table, or as it has said last.
    current: Vec<Option<u32>>,
    unanswered: HashMap<u16, Asked>,
    in_traffic_since: Option<Duration>,
    in_traffic: Duration,
}

// What a reply is the reply to.
enum Asked {
    Protect(Protect),
    Translate(Block, Option<u32>),
}

struct Protect {
    number: u64,
    due: Duration,
    zone: usize,
    from: usize,
    to: usize,
    sample: usize,
    stage: Stage,
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
    waiting: Vec<(usize, oneshot::Sender<()>)>,
    counters: Arc<Counters>,
    now: Duration,
    ticket: u16,
    tally: Tally,
}

/// Runs the load until it is told to end, or whoever gives orders is gone.
pub fn run(plan: Plan, orders: &Receiver<Order>, counters: Arc<Counters>) -> Tally {
    let mut load = Load::new(plan, counters);
    let step = Duration::from_secs(1) / load.plan.rate.max(1);
    let (mut began, mut ended, mut next, mut number) =
        (None::<Instant>, None::<Duration>, Duration::ZERO, 0_u64);
    loop {
        load.now = began.map(|at| at.elapsed()).unwrap_or_default();
        let due = load.on_the_way.keys().next().map(|(at, _)| *at);
        let idle = load.now + Duration::from_millis(20);
        let wake = match (began, ended) {
            (Some(_), None) => due.unwrap_or(next).min(next),
            (Some(_), Some(at)) => {
                if due.is_none() && (load.unanswered() == 0 || load.now > at + LAST_REPLIES) {
                    break;
                }
                due.unwrap_or(idle)
            }
            (None, _) => idle,
        };
        match orders.recv_timeout(wake.saturating_sub(load.now)) {
            Ok(Order::Begin) => began = Some(Instant::now()),
            Ok(Order::End) => {
                if let Some(at) = began {
                    load.now = at.elapsed();
                }
                // Late, but owed.
                while began.is_some() && next <= load.now {
                    load.begin_late(next, number);
                    number += 1;
                    next += step;
                }
                ended = Some(load.now);
                load.tally.seconds = load.now.as_secs_f64();
            }
            Ok(order) => load.follow(order),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let Some(at) = began else { continue };
        load.now = at.elapsed();
        // A few at a time, so that a table never waits for long.
        for _ in 0..16 {
            if ended.is_none() && next <= load.now {
                load.begin_late(next, number);
                number += 1;
                next += step;
            }
            match load.on_the_way.first_key_value() {
                Some(((due, _), _)) if *due <= load.now => {
                    if let Some((_, block)) = load.on_the_way.pop_first() {
                        load.translate(block);
                    }
                }
                _ if next > load.now || ended.is_some() => break,
                _ => {}
            }
        }
        load.tell_drained();
    }
    load.end()
}

fn backend() -> Box<dyn hsm::Backend> {
    let simulator = Simulator::new(&LmkSet::public_test(), Options::default());
    Box::new(simulator.unwrap_or_else(|error| unreachable!("the public test LMKs load: {error}")))
}

impl Load {
    fn new(plan: Plan, counters: Arc<Counters>) -> Self {
        let mut random = plan.seed | 1;
        let mut key = || -> Key { oracle::odd(core::array::from_fn(|_| (draw(&mut random) >> 24) as u8)) };
        let (terminal, issuer) = (key(), key());
        let sample = |n: u64| {
            let (pin, account) =
                (format!("{:04}", (n * 7919) % 10_000), format!("{:012}", 400_000_000 + n * 37));
            let clear = oracle::iso0(&pin, &account);
            Sample { account, clear, from_terminal: oracle::hex(&oracle::encrypt(&terminal, clear)) }
        };
        let seat = |number| Seat {
            way: if fleet::is_process(number, plan.processes) {
                Way::Gone
            } else {
                Way::Engine(Box::new(Engine::new(backend(), Unit::default())))
            },
            current: vec![None; plan.zones],
            unanswered: HashMap::new(),
            in_traffic_since: None,
            in_traffic: Duration::ZERO,
        };
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
            waiting: Vec::new(),
            counters,
            now: Duration::ZERO,
            ticket: 0,
            tally: Tally::default(),
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
                if let Way::Engine(engine) = &mut seat.way {
                    engine.set_key_table(table, 0);
                }
                // A node that has ended does not listen.
                let _ = done.send(());
            }
            Order::Connected { node, line } => {
                if let Some(seat) = self.seats.get_mut(node) {
                    seat.way = Way::Line(line);
                }
            }
            Order::Reply { node, ticket, reply } => {
                let asked = self.seats.get_mut(node).and_then(|seat| seat.unanswered.remove(&ticket));
                match asked {
                    Some(asked) => self.answered(asked, &reply),
                    None => {
                        self.tally.refuse(self.stage, format!("node-{node:03} answers what nobody asked"))
                    }
                }
            }
            Order::Hung { node, why } => {
                let Some(seat) = self.seats.get_mut(node) else { return };
                let lost: Vec<Asked> = seat.unanswered.drain().map(|(_, asked)| asked).collect();
                seat.way = Way::Gone;
                let why = why.unwrap_or_else(|| "closed".to_owned());
                for asked in lost {
                    self.tally.refuse(asked.stage(), format!("node-{node:03} has not answered: {why}"));
                }
            }
            Order::Traffic { node, on } => self.traffic(node, on),
            Order::Drained { node, done } => self.waiting.push((node, done)),
            Order::Stage(stage) => self.stage = stage,
            Order::Begin | Order::End => {}
        }
    }

    fn traffic(&mut self, node: usize, on: bool) {
        self.in_traffic.retain(|other| *other != node);
        let Some(seat) = self.seats.get_mut(node) else { return };
        if let Some(since) = seat.in_traffic_since.take() {
            seat.in_traffic += self.now.saturating_sub(since);
        }
        if on {
            self.in_traffic.push(node);
            seat.in_traffic_since = Some(self.now);
        }
    }

    fn unanswered(&self) -> usize {
        self.seats.iter().map(|seat| seat.unanswered.len()).sum()
    }

    // Nobody begins with this node any more, nothing is on its way to it, and it owes no reply.
    fn is_drained(&self, node: usize) -> bool {
        let part = |asked: &Asked| matches!(asked, Asked::Protect(protect) if protect.to == node);
        !self.in_traffic.contains(&node)
            && self.on_the_way.values().all(|block| block.to != node)
            && self.seats.get(node).is_none_or(|seat| seat.unanswered.is_empty())
            && !self.seats.iter().any(|seat| seat.unanswered.values().any(part))
    }

    fn tell_drained(&mut self) {
        for (node, done) in core::mem::take(&mut self.waiting) {
            if self.is_drained(node) {
                let _ = done.send(());
            } else {
                self.waiting.push((node, done));
            }
        }
    }

    fn pick(&mut self, below: usize) -> usize {
        usize::try_from(draw(&mut self.random) >> 16).unwrap_or_default() % below.max(1)
    }

    fn begin_late(&mut self, due: Duration, number: u64) {
        self.tally.late_ms = self.tally.late_ms.max((self.now - due).as_secs_f64() * 1000.0);
        self.begin(due, number);
    }

    fn begin(&mut self, due: Duration, number: u64) {
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
        self.tally.begun += 1;
        let due = due + wait;
        let asked = Protect { number, due, zone, from, to, sample, stage: self.stage };
        self.ask(from, &request, Asked::Protect(asked));
    }

    fn translate(&mut self, block: Block) {
        let Some(sample) = self.samples.get(block.sample) else { return };
        let index = 3 * block.zone + if block.generation % 2 == 1 { 1 } else { 2 };
        let request = format!("CCK{index:03X}{}12{}0101{}", self.issuer.1, block.text, sample.account);
        let at_node = self.seats.get(block.to).and_then(|s| s.current.get(block.zone).copied().flatten());
        self.ask(block.to, &request, Asked::Translate(block, at_node));
    }

    // Once, whatever comes of it.
    fn ask(&mut self, node: usize, request: &str, asked: Asked) {
        self.tally.requests += 1;
        let Some(seat) = self.seats.get_mut(node) else { return };
        let failed = match &mut seat.way {
            Way::Engine(engine) => {
                let ticket = engine.submit(&self.port, request.as_bytes());
                engine.run();
                let mut reply = Vec::new();
                engine.finish(ticket, &mut reply);
                return self.answered(asked, &String::from_utf8_lossy(&reply));
            }
            Way::Line(line) => {
                self.ticket = self.ticket.wrapping_add(1);
                match line.send(self.ticket, request) {
                    Ok(()) => {
                        seat.unanswered.insert(self.ticket, asked);
                        return;
                    }
                    Err(error) => error.to_string(),
                }
            }
            Way::Gone => "not connected".to_owned(),
        };
        self.tally.refuse(asked.stage(), format!("node-{node:03} is not asked: {failed}"));
    }

    fn answered(&mut self, asked: Asked, reply: &str) {
        match asked {
            Asked::Protect(asked) => self.protected(&asked, reply),
            Asked::Translate(block, at_node) => self.translated(&block, at_node, reply),
        }
    }

    fn protected(&mut self, asked: &Protect, reply: &str) {
        let &Protect { number, due, zone, from, to, sample, stage } = asked;
        let found = reply.strip_prefix("CB00").and_then(|body| {
            let generation = body.rsplit_once(':')?.1.trim_end().parse::<u32>().ok()?;
            Some((body.get(2..18)?.to_owned(), generation))
        });
        let Some((text, generation)) = found else {
            let code = reply.get(2..4).unwrap_or("??");
            self.tally.refuse(stage, format!("node-{from:03} does not protect ({code})"));
            return;
        };
        self.tally.protected(zone, generation, from, stage);
        if let Some(seat) = self.seats.get_mut(from).filter(|seat| matches!(seat.way, Way::Line(_)))
            && let Some(current) = seat.current.get_mut(zone)
        {
            *current = Some(generation);
        }
        self.tally.blocks += 1;
        let block = Block { zone, from, to, sample, generation, stage, text };
        self.on_the_way.insert((due, number), block);
    }

    fn translated(&mut self, block: &Block, at_node: Option<u32>, reply: &str) {
        let Some(sample) = self.samples.get(block.sample) else { return };
        let Some(made) = reply.strip_prefix("CD00").and_then(|body| body.get(2..18)) else {
            let code = reply.get(2..4).unwrap_or("??");
            let what = self.tally.why_refused(block.zone, block.generation, self.stage);
            self.tally.refuse(block.stage, format!("node-{:03} {what} ({code})", block.to));
            return;
        };
        let made: Option<[u8; 8]> = oracle::unhex(made).and_then(|bytes| bytes.first_chunk().copied());
        if made.map(|made| oracle::decrypt(&self.issuer.0, made)) != Some(sample.clear) {
            self.tally.wrong += 1;
            return;
        }
        self.tally.right(block.stage, self.stage, block.generation, at_node);
        for node in [block.from, block.to] {
            if let Some(counter) = self.counters.nodes.get(node) {
                counter.fetch_add(1, Relaxed);
            }
        }
        if let Some(counter) = self.counters.stages.get(block.stage as usize) {
            counter.fetch_add(1, Relaxed);
        }
    }

    fn end(mut self) -> Tally {
        for node in 0..self.seats.len() {
            self.traffic(node, false);
        }
        let ended = Duration::try_from_secs_f64(self.tally.seconds).unwrap_or_default();
        let tail = self.now.saturating_sub(ended);
        for (node, seat) in self.seats.iter_mut().enumerate() {
            for (_, asked) in seat.unanswered.drain() {
                self.tally.refuse(asked.stage(), format!("node-{node:03} has not answered"));
            }
            // No transaction begins while the last ones are finished.
            let in_traffic_s = seat.in_traffic.saturating_sub(tail).as_secs_f64();
            self.tally.carried.push(Carried { right: self.counters.node(node), in_traffic_s });
        }
        self.tally
    }
}

impl Asked {
    fn stage(&self) -> Stage {
        match self {
            Self::Protect(asked) => asked.stage,
            Self::Translate(block, _) => block.stage,
        }
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
