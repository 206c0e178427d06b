//! `payhsm demo rotation`: the acceptance run of the key management centre. A manager as a process of its own, people
//! through the public interface, nodes with the node side of `serve`, a load whose every PIN is compared, and a
//! rotation of all zones at once under that load. Exit code 0 only when everything that is listed holds.

mod desk;
mod fleet;
mod gate;
mod judge;
mod kills;
mod line;
mod load;
mod manager;
mod people;
mod receipts;
mod report;
mod sabotage;
mod story;
mod unit;
mod units;
mod watch;

use crate::exit::{Exit, Failure};
use clap::Args;
use sabotage::Sabotage;

/// Rotates the keys of a fleet under load, and proves that no transaction was lost.
#[derive(Debug, Args)]
pub struct RotationArgs {
    /// Nodes.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(3..=2000))]
    nodes: u16,
    /// Zones; every node is a member of each.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=20))]
    zones: u8,
    /// Nodes that are away during the rotation, percent.
    #[arg(long, default_value_t = 0, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=50))]
    offline: u8,
    /// How often the manager is killed: at 20 % and 70 % of the proofs, and when half of the nodes have the order to
    /// protect.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=3))]
    kills: u8,
    /// Nodes that are processes of their own, `payhsm serve` with a host port; the first of them is killed between store
    /// and receipt.
    #[arg(long, default_value_t = 3, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(0..=20))]
    processes: u8,
    /// Transactions a second, over all nodes.
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Transactions that every stage must have seen.
    #[arg(long, default_value_t = 10_000, value_name = "COUNT")]
    stage_transactions: u64,
    /// Where the manager keeps its state: postgres://…; else a file of the run.
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    /// Plants a fault, which must make the run fail.
    #[arg(long, value_name = "KIND")]
    sabotage: Option<Sabotage>,
    /// Longest time for the rotation, seconds.
    #[arg(long, default_value_t = 240, value_name = "S")]
    limit: u64,
    /// Longest time for all of it, seconds.
    #[arg(long, default_value_t = 300, value_name = "S")]
    within: u64,
    /// One JSON document on standard output.
    #[arg(long)]
    json: bool,
}

impl RotationArgs {
    // Nodes that are away.
    fn away(&self) -> usize {
        usize::from(self.nodes) * usize::from(self.offline) / 100
    }
}

/// Runs it.
pub fn run(args: &RotationArgs) -> Exit {
    if usize::from(args.processes) + args.away() + 1 >= usize::from(args.nodes) {
        return Err(Failure::usage("too few nodes: besides processes and nodes that are away two are needed"));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    // On this thread: the manager ends with the thread that has begun it.
    let report = runtime.map_err(Failure::environment)?.block_on(story::tell(args))?;
    if args.json {
        println!("{:#}", report.document());
    } else {
        print!("{}", report.text());
    }
    report.failures().map_or(Ok(()), |failures| Err(Failure::check(failures)))
}
