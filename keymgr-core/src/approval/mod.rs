//! Approvals: who may approve what, and when an action has enough of them.
//!
//! There is one count, [`Action::standing`], and it is made anew from persons and credentials whenever it
//! matters: what was given by somebody who no longer counts does not count. Nothing else says "approved".

use crate::action::{Act, Details};
use crate::ids::{ActionId, CredentialId, Digest, KmcId, PersonId};
use crate::people::{Credential, Person, Role, Standing};
use crate::signing::DocumentSignatures;
use crate::verified::Verified;
use keylink::action::{ActionClass, Approval, Grant, action_hash};
use keylink::envelope::{bytes_of, strict};
use keylink::wire::{Blob, Hex, U64};
use keylink::{Signed, merkle};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::num::NonZeroU8;

/// How long an action waits for approvals.
pub const PENDING_MS: u64 = 24 * 3_600_000;
/// How much later than here it may be where an officer signs: consoles have clocks of their own.
pub const CLOCK_MS: u64 = 5 * 60_000;
/// How long an approved action waits for the shell or for people to perform it, from its last approval on.
pub const APPROVED_MS: u64 = PENDING_MS;
/// How long a node may act by the right of an approved action: as long as it may be away.
pub const RIGHT_MS: u64 = 400 * 24 * 3_600_000;

/// A number of approving persons besides the requester: never one, never none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u8", into = "u8")]
#[schemars(with = "u8")]
pub struct Quorum(NonZeroU8);

/// A quorum of fewer than two persons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a quorum is at least two persons besides the requester")]
pub struct TooFew;

impl Quorum {
    /// The smallest quorum.
    pub const MIN: Self = Self(NonZeroU8::new(2).unwrap());

    /// The number of persons.
    pub fn persons(self) -> usize {
        usize::from(self.0.get())
    }

    /// The quorum of a class: what is configured, but never less than the compiled minimum.
    pub fn of_class(class: ActionClass, configured: Option<Self>) -> Self {
        let minimum = Self::try_from(class.minimum()).unwrap_or(Self::MIN);
        configured.unwrap_or(minimum).max(minimum)
    }
}

impl TryFrom<u8> for Quorum {
    type Error = TooFew;
    fn try_from(persons: u8) -> Result<Self, TooFew> {
        NonZeroU8::new(persons).map(Self).filter(|quorum| *quorum >= Self::MIN).ok_or(TooFew)
    }
}

impl From<Quorum> for u8 {
    fn from(quorum: Quorum) -> Self {
        quorum.0.get()
    }
}

/// Persons whose approval carries an action of a class that asks for a quorum. Suspending a node is fail-safe: one
/// officer is enough, and may be the one who asks.
pub fn persons_needed(class: ActionClass, quorum: Quorum) -> usize {
    match class {
        ActionClass::SuspendNode => 1,
        _ => Quorum::of_class(class, Some(quorum)).persons(),
    }
}

/// Where an action stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionState {
    /// Waits for approvals.
    Pending,
    /// Approved; the shell performs it.
    Approved,
    /// Done.
    Done,
    /// Approved, and could not be done.
    Failed(String),
    /// Taken back by its requester.
    Withdrawn,
    /// Not approved in time.
    Expired,
    /// Approved, and not performed in time.
    Lapsed,
}

/// One approval that was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// By whom.
    pub person: PersonId,
    /// With which credential.
    pub credential: CredentialId,
    /// Counts until, UTC milliseconds.
    pub not_after: U64,
    /// The message as received.
    pub signed: Signed,
}

/// An action and its approvals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// Identity.
    pub id: ActionId,
    /// Class.
    pub class: ActionClass,
    /// Who asked.
    pub requester: PersonId,
    /// Exact bytes that are approved.
    pub bytes: Blob,
    /// Exact bytes of what is to be done, an [`Act`]; bound by their hash within `bytes`.
    pub content: Blob,
    /// What nodes are allowed by it.
    pub grants: Vec<Grant>,
    /// Drawn for this version of this action.
    pub nonce: Hex<16>,
    /// Persons needed besides the requester.
    pub quorum: Quorum,
    /// Waits for approvals until, UTC milliseconds; once approved, to be performed.
    pub expires: U64,
    /// Where it stands.
    pub state: ActionState,
    /// Approvals of this version.
    pub approvals: Vec<Given>,
    /// Officers' signatures on the root documents of a change of the centre's keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<DocumentSignatures>,
}

