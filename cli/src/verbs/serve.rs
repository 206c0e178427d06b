//! `payhsm serve`: the gateway with its backend, until SIGTERM or SIGINT.

use super::config::{NORMAL_FILE, picture, read};
use crate::backend::Source;
use crate::control::{Control, TableMaker, tables};
use crate::exit::{Exit, Failure};
use crate::node_side;
use crate::private::make_folder;
use crate::workers::{self, workers};
use crate::{hardening, log};
use clap::ValueEnum;
use gateway::config::{File, ListenerTable, LogFormat, Problem, Profile, Resolved, TlsTable};
use gateway::{Gateway, Running, StartError};
use rustix::process::set_parent_process_death_signal;
use std::error::Error as _;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Arguments of `serve`. The command line wins over the environment, and that over the file.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A listener: `[ROLE@][tls:]ADDR[/LMK]`, repeatable. Without /LMK every LMK has a port: the base port + its
    /// identifier. Replaces the listeners of the file.
    #[arg(long, env = "PAYHSM_LISTEN", value_delimiter = ',', value_name = "LISTENER")]
    listen: Vec<String>,
    /// A network that may connect to the listeners of --listen, repeatable; needed off loopback.
    #[arg(long, env = "PAYHSM_ALLOW", value_delimiter = ',', value_name = "CIDR", requires = "listen")]
    allow: Vec<String>,
    /// Profile of listeners that have none of their own.
    #[arg(long, env = "PAYHSM_PROFILE", value_enum)]
    profile: Option<ProfileName>,
    /// A single setting, NAME=VALUE, repeatable: clear_dectab, digit_check, single_des, x_export,
    /// legacy_translate, pin_length.
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Serves under the public test LMKs, which protect nothing: 00 variant, 01 3DES key block, 02 AES key
    /// block.
    #[arg(long, env = "PAYHSM_INSECURE_TEST_LMK", conflicts_with = "lmk_file")]
    insecure_test_lmk: bool,
    /// Serves under the LMKs of a key file, made by `payhsm lmk new`.
    #[arg(long, env = "PAYHSM_LMK_FILE", value_name = "FILE")]
    lmk_file: Option<PathBuf>,
    /// File with the passphrase of the key file; asked for when missing.
    #[arg(long, env = "PAYHSM_LMK_PASS_FILE", value_name = "FILE")]
    lmk_pass_file: Option<PathBuf>,
    /// Where keys are used: `sim`, or `pkcs11` with --token.
    #[arg(long, env = "PAYHSM_BACKEND", value_parser = ["sim", "pkcs11"], value_name = "NAME")]
    backend: Option<String>,
    /// Token that holds the LMKs: pkcs11:token=LABEL;serial=…?module-path=FILE (RFC 7512).
    #[arg(long, env = "PAYHSM_TOKEN", value_name = "URI", conflicts_with = "lmk_file")]
    token: Option<String>,
    /// File with the user PIN of the token; without it the credential `payhsm-pin` of systemd is read, or
    /// the PIN is asked for.
    #[arg(long, env = "PAYHSM_PIN_FILE", value_name = "FILE")]
    pin_file: Option<PathBuf>,
    /// Certificate chain of TLS listeners, PEM.
    #[arg(long, env = "PAYHSM_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Key of the certificate, PEM.
    #[arg(long, env = "PAYHSM_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// CA of the clients, PEM: they must show a certificate of it. Needed off loopback.
    #[arg(long, env = "PAYHSM_TLS_CLIENT_CA", value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
    /// Length of the message header in bytes.
    #[arg(long, env = "PAYHSM_HEADER_LEN", value_parser = clap::value_parser!(u16).range(..=255))]
    header_len: Option<u16>,
    /// Starts with every activity authorised; under the test LMKs only.
    #[arg(long, env = "PAYHSM_AUTHORISED")]
    authorised: bool,
    /// Address of /metrics, /healthz and /readyz.
    #[arg(long, env = "PAYHSM_ADMIN", value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// Folder of everything that is kept.
    #[arg(long, env = "PAYHSM_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Becomes a node of a key management centre: file with the token of `payhsm node token`.
    #[arg(long, env = "PAYHSM_ENROL", value_name = "FILE")]
    enrol: Option<PathBuf>,
    /// Name of this node for people.
    #[arg(long, env = "PAYHSM_NODE_NAME", value_name = "NAME", default_value = "node")]
    node_name: String,
    /// Worker threads; one per available core when missing.
    #[arg(long, env = "PAYHSM_CORES")]
    cores: Option<usize>,
    #[command(flatten)]
    workers: workers::Options,
    /// The configuration file; payhsm.toml in the working folder when it is there.
    #[arg(long, env = "PAYHSM_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ends when the process that started it does: for `payhsm bench`.
    #[arg(long, hide = true)]
    end_with_parent: bool,
    /// Form of log lines on standard error. PAYHSM_LOG chooses what is logged.
    #[arg(long, env = "PAYHSM_LOG_FORMAT", value_enum)]
    log_format: Option<LogName>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ProfileName {
    Strict,
    Legacy,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogName {
    Text,
    Json,
}

/// Runs the verb.
pub fn run(args: Args) -> Exit {
    if args.end_with_parent {
        set_parent_process_death_signal(Some(rustix::process::Signal::TERM)).map_err(Failure::environment)?;
    }
    let (token, name) = (args.enrol.clone(), args.node_name.clone());
    let mut resolved = resolve(args)?;
    log::start(resolved.log_format == LogFormat::Json);
    hardening::harden();
    resolved.gateway.limits.connections = hardening::connections(resolved.gateway.limits.connections);
    if let Some(folder) = &resolved.data {
        make_folder(folder).map_err(|e| Failure::environment(format!("{}: {e}", folder.display())))?;
    }
    let source = Source::from(&resolved);
    let workers =
        workers(&resolved.workers, &source, resolved.log_format, resolved.gateway.limits.key_cache)?;
    let mut built_in = Vec::new();
    if resolved.insecure_test_lmk {
        tracing::warn!("public test LMKs: everybody knows them, they protect nothing");
        // The one table that a strict listener takes in the clear there (ARCHITECTURE.md, roles and states).
        built_in.push(*b"0123456789012345");
    }
    resolved.gateway.unit.decimalisation_tables.clone_from(&built_in);
    if let Some(folder) = &resolved.data {
        resolved.gateway.unit.decimalisation_tables.extend(tables::load(folder)?);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::environment)?;
    // Before the first port is there, so that no signal after `ready` is missed.
    let signals = runtime.block_on(async { Signals::new() }).map_err(Failure::environment)?;
    let authorised = resolved.gateway.authorised;
    let (node, test) = (resolved.node.take(), resolved.insecure_test_lmk);
    let mut installs = None;
    let (mut running, tables) = match workers {
        Some(_) if node.is_some() => {
            let why = "a node of a key management centre serves from its own process: crypto workers are not \
                       handed key tables";
            return Err(Failure::usage(why));
        }
        Some(workers) => {
            let running = Gateway::start_with_workers(resolved.gateway, &workers).map_err(start_failure)?;
            (running, TableMaker::of_workers(workers.spawn))
        }
        None => {
            let (backend, token) = source.factory_and_token()?;
            installs = Some((Arc::clone(&backend), token));
            let running = Gateway::start(resolved.gateway, Arc::clone(&backend)).map_err(start_failure)?;
            (running, TableMaker::of_backend(backend))
        }
    };
    // Before `ready`, so that the first host finds the keys that were there before.
    let start = |data, table| super::node::setup(data, table, installs.clone(), &running, test);
    let asking = match token {
        Some(token) => {
            let data = resolved.data.as_deref();
            let data = data
                .ok_or_else(|| Failure::usage("--enrol needs --data DIR: a node keeps its identity there"))?;
            let setup = start(Some(data), Some(node.clone().unwrap_or_default()))?;
            let setup = setup.ok_or_else(|| Failure::usage("crypto workers are not handed key tables"))?;
            let _entered = runtime.enter();
            node_side::begin(data, &token, name, setup)?
        }
        None => None,
    };
    let node = match &asking {
        Some(_) => None,
        None => super::node::start(start(resolved.data.as_deref(), node)?)?,
    };
    let control = resolved
        .data
        .map(|folder| Control::start(&folder, running.switches(), tables, authorised, built_in))
        .transpose()?;
    report(&running, asking.as_deref()).map_err(|e| Failure::environment(format!("standard output: {e}")))?;
    runtime.block_on(signals.first());
    drop(control);
    drop(node);
    running.shutdown();
    if running.wait() {
        tracing::info!("ended");
        Ok(())
    } else {
        Err(Failure::environment("a worker thread ended before its time"))
    }
}

fn resolve(args: Args) -> Result<Resolved, Failure> {
    let mut file = read_file(args.config.as_deref())?;
    file.overlay(std::env::vars()).map_err(usage)?;
    if !args.listen.is_empty() {
        file.listener = args.listen.iter().map(|listen| ListenerTable::new(listen, &args.allow)).collect();
    }
    for change in &args.set {
        file.settings.set(change).map_err(usage)?;
    }
    if let Some((certificate, key)) = args.tls_cert.zip(args.tls_key) {
        let min_version = file.tls.take().and_then(|tls| tls.min_version);
        file.tls = Some(TlsTable { certificate, key, client_ca: args.tls_client_ca, min_version });
    }
    if let Some(length) = args.header_len {
        file.set_header_len(length);
    }
    // An LMK source of the command line replaces the one of the file.
    if args.insecure_test_lmk {
        (file.insecure_test_lmk, file.lmk_file) = (Some(true), None);
    } else if args.lmk_file.is_some() {
        (file.insecure_test_lmk, file.lmk_file) = (None, args.lmk_file);
    }
    if let Some(name) = &args.backend {
        file.set_backend(name);
    }
    file.token = args.token.or(file.token);
    file.pin_file = args.pin_file.or(file.pin_file);
    file.lmk_pass_file = args.lmk_pass_file.or(file.lmk_pass_file);
    file.authorised = args.authorised.then_some(true).or(file.authorised);
    file.admin = args.admin.or(file.admin);
    file.data = args.data.or(file.data);
    file.cores = args.cores.or(file.cores);
    file.workers = Some(args.workers.overlay(file.workers.take()));
    file.profile = args.profile.map(Profile::from).or(file.profile);
    file.log_format = args.log_format.map(LogFormat::from).or(file.log_format);
    file.resolve().map_err(usage)
}

fn read_file(named: Option<&Path>) -> Result<File, Failure> {
    let path = match named {
        Some(path) => path,
        None if Path::new(NORMAL_FILE).exists() => Path::new(NORMAL_FILE),
        None => return Ok(File::default()),
    };
    File::parse(&path.display().to_string(), &read(path)?).map_err(usage)
}

fn usage(problem: Problem) -> Failure {
    Failure { code: 2, message: picture(problem) }
}

fn start_failure(error: StartError) -> Failure {
    let mut message = error.to_string();
    if let Some(source) = error.source() {
        message = format!("{message}: {source}");
    }
    if let Some(help) = error.help() {
        message = format!("{message}: {help}");
    }
    Failure { code: error.exit_code(), message }
}

fn report(running: &Running, node: Option<&str>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for listener in running.listeners() {
        let (address, lmk, role) = (listener.address, listener.lmk, listener.role.name());
        writeln!(out, "ready listen={address} lmk={lmk} role={role}")?;
    }
    if let Some(address) = running.admin() {
        writeln!(out, "admin listen={address}")?;
    }
    if let Some(line) = node {
        writeln!(out, "{line}")?;
    }
    out.flush()
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn first(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!("SIGTERM"),
            _ = self.interrupt.recv() => tracing::info!("SIGINT"),
        }
    }
}

impl From<ProfileName> for Profile {
    fn from(name: ProfileName) -> Self {
        match name {
            ProfileName::Strict => Self::Strict,
            ProfileName::Legacy => Self::Legacy,
        }
    }
}

impl From<LogName> for LogFormat {
    fn from(name: LogName) -> Self {
        match name {
            LogName::Text => Self::Text,
            LogName::Json => Self::Json,
        }
    }
}
