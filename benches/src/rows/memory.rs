//! What a server keeps in memory for others: measured from outside, as growth of its anonymous resident memory.

use super::{Bench, Row, SERVER, Unit};
use crate::client;
use crate::frames::{self, VARIANT};
use crate::server::{Kind, Server};
use crate::stats::Spread;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

const BEFORE: usize = 1_000;
const AFTER: usize = 5_000;
/// Keys that are to be kept.
const KEYS: usize = 65_536;
/// What was used for a moment must have been given back.
const REST: Duration = Duration::from_millis(500);

/// An idle connection that was served once.
pub fn idle(bench: &mut Bench, id: &str) -> io::Result<Row> {
    let batches = frames::batches(&bench.translations(VARIANT, true)?, 1);
    let server = Server::start(Kind::Engine, &[SERVER])?;
    let mut kept: Vec<TcpStream> = Vec::new();
    let mut until = |count: usize| {
        while kept.len() < count {
            for mut socket in client::connect(server.address(VARIANT)?, 1)? {
                let batch = &batches[kept.len() % batches.len()];
                socket.write_all(&batch.request)?;
                socket.read_exact(&mut vec![0; batch.reply.len()])?;
                kept.push(socket);
            }
        }
        thread::sleep(REST);
        server.anonymous_bytes()
    };
    let (before, after) = (until(BEFORE)?, until(AFTER)?);
    let each = (after - before).max(0.0) / (AFTER - BEFORE) as f64;
    let row = Row::new(id, "memory of an idle connection", Unit::Bytes, Some((2048.0, 614.4)));
    Ok(row.with(Spread::of([each])))
}

/// 64k keys that were seen.
pub fn keys(bench: &mut Bench, id: &str) -> io::Result<Row> {
    let many = frames::batches(&bench.maker.translations(VARIANT, KEYS, KEYS / 2)?, 64);
    let few = frames::batches(&bench.translations(VARIANT, true)?, 64);
    let server = Server::start(Kind::Engine, &[SERVER])?;
    // Buffers grow with the first batches, and are no keys.
    client::once(server.address(VARIANT)?, &few)?;
    thread::sleep(REST);
    let before = server.anonymous_bytes()?;
    client::once(server.address(VARIANT)?, &many)?;
    thread::sleep(REST);
    let grown = (server.anonymous_bytes()? - before).max(0.0);
    let mib = 1_048_576.0;
    let what = "memory of the key cache after 65,536 different keys";
    Ok(Row::new(id, what, Unit::Bytes, Some((32.0 * mib, 16.0 * mib))).with(Spread::of([grown])))
}
