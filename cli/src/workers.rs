//! How a gateway starts its crypto workers: this program again with the verb `worker`, the socket as its standard
//! input, and an environment of named variables only.

use crate::backend::Source;
use crate::confine::User;
use crate::exit::Failure;
use gateway::Workers;
use gateway::config::{LogFormat, WorkersTable};
use gateway::worker::Spawn;
use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Longer than a batch takes over a slow token; a hung worker costs its commands as much.
const DEADLINE_MS: u64 = 2000;
/// What workers need that is no secret: where SoftHSM has its tokens, where systemd puts credentials and state (refused
/// logins are counted there), how to log.
const KEPT: [&str; 5] = ["SOFTHSM2_CONF", "CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "TMPDIR", "PAYHSM_LOG"];

/// Options of `serve` for workers.
#[derive(Debug, Default, clap::Args)]
pub struct Options {
    /// Runs the engine in so many processes of their own: only they hold clear keys. 0: in this process.
    #[arg(long, env = "PAYHSM_WORKERS", value_name = "N")]
    workers: Option<usize>,
    /// A worker that has work and answers nothing for so long is ended, in milliseconds.
    #[arg(long, env = "PAYHSM_WORKER_DEADLINE_MS", value_name = "MS", value_parser = clap::value_parser!(u64).range(100..=60_000))]
    worker_deadline_ms: Option<u64>,
    /// User that workers run as.
    #[arg(long, env = "PAYHSM_WORKER_USER", value_name = "USER")]
    worker_user: Option<String>,
    /// A variable of the environment that workers keep, repeatable; SOFTHSM2_CONF is one without being named.
    #[arg(long, env = "PAYHSM_WORKER_ENV", value_delimiter = ',', value_name = "NAME")]
    worker_env: Vec<String>,
    /// Workers may use the network: for the module of a network HSM.
    #[arg(long, env = "PAYHSM_WORKER_NETWORK")]
    worker_network: bool,
}

impl Options {
    /// Lays the options over what the file says.
    pub fn overlay(self, table: Option<WorkersTable>) -> WorkersTable {
        let table = table.unwrap_or_default();
        WorkersTable {
            count: self.workers.or(table.count),
            deadline_ms: self.worker_deadline_ms.or(table.deadline_ms),
            user: self.worker_user.or(table.user),
            env: if self.worker_env.is_empty() { table.env } else { self.worker_env },
            network: self.worker_network || table.network,
        }
    }
}

/// The workers that are asked for; `None` when the engine runs in the gateway's process.
pub fn workers(
    table: &WorkersTable,
    source: &Source,
    log_format: LogFormat,
    key_cache: usize,
) -> Result<Option<Workers>, Failure> {
    let count = table.count.unwrap_or_default();
    if count == 0 {
        return Ok(None);
    }
    if let Some(user) = &table.user {
        User::find(user)?;
    }
    let deadline = Duration::from_millis(table.deadline_ms.unwrap_or(DEADLINE_MS).clamp(100, 60_000));
    let mut arguments = vec![OsString::from("worker")];
    arguments.extend(source.arguments()?);
    if let Some(user) = &table.user {
        arguments.extend(["--user".into(), user.into()]);
    }
    if table.network {
        arguments.push("--network".into());
    }
    arguments.extend(["--key-cache".into(), key_cache.to_string().into()]);
    if log_format == LogFormat::Json {
        arguments.push("--log-json".into());
    }
    Ok(Some(Workers { count, deadline, spawn: spawner(arguments, table.env.clone())? }))
}

fn spawner(arguments: Vec<OsString>, kept: Vec<String>) -> Result<Arc<Spawn>, Failure> {
    // Once, so that a program that was replaced meanwhile does not start under an old gateway.
    let program = std::env::current_exe().map_err(Failure::environment)?;
    Ok(Arc::new(move |socket| {
        let names = KEPT.into_iter().chain(kept.iter().map(String::as_str));
        let environment = names.filter_map(|name| std::env::var_os(name).map(|value| (name, value)));
        Command::new(&program)
            .args(&arguments)
            .env_clear()
            .envs(environment)
            .stdin(socket)
            .stdout(Stdio::null())
            .spawn()
    }))
}
