//! `payhsm kmc init|serve|status|alarms|verify`: a key management centre begins, runs, and says how it is.

use super::master::MasterOptions;
use super::place::{Place, block_on, passphrase, show, table};
use super::signing::KmcKey;
use crate::exit::{Exit, Failure};
use crate::{hardening, log};
use clap::{Args, Subcommand};
use keylink::Signed;
use keylink::root::Recovery;
use keylink::succession::CentreKey;
use keymgr::audit::{Head, verify_export};
use keymgr::core::alarm::Alarm;
use keymgr::core::people::Role;
use keymgr::house::{Beginning, Genesis, House, Limits, Settings};
use keymgr::person::PersonRequest;
use keymgr::server::{GENESIS, Server};
use keymgr::vault::{MasterFacts, PATIENCE, Vault, VaultThread};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// The key management centre.
#[derive(Debug, Subcommand)]
pub enum Kmc {
    /// Makes the folder of a centre and the draft of its beginning, which every officer signs.
    Init(Init),
    /// Runs the centre until SIGTERM or SIGINT.
    Serve(Serve),
    /// How the centre is.
    Status(Place),
    /// Lists what people must look at.
    Alarms(Place),
    /// The centre's own keys, which sign manifests and checkpoints.
    #[command(subcommand)]
    Key(KmcKey),
    /// Fetches log and state from the centre and verifies them here. Exit code 1: something does not hold.
    Verify(Verify),
}

/// Arguments of `kmc verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Keeps what was fetched, in a file that is not there yet: the next verification can use it as a head.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// A checkpoint that a node or an auditor kept, or an earlier export; repeatable.
    #[arg(long, value_name = "FILE")]
    head: Vec<PathBuf>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct Folder {
    /// Folder of the centre.
    #[arg(long, env = "PAYHSM_KMC", value_name = "DIR", default_value = "payhsm-data/kmc")]
    kmc: PathBuf,
    /// File with the passphrase of the folder's keys; asked for when missing.
    #[arg(long, env = "PAYHSM_KMC_PASSPHRASE_FILE", value_name = "FILE")]
    kmc_passphrase_file: Option<PathBuf>,
}

impl Folder {
    fn passphrase(&self) -> Result<zeroize::Zeroizing<String>, Failure> {
        passphrase(self.kmc_passphrase_file.as_deref(), "passphrase of the centre's keys: ")
    }
}

/// Arguments of `kmc init`.
#[derive(Debug, Args)]
pub struct Init {
    #[command(flatten)]
    folder: Folder,
    /// Name of the centre.
    #[arg(long, default_value = "key management centre")]
    name: String,
    /// Request of a security officer (`payhsm person new`), at least three times.
    #[arg(long, value_name = "FILE", required = true)]
    officer: Vec<PathBuf>,
    /// Request of an operator, repeatable.
    #[arg(long, value_name = "FILE")]
    operator: Vec<PathBuf>,
    /// Request of a custodian, repeatable.
    #[arg(long, value_name = "FILE")]
    custodian: Vec<PathBuf>,
    /// Request of an auditor, repeatable.
    #[arg(long, value_name = "FILE")]
    auditor: Vec<PathBuf>,
    /// Request with a recovery key, repeatable: these keys can replace officers, after 72 hours, and nothing else.
    #[arg(long, value_name = "FILE", requires = "recovery_needed")]
    recovery: Vec<PathBuf>,
    /// Recovery keys that must sign.
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u8).range(2..))]
    recovery_needed: Option<u8>,
    /// Where state and log are: a file in the folder, or postgres://….
    #[arg(long, default_value = "store.db")]
    store: String,
    /// Address for people's programs.
    #[arg(long, default_value = "127.0.0.1:9443")]
    listen: String,
    /// Address for nodes.
    #[arg(long, default_value = "127.0.0.1:9444")]
    link: String,
    /// Host name or address by which nodes reach the centre, repeatable; the first one goes into tokens.
    #[arg(long = "host", default_value = "127.0.0.1")]
    hosts: Vec<String>,
    /// Production: the test LMKs are refused.
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    master: MasterOptions,
    /// JSON on standard output.
    #[arg(long)]
    json: bool,
}

