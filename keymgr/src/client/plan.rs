//! From what a person wants to the exact actions that are asked for: a zone with its key set, a rotation.

use super::calls::Client;
use super::error::ClientProblem;
use super::utc_ms;
use crate::api::NodeView as Node;
use crate::core::action::Act;
use crate::core::campaign::{RotateTarget, Source};
use crate::core::key::{Holders, KeySet};
use crate::core::node::Zone;
use crate::core::policy::Policy;
use keylink::message::{Definition, Indices, KeyKind, Overlap, Scope, Shape};
use keylink::wire::U64;
use keylink::{CampaignId, KeySetId, NodeId, PolicyId, ZoneId};
use serde::Serialize;
use std::collections::BTreeSet;

/// Randomness for a new id.
pub fn fresh_id() -> Result<(u64, [u8; 10]), ClientProblem> {
    let mut random = [0; 10];
    getrandom::fill(&mut random).map_err(|error| ClientProblem::Wish(error.to_string()))?;
    Ok((utc_ms(), random))
}

/// A zone that is wanted, with one key set.
#[derive(Clone, Debug)]
pub struct ZoneWishes {
    /// Name of the zone.
    pub alias: String,
    /// Nodes that become members.
    pub nodes: BTreeSet<NodeId>,
    /// Production.
    pub live: bool,
    /// Kind of its key set.
    pub kind: KeyKind,
    /// Cipher and length.
    pub shape: Shape,
    /// First of three indices in a row; the lowest free ones when missing.
    pub base: Option<u16>,
    /// How generations overlap.
    pub overlap: Overlap,
    /// The old generation is processed so long after a switch, milliseconds; else the policy's default.
    pub overlap_ms: Option<u64>,
    /// Time between the order to protect and the moment of it, milliseconds; else the policy's default.
    pub lead_ms: Option<u64>,
    /// Keys may leave under a ZMK.
    pub exportable: bool,
}

/// A key set that is wanted in a zone that is there.
#[derive(Clone, Debug)]
pub struct KeySetWishes {
    /// Name; unique among key sets.
    pub name: String,
    /// Kind.
    pub kind: KeyKind,
    /// Cipher and length.
    pub shape: Shape,
    /// First of three indices in a row; the lowest free ones when missing.
    pub base: Option<u16>,
    /// How generations overlap.
    pub overlap: Overlap,
    /// This policy; else one with the defaults of the house.
    pub policy: Option<PolicyId>,
    /// Keys may leave under a ZMK.
    pub exportable: bool,
}

/// The actions of a further key set.
pub async fn plan_key_set(
    client: &Client,
    zone: &Zone,
    wishes: &KeySetWishes,
) -> Result<(Definition, Vec<Act>), ClientProblem> {
    let (policy, define) = match wishes.policy {
        Some(policy) => (policy, None),
        None => {
            let (time, random) = fresh_id()?;
            let id = PolicyId::new(time, random);
            known(client, Policy::defaults(id, &wishes.name, wishes.kind, &[wishes.shape])).await?
        }
    };
    let (time, random) = fresh_id()?;
    let definition = Definition {
        key_set: KeySetId::new(time, random),
        name: wishes.name.clone(),
        scope: Scope::Zone(zone.id),
        kind: wishes.kind,
        shape: wishes.shape,
        overlap: wishes.overlap,
        indices: free_indices(client, wishes.base).await?,
        hard_stop: hard_stop(client, policy).await?,
    };
    let create = Act::CreateKeySet {
        definition: definition.clone(),
        exportable: wishes.exportable,
        live: zone.live,
        policy,
        holders: holders(wishes.kind),
    };
    Ok((definition, define.into_iter().chain([create]).collect()))
}

// What the key set says about it is what its policy says.
async fn hard_stop(client: &Client, policy: PolicyId) -> Result<bool, ClientProblem> {
    let known: Vec<Policy> = client.all("/policies").await?;
    Ok(known.iter().any(|own| own.id == policy && own.hard_stop))
}

fn holders(kind: KeyKind) -> Holders {
    if kind == KeyKind::Zmk { Holders::Centre } else { Holders::Members }
}

