//! Puts what the write-ahead log holds back into the file, on a thread and a connection of its own, while the writer goes
//! on. A commit that did it would take as long as a disk needs for tens of megabytes: callers wait for that, and a node's
//! status beat that waits makes the clock of the node look slow.

use super::error::Error;
use rusqlite::Connection;
use rusqlite::hooks::Wal;
use rusqlite::wal::CheckpointMode;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

/// Pages in the log from which on they are put back: 256 MiB. The pages that every batch writes over, as a campaign's, go
/// into the file once for many batches. With a quarter of that a campaign of 5,000 nodes counted a tenth fewer receipts.
pub(super) const PAGES: u32 = 65_536;

/// Times as many with which a commit does it itself: the thread does not keep up, or is gone.
const BEHIND: u32 = 2;

/// The thread. Its owner closes the writing connection first.
pub(super) struct Backfill {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Backfill {
    /// Has `writing` tell of commits that leave at least so many pages in the log; `own` is another connection to the file.
    pub fn begin(writing: &mut Connection, own: Connection, pages: u32) -> Result<Self, Error> {
        let (wake, woken) = sync_channel(1);
        let thread = Builder::new().name("backfill".to_owned()).spawn(move || run(&own, &woken))?;
        let told = wake.clone();
        let judge = move |wal: &mut Wal, held| {
            let held = u32::try_from(held).unwrap_or_default();
            // The commit is done, whatever comes of this: it is refused while the thread is at work.
            let done = held >= pages.saturating_mul(BEHIND) && wal.checkpoint().is_ok();
            if held >= pages && !done {
                // One that waits already is enough.
                let _ = told.try_send(());
            }
            Ok(())
        };
        writing.wal_hook(Some(judge))?;
        Ok(Self { wake: Some(wake), thread: Some(thread) })
    }
}

impl Drop for Backfill {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

// Ends when nobody is left who could wake it. The mode waits for nobody and stops nobody; once all is put back, the next
// commit begins the log anew.
fn run(own: &Connection, woken: &Receiver<()>) {
    for () in woken {
        if let Err(error) = own.wal_checkpoint_v2(None::<&str>, CheckpointMode::PASSIVE) {
            tracing::warn!(%error, "the write-ahead log is not put back into the store's file");
        }
    }
}
