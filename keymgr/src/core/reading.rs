//! Many rows as records: rows are read on this thread and decoded on the others, since a start of a large centre is
//! little else.

use super::table::Record;
use crate::store::Row;
use std::num::NonZero;
use std::sync::mpsc::sync_channel;
use std::thread::{available_parallelism, scope};

/// Rows that are decoded at once.
const PIECE: usize = 4096;
/// Pieces that wait for a thread.
const AHEAD: usize = 4;

/// The records of rows, in their order. An error names the row.
pub(super) fn records(rows: &mut dyn Iterator<Item = Row>) -> Result<Vec<Record>, String> {
    let threads = available_parallelism().map_or(1, NonZero::get);
    scope(|scope| {
        let (queues, workers): (Vec<_>, Vec<_>) = (0..threads)
            .map(|_| {
                let (queue, pieces) = sync_channel::<Vec<Row>>(AHEAD);
                (queue, scope.spawn(move || pieces.iter().map(|piece| decode(&piece)).collect::<Vec<_>>()))
            })
            .unzip();
        // In turn, so that the order is found again.
        for queue in queues.iter().cycle() {
            let piece: Vec<Row> = rows.take(PIECE).collect();
            if piece.is_empty() || queue.send(piece).is_err() {
                break;
            }
        }
        drop(queues);
        let panicked = |_| "a thread that reads records has panicked".to_owned();
        let mut decoded = Vec::new();
        for worker in workers {
            decoded.push(worker.join().map_err(panicked)?.into_iter());
        }
        let mut records = Vec::new();
        for turn in (0..threads).cycle() {
            let Some(piece) = decoded[turn].next() else { break };
            records.append(&mut piece?);
        }
        Ok(records)
    })
}

fn decode(piece: &[Row]) -> Result<Vec<Record>, String> {
    let mut records = Vec::with_capacity(piece.len());
    for row in piece {
        let record = Record::of_row(row);
        let named = |error| format!("{} {}: {error}", row.table.name(), hex::encode(&row.key));
        records.extend(record.map_err(named)?);
    }
    Ok(records)
}
