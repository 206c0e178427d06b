//! `payhsm node`, the verbs at a node's own place: it becomes known to a key management centre, shows what it holds, and
//! takes mail by file where no network reaches it.

mod evidence;
mod form_kek;

pub use evidence::Evidence;
pub use form_kek::FormKek;

use crate::backend::{Source, SourceOptions};
use crate::exit::{Exit, Failure};
use crate::node_token::custody;
use crate::private::make_folder;
use gateway::node::{
    Custody, EnrolError, Enrolment, HttpsTransport, InstallerLmks, Keeper, NodeService, NodeSide, NodeTable,
    Nowhere, Renewal, ServiceSetup, Store, Stored, Who, carry, choose_lmks, class_letter, identity_file,
    join, open, pending_file, store_file,
};
use gateway::{BackendFactory, Running};
use hsm::{BackendClass, LmkInfo};
use hsm_pkcs11::Token;
use keylink::message::{Checkpoint, EnrolmentToken, Receipt, ReceiptKind};
use keylink::node::NodeState;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The verbs at a node's own place; the parser of `payhsm node` holds them among those of the centre.
#[derive(Debug)]
pub enum Node {
    /// Asks to be known.
    Join(Join),
    /// Shows what is held.
    Show(Show),
    /// Proof that the centre took receipts.
    Evidence(Evidence),
    /// Mail by file.
    Carry(Carry),
    /// A root KEK from components.
    FormKek(FormKek),
}

/// Arguments of `join`.
#[derive(Debug, clap::Args)]
pub struct Join {
    /// File with the enrolment token, one line.
    #[arg(value_name = "TOKEN")]
    enrolment: PathBuf,
    /// Folder of everything that is kept.
    #[arg(long, env = "PAYHSM_DATA", value_name = "DIR")]
    data: PathBuf,
    /// Name for people.
    #[arg(long)]
    name: String,
    /// What the backend may claim: A, B or C; what it says itself when one is named here, else C.
    #[arg(long, value_parser = ["A", "B", "C"])]
    class: Option<String>,
    /// LMK under which the node's keys are sealed; the first AES key-block LMK when missing.
    #[arg(long)]
    kek_lmk: Option<u8>,
    /// Seconds to wait for the officers; 0 asks once.
    #[arg(long, default_value_t = 600)]
    wait_s: u64,
    /// JSON objects on standard output, a line each: the fingerprints, and the same with the centre when it has let
    /// the node in.
    #[arg(long)]
    json: bool,
    /// Where the node's keys are made: in the token, or in a file sealed under the LMK. Without one they lie clear until
    /// the node first serves.
    #[command(flatten)]
    source: SourceOptions,
}

/// Arguments of `show`.
#[derive(Debug, clap::Args)]
pub struct Show {
    /// Folder of everything that is kept.
    #[arg(long, env = "PAYHSM_DATA", value_name = "DIR")]
    pub data: PathBuf,
    /// File for the newest checkpoint of the manager's log that this node has seen.
    #[arg(long, value_name = "FILE")]
    pub head: Option<PathBuf>,
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `carry`.
#[derive(Debug, clap::Args)]
pub struct Carry {
    /// Package of the centre.
    input: PathBuf,
    /// Package for the centre.
    output: PathBuf,
    /// Folder of everything that is kept.
    #[arg(long, env = "PAYHSM_DATA", value_name = "DIR")]
    data: PathBuf,
    /// LMK of traffic; the first one when missing.
    #[arg(long)]
    lmk: Option<u8>,
    /// LMK of the root KEK; the first AES key-block LMK when missing.
    #[arg(long)]
    kek_lmk: Option<u8>,
    /// One JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: SourceOptions,
}

/// Runs a verb.
pub fn run(verb: Node) -> Exit {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::environment)?;
    match verb {
        Node::Join(args) => runtime.block_on(run_join(&args)),
        Node::Show(args) => run_show(&args),
        Node::Evidence(args) => evidence::run(&args),
        Node::Carry(args) => runtime.block_on(run_carry(args)),
        Node::FormKek(args) => runtime.block_on(form_kek::run(args)),
    }
}

fn utc_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

fn file(path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::environment(format!("{}: {error}", path.display()))
}

