//! The embedded store: one SQLite file, write-ahead log, every commit synced, one process by a file lock.

use super::backfill::{self, Backfill};
use super::engine::{Dialect, Each, EachInPlace, Engine, Fence, Statement, Statements, judge};
use super::error::Error;
use super::{Value, ValueRef};
use crate::failpoint::failpoint;
use rusqlite::types::{ToSqlOutput, ValueRef as Held};
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, params_from_iter};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A connection to the file; the writing one holds the lock. They are closed in this order.
pub(super) struct Sqlite {
    connection: Connection,
    path: PathBuf,
    _backfill: Option<Backfill>,
    _lock: Option<File>,
}

/// Most of the file that is mapped, bytes; SQLite takes less where it is built for less.
const MAPPED: i64 = 1 << 40;

impl Sqlite {
    /// Opens the file to lead on it, and makes it if there is none.
    pub fn lead(path: &Path) -> Result<Self, Error> {
        Self::lead_with(path, backfill::PAGES)
    }

    fn lead_with(path: &Path, pages: u32) -> Result<Self, Error> {
        let private = |path: &Path| {
            OpenOptions::new().create(true).truncate(false).write(true).read(true).mode(0o600).open(path)
        };
        let lock = private(&beside(path, "lock"))?;
        lock.try_lock().map_err(|_| Error::Held(path.display().to_string()))?;
        private(path)?;
        let mut store = Self::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, Some(lock))?;
        let own = Self::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, None)?.connection;
        for connection in [&store.connection, &own] {
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
        }
        let backfill = Backfill::begin(&mut store.connection, own, pages)?;
        sync_folder(&mut store)?;
        Ok(Self { _backfill: Some(backfill), ..store })
    }

    /// Opens the file to read it, beside a manager that leads.
    pub fn read(path: &Path) -> Result<Self, Error> {
        if !path.is_file() {
            return Err(Error::Absent("there is no such store"));
        }
        Self::open(path, OpenFlags::SQLITE_OPEN_READ_ONLY, None)
    }

    fn open(path: &Path, access: OpenFlags, lock: Option<File>) -> Result<Self, Error> {
        let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(std::time::Duration::from_secs(10))?;
        connection.set_prepared_statement_cache_capacity(128);
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        // In KiB, taken as it is used: the pages that a month's expiring keys of a million lie on.
        connection.pragma_update(None, "cache_size", -262_144)?;
        Ok(Self { connection, path: path.to_owned(), _backfill: None, _lock: lock })
    }

    fn in_place(&self, statement: &Statement, each: EachInPlace<'_>) -> Result<(), Error> {
        let mut prepared = self.connection.prepare_cached(&statement.sql)?;
        let width = prepared.column_count();
        let mut rows = prepared.query(params_from_iter(statement.values.iter().map(Bound)))?;
        while let Some(row) = rows.next()? {
            let mut values = Vec::with_capacity(width);
            for at in 0..width {
                values.push(value(row.get_ref(at)?));
            }
            each(&values)?;
        }
        Ok(())
    }

    fn pragma(&self, name: &str) -> Result<String, Error> {
        Ok(self.connection.pragma_query_value(None, name, |row| {
            Ok(match row.get_ref(0)? {
                Held::Integer(number) => number.to_string(),
                other => other.as_str().unwrap_or_default().to_owned(),
            })
        })?)
    }
}

// A new file is only there after a crash if its folder was synced.
fn sync_folder(store: &mut Sqlite) -> Result<(), Error> {
    if let Some(folder) = store.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

impl Engine for Sqlite {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn query(&mut self, statement: &Statement, each: Each<'_>) -> Result<(), Error> {
        self.in_place(statement, &mut |values| each(values.iter().map(|value| value.to_value()).collect()))
    }

    // A start reads the whole file once: mapped, its pages are neither copied nor kept. Not mapped for longer, since what
    // cannot be read then ends the process.
    fn scan(&mut self, statement: &Statement, each: EachInPlace<'_>) -> Result<(), Error> {
        self.connection.pragma_update(None, "mmap_size", MAPPED)?;
        let done = self.in_place(statement, each);
        self.connection.pragma_update(None, "mmap_size", 0)?;
        done
    }

    fn write(&mut self, fence: Fence, statements: Statements<'_>) -> Result<(), Error> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let made = transaction
            .query_row("SELECT COUNT(*) FROM sqlite_schema WHERE name = 'leader'", [], |row| row.get(0))
            .map(|count: i64| count > 0)?;
        let found: Vec<i64> = if made {
            let mut query = transaction.prepare_cached(Dialect::Sqlite.fence())?;
            query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?
        } else {
            Vec::new()
        };
        judge(fence, &found)?;
        for statement in statements {
            let statement = statement?;
            let execute = |sql: &str| {
                let mut prepared = transaction.prepare_cached(sql).map_err(full)?;
                prepared.execute(params_from_iter(statement.values.iter().map(Bound))).map_err(full)
            };
            let written = statement.lighter.map_or(Ok(0), execute)?;
            if written == 0 {
                execute(&statement.sql)?;
            }
        }
        failpoint!("store.before_commit");
        transaction.commit().map_err(|error| match full(error) {
            Error::Full => Error::Full,
            other => Error::OutcomeUnknown(Box::new(other)),
        })
    }

    fn begin_snapshot(&mut self) -> Result<(), Error> {
        self.connection.execute_batch("BEGIN DEFERRED; SELECT COUNT(*) FROM sqlite_schema")?;
        Ok(())
    }

    fn end_snapshot(&mut self) -> Result<(), Error> {
        Ok(self.connection.execute_batch("ROLLBACK")?)
    }

    fn has_table(&mut self, name: &str) -> Result<bool, Error> {
        let mut query = self
            .connection
            .prepare_cached("SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1")?;
        Ok(query.query_row([name], |row| row.get::<_, i64>(0))? > 0)
    }

    fn self_check(&mut self) -> Result<Vec<String>, Error> {
        let mut query = self.connection.prepare("PRAGMA integrity_check(20)")?;
        let said = query.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
        Ok(said.into_iter().filter(|line| line != "ok").collect())
    }

    fn settings(&mut self) -> Result<Vec<(String, String)>, Error> {
        let synchronous = match self.pragma("synchronous")?.as_str() {
            "0" => "OFF".to_owned(),
            "1" => "NORMAL".to_owned(),
            "2" => "FULL".to_owned(),
            other => other.to_owned(),
        };
        Ok(vec![
            ("engine".into(), format!("sqlite {}", rusqlite::version())),
            ("journal_mode".into(), self.pragma("journal_mode")?),
            ("synchronous".into(), synchronous),
            ("file_system".into(), file_system(&self.path)),
        ])
    }
}

fn full(error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::Full,
        _ => Error::Sqlite(error),
    }
}