/// The actions of a zone, in the order in which they are asked for.
pub async fn plan_zone(client: &Client, wishes: &ZoneWishes) -> Result<(ZoneId, Vec<Act>), ClientProblem> {
    let (zone, key_set) = (fresh_id()?, fresh_id()?);
    let (zone, key_set) = (ZoneId::new(zone.0, zone.1), KeySetId::new(key_set.0, key_set.1));
    let name = format!("{} {}", wishes.alias, wishes.kind.name());
    let (policy, define) = policy(client, wishes, &name).await?;
    let indices = free_indices(client, wishes.base).await?;
    let definition = Definition {
        key_set,
        name,
        scope: Scope::Zone(zone),
        kind: wishes.kind,
        shape: wishes.shape,
        overlap: wishes.overlap,
        indices,
        hard_stop: false,
    };
    let mut acts = vec![Act::CreateZone { id: zone, alias: wishes.alias.clone(), live: wishes.live }];
    acts.extend(define);
    if !wishes.nodes.is_empty() {
        acts.push(Act::AddMembers { zone, nodes: wishes.nodes.clone() });
    }
    acts.push(Act::CreateKeySet {
        definition,
        exportable: wishes.exportable,
        live: wishes.live,
        policy,
        holders: holders(wishes.kind),
    });
    Ok((zone, acts))
}

async fn policy(
    client: &Client,
    wishes: &ZoneWishes,
    name: &str,
) -> Result<(PolicyId, Option<Act>), ClientProblem> {
    let (time, random) = fresh_id()?;
    let mut policy = Policy::defaults(PolicyId::new(time, random), name, wishes.kind, &[wishes.shape]);
    policy.overlap_ms = wishes.overlap_ms.unwrap_or(policy.overlap_ms);
    policy.protect_lead_ms = wishes.lead_ms.unwrap_or(policy.protect_lead_ms);
    known(client, policy).await
}

// A policy that says the same already serves this key set too.
async fn known(client: &Client, policy: Policy) -> Result<(PolicyId, Option<Act>), ClientProblem> {
    let known: Vec<Policy> = client.all("/policies").await?;
    let same = |own: &&Policy| {
        Policy { id: policy.id, version: 1, name: policy.name.clone(), ..(*own).clone() } == policy
    };
    if let Some(own) = known.iter().find(same) {
        return Ok((own.id, None));
    }
    Ok((policy.id, Some(Act::DefinePolicy(policy))))
}

// Indices that no key set has, and none that officers have before them: what waits may be carried first.
async fn free_indices(client: &Client, base: Option<u16>) -> Result<Indices, ClientProblem> {
    let sets: Vec<KeySet> = client.all("/key-sets").await?;
    let waiting = client.pending().await?;
    let asked = waiting.iter().filter_map(|view| match view.act.as_ref() {
        Some(Act::CreateKeySet { definition, .. }) => Some(definition.indices),
        _ => None,
    });
    let all = sets.iter().map(|set| set.definition.indices).chain(asked);
    choose_indices(all, base)
        .ok_or_else(|| ClientProblem::Wish("these indices are in use, or asked for".to_owned()))
}

fn choose_indices(used: impl Iterator<Item = Indices>, base: Option<u16>) -> Option<Indices> {
    let used: BTreeSet<u16> = used.flat_map(|Indices { base, odd, even }| [base, odd, even]).collect();
    let free = |first: &u16| (*first..*first + 3).all(|index| !used.contains(&index));
    let first = match base {
        Some(base) => Some(base).filter(free),
        None => (0..keylink::message::INDEX_COUNT - 2).find(free),
    }?;
    Some(Indices { base: first, odd: first + 1, even: first + 2 })
}

/// A rotation that is wanted.
#[derive(Clone, Debug, Default)]
pub struct RotateWishes {
    /// Only these key sets of the zone; all of its members' key sets when empty.
    pub key_sets: BTreeSet<KeySetId>,
    /// Nodes out of traffic that are not waited for; those that are offline, or stopped, are named by themselves.
    pub excepted: BTreeSet<NodeId>,
    /// Other overlap than the policy's, milliseconds.
    pub overlap_ms: Option<u64>,
    /// Not before, UTC milliseconds.
    pub not_before: Option<u64>,
    /// Brings this generation, formed or imported before, instead of drawing a new key.
    pub existing: Option<keylink::Generation>,
    /// Why, for an emergency: the gate is not waited for.
    pub emergency: Option<String>,
}

