//! Versions of the schema: what each adds, as data. A store of an older version is brought up in the same
//! transaction that logs it; a store of a newer one is refused.

use super::engine::{Dialect, Statement};
use super::{Kind, Table};

/// One step of a version.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Makes tables of state with their indexes.
    Tables(&'static [Table]),
    /// Makes the tables of the log.
    Log,
}

/// Version `n` is the first `n` of these.
pub const VERSIONS: &[&[Step]] = &[&[Step::Log, Step::Tables(Table::ALL)]];

/// The newest version this program knows.
pub const NEWEST: u64 = VERSIONS.len() as u64;

/// The statements that bring a store of version `from` (0: empty) up to date.
pub fn statements(dialect: Dialect, versions: &[&[Step]], from: u64) -> Vec<Statement> {
    let from = usize::try_from(from).unwrap_or(usize::MAX);
    let steps = versions.iter().skip(from).flat_map(|steps| steps.iter());
    steps.flat_map(|step| of_step(dialect, *step)).map(|sql| Statement::new(sql, Vec::new())).collect()
}

fn of_step(dialect: Dialect, step: Step) -> Vec<String> {
    match step {
        Step::Tables(tables) => tables.iter().flat_map(|table| of_table(dialect, *table)).collect(),
        Step::Log => of_log(dialect),
    }
}

fn of_table(dialect: Dialect, table: Table) -> Vec<String> {
    let definition = table.definition();
    let columns: String = definition
        .columns
        .iter()
        .map(|(name, kind)| format!("{name} {}, ", dialect.column_type(*kind)))
        .collect();
    let bytes = dialect.column_type(Kind::Bytes);
    let int = dialect.column_type(Kind::Int);
    let name = definition.name;
    let mut sql = vec![format!(
        "CREATE TABLE {name} (key {bytes} NOT NULL PRIMARY KEY, {columns}body {bytes} NOT NULL, \
         log_seq {int} NOT NULL){}",
        dialect.table_options(table.is_wide())
    )];
    sql.extend(
        definition
            .indexed
            .iter()
            .map(|column| format!("CREATE INDEX {name}_by_{column} ON {name} ({column}, key)")),
    );
    sql
}

fn of_log(dialect: Dialect) -> Vec<String> {
    let [int, text, bytes] = [Kind::Int, Kind::Text, Kind::Bytes].map(|kind| dialect.column_type(kind));
    let (options, in_order) = (dialect.table_options(false), dialect.table_options(true));
    vec![
        // Lines come in the order of their numbers, which such a table appends.
        format!("CREATE TABLE log (seq {int} NOT NULL PRIMARY KEY, line {text} NOT NULL){in_order}"),
        format!("CREATE TABLE checkpoints (size {int} NOT NULL PRIMARY KEY, note {text} NOT NULL){options}"),
        format!(
            "CREATE TABLE tiles (level {int} NOT NULL, number {int} NOT NULL, hashes {bytes} NOT NULL, \
             PRIMARY KEY (level, number)){options}"
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_version_runs_only_what_it_adds() {
        let versions: &[&[Step]] =
            &[&[Step::Log, Step::Tables(&[Table::Zones])], &[Step::Tables(&[Table::Nodes])]];
        let sql: Vec<_> = statements(Dialect::Sqlite, versions, 1).into_iter().map(|one| one.sql).collect();
        assert_eq!(sql.last().map(AsRef::as_ref), Some("CREATE INDEX nodes_by_state ON nodes (state, key)"));
        assert!(sql[0].starts_with("CREATE TABLE nodes (key BLOB NOT NULL PRIMARY KEY, alias TEXT, "));
        assert!(statements(Dialect::Postgres, versions, 2).is_empty());
    }
}
