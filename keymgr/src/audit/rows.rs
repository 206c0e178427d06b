//! Rows as lines of an export: `row TABLE KEY LOG_SEQ COLUMN=VALUE… body=VALUE`. The key is hex; a value is
//! `i` and a number, `t` and text with `%xx` for what is not printable, or `x` and hex; null columns are left
//! out.

use crate::store::{Row, Table, Value};
use std::fmt::Write;

/// Writes the line of a row, without the line feed.
pub(super) fn line(row: &Row, out: &mut String) {
    let _ = write!(out, "row {} {} {}", row.table.name(), hex::encode(&row.key), row.log_seq);
    for ((name, _), value) in row.table.definition().columns.iter().zip(&row.columns) {
        match value {
            Value::Null => {}
            Value::Int(number) => {
                let _ = write!(out, " {name}=i{number}");
            }
            Value::Text(text) => {
                let _ = write!(out, " {name}=t");
                escape(text, out);
            }
            Value::Bytes(bytes) => {
                let _ = write!(out, " {name}=x{}", hex::encode(bytes));
            }
        }
    }
    match std::str::from_utf8(&row.body) {
        Ok(text) => {
            out.push_str(" body=t");
            escape(text, out);
        }
        Err(_) => {
            let _ = write!(out, " body=x{}", hex::encode(&row.body));
        }
    }
}

/// Reads the line of a row, behind the word `row`.
pub(super) fn parse(line: &str) -> Option<Row> {
    let mut words = line.split(' ');
    let table = Table::named(words.next()?)?;
    let key = hex::decode(words.next()?).ok()?;
    let log_seq = words.next()?.parse().ok()?;
    let mut columns = vec![Value::Null; table.definition().columns.len()];
    let mut body = None;
    for word in words {
        let (name, written) = word.split_once('=')?;
        let value = value(written)?;
        match (name, value) {
            ("body", Value::Text(text)) => body = Some(text.into_bytes()),
            ("body", Value::Bytes(bytes)) => body = Some(bytes),
            (name, value) => *columns.get_mut(table.column(name)?)? = value,
        }
    }
    Some(Row { table, key, columns, body: body?, log_seq })
}

fn value(written: &str) -> Option<Value> {
    let (kind, rest) = written.split_at_checked(1)?;
    match kind {
        "i" => rest.parse().ok().map(Value::Int),
        "t" => unescape(rest).map(Value::Text),
        "x" => hex::decode(rest).ok().map(Value::Bytes),
        _ => None,
    }
}

/// Text in one word of printable characters.
pub(super) fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02x}");
        }
    }
}

/// The text of such a word.
pub(super) fn unescape(word: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut parts = word.split('%');
    bytes.extend(parts.next()?.bytes());
    for part in parts {
        let (escaped, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(escaped, 16).ok()?);
        bytes.extend(rest.bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            key in prop::collection::vec(any::<u8>(), 0..20), number: Option<i64>, text in ".*",
            body in prop::collection::vec(any::<u8>(), 0..60), log_seq in 0..u64::MAX,
        ) {
            let columns = vec![Value::Null, number.map_or(Value::Null, Value::Int), Value::Text(text), Value::Null, Value::Int(0)];
            let row = Row { table: Table::Generations, key, columns, body, log_seq };
            let mut written = String::new();
            line(&row, &mut written);
            prop_assert!(written.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
            prop_assert_eq!(parse(written.strip_prefix("row ").unwrap()), Some(row));
        }

        #[test]
        fn nothing_a_file_holds_makes_it_panic(line in ".*") {
            let _ = parse(&line);
        }
    }
}
