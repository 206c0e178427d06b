//! Carrying out what was approved. Everything is checked at this moment, whatever held when it was proposed.

use super::action::{Act, KeyRef, Reaffirmed};
use super::alarm::AlarmKind;
use super::approval::{Action, Quorum};
use super::campaign::{Campaign, Phase};
use super::centre::Centre;
use super::ids::{ActionId, CredentialId, Generation, NodeId, PersonId, ZoneId};
use super::key::{Holders, Key, KeySet, Material, Origin, Storage, Wrapper};
use super::kind;
use super::lifecycle::{KeyState, Transition, transition_between};
use super::node::{Copy, Member, NewNode, Node, Progress, Traffic, Zone};
use super::people::{Credential, NewPerson, Person, Role, Standing};
use super::policy::Policy;
use super::refusal::Refusal;
use super::steps;
use super::table::Change;
use keylink::Digest;
use keylink::action::ActionClass;
use keylink::manager::Link;
use keylink::message::Scope;
use std::collections::BTreeSet;

/// Carries out an act by the right of an action.
pub fn carry_out(tx: &mut Change<'_>, id: ActionId, act: &Act, now: u64) -> Result<(), Refusal> {
    match act {
        Act::EnrolPerson(new) => enrol_person(tx, new),
        Act::RevokePerson { person, replacement } => revoke_person(tx, person, replacement.as_ref(), now),
        Act::ChangeRoles { person, roles } => change_roles(tx, person, roles, now),
        Act::AddCredential { person, credential } => {
            if tx.get::<Person>(person)?.standing == Standing::Revoked {
                return Err(Refusal::Value("the person is revoked"));
            }
            add_credential(tx, credential.of(*person))
        }
        Act::RevokeCredential { credential } => revoke_credential(tx, credential, now),
        Act::Entrust { person, key_set, component } => {
            tx.get::<KeySet>(key_set)?;
            if *component == 0 {
                return Err(Refusal::Value("components count from 1"));
            }
            Ok(tx.edit::<Person>(person)?.entrust(*key_set, *component)?)
        }
        Act::SetQuorum { class, quorum } => set_quorum(tx, *class, *quorum),
        Act::DefinePolicy(policy) => define_policy(tx, policy),
        Act::CreateZone { id, alias, live } => create_zone(tx, *id, alias, *live),
        Act::AddMembers { zone, nodes } => add_members(tx, id, *zone, nodes, now),
        Act::RemoveMembers { zone, nodes } => remove_members(tx, id, *zone, nodes),
        Act::CreateKeySet { definition, exportable, live, policy, holders } => create_key_set(
            tx,
            KeySet {
                definition: definition.clone(),
                exportable: *exportable,
                live: *live,
                policy: *policy,
                holders: *holders,
                approved_by: id,
                next_generation: super::ids::Generation(1),
                protecting: None,
                suspended: false,
                live_campaign: None,
            },
        ),
        Act::AllowKcvOnly(nodes) => nodes.iter().try_for_each(|node| {
            let record = tx.edit::<Node>(node)?;
            record.kcv_only = true;
            record.rights.push(id);
            Ok(())
        }),
        Act::Reaffirm(what) => reaffirm(tx, id, what),
        Act::EnrolNodes(nodes) => nodes.iter().try_for_each(|new| enrol_node(tx, id, new)),
        Act::SuspendNode { node, reason } => suspend_node(tx, id, node, reason, now),
        Act::ResumeNode { node } => resume_node(tx, id, node, now),
        Act::RevokeNode { node } => {
            let record = tx.edit::<Node>(node)?;
            record.standing = Standing::Revoked;
            record.traffic = Traffic::Offline;
            Ok(())
        }
        Act::Rotate(targets) => {
            some(targets)?.iter().try_for_each(|target| steps::begin(tx, id, target, None, now))
        }
        Act::RotateAtOnce { targets, reason } => {
            some(targets)?.iter().try_for_each(|target| steps::begin(tx, id, target, Some(reason), now))
        }
        Act::ExceptNodes { campaign, nodes } => steps::except(tx, campaign, nodes, now),
        Act::ResumeCampaign { campaign } => steps::resume(tx, campaign, now),
        Act::AbortCampaign { campaign } => steps::abort(tx, id, campaign, now),
        Act::RollBack { campaign } => steps::roll_back(tx, id, campaign, now),
        Act::ActivateKey(key) => activate_at_centre(tx, id, key, now),
        Act::SuspendKey(key) => {
            let set = tx.get::<KeySet>(&key.key_set)?;
            if set.protecting != Some(key.generation) {
                return Err(Refusal::Unfit("only the key that protects is suspended"));
            }
            not_in_campaign(tx, key)?;
            tx.edit::<KeySet>(&key.key_set)?.suspended = true;
            shift(tx, id, key, KeyState::Suspended, now)
        }
        Act::ResumeKey(key) => resume_key(tx, id, key, now),
        Act::RevokeKey { key, reason } => revoke_key(tx, id, key, reason, now),
        Act::DeactivateKey(key) => {
            not_protecting(tx, key)?;
            not_in_campaign(tx, key)?;
            shift(tx, id, key, KeyState::Deactivated, now)?;
            forget_protecting(tx, key)
        }
        Act::DestroyKey(key) => destroy_key(tx, id, key, now),
        Act::KeepKey(key) => {
            let record = tx.edit::<Key>(key)?;
            record.destroy_hold_until.take().map(|_| ()).ok_or(Refusal::Value("no destroy hold to end"))
        }
        Act::ArchiveKey(key) => store_as(tx, key, Storage::Archived),
        Act::RestoreKey(key) => store_as(tx, key, Storage::Online),
        Act::ExtendKey { key, until } => extend(tx, id, key, until.0, now),
        Act::FormKey { key_set, custodians } => may_form(tx, key_set, custodians),
        Act::ImportKey { key_set, under, .. } => may_import(tx, key_set, under),
        Act::ExportKey { key, under } => may_export(tx, key, under),
    }
}

