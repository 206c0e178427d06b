//! The log's own tables: lines, signed checkpoints and tiles, and the one write that keeps them together
//! with the rows of state.

use super::Store;
use super::engine::{Fence, Statement};
use super::error::Error;
use super::migrate;
use super::queries;
use super::row::Change;
use super::value::Value;
use std::collections::HashSet;

/// 256 hashes of one level of the log's tree, as in the C2SP tile form; only full tiles are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// 0 for leaves; a hash of level `n` covers `256^n` leaves.
    pub level: u64,
    /// Which, from the left.
    pub number: u64,
    /// 256 hashes of 32 bytes.
    pub hashes: Vec<u8>,
}

/// What one transaction writes.
#[derive(Clone, Debug, Default)]
pub struct Write {
    /// The version of the schema the store has, if it is to be brought up to date first.
    pub migrate_from: Option<u64>,
    /// Log lines with their numbers, and the changes each explains.
    pub entries: Vec<(u64, String, Vec<Change>)>,
    /// A signed checkpoint: tree size and note.
    pub checkpoint: Option<(u64, String)>,
    /// The size of an older checkpoint that this one stands for.
    pub superseded: Option<u64>,
    /// Tiles that became full.
    pub tiles: Vec<Tile>,
}

// Of each change whether it is the last one of its row: nobody sees what is written over in the same transaction, and a
// campaign that counts many receipts in one batch is one row.
fn newest(entries: &[(u64, String, Vec<Change>)]) -> Vec<bool> {
    let mut seen = HashSet::new();
    let changes = entries.iter().flat_map(|(_, _, changes)| changes).map(Change::place);
    let mut newest: Vec<bool> = changes.rev().map(|place| seen.insert(place)).collect();
    newest.reverse();
    newest
}

impl Store {
    /// Commits all of it or nothing; `Ok` means durable.
    pub fn write(&mut self, fence: Fence, write: Write) -> Result<(), Error> {
        let statements = self.statements(write);
        self.engine.write(fence, &statements)
    }

    fn statements(&self, write: Write) -> Vec<Statement> {
        let dialect = self.engine.dialect();
        let mut all = write
            .migrate_from
            .map_or_else(Vec::new, |from| migrate::statements(dialect, migrate::VERSIONS, from));
        let mut later = newest(&write.entries).into_iter();
        for (seq, line, changes) in write.entries {
            let values = vec![seq.into(), Value::Text(line)];
            all.push(Statement::new("INSERT INTO log (seq, line) VALUES (?1, ?2)", values));
            let stays = changes.into_iter().filter(|_| later.next() == Some(true));
            all.extend(stays.map(|change| queries::statement(change, seq)));
        }
        if let Some((size, note)) = write.checkpoint {
            let values = vec![size.into(), Value::Text(note)];
            all.push(Statement::new("INSERT INTO checkpoints (size, note) VALUES (?1, ?2)", values));
        }
        if let Some(size) = write.superseded {
            all.push(Statement::new("DELETE FROM checkpoints WHERE size = ?1", vec![size.into()]));
        }
        all.extend(write.tiles.into_iter().map(|tile| {
            let values = vec![tile.level.into(), tile.number.into(), Value::Bytes(tile.hashes)];
            Statement::new("INSERT INTO tiles (level, number, hashes) VALUES (?1, ?2, ?3)", values)
        }));
        all
    }

    /// How many entries the log has.
    pub fn log_size(&mut self) -> Result<u64, Error> {
        self.number(&Statement::new("SELECT COALESCE(MAX(seq) + 1, 0) FROM log", Vec::new()))
    }

    /// Log lines from this number on, in order: the number their row has, and the line.
    pub fn each_line(
        &mut self,
        from: u64,
        each: &mut dyn FnMut(u64, String) -> Result<(), Error>,
    ) -> Result<(), Error> {
        const AT_ONCE: u32 = 4096;
        let mut next = Some(from);
        while let Some(from) = next.take() {
            let sql = "SELECT seq, line FROM log WHERE seq >= ?1 ORDER BY seq LIMIT ?2";
            let statement = Statement::new(sql, vec![from.into(), AT_ONCE.into()]);
            self.engine.query(&statement, &mut |mut values| {
                let (line, seq) = (values.pop(), values.pop());
                let (Some(Value::Text(line)), Some(Value::Int(seq))) = (line, seq) else {
                    return Err(unreadable("log", &from.to_string()));
                };
                let seq = u64::try_from(seq).map_err(|_| unreadable("log", &seq.to_string()))?;
                next = Some(seq + 1);
                each(seq, line)
            })?;
        }
        Ok(())
    }

