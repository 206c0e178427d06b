//! Carrying out what was approved. Everything is checked at this moment, whatever held when it was proposed.

mod exchange;
mod keys;
mod nodes;
mod people;
mod reaffirm;
mod zones;

pub use exchange::{component, exported, formed};
pub use keys::{forget_protecting, hold_ms};
pub use people::{drop_void_approvals, enough_officers, enrol_person, officer_alarms};

use crate::action::Act;
use crate::alarm::AlarmKind;
use crate::approval::{Action, ActionState};
use crate::ids::{ActionId, Generation};
use crate::key::{Key, KeySet, Storage};
use crate::lifecycle::KeyState;
use crate::node::{Node, Traffic};
use crate::people::{Person, Standing};
use crate::refusal::Refusal;
use crate::table::Change;
use crate::{root_kek, signing, steps, wipe};
use exchange::{may_export, may_form, may_import};
use keys::{
    activate_at_centre, destroy_key, extend, not_in_campaign, not_protecting, resume_key, revoke_key, shift,
    store_as,
};
use nodes::{enrol_nodes, resume_node, suspend_node};
use people::{add_credential, change_roles, revoke_credential, revoke_person, set_quorum};
use reaffirm::reaffirm;
use zones::{add_members, create_key_set, create_zone, define_policy, remove_members};

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
        Act::ChangeSigningKey(act) => signing::begin(tx, id, act, now),
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
                next_generation: Generation(1),
                protecting: None,
                suspended: false,
                stilled_by: None,
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
        Act::EnrolNodes(nodes) => enrol_nodes(tx, id, nodes),
        Act::SuspendNode { node, reason } => suspend_node(tx, id, node, reason, now),
        Act::ResumeNode { node } => resume_node(tx, id, node, now),
        Act::RekeyNodes(targets) => root_kek::order(tx, id, targets, now),
        Act::RekeySuspect { targets, reason } => root_kek::order_suspect(tx, id, targets, reason, now),
        Act::FormRootKek { target, custodians } => root_kek::may_form(tx, target, custodians),
        Act::RevokeNode { node } => {
            let record = tx.edit::<Node>(node)?;
            record.standing = Standing::Revoked;
            record.traffic = Traffic::Offline;
            wipe::begin(tx, node, id, now)?;
            tx.calm(AlarmKind::CertificateEnds, node, now);
            root_kek::lost_with(tx, node, now)
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
            let set = tx.edit::<KeySet>(&key.key_set)?;
            (set.suspended, set.stilled_by) = (true, Some(id));
            shift(tx, id, key, KeyState::Suspended, now)
        }
        Act::ResumeKey(key) => resume_key(tx, id, key, now),
        Act::RevokeKey { key, reason } => revoke_key(tx, id, key, reason, now),
        Act::DeactivateKey(key) => {
            not_protecting(tx, key)?;
            not_in_campaign(tx, key)?;
            shift(tx, id, key, KeyState::Deactivated, now)?;
            forget_protecting(tx, key, now)
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
        Act::Abandon { action } => {
            let record = tx.edit::<Action>(action)?;
            if record.state != ActionState::Approved {
                return Err(Refusal::Outdated("the action is not approved, or is done"));
            }
            record.state = ActionState::Withdrawn;
            Ok(())
        }
        Act::ImportKey { key_set, under, .. } => may_import(tx, key_set, under),
        Act::ExportKey { key, under } => may_export(tx, key, under),
    }
}

fn some<T>(list: &[T]) -> Result<&[T], Refusal> {
    if list.is_empty() { Err(Refusal::Value("an empty list")) } else { Ok(list) }
}
