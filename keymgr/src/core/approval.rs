//! Approvals: who may approve what, and when an action has enough of them.
//!
//! There is one count, [`Action::standing`], and it is made anew from persons and credentials whenever it
//! matters: what was given by somebody who no longer counts does not count. Nothing else says "approved".

use super::action::{Act, Details};
use super::ids::{ActionId, CredentialId, Digest, KmcId, PersonId};
use super::people::{Credential, Person, Role, Standing};
use super::verified::Verified;
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
    /// Waits for approvals until, UTC milliseconds.
    pub expires: U64,
    /// Where it stands.
    pub state: ActionState,
    /// Approvals of this version.
    pub approvals: Vec<Given>,
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
        if body.signed_ms > body.not_after || body.not_after.0 - body.signed_ms.0 > PENDING_MS {
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
        let fail_safe = self.class == ActionClass::SuspendNode;
        if person == self.requester && !fail_safe && !super::planted::requester_counts() {
            Err(ApprovalError::Requester)
        } else if !(officer.is(Role::SecurityOfficer) || (fail_safe && officer.is(Role::Operator))) {
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
        let persons = self.standing(registry, utc_ms);
        if self.class == ActionClass::SuspendNode {
            return !persons.is_empty();
        }
        let needed = Quorum::of_class(self.class, Some(self.quorum)).persons();
        let enough = persons.len() >= needed - usize::from(super::planted::quorum_one_short());
        enough && (self.class != ActionClass::Person || lines_differ(registry, &persons))
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
mod tests {
    use super::super::action::KeyRef;
    use super::super::ids::PublicKey;
    use super::super::people::{CredentialKind, NewCredential, NewPerson};
    use super::*;
    use keylink::{Generation, KeySetId, Sign, SoftSigner};
    use proptest::prelude::*;

    const KMC: KmcId = KmcId([9; 32]);
    const NOW: u64 = 1_000_000;

    #[derive(Default)]
    struct Book(Vec<(Person, Credential, SoftSigner)>);

    impl Registry for Book {
        fn person(&self, id: &PersonId) -> Option<&Person> {
            self.0.iter().map(|(person, ..)| person).find(|person| person.id == *id)
        }
        fn credential(&self, id: &CredentialId) -> Option<&Credential> {
            self.0.iter().map(|(_, credential, _)| credential).find(|credential| credential.id == *id)
        }
    }

    impl Book {
        /// Persons 0 to 4: four officers and an auditor; then a second credential of person 1.
        fn new() -> Self {
            let mut book = Self::default();
            for n in 0..6_u8 {
                let signer = SoftSigner::new(&[n + 1; 32]);
                let owner = if n == 5 { 1 } else { n };
                let role = if n == 4 { Role::Auditor } else { Role::SecurityOfficer };
                let new = NewPerson {
                    id: PersonId::new(u64::from(owner), [0; 10]),
                    name: format!("person {owner}"),
                    line: None,
                    roles: [role].into(),
                    credential: NewCredential {
                        id: CredentialId::new(u64::from(n), [0; 10]),
                        kind: CredentialKind::File,
                        key: signer.key(),
                    },
                };
                let (person, credential) = Person::register(&new).unwrap();
                book.0.push((person, credential, signer));
            }
            book
        }

        fn sign(&self, n: usize, action: &Action, change: impl Fn(&mut Approval)) -> Verified<Approval> {
            let (person, credential, signer) = &self.0[n];
            let mut approval = Approval {
                kmc: KMC,
                action: action.hash(),
                nonce: action.nonce,
                person: person.id,
                credential: credential.id,
                signed_ms: U64(NOW),
                not_after: U64(NOW + 1000),
            };
            change(&mut approval);
            Verified::open(Signed::seal(&approval, signer), &signer.key()).unwrap()
        }
    }

    fn action(version: u32) -> Action {
        let key = KeyRef { key_set: KeySetId::default(), generation: Generation(1) };
        Action::propose(Proposal {
            kmc: KMC,
            id: ActionId::default(),
            requester: PersonId::new(0, [0; 10]),
            credential: CredentialId::new(0, [0; 10]),
            version,
            quorum: Quorum::MIN,
            act: Act::DestroyKey(key),
            grants: vec![],
            nonce: Digest::of(&version.to_be_bytes()),
            utc_ms: NOW,
        })
    }

    fn refused(n: usize, change: impl Fn(&mut Approval)) -> ApprovalError {
        let (book, mut action) = (Book::new(), action(1));
        let approval = book.sign(n, &action, change);
        let error = action.approve(&approval, KMC, &book, NOW).unwrap_err();
        assert!(action.approvals.is_empty());
        error
    }

    #[test]
    fn two_officers_besides_the_requester_carry_it() {
        let (book, mut action) = (Book::new(), action(1));
        assert_eq!(action.act().map(|act| act.word()), Some("key.destroy"));
        action.approve(&book.sign(1, &action, |_| ()), KMC, &book, NOW).unwrap();
        assert!(!action.is_carried(&book, NOW));
        action.approve(&book.sign(2, &action, |_| ()), KMC, &book, NOW).unwrap();
        assert!(action.is_carried(&book, NOW));
        // Not when the approvals have run out meanwhile.
        assert!(!action.is_carried(&book, NOW + 1000));
    }

    #[test]
    fn what_does_not_count() {
        assert_eq!(refused(0, |_| ()), ApprovalError::Requester);
        assert_eq!(refused(4, |_| ()), ApprovalError::Role);
        assert_eq!(refused(1, |a| a.action = Digest::default()), ApprovalError::OtherContent);
        assert_eq!(refused(1, |a| a.nonce = Hex([0; 16])), ApprovalError::OtherContent);
        assert_eq!(refused(1, |a| a.kmc = KmcId::default()), ApprovalError::OtherContent);
        assert_eq!(refused(1, |a| a.not_after = U64(NOW)), ApprovalError::Expired);
        assert_eq!(refused(1, |a| a.not_after = U64(NOW + PENDING_MS + 1)), ApprovalError::Times);
        assert_eq!(refused(1, |a| a.person = PersonId::new(2, [0; 10])), ApprovalError::Credential);
        assert_eq!(refused(1, |a| a.credential = CredentialId::new(2, [0; 10])), ApprovalError::Credential);
        // Another officer's name and credential under one's own key.
        let other = |a: &mut Approval| {
            (a.person, a.credential) = (PersonId::new(2, [0; 10]), CredentialId::new(2, [0; 10]));
        };
        assert_eq!(refused(1, other), ApprovalError::Credential);
    }

    #[test]
    fn nobody_counts_twice_whatever_the_credential() {
        let (book, mut action) = (Book::new(), action(1));
        action.approve(&book.sign(1, &action, |_| ()), KMC, &book, NOW).unwrap();
        for n in [1, 5] {
            let again = book.sign(n, &action, |_| ());
            assert_eq!(action.approve(&again, KMC, &book, NOW), Err(ApprovalError::Twice));
        }
    }

    #[test]
    fn an_edit_is_another_content() {
        let book = Book::new();
        let (first, mut edited) = (action(1), action(2));
        assert_ne!(first.hash(), edited.hash());
        let old = book.sign(1, &first, |_| ());
        assert_eq!(edited.approve(&old, KMC, &book, NOW), Err(ApprovalError::OtherContent));
        edited.content.0.push(b' ');
        assert_eq!(edited.act(), None);
    }

    #[test]
    fn who_is_revoked_does_not_count_any_more() {
        let (mut book, mut action) = (Book::new(), action(1));
        for n in [1, 2] {
            action.approve(&book.sign(n, &action, |_| ()), KMC, &book, NOW).unwrap();
        }
        book.0[2].1.standing = Standing::Revoked;
        assert!(!action.is_carried(&book, NOW));
        assert!(action.drop_void(&book) && action.approvals.len() == 1);
    }

    #[test]
    fn no_quorum_is_below_two() {
        assert_eq!([0, 1].map(Quorum::try_from), [Err(TooFew); 2]);
        assert!(serde_json::from_str::<Quorum>("1").is_err());
        for class in ActionClass::ALL {
            let least = Quorum::of_class(class, Some(Quorum::MIN)).persons();
            assert_eq!(least, if class == ActionClass::Emergency { 3 } else { 2 });
        }
    }

    #[test]
    fn decisions_about_persons_need_two_reporting_lines_where_there_are_lines() {
        let mut book = Book::new();
        let mut action = action(1);
        action.class = ActionClass::Person;
        for (n, line) in [(1, "north"), (2, "north"), (3, "south")] {
            book.0[n].0.line = Some(line.into());
        }
        for n in [1, 2] {
            action.approve(&book.sign(n, &action, |_| ()), KMC, &book, NOW).unwrap();
        }
        assert!(!action.is_carried(&book, NOW));
        action.approve(&book.sign(3, &action, |_| ()), KMC, &book, NOW).unwrap();
        assert!(action.is_carried(&book, NOW));
    }

    proptest! {
        /// In whatever order persons sign, sign again, are revoked and come to have other roles: what is carried
        /// has as many distinct officers besides the requester as it needs.
        #[test]
        fn no_way_around_the_quorum(
            m in 2_u8..5,
            steps in proptest::collection::vec((0_usize..6, 0_u8..6, 0_u64..700), 0..30),
        ) {
            let (mut book, mut action) = (Book::new(), action(1));
            action.quorum = Quorum::try_from(m).unwrap();
            let mut now = NOW;
            for (n, what, pause) in steps {
                now += pause;
                match what {
                    0 => book.0[n].1.standing = Standing::Revoked,
                    1 => book.0[n].0.roles = [Role::Auditor].into(),
                    _ => {
                        let approval = book.sign(n, &action, |a| a.not_after = U64(NOW + 5000));
                        let _ = action.approve(&approval, KMC, &book, now);
                    }
                }
                let distinct: BTreeSet<PublicKey> = action
                    .approvals
                    .iter()
                    .filter_map(|given| {
                        let (person, credential, signer) =
                            book.0.iter().find(|(_, credential, _)| credential.id == given.credential)?;
                        let body: Approval = given.signed.open(&signer.key()).ok()?;
                        let first = book.0.iter().find(|(p, ..)| p.id == person.id)?;
                        let counts = first.0.is(Role::SecurityOfficer)
                            && credential.standing == Standing::Active
                            && person.id != action.requester
                            && body.action == action.hash()
                            && now < body.not_after.0;
                        counts.then(|| first.2.key())
                    })
                    .collect();
                prop_assert_eq!(action.is_carried(&book, now), distinct.len() >= usize::from(m));
            }
        }
    }
}
