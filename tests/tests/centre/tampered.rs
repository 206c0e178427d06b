//! Whoever can write to the store of a centre that has rotated its keys cannot write unseen: in a copy for each column of
//! each table that has rows, one value is changed with SQL, and `payhsm audit verify --signatures` names table and key.

use crate::house::Centre;
use crate::nodes;
use crate::rotation::{enrolled, rotate, wishes};
use crate::shown;
use keymgr::client::plan_zone;
use keymgr::core::campaign::Phase;
use keymgr::store::key_text;
use rusqlite::Connection;
use rusqlite::types::Value;
use serde_json::Value as Json;
use std::path::Path;
use std::process::Command;

struct Column {
    table: String,
    name: String,
    /// The columns of the table's primary key.
    keys: Vec<String>,
}

// What the database itself says that it has, where there is a row.
fn columns(store: &Connection) -> Vec<Column> {
    let sql = "SELECT m.name, c.name, c.pk FROM sqlite_schema m JOIN pragma_table_xinfo(m.name) c \
               WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' ORDER BY m.name, c.cid";
    let mut query = store.prepare(sql).unwrap();
    let all: Vec<(String, String, i64)> = query
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let has_rows = |table: &str| {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {table})");
        store.query_row(&sql, [], |row| row.get::<_, bool>(0)).unwrap()
    };
    let keys = |table: &str| {
        let mut keys: Vec<_> = all.iter().filter(|one| one.0 == table && one.2 > 0).collect();
        keys.sort_by_key(|one| one.2);
        keys.into_iter().map(|one| one.1.clone()).collect()
    };
    let filled = all.iter().filter(|one| has_rows(&one.0));
    filled
        .map(|(table, name, _)| Column { table: table.clone(), name: name.clone(), keys: keys(table) })
        .collect()
}

fn other(name: &str, value: Value) -> Value {
    match value {
        Value::Null => Value::Text("new".to_owned()),
        Value::Integer(number) => Value::Integer(number + 100_000),
        // One character of a signature; else it is no note.
        Value::Text(text) if name == "note" => {
            let at = text.len() - 10;
            let other = if &text[at..=at] == "A" { "B" } else { "A" };
            Value::Text(format!("{}{other}{}", &text[..at], &text[at + 1..]))
        }
        Value::Text(text) => Value::Text(format!("{text}x")),
        Value::Blob(bytes) => Value::Blob([&bytes[..], &[0]].concat()),
        Value::Real(_) => panic!("a float"),
    }
}

// Changes the column in the middle row of its table; gives the key of that row as findings name it.
fn change(store: &Connection, column: &Column) -> String {
    let Column { table, name, keys } = column;
    let order = keys.join(", ");
    let middle = format!("FROM {table} ORDER BY {order} LIMIT 1 OFFSET (SELECT COUNT(*) / 2 FROM {table})");
    let read = |what: &str| -> Value {
        store.query_row(&format!("SELECT {what} {middle}"), [], |row| row.get(0)).unwrap()
    };
    let (old, key): (Value, Vec<Value>) = (read(name), keys.iter().map(|key| read(key)).collect());
    let kind = format!("SELECT type FROM pragma_table_xinfo('{table}') WHERE name = '{name}'");
    let kind: String = store.query_row(&kind, [], |row| row.get(0)).unwrap();
    let new = match (old, kind.as_str()) {
        (Value::Null, "INTEGER") => Value::Integer(11),
        (Value::Null, "BLOB") => Value::Blob(vec![11]),
        (old, _) => other(name, old),
    };
    let named: Vec<String> = keys.iter().zip(2..).map(|(key, n)| format!("{key} = ?{n}")).collect();
    let sql = format!("UPDATE {table} SET {name} = ?1 WHERE {}", named.join(" AND "));
    let values = std::iter::once(&new).chain(&key);
    assert_eq!(store.execute(&sql, rusqlite::params_from_iter(values)).unwrap(), 1, "{sql}");
    let text = |value: &Value| match value {
        Value::Blob(bytes) => key_text(bytes),
        Value::Integer(number) => number.to_string(),
        other => panic!("{other:?} as a key"),
    };
    key.iter().map(text).collect::<Vec<_>>().join("/")
}

fn verify(store: &Path) -> (Option<i32>, Json) {
    let mut command = Command::new(tests::server::program());
    command.args(["audit", "verify", "--signatures", "--json", "--store"]).arg(store);
    let out = command.output().unwrap();
    (out.status.code(), serde_json::from_slice(&out.stdout).unwrap_or_default())
}

fn named_in_a_copy(whole: &Path, copy: &Path, column: &Column) {
    std::fs::copy(whole, copy).unwrap();
    let store = Connection::open(copy).unwrap();
    let key = change(&store, column);
    drop(store);
    let (code, report) = verify(copy);
    let findings = report["findings"].as_array().cloned().unwrap_or_default();
    let named =
        findings.iter().any(|one| one["table"] == column.table.as_str() && one["key"] == key.as_str());
    assert!(code == Some(1) && named, "{}.{} of {key}: {code:?} {findings:?}", column.table, column.name);
}

#[tokio::test]
async fn every_column_of_a_centre_that_has_rotated_is_covered() {
    let mut centre = Centre::begin().await;
    let asking = enrolled(&centre, &["n1", "n2"]).await;
    let (_, acts) = plan_zone(&centre.operator, &wishes("east", &asking)).await.unwrap();
    centre.ask(&acts).await;
    let mut sides = Vec::new();
    for one in &asking {
        sides.push(nodes::start(&one.once().await.unwrap(), &one.store).await);
    }
    for _ in 0..2 {
        assert_eq!(rotate(&centre, "east").await.phase, Phase::Completed);
    }
    sides.iter().for_each(|side| side.abort());
    centre.end().await;
    let folder = centre.folder.path().to_owned();
    tokio::task::spawn_blocking(move || every_column(&folder)).await.unwrap();
}

fn every_column(folder: &Path) {
    let store = Connection::open(folder.join("kmc").join("store.db")).unwrap();
    let whole = folder.join("whole.db");
    store.execute("VACUUM INTO ?1", [whole.to_str().unwrap()]).unwrap();
    let (code, report) = verify(&whole);
    assert_eq!((code, &report["findings"]), (Some(0), &serde_json::json!([])));
    let columns = columns(&store);
    let tables: std::collections::BTreeSet<&str> = columns.iter().map(|one| one.table.as_str()).collect();
    for table in
        ["generations", "nodes", "receipts", "campaigns", "deliveries", "actions", "log", "checkpoints"]
    {
        assert!(tables.contains(table), "{table} has no row: {tables:?}");
    }
    // A few programs at a time.
    std::thread::scope(|scope| {
        for (n, part) in columns.chunks(columns.len().div_ceil(3)).enumerate() {
            let (whole, copy) = (&whole, folder.join(format!("copy-{n}.db")));
            scope.spawn(move || part.iter().for_each(|column| named_in_a_copy(whole, &copy, column)));
        }
    });
    let (columns, tables) = (columns.len(), tables.len());
    shown::show(
        "tampering",
        &format!("{columns} columns of {tables} tables of a centre, each named when changed"),
    );
}
