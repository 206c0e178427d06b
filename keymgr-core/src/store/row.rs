//! Objects as rows: how an object of the core becomes a row, and what exactly the log says about that row.

use super::schema::Table;
use super::value::{Value, ValueRef};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::ops::Range;

/// SHA-256.
pub type Hash = [u8; 32];

/// An object that has a row.
pub trait Stored: Serialize + DeserializeOwned {
    /// Where its row is.
    const TABLE: Table;

    /// The key of the row, unique in the table. Pages are in the order of its bytes.
    fn key(&self) -> Vec<u8>;

    /// Values of the columns the table has; those not named are null.
    fn columns(&self) -> Vec<(&'static str, Value)>;

    /// The exact bytes to keep. Objects that came signed give the bytes as received instead of this.
    fn body(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The object again.
    fn from_body(body: &[u8]) -> Result<Self, serde_json::Error> {
        keylink::wire::read(body)
    }
}

/// One change of state, to be committed together with the log entry that explains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Writes the row, new or over the old one.
    Put {
        /// Where.
        table: Table,
        /// Which row.
        key: Vec<u8>,
        /// Values in the table's order.
        columns: Vec<Value>,
        /// The object.
        body: Vec<u8>,
    },
    /// Takes the row away.
    Delete {
        /// Where.
        table: Table,
        /// Which row.
        key: Vec<u8>,
    },
}

impl Change {
    /// Writes the object's row.
    ///
    /// # Panics
    /// If the object names a column that its table does not have or gives a value of another kind: a mistake
    /// of the program that the first test of the object meets.
    pub fn put<S: Stored>(object: &S) -> Self {
        Self::raw(S::TABLE, object.key(), &object.columns(), object.body())
    }

    /// Takes the object's row away.
    pub fn delete<S: Stored>(object: &S) -> Self {
        Self::Delete { table: S::TABLE, key: object.key() }
    }

    /// Writes a row that has no type of its own.
    ///
    /// # Panics
    /// As [`Change::put`].
    pub fn raw(table: Table, key: Vec<u8>, named: &[(&str, Value)], body: Vec<u8>) -> Self {
        let definition = table.definition();
        let mut columns = vec![Value::Null; definition.columns.len()];
        for (name, value) in named {
            let at =
                table.column(name).unwrap_or_else(|| panic!("{}.{name} is not in the schema", table.name()));
            assert!(value.fits(definition.columns[at].1), "{}.{name}: a value of another kind", table.name());
            columns[at] = value.clone();
        }
        Self::Put { table, key, columns, body }
    }

    /// Where, and which row.
    pub fn place(&self) -> (Table, &[u8]) {
        match self {
            Self::Put { table, key, .. } | Self::Delete { table, key } => (*table, key),
        }
    }

    /// What the log says of it: the hash of the row as it will be under this log entry, or none for a row
    /// that goes.
    pub fn image(&self, log_seq: u64) -> Option<Hash> {
        match self {
            Self::Put { table, key, columns, body } => Some(image(*table, key, columns, body, log_seq)),
            Self::Delete { .. } => None,
        }
    }
}

/// A row as it stands in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Where.
    pub table: Table,
    /// Which.
    pub key: Vec<u8>,
    /// Values in the table's order.
    pub columns: Vec<Value>,
    /// The object.
    pub body: Vec<u8>,
    /// The log entry that wrote it.
    pub log_seq: u64,
}

impl Row {
    /// SHA-256 over all that the row holds.
    pub fn image(&self) -> Hash {
        image(self.table, &self.key, &self.columns, &self.body, self.log_seq)
    }

    /// The object in it.
    pub fn object<S: Stored>(&self) -> Result<S, serde_json::Error> {
        S::from_body(&self.body)
    }

    /// A column by name; null if the table has none of that name.
    pub fn column(&self, name: &str) -> &Value {
        self.table.column(name).and_then(|at| self.columns.get(at)).unwrap_or(&Value::Null)
    }
}

// Null columns are left out: a column that a later schema adds does not change the image of old rows, and a
// value that becomes null or stops being null does. All before the body is hashed in one go: a start hashes a row for
// every key, and each of many small pieces costs the hash as much as a block.
fn image(table: Table, key: &[u8], columns: &[Value], body: &[u8], log_seq: u64) -> Hash {
    let mut head = Vec::with_capacity(512);
    push_head(&mut head, table, key, columns.iter().map(Value::by_ref));
    head.extend_from_slice(&(body.len() as u64).to_be_bytes());
    let mut hash = Sha256::new();
    hash.update(&head);
    hash.update(body);
    hash.update(log_seq.to_be_bytes());
    hash.finalize().into()
}

/// Writes what of an image's text comes before the body and its length; gives where in it the key is.
pub(super) fn push_head<'v>(
    head: &mut Vec<u8>,
    table: Table,
    key: &[u8],
    columns: impl IntoIterator<Item = ValueRef<'v>>,
) -> Range<usize> {
    head.extend_from_slice(b"payhsm/row/v1");
    sized(head, table.name().as_bytes());
    sized(head, key);
    let place = head.len() - key.len()..head.len();
    for ((name, _), value) in table.definition().columns.iter().zip(columns) {
        let (tag, bytes): (u8, &[u8]) = match value {
            ValueRef::Null => continue,
            ValueRef::Int(number) => (b'i', &number.to_be_bytes()),
            ValueRef::Text(text) => (b't', text.as_bytes()),
            ValueRef::Bytes(bytes) => (b'b', bytes),
        };
        sized(head, name.as_bytes());
        head.push(tag);
        sized(head, bytes);
    }
    sized(head, b"");
    place
}

fn sized(head: &mut Vec<u8>, bytes: &[u8]) {
    head.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
    head.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            table: Table::Zones,
            key: b"k".to_vec(),
            columns: vec!["maestro".into(), "active".into()],
            body: b"{}".to_vec(),
            log_seq: 3,
        }
    }

    #[test]
    fn every_part_of_a_row_is_in_its_image() {
        let changed: [fn(&mut Row); 7] = [
            |row| row.key.push(0),
            |row| row.columns[0] = "maestra".into(),
            |row| row.columns[0] = Value::Null,
            |row| row.columns.swap(0, 1),
            |row| row.columns[1] = Value::Bytes(b"active".to_vec()),
            |row| row.body.push(b' '),
            |row| row.log_seq = 4,
        ];
        let images: std::collections::HashSet<Hash> = changed
            .iter()
            .map(|change| {
                let mut other = row();
                change(&mut other);
                other.image()
            })
            .chain([row().image()])
            .collect();
        assert_eq!(images.len(), changed.len() + 1);
    }

    #[test]
    fn a_change_says_the_image_that_its_row_will_have() {
        let Row { table, key, body, log_seq, .. } = row();
        let named = [("state", Value::from("active")), ("alias", "maestro".into())];
        let change = Change::raw(table, key.clone(), &named, body);
        assert_eq!(change.image(log_seq), Some(row().image()));
        assert_eq!(Change::Delete { table, key }.image(log_seq), None);
    }

    #[test]
    #[should_panic(expected = "zones.colour is not in the schema")]
    fn a_column_outside_the_schema_is_refused() {
        Change::raw(Table::Zones, vec![1], &[("colour", Value::Null)], vec![]);
    }

    #[test]
    #[should_panic(expected = "another kind")]
    fn a_value_of_another_kind_is_refused() {
        Change::raw(Table::Zones, vec![1], &[("alias", Value::Int(1))], vec![]);
    }
}
