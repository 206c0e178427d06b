//! The short throughput run at the end of the demo: CC over several connections, every reply compared with
//! one that the demo computed itself beforehand.

use super::steps::Keys;
use super::wire::{Wire, append};
use crate::oracle;
use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

const CONNECTIONS: u64 = 4;
const DEPTH: usize = 64;
/// Different PINs and accounts in one batch's round.
const ROUND: u64 = 4096;

/// What the run gave.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// Replies.
    pub replies: u64,
    /// Replies that differed.
    pub wrong: u64,
    /// Time of the run.
    pub elapsed: Duration,
}

struct Batch {
    request: Vec<u8>,
    reply: Vec<u8>,
}

fn batch(keys: &Keys, first: u64) -> Batch {
    let mut batch = Batch { request: Vec::new(), reply: Vec::new() };
    for n in first..first + DEPTH as u64 {
        let (pin, account) = (format!("{:05}", n * 7919 % 100_000), format!("{:012}", n * 104_729));
        let clear = oracle::iso0(&pin, &account);
        let header = format!("{n:04X}");
        let header = &header.as_bytes()[header.len() - 4..];
        let block = |key| oracle::hex(&oracle::encrypt(key, clear));
        let (a, b) = (&keys.zone_a, &keys.zone_b);
        let command = format!("CC{}{}12{}0101{account}", a.1, b.1, block(&a.0));
        append(&mut batch.request, header, command.as_bytes());
        append(&mut batch.reply, header, format!("CD0005{}01", block(&b.0)).as_bytes());
    }
    batch
}

fn connection(address: SocketAddr, batches: &[Batch], until: Instant) -> io::Result<Load> {
    let mut wire = Wire::connect(address)?;
    let mut load = Load::default();
    let mut got = Vec::new();
    while Instant::now() < until {
        for batch in batches {
            wire.send(&batch.request)?;
            got.resize(batch.reply.len(), 0);
            wire.receive(&mut got)?;
            load.replies += DEPTH as u64;
            if got != batch.reply {
                let size = batch.reply.len() / DEPTH;
                let pairs = got.chunks(size).zip(batch.reply.chunks(size));
                load.wrong += pairs.filter(|(a, b)| a != b).count() as u64;
            }
        }
    }
    Ok(load)
}

/// Runs for `duration`.
pub fn run(address: SocketAddr, keys: &Keys, duration: Duration) -> io::Result<Load> {
    let batches: Vec<Batch> = (0..ROUND).step_by(DEPTH).map(|first| batch(keys, first)).collect();
    let start = Instant::now();
    let until = start + duration;
    let mut total = Load::default();
    thread::scope(|scope| {
        let threads: Vec<_> =
            (0..CONNECTIONS).map(|_| scope.spawn(|| connection(address, &batches, until))).collect();
        for thread in threads {
            let load = thread.join().map_err(|_| io::Error::other("a load thread ended early"))??;
            total.replies += load.replies;
            total.wrong += load.wrong;
        }
        Ok::<(), io::Error>(())
    })?;
    total.elapsed = start.elapsed();
    Ok(total)
}
