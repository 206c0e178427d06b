//! Every column that the database says it has is changed, and each change is named.

use crate::common::Place;
use crate::{fill, named};
use keymgr::store::{Kind, Table, key_text};
use std::collections::BTreeSet;

struct Column {
    table: String,
    name: String,
    kind: Kind,
    /// The columns of the table's primary key.
    keys: Vec<String>,
}

/// What the database itself says that it has: a column that a later schema adds cannot be forgotten here.
fn every_column(place: &Place) -> Vec<Column> {
    let sql = match place {
        Place::Sqlite(_) => {
            "SELECT m.name, c.name, c.type, c.pk FROM sqlite_schema m JOIN pragma_table_xinfo(m.name) c \
             WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' ORDER BY m.name, c.cid"
        }
        Place::Postgres(..) => {
            "SELECT c.relname, a.attname, format_type(a.atttypid, NULL), \
             COALESCE(array_position(i.indkey::int2[], a.attnum) + 1, 0) \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public' \
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
             LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary \
             WHERE c.relkind IN ('r', 'p') ORDER BY c.relname, a.attnum"
        }
    };
    let rows: Vec<Vec<String>> =
        look(place, sql).into_iter().map(|row| row.into_iter().map(Option::unwrap).collect()).collect();
    let keys = |table: &str| {
        let mut keys: Vec<_> = rows.iter().filter(|row| row[0] == table && row[3] != "0").collect();
        keys.sort_by_key(|row| row[3].clone());
        keys.into_iter().map(|row| row[1].clone()).collect()
    };
    let kind = |word: &str| match word {
        "INTEGER" | "bigint" => Kind::Int,
        "TEXT" | "text" => Kind::Text,
        "BLOB" | "bytea" => Kind::Bytes,
        other => panic!("a column of type {other}"),
    };
    let column = |row: &Vec<String>| Column {
        table: row[0].clone(),
        name: row[1].clone(),
        kind: kind(&row[2]),
        keys: keys(&row[0]),
    };
    rows.iter().map(column).collect()
}

/// Reads with SQL beside the store: rows of text, bytes as hex.
fn look(place: &Place, sql: &str) -> Vec<Vec<Option<String>>> {
    match place {
        Place::Postgres(cluster, database) => {
            let rows = cluster.try_run(database, sql).unwrap();
            let plain = |text: String| text.strip_prefix("\\x").map_or(text.clone(), str::to_owned);
            rows.into_iter().map(|row| row.into_iter().map(|text| text.map(plain)).collect()).collect()
        }
        Place::Sqlite(_) => {
            let connection = rusqlite::Connection::open(place.file()).unwrap();
            let mut query = connection.prepare(sql).unwrap();
            let width = query.column_count();
            let rows = query.query_map([], |row| {
                (0..width)
                    .map(|at| {
                        Ok(match row.get::<_, rusqlite::types::Value>(at)? {
                            rusqlite::types::Value::Null => None,
                            rusqlite::types::Value::Integer(number) => Some(number.to_string()),
                            rusqlite::types::Value::Text(text) => Some(text),
                            rusqlite::types::Value::Blob(bytes) => Some(hex::encode(bytes)),
                            rusqlite::types::Value::Real(_) => panic!("a float"),
                        })
                    })
                    .collect()
            });
            rows.unwrap().collect::<Result<_, _>>().unwrap()
        }
    }
}

/// SQL for a value as `look` gave it.
fn literal(place: &Place, kind: Kind, text: Option<&str>) -> String {
    match (text, kind) {
        (None, _) => "NULL".to_owned(),
        (Some(text), Kind::Int) => text.to_owned(),
        (Some(text), Kind::Text) => format!("'{}'", text.replace('\'', "''")),
        (Some(text), Kind::Bytes) => place.bytes(&hex::decode(text).unwrap()),
    }
}

fn changed(place: &Place, kind: Kind, name: &str, old: Option<&str>) -> String {
    let Some(old) = old else {
        return literal(place, kind, Some(if kind == Kind::Text { "new" } else { "11" }));
    };
    match kind {
        Kind::Int => (old.parse::<i64>().unwrap() + 100_000).to_string(),
        Kind::Text if name == "line" => {
            literal(place, kind, Some(&old.replacen("anna", "ANNA", 1).replacen("manager", "MANAGER", 1)))
        }
        Kind::Text if name == "note" => {
            // One character of the signature.
            let at = old.len() - 10;
            let other = if &old[at..=at] == "A" { "B" } else { "A" };
            literal(place, kind, Some(&format!("{}{other}{}", &old[..at], &old[at + 1..])))
        }
        Kind::Text => literal(place, kind, Some(&format!("{old}x"))),
        Kind::Bytes => literal(place, kind, Some(&format!("{old}00"))),
    }
}