/// Arguments of `kmc serve`.
#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    folder: Folder,
    #[command(flatten)]
    master: MasterOptions,
    /// Address for people's programs, instead of the one in the settings.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Address for nodes, instead of the one in the settings.
    #[arg(long, value_name = "ADDR")]
    link: Option<String>,
    /// Store, instead of the one in the settings.
    #[arg(long, env = "PAYHSM_STORE", value_name = "STORE", hide_env_values = true)]
    store: Option<String>,
    /// Longest time that anybody waits for the backend with the master key, milliseconds; whoever has waited is told
    /// that it does not answer.
    #[arg(long, value_name = "MS", default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(100..=600_000))]
    backend_deadline_ms: u64,
    /// Ends when the process that started it does.
    #[arg(long, hide = true)]
    end_with_parent: bool,
    /// One JSON object on standard output when it is ready.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(verb: Kmc) -> Exit {
    match verb {
        Kmc::Init(args) => init(&args),
        Kmc::Serve(args) => serve(args),
        Kmc::Status(place) => status(&place),
        Kmc::Alarms(place) => alarms(&place),
        Kmc::Key(verb) => super::signing::run(verb),
        Kmc::Verify(args) => verify(&args),
    }
}

fn request(path: &Path) -> Result<Signed, Failure> {
    let text = std::fs::read(path).map_err(|e| Failure::environment(format!("{}: {e}", path.display())))?;
    let refused = |e: &dyn core::fmt::Display| Failure::check(format!("{}: {e}", path.display()));
    PersonRequest::read(&text).map_err(|e| refused(&e))?;
    Signed::parse(&text).map_err(|e| refused(&e))
}

type Founders = Vec<(Signed, BTreeSet<Role>)>;

fn founders(args: &Init) -> Result<Founders, Failure> {
    let lists = [
        (&args.officer, Role::SecurityOfficer),
        (&args.operator, Role::Operator),
        (&args.custodian, Role::Custodian),
        (&args.auditor, Role::Auditor),
    ];
    let mut founders = Founders::new();
    for (paths, role) in lists {
        for path in paths {
            let request = request(path)?;
            // Who is named in two roles is one person with both.
            match founders.iter_mut().find(|(known, _)| known.key_id == request.key_id) {
                Some((_, roles)) => {
                    roles.insert(role);
                }
                None => founders.push((request, [role].into())),
            }
        }
    }
    Ok(founders)
}

fn init(args: &Init) -> Exit {
    let persons = founders(args)?;
    let keys = args.recovery.iter().map(|path| {
        let text = request(path)?;
        let asked: PersonRequest = text.peek().map_err(Failure::check)?;
        Ok(asked.approval_key)
    });
    let recovery = Recovery {
        keys: keys.collect::<Result<_, Failure>>()?,
        needed: args.recovery_needed.unwrap_or_default(),
    };
    if args.recovery.is_empty() {
        eprintln!(
            "payhsm: no recovery keys: if too few officers are left, nobody can name others. To have some, begin with \
             --recovery FILE (twice or more) and --recovery-needed M"
        );
    }
    let house = House::at(&args.folder.kmc);
    let settings = Settings {
        name: args.name.clone(),
        store: args.store.clone(),
        listen: args.listen.clone(),
        link: args.link.clone(),
        names: args.hosts.clone(),
        live: args.live,
        limits: Limits::default(),
    };
    // Before anything is written: a master key that is not there is none.
    hardening::harden();
    let master = if args.master.is_named() { Some(args.master.open(None, args.live)?) } else { None };
    let utc_ms = keymgr::client::utc_ms();
    let passphrase = args.folder.passphrase()?;
    let custody = master.as_ref().map(|opened| opened.custody(PATIENCE)).transpose()?.flatten();
    let made = house.begin(passphrase.as_bytes(), custody).map_err(Failure::check)?;
    if let Some(opened) = &master {
        house.keep_master(&opened.record).map_err(Failure::environment)?;
    }
    let genesis = Genesis::draft(&Beginning {
        name: &settings.name,
        manifest: made.ring.first(CentreKey::Manifest),
        checkpoint: made.ring.first(CentreKey::Checkpoint),
        transport: made.ring.first(CentreKey::Transport),
        persons: &persons,
        recovery,
        utc_ms,
    })
    .map_err(Failure::usage)?;
    made.ring.belongs_to(genesis.kmc()).map_err(Failure::check)?;
    house.write(GENESIS, &genesis.to_bytes()).map_err(Failure::environment)?;
    house.complete(&settings).map_err(Failure::environment)?;
    let key = made.channel.digest();
    let draft = house.path(GENESIS);
    let report = json!({
        "kmc": genesis.kmc(), "draft": draft, "key": key,
        "master": master.as_ref().map(|opened| &opened.record),
        "unsigned": genesis.missing().map_err(Failure::check)?,
    });
    show(args.json, &report, |_| {
        format!(
            "centre {}\ndraft  {}\nNow every officer signs: payhsm person sign-root {}",
            genesis.kmc(),
            draft.display(),
            draft.display()
        )
    })
}

