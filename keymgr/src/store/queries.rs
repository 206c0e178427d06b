//! Reading rows: one by key, pages in key order, pages by an indexed column. A page is cut by the last place
//! it gave, never by an offset, so that the millionth row costs what the first does.

use super::engine::Statement;
use super::error::Error;
use super::{Change, Packed, Row, Store, Table, Value, ValueRef};
use std::collections::HashMap;
use std::sync::LazyLock;

/// Rows that are read in no order are given when there are so many bytes of them.
const PIECE: usize = 128 << 10;

/// The place after which a page by a column begins: the column's value and the key of the last row.
pub type Cursor = (Value, Vec<u8>);

impl Store {
    /// The row of this key.
    pub fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Row>, Error> {
        let sql = format!("SELECT {} FROM {} WHERE key = ?1", columns(table), table.name());
        Ok(self.rows(table, sql, vec![key.into()])?.pop())
    }

    /// How many rows a table has.
    pub fn count(&mut self, table: Table) -> Result<u64, Error> {
        let sql = format!("SELECT COUNT(*) FROM {}", table.name());
        self.number(&Statement::new(sql, Vec::new()))
    }

    /// The rows after this key, in key order.
    pub fn page(&mut self, table: Table, after: Option<&[u8]>, limit: u32) -> Result<Vec<Row>, Error> {
        let (columns, name) = (columns(table), table.name());
        match after {
            Some(key) => self.rows(
                table,
                format!("SELECT {columns} FROM {name} WHERE key > ?1 ORDER BY key LIMIT ?2"),
                vec![key.into(), limit.into()],
            ),
            None => self.rows(
                table,
                format!("SELECT {columns} FROM {name} ORDER BY key LIMIT ?1"),
                vec![limit.into()],
            ),
        }
    }

    /// Every row of a table in no order, many at a time.
    pub fn each_in_no_order(
        &mut self,
        table: Table,
        each: &mut dyn FnMut(Packed) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let sql = format!("SELECT {} FROM {}", columns(table), table.name());
        let mut piece = Packed::with_room(table, 0);
        self.engine.scan(&Statement::new(sql, Vec::new()), &mut |values| {
            pack(table, values, &mut piece)?;
            if piece.size() < PIECE {
                return Ok(());
            }
            each(std::mem::replace(&mut piece, Packed::with_room(table, PIECE + PIECE / 8)))
        })?;
        if piece.is_empty() { Ok(()) } else { each(piece) }
    }

    /// The rows whose column has this value, after this key, in key order.
    pub fn page_where(
        &mut self,
        table: Table,
        column: &'static str,
        value: impl Into<Value>,
        after: Option<&[u8]>,
        limit: u32,
    ) -> Result<Vec<Row>, Error> {
        let (columns, name) = (columns(table), table.name());
        let sql = format!(
            "SELECT {columns} FROM {name} WHERE {column} = ?1 AND key > ?2 ORDER BY {column}, key LIMIT ?3"
        );
        self.rows(table, sql, vec![value.into(), after.unwrap_or_default().into(), limit.into()])
    }

    /// The rows whose key begins with this, after this key, in key order: what is numbered under one owner.
    pub fn page_under(
        &mut self,
        table: Table,
        owner: &[u8],
        after: Option<&[u8]>,
        limit: u32,
    ) -> Result<Vec<Row>, Error> {
        let after = after.unwrap_or_default().max(owner);
        let mut rows = self.page(table, Some(after), limit)?;
        rows.retain(|row| row.key.starts_with(owner));
        Ok(rows)
    }

    /// The rows whose column is at most this number, in the order of the column and the key: what expires,
    /// what is due. `after` is [`cursor`] of the last row of the page before.
    pub fn page_until(
        &mut self,
        table: Table,
        column: &'static str,
        most: u64,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Vec<Row>, Error> {
        let Statement { sql, values, .. } = until(table, &columns(table), column, most, after, limit);
        self.rows(table, sql.into_owned(), values)
    }

    /// The places of the rows that [`Store::page_until`] gives, read from the index alone: for those who have the
    /// records at hand.
    pub fn places_until(
        &mut self,
        table: Table,
        column: &'static str,
        most: u64,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Vec<Cursor>, Error> {
        let statement = until(table, &format!("{column}, key"), column, most, after, limit);
        let mut places = Vec::new();
        self.engine.query(&statement, &mut |mut values| match (values.pop(), values.pop()) {
            (Some(Value::Bytes(key)), Some(value)) => {
                places.push((value, key));
                Ok(())
            }
            _ => Err(Error::unreadable(table, b"", "a key holds what is never written")),
        })?;
        Ok(places)
    }

    /// How many rows have a column of at most this number.
    pub fn count_until(&mut self, table: Table, column: &'static str, most: u64) -> Result<u64, Error> {
        let sql = format!("SELECT COUNT(*) FROM {} WHERE {column} <= ?1", table.name());
        self.number(&Statement::new(sql, vec![most.into()]))
    }

    /// Every row of a table in key order.
    pub fn each_row(
        &mut self,
        table: Table,
        each: &mut dyn FnMut(Row) -> Result<(), Error>,
    ) -> Result<(), Error> {
        const AT_ONCE: u32 = 4096;
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = self.page(table, after.as_deref(), AT_ONCE)?;
            if page.is_empty() {
                return Ok(());
            }
            for row in page {
                // The index of a damaged file may lead back to where the reading was: it would have no end.
                if after.as_ref().is_some_and(|after| row.key <= *after) {
                    return Err(Error::unreadable(table, &row.key, "its key stands behind a greater one"));
                }
                after = Some(row.key.clone());
                each(row)?;
            }
        }
    }

    fn rows(&mut self, table: Table, sql: String, values: Vec<Value>) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        self.engine.query(&Statement::new(sql, values), &mut |values| {
            rows.push(row(table, values)?);
            Ok(())
        })?;
        Ok(rows)
    }