fn nullable(column: &Column) -> bool {
    !column.keys.contains(&column.name)
        && !["body", "log_seq", "line", "note", "hashes"].contains(&column.name.as_str())
}

// The key as findings name it.
fn finding_key(column: &Column, row: &[Option<String>]) -> String {
    let keys: Vec<String> = row.iter().take(column.keys.len()).map(|key| key.clone().unwrap()).collect();
    if column.keys == ["key"] { key_text(&hex::decode(&keys[0]).unwrap()) } else { keys.join("/") }
}

fn attempts(place: &Place, column: &Column) -> usize {
    let Column { table, name, kind, keys } = column;
    let order = keys.join(", ");
    let rows = look(place, &format!("SELECT {order}, {name} FROM {table} ORDER BY {order}"));
    assert!(!rows.is_empty(), "{table} has no row to change");
    let last = rows.len() - 1;
    let mut picks: Vec<usize> = vec![0, last / 2, last];
    picks.dedup();
    let mut done = 0;
    for pick in picks {
        let row = &rows[pick];
        let old = row[keys.len()].as_deref();
        let mut values = vec![changed(place, *kind, name, old)];
        if nullable(column) && old.is_some() {
            values.push("NULL".to_owned());
        }
        for value in values {
            let key_kind = if *keys == ["key"] { Kind::Bytes } else { Kind::Int };
            let find = |name_is: Option<&str>| {
                let parts = keys.iter().zip(row).map(|(key, is)| {
                    let is = if Some(key.as_str()) == name_is {
                        value.clone()
                    } else {
                        literal(place, key_kind, is.as_deref())
                    };
                    format!("{key} = {is}")
                });
                parts.collect::<Vec<_>>().join(" AND ")
            };
            place.run(&format!("UPDATE {table} SET {name} = {value} WHERE {}", find(None)));
            let report = place.verify();
            let key = finding_key(column, row);
            let found = named(&report).contains(&(table.clone(), key.clone()));
            assert!(
                !report.holds && found,
                "{}: {table}.{name} of {key} = {value}: {:?}",
                place.name(),
                report.findings
            );
            let back = literal(place, *kind, old);
            place.run(&format!("UPDATE {table} SET {name} = {back} WHERE {}", find(Some(name))));
            done += 1;
        }
    }
    done
}

#[test]
fn both_databases_have_the_columns_of_the_schema_and_no_other() {
    for place in Place::all() {
        drop(place.lead().unwrap());
        let mut has: Vec<_> =
            every_column(&place).iter().map(|c| format!("{}.{} {:?}", c.table, c.name, c.kind)).collect();
        let mut wanted: Vec<String> = Vec::new();
        for table in Table::ALL {
            let mut want = |name: &str, kind| wanted.push(format!("{}.{name} {kind:?}", table.name()));
            want("key", Kind::Bytes);
            table.definition().columns.iter().for_each(|(name, kind)| want(name, *kind));
            want("body", Kind::Bytes);
            want("log_seq", Kind::Int);
        }
        let log = ["log.seq Int", "log.line Text", "checkpoints.size Int", "checkpoints.note Text"];
        let tiles = ["tiles.level Int", "tiles.number Int", "tiles.hashes Bytes"];
        wanted.extend(log.iter().chain(&tiles).map(|word| (*word).to_owned()));
        has.sort();
        wanted.sort();
        assert_eq!(has, wanted, "{}", place.name());
    }
}

#[test]
fn every_column_of_every_table_changed_once_is_named() {
    for place in Place::all() {
        fill(&mut place.lead().unwrap(), 300);
        assert!(place.verify().holds, "{:?}", place.verify().findings);
        let columns = every_column(&place);
        let done: usize = columns.iter().map(|column| attempts(&place, column)).sum();
        assert!(place.verify().holds, "after all was put back: {:?}", place.verify().findings);
        let tables: BTreeSet<_> = columns.iter().map(|column| &column.table).collect();
        println!(
            "{}: {} columns of {} tables, {done} changes, each named",
            place.name(),
            columns.len(),
            tables.len()
        );
    }
}
