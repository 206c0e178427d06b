//! What is asked for, who approves it, and that it is carried out.

use super::{Note, Request};
use crate::action::Act;
use crate::alarm::AlarmKind;
use crate::approval::{APPROVED_MS, Action, ActionState, ApprovalError, PENDING_MS, Proposal, Quorum};
use crate::campaign::Campaign;
use crate::centre::Centre;
use crate::ids::{ActionId, Digest};
use crate::input::{Caller, Outcome};
use crate::key::KeySet;
use crate::people::{Credential, Person, Role, Standing};
use crate::policy::Policy;
use crate::refusal::Refusal;
use crate::table::{Change, Record};
use crate::tick::Watch;
use crate::verified::Verified;
use crate::{acts, grants, names, rows, signing};
use keylink::action::Approval;

/// Pending actions that a new one may build upon.
const SUPPOSED_MAX: usize = 64;

impl Request<'_> {
    pub(super) fn propose(
        &self,
        tx: &mut Change<'_>,
        by: Caller,
        id: ActionId,
        version: u32,
        act: Act,
        note: &mut Note,
    ) -> Result<Outcome, Refusal> {
        may(tx, by, &[Role::Operator, Role::SecurityOfficer])?;
        act.texts().into_iter().try_for_each(names::text)?;
        // What could not be done now is not asked for; what this person has asked for before may come first.
        let before = tx.mark();
        self.suppose_earlier(tx, by, &id);
        let (grants, quorum) = (grants::of(&act, tx)?, quorum(tx, &act)?);
        if !grants.iter().all(|grant| grant.belongs_to(act.class())) {
            return Err(Refusal::Unfit("nodes would not take that from an action of this class"));
        }
        acts::carry_out(tx, id, &act, self.now)?;
        tx.back_to(before);
        let action = Action::propose(Proposal {
            kmc: tx.get::<Centre>(&())?.kmc,
            id,
            requester: by.person,
            credential: by.credential,
            version,
            quorum,
            grants,
            act,
            nonce: self.fresh.draw("nonce", u64::from(version)),
            utc_ms: self.now,
        });
        note.objects.push(id.to_string());
        note.action_hash = Some(action.hash());
        let outcome = Outcome::Proposed {
            action: id,
            hash: action.hash(),
            nonce: action.nonce,
            quorum: action.quorum,
            expires: self.now + PENDING_MS,
        };
        tx.put(action);
        Ok(outcome)
    }

    // As if the pending actions of this person had been carried out, in the order in which they were asked for.
    fn suppose_earlier(&self, tx: &mut Change<'_>, by: Caller, id: &ActionId) {
        let own = |other: &&ActionId| **other < *id;
        let earlier: Vec<ActionId> = self.watch.pending.iter().filter(own).copied().collect();
        for other in earlier.iter().rev().take(SUPPOSED_MAX).rev() {
            let Some(action) = tx.find::<Action>(other).filter(|action| action.requester == by.person) else {
                continue;
            };
            let Some(act) = action.act() else { continue };
            let before = tx.mark();
            if acts::carry_out(tx, *other, &act, self.now).is_err() {
                tx.back_to(before);
            }
        }
    }

    pub(super) fn approve(
        &self,
        tx: &mut Change<'_>,
        approval: &Verified<Approval>,
        note: &mut Note,
    ) -> Result<Outcome, Refusal> {
        let (body, kmc) = (approval.body(), tx.get::<Centre>(&())?.kmc);
        let id = tx
            .action_by_hash(&body.action, self.watch)
            .ok_or_else(|| Refusal::unknown::<Action>(&body.action))?;
        note.by(Caller { person: body.person, credential: body.credential });
        note.word = "action.approve";
        note.objects.push(id.to_string());
        note.action_hash = Some(body.action);
        note.approvals.push(approval.hash());
        let mut action = tx.get::<Action>(&id)?.clone();
        action.approve(approval, kmc, tx, self.now)?;
        signing::has_signed(&action, tx.get::<Credential>(&body.credential)?)?;
        tx.keep(Record::Approval(rows::Approval {
            action: id,
            person: body.person,
            credential: body.credential,
            signed: approval.signed().clone(),
        }));
        let standing = action.standing(tx, self.now).len();
        let carried = action.is_carried(tx, self.now);
        tx.put(action.clone());
        if carried {
            note.approvals = action.approvals.iter().map(|given| given.signed.hash()).collect();
            // It waits no more: what it does to people does not touch its own approvals.
            tx.edit::<Action>(&id)?.state = ActionState::Approved;
            let state = self.carry_out(tx, &action)?;
            let action = tx.edit::<Action>(&id)?;
            if state == ActionState::Approved {
                action.expires = (self.now + APPROVED_MS).into();
            }
            action.state = state;
        }
        Ok(Outcome::Approved { standing, state: tx.get::<Action>(&id)?.state.clone() })
    }

    // Approved is approved; whether it can still be done is found now, and said.
    fn carry_out(&self, tx: &mut Change<'_>, action: &Action) -> Result<ActionState, Refusal> {
        let act = action.act().ok_or(Refusal::Unfit("the action's content is not the approved one"))?;
        let before = tx.mark();
        let fits = match quorum(tx, &act) {
            Ok(now) if now <= action.quorum => Ok(()),
            Ok(_) => Err(Refusal::Outdated("more approvals are needed now")),
            Err(refusal) => Err(refusal),
        };
        match fits.and_then(|()| acts::carry_out(tx, action.id, &act, self.now)) {
            Ok(()) if act.is_performed_outside() => Ok(ActionState::Approved),
            Ok(()) => Ok(ActionState::Done),
            Err(refusal) => {
                tx.back_to(before);
                tx.alarm(AlarmKind::ActionFailed, &action.id, refusal.to_string(), self.now);
                Ok(ActionState::Failed(refusal.to_string()))
            }
        }
    }
}

