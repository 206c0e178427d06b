//! The load client of an open loop: requests are due at even distances whatever the server does, and latency
//! runs from when a request was due to when its reply was read. One thread that never sleeps, so that its clock
//! is fine; it needs a processor of its own.

use crate::client::{Batch, connect};
use hdrhistogram::Histogram;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Time before a run in which nothing is counted.
const WARMUP: Duration = Duration::from_millis(50);
/// Longest wait for what is still in flight when time is over.
const DRAIN: Duration = Duration::from_secs(20);
/// Requests that may be in flight: beyond it the client waits, and what waits is late.
const IN_FLIGHT_MAX: u64 = 16_384;

/// How much load.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    /// Sockets.
    pub connections: usize,
    /// Batches of one frame, taken in turn.
    pub frames: &'a [Batch],
    /// Requests a second.
    pub rate: f64,
    /// Time that counts.
    pub duration: Duration,
    /// Replies are compared with what they must be; an echo server's cannot be.
    pub compare: bool,
}

struct Lane {
    socket: TcpStream,
    out: Vec<u8>,
    written: usize,
    input: Vec<u8>,
    /// Numbers of the first request without reply, and of the next to send: each lane has every Nth.
    awaits: u64,
    sends: u64,
}

/// Runs once, and gives the 99th percentile of latency in microseconds.
pub fn p99(address: SocketAddr, plan: &Plan<'_>) -> io::Result<f64> {
    let mut lanes = Vec::new();
    for (socket, number) in connect(address, plan.connections)?.into_iter().zip(0..) {
        socket.set_nonblocking(true)?;
        let (out, input) = (Vec::new(), Vec::new());
        lanes.push(Lane { socket, out, written: 0, input, awaits: number, sends: number });
    }
    let bounds = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3);
    let mut ns = bounds.map_err(io::Error::other)?;
    let (start, mut room) = (Instant::now(), vec![0; 64 * 1024]);
    let whole = WARMUP + plan.duration;
    let last = (whole.as_secs_f64() * plan.rate) as u64;
    let skipped = (WARMUP.as_secs_f64() * plan.rate) as u64;
    loop {
        let elapsed = start.elapsed();
        let due = ((elapsed.as_secs_f64() * plan.rate) as u64).min(last);
        let mut waiting = false;
        for lane in &mut lanes {
            lane.fill(due, plan);
            lane.write()?;
            lane.read(&mut room)?;
            lane.take(start, skipped, plan, &mut ns)?;
            waiting |= lane.awaits < last;
        }
        if !waiting {
            break;
        }
        if elapsed > whole + DRAIN {
            return Err(io::Error::other("the server does not keep up with the rate"));
        }
    }
    Ok(ns.value_at_quantile(0.99) as f64 / 1e3)
}

impl Lane {
    // Everything that is due, in one buffer.
    fn fill(&mut self, due: u64, plan: &Plan<'_>) {
        let step = plan.connections as u64;
        while self.sends < due && self.sends - self.awaits < IN_FLIGHT_MAX {
            let frame = &plan.frames[(self.sends % plan.frames.len() as u64) as usize];
            self.out.extend_from_slice(&frame.request);
            self.sends += step;
        }
    }

    fn write(&mut self) -> io::Result<()> {
        if self.written < self.out.len() {
            self.written += not_yet(self.socket.write(&self.out[self.written..]))?.unwrap_or_default();
        }
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
        }
        Ok(())
    }

    fn read(&mut self, room: &mut [u8]) -> io::Result<()> {
        if self.awaits >= self.sends {
            return Ok(());
        }
        match not_yet(self.socket.read(room))? {
            Some(0) => Err(ErrorKind::UnexpectedEof.into()),
            Some(count) => {
                self.input.extend_from_slice(&room[..count]);
                Ok(())
            }
            None => Ok(()),
        }
    }

    // Replies come in order: the next one is that of the first request that waits.
    fn take(
        &mut self,
        start: Instant,
        skipped: u64,
        plan: &Plan<'_>,
        ns: &mut Histogram<u64>,
    ) -> io::Result<()> {
        let now = start.elapsed();
        let mut at = 0;
        while let Some(field) = self.input.get(at..at + 2) {
            let end = at + 2 + usize::from(u16::from_be_bytes([field[0], field[1]]));
            let Some(reply) = self.input.get(at..end) else { break };
            let frame = &plan.frames[(self.awaits % plan.frames.len() as u64) as usize];
            if plan.compare && frame.reply != reply && frame.or != reply {
                return Err(io::Error::other("the server gave a wrong reply"));
            }
            if self.awaits >= skipped {
                let meant = Duration::from_secs_f64(self.awaits as f64 / plan.rate);
                ns.saturating_record(now.saturating_sub(meant).as_nanos() as u64);
            }
            self.awaits += plan.connections as u64;
            at = end;
        }
        self.input.drain(..at);
        Ok(())
    }
}

fn not_yet<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}