    pub(super) fn number(&mut self, statement: &Statement) -> Result<u64, Error> {
        let mut found = 0;
        self.engine.query(statement, &mut |values| {
            found = values.first().and_then(Value::int).map_or(0, i64::cast_unsigned);
            Ok(())
        })?;
        Ok(found)
    }
}

/// The place of a row in a page by this column.
pub fn cursor(row: &Row, column: &str) -> Cursor {
    (row.column(column).clone(), row.key.clone())
}

// These columns of the rows whose `column` is at most this number, in its order and that of the key.
fn until(
    table: Table,
    columns: &str,
    column: &str,
    most: u64,
    after: Option<&Cursor>,
    limit: u32,
) -> Statement {
    let sql = format!(
        "SELECT {columns} FROM {} WHERE {column} <= ?1 AND ({column}, key) > (?2, ?3) \
         ORDER BY {column}, key LIMIT ?4",
        table.name()
    );
    let (value, key) = after.cloned().unwrap_or((Value::Int(i64::MIN), Vec::new()));
    Statement::new(sql, vec![most.into(), value, Value::Bytes(key), limit.into()])
}

/// The columns of a table as a query names them.
fn columns(table: Table) -> String {
    let named: String = table.definition().columns.iter().map(|(name, _)| format!("{name}, ")).collect();
    format!("key, {named}body, log_seq")
}

fn pack(table: Table, values: &[ValueRef<'_>], into: &mut Packed) -> Result<(), Error> {
    let wrong = |key: &[u8]| Error::unreadable(table, key, "a column holds what is never written");
    match values {
        [ValueRef::Bytes(key), columns @ .., ValueRef::Bytes(body), ValueRef::Int(log_seq)] => {
            let log_seq = u64::try_from(*log_seq).map_err(|_| wrong(key))?;
            into.push(key, columns.iter().copied(), body, log_seq);
            Ok(())
        }
        [ValueRef::Bytes(key), ..] => Err(wrong(key)),
        _ => Err(wrong(b"")),
    }
}

fn row(table: Table, mut values: Vec<Value>) -> Result<Row, Error> {
    let wrong = |key: &[u8]| Error::unreadable(table, key, "a column holds what is never written");
    let log_seq = values.pop().and_then(|value| value.int()).and_then(|seq| u64::try_from(seq).ok());
    let body = values.pop();
    if values.is_empty() {
        return Err(wrong(b""));
    }
    let Value::Bytes(key) = values.remove(0) else { return Err(wrong(b"")) };
    match (body, log_seq) {
        (Some(Value::Bytes(body)), Some(log_seq)) => Ok(Row { table, key, columns: values, body, log_seq }),
        _ => Err(wrong(&key)),
    }
}

/// The statement that makes a change under this log entry.
pub(super) fn statement(change: Change, log_seq: u64) -> Statement {
    match change {
        Change::Put { table, key, columns: named, body } => {
            let mut values = vec![Value::Bytes(key)];
            values.extend(named);
            values.extend([Value::Bytes(body), log_seq.into()]);
            let (upsert, lighter) = written(table);
            // Evidence and answers are written once.
            let lighter = Table::AT_HAND.contains(&table).then_some(lighter);
            Statement { lighter, ..Statement::new(upsert, values) }
        }
        Change::Delete { table, key } => {
            Statement::new(format!("DELETE FROM {} WHERE key = ?1", table.name()), vec![Value::Bytes(key)])
        }
    }
}

// How a row is written, and how one is of which nothing indexed is another; said once for each table and process.
fn written(table: Table) -> (&'static str, &'static str) {
    static ALL: LazyLock<HashMap<Table, (String, String)>> = LazyLock::new(|| {
        Table::ALL.iter().map(|table| (*table, (upsert(*table), lighter(*table)))).collect()
    });
    let (upsert, lighter) = &ALL[&table];
    (upsert, lighter)
}

fn lighter(table: Table) -> String {
    let definition = table.definition();
    let columns = || definition.columns.iter().map(|(name, _)| *name).zip(2..);
    let indexed = |name: &str| definition.indexed.contains(&name);
    let same = columns().filter(|(name, _)| indexed(name)).map(|(name, at)| format!(" AND {name} IS ?{at}"));
    let (body, log_seq) = (definition.columns.len() + 2, definition.columns.len() + 3);
    let rest = [("body", body), ("log_seq", log_seq)];
    let sets = columns().filter(|(name, _)| !indexed(name)).chain(rest);
    let sets: Vec<String> = sets.map(|(name, at)| format!("{name} = ?{at}")).collect();
    format!("UPDATE {} SET {} WHERE key = ?1{}", definition.name, sets.join(", "), same.collect::<String>())
}

fn upsert(table: Table) -> String {
    let definition = table.definition();
    let places: Vec<String> = (1..=definition.columns.len() + 3).map(|at| format!("?{at}")).collect();
    let names = definition.columns.iter().map(|(name, _)| *name).chain(["body", "log_seq"]);
    let sets: Vec<String> = names.map(|name| format!("{name} = excluded.{name}")).collect();
    format!(
        "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT (key) DO UPDATE SET {}",
        definition.name,
        columns(table),
        places.join(", "),
        sets.join(", ")
    )
}