impl Change<'_> {
    /// The pending action whose exact bytes have this hash.
    fn action_by_hash(&self, hash: &Digest, watch: &Watch) -> Option<ActionId> {
        watch.pending.iter().find(|id| self.find::<Action>(id).is_some_and(|a| a.hash() == *hash)).copied()
    }
}

/// Persons that must approve an act: of its class, and for rotations of the policies concerned.
pub fn quorum(tx: &Change<'_>, act: &Act) -> Result<Quorum, Refusal> {
    let of_class = tx.get::<Centre>(&())?.quorum(act.class());
    let of_policy = |key_set| -> Result<Quorum, Refusal> {
        Ok(tx.get::<Policy>(&tx.get::<KeySet>(key_set)?.policy)?.quorum)
    };
    match act {
        Act::Rotate(targets) | Act::RotateAtOnce { targets, .. } => {
            targets.iter().try_fold(of_class, |most, target| Ok(most.max(of_policy(&target.key_set)?)))
        }
        Act::ExceptNodes { campaign, .. }
        | Act::ResumeCampaign { campaign }
        | Act::AbortCampaign { campaign }
        | Act::RollBack { campaign } => {
            Ok(of_class.max(of_policy(&tx.get::<Campaign>(campaign)?.plan.key_set)?))
        }
        _ => Ok(of_class),
    }
}

pub(super) fn may(tx: &Change<'_>, by: Caller, roles: &[Role]) -> Result<(), Refusal> {
    let own = |c: &&Credential| c.person == by.person && c.standing == Standing::Active;
    tx.find::<Credential>(&by.credential).filter(own).ok_or(Refusal::Forbidden)?;
    let person = tx.find::<Person>(&by.person).ok_or(Refusal::Forbidden)?;
    if roles.iter().any(|role| person.is(*role)) { Ok(()) } else { Err(Refusal::Forbidden) }
}

pub(super) fn own_pending<'t>(tx: &'t Change<'_>, by: Caller, id: &ActionId) -> Result<&'t Action, Refusal> {
    may(tx, by, &[Role::Operator, Role::SecurityOfficer])?;
    let action = tx.get::<Action>(id)?;
    if action.requester != by.person {
        return Err(Refusal::NotRequester);
    }
    if action.state != ActionState::Pending {
        return Err(ApprovalError::NotPending.into());
    }
    Ok(action)
}

/// An approved action, whether or not its approvals still count.
fn approved<'t>(tx: &'t Change<'_>, id: &ActionId, note: &mut Note) -> Result<&'t Action, Refusal> {
    let action = tx.get::<Action>(id)?;
    note.objects.push(id.to_string());
    note.action_hash = Some(action.hash());
    if action.state == ActionState::Approved {
        Ok(action)
    } else {
        Err(Refusal::Outdated("the action is not approved, or is done"))
    }
}

/// What an approved action does, if it may be performed now.
pub(super) fn performable(tx: &Change<'_>, id: &ActionId, now: u64, note: &mut Note) -> Result<Act, Refusal> {
    let action = approved(tx, id, note)?;
    let act = action.act().ok_or(Refusal::Unfit("the action's content is not the approved one"))?;
    if now >= action.expires.0 {
        Err(Refusal::Outdated("the action was approved too long ago"))
    } else if quorum(tx, &act)? > action.quorum {
        Err(Refusal::Outdated("more approvals are needed now"))
    } else if !action.is_still_carried(tx.get::<Centre>(&())?.kmc, tx) {
        Err(Refusal::Outdated("too few of the action's approvals count now"))
    } else {
        Ok(act)
    }
}

#[cfg(test)]
mod tests {
    use crate::action::Act;
    use crate::ids::{KeySetId, PolicyId};
    use crate::key::Holders;
    use crate::kind::{KeyKind, Shape};
    use crate::refusals::house::{House, create, definition};

    #[test]
    fn an_act_builds_upon_one_asked_for_in_the_same_millisecond_or_by_a_later_clock() {
        let mut house = House::founded();
        let mut last = None;
        for n in 10..42 {
            let policy = PolicyId::new(3, [n; 10]);
            let set = definition(KeySetId::new(2, [n; 10]), KeyKind::Zpk, Shape::Tdes3, n.into());
            let acts = [
                Act::DefinePolicy(house.policy(policy, KeyKind::Zpk)),
                create(set, policy, Holders::Members),
            ];
            for act in acts {
                let asked = house.propose(act).expect("what it needs was asked for before").0;
                assert!(last < Some(asked));
                last = Some(asked);
            }
            house.now -= u64::from(n % 2);
        }
    }
}