fn some<T>(list: &[T]) -> Result<&[T], Refusal> {
    if list.is_empty() { Err(Refusal::Value("an empty list")) } else { Ok(list) }
}

// ---- persons ----

/// Registers a person with a first credential.
pub fn enrol_person(tx: &mut Change<'_>, new: &NewPerson) -> Result<(), Refusal> {
    let taken =
        tx.keys_in::<Person>(..).iter().any(|id| tx.find::<Person>(id).is_some_and(|p| p.name == new.name));
    if taken || new.name.trim().is_empty() {
        return Err(Refusal::exists::<Person>(&new.name));
    }
    let (person, credential) = Person::register(new)?;
    tx.add(person)?;
    add_credential(tx, credential)
}

// One key, one credential, one person: the same key under two names would count twice.
fn add_credential(tx: &mut Change<'_>, credential: Credential) -> Result<(), Refusal> {
    let same = |id: &CredentialId| tx.find::<Credential>(id).is_some_and(|c| c.key == credential.key);
    if tx.keys_in::<Credential>(..).iter().any(same) {
        return Err(Refusal::exists::<Credential>(&credential.key));
    }
    tx.add(credential)
}

fn revoke_person(
    tx: &mut Change<'_>,
    person: &PersonId,
    replacement: Option<&NewPerson>,
    now: u64,
) -> Result<(), Refusal> {
    let record = tx.edit::<Person>(person)?;
    if record.standing == Standing::Revoked {
        return Err(Refusal::Value("the person is revoked already"));
    }
    record.standing = Standing::Revoked;
    if let Some(new) = replacement {
        enrol_person(tx, new)?;
    }
    for id in tx.keys_in::<Credential>(..) {
        if tx.get::<Credential>(&id)?.person == *person {
            tx.edit::<Credential>(&id)?.standing = Standing::Revoked;
        }
    }
    after_people(tx, now)
}

fn change_roles(
    tx: &mut Change<'_>,
    person: &PersonId,
    roles: &BTreeSet<Role>,
    now: u64,
) -> Result<(), Refusal> {
    tx.edit::<Person>(person)?.change_roles(roles)?;
    after_people(tx, now)
}

fn revoke_credential(tx: &mut Change<'_>, credential: &CredentialId, now: u64) -> Result<(), Refusal> {
    let record = tx.edit::<Credential>(credential)?;
    if record.standing == Standing::Revoked {
        return Err(Refusal::Value("the credential is revoked already"));
    }
    record.standing = Standing::Revoked;
    after_people(tx, now)
}

