//! The export: one text file with the log, its checkpoints and every row of state, from one state of the
//! store. Lines, in this order:
//!
//! ```text
//! payhsm-audit-export 1
//! origin ORIGIN
//! key FROM_SIZE VKEY ENDORSEMENT        the checkpoint keys, oldest first; base64 of the note, or -
//! checkpoint SIZE NOTE                  base64 of the signed note
//! v1 …                                  log lines, exactly as hashed
//! row TABLE KEY LOG_SEQ COLUMN=VALUE…   rows of state
//! end ENTRIES CHECKPOINTS ROWS
//! ```

use super::rows;
use crate::store::{Error, Store, Table};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::Write;

pub(super) const FIRST_LINE: &str = "payhsm-audit-export 1";

/// Writes the export of a store: how many entries, checkpoints and rows it has.
pub fn export(store: &mut Store, out: &mut dyn Write) -> Result<[u64; 3], Error> {
    store.snapshot(|store| write(store, out))
}

/// Writes the export of a state whose log a checkpoint covers to its end; of any state when `anyway`. False: it is not
/// covered now, and nothing was written.
pub fn export_covered(store: &mut Store, anyway: bool, out: &mut dyn Write) -> Result<bool, Error> {
    store.snapshot(|store| {
        let covered = store.last_checkpoint()?.map_or(0, |(size, _)| size);
        let now = anyway || covered == store.log_size()?;
        if now {
            write(store, out)?;
        }
        Ok(now)
    })
}

fn write(store: &mut Store, out: &mut dyn Write) -> Result<[u64; 3], Error> {
    writeln!(out, "{FIRST_LINE}")?;
    let origin = store.get(Table::Meta, b"origin")?.map(|row| row.body).unwrap_or_default();
    let mut line = String::from("origin ");
    rows::escape(&String::from_utf8_lossy(&origin), &mut line);
    writeln!(out, "{line}")?;
    keys(store, out)?;
    let mut counts = [0; 3];
    store.each_checkpoint(&mut |size, note| {
        counts[1] += 1;
        Ok(writeln!(out, "checkpoint {size} {}", STANDARD.encode(note))?)
    })?;
    store.each_line(0, &mut |_, line| {
        counts[0] += 1;
        Ok(writeln!(out, "{line}")?)
    })?;
    for &table in Table::ALL {
        store.each_row(table, &mut |row| {
            counts[2] += 1;
            line.clear();
            rows::line(&row, &mut line);
            Ok(writeln!(out, "{line}")?)
        })?;
    }
    writeln!(out, "end {} {} {}", counts[0], counts[1], counts[2])?;
    out.flush()?;
    Ok(counts)
}

fn keys(store: &mut Store, out: &mut dyn Write) -> Result<(), Error> {
    store.each_row(Table::CheckpointKeys, &mut |row| {
        let key = row.column("vkey").text().unwrap_or_default();
        let from_size = row.column("from_size").int().unwrap_or_default();
        let endorsement = if row.body.is_empty() { "-".to_owned() } else { STANDARD.encode(&row.body) };
        Ok(writeln!(out, "key {from_size} {key} {endorsement}")?)
    })
}
