//! The load client of a closed loop: one thread, blocking sockets, one write and one read of a whole batch per
//! connection and turn. It costs less than the server does, so that the server is what is measured.

use crate::server::Server;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Frames of one batch, and the replies to it.
#[derive(Default)]
pub struct Batch {
    /// All requests with their length fields.
    pub request: Vec<u8>,
    /// All replies with their length fields.
    pub reply: Vec<u8>,
    /// What they may be as well, where there are two of them; else empty.
    pub or: Vec<u8>,
    /// Number of frames.
    pub frames: u64,
}

impl Batch {
    /// Each request without its length field.
    pub fn frames(&self) -> Vec<&[u8]> {
        cut(&self.request)
    }

    /// Each reply without its length field.
    pub fn replies(&self) -> Vec<&[u8]> {
        cut(&self.reply)
    }
}

fn cut(mut rest: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while let Some((length, tail)) = rest.split_first_chunk::<2>() {
        let (frame, tail) = tail.split_at(usize::from(u16::from_be_bytes(*length)));
        frames.push(frame);
        rest = tail;
    }
    frames
}

/// What is sent: so many connections, each with a batch in flight.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    /// Sockets.
    pub connections: usize,
    /// Batches, taken in turn by all connections together.
    pub batches: &'a [Batch],
    /// Time of one run.
    pub duration: Duration,
}

/// What one run gave.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Messages a second.
    pub rate: f64,
    /// Processor time of the server for one message, in nanoseconds.
    pub cpu_ns: f64,
}

/// A connection with what it waits for.
struct Lane<'a> {
    socket: TcpStream,
    waits_for: &'a Batch,
}

/// Connects so many times.
pub fn connect(address: SocketAddr, count: usize) -> io::Result<Vec<TcpStream>> {
    let one = |_| {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(socket)
    };
    (0..count).map(one).collect()
}

/// Runs once; every reply is compared with what it must be when the server is not an echo.
pub fn run(server: &Server, address: SocketAddr, plan: &Plan<'_>, compare: bool) -> io::Result<Sample> {
    let mut next = plan.batches.iter().cycle();
    let mut batch = || next.next().ok_or_else(|| io::Error::other("nothing to send"));
    let mut lanes = Vec::new();
    for mut socket in connect(address, plan.connections)? {
        let waits_for = batch()?;
        socket.write_all(&waits_for.request)?;
        lanes.push(Lane { socket, waits_for });
    }
    let (cpu, start) = (server.cpu_seconds()?, Instant::now());
    let (mut messages, mut got) = (0, Vec::new());
    while start.elapsed() < plan.duration {
        for lane in &mut lanes {
            got.resize(lane.waits_for.reply.len(), 0);
            lane.socket.read_exact(&mut got)?;
            if compare && got != lane.waits_for.reply {
                return Err(wrong(&got, lane.waits_for));
            }
            messages += lane.waits_for.frames;
            lane.waits_for = batch()?;
            lane.socket.write_all(&lane.waits_for.request)?;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let cpu = server.cpu_seconds()? - cpu;
    let messages = messages as f64;
    Ok(Sample { rate: messages / seconds, cpu_ns: cpu * 1e9 / messages })
}

/// Sends each batch once and reads the replies: keys that a server sees once.
pub fn once(address: SocketAddr, batches: &[Batch]) -> io::Result<()> {
    let mut got = Vec::new();
    for mut socket in connect(address, 1)? {
        for batch in batches {
            socket.write_all(&batch.request)?;
            got.resize(batch.reply.len(), 0);
            socket.read_exact(&mut got)?;
            if got != batch.reply {
                return Err(wrong(&got, batch));
            }
        }
    }
    Ok(())
}

// The first reply that differs, by its codes: nothing else of it is shown.
fn wrong(got: &[u8], batch: &Batch) -> io::Error {
    let at = got.iter().zip(&batch.reply).position(|(a, b)| a != b).unwrap_or_default();
    io::Error::other(format!("the server gave a wrong reply: byte {at} of {} in a batch", got.len()))
}