// A kind that is never written (a float, text that is not UTF-8) can only come from outside: null stands for
// it, which no image of a row agrees with.
fn value(held: Held<'_>) -> ValueRef<'_> {
    match held {
        Held::Integer(number) => ValueRef::Int(number),
        Held::Text(text) => std::str::from_utf8(text).map_or(ValueRef::Null, ValueRef::Text),
        Held::Blob(bytes) => ValueRef::Bytes(bytes),
        Held::Null | Held::Real(_) => ValueRef::Null,
    }
}

/// A value as it is bound to a statement.
struct Bound<'v>(&'v Value);

impl rusqlite::ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => Held::Null,
            Value::Int(number) => Held::Integer(*number),
            Value::Text(text) => Held::Text(text.as_bytes()),
            Value::Bytes(bytes) => Held::Blob(bytes),
        }))
    }
}

/// The type of the file system that holds the path, as the kernel names it.
fn file_system(path: &Path) -> String {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let parts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    parts
        .filter(|(at, _)| path.starts_with(at))
        .max_by_key(|(at, _)| at.len())
        .map_or_else(|| "unknown".to_owned(), |(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(n: usize) -> Statement {
        Statement::new("INSERT INTO t VALUES (?1)", vec![Value::Bytes(vec![7; n])])
    }

    fn write<const N: usize>(store: &mut Sqlite, statements: [Statement; N]) -> Result<(), Error> {
        store.write(Fence::Empty, &mut statements.into_iter().map(Ok))
    }

    #[test]
    fn a_full_disk_keeps_nothing_of_a_transaction_and_everything_before_it() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("kmc.db");
        let mut store = Sqlite::lead(&path).unwrap();
        write(&mut store, [Statement::new("CREATE TABLE t (v BLOB)", Vec::new()), put(10)]).unwrap();
        let pages: i64 = store.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        store.connection.pragma_update(None, "max_page_count", pages + 2).unwrap();
        let refused = write(&mut store, [put(20), put(1 << 20)]);
        assert!(matches!(refused, Err(Error::Full)), "{refused:?}");
        let mut held = Vec::new();
        let all = Statement::new("SELECT length(v) FROM t", Vec::new());
        let each = &mut |mut values: Vec<Value>| {
            held.extend(values.pop());
            Ok(())
        };
        store.query(&all, each).unwrap();
        assert_eq!(held, [Value::Int(10)]);
        write(&mut store, [put(30)]).unwrap();
    }

    // A commit that leaves many pages in the log is put back without another, and the next begins the log anew.
    #[test]
    fn the_log_is_put_back_beside_the_writer() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("kmc.db");
        let size = |path: &Path| fs::metadata(path).unwrap().len();
        // Pages in the log, and how many of them are in the file too.
        let held = |store: &Sqlite| -> (i64, i64) {
            let pages = |row: &rusqlite::Row<'_>| Ok((row.get(1)?, row.get(2)?));
            store.connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], pages).unwrap()
        };
        let put_back = |store: &Sqlite| {
            let begun = std::time::Instant::now();
            while held(store).0 != held(store).1 {
                assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", held(store));
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        };
        let mut store = Sqlite::lead_with(&path, 96).unwrap();
        write(&mut store, [Statement::new("CREATE TABLE t (v BLOB)", Vec::new())]).unwrap();
        let log = folder.path().join("kmc.db-wal");
        for _ in 0..20 {
            write(&mut store, [put(400_000)]).unwrap();
            put_back(&store);
        }
        assert!(size(&log) < 1_000_000, "{} bytes of some 8 million", size(&log));
        drop(store);
        assert!(!log.exists());
        let mut store = Sqlite::read(&path).unwrap();
        let mut rows = 0;
        let all = Statement::new("SELECT length(v) FROM t", Vec::new());
        let each = &mut |values: Vec<Value>| {
            rows += usize::from(values == [Value::Int(400_000)]);
            Ok(())
        };
        store.query(&all, each).unwrap();
        assert_eq!(rows, 20);
    }

    #[test]
    fn every_commit_is_synced_and_the_file_is_ours_alone() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("kmc.db");
        let mut store = Sqlite::lead(&path).unwrap();
        let settings = store.settings().unwrap();
        let has = |name: &str, value: &str| settings.contains(&(name.to_owned(), value.to_owned()));
        assert!(has("journal_mode", "wal") && has("synchronous", "FULL"), "{settings:?}");
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        assert!(matches!(Sqlite::lead(&path), Err(Error::Held(_))));
        assert!(matches!(Sqlite::read(&folder.path().join("absent")), Err(Error::Absent(_))));
    }
}