/// A rotation as it would be asked for, and what a person is shown before.
#[derive(Clone, Debug, Serialize)]
pub struct Rotation {
    /// Zone.
    pub zone: String,
    /// The action.
    pub act: Act,
    /// One campaign for each key set.
    pub targets: Vec<RotateTarget>,
    /// Names of the nodes that the gate waits for; none in an emergency.
    pub gated: Vec<String>,
    /// Names of the nodes that it does not wait for.
    pub excepted: Vec<String>,
    /// Names of the nodes that have not been heard for two minutes.
    pub silent: Vec<String>,
}

/// A node without a sign of life for so long is named in a preview.
const SILENT_MS: u64 = 120_000;

/// What a rotation of a zone would be, by the present state.
pub async fn plan_rotation(
    client: &Client,
    zone: &str,
    wishes: &RotateWishes,
) -> Result<Rotation, ClientProblem> {
    let zones: Vec<Zone> = client.all("/zones").await?;
    let zone = zones
        .iter()
        .find(|own| own.alias == zone || own.id.to_string() == zone)
        .ok_or_else(|| ClientProblem::Missing { what: "zone", name: zone.to_owned() })?;
    let nodes: Vec<Node> = client.all("/nodes").await?;
    let members: Vec<&Node> = nodes.iter().filter(|node| node.zones.contains(&zone.id)).collect();
    let sets: Vec<KeySet> = client.all("/key-sets").await?;
    let policies: Vec<Policy> = client.all("/policies").await?;
    let by_itself = members.iter().filter(|node| !node.gated).map(|node| node.id);
    let excepted: BTreeSet<NodeId> = by_itself.chain(wishes.excepted.iter().copied()).collect();
    let wanted = |set: &&KeySet| {
        zone.key_sets.contains(&set.id())
            && set.holders == Holders::Members
            && (wishes.key_sets.is_empty() || wishes.key_sets.contains(&set.id()))
    };
    let now = utc_ms();
    let mut targets = Vec::new();
    for set in sets.iter().filter(wanted) {
        let policy = policies.iter().find(|policy| policy.id == set.policy);
        let policy =
            policy.ok_or_else(|| ClientProblem::Missing { what: "policy", name: set.policy.to_string() })?;
        let (time, random) = fresh_id()?;
        targets.push(RotateTarget {
            campaign: CampaignId::new(time, random),
            key_set: set.id(),
            generation: wishes.existing.unwrap_or(set.next_generation),
            source: if wishes.existing.is_some() { Source::Existing } else { Source::Generate },
            members: zone.members,
            excepted: if wishes.emergency.is_some() { BTreeSet::new() } else { excepted.clone() },
            protect_not_before: U64(wishes.not_before.unwrap_or(now)),
            overlap_ms: U64(wishes.overlap_ms.unwrap_or(policy.overlap_ms)),
            deadline: U64(wishes.not_before.unwrap_or(now).max(now) + policy.campaign_deadline_ms),
        });
    }
    if targets.is_empty() {
        return Err(ClientProblem::Wish(format!("zone {} has no key set that nodes hold", zone.alias)));
    }
    let names = |wanted: &dyn Fn(&Node) -> bool| -> Vec<String> {
        members.iter().filter(|node| wanted(node)).map(|node| node.name.clone()).collect()
    };
    let act = match &wishes.emergency {
        Some(reason) => Act::RotateAtOnce { targets: targets.clone(), reason: reason.clone() },
        None => Act::Rotate(targets.clone()),
    };
    Ok(Rotation {
        zone: zone.alias.clone(),
        act,
        gated: names(&|node| wishes.emergency.is_none() && !excepted.contains(&node.id)),
        excepted: names(&|node| wishes.emergency.is_none() && excepted.contains(&node.id)),
        silent: names(&|node| now.saturating_sub(node.seen_utc_ms) > SILENT_MS),
        targets,
    })
}
