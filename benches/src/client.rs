//! The load client: one thread, blocking sockets, one write and one read of a whole batch per connection and
//! turn. It costs less than the server does, so that the server is what is measured.

use crate::server::Server;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Frames of one batch, and the replies to it.
pub struct Batch {
    /// All requests with their length fields.
    pub request: Vec<u8>,
    /// All replies with their length fields.
    pub reply: Vec<u8>,
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
pub struct Plan<'a> {
    /// Sockets.
    pub connections: usize,
    /// Batches, taken in turn.
    pub batches: &'a [Batch],
    /// Time of one run.
    pub duration: Duration,
    /// Replies are compared with what they must be; an echo server's cannot be.
    pub compare: bool,
}

/// What one run gave.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Messages a second.
    pub rate: f64,
    /// Processor time of the server for one message, in nanoseconds.
    pub cpu_ns: f64,
}

/// Runs once.
pub fn run(server: &Server, address: SocketAddr, plan: &Plan<'_>) -> io::Result<Sample> {
    let mut sockets = Vec::new();
    for _ in 0..plan.connections {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(20)))?;
        sockets.push(socket);
    }
    let (cpu, start) = (server.cpu_seconds()?, Instant::now());
    let mut messages = 0;
    let mut got = Vec::new();
    let mut turn = 0;
    while start.elapsed() < plan.duration {
        for (index, socket) in sockets.iter_mut().enumerate() {
            socket.write_all(&plan.batches[(turn + index) % plan.batches.len()].request)?;
        }
        for (index, socket) in sockets.iter_mut().enumerate() {
            let batch = &plan.batches[(turn + index) % plan.batches.len()];
            got.resize(batch.reply.len(), 0);
            socket.read_exact(&mut got)?;
            if plan.compare && got != batch.reply {
                return Err(io::Error::other("the server gave a wrong reply"));
            }
            messages += batch.frames;
        }
        turn += 1;
    }
    let seconds = start.elapsed().as_secs_f64();
    let messages = messages as f64;
    Ok(Sample { rate: messages / seconds, cpu_ns: (server.cpu_seconds()? - cpu) * 1e9 / messages })
}