fn set_quorum(tx: &mut Change<'_>, class: ActionClass, quorum: Quorum) -> Result<(), Refusal> {
    if usize::from(class.minimum()) > quorum.persons() {
        return Err(Refusal::Value("below the minimum of the class"));
    }
    tx.edit::<Centre>(&())?.quorums.insert(class, quorum);
    enough_officers(tx)
}

// Enough officers stay, approvals of those who went are void, and the alarms tell.
fn after_people(tx: &mut Change<'_>, now: u64) -> Result<(), Refusal> {
    enough_officers(tx)?;
    drop_void_approvals(tx)?;
    officer_alarms(tx, now);
    Ok(())
}

/// Persons who can approve: officers with a credential that counts.
pub fn officers(tx: &Change<'_>) -> BTreeSet<PersonId> {
    let ids = tx.keys_in::<Credential>(..);
    let credentials = ids.iter().filter_map(|id| tx.find::<Credential>(id));
    credentials
        .filter(|c| c.standing == Standing::Active)
        .filter(|c| tx.find::<Person>(&c.person).is_some_and(|p| p.is(Role::SecurityOfficer)))
        .map(|c| c.person)
        .collect()
}

// With m of every planned class there is one more, so that an officer may also ask.
fn enough_officers(tx: &Change<'_>) -> Result<(), Refusal> {
    let centre = tx.get::<Centre>(&())?;
    let planned = ActionClass::ALL.iter().filter(|class| **class != ActionClass::Emergency);
    let of_classes = planned.map(|class| centre.quorum(*class).persons()).max().unwrap_or_default();
    let policies = tx.keys_in::<Policy>(..);
    let of_policies = policies
        .iter()
        .filter_map(|id| tx.find::<Policy>(id))
        .map(|p| p.quorum.persons())
        .max()
        .unwrap_or_default();
    if officers(tx).len() > of_classes.max(of_policies) { Ok(()) } else { Err(Refusal::TooFewOfficers) }
}

/// Takes away pending approvals of people who no longer count.
pub fn drop_void_approvals(tx: &mut Change<'_>) -> Result<(), Refusal> {
    for id in tx.keys_in::<Action>(..) {
        let mut action = tx.get::<Action>(&id)?.clone();
        if action.state == super::approval::ActionState::Pending && action.drop_void(tx) {
            tx.put(action);
        }
    }
    Ok(())
}

/// Alarms about the number of officers and the root document that names them.
pub fn officer_alarms(tx: &mut Change<'_>, now: u64) {
    let count = officers(tx).len();
    if count < 4 {
        let text = format!("{count} officers: an emergency needs three besides the requester");
        tx.alarm(AlarmKind::FewOfficers, &"officers", text, now);
    } else {
        tx.calm(AlarmKind::FewOfficers, &"officers", now);
    }
    if super::root::is_behind(tx) {
        let text = "officers have changed; sign and install the next root document".to_owned();
        tx.alarm(AlarmKind::RootBehind, &"root", text, now);
    } else {
        tx.calm(AlarmKind::RootBehind, &"root", now);
    }
}

// ---- policies, zones, key sets ----

fn define_policy(tx: &mut Change<'_>, policy: &Policy) -> Result<(), Refusal> {
    policy.check()?;
    let before = tx.find::<Policy>(&policy.id).map_or(0, |old| old.version);
    if policy.version != before + 1 {
        return Err(Refusal::Outdated("the policy has another version now"));
    }
    if tx.find::<Policy>(&policy.id).is_some_and(|old| old.kind != policy.kind) {
        return Err(Refusal::Unfit("a policy stays with its kind of keys"));
    }
    for id in tx.keys_in::<KeySet>(..) {
        let set = tx.get::<KeySet>(&id)?;
        if set.policy == policy.id && !policy.shapes.contains(&set.definition.shape) {
            return Err(Refusal::Unfit("a key set has a shape that the policy no longer allows"));
        }
    }
    tx.put(policy.clone());
    enough_officers(tx)
}

fn create_zone(tx: &mut Change<'_>, id: ZoneId, alias: &str, live: bool) -> Result<(), Refusal> {
    let taken = tx.keys_in::<Zone>(..).iter().any(|id| tx.find::<Zone>(id).is_some_and(|z| z.alias == alias));
    if taken || alias.trim().is_empty() {
        return Err(Refusal::exists::<Zone>(&alias));
    }
    tx.add(Zone { id, alias: alias.to_owned(), live, key_sets: BTreeSet::new(), members: 0 })
}

