//! The task that owns a socket: it sends what clients ask for, gives replies to those who wait, and
//! connects again with growing pauses when the unit goes away.

use crate::correlation::Waiting;
use crate::pump::Pump;
use crate::stream::{Stream, connect};
use crate::{Error, Options, frame};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// A request behind its header, and who waits for the reply behind its header.
pub(crate) struct Job {
    pub(crate) message: Vec<u8>,
    pub(crate) reply: oneshot::Sender<Result<Vec<u8>, Error>>,
}

/// Runs until every client is gone.
pub(crate) async fn run(
    address: String,
    options: Arc<Options>,
    first: Stream,
    mut jobs: mpsc::Receiver<Job>,
) {
    let mut stream = Some(first);
    let mut wait = options.backoff.first;
    while !jobs.is_closed() || !jobs.is_empty() {
        match stream.take() {
            Some(connected) => {
                wait = options.backoff.first;
                Link::new(connected, &options).serve(&mut jobs).await;
            }
            None => {
                tokio::time::sleep(wait).await;
                wait = options.backoff.after(wait);
            }
        }
        if !jobs.is_closed() {
            stream = connect(&address, &options).await.ok();
        }
    }
}

/// One connection, from its beginning to its end.
pub(crate) struct Link<'o> {
    pump: Pump,
    waiting: Waiting<oneshot::Sender<Result<Vec<u8>, Error>>>,
    options: &'o Options,
    batch: Vec<Job>,
}

impl<'o> Link<'o> {
    pub(crate) fn new(stream: Stream, options: &'o Options) -> Self {
        let waiting = Waiting::new(options.header_length);
        Self { pump: Pump::new(stream), waiting, options, batch: Vec::new() }
    }

    /// Serves until the connection or the last client is gone; whoever still waits learns of it, because
    /// its sender is dropped.
    pub(crate) async fn serve(&mut self, jobs: &mut mpsc::Receiver<Job>) {
        loop {
            let room = self.room();
            let more = tokio::select! {
                count = jobs.recv_many(&mut self.batch, room.max(1)), if room > 0 => count > 0,
                turned = self.pump.turn() => turned.is_ok(),
                // A full window in which nothing moves for so long is a dead connection.
                () = tokio::time::sleep(self.options.timeout), if room == 0 => false,
            };
            if !more || self.send_batch().and_then(|()| self.give_replies()).is_err() {
                break;
            }
        }
        self.waiting.clear();
    }

    fn room(&self) -> usize {
        self.options.in_flight_max.saturating_sub(self.waiting.len()).min(self.waiting.room())
    }

    fn send_batch(&mut self) -> Result<(), Error> {
        for job in self.batch.drain(..) {
            // Nobody waits for it any more: it must not be done late.
            if job.reply.is_closed() {
                continue;
            }
            let mut header = Vec::with_capacity(self.options.header_length);
            self.waiting.add(job.reply, &mut header);
            frame::append(&mut self.pump.out, &[&header, &job.message])?;
        }
        Ok(())
    }

    fn give_replies(&mut self) -> Result<(), Error> {
        while let Some(frame) = self.pump.frames.next_frame() {
            let (waiter, reply) = self.waiting.take(&frame)?;
            let _gave_up = waiter.send(Ok(reply.to_vec()));
        }
        Ok(())
    }
}
