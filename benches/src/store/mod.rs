//! The store of the key management centre: inventory of many keys, durable receipts, verification of the log.

mod counted;
mod inventory;
mod receipts;
mod recorded;
mod verification;

pub use recorded::{keep, table};

use crate::host::Host;
use crate::page;
use clap::ValueEnum;
use ed25519_dalek::SigningKey;
use keymgr::log::{CheckpointKey, Ledger};
use keymgr::store::{Error, Location, Store};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

#[allow(dead_code, clippy::unwrap_used, missing_docs)] // shared with the tests of the store
#[path = "../../../keymgr/tests/common/postgres.rs"]
mod postgres;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to measure; everything if none is named.
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// sqlite, postgres (a private cluster of the installed package), or an address of an empty database.
    #[arg(long, default_value = "sqlite")]
    store: String,
    /// The folder of the embedded store; on a disk, or the figures are not those of durable commits.
    #[arg(long, default_value = "target")]
    folder: std::path::PathBuf,
    /// Keys of the inventory.
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// Log entries to verify.
    #[arg(long, default_value_t = 1_000_000)]
    entries: u64,
    /// Signed receipts to verify.
    #[arg(long, default_value_t = 60_000)]
    signed: u64,
    /// How long to write receipts.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    /// Keeps the figures in benches/record and writes the table of docs/performance.md.
    #[arg(long)]
    record: bool,
}

/// One part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Expiry query, list page, start to serving.
    Inventory,
    /// Durable receipts a second, by the writer alone.
    Receipts,
    /// Durable receipts a second, as the centre takes them: signature, chain of the node, campaign.
    Counted,
    /// Log entries a second.
    Verification,
}

/// Name and value of what durability rests on.
pub type Settings = Vec<(String, String)>;

/// One figure against its goal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    what: String,
    value: f64,
    unit: String,
    goal: f64,
    /// Whether more is better.
    more: bool,
}

impl Figure {
    fn at_least(what: &str, value: f64, unit: &str, goal: f64) -> Self {
        Self { what: what.to_owned(), value, unit: unit.to_owned(), goal, more: true }
    }

    /// A time with the most it may be.
    pub fn at_most(what: &str, time: Duration, goal_ms: f64) -> Self {
        let value = time.as_secs_f64() * 1e3;
        Self { what: what.to_owned(), value, unit: "ms".to_owned(), goal: goal_ms, more: false }
    }

    fn holds(&self) -> bool {
        if self.more { self.value >= self.goal } else { self.value <= self.goal }
    }
}

/// Where one part has its store.
pub struct Place {
    /// The store.
    pub location: Location,
    _folder: Option<TempDir>,
    _cluster: Option<std::sync::Arc<postgres::Cluster>>,
}

impl Place {
    fn new(args: &Args) -> Result<Self, String> {
        Self::of(&args.store, &args.folder)
    }

    /// A new one: `sqlite` in this folder, `postgres`, or an address.
    pub fn of(store: &str, folder: &Path) -> Result<Self, String> {
        match store {
            "sqlite" => {
                let folder = TempDir::new_in(folder).map_err(|error| error.to_string())?;
                let location = Location::Sqlite(folder.path().join("kmc.db"));
                Ok(Self { location, _folder: Some(folder), _cluster: None })
            }
            "postgres" => {
                let cluster = postgres::cluster().ok_or("the package postgresql is missing")?;
                let location = Location::Postgres(cluster.url(&cluster.database()));
                Ok(Self { location, _folder: None, _cluster: Some(cluster) })
            }
            other => Ok(Self { location: other.parse()?, _folder: None, _cluster: None }),
        }
    }

    fn lead(&self) -> Result<Ledger, Error> {
        Ledger::lead(Store::lead(&self.location)?, key(), "bench", 1)
    }
}

fn key() -> CheckpointKey {
    CheckpointKey::new("bench.example/log", SigningKey::from_bytes(&[1; 32]))
        .unwrap_or_else(|_| unreachable!("a fixed key under a fixed name"))
}

/// Measures and prints; an error if an answer is wrong. Goals that are missed are shown, not judged: figures
/// depend on the machine.
pub fn run(args: &Args) -> std::io::Result<()> {
    let host = Host::look();
    let mut figures = Vec::new();
    let mut settings = Vec::new();
    let wanted = |part| args.parts.is_empty() || args.parts.contains(&part);
    let mut part = |part, run: fn(&Args, &Place) -> Result<Vec<Figure>, String>| {
        if !wanted(part) {
            return Ok(());
        }
        let place = Place::new(args).map_err(std::io::Error::other)?;
        figures.extend(run(args, &place).map_err(std::io::Error::other)?);
        let mut store = Store::read(&place.location).map_err(std::io::Error::other)?;
        settings = store.settings().map_err(std::io::Error::other)?;
        Ok::<(), std::io::Error>(())
    };
    part(Part::Inventory, inventory::run)?;
    part(Part::Receipts, receipts::run)?;
    part(Part::Counted, counted::run)?;
    part(Part::Verification, verification::run)?;
    print(&figures, &settings, args.json);
    if args.record { keep(&figures, &settings, &host).and_then(|()| page::centre()) } else { Ok(()) }
}

/// Prints figures and what durability rested on.
pub fn print(figures: &[Figure], settings: &[(String, String)], json: bool) {
    if json {
        println!("{}", serde_json::json!({ "settings": settings, "figures": figures }));
        return;
    }
    for (name, value) in settings {
        println!("{name:<22} {value}");
    }
    for figure in figures {
        let word = if figure.more { "at least" } else { "at most" };
        let mark = if figure.holds() { "" } else { "  MISSED" };
        println!(
            "{:<44} {:>12.1} {:<4} ({word} {}){mark}",
            figure.what, figure.value, figure.unit, figure.goal
        );
    }
}
