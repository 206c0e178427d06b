//! Traffic between two gateways that are nodes: one protects a PIN block under the zone key by the base index, the
//! block is on its way for a while, the other one processes it by the index of the generation that the first has named.

use crate::nodes::{self, Asking};
use gateway::node::{Cores, Identity, Publish};
use gateway::{Config, Gateway, ListenerConfig, Running};
use hsm::LmkId;
use hsm_sim::{LmkSet, Options, Simulator};
use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A ZPK under the public test LMK, and a PIN block under it, of the published examples of `CC`.
pub const KEY: &str = "U908933434BF4AC9473952D615C535905";
const BLOCK: &str = "D04B70B919CB8821";
pub const ACCOUNT: &str = "471610006884";
/// Longest way of a block.
const WAY: Duration = Duration::from_millis(800);

pub struct Unit {
    pub running: Running,
    identity: Identity,
    side: tokio::task::JoinHandle<()>,
}

async fn side(running: &Running, identity: &Identity, asking: &Asking) -> tokio::task::JoinHandle<()> {
    let publish: Box<dyn Publish> = Box::new(Cores::new(running.switches(), LmkId(0)));
    nodes::start_with(identity, &asking.store, publish).await
}

impl Unit {
    /// A gateway that takes its keys from the centre.
    pub async fn start(asking: &Asking) -> Self {
        let mut listener = ListenerConfig::new("127.0.0.1:0/00".parse().unwrap());
        listener.generation_trailer = true;
        let config = Config { listeners: vec![listener], cores: 1, ..Config::default() };
        let backend: Arc<gateway::BackendFactory> =
            Arc::new(|| Box::new(Simulator::new(&LmkSet::public_test(), Options::default()).unwrap()));
        let running = Gateway::start(config, backend).unwrap();
        let identity = asking.once().await.unwrap();
        let side = side(&running, &identity, asking).await;
        Self { running, identity, side }
    }

    /// Its node side ends; hosts are served on.
    pub fn away(&self) {
        self.side.abort();
    }

    /// Its node side begins again, from what it has stored.
    pub async fn back(&mut self, asking: &Asking) {
        self.side = side(&self.running, &self.identity, asking).await;
    }

    pub fn end(mut self) {
        self.side.abort();
        self.running.shutdown();
        self.running.wait();
    }
}

pub fn ask(stream: &mut TcpStream, request: &str) -> String {
    let frame = format!("HEAD{request}");
    let mut bytes = u16::try_from(frame.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(frame.as_bytes());
    stream.write_all(&bytes).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply).unwrap();
    String::from_utf8(reply).unwrap()[6..].to_owned()
}

/// What hosts have seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Right transactions by the generation that protected.
    pub right: BTreeMap<u32, u64>,
    /// The others.
    pub wrong: Vec<String>,
    /// The generation that protected last.
    pub last: u32,
}

/// Hosts at work.
pub struct Traffic {
    pub seen: Arc<Mutex<Seen>>,
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Traffic {
    /// Between two units, both ways, a transaction every few milliseconds.
    pub fn start(units: &[Unit; 2]) -> Self {
        let (seen, ended) = (Arc::default(), Arc::<AtomicBool>::default());
        let (counts, end) = (Arc::clone(&seen), Arc::clone(&ended));
        let streams =
            units.each_ref().map(|unit| TcpStream::connect(unit.running.address(LmkId(0)).unwrap()).unwrap());
        let thread = std::thread::spawn(move || work(streams, &counts, &end));
        Self { seen, ended, thread }
    }

    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until a generation protects at both.
    pub async fn protects(&self, generation: u32) {
        let began = Instant::now();
        while self.seen().last != generation {
            assert!(began.elapsed() < Duration::from_secs(30), "{:?}", self.seen());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Nothing begins any more; what was on its way has ended.
    pub fn end(self) -> Seen {
        self.ended.store(true, Relaxed);
        self.thread.join().unwrap();
        Arc::try_unwrap(self.seen).unwrap().into_inner().unwrap()
    }
}

fn work(mut streams: [TcpStream; 2], seen: &Mutex<Seen>, ended: &AtomicBool) {
    let mut on_the_way = VecDeque::new();
    for number in 0.. {
        let from = number % 2;
        if !ended.load(Relaxed) {
            let reply = ask(&mut streams[from], &format!("CC{KEY}K00012{BLOCK}0101{ACCOUNT}"));
            match reply.strip_prefix("00").and_then(|_| reply.trim_end().rsplit_once(':')) {
                Some((_, generation)) => {
                    let generation: u32 = generation.parse().unwrap();
                    seen.lock().unwrap().last = generation;
                    on_the_way.push_back((
                        Instant::now() + WAY,
                        1 - from,
                        generation,
                        reply[4..20].to_owned(),
                    ));
                }
                None => seen.lock().unwrap().wrong.push(format!("not protected: {reply}")),
            }
        } else if on_the_way.is_empty() {
            return;
        }
        while on_the_way.front().is_some_and(|(due, ..)| *due <= Instant::now()) {
            let Some((_, to, generation, block)) = on_the_way.pop_front() else { break };
            let index = if generation % 2 == 1 { 1 } else { 2 };
            let reply = ask(&mut streams[to], &format!("CCK00{index}{KEY}12{block}0101{ACCOUNT}"));
            let mut seen = seen.lock().unwrap();
            if reply.get(..2) == Some("00") && reply.get(4..20) == Some(BLOCK) {
                *seen.right.entry(generation).or_default() += 1;
            } else {
                seen.wrong.push(format!("generation {generation}: {reply}"));
            }
        }
        std::thread::sleep(Duration::from_millis(4));
    }
}