    /// At most so many log lines from this number on, in order.
    pub fn lines(&mut self, from: u64, most: u32) -> Result<Vec<(u64, String)>, Error> {
        let sql = "SELECT seq, line FROM log WHERE seq >= ?1 ORDER BY seq LIMIT ?2";
        let statement = Statement::new(sql, vec![from.into(), most.into()]);
        let mut lines = Vec::new();
        self.engine.query(&statement, &mut |mut values| {
            let (line, seq) = (values.pop(), values.pop().and_then(|seq| seq.int()));
            let (Some(Value::Text(line)), Some(seq)) = (line, seq) else {
                return Err(unreadable("log", &from.to_string()));
            };
            lines.push((seq.cast_unsigned(), line));
            Ok(())
        })?;
        Ok(lines)
    }

    /// The log line of this number.
    pub fn line(&mut self, seq: u64) -> Result<Option<String>, Error> {
        let mut found = None;
        let statement = Statement::new("SELECT line FROM log WHERE seq = ?1", vec![seq.into()]);
        self.engine.query(&statement, &mut |mut values| {
            found = values.pop();
            Ok(())
        })?;
        match found {
            None => Ok(None),
            Some(Value::Text(line)) => Ok(Some(line)),
            Some(_) => Err(unreadable("log", &seq.to_string())),
        }
    }

    /// Every checkpoint in order of size: the size its row has, and the note.
    pub fn each_checkpoint(
        &mut self,
        each: &mut dyn FnMut(u64, String) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let sql = "SELECT size, note FROM checkpoints ORDER BY size";
        self.checkpoints(&Statement::new(sql, Vec::new()), each)
    }

    /// At most so many checkpoints from this size on, in order.
    pub fn checkpoints_from(&mut self, from: u64, most: u32) -> Result<Vec<(u64, String)>, Error> {
        let sql = "SELECT size, note FROM checkpoints WHERE size >= ?1 ORDER BY size LIMIT ?2";
        let mut found = Vec::new();
        self.checkpoints(&Statement::new(sql, vec![from.into(), most.into()]), &mut |size, note| {
            found.push((size, note));
            Ok(())
        })?;
        Ok(found)
    }

    /// The checkpoint of the largest size.
    pub fn last_checkpoint(&mut self) -> Result<Option<(u64, String)>, Error> {
        let mut last = None;
        let sql = "SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1";
        self.checkpoints(&Statement::new(sql, Vec::new()), &mut |size, note| {
            last = Some((size, note));
            Ok(())
        })?;
        Ok(last)
    }

    fn checkpoints(
        &mut self,
        statement: &Statement,
        each: &mut dyn FnMut(u64, String) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.engine.query(statement, &mut |mut values| {
            let (note, size) = (values.pop(), values.pop());
            let size = size.and_then(|size| u64::try_from(size.int()?).ok());
            match (size, note) {
                (Some(size), Some(Value::Text(note))) => each(size, note),
                (size, _) => Err(unreadable("checkpoints", &size.unwrap_or_default().to_string())),
            }
        })
    }

    /// The tile of this place.
    pub fn tile(&mut self, level: u64, number: u64) -> Result<Option<Tile>, Error> {
        let sql = "SELECT level, number, hashes FROM tiles WHERE level = ?1 AND number = ?2";
        let mut found = None;
        self.tiles(&Statement::new(sql, vec![level.into(), number.into()]), &mut |tile| {
            found = Some(tile);
            Ok(())
        })?;
        Ok(found)
    }

    /// Every tile, by level and number.
    pub fn each_tile(&mut self, each: &mut dyn FnMut(Tile) -> Result<(), Error>) -> Result<(), Error> {
        let sql = "SELECT level, number, hashes FROM tiles ORDER BY level, number";
        self.tiles(&Statement::new(sql, Vec::new()), each)
    }

    fn tiles(
        &mut self,
        statement: &Statement,
        each: &mut dyn FnMut(Tile) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.engine.query(statement, &mut |mut values| {
            let (hashes, number, level) = (values.pop(), values.pop(), values.pop());
            let whole = |value: Option<Value>| value.and_then(|value| u64::try_from(value.int()?).ok());
            match (whole(level), whole(number), hashes) {
                (Some(level), Some(number), Some(Value::Bytes(hashes))) => {
                    each(Tile { level, number, hashes })
                }
                (level, number, _) => Err(unreadable("tiles", &tile_key(level, number))),
            }
        })
    }
}

fn tile_key(level: Option<u64>, number: Option<u64>) -> String {
    format!("{}/{}", level.unwrap_or_default(), number.unwrap_or_default())
}

fn unreadable(table: &'static str, key: &str) -> Error {
    Error::Unreadable { table, key: key.as_bytes().to_vec(), what: "a column holds what is never written" }
}
