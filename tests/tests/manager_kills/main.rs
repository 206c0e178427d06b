//! The manager is killed, as SIGKILL does it, at named places and at moments of its own, while rotations run; whatever
//! it had told anyone is there afterwards, and the rotations come to their ends.
//!
//! The manager is the whole service in a process of its own: interface, core, vault, writer, store. Officers and nodes
//! are in this process and keep a journal of what they were answered: proposals, approvals, phases, manifests,
//! confirmed receipts, checkpoints. `PAYHSM_KILL_ROUNDS` sets the number of rounds (50 if unset), `PAYHSM_KILL_SEED` the
//! first seed (1): each centre has a seed and a journal of its own, dies so many times, and is followed by a new one.
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
#[path = "../../../keymgr/tests/common/shown.rs"]
mod shown;
#[path = "../../../keymgr/tests/common/tail.rs"]
mod tail;
mod world;

use keymgr::failpoint::{KEYS, SERVICE, STORE};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use world::World;

/// A manager that does not come by its place within so long is killed where it is.
const LONGEST: Duration = Duration::from_millis(3_000);
/// Further tries for a place that no kill has met.
const MORE: usize = 5;
/// Kills of one centre.
const A_CENTRE: u64 = 125;
/// After every kill what was told since the last is looked for, the tail of the log verified and the rows it speaks of;
/// everything that was ever told, and all of the log, after so many.
const WHOLE_EVERY: u64 = 25;

#[derive(Default)]
struct Counted {
    kills: u64,
    elsewhere: u64,
    at: BTreeMap<&'static str, u64>,
    dying: Duration,
    checking: Duration,
}

impl Counted {
    // One death, and a look at what is left.
    async fn kill(&mut self, world: &mut World, name: &'static str, count: u64, whole: bool) {
        let began = Instant::now();
        if world.until_killed(&format!("{name}:{count}"), LONGEST).await {
            *self.at.entry(name).or_default() += 1;
        } else {
            self.elsewhere += 1;
        }
        let died = Instant::now();
        world.check(whole).await;
        self.kills += 1;
        self.dying += died - began;
        self.checking += died.elapsed();
    }
}

fn draws(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    }
}

// How often a place is passed before it kills: keys and manifests are made less often than batches are written, and each
// node says hello once.
fn passes(name: &str, draw: u64) -> u64 {
    match name.split_once('.') {
        Some(("takeover", _)) => 1,
        Some(("labour", _)) => 1 + draw % 3,
        Some((_, "hello")) => 1 + draw % 2,
        _ => 1 + draw % 11,
    }
}

async fn one_centre(mut world: World, rounds: u64, seed: u64, counted: &mut Counted) {
    let names: Vec<&'static str> = STORE.iter().chain(SERVICE).copied().collect();
    println!("{} seed {seed}: {rounds} rounds", world.name());
    let mut draw = draws(seed);
    for round in 0..rounds {
        let name = names[usize::try_from(round + seed).unwrap() % names.len()];
        let drawn = passes(name, draw());
        // At first each place kills when it is first come by, so that none is left out of a short run.
        let count = if round < names.len() as u64 { 1 } else { drawn };
        counted.kill(&mut world, name, count, round % WHOLE_EVERY == WHOLE_EVERY - 1).await;
    }
    // A place that was not come by in time gets more time of its own.
    for name in names.iter().filter(|_| rounds >= 50) {
        for _ in 0..MORE {
            if counted.at.contains_key(name) {
                break;
            }
            counted.kill(&mut world, name, 1, false).await;
        }
    }
    world.settle().await;
    let so_far = format!("{} seed {seed}: {} kills in all; {}", world.name(), counted.kills, world.journal());
    shown::show("manager-kills", &format!("{so_far}\nsettings {:?}", world.settings().await));
}

async fn all(mut store: impl FnMut() -> Option<String>, many: u64) {
    let seed: u64 = std::env::var("PAYHSM_KILL_SEED").map_or(1, |text| text.parse().unwrap());
    let (mut counted, began) = (Counted::default(), Instant::now());
    for n in 0..many.div_ceil(A_CENTRE) {
        let world = World::begin(store()).await;
        one_centre(world, A_CENTRE.min(many - n * A_CENTRE), seed + n, &mut counted).await;
    }
    let Counted { kills, elsewhere, at, dying, checking } = counted;
    let found =
        format!("{kills} kills from seed {seed}, {elsewhere} of them at moments of their own, nothing lost");
    let took = format!("{:.0?}: {dying:.0?} until they died, {checking:.0?} to look", began.elapsed());
    shown::show("manager-kills", &format!("{found}\n{took}\nplaces {at:?}"));
    assert!(at.values().sum::<u64>() * 2 >= kills, "the places are not passed: {at:?}");
    let missed: Vec<_> = STORE.iter().chain(SERVICE).filter(|name| !at.contains_key(*name)).collect();
    assert!(kills < 50 || missed.is_empty(), "{missed:?} of {at:?}");
}

fn many() -> u64 {
    std::env::var("PAYHSM_KILL_ROUNDS").map_or(50, |text| text.parse().unwrap())
}

#[tokio::test]
async fn nothing_that_the_manager_has_told_is_lost_when_it_is_killed() {
    all(|| None, many()).await;
}

#[tokio::test]
async fn every_key_of_the_centre_is_changed_through_kills_at_each_step() {
    let mut world = World::begin_sealed().await;
    let labour: Vec<&str> = KEYS.iter().copied().filter(|place| place.starts_with("labour.")).collect();
    // Each of three steps is met: what was done before the kill is done, and goes on from there.
    for which in ["manifest", "transport"] {
        let places = [&labour[..2], &labour[..2], &labour[..]].concat();
        let died = world.change_through(which, &places).await;
        assert!(died >= 5, "{which}: {died} of {} kills", places.len());
    }
    let died = world.change_through("checkpoint", &KEYS[2..]).await;
    assert!(died >= 2, "checkpoint: {died} kills");
    world.settle().await;
}

#[test]
fn nor_with_the_shared_store() {
    let Some(cluster) = postgres::cluster() else { return };
    // Databases are made by plain blocking code, outside of any runtime.
    let rounds = many().div_ceil(5);
    let mut urls: Vec<String> =
        (0..rounds.div_ceil(A_CENTRE)).map(|_| cluster.url(&cluster.database())).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(all(move || Some(urls.pop().unwrap()), rounds));
}
