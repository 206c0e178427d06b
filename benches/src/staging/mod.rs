//! How long one key takes to thousands of nodes: a centre with its real service and store, node sides as `serve`
//! uses them, a mutual TLS 1.3 connection for each, possession proved and checked, receipts durable at the manager,
//! states of all nodes durable through one store.

mod fleet;

pub use fleet::{Fleet, Owed};

use crate::centre::{Centre, Founded};
use crate::host::Host;
use crate::page;
use crate::store::{Figure, Place, Settings, keep, print};
use keylink::CampaignId;
use keylink::message::{KeyKind, Overlap, Shape};
use keymgr::client::{RotateWishes, ZoneWishes, plan_rotation, plan_zone};
use keymgr::core::action::Act;
use keymgr::core::campaign::{Campaign, Mark, Phase};
use keymgr::store::{Store, Table};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::runtime::Builder;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Nodes.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    nodes: u16,
    /// sqlite, postgres (a private cluster of the installed package), or an address of an empty database.
    #[arg(long, default_value = "sqlite")]
    store: String,
    /// The folder of stores; on a disk, or the figures are not those of durable commits.
    #[arg(long, default_value = "target")]
    folder: PathBuf,
    /// Connections at a time: each needs two descriptors of this process.
    #[arg(long, default_value_t = 256)]
    connections: usize,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    /// Keeps the figure in benches/record and writes the table of docs/performance.md.
    #[arg(long)]
    record: bool,
}

impl Args {
    fn goal_ms(&self) -> f64 {
        if self.store == "sqlite" { 60_000.0 } else { 30_000.0 }
    }
}

/// Measures and prints.
pub fn run(args: &Args) -> io::Result<()> {
    let host = Host::look();
    let (figures, settings) = measure(args)?;
    print(&figures, &settings, args.json);
    if args.record { keep(&figures, &settings, &host).and_then(|()| page::centre()) } else { Ok(()) }
}

// An error if something that was acknowledged is not there.
fn measure(args: &Args) -> io::Result<(Vec<Figure>, Settings)> {
    let place = Place::of(&args.store, &args.folder).map_err(io::Error::other)?;
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(tell(args, &place)).map_err(io::Error::other)
}

/// A zone with all nodes of the fleet, and what brings its first key: the campaign, and the act that begins it.
pub async fn prepare(centre: &Centre, fleet: &mut Fleet, alias: &str) -> Result<(CampaignId, Act), String> {
    let wishes = ZoneWishes {
        alias: alias.to_owned(),
        nodes: fleet.ids(),
        live: false,
        kind: KeyKind::Zpk,
        shape: Shape::Tdes2,
        base: None,
        overlap: Overlap::Time,
        overlap_ms: None,
        // The switch stays behind what is measured.
        lead_ms: Some(3_600_000),
        exportable: false,
    };
    let (_, acts) = plan_zone(&centre.operator, &wishes).await.map_err(|error| error.to_string())?;
    centre.ask(&acts).await?;
    fleet.greet().await?;
    let wishes = RotateWishes::default();
    let plan = plan_rotation(&centre.operator, alias, &wishes).await.map_err(|error| error.to_string())?;
    Ok((plan.targets.first().ok_or("no campaign")?.campaign, plan.act))
}

async fn tell(args: &Args, place: &Place) -> Result<(Vec<Figure>, Settings), String> {
    let folder = tempfile::TempDir::new_in(&args.folder).map_err(|error| error.to_string())?;
    let began = Instant::now();
    let centre = Founded::new(folder.path(), &place.location)?.serve().await?;
    let mut fleet = Fleet::enrol(&centre, args.nodes.into(), folder.path(), args.connections).await?;
    eprintln!("{} nodes are enrolled and have their root KEKs: {:.1} s", args.nodes, seconds(began));
    let (campaign, rotate) = prepare(&centre, &mut fleet, "north").await?;
    eprintln!("the zone is there: {:.1} s", seconds(began));

    let (log, commits, cpu) = (centre.log_size(), centre.commits(), cpu_s());
    // From the last approval on: the key is drawn, wrapped for each node, signed, fetched, installed, proved.
    let staged = Instant::now();
    let (slowest, done) = {
        let fetch = fleet.stage();
        let asked = async {
            centre.ask(&[rotate]).await?;
            let look = || async {
                let found: Result<Campaign, _> = centre.operator.get(&format!("/campaigns/{campaign}")).await;
                found.map_err(|error| error.to_string())
            };
            while look().await?.phase <= Phase::Staging {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let campaign = look().await?;
            if campaign.counts.of(Mark::Proven) == u32::from(args.nodes) {
                Ok(staged.elapsed())
            } else {
                Err(format!("{:?}", campaign.counts))
            }
        };
        let (slowest, done) = tokio::join!(fetch, asked);
        (slowest?, done?)
    };
    eprintln!("the last node was confirmed after {:.1} s", slowest.as_secs_f64());
    eprintln!(
        "{} log entries in {} commits; {:.1} s of processor, nodes included",
        centre.log_size() - log,
        centre.commits() - commits,
        cpu_s() - cpu
    );
    centre.end().await;
    let proven = fleet.proven()?;
    let (receipts, settings) = tokio::task::block_in_place(|| -> Result<_, keymgr::store::Error> {
        let mut store = Store::read(&place.location)?;
        Ok((store.count(Table::Receipts)?, store.settings()?))
    })
    .map_err(|error| error.to_string())?;
    let wanted = u64::from(args.nodes);
    // Each node has sent two: for its root KEK, and for the key.
    if proven != wanted || receipts < 2 * wanted {
        return Err(format!("{proven} nodes hold the key, {receipts} receipts are stored"));
    }
    Ok((
        vec![Figure::at_most(&format!("one key staged to {} nodes", args.nodes), done, args.goal_ms())],
        settings,
    ))
}

// What this process has had of all cores.
fn cpu_s() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}
