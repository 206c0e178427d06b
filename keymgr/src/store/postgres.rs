//! The shared store: PostgreSQL. One manager leads at a time: a session lock keeps an honest second one out,
//! and the epoch of the leader row, locked in every write transaction, keeps out one that has not noticed.

use super::Value;
use super::engine::{Dialect, Each, Engine, Fence, Statement, Statements, judge};
use super::error::Error;
use super::location::without_password;
use super::postgres_tls::Way;
use crate::failpoint::failpoint;
use bytes::BytesMut;
use futures_util::future::try_join_all;
use futures_util::{StreamExt, pin_mut};
use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error as StdError;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, NoTls};

// The number of the session lock: the letters PAYH.
const LEADER_LOCK: i64 = 0x5041_5948;
// The server needs a moment to see that the session of a killed manager is gone.
const RELEASE: Duration = Duration::from_secs(2);

/// One session. It owns a runtime of its own, so that callers are plain blocking code: never call it from
/// inside an asynchronous task.
pub(super) struct Postgres {
    runtime: Option<Runtime>,
    client: Client,
    prepared: HashMap<String, tokio_postgres::Statement>,
    tls: &'static str,
}

impl Postgres {
    /// Connects to lead.
    pub fn lead(url: &str) -> Result<Self, Error> {
        let mut store = Self::connect(url)?;
        let lock = "SELECT CASE WHEN pg_try_advisory_lock(?1) THEN 1 ELSE 0 END::BIGINT";
        let until = Instant::now() + RELEASE;
        while store.one(lock, LEADER_LOCK)? != Some(Value::Int(1)) {
            if Instant::now() > until {
                return Err(Error::Held(without_password(url)));
            }
            std::thread::sleep(RELEASE / 20);
        }
        Ok(store)
    }

    /// Connects to read.
    pub fn read(url: &str) -> Result<Self, Error> {
        let store = Self::connect(url)?;
        store.run("SET default_transaction_read_only = on")?;
        Ok(store)
    }

    fn connect(url: &str) -> Result<Self, Error> {
        let Way { mut config, tls, mode } = Way::of(url)?;
        config.application_name("payhsm kmc");
        config.connect_timeout(Duration::from_secs(10));
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let client = runtime.block_on(async {
            Ok::<_, tokio_postgres::Error>(match tls {
                Some(tls) => {
                    let (client, connection) = config.connect(tls).await?;
                    tokio::spawn(connection);
                    client
                }
                None => {
                    let (client, connection) = config.connect(NoTls).await?;
                    tokio::spawn(connection);
                    client
                }
            })
        })?;
        let mut store = Self { runtime: Some(runtime), client, prepared: HashMap::new(), tls: mode };
        store.run(
            "SET synchronous_commit = on; SET client_min_messages = warning; SET lock_timeout = '10s'; \
             SET idle_in_transaction_session_timeout = 0; SET client_encoding = 'UTF8'",
        )?;
        if store.setting("server_encoding")? != "UTF8" {
            return Err(Error::Location("the database must be made with encoding UTF8".to_owned()));
        }
        Ok(store)
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("the runtime is there until the session is dropped")
    }

    fn run(&self, sql: &str) -> Result<(), Error> {
        Ok(self.runtime().block_on(self.client.batch_execute(sql))?)
    }

    fn one(&mut self, sql: &'static str, number: i64) -> Result<Option<Value>, Error> {
        let mut found = None;
        let statement = Statement::new(sql, vec![Value::Int(number)]);
        self.query(&statement, &mut |mut values| {
            found = values.pop();
            Ok(())
        })?;
        Ok(found)
    }

    fn setting(&mut self, name: &str) -> Result<String, Error> {
        let mut found = String::new();
        self.query(&Statement::new("SELECT current_setting(?1)", vec![name.into()]), &mut |values| {
            found = values.first().and_then(Value::text).unwrap_or_default().to_owned();
            Ok(())
        })?;
        Ok(found)
    }

    fn prepare(&mut self, sql: &str) -> Result<(), Error> {
        if !self.prepared.contains_key(sql) {
            let text = sql.replace('?', "$");
            let statement = self.runtime().block_on(self.client.prepare(&text))?;
            self.prepared.insert(sql.to_owned(), statement);
        }
        Ok(())
    }