async fn run_join(args: &Join) -> Exit {
    let text = std::fs::read_to_string(&args.enrolment).map_err(|error| file(&args.enrolment, error))?;
    let token = EnrolmentToken::from_line(&text).ok_or_else(|| Failure::usage("not an enrolment token"))?;
    make_folder(&args.data).map_err(|error| file(&args.data, error))?;
    let (done, pending) = (identity_file(&args.data), pending_file(&args.data));
    if done.exists() {
        return Err(Failure::usage(format!("{}: this node is enrolled already", done.display())));
    }
    let (enrolment, class) = asking(args, &pending, token)?;
    let (node, request) = enrolment.fingerprints();
    if args.json {
        println!("{}", json!({ "node": node, "request": request }));
    } else {
        println!("node={node}\nrequest={request}");
    }
    let transport = HttpsTransport::new(&enrolment.identity().url, &enrolment.identity().tls());
    let transport = transport.map_err(Failure::environment)?;
    let store = Store::open(&store_file(&args.data)).map_err(Failure::environment)?;
    let until = Instant::now().checked_add(Duration::from_secs(args.wait_s));
    loop {
        match join(&enrolment, &args.name, &class, &transport, &store, utc_ms()).await {
            Ok(identity) => {
                identity.save(&done).map_err(|error| file(&done, error))?;
                std::fs::remove_file(&pending).map_err(|error| file(&pending, error))?;
                if args.json {
                    println!("{}", json!({ "node": node, "request": request, "kmc": identity.kmc }));
                } else {
                    println!("enrolled kmc={}", identity.kmc);
                }
                return Ok(());
            }
            Err(EnrolError::Waiting) if until.is_some_and(|until| Instant::now() < until) => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(error @ EnrolError::Waiting) => return Err(Failure::check(error)),
            Err(
                error @ (EnrolError::Stranger(_)
                | EnrolError::Certificate(_)
                | EnrolError::Evidence(_)
                | EnrolError::Root(_)),
            ) => {
                return Err(Failure::check(error));
            }
            Err(error) => return Err(Failure::environment(error)),
        }
    }
}

// With the backend at hand the keys are never clear on the disk.
fn asking(args: &Join, pending: &Path, token: EnrolmentToken) -> Result<(Enrolment, String), Failure> {
    let named = args.class.clone();
    if !args.source.is_named() {
        let enrolment = Enrolment::kept(pending, token).map_err(Failure::environment)?;
        return Ok((enrolment, named.unwrap_or_else(|| "C".to_owned())));
    }
    let backend = Backed::open(args.source.clone())?;
    let table = NodeTable { kek_lmk: args.kek_lmk, ..NodeTable::default() };
    let class = named.unwrap_or_else(|| class_letter(backend.class).to_owned());
    let keeper = backend.keeper(&choose_lmks(&table, &backend.lmks).map_err(Failure::usage)?);
    Ok((Enrolment::kept_by(&keeper, pending, token).map_err(Failure::environment)?, class))
}

/// A node's backend.
struct Backed {
    factory: Arc<BackendFactory>,
    token: Option<Custody>,
    lmks: Vec<LmkInfo>,
    class: BackendClass,
}

impl Backed {
    fn open(source: SourceOptions) -> Result<Self, Failure> {
        let (factory, token) = Source::from(source).factory_and_token()?;
        let token = custody(token.as_ref())?;
        let (lmks, class) = {
            let backend = factory();
            (backend.lmks().to_vec(), backend.class())
        };
        Ok(Self { factory, token, lmks, class })
    }

    fn keeper(&self, lmks: &InstallerLmks) -> Keeper {
        Keeper::new(Arc::clone(&self.factory), lmks.kek, self.token.clone())
    }
}

fn run_show(args: &Show) -> Exit {
    let path = identity_file(&args.data);
    let identity = Who::load(&path).map_err(|error| file(&path, error))?;
    // Read beside the process that serves: a head is wanted while the node is at work.
    let stored = Store::peek(&store_file(&args.data), identity.node()).map_err(Failure::environment)?;
    let stored = stored.ok_or_else(|| Failure::environment("no state of this node"))?;
    let state: NodeState = keylink::wire::read(&stored).map_err(Failure::environment)?;
    if let Some(to) = &args.head {
        keep_head(to, state.checkpoint.as_ref())?;
    }
    let sets = state.key_sets.iter().flat_map(|set| {
        let definition = &set.definition;
        set.generations.iter().map(move |one| {
            json!({
                "key_set": definition.key_set, "name": definition.name, "kind": definition.kind.name(),
                "base": format!("{:03X}", definition.indices.base), "generation": one.generation,
                "step": one.step, "kcv": one.kcv, "suspended": set.suspended,
            })
        })
    });
    let sets: Vec<_> = sets.collect();
    if args.json {
        let all = json!({
            "node": state.node, "kmc": state.kmc, "manager": identity.url, "epoch": state.epoch,
            "seq": state.seq, "root_kek": state.kek.as_ref().map(|kek| &kek.kcv),
            "root_kek_number": state.kek.as_ref().map(|kek| kek.number), "suspended": state.suspended,
            "unconfirmed_receipts": state.outbox.len(), "proved_receipt": state.proved,
            "disputed": state.disputed, "keys": sets, "checkpoint": state.checkpoint,
        });
        println!("{all}");
        return Ok(());
    }
    println!("node {}\nmanager {} at {}", state.node, state.kmc, identity.url);
    if let Some(kek) = &state.kek {
        println!("root KEK {} {}", kek.number, kek.kcv);
    }
    println!("last message {}/{}, unconfirmed receipts {}", state.epoch, state.seq, state.outbox.len());
    println!("receipts {}, in the centre's log by proof {}", state.receipt.0, state.proved);
    if state.disputed {
        println!("THE CENTRE'S LOG DIFFERS: a proof did not hold; see `payhsm node evidence`");
    }
    if let Some(head) = &state.checkpoint {
        println!("head {} entries, root {}", head.size.0, head.root);
    }
    for set in &state.key_sets {
        for one in &set.generations {
            let definition = &set.definition;
            println!(
                "{} {} K{:03X} generation {} {:?} {}",
                definition.kind.name(),
                definition.name,
                definition.indices.base,
                one.generation,
                one.step,
                one.kcv
            );
        }
    }
    Ok(())
}

