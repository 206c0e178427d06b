//! The export of log and state, as it is read: never as a whole in memory, from a connection of its own, so that
//! nobody else waits for it, and one at a time.

use super::problem::Problem;
use crate::service::Manager;
use crate::store::{Error, Store};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use std::io::{self, BufWriter, Write};
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Longest wait for a moment at which the newest checkpoint covers the whole log.
const COVERED: Duration = Duration::from_secs(15);
/// Between two looks whether it does.
const BETWEEN: Duration = Duration::from_millis(5);
/// Longest wait for an export of somebody else to end.
const TURN: Duration = Duration::from_secs(30);
/// Longest time for which a reader may take nothing: the database keeps a whole state for it meanwhile.
const SILENCE: Duration = Duration::from_secs(60);
/// Bytes that are handed on at once, and how many of these wait.
const CHUNK: usize = 64 << 10;
const WAITING: usize = 4;

type Chunk = Result<Bytes, Error>;

/// Log and state, at a moment at which a checkpoint covers all of it; without such a moment, as it is.
pub(super) async fn export(State(manager): State<Manager>) -> Response {
    let unready = |code: &str, detail: &str| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).into_response()
    };
    let Ok(Ok(turn)) = tokio::time::timeout(TURN, manager.store().turn()).await else {
        return unready("busy", "another export is under way; try again");
    };
    let (sender, mut chunks) = channel(WAITING);
    let store = manager.store().clone();
    tokio::task::spawn_blocking(move || {
        let made = store.another().and_then(|mut store| write(&mut store, &sender, turn));
        if let Err(error) = made {
            tracing::warn!(%error, "an export was not finished");
            // Whoever reads sees the answer break; nobody reads any more, or waits for the word.
            let _ = sender.try_send(Err(error));
        }
    });
    match chunks.recv().await {
        Some(Ok(first)) => answer(first, chunks),
        _ => unready("store", "the store cannot be read"),
    }
}

fn answer(first: Bytes, chunks: Receiver<Chunk>) -> Response {
    let rest = unfold((Some(Ok(first)), chunks), |(first, mut chunks)| async move {
        let next = match first {
            Some(first) => first,
            None => chunks.recv().await?,
        };
        Some((next, (None, chunks)))
    });
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(rest)).into_response()
}

fn write(store: &mut Store, to: &Sender<Chunk>, turn: OwnedSemaphorePermit) -> Result<(), Error> {
    let until = Instant::now() + COVERED;
    let mut out = BufWriter::with_capacity(CHUNK, Chunks(to));
    loop {
        match crate::audit::export_covered(store, Instant::now() >= until, &mut out) {
            Ok(false) if !to.is_closed() => std::thread::sleep(BETWEEN),
            made => {
                // What is left after a failure is for nobody.
                let _ = out.into_parts();
                drop(turn);
                return made.map(|_| ());
            }
        }
    }
}

// Not by a wait of the runtime: a store behind a connection calls from within one of its own.
struct Chunks<'a>(&'a Sender<Chunk>);

impl Write for Chunks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let until = Instant::now() + SILENCE;
        let mut chunk = Ok(Bytes::copy_from_slice(bytes));
        loop {
            chunk = match self.0.try_send(chunk) {
                Ok(()) => return Ok(bytes.len()),
                Err(TrySendError::Full(chunk)) if Instant::now() < until => chunk,
                Err(TrySendError::Full(_)) => return Err(io::ErrorKind::TimedOut.into()),
                Err(TrySendError::Closed(_)) => return Err(io::ErrorKind::BrokenPipe.into()),
            };
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_reader_gets_everything_in_order_and_one_that_is_gone_ends_it() {
        let (sender, mut chunks) = channel(WAITING);
        let writing = std::thread::spawn(move || {
            let mut out = BufWriter::with_capacity(16, Chunks(&sender));
            (0..500_u32).try_for_each(|number| writeln!(out, "{number}"))?;
            out.flush()
        });
        let mut text = Vec::new();
        while let Some(chunk) = chunks.blocking_recv() {
            std::thread::sleep(Duration::from_micros(100));
            text.extend_from_slice(&chunk.expect("no failure"));
        }
        assert!(writing.join().expect("no panic").is_ok());
        let expected: String = (0..500).map(|number| format!("{number}\n")).collect();
        assert_eq!(String::from_utf8(text).expect("text"), expected);

        let (sender, chunks) = channel(WAITING);
        drop(chunks);
        let kind = Chunks(&sender).write(b"x").map_err(|error| error.kind());
        assert_eq!(kind, Err(io::ErrorKind::BrokenPipe));
    }
}