    // Statements that define tables cannot be prepared before the tables they follow are there: they run one
    // after the other. All others go out together, and the answers are awaited together.
    fn apply(&mut self, statements: &[Statement]) -> Result<(), Error> {
        let (definitions, changes): (Vec<_>, Vec<_>) = statements.iter().partition(|statement| {
            statement.sql.starts_with("CREATE ") || statement.sql.starts_with("ALTER ")
        });
        for statement in definitions {
            self.run(&statement.sql)?;
        }
        for statement in &changes {
            self.prepare(&statement.sql)?;
        }
        let sent = changes.iter().map(|statement| {
            let prepared = &self.prepared[statement.sql.as_ref()];
            self.client.execute_raw(prepared, statement.values.iter().map(Sent))
        });
        self.runtime().block_on(try_join_all(sent))?;
        Ok(())
    }

    fn fenced(&mut self, fence: Fence) -> Result<(), Error> {
        let mut found = Vec::new();
        if self.has_table("leader")? {
            let fence = Statement::new(Cow::Borrowed(Dialect::Postgres.fence()), Vec::new());
            self.query(&fence, &mut |values| {
                found.extend(values.first().and_then(Value::int));
                Ok(())
            })?;
        }
        judge(fence, &found)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Engine for Postgres {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn query(&mut self, statement: &Statement, each: Each<'_>) -> Result<(), Error> {
        self.prepare(&statement.sql)?;
        let prepared = &self.prepared[statement.sql.as_ref()];
        self.runtime().block_on(async {
            let rows = self.client.query_raw(prepared, statement.values.iter().map(Sent)).await?;
            pin_mut!(rows);
            while let Some(row) = rows.next().await {
                let row = row?;
                let mut values = Vec::with_capacity(row.len());
                for at in 0..row.len() {
                    values.push(row.try_get::<_, Got>(at)?.0);
                }
                each(values)?;
            }
            Ok(())
        })
    }

    fn write(&mut self, fence: Fence, statements: Statements<'_>) -> Result<(), Error> {
        // All go out together: what is not known yet is waited for before anything is begun.
        let statements = statements.collect::<Result<Vec<_>, _>>()?;
        self.run("BEGIN ISOLATION LEVEL READ COMMITTED")?;
        if let Err(error) = self.fenced(fence).and_then(|()| self.apply(&statements)) {
            // A session that cannot roll back is gone, and its transaction with it.
            let _ = self.run("ROLLBACK");
            return Err(full(error));
        }
        failpoint!("store.before_commit");
        self.run("COMMIT").map_err(|error| Error::OutcomeUnknown(Box::new(error)))
    }

    fn begin_snapshot(&mut self) -> Result<(), Error> {
        self.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    }

    fn end_snapshot(&mut self) -> Result<(), Error> {
        self.run("ROLLBACK")
    }

    fn has_table(&mut self, name: &str) -> Result<bool, Error> {
        let mut found = false;
        let sql = "SELECT CASE WHEN to_regclass(?1) IS NULL THEN 0 ELSE 1 END::BIGINT";
        self.query(&Statement::new(sql, vec![name.into()]), &mut |values| {
            found = values.first() == Some(&Value::Int(1));
            Ok(())
        })?;
        Ok(found)
    }

    fn self_check(&mut self) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }

    fn settings(&mut self) -> Result<Vec<(String, String)>, Error> {
        let mut settings =
            vec![("engine".to_owned(), format!("postgresql {}", self.setting("server_version")?))];
        for name in ["fsync", "synchronous_commit", "full_page_writes"] {
            settings.push((name.to_owned(), self.setting(name)?));
        }
        settings.push(("tls".to_owned(), self.tls.to_owned()));
        Ok(settings)
    }
}

fn full(error: Error) -> Error {
    match error {
        Error::Postgres(error) if error.code() == Some(&SqlState::DISK_FULL) => Error::Full,
        other => other,
    }
}

/// A value as it goes to the server.
#[derive(Debug)]
struct Sent<'v>(&'v Value);

/// A value as it comes from the server.
struct Got(Value);

impl ToSql for Sent<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match self.0 {
            Value::Null => Ok(IsNull::Yes),
            Value::Int(number) => number.to_sql_checked(kind, out),
            Value::Text(text) => text.to_sql_checked(kind, out),
            Value::Bytes(bytes) => bytes.to_sql_checked(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::INT8 | Type::TEXT | Type::BYTEA)
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Got {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(match *kind {
            Type::INT8 => Value::Int(i64::from_sql(kind, raw)?),
            Type::BYTEA => Value::Bytes(raw.to_vec()),
            _ => Value::Text(String::from_sql(kind, raw)?),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(Value::Null))
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::INT8 | Type::TEXT | Type::BYTEA)
    }
}