// The note alone: what `audit verify --head` takes. Whole or not at all, so that a copy is never half of one.
fn keep_head(to: &Path, head: Option<&Checkpoint>) -> Result<(), Failure> {
    let head = head.ok_or_else(|| Failure::check("this node has not seen a checkpoint yet"))?;
    let mut beside = to.as_os_str().to_owned();
    beside.push(".new");
    let written = std::fs::write(&beside, &head.note).and_then(|()| std::fs::rename(&beside, to));
    written.map_err(|error| file(to, error))
}

// The node side of a data folder, without cores; its service must not run.
async fn alone(
    data: &Path,
    table: &NodeTable,
    source: SourceOptions,
) -> Result<(NodeSide, BackendClass), Failure> {
    let backend = Backed::open(source)?;
    let (class, chosen) = (backend.class, choose_lmks(table, &backend.lmks).map_err(Failure::usage)?);
    let (nowhere, ready) = (Box::new(Nowhere), Arc::new(|| false));
    let opened = open(data, table, chosen, backend.keeper(&chosen), class, nowhere, ready, None).await;
    let (identity, mut side) = opened.map_err(Failure::environment)?;
    // No connection shows it: whoever serves next reads it from the file.
    let renewal = Renewal::new(identity, &identity_file(data), |_| Ok(()));
    side.renew_by(renewal.map_err(Failure::environment)?);
    side.settle().await.map_err(Failure::environment)?;
    Ok((side, class))
}

async fn run_carry(args: Carry) -> Exit {
    let package = std::fs::read(&args.input).map_err(|error| file(&args.input, error))?;
    let table = NodeTable { lmk: args.lmk, kek_lmk: args.kek_lmk, ..NodeTable::default() };
    let (mut side, class) = alone(&args.data, &table, args.source).await?;
    let answer = carry(&mut side, &package).await.map_err(Failure::environment)?;
    let answer = answer.ok_or_else(|| Failure::check("not a package for this node"))?;
    std::fs::write(&args.output, &answer).map_err(|error| file(&args.output, error))?;
    let (class, state) = (class_letter(class), side.machine().state());
    if args.json {
        let said = json!({ "file": args.output, "class": class, "epoch": state.epoch, "seq": state.seq });
        println!("{said}");
    } else {
        println!("class={class} last={}/{}", state.epoch, state.seq);
    }
    Ok(())
}

/// Starts what was set up.
pub(super) fn start(setup: Option<ServiceSetup>) -> Result<Option<NodeService>, Failure> {
    setup.map(NodeService::start).transpose().map_err(Failure::environment)
}

/// The node side of a server: when the configuration has a `[node]`, or the data folder an enrolled node.
pub(super) fn setup(
    data: Option<&Path>,
    table: Option<NodeTable>,
    backend: Option<(Arc<BackendFactory>, Option<Token>)>,
    running: &Running,
    test: bool,
) -> Result<Option<ServiceSetup>, Failure> {
    let enrolled = data.is_some_and(|data| identity_file(data).exists());
    let Some((backend, token)) = backend.filter(|_| table.is_some() || enrolled) else {
        if enrolled {
            tracing::error!("this node is enrolled, but crypto workers are not handed key tables");
        }
        return Ok(None);
    };
    let data = data.ok_or_else(|| Failure::usage("a node keeps its state: name the folder with `--data`"))?;
    let setup = ServiceSetup {
        data: data.to_owned(),
        table: table.unwrap_or_default(),
        switches: running.switches(),
        health: running.health(),
        lmks: running.lmks().to_vec(),
        class: running.backend_class(),
        backend,
        token: custody(token.as_ref())?,
        stored: hold(data, test),
    };
    Ok(Some(setup))
}

// For tests that kill: under the test LMKs, the process stops for ever right after it has stored a receipt of the kind
// that PAYHSM_TEST_HOLD names, and before it sends anything; `node.held` in the data folder says so.
fn hold(data: &Path, test: bool) -> Option<Stored> {
    let kind: ReceiptKind =
        serde_json::from_value(std::env::var("PAYHSM_TEST_HOLD").ok().filter(|_| test)?.into()).ok()?;
    let mark = data.join("node.held");
    Some(Arc::new(move |state: &NodeState| {
        let last = state.outbox.last().and_then(|signed| signed.peek::<Receipt>().ok());
        if last.is_some_and(|receipt| receipt.kind == kind) && !mark.exists() {
            let written = std::fs::write(&mark, state.receipt.0.to_string());
            tracing::warn!(?written, ?kind, "held after the store, for a test");
            loop {
                std::thread::park();
            }
        }
    }))
}
