//! Rows of one table, many in one piece of memory: a start of a large centre reads a million, and what it costs is
//! little else than what it costs to put them somewhere.
//!
//! A row lies there as the text whose hash is its image, so that it is hashed where it is; its key and its body are
//! parts of that text. Its columns cannot be asked for: the truth is the body.

use super::row::{Hash, Row, push_head};
use super::schema::Table;
use super::value::{Value, ValueRef};
use sha2::{Digest, Sha256};
use std::ops::Range;

/// Rows of one table.
#[derive(Clone, Debug)]
pub struct Packed {
    table: Table,
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

/// Where a row is: its text, and what of it is key and body.
#[derive(Clone, Debug)]
struct Span {
    whole: Range<usize>,
    key: Range<usize>,
    body: Range<usize>,
}

/// One of the rows.
#[derive(Clone, Copy, Debug)]
pub struct PackedRow<'a> {
    /// Where.
    pub table: Table,
    /// Which.
    pub key: &'a [u8],
    /// The object.
    pub body: &'a [u8],
    /// The log entry that wrote it.
    pub log_seq: u64,
    whole: &'a [u8],
}

impl Packed {
    /// No rows yet, and room for so many bytes of them.
    pub fn with_room(table: Table, bytes: usize) -> Self {
        Self { table, bytes: Vec::with_capacity(bytes), spans: Vec::with_capacity(bytes / 512) }
    }

    /// These rows of one table.
    pub fn of<'r>(table: Table, rows: impl IntoIterator<Item = &'r Row>) -> Self {
        let mut packed = Self::with_room(table, 0);
        for row in rows {
            packed.push(&row.key, row.columns.iter().map(Value::by_ref), &row.body, row.log_seq);
        }
        packed
    }

    /// Takes a row in; values of columns in the table's order.
    pub fn push<'v>(
        &mut self,
        key: &[u8],
        columns: impl IntoIterator<Item = ValueRef<'v>>,
        body: &[u8],
        log_seq: u64,
    ) {
        let bytes = &mut self.bytes;
        let begin = bytes.len();
        let key = push_head(bytes, self.table, key, columns);
        bytes.extend_from_slice(&(body.len() as u64).to_be_bytes());
        let body_at = bytes.len();
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(&log_seq.to_be_bytes());
        self.spans.push(Span { whole: begin..bytes.len(), key, body: body_at..body_at + body.len() });
    }

    /// How many bytes they take.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The rows.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = PackedRow<'_>> {
        self.spans.iter().map(|span| {
            let whole = &self.bytes[span.whole.clone()];
            PackedRow {
                table: self.table,
                key: &self.bytes[span.key.clone()],
                body: &self.bytes[span.body.clone()],
                log_seq: whole.last_chunk().map_or(0, |last| u64::from_be_bytes(*last)),
                whole,
            }
        })
    }
}

impl PackedRow<'_> {
    /// What the log says of it, as [`Row::image`].
    pub fn image(&self) -> Hash {
        Sha256::digest(self.whole).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_row_is_the_row() {
        let row = |n: u8| Row {
            table: Table::Actions,
            key: vec![n; n.into()],
            columns: vec![Value::Null, "state".into(), Value::Int(-3)],
            body: vec![b'b'; usize::from(n) * 100],
            log_seq: u64::MAX - u64::from(n),
        };
        let rows: Vec<Row> = (0..9).map(row).collect();
        let packed = Packed::of(Table::Actions, &rows);
        assert_eq!(packed.rows().len(), rows.len());
        for (packed, row) in packed.rows().zip(&rows) {
            assert_eq!(
                (packed.table, packed.key, packed.body, packed.log_seq, packed.image()),
                (row.table, row.key.as_slice(), row.body.as_slice(), row.log_seq, row.image())
            );
        }
    }
}
