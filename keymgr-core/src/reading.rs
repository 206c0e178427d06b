//! Many rows as records: rows come from this thread, are decoded on others, and are taken in here as they get ready,
//! since a start of a large centre is little else. Never more than a few pieces are on their way.

use super::table::Record;
use crate::store::Packed;
use std::num::NonZero;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::{available_parallelism, scope};

/// Pieces that wait for a thread.
const AHEAD: usize = 8;

type Decoded = Result<Vec<Record>, String>;

/// Gives the records of rows, in no order. An error names the row.
pub(super) fn each_record(
    rows: &mut dyn Iterator<Item = Packed>,
    take: &mut dyn FnMut(Record),
) -> Result<(), String> {
    let threads = available_parallelism().map_or(1, NonZero::get);
    scope(|scope| {
        let (done, ready) = channel::<Decoded>();
        let queues: Vec<_> = (0..threads)
            .map(|_| {
                let (queue, pieces) = sync_channel::<Packed>(AHEAD);
                let done = done.clone();
                scope.spawn(move || decode_all(&pieces, &done));
                queue
            })
            .collect();
        drop(done);
        for (piece, queue) in rows.zip(queues.iter().cycle()) {
            if queue.send(piece).is_err() {
                break;
            }
            while let Ok(decoded) = ready.try_recv() {
                decoded?.into_iter().for_each(&mut *take);
            }
        }
        drop(queues);
        ready.iter().try_for_each(|decoded| {
            decoded?.into_iter().for_each(&mut *take);
            Ok(())
        })
    })
}

fn decode_all(pieces: &Receiver<Packed>, done: &Sender<Decoded>) {
    for piece in pieces {
        // Whoever has seen an error of another piece does not listen any more.
        if done.send(decode(&piece)).is_err() {
            return;
        }
    }
}

fn decode(piece: &Packed) -> Decoded {
    let mut records = Vec::with_capacity(piece.rows().len());
    for row in piece.rows() {
        let record = Record::of_row(row.table, row.key, row.body);
        let named = |error| format!("{} {}: {error}", row.table.name(), hex::encode(row.key));
        records.extend(record.map_err(named)?);
    }
    Ok(records)
}
