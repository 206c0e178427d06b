//! A million keys, as the core keeps them: how long the questions of an officer take, and a start.

use super::{Args, Figure, Place};
use crate::centre::{Centre, Founded, vault};
use keylink::message::{Definition, Indices, KeyKind, Overlap, Scope, Shape};
use keylink::{ActionId, Digest, Generation, KeySetId, PolicyId, ZoneId};
use keymgr::api::{KeyView, Page};
use keymgr::core::key::{Holders, KcvMethod, Key, KeySet, Material, Origin, Wrapper};
use keymgr::core::lifecycle::Transition;
use keymgr::core::table::Record;
use keymgr::log::Entry;
use keymgr::service::{label_of, spec_of};
use keymgr::store::Change;
use keymgr::vault::Vault;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Keys of a set: two that were, and two in use.
const GENERATIONS: u32 = 4;
/// The periods of keys in use end spread over so many days.
const SPREAD_DAYS: u64 = 1095;

fn spread(n: u64) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

// As a UUID of version 7: time first, then what spreads.
fn id(n: u64) -> [u8; 16] {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    id[8..].copy_from_slice(&spread(n).to_be_bytes());
    id
}

fn set(n: u64) -> KeySet {
    let definition = Definition {
        key_set: KeySetId(id(n)),
        name: format!("zone {} ZPK {n}", n % 500),
        scope: Scope::Zone(ZoneId(id(n % 500))),
        kind: KeyKind::Zpk,
        shape: Shape::Tdes2,
        overlap: Overlap::Time,
        indices: Indices { base: 0, odd: 1, even: 2 },
        hard_stop: false,
    };
    KeySet {
        definition,
        exportable: false,
        live: true,
        policy: PolicyId(id(1)),
        holders: Holders::Members,
        approved_by: ActionId(id(2)),
        next_generation: Generation(GENERATIONS + 1),
        protecting: Some(Generation(GENERATIONS)),
        suspended: false,
        stilled_by: None,
        live_campaign: None,
    }
}

fn key(set: &KeySet, n: u64, number: u32, now: u64) -> Result<Key, String> {
    let material = Material {
        block: "D0176P0TE00N0300".repeat(11),
        kcv: format!("{:06X}", n % 0xff_ffff),
        kcv_method: KcvMethod::Zeros,
        wrapped_by: Wrapper::Master,
        wrapper_strength_bits: 256,
        arrived_under: None,
    };
    let nonce = Digest::of(&n.to_be_bytes());
    let mut key = Key::born(set, Generation(number), Origin::Generated, material, nonce, now - 100 * DAY_MS);
    key.by_right(ActionId(id(n)));
    let day = spread(n) % SPREAD_DAYS;
    let mut step = |transition| key.apply(transition, now).map_err(|error| format!("{error:?}"));
    step(Transition::T4)?;
    let until = if number + 2 > GENERATIONS {
        now + day * DAY_MS + spread(n) % DAY_MS
    } else {
        step(Transition::T8)?;
        now - (day + 1) * DAY_MS
    };
    key.windows.originator_from = Some(until - 30 * DAY_MS);
    key.windows.originator_until = Some(until);
    key.warned_days = Some(0);
    Ok(key)
}

fn entry(action: &str) -> Entry {
    Entry { actor: "bench".into(), action: action.into(), decision: "allowed".into(), ..Entry::default() }
}

// A start opens one of the first keys to see that the master key is theirs.
fn seal(key: &mut Key, founded: &Founded, vault: &mut Vault) -> Result<(), String> {
    let (spec, name) = (spec_of(KeyKind::Zpk, Shape::Tdes2), key.name());
    let sealed =
        vault.generate(spec, &label_of(founded.kmc, name, None)).map_err(|error| error.to_string())?;
    if let Some(material) = key.material.as_mut() {
        (material.block, material.kcv) = (sealed.block, sealed.kcv);
    }
    Ok(())
}

fn fill(keys: u64, founded: &Founded, place: &Place, now: u64) -> Result<(), String> {
    let begin = Instant::now();
    let mut ledger = founded.lead(&place.location)?;
    let mut vault = vault().map_err(|error| error.to_string())?;
    let sets = keys.div_ceil(GENERATIONS.into());
    for first in (0..sets).step_by(256) {
        let batch = (first..sets.min(first + 256)).map(|n| {
            let set = set(n);
            let mut changes: Vec<Change> = vec![Record::KeySet(Box::new(set.clone())).to_change()];
            for number in 1..=GENERATIONS {
                let mut key = key(&set, n * u64::from(GENERATIONS) + u64::from(number), number, now)?;
                if n == 0 {
                    seal(&mut key, founded, &mut vault)?;
                }
                changes.push(Record::Key(Box::new(key)).to_change());
            }
            Ok((entry("key.make"), changes))
        });
        let batch = batch.collect::<Result<_, String>>()?;
        ledger.commit(batch, now, true).map_err(|error| error.to_string())?;
    }
    ledger.checkpoint().map_err(|error| error.to_string())?;
    eprintln!("{} keys of {sets} sets loaded in {:.1} s", keys, begin.elapsed().as_secs_f64());
    Ok(())
}

/// Loads the keys, starts anew, and asks.
pub fn run(args: &Args, place: &Place) -> Result<Vec<Figure>, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(ask(args, place))
}

async fn ask(args: &Args, place: &Place) -> Result<Vec<Figure>, String> {
    let folder = TempDir::new_in(&args.folder).map_err(|error| error.to_string())?;
    let founded = Founded::new(folder.path(), &place.location)?;
    founded.serve().await?.end().await;
    let now = keymgr::client::utc_ms();
    tokio::task::block_in_place(|| fill(args.keys, &founded, place, now))?;

    let begin = Instant::now();
    let centre = founded.serve().await?;
    let first: Page<KeyView> = get(&centre, "/keys").await?;
    let start = begin.elapsed();
    let wanted = usize::try_from(args.keys).unwrap_or(usize::MAX).min(100);
    let mut next = first.next;
    let mut pages = Vec::new();
    for _ in 0..11 {
        let Some(after) = next else { break };
        let begin = Instant::now();
        let page: Page<KeyView> = get(&centre, &format!("/keys?limit=100&after={after}")).await?;
        pages.push(begin.elapsed());
        if page.items.len() != wanted && page.next.is_some() {
            return Err(format!("a page of {}", page.items.len()));
        }
        next = page.next;
    }
    let (mut expiry, mut found) = (Vec::new(), 0);
    for _ in 0..11 {
        let begin = Instant::now();
        let all: Result<Vec<KeyView>, _> = centre.operator.all("/keys/expiring?days=30").await;
        found = all.map_err(|error| error.to_string())?.len() as u64;
        expiry.push(begin.elapsed());
    }
    eprintln!("{found} keys expire in 30 days");
    let expected = args.keys / 2 * 30 / SPREAD_DAYS;
    if found < expected * 9 / 10 || found > expected * 11 / 10 + 10 {
        return Err(format!("{found} keys expire, about {expected} should"));
    }
    centre.end().await;
    Ok(vec![
        Figure::at_most("keys expiring in 30 days, all of them", median(expiry), 100.0),
        Figure::at_most("list page of 100 keys", median(pages), 50.0),
        Figure::at_most("start to serving", start, 5000.0),
    ])
}

async fn get<T: serde::de::DeserializeOwned>(centre: &Centre, path: &str) -> Result<T, String> {
    centre.operator.get(path).await.map_err(|error| error.to_string())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