fn serve(args: Serve) -> Exit {
    if args.end_with_parent {
        let signal = Some(rustix::process::Signal::KILL);
        rustix::process::set_parent_process_death_signal(signal).map_err(Failure::environment)?;
    }
    log::start(false);
    hardening::harden();
    let house = House::at(&args.folder.kmc);
    let mut settings = house.settings().map_err(Failure::environment)?;
    let known = house.master().map_err(Failure::environment)?;
    let master = args.master.open(known.as_ref(), settings.live)?;
    settings.listen = args.listen.unwrap_or(settings.listen);
    settings.link = args.link.unwrap_or(settings.link);
    settings.store = args.store.unwrap_or(settings.store);
    if master.lmk.test {
        tracing::warn!("the master key is a public test LMK: everybody knows it, it protects nothing");
    }
    let patience = Duration::from_millis(args.backend_deadline_ms);
    let passphrase = args.folder.passphrase()?;
    let keys = house.open_with(passphrase.as_bytes(), master.custody(patience)?).map_err(Failure::check)?;
    let (factory, id) = (master.factory.clone(), master.lmk.id);
    let vault =
        VaultThread::start_with(patience, move || Vault::new(factory(), id)).map_err(Failure::check)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(Failure::environment)?.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::environment)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::environment)?;
        let server = Server::start(&house, &settings, keys, vault).await.map_err(start_failure)?;
        // From now on the store's keys are under this one; where its token is may have changed.
        if known.as_ref() != Some(&master.record) {
            house.keep_master(&master.record).map_err(Failure::environment)?;
        }
        // Whoever has started it may have stopped reading: that is no reason to end.
        if let Err(error) = ready(&server, args.json) {
            tracing::warn!(%error, "standard output");
        }
        server
            .run(async {
                tokio::select! {
                    _ = terminate.recv() => tracing::info!("SIGTERM"),
                    _ = interrupt.recv() => tracing::info!("SIGINT"),
                }
            })
            .await;
        tracing::info!("ended");
        Ok(())
    })
}

fn start_failure(error: keymgr::server::ServerError) -> Failure {
    match error {
        keymgr::server::ServerError::Genesis(_)
        | keymgr::server::ServerError::OtherCentre
        | keymgr::server::ServerError::OtherMaster => Failure::check(error),
        keymgr::server::ServerError::Setting(_) => Failure::usage(error),
        _ => Failure::environment(error),
    }
}

