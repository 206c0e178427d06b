//! What was approved about a zone is asked for again, after officers have left who had approved it: nodes that were
//! away judge by the officers of now.

use super::calls::{Client, Proposed};
use super::error::ClientProblem;
use crate::api::{HolderView, KeyView};
use crate::core::action::{Act, KeyRef, Reaffirmed};
use crate::core::key::KeySet;
use crate::core::lifecycle::KeyState;
use crate::core::node::{Progress, Zone};
use std::collections::BTreeSet;

/// What may have to be approved again: the zone's members, its key sets, and of each key that a node may still hold
/// what its state says.
pub async fn plan_reaffirm(client: &Client, zone: &Zone) -> Result<Vec<Reaffirmed>, ClientProblem> {
    let mut all = vec![Reaffirmed::Zone(zone.id)];
    let sets: Vec<KeySet> = client.all("/key-sets").await?;
    for set in sets.iter().filter(|set| zone.key_sets.contains(&set.id())) {
        let id = set.id();
        all.push(Reaffirmed::KeySet(id));
        let keys: Vec<KeyView> = client.all(&format!("/keys?key_set={id}")).await?;
        let copies: Vec<HolderView> = client.all(&format!("/holders?key_set={id}")).await?;
        let held: BTreeSet<_> =
            copies.iter().filter(|c| c.progress < Progress::Destroyed).map(|c| c.generation).collect();
        for key in keys.iter().filter(|k| k.state != KeyState::Destroyed || held.contains(&k.generation)) {
            all.extend(of_key(key, set));
        }
    }
    Ok(all)
}

fn of_key(key: &KeyView, set: &KeySet) -> [Reaffirmed; 3] {
    let name = KeyRef { key_set: key.key_set, generation: key.generation };
    let live = matches!(key.state, KeyState::PreActivation | KeyState::Active | KeyState::Suspended);
    // Its period is over, and it stands in its place until another one follows.
    let over = key.state == KeyState::Deactivated && key.suspect.is_none();
    let stays = over && set.protecting == Some(key.generation);
    [
        if live || stays { Reaffirmed::Key(name) } else { Reaffirmed::End(name) },
        Reaffirmed::RollBack(name),
        if set.suspended { Reaffirmed::Suspension(name) } else { Reaffirmed::Resumption(name) },
    ]
}

/// Asks for all of it. What was never approved about a key, or is not meant any more, is left out.
pub async fn reaffirm(
    client: &Client,
    all: &[Reaffirmed],
) -> Result<Vec<(Reaffirmed, Proposed)>, ClientProblem> {
    let mut asked = Vec::new();
    for &what in all {
        let of_key = !matches!(what, Reaffirmed::Zone(_) | Reaffirmed::KeySet(_));
        match client.propose(&Act::Reaffirm(what)).await {
            Ok(proposed) => asked.push((what, proposed)),
            Err(ClientProblem::Refused(problem)) if of_key && problem.code == "unfit" => {}
            Err(problem) => return Err(problem),
        }
    }
    Ok(asked)
}
