//! Clients that a server must be able to live with while it serves others.

use crate::client::Batch;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How a client misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sends its frames a byte at a time.
    Slow,
    /// Sends as much as the socket takes, and never reads.
    Stuck,
    /// Sends all of the longest frame but its last byte, on many connections, and waits.
    Partial,
    /// Sends what is no frame, or too long a frame, and connects anew.
    Abusive,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Slow, Self::Stuck, Self::Partial, Self::Abusive];

    /// Its name in a row.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Stuck => "stuck",
            Self::Partial => "partial",
            Self::Abusive => "abusive",
        }
    }
}

/// A client that misbehaves until it is dropped.
pub struct Abuse {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Abuse {
    /// Starts one.
    pub fn start(kind: Kind, address: SocketAddr, batch: &Batch) -> Self {
        let (over, bytes) = (Arc::new(AtomicBool::new(false)), batch.request.clone());
        let seen = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let mut kept = Vec::new();
            while !seen.load(Ordering::Relaxed) {
                // The server may refuse, close, or stall: all of that is what is looked for.
                let _refused = misbehave(kind, address, &bytes, &mut kept);
                thread::sleep(REST);
            }
        });
        Self { over, thread: Some(thread) }
    }
}

impl Drop for Abuse {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}

/// Between two turns. It shares the processor of the client whose latency is measured: what it takes of that must
/// stay well below the hundredth that p99 looks at.
const REST: Duration = Duration::from_millis(10);

const SLOW: usize = 4;
const STUCK: usize = 4;
const PARTIAL: usize = 64;
/// About the longest frame that is taken.
const LONG: u16 = 32_000;

// One turn.
fn misbehave(
    kind: Kind,
    address: SocketAddr,
    frames: &[u8],
    kept: &mut Vec<(TcpStream, usize)>,
) -> std::io::Result<()> {
    let wanted = match kind {
        Kind::Slow => SLOW,
        Kind::Stuck => STUCK,
        Kind::Partial => PARTIAL,
        Kind::Abusive => 0,
    };
    while kept.len() < wanted {
        let socket = TcpStream::connect(address)?;
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        kept.push((socket, 0));
    }
    if kind == Kind::Abusive {
        let mut socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        // A frame shorter than its header, and one longer than any.
        socket.write_all(&[0, 1, b'x', 0xFF, 0xFF])?;
        socket.write_all(&[b'x'; 4096])?;
        let _closed = socket.read(&mut [0; 64])?;
        return Ok(());
    }
    kept.retain_mut(|(socket, at)| turn(kind, frames, socket, at).is_ok());
    Ok(())
}

// What one connection does; an error is a connection that the server has closed.
fn turn(kind: Kind, frames: &[u8], socket: &mut TcpStream, at: &mut usize) -> std::io::Result<()> {
    let rest = &frames[*at % frames.len()..];
    match kind {
        Kind::Slow => {
            *at += sent(socket.write(&rest[..1]))?;
            sent(socket.read(&mut [0; 16])).map(drop)
        }
        Kind::Stuck => {
            *at += sent(socket.write(rest))?;
            Ok(())
        }
        Kind::Partial if *at == 0 => {
            let all_but_one = [&LONG.to_be_bytes()[..], &vec![b'0'; usize::from(LONG) - 1]].concat();
            *at = sent(socket.write(&all_but_one))?;
            Ok(())
        }
        Kind::Partial | Kind::Abusive => Ok(()),
    }
}

fn sent(done: std::io::Result<usize>) -> std::io::Result<usize> {
    match done {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}
