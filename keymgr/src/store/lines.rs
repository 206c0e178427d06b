//! The log's own tables: lines, signed checkpoints and tiles, and the one write that keeps them together
//! with the rows of state.

use super::engine::{Fence, Statement};
use super::error::Error;
use super::migrate;
use super::queries;
use super::{Change, Store, Table, Value};
use std::collections::{BTreeMap, VecDeque};

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

/// What one transaction writes besides the entries of the log.
#[derive(Clone, Debug, Default)]
pub struct Write {
    /// The version of the schema the store has, if it is to be brought up to date first.
    pub migrate_from: Option<u64>,
    /// A signed checkpoint: tree size and note.
    pub checkpoint: Option<(u64, String)>,
    /// The size of an older checkpoint that this one stands for.
    pub superseded: Option<u64>,
}

/// One entry of the log, as it is written.
#[derive(Clone, Debug)]
pub struct Logged {
    /// Its number.
    pub seq: u64,
    /// Its line.
    pub line: String,
    /// The changes that it explains.
    pub changes: Vec<Change>,
    /// Tiles that became full with it.
    pub tiles: Vec<Tile>,
}

/// Entries of one transaction, each as it becomes known. An error in its place: nothing is written.
pub type Entries<'a> = &'a mut dyn Iterator<Item = Result<Logged, Error>>;

// The statements of entries. Rows that many entries of one batch write over wait for the last of them: nobody sees what
// is written over in the same transaction, and a campaign that counts many receipts in one batch is one row.
struct Unfolding<'a> {
    entries: Entries<'a>,
    ready: VecDeque<Statement>,
    late: BTreeMap<Vec<u8>, Statement>,
    over: bool,
}

impl Unfolding<'_> {
    fn take(&mut self, entry: Logged) {
        let Logged { seq, line, changes, tiles } = entry;
        let values = vec![seq.into(), Value::Text(line)];
        self.ready.push_back(Statement::new("INSERT INTO log (seq, line) VALUES (?1, ?2)", values));
        for change in changes {
            let late = match change.place() {
                (Table::Campaigns, key) => Some(key.to_vec()),
                _ => None,
            };
            let statement = queries::statement(change, seq);
            match late {
                Some(key) => _ = self.late.insert(key, statement),
                None => self.ready.push_back(statement),
            }
        }
        self.ready.extend(tiles.into_iter().map(|tile| {
            let values = vec![tile.level.into(), tile.number.into(), Value::Bytes(tile.hashes)];
            Statement::new("INSERT INTO tiles (level, number, hashes) VALUES (?1, ?2, ?3)", values)
        }));
    }
}

impl Iterator for Unfolding<'_> {
    type Item = Result<Statement, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() && !self.over {
            match self.entries.next() {
                Some(Ok(entry)) => self.take(entry),
                Some(Err(error)) => return Some(Err(error)),
                None => {
                    self.over = true;
                    self.ready.extend(std::mem::take(&mut self.late).into_values());
                }
            }
        }
        self.ready.pop_front().map(Ok)
    }
}

impl Store {
    /// Commits all of it or nothing; `Ok` means durable.
    pub fn write(&mut self, fence: Fence, write: Write, entries: Entries<'_>) -> Result<(), Error> {
        let ready = self.first(write).into();
        let mut statements = Unfolding { entries, ready, late: BTreeMap::new(), over: false };
        self.engine.write(fence, &mut statements)
    }

    fn first(&self, write: Write) -> Vec<Statement> {
        let dialect = self.engine.dialect();
        let mut all = write
            .migrate_from
            .map_or_else(Vec::new, |from| migrate::statements(dialect, migrate::VERSIONS, from));
        if let Some((size, note)) = write.checkpoint {
            let values = vec![size.into(), Value::Text(note)];
            all.push(Statement::new("INSERT INTO checkpoints (size, note) VALUES (?1, ?2)", values));
        }
        if let Some(size) = write.superseded {
            all.push(Statement::new("DELETE FROM checkpoints WHERE size = ?1", vec![size.into()]));
        }
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
                // The numbers of a damaged file may lead back to where the reading was: it would have no end.
                let rises = u64::try_from(seq).ok().filter(|seq| *seq >= next.unwrap_or(from));
                let seq = rises.ok_or_else(|| unreadable("log", &seq.to_string()))?;
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
