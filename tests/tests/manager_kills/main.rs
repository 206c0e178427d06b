//! The manager is killed, as SIGKILL does it, at named places and at moments of its own, while rotations run; whatever
//! it had told anyone is there afterwards, and the rotations come to their ends.
//!
//! The manager is the whole service in a process of its own: interface, core, vault, writer, store. Officers and nodes
//! are in this process and keep a journal of what they were answered: proposals, approvals, phases, manifests,
//! confirmed receipts, checkpoints. `PAYHSM_KILL_ROUNDS` sets the number of rounds (50 if unset).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // figures and skips are for people

mod child;
mod journal;
#[path = "../centre/nodes.rs"]
#[allow(dead_code)]
mod nodes;
#[path = "../../../keymgr/tests/common/postgres.rs"]
#[allow(dead_code)]
mod postgres;
mod world;

use keymgr::failpoint::{SERVICE, STORE};
use std::collections::BTreeMap;
use std::time::Duration;
use world::World;

/// A manager that does not come by its place within so long is killed where it is.
const LONGEST: Duration = Duration::from_millis(3_000);

async fn rounds(world: &mut World, rounds: u64) {
    let names: Vec<&str> = STORE.iter().chain(SERVICE).copied().collect();
    let (mut at, mut elsewhere): (BTreeMap<&str, u64>, u64) = (BTreeMap::new(), 0);
    for round in 0..rounds {
        let name = names[usize::try_from(round).unwrap() % names.len()];
        let count = if name.starts_with("takeover") { 1 } else { 1 + round / names.len() as u64 * 7 % 11 };
        if world.until_killed(&format!("{name}:{count}"), LONGEST).await {
            *at.entry(name).or_default() += 1;
        } else {
            elsewhere += 1;
        }
        world.check(round % 10 == 9).await;
    }
    world.settle().await;
    println!(
        "{}: {rounds} kills, {elsewhere} of them at moments of their own; {}",
        world.name(),
        world.journal()
    );
    println!("settings {:?}", world.settings().await);
    println!("places {at:?}");
    assert!(at.values().sum::<u64>() * 2 >= rounds, "the places are not passed: {at:?}");
    assert!(rounds < 50 || names.iter().all(|name| at.contains_key(name)), "{at:?}");
}

fn many() -> u64 {
    std::env::var("PAYHSM_KILL_ROUNDS").map_or(50, |text| text.parse().unwrap())
}

#[tokio::test]
async fn nothing_that_the_manager_has_told_is_lost_when_it_is_killed() {
    let mut world = World::begin(None).await;
    rounds(&mut world, many()).await;
}

#[test]
fn nor_with_the_shared_store() {
    let Some(cluster) = postgres::cluster() else { return };
    let url = cluster.url(&cluster.database());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut world = World::begin(Some(url)).await;
        rounds(&mut world, many().div_ceil(5)).await;
    });
}
