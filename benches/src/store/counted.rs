//! How many receipts a second the centre counts and makes durable: a whole manager over its store, nodes that were brought
//! keys and have done with them what was ordered, and what they have signed about it, handed to the manager by many nodes
//! at a time. The core checks each signature and the chain of its node, counts it for its campaign, and what follows
//! from that goes on beside it; the answer comes after the commit.
//!
//! Not in it, and in `staging`: connections, and what the backend says about proofs.

use super::{Args, Figure, Place};
use crate::centre::Founded;
use crate::staging::{Fleet, Owed, prepare};
use keylink::Signed;
use keylink::message::Receipt;
use keymgr::core::campaign::{Campaign, Mark};
use keymgr::core::input::{Input, Judged, Outcome};
use keymgr::service::Manager;
use keymgr::store::{Store, Table};
use std::time::{Duration, Instant};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

const NODES: u16 = 5000;
// Connections at a time, while mail is taken.
const CONNECTIONS: usize = 256;
// Of each key at each node: proven, accepting.
const MARKS: [Mark; 2] = [Mark::Proven, Mark::Accepting];

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Brings keys, then hands in what nodes say.
pub fn run(args: &Args, place: &Place) -> Result<Vec<Figure>, String> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(text)?;
    runtime.block_on(tell(args, place))
}

async fn tell(args: &Args, place: &Place) -> Result<Vec<Figure>, String> {
    let folder = tempfile::TempDir::new_in(&args.folder).map_err(text)?;
    let centre = Founded::new(folder.path(), &place.location)?.serve().await?;
    let mut fleet = Fleet::enrol(&centre, NODES.into(), folder.path(), CONNECTIONS).await?;
    let (campaign, rotate) = prepare(&centre, &mut fleet, "counted").await?;
    centre.ask(&[rotate]).await?;
    let wanted = u64::from(NODES) * MARKS.len() as u64;
    let (mut done, mut took, mut slowest, mut idle) = (0u64, Duration::ZERO, Duration::ZERO, 0);
    let commits = centre.commits();
    while done < wanted {
        // Not measured: nodes do what is ordered, and their backends prove what they have.
        fleet.take_mail().await?;
        let owed = fleet.owed();
        let began = Instant::now();
        let counted = hand_in(centre.manager(), owed).await?;
        took += began.elapsed();
        slowest = slowest.max(began.elapsed());
        done += counted;
        idle = if counted == 0 { idle + 1 } else { 0 };
        if counted == 0 {
            // Keys are made ready and orders signed meanwhile.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        if idle > 20 {
            return Err(format!("{done} of {wanted} receipts, and no more come"));
        }
    }
    eprintln!(
        "{done} receipts in {:.2} s and {} commits of any kind; the slowest part took {} ms",
        took.as_secs_f64(),
        centre.commits() - commits,
        slowest.as_millis()
    );
    let campaign: Campaign = centre.operator.get(&format!("/campaigns/{campaign}")).await.map_err(text)?;
    if MARKS.iter().any(|mark| campaign.counts.of(*mark) != u32::from(NODES)) {
        return Err(format!("not all are counted: {:?}", campaign.counts));
    }
    centre.end().await;
    let held = tokio::task::block_in_place(|| Store::read(&place.location)?.count(Table::Receipts));
    let held = held.map_err(text)?;
    if held < done {
        return Err(format!("{held} receipts are there, {done} were acknowledged"));
    }
    Ok(vec![Figure::at_least(
        "durable receipts, counted by the centre",
        done as f64 / took.as_secs_f64(),
        "/s",
        5000.0,
    )])
}

// All nodes at a time, each in its order; how many were counted.
async fn hand_in(manager: &Manager, owed: Vec<Owed>) -> Result<u64, String> {
    let mut nodes = JoinSet::new();
    for Owed { node, key, receipts } in owed {
        let manager = manager.clone();
        nodes.spawn(async move {
            let mut counted = 0u64;
            for mut signed in receipts {
                // As the connection does.
                signed.prove(&key).map_err(text)?;
                let judged = judged(&signed)?;
                match manager.submit(None, Input::Said { node, signed, judged }).await.map_err(text)? {
                    Outcome::Counted { again: false, .. } => counted += 1,
                    other => return Err(format!("not counted: {other:?}")),
                }
            }
            Ok(counted)
        });
    }
    let mut counted = 0;
    while let Some(one) = nodes.join_next().await {
        counted += one.map_err(text)??;
    }
    Ok(counted)
}

// As the backend would say: these nodes lie about nothing.
fn judged(signed: &Signed) -> Result<Judged, String> {
    let receipt: Receipt = signed.peek().map_err(text)?;
    Ok(if receipt.possession.is_some() { Judged::Holds } else { Judged::None })
}
