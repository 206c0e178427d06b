//! A server for the tests of this crate: answers any command with code 00 and the body that it got.

use crate::frame::{self, Frames};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How it answers.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Answer {
    InOrder,
    /// Replies of one read in reversed order.
    Reversed,
    /// The reply of the first request comes with that of the second.
    FirstLate,
    /// The first connection is closed at its first request.
    FirstConnectionCloses,
    /// Replies have a header that nobody sent.
    ForeignHeader,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    largest_batch: AtomicUsize,
}

pub(crate) struct Toy {
    pub(crate) address: String,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

impl Drop for Toy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Toy {
    pub(crate) async fn start(answer: Answer) -> Self {
        Self::with_header(answer, 4).await
    }

    pub(crate) async fn with_header(answer: Answer, header_length: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let nth = shared.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, (answer, header_length), nth, Arc::clone(&shared)));
            }
        });
        Self { address, seen, task }
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn largest_batch(&self) -> usize {
        self.seen.largest_batch.load(Ordering::SeqCst)
    }
}

fn reply(request: &[u8], answer: Answer, header_length: usize) -> Vec<u8> {
    let (header, message) = request.split_at(header_length);
    let header = if answer == Answer::ForeignHeader { b"zzzz" } else { header };
    let mut out = Vec::new();
    frame::append(&mut out, &[header, b"B300", &message[2..]]).unwrap();
    out
}

async fn serve(mut stream: TcpStream, how: (Answer, usize), nth: usize, seen: Arc<Seen>) {
    let (answer, header_length) = how;
    let (mut frames, mut room, mut kept) = (Frames::default(), vec![0; 65_536], Vec::new());
    while let Ok(count) = stream.read(&mut room).await {
        if count == 0 || (answer == Answer::FirstConnectionCloses && nth == 0) {
            return;
        }
        frames.extend(&room[..count]);
        while let Some(request) = frames.next_frame() {
            kept.push(reply(&request, answer, header_length));
        }
        seen.largest_batch.fetch_max(kept.len(), Ordering::SeqCst);
        if answer == Answer::FirstLate && kept.len() == 1 {
            continue;
        }
        if answer == Answer::Reversed {
            kept.reverse();
        }
        if stream.write_all(&kept.concat()).await.is_err() {
            return;
        }
        kept.clear();
    }
}
