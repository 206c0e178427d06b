//! Traffic whose every reply is judged, while something happens to the server: the right answer, a refusal by a
//! given code, or a fault of the server. Nothing in between.

use crate::wire::{Wire, append};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A request behind its header, and the reply that is right.
pub type Pair = (Vec<u8>, Vec<u8>);

/// What came back.
#[derive(Debug, Default)]
pub struct Counts {
    /// Right replies.
    pub right: AtomicU64,
    /// Replies that are nothing but the code of an unreachable backend.
    pub refused: AtomicU64,
    /// When the last right reply came, and the longest time between two of them on one connection, in ms.
    pub gap_ms: AtomicU64,
    /// Everything else, in words.
    pub faults: Mutex<Vec<String>>,
}

/// Traffic on several connections until it is told to stop.
pub struct Traffic {
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// Begins: on every connection `depth` requests in flight, the pairs in turn and between them echoes that are
    /// never the same twice.
    pub fn start(address: SocketAddr, connections: usize, depth: u32, pairs: &[Pair]) -> Self {
        let (counts, stop) = (Arc::new(Counts::default()), Arc::new(AtomicBool::new(false)));
        let threads = (0..connections)
            .map(|lane| {
                let (counts, stop, pairs) = (Arc::clone(&counts), Arc::clone(&stop), pairs.to_vec());
                let lane = u32::try_from(lane).expect("few");
                std::thread::spawn(move || {
                    let mut run = Run { lane, number: 0, last: Instant::now() };
                    if let Err(error) = run.rounds(address, depth, &pairs, &counts, &stop) {
                        counts.faults.lock().expect("sound").push(format!("lane {lane}: {error}"));
                    }
                })
            })
            .collect();
        Self { counts, stop, threads }
    }

    /// What came back so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Waits until a right reply comes; how long that took.
    pub fn wait_for_right(&self, limit: Duration) -> Option<Duration> {
        let (begun, before) = (Instant::now(), self.counts.right.load(Relaxed));
        while begun.elapsed() < limit {
            if self.counts.right.load(Relaxed) > before {
                return Some(begun.elapsed());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        None
    }

    /// Ends it.
    pub fn stop(mut self) -> Arc<Counts> {
        self.stop.store(true, Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().expect("no panic"));
        Arc::clone(&self.counts)
    }
}

struct Run {
    lane: u32,
    number: u32,
    last: Instant,
}

impl Run {
    fn rounds(
        &mut self,
        address: SocketAddr,
        depth: u32,
        pairs: &[Pair],
        counts: &Counts,
        stop: &AtomicBool,
    ) -> std::io::Result<()> {
        let mut wire = Wire::connect(address)?;
        while !stop.load(Relaxed) {
            let (mut out, mut expected) = (Vec::new(), Vec::new());
            for _ in 0..depth {
                let (request, reply) = self.next(pairs);
                append(&mut out, &request);
                expected.push((request, reply));
            }
            wire.write(&out)?;
            for (request, reply) in expected {
                let got = wire.read()?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
                let mut refusal = request[..6].to_vec();
                refusal[5] += 1;
                refusal.extend_from_slice(b"42");
                if got == reply {
                    counts.right.fetch_add(1, Relaxed);
                    let gap = u64::try_from(self.last.elapsed().as_millis()).expect("short");
                    counts.gap_ms.fetch_max(gap, Relaxed);
                    self.last = Instant::now();
                } else if got == refusal {
                    counts.refused.fetch_add(1, Relaxed);
                } else {
                    let text = format!("{:?} got {:?}", crate::wire::text(&request), crate::wire::text(&got));
                    counts.faults.lock().expect("sound").push(text);
                }
            }
        }
        Ok(())
    }

    fn next(&mut self, pairs: &[Pair]) -> (Vec<u8>, Vec<u8>) {
        self.number += 1;
        let header = (self.lane << 24 | self.number & 0x00FF_FFFF).to_be_bytes();
        let turn = usize::try_from(self.number).expect("small");
        let with = |message: &[u8]| [&header, message].concat();
        match pairs.get(turn / 2 % pairs.len().max(1)).filter(|_| turn % 2 == 0) {
            Some((request, reply)) => (with(request), with(reply)),
            None => {
                let data = format!("{:08X}{:08X}", self.lane, self.number);
                (with(format!("B20010{data}").as_bytes()), with(format!("B300{data}").as_bytes()))
            }
        }
    }
}
