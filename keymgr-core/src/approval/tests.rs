use super::*;
use crate::action::KeyRef;
use crate::ids::PublicKey;
use crate::people::{CredentialKind, NewCredential, NewPerson};
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
    let then =
        |by| move |a: &mut Approval| (a.signed_ms, a.not_after) = (U64(NOW + by), U64(NOW + by + 1000));
    assert_eq!(refused(1, then(CLOCK_MS + 1)), ApprovalError::Times);
    let (book, mut action) = (Book::new(), action(1));
    assert_eq!(action.approve(&book.sign(1, &action, then(CLOCK_MS)), KMC, &book, NOW), Ok(()));
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