fn ready(server: &Server, json: bool) -> std::io::Result<()> {
    let address = |address: Option<std::net::SocketAddr>| address.map(|a| a.to_string()).unwrap_or_default();
    let (api, link, key) = (address(server.api()), address(server.link()), server.key());
    // What durability rests on, so that nobody has to guess.
    let settings = server.manager().writer().standing().settings;
    for (name, value) in &settings {
        if matches!(
            (name.as_str(), value.as_str()),
            ("fsync" | "synchronous_commit" | "full_page_writes", "off")
        ) {
            tracing::warn!("{name} is off at the database: a power loss can lose what was acknowledged");
        }
    }
    // In one piece: who waits for one of these lines may close the pipe after it.
    let MasterFacts { class, lmk } = server.manager().vault().master();
    let check = String::from_utf8_lossy(&lmk.check);
    let text = if json {
        let settings: serde_json::Map<String, Value> =
            settings.into_iter().map(|(name, value)| (name, value.into())).collect();
        let master = json!({ "class": format!("{class:?}"), "lmk": lmk.id.0, "check": check });
        let manager = format!("https://{api}#{key}");
        let said = json!({
            "api": api, "link": link, "key": key, "manager": manager, "store": settings, "master": master,
        });
        format!("{said}\n")
    } else {
        let words: Vec<String> =
            settings.iter().map(|(name, value)| format!("{name}={}", value.replace(' ', "-"))).collect();
        format!(
            "ready api={api} link={link} key={key}\nmanager https://{api}#{key}\nstore {}\n\
             master class={class:?} lmk={} check={check}\n",
            words.join(" "),
            lmk.id
        )
    };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn status(place: &Place) -> Exit {
    let client = place.client()?;
    let status: Value = block_on(client.get("/status"))?;
    show(place.json, &status, |status| {
        let line = |name: &str, value: &Value| match value {
            Value::String(text) => format!("{name:<16} {text}\n"),
            other => format!("{name:<16} {other}\n"),
        };
        let fields = status.as_object().into_iter().flatten();
        fields
            .flat_map(|(name, value)| {
                match value {
                    Value::Array(keys) if name == "signing_keys" => super::signing::status(keys),
                    Value::Object(inner) => {
                        inner.iter().map(|(name, value)| line(name, value)).collect::<String>()
                    }
                    value => line(name, value),
                }
                .chars()
                .collect::<Vec<_>>()
            })
            .collect()
    })
}

fn alarms(place: &Place) -> Exit {
    let alarms: Vec<Alarm> = block_on(place.client()?.all("/alarms"))?;
    show(place.json, &alarms, |alarms| {
        let row = |a: &Alarm| {
            vec![super::when(a.raised_utc_ms), format!("{:?}", a.kind), a.subject.clone(), a.text.clone()]
        };
        table(&["since", "alarm", "of", "what"], &alarms.iter().map(row).collect::<Vec<_>>())
    })
}

fn verify(args: &Verify) -> Exit {
    let at =
        |path: &Path, e: &dyn core::fmt::Display| Failure::environment(format!("{}: {e}", path.display()));
    let heads = args.head.iter().map(|path| {
        let bytes = std::fs::read(path).map_err(|e| at(path, &e))?;
        Head::parse(&path.display().to_string(), &bytes).map_err(Failure::environment)
    });
    let heads = heads.collect::<Result<Vec<_>, Failure>>()?;
    let client = args.place.client()?;
    let export = block_on(client.bytes("/audit/export"))?;
    if let Some(to) = &args.to {
        // What somebody keeps as a head is not replaced.
        let mut file = std::fs::File::create_new(to).map_err(|e| at(to, &e))?;
        file.write_all(&export).and_then(|()| file.sync_all()).map_err(|e| at(to, &e))?;
    }
    let options = keymgr::audit::Options { heads, key: None, signatures: true };
    let report = verify_export(&mut export.as_slice(), options).map_err(Failure::environment)?;
    show(args.place.json, &report, |report| {
        let found: String =
            report.findings.iter().map(|f| format!("{} {}: {}\n", f.table, f.key, f.what)).collect();
        let anchored = if report.anchored { "a head from outside agrees" } else { "no head from outside" };
        format!("{found}{} entries, {} rows, signatures checked, {anchored}", report.entries, report.rows)
    })?;
    if report.holds { Ok(()) } else { Err(Failure::check("the log does not hold")) }
}