/// Why an approval does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalError {
    /// The action does not wait for approvals.
    #[error("the action does not wait for approvals")]
    NotPending,
    /// The action's time, or the approval's, is over.
    #[error("expired")]
    Expired,
    /// Signed for other content: another version, another action, another centre.
    #[error("approval of other content")]
    OtherContent,
    /// The credential is unknown, revoked, somebody else's, or not the one that signed.
    #[error("not a credential of this person")]
    Credential,
    /// The person is no security officer.
    #[error("only security officers approve")]
    Role,
    /// The requester does not count.
    #[error("the requester does not approve")]
    Requester,
    /// The person has approved already.
    #[error("this person has approved already")]
    Twice,
    /// A signing time after the end of the approval, or in the future.
    #[error("the times of the approval do not fit")]
    Times,
}

/// Who is who, as far as approvals need it.
pub trait Registry {
    /// A person.
    fn person(&self, id: &PersonId) -> Option<&Person>;
    /// A credential.
    fn credential(&self, id: &CredentialId) -> Option<&Credential>;
}

/// A new action, ready to be approved.
pub struct Proposal {
    /// The centre.
    pub kmc: KmcId,
    /// Identity.
    pub id: ActionId,
    /// Who asks.
    pub requester: PersonId,
    /// By which credential.
    pub credential: CredentialId,
    /// 1, and one more for every edit.
    pub version: u32,
    /// Approving persons needed.
    pub quorum: Quorum,
    /// What is to be done.
    pub act: Act,
    /// What it allows nodes to do.
    pub grants: Vec<Grant>,
    /// Randomness.
    pub nonce: Digest,
    /// Now, UTC milliseconds.
    pub utc_ms: u64,
}

impl Action {
    /// Freezes a proposal into bytes.
    pub fn propose(proposal: Proposal) -> Self {
        let Proposal { kmc, id, requester, credential, version, quorum, act, grants, nonce, utc_ms } =
            proposal;
        let class = act.class();
        let content = bytes_of(&act);
        let details = Details {
            version,
            quorum,
            credential,
            word: act.word().to_owned(),
            content: Digest::of(&content),
        };
        let bytes = bytes_of(&keylink::action::Action {
            kmc,
            action: id,
            class,
            requester,
            created_ms: U64(utc_ms),
            not_after: U64(utc_ms + RIGHT_MS),
            grants: u32::try_from(grants.len()).unwrap_or(u32::MAX),
            grants_root: merkle::root(&keylink::action::grant_bytes(&grants)),
            details: serde_json::to_string(&details).ok(),
        });
        let mut short = [0; 16];
        short.copy_from_slice(&nonce.0[..16]);
        Self {
            id,
            class,
            requester,
            bytes: Blob(bytes),
            content: Blob(content),
            grants,
            nonce: Hex(short),
            quorum,
            expires: U64(utc_ms + PENDING_MS),
            state: ActionState::Pending,
            approvals: Vec::new(),
            documents: Vec::new(),
        }
    }

    /// What officers sign.
    pub fn hash(&self) -> Digest {
        action_hash(&self.bytes.0)
    }

    /// What was frozen; none if the bytes are not an action of ours.
    pub fn details(&self) -> Option<Details> {
        let action: keylink::action::Action = strict(&self.bytes.0).ok()?;
        strict(action.details?.as_bytes()).ok()
    }

    /// What is to be done; none if the content is not the one that was approved.
    pub fn act(&self) -> Option<Act> {
        let approved = self.details()?.content;
        if Digest::of(&self.content.0) != approved {
            return None;
        }
        strict(&self.content.0).ok()
    }

    /// Adds an approval, or says why it does not count.
    pub fn approve(
        &mut self,
        approval: &Verified<Approval>,
        kmc: KmcId,
        registry: &impl Registry,
        utc_ms: u64,
    ) -> Result<(), ApprovalError> {
        let body = approval.body();
        if self.state != ActionState::Pending {
            return Err(ApprovalError::NotPending);
        }
        if body.kmc != kmc || body.action != self.hash() || body.nonce != self.nonce {
            return Err(ApprovalError::OtherContent);
        }
        if utc_ms >= self.expires.0 || utc_ms >= body.not_after.0 {
            return Err(ApprovalError::Expired);
        }
        let early = utc_ms.saturating_add(CLOCK_MS) < body.signed_ms.0;
        if early || body.signed_ms > body.not_after || body.not_after.0 - body.signed_ms.0 > PENDING_MS {
            return Err(ApprovalError::Times);
        }
        self.may_approve(registry, body.person, body.credential)?;
        if registry.credential(&body.credential).is_none_or(|c| c.key != *approval.key()) {
            return Err(ApprovalError::Credential);
        }
        if self.approvals.iter().any(|given| given.person == body.person) {
            return Err(ApprovalError::Twice);
        }
        self.approvals.push(Given {
            person: body.person,
            credential: body.credential,
            not_after: body.not_after,
            signed: approval.signed().clone(),
        });
        Ok(())
    }