fn create_key_set(tx: &mut Change<'_>, set: KeySet) -> Result<(), Refusal> {
    let definition = &set.definition;
    let Scope::Zone(zone) = definition.scope else {
        return Err(Refusal::Unfit("a key set of a zone"));
    };
    let policy = tx.get::<Policy>(&set.policy)?;
    if !definition.sound() || !kind::allows(definition.kind, definition.shape) {
        return Err(Refusal::Unfit("the definition is not sound"));
    }
    if policy.kind != definition.kind || !policy.shapes.contains(&definition.shape) {
        return Err(Refusal::Unfit("the policy is for other keys"));
    }
    if policy.hard_stop != definition.hard_stop {
        return Err(Refusal::Unfit("the policy says otherwise about the hard stop"));
    }
    if tx.get::<Zone>(&zone)?.live != set.live {
        return Err(Refusal::TestAndLive);
    }
    let indices = |set: &KeySet| {
        let i = set.definition.indices;
        [i.base, i.odd, i.even]
    };
    for id in tx.keys_in::<KeySet>(..) {
        let other = tx.get::<KeySet>(&id)?;
        if other.definition.name == definition.name {
            return Err(Refusal::exists::<KeySet>(&definition.name));
        }
        if indices(other).iter().any(|index| indices(&set).contains(index)) {
            return Err(Refusal::Unfit("an index belongs to another key set"));
        }
    }
    tx.edit::<Zone>(&zone)?.key_sets.insert(set.id());
    tx.add(set)
}

// ---- nodes ----

fn reaffirm(tx: &mut Change<'_>, action: ActionId, what: &Reaffirmed) -> Result<(), Refusal> {
    match what {
        Reaffirmed::Zone(zone) => {
            tx.get::<Zone>(zone)?;
            for (zone, node) in tx.keys_in::<Member>(super::grants::members_ever(*zone)) {
                let member = tx.edit::<Member>(&(zone, node))?;
                member.action = action;
                if member.left {
                    tx.edit::<Node>(&node)?.rights.push(action);
                }
            }
        }
        Reaffirmed::KeySet(set) => tx.edit::<KeySet>(set)?.approved_by = action,
        Reaffirmed::Key(key)
        | Reaffirmed::End(key)
        | Reaffirmed::RollBack(key)
        | Reaffirmed::Suspension(key)
        | Reaffirmed::Resumption(key) => {
            if super::grants::of(&Act::Reaffirm(*what), tx)?.is_empty() {
                return Err(Refusal::Unfit("nothing that was approved about the key is still to be done"));
            }
            tx.edit::<Key>(key)?.by_right(action);
        }
    }
    Ok(())
}

fn enrol_node(tx: &mut Change<'_>, action: ActionId, new: &NewNode) -> Result<(), Refusal> {
    if new.name.trim().is_empty() {
        return Err(Refusal::Value("a node has a name"));
    }
    let kmc = tx.get::<Centre>(&())?.kmc;
    tx.add(Node {
        id: NodeId::of(&new.key),
        name: new.name.clone(),
        csr: new.csr,
        class: new.class,
        kcv_only: false,
        rights: vec![action],
        standing: Standing::Active,
        traffic: Traffic::Drained,
        quarantined: None,
        suspended: false,
        resync: None,
        zones: BTreeSet::new(),
        root_kek: None,
        seen_utc_ms: 0,
        skew_ms: 0,
        link: Link::new(kmc, new.key),
        ordered: keylink::Digest::default(),
    })
}

fn suspend_node(
    tx: &mut Change<'_>,
    action: ActionId,
    node: &NodeId,
    reason: &str,
    now: u64,
) -> Result<(), Refusal> {
    let record = tx.edit::<Node>(node)?;
    record.suspended = true;
    record.rights.push(action);
    tx.alarm(AlarmKind::Quarantined, node, reason.to_owned(), now);
    Ok(())
}