    fn may_approve(
        &self,
        registry: &impl Registry,
        person: PersonId,
        credential: CredentialId,
    ) -> Result<(), ApprovalError> {
        let own = |c: &&Credential| c.person == person && c.standing == Standing::Active;
        registry.credential(&credential).filter(own).ok_or(ApprovalError::Credential)?;
        let officer = registry.person(&person).ok_or(ApprovalError::Credential)?;
        // Suspending is fail-safe: an officer who asks also approves. Nobody but an officer does, since nodes know
        // no one else: an operator's own way to stop a node is to quarantine it.
        let fail_safe = self.class == ActionClass::SuspendNode;
        if person == self.requester && !fail_safe && !crate::planted::requester_counts() {
            Err(ApprovalError::Requester)
        } else if !officer.is(Role::SecurityOfficer) {
            Err(ApprovalError::Role)
        } else {
            Ok(())
        }
    }

    /// The persons whose approval counts at this moment: distinct, not the requester, officers with a
    /// credential that is theirs and not revoked, for these exact bytes, within their time.
    pub fn standing(&self, registry: &impl Registry, utc_ms: u64) -> BTreeSet<PersonId> {
        let counts = |given: &&Given| {
            utc_ms < given.not_after.0 && self.may_approve(registry, given.person, given.credential).is_ok()
        };
        self.approvals.iter().filter(counts).map(|given| given.person).collect()
    }

    /// Whether enough persons have approved. Decisions about persons need two reporting lines where the house
    /// keeps lines.
    pub fn is_carried(&self, registry: &impl Registry, utc_ms: u64) -> bool {
        self.are_enough(registry, &self.standing(registry, utc_ms))
    }

    /// Whether enough persons have approved an action that is about to be performed: counted anew from the messages
    /// as they are stored and from who counts now. How long each approval was to wait for the others has had its
    /// effect; how long the action may wait is [`APPROVED_MS`].
    pub fn is_still_carried(&self, kmc: KmcId, registry: &impl Registry) -> bool {
        let holds = |given: &&Given| self.says(given, kmc, registry).is_some();
        let persons = self.approvals.iter().filter(holds).map(|given| given.person).collect();
        self.are_enough(registry, &persons)
    }

    // The stored message is this person's approval of these exact bytes, and still counts.
    fn says(&self, given: &Given, kmc: KmcId, registry: &impl Registry) -> Option<()> {
        self.may_approve(registry, given.person, given.credential).ok()?;
        let body: Approval = given.signed.open(&registry.credential(&given.credential)?.key).ok()?;
        let own = body.person == given.person && body.credential == given.credential;
        let this = body.kmc == kmc && body.action == self.hash() && body.nonce == self.nonce;
        (own && this).then_some(())
    }

    fn are_enough(&self, registry: &impl Registry, persons: &BTreeSet<PersonId>) -> bool {
        let needed = persons_needed(self.class, self.quorum);
        let short = usize::from(crate::planted::quorum_one_short() && needed > 1);
        let enough = persons.len() >= needed - short;
        enough && (self.class != ActionClass::Person || lines_differ(registry, persons))
    }

    /// Takes away approvals that no longer count because of who gave them.
    pub fn drop_void(&mut self, registry: &impl Registry) -> bool {
        let mut approvals = std::mem::take(&mut self.approvals);
        let before = approvals.len();
        approvals.retain(|given| self.may_approve(registry, given.person, given.credential).is_ok());
        self.approvals = approvals;
        before != self.approvals.len()
    }
}

fn lines_differ(registry: &impl Registry, persons: &BTreeSet<PersonId>) -> bool {
    let lines: Vec<_> =
        persons.iter().map(|id| registry.person(id).and_then(|p| p.line.as_deref())).collect();
    let first = lines.first().copied().flatten();
    first.is_none() || lines.iter().any(|line| *line != first)
}

#[cfg(test)]
mod tests;