fn resume_node(tx: &mut Change<'_>, action: ActionId, node: &NodeId, now: u64) -> Result<(), Refusal> {
    let record = tx.edit::<Node>(node)?;
    if record.is_served() || record.standing == Standing::Revoked {
        return Err(Refusal::Value("the node is not suspended"));
    }
    if record.link.quarantine.is_some() {
        return Err(Refusal::Value("its receipts do not follow: enrol the node anew, with another key"));
    }
    record.quarantined = None;
    record.suspended = false;
    // It comes back out of traffic, and returns when it has the keys.
    if record.traffic == Traffic::InTraffic {
        record.traffic = Traffic::Drained;
    }
    record.rights.push(action);
    tx.calm(AlarmKind::Quarantined, node, now);
    Ok(())
}

fn zone_is_free(tx: &Change<'_>, zone: &ZoneId) -> Result<(), Refusal> {
    for set in &tx.get::<Zone>(zone)?.key_sets {
        if tx.get::<KeySet>(set)?.live_campaign.is_some() {
            return Err(Refusal::ZoneLocked);
        }
    }
    Ok(())
}

fn add_members(
    tx: &mut Change<'_>,
    action: ActionId,
    zone: ZoneId,
    nodes: &BTreeSet<NodeId>,
    now: u64,
) -> Result<(), Refusal> {
    zone_is_free(tx, &zone)?;
    for &node in nodes {
        let record = tx.edit::<Node>(&node)?;
        if record.standing == Standing::Revoked {
            return Err(Refusal::Suspended);
        }
        if !record.zones.insert(zone) {
            return Err(Refusal::exists::<Member>(&node));
        }
        // It has none of this zone's keys yet, and must not be taken for a node that is ready.
        if record.traffic == Traffic::InTraffic && tx_has_protecting(tx, zone)? {
            return Err(Refusal::InTraffic(node));
        }
        tx.put(Member { zone, node, action, since_utc_ms: now, left: false });
        tx.edit::<Zone>(&zone)?.members += 1;
    }
    Ok(())
}

fn tx_has_protecting(tx: &Change<'_>, zone: ZoneId) -> Result<bool, Refusal> {
    for set in &tx.get::<Zone>(&zone)?.key_sets {
        let set = tx.get::<KeySet>(set)?;
        if set.holders == Holders::Members && set.protecting.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn remove_members(
    tx: &mut Change<'_>,
    action: ActionId,
    zone: ZoneId,
    nodes: &BTreeSet<NodeId>,
) -> Result<(), Refusal> {
    zone_is_free(tx, &zone)?;
    for &node in nodes {
        if tx.get::<Node>(&node)?.is_gated() {
            return Err(Refusal::InTraffic(node));
        }
        let record = tx.edit::<Node>(&node)?;
        if !record.zones.remove(&zone) {
            return Err(Refusal::NotMember);
        }
        // It is shown why it gives up keys that nobody names any more.
        record.rights.push(action);
        tx.edit::<Member>(&(zone, node))?.left = true;
        tx.edit::<Zone>(&zone)?.members -= 1;
    }
    Ok(())
}

// ---- keys ----

/// Moves a key to a state, by the one edge that leads there.
pub fn shift(
    tx: &mut Change<'_>,
    action: ActionId,
    key: &KeyRef,
    to: KeyState,
    now: u64,
) -> Result<(), Refusal> {
    let record = tx.edit::<Key>(key)?;
    let from = record.state();
    let transition = transition_between(Some(from), to).unwrap_or(match to {
        KeyState::Suspended => Transition::T7,
        KeyState::Deactivated => Transition::T8,
        KeyState::Compromised => Transition::T6,
        _ => Transition::T4,
    });
    record.apply(transition, now)?;
    record.by_right(action);
    Ok(())
}

fn not_in_campaign(tx: &Change<'_>, key: &KeyRef) -> Result<(), Refusal> {
    let live = tx.get::<KeySet>(&key.key_set)?.live_campaign;
    let Some(campaign) = live else { return Ok(()) };
    let campaign = tx.get::<Campaign>(&campaign)?;
    if campaign.new_generation() == key.generation || campaign.old == Some(key.generation) {
        return Err(Refusal::CampaignLives);
    }
    Ok(())
}

// A suspended key is the one that protected, and does not.
fn not_protecting(tx: &Change<'_>, key: &KeyRef) -> Result<(), Refusal> {
    let protects = tx.get::<KeySet>(&key.key_set)?.protecting == Some(key.generation);
    if protects && tx.get::<Key>(key)?.state() == KeyState::Active {
        return Err(Refusal::InUse("it protects"));
    }
    Ok(())
}

/// A key that has ended protects no more.
pub fn forget_protecting(tx: &mut Change<'_>, key: &KeyRef) -> Result<(), Refusal> {
    if tx.get::<KeySet>(&key.key_set)?.protecting == Some(key.generation) {
        tx.edit::<KeySet>(&key.key_set)?.protecting = None;
    }
    Ok(())
}

fn activate_at_centre(tx: &mut Change<'_>, action: ActionId, key: &KeyRef, now: u64) -> Result<(), Refusal> {
    let set = tx.get::<KeySet>(&key.key_set)?;
    if set.holders != Holders::Centre {
        return Err(Refusal::Unfit("keys of nodes are activated by a campaign"));
    }
    let (period, before) = (tx.get::<Policy>(&set.policy)?.originator_period_ms, set.protecting);
    let record = tx.edit::<Key>(key)?;
    record.apply(Transition::T4, now)?;
    record.by_right(action);
    record.windows.originator_from = Some(now);
    record.windows.recipient_from = Some(now);
    record.windows.originator_until = Some(now + period);
    tx.edit::<KeySet>(&key.key_set)?.protecting = Some(key.generation);
    if let Some(generation) = before {
        let old = tx.edit::<Key>(&KeyRef { key_set: key.key_set, generation })?;
        old.windows.originator_until = Some(now);
    }
    Ok(())
}

fn resume_key(tx: &mut Change<'_>, action: ActionId, key: &KeyRef, now: u64) -> Result<(), Refusal> {
    // A set that was suspended may have another key by now: then the set alone resumes.
    let set = tx.edit::<KeySet>(&key.key_set)?;
    let other = set.suspended && set.protecting == Some(key.generation);
    set.suspended &= set.protecting != Some(key.generation);
    let record = tx.edit::<Key>(key)?;
    record.by_right(action);
    if other && record.state() == KeyState::Active {
        return Ok(());
    }
    Ok(record.apply(Transition::T10, now)?)
}

// T3, T6, T11, T14; after destruction only a remark. What it ever wrapped becomes suspect.
fn revoke_key(
    tx: &mut Change<'_>,
    action: ActionId,
    key: &KeyRef,
    reason: &str,
    now: u64,
) -> Result<(), Refusal> {
    let record = tx.edit::<Key>(key)?;
    if record.state() == KeyState::Destroyed {
        record.suspect = Some(reason.to_owned());
        record.by_right(action);
    } else {
        shift(tx, action, key, KeyState::Compromised, now)?;
        tx.edit::<Key>(key)?.suspect = Some(reason.to_owned());
        steps::key_lost(tx, key, now)?;
    }
    for dependant in wrapped_by(tx, key) {
        let record = tx.edit::<Key>(&dependant)?;
        if record.suspect.is_none() {
            record.suspect = Some(format!("{key} was compromised: {reason}"));
        }
        tx.alarm(AlarmKind::KeySuspect, &dependant, format!("wrapped by {key}, which was compromised"), now);
    }
    Ok(())
}

/// Keys whose material was ever wrapped by `kek`.
pub fn wrapped_by(tx: &Change<'_>, kek: &KeyRef) -> Vec<KeyRef> {
    let (set, generation) = (kek.key_set, kek.generation);
    let by_it = |material: &Material| {
        material.wrapped_by == Wrapper::Key { key_set: set, generation }
            || material.arrived_under == Some((set, generation))
    };
    let all = tx.keys_in::<Key>(..);
    let depends = |key: &&KeyRef| {
        tx.find::<Key>(key)
            .is_some_and(|key| key.material.as_ref().is_some_and(by_it) || key.left_under.contains(kek))
    };
    all.iter().filter(depends).copied().collect()
}

fn destroy_key(tx: &mut Change<'_>, action: ActionId, key: &KeyRef, now: u64) -> Result<(), Refusal> {
    not_in_campaign(tx, key)?;
    not_protecting(tx, key)?;
    for dependant in wrapped_by(tx, key) {
        let alone = tx.get::<Key>(&dependant)?.material.as_ref().is_some_and(|m| {
            m.wrapped_by == Wrapper::Key { key_set: key.key_set, generation: key.generation }
        });
        if alone {
            return Err(Refusal::InUse("a block depends on it alone"));
        }
    }
    let hold = hold_ms(tx, key)?;
    let record = tx.edit::<Key>(key)?;
    record.by_right(action);
    match record.state() {
        KeyState::PreActivation => Ok(record.apply(Transition::T2, now)?),
        KeyState::Destroyed => Err(Refusal::Value("it is destroyed already")),
        _ if record.destroy_hold_until.is_some() => Err(Refusal::Value("a destroy hold runs already")),
        _ => {
            record.destroy_hold_until = Some(now + hold);
            Ok(())
        }
    }
}

/// The destroy hold of a key's policy.
pub fn hold_ms(tx: &Change<'_>, key: &KeyRef) -> Result<u64, Refusal> {
    let policy = tx.get::<KeySet>(&key.key_set)?.policy;
    Ok(tx.get::<Policy>(&policy)?.destroy_hold_ms)
}

fn store_as(tx: &mut Change<'_>, key: &KeyRef, storage: Storage) -> Result<(), Refusal> {
    let record = tx.edit::<Key>(key)?;
    if !matches!(record.state(), KeyState::Deactivated | KeyState::Compromised) || record.storage == storage {
        return Err(Refusal::Value("only a key out of use is archived, and only an archived one restored"));
    }
    record.storage = storage;
    Ok(())
}

fn extend(tx: &mut Change<'_>, action: ActionId, key: &KeyRef, until: u64, now: u64) -> Result<(), Refusal> {
    let record = tx.edit::<Key>(key)?;
    let before = record.windows.originator_until.ok_or(Refusal::Value("the key has no period yet"))?;
    if before <= now || record.state() != KeyState::Active {
        return Err(Refusal::Value("a period is extended before its end"));
    }
    if until <= before {
        return Err(Refusal::Value("an extension ends later"));
    }
    record.windows.originator_until = Some(until);
    record.warned_days = None;
    record.by_right(action);
    Ok(())
}

// ---- keys that come and go ----

fn free_set<'t>(tx: &'t Change<'_>, key_set: &super::ids::KeySetId) -> Result<&'t KeySet, Refusal> {
    let set = tx.get::<KeySet>(key_set)?;
    if set.live_campaign.is_some() { Err(Refusal::CampaignLives) } else { Ok(set) }
}

fn may_form(tx: &Change<'_>, key_set: &super::ids::KeySetId, custodians: &[PersonId]) -> Result<(), Refusal> {
    free_set(tx, key_set)?;
    let distinct: BTreeSet<_> = custodians.iter().collect();
    if custodians.len() < 2 || distinct.len() != custodians.len() {
        return Err(Refusal::Value("components lie with two persons or more"));
    }
    for (index, person) in custodians.iter().enumerate() {
        let record = tx.get::<Person>(person)?;
        let mut trial = record.clone();
        trial.entrust(*key_set, u8::try_from(index + 1).unwrap_or(u8::MAX))?;
    }
    Ok(())
}

fn exchange_key<'t>(tx: &'t Change<'_>, under: &KeyRef) -> Result<&'t Key, Refusal> {
    let kek = tx.get::<Key>(under)?;
    if !kind::facts(kek.attributes().kind).wraps {
        return Err(Refusal::Unfit("that key does not wrap others"));
    }
    if kek.state() != KeyState::Active || kek.suspect.is_some() {
        return Err(Refusal::Unfit("the wrapping key is not in use"));
    }
    Ok(kek)
}

fn may_import(tx: &Change<'_>, key_set: &super::ids::KeySetId, under: &KeyRef) -> Result<(), Refusal> {
    let (set, kek) = (free_set(tx, key_set)?, exchange_key(tx, under)?);
    fits_under(set.definition.shape, set.live, kek)
}

fn may_export(tx: &Change<'_>, key: &KeyRef, under: &KeyRef) -> Result<(), Refusal> {
    let (record, kek) = (tx.get::<Key>(key)?, exchange_key(tx, under)?);
    if !record.attributes().exportable || key == under {
        return Err(Refusal::NotExportable);
    }
    if !matches!(record.state(), KeyState::PreActivation | KeyState::Active) {
        return Err(Refusal::NotExportable);
    }
    fits_under(record.attributes().shape, record.attributes().live, kek)
}

fn fits_under(shape: kind::Shape, live: bool, kek: &Key) -> Result<(), Refusal> {
    if kek.attributes().live != live {
        return Err(Refusal::TestAndLive);
    }
    if kind::strength_bits(kek.attributes().shape) < kind::strength_bits(shape) {
        return Err(Refusal::Strength);
    }
    Ok(())
}

/// A key that was formed or imported by right of an action comes to life (T1).
pub fn formed(
    tx: &mut Change<'_>,
    action: ActionId,
    act: &Act,
    origin: Origin,
    mut material: Material,
    nonce: Digest,
    now: u64,
) -> Result<(), Refusal> {
    let key_set = match (act, origin) {
        (Act::FormKey { key_set, custodians }, Origin::Components) => {
            may_form(tx, key_set, custodians)?;
            for (index, person) in custodians.iter().enumerate() {
                tx.edit::<Person>(person)?.entrust(*key_set, u8::try_from(index + 1).unwrap_or(u8::MAX))?;
            }
            *key_set
        }
        (Act::ImportKey { key_set, under, kcv, .. }, Origin::Imported) => {
            may_import(tx, key_set, under)?;
            if !states(kcv, &material.kcv) {
                return Err(Refusal::Value("the check value is not the one that was approved"));
            }
            material.arrived_under = Some((under.key_set, under.generation));
            *key_set
        }
        _ => return Err(Refusal::Unfit("the action is for something else")),
    };
    steps::bear(tx, key_set, origin, material, nonce, action, now)
}

// Partners state six digits or more of a check value, also where ours has ten.
fn states(stated: &str, own: &str) -> bool {
    stated.len() >= 6 && own.get(..stated.len()).is_some_and(|own| own.eq_ignore_ascii_case(stated))
}

/// A key that has left by right of an action.
pub fn exported(tx: &mut Change<'_>, action: ActionId, act: &Act) -> Result<(), Refusal> {
    let Act::ExportKey { key, under } = act else {
        return Err(Refusal::Unfit("the action is for something else"));
    };
    may_export(tx, key, under)?;
    let record = tx.edit::<Key>(key)?;
    record.left_under.insert(*under);
    record.by_right(action);
    Ok(())
}

/// Whether a node has every key that serving hosts needs.
pub fn ready_for_traffic(tx: &Change<'_>, node: &NodeId) -> Result<(), Refusal> {
    let record = tx.get::<Node>(node)?;
    if !record.is_served() {
        return Err(Refusal::Suspended);
    }
    for zone in &record.zones {
        for set in &tx.get::<Zone>(zone)?.key_sets {
            let set = tx.get::<KeySet>(set)?;
            if set.holders == Holders::Members && !super::planted::return_unready() {
                has_keys(tx, node, set)?;
            }
        }
    }
    Ok(())
}

// Every key that somebody may protect with now, or may have protected with a moment ago, and the one that protects.
fn has_keys(tx: &Change<'_>, node: &NodeId, set: &KeySet) -> Result<(), Refusal> {
    let campaign = set.live_campaign.map(|id| tx.get::<Campaign>(&id)).transpose()?;
    let reached = |generation, needed| {
        let key = KeyRef { key_set: set.id(), generation };
        tx.find::<Copy>(&(*node, key)).is_some_and(|c| c.progress >= needed && c.progress < Progress::Retired)
    };
    // What was revoked meanwhile is taken from all.
    let lives = |generation: &Generation| {
        let key = tx.find::<Key>(&KeyRef { key_set: set.id(), generation: *generation });
        key.is_some_and(|key| !matches!(key.state(), KeyState::Compromised | KeyState::Destroyed))
    };
    let processes = campaign
        .into_iter()
        .flat_map(Campaign::in_flight)
        .filter(lives)
        .all(|generation| reached(generation, Progress::Accepting));
    // While the order to protect is on its way the old key protects until its time, and the new one is known.
    let switches = campaign.is_some_and(|campaign| campaign.phase == Phase::Protecting);
    let needed = if switches { Progress::Accepting } else { Progress::Activated };
    let protects = set.protecting.is_none_or(|generation| reached(generation, needed));
    if processes && protects { Ok(()) } else { Err(Refusal::NotReady) }
}
