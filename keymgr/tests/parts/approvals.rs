//! What was never approved is found by anybody, also when whoever did it has the checkpoint key: the log is whole,
//! every row is what it says, every signature is genuine, and the count does not come out.

use crate::common::{BEGIN_MS, Place, root};
use keylink::action::{ActionClass, Approval};
use keylink::envelope::{Sign, Signed, SoftSigner};
use keylink::message::{Audience, Head, Manifest};
use keylink::wire::U64;
use keylink::{ActionId, CredentialId, Digest, Instant3, KmcId, NodeId, PersonId, ZoneId};
use keymgr::audit::{Options, Report, verify_store};
use keymgr::core::Core;
use keymgr::core::action::Act;
use keymgr::core::approval::{Action, ActionState, Given, Proposal, Quorum};
use keymgr::core::centre::Limits;
use keymgr::core::ids::Fresh;
use keymgr::core::input::{Caller, Founding, Input, Outcome, Told};
use keymgr::core::people::{CredentialKind, NewCredential, NewPerson, Person, Role};
use keymgr::core::rows;
use keymgr::core::table::Record;
use keymgr::core::verified::Verified;
use keymgr::log::{Entry, Ledger};
use keymgr::store::Change;
use keymgr::writer::Machine;

const OPERATOR: usize = 4;

/// A centre with its log: four officers, an operator, and whoever holds the checkpoint key.
struct Centre {
    place: Place,
    ledger: Ledger,
    core: Core,
    manager: SoftSigner,
    people: Vec<SoftSigner>,
    now: u64,
}

fn caller(n: usize) -> Caller {
    let n = u8::try_from(n).unwrap() + 1;
    Caller { person: PersonId([n; 16]), credential: CredentialId([n; 16]) }
}

fn person(n: usize, key: &SoftSigner, role: Role) -> NewPerson {
    let by = caller(n);
    let credential = NewCredential { id: by.credential, kind: CredentialKind::File, key: key.key() };
    NewPerson { id: by.person, name: format!("person {n}"), line: None, roles: [role].into(), credential }
}

fn zone(n: u8) -> Act {
    Act::CreateZone { id: ZoneId([n; 16]), alias: format!("zone {n}"), live: false }
}

impl Centre {
    fn founded() -> Self {
        let people: Vec<_> = (0..8).map(|n| SoftSigner::new(&[n + 1; 32])).collect();
        let manager = SoftSigner::new(&[99; 32]);
        let root = root::signed(&root::first(&manager, &people[..4]), &people[..4]);
        let role = |n| if n < 4 { Role::SecurityOfficer } else { Role::Operator };
        let persons = (0..5).map(|n| person(n, &people[n], role(n))).collect();
        let place = Place::sqlite();
        let ledger = place.lead().unwrap();
        let mut centre = Self { place, ledger, core: Core::default(), manager, people, now: BEGIN_MS };
        centre.tell(Input::Found(Founding { root, persons, limits: Limits::default() }));
        centre
    }

    fn tell(&mut self, input: Input) -> Outcome {
        self.now += 1000;
        let now = Instant3 { utc_ms: self.now, ..Instant3::default() };
        let told = Told { fresh: Fresh(Digest::of(&self.now.to_be_bytes())), request: None, input };
        let decided = Machine::handle(&mut self.core, now, told).unwrap();
        self.ledger.commit(vec![(decided.entry, decided.changes)], self.now, false).unwrap();
        decided.outcome
    }

    fn kmc(&self) -> KmcId {
        self.core.kmc().unwrap()
    }

    fn propose(&mut self, by: usize, act: Act) -> Action {
        let Outcome::Proposed { action, .. } = self.tell(Input::Propose { by: caller(by), act }) else {
            panic!("not proposed");
        };
        self.action(&action)
    }

    fn action(&self, id: &ActionId) -> Action {
        self.core.state().action(id).unwrap().clone()
    }

    fn approval(&self, n: usize, action: &Action, change: impl FnOnce(&mut Approval)) -> Signed {
        let mut body = Approval {
            kmc: self.kmc(),
            action: action.hash(),
            nonce: action.nonce,
            person: caller(n).person,
            credential: caller(n).credential,
            signed_ms: U64(self.now),
            not_after: U64(self.now + 3_600_000),
        };
        change(&mut body);
        Signed::seal(&body, &self.people[n])
    }

    fn approve(&mut self, n: usize, action: &Action) {
        let signed = self.approval(n, action, |_| ());
        self.tell(Input::Approve(Verified::open(signed, &self.people[n].key()).unwrap()));
    }

    fn carry(&mut self, act: Act) -> Action {
        let action = self.propose(OPERATOR, act);
        for n in [0, 2, 3] {
            if self.action(&action.id).state == ActionState::Pending {
                self.approve(n, &action);
            }
        }
        self.action(&action.id)
    }

    // Writes whatever it is given, under a log that holds.
    fn forge(&mut self, entry: Entry, records: &[Record]) {
        let changes: Vec<Change> = records.iter().map(Record::to_change).collect();
        self.now += 1000;
        self.ledger.commit(vec![(entry, changes)], self.now, false).unwrap();
    }

    // Carries an action by these messages, as if the core had counted them.
    fn carry_by(&mut self, action: &Action, given: Vec<(usize, Signed)>) {
        let mut action = action.clone();
        action.state = ActionState::Done;
        let mut records = Vec::new();
        action.approvals.clear();
        for (n, signed) in given {
            let (person, credential) = (caller(n).person, caller(n).credential);
            let not_after = U64(self.now + 3_600_000);
            action.approvals.push(Given { person, credential, not_after, signed: signed.clone() });
            records.push(Record::Approval(rows::Approval { action: action.id, person, credential, signed }));
        }
        let entry = approves(&action);
        records.push(Record::Action(Box::new(action)));
        self.forge(entry, &records);
    }

    fn verify(mut self) -> Report {
        self.ledger.checkpoint().unwrap();
        let options = Options { signatures: true, ..Options::default() };
        assert!(self.place.verify().holds, "without the count everything is as it should be");
        verify_store(&mut self.place.read(), options).unwrap()
    }
}

fn approves(action: &Action) -> Entry {
    Entry {
        actor: "anybody".into(),
        action: "action.approve".into(),
        decision: "allowed".into(),
        objects: vec![action.id.to_string()],
        action_hash: Some(action.hash().0),
        approvals: action.approvals.iter().map(|given| given.signed.hash().0).collect(),
        ..Entry::default()
    }
}

fn found(report: &Report, kind: &str, table: &str, key: &str, what: &str) {
    let it = |found: &&keymgr::audit::Finding| {
        found.kind == kind && found.table == table && found.key == key && found.what.contains(what)
    };
    assert!(!report.holds && report.findings.iter().any(|f| it(&f)), "{table}/{key}: {:?}", report.findings);
}

// The action is named, for this reason.
fn named(report: &Report, action: &Action, what: &str) {
    found(report, "unapproved", "actions", &hex::encode(action.id.0), what);
}

#[test]
fn what_was_approved_holds_through_every_change_of_officers() {
    let mut centre = Centre::founded();
    centre.carry(zone(1));
    let edited = centre.propose(OPERATOR, zone(2));
    centre.approve(0, &edited);
    centre.tell(Input::Edit { by: caller(OPERATOR), action: edited.id, act: zone(3) });
    let edited = centre.action(&edited.id);
    centre.approve(1, &edited);
    // An approval that is dropped with its officer, a new officer, an operator who becomes one, a higher quorum.
    let new = person(5, &centre.people[5], Role::SecurityOfficer);
    let (gone, replacement) = (caller(1).person, Some(new));
    let asked = centre.propose(OPERATOR, Act::RevokePerson { person: gone, replacement });
    centre.approve(2, &asked);
    centre.approve(3, &asked);
    centre.approve(5, &edited);
    centre.approve(0, &edited);
    assert_eq!(centre.action(&edited.id).state, ActionState::Done);
    let roles = [Role::SecurityOfficer].into();
    centre.carry(Act::ChangeRoles { person: caller(OPERATOR).person, roles });
    let asked =
        centre.propose(0, Act::SetQuorum { class: ActionClass::Zone, quorum: Quorum::try_from(3).unwrap() });
    centre.approve(OPERATOR, &asked);
    centre.approve(5, &asked);
    let asked = centre.propose(0, zone(4));
    [OPERATOR, 5, 2].into_iter().for_each(|n| centre.approve(n, &asked));
    assert_eq!(centre.action(&asked.id).state, ActionState::Done);
    let withdrawn = centre.propose(OPERATOR, zone(5));
    centre.tell(Input::Withdraw { by: caller(OPERATOR), action: withdrawn.id });
    let report = centre.verify();
    assert!(report.holds, "{:?}", report.findings);
    let counts = report.signatures.unwrap();
    assert_eq!((counts.actions, counts.approvals), (6, 15));
}

#[test]
fn an_action_without_its_approvals_is_named() {
    let mut centre = Centre::founded();
    let action = centre.propose(OPERATOR, zone(1));
    centre.carry_by(&action, vec![]);
    named(&centre.verify(), &action, "0 of 2 persons");

    // Not even an entry.
    let mut centre = Centre::founded();
    let mut action = centre.propose(OPERATOR, zone(1));
    action.state = ActionState::Approved;
    centre.forge(
        Entry { action: "centre.tick".into(), ..Entry::default() },
        &[Record::Action(Box::new(action.clone()))],
    );
    named(&centre.verify(), &action, "no entry of the log approves");

    // One that is done by its right, whatever its row says.
    let mut centre = Centre::founded();
    let action = centre.propose(OPERATOR, zone(1));
    let entry = Entry { action: "key.export".into(), action_hash: Some(action.hash().0), ..Entry::default() };
    let seq = centre.ledger.size();
    centre.forge(entry, &[]);
    found(&centre.verify(), "unapproved", "log", &seq.to_string(), "not approved");
}

#[test]
fn a_genuine_approval_of_another_action_counts_for_nothing() {
    let mut centre = Centre::founded();
    let other = centre.carry(zone(1));
    let mut action = centre.propose(OPERATOR, zone(2));
    (action.state, action.approvals) = (ActionState::Done, other.approvals.clone());
    let seq = centre.ledger.size();
    centre.forge(approves(&action), &[Record::Action(Box::new(action.clone()))]);
    let report = centre.verify();
    named(&report, &action, "0 of 2 persons");
    found(&report, "unapproved", "log", &seq.to_string(), "approval of another action");

    // Its row moved to the other action.
    let mut centre = Centre::founded();
    let action = centre.propose(OPERATOR, zone(1));
    let signed = centre.approval(0, &action, |_| ());
    let (person, credential) = (caller(0).person, caller(0).credential);
    let row = rows::Approval { action: ActionId([7; 16]), person, credential, signed: signed.clone() };
    let entry = Entry { approvals: vec![signed.hash().0], ..approves(&action) };
    centre.forge(entry, &[Record::Approval(row)]);
    let key = hex::encode([&[7; 16][..], &signed.hash().0].concat());
    found(&centre.verify(), "unapproved", "approvals", &key, "no entry takes this approval");
}

#[test]
fn persons_count_once_as_officers_and_not_as_requesters() {
    type Give = fn(&Centre, &Action) -> Vec<(usize, Signed)>;
    let cases: [(usize, Give); 5] = [
        // One person twice, the requester, an operator, an approval whose time was over, another centre's.
        (OPERATOR, |c, a| {
            vec![(0, c.approval(0, a, |_| ())), (0, c.approval(0, a, |b| b.signed_ms = U64(5)))]
        }),
        (0, |c, a| vec![(0, c.approval(0, a, |_| ())), (1, c.approval(1, a, |_| ()))]),
        (0, |c, a| vec![(OPERATOR, c.approval(OPERATOR, a, |_| ())), (1, c.approval(1, a, |_| ()))]),
        (OPERATOR, |c, a| {
            vec![(0, c.approval(0, a, |b| b.not_after = b.signed_ms)), (1, c.approval(1, a, |_| ()))]
        }),
        (OPERATOR, |c, a| {
            vec![(0, c.approval(0, a, |b| b.kmc = KmcId([1; 32]))), (1, c.approval(1, a, |_| ()))]
        }),
    ];
    for (requester, give) in cases {
        let mut centre = Centre::founded();
        let action = centre.propose(requester, zone(1));
        let given = give(&centre, &action);
        centre.carry_by(&action, given);
        named(&centre.verify(), &action, "1 of 2 persons");
    }
}

#[test]
fn an_officer_who_was_only_written_down_is_none() {
    let mut centre = Centre::founded();
    let mut records = Vec::new();
    for n in [6, 7] {
        let (person, credential) =
            Person::register(&person(n, &centre.people[n], Role::SecurityOfficer)).unwrap();
        records.extend([Record::Person(Box::new(person)), Record::Credential(Box::new(credential))]);
    }
    centre.forge(Entry { action: "action.approve".into(), ..Entry::default() }, &records);
    let action = centre.propose(OPERATOR, zone(1));
    let given = [6, 7].map(|n| (n, centre.approval(n, &action, |_| ())));
    centre.carry_by(&action, given.into());
    let report = centre.verify();
    named(&report, &action, "0 of 2 persons");
    for n in [6, 7] {
        found(
            &report,
            "unapproved",
            "credentials",
            &hex::encode(caller(n).credential.0),
            "neither a root document",
        );
    }

    // A key of the manager's own under an officer's credential.
    let mut centre = Centre::founded();
    let mut credential = centre.core.state().credential(&caller(0).credential).unwrap().clone();
    credential.key = centre.people[7].key();
    centre.people[0] = SoftSigner::new(&[8; 32]);
    centre.forge(Entry::default(), &[Record::Credential(Box::new(credential))]);
    let action = centre.propose(OPERATOR, zone(1));
    let given = [0, 1].map(|n| (n, centre.approval(n, &action, |_| ())));
    centre.carry_by(&action, given.into());
    let report = centre.verify();
    named(&report, &action, "1 of 2 persons");
    found(
        &report,
        "unapproved",
        "credentials",
        &hex::encode(caller(0).credential.0),
        "neither a root document",
    );
}

#[test]
fn a_record_that_says_other_than_its_bytes_is_named() {
    type Forgery = (fn(&mut Action), &'static str);
    let cases: [Forgery; 5] = [
        (|a| a.content.0 = br#"{"deactivate_key":1}"#.to_vec(), "content is not the one"),
        (|a| a.class = ActionClass::SuspendNode, "other than its bytes"),
        (|a| a.requester = PersonId([9; 16]), "other than its bytes"),
        (|a| a.quorum = Quorum::try_from(3).unwrap(), "other than its bytes"),
        (|a| a.approvals.truncate(1), "names other approvals"),
    ];
    for (change, what) in cases {
        let mut centre = Centre::founded();
        let mut action = centre.carry(zone(1));
        change(&mut action);
        centre.forge(Entry::default(), &[Record::Action(Box::new(action.clone()))]);
        named(&centre.verify(), &action, what);
    }
}

#[test]
fn a_quorum_frozen_too_low_is_named() {
    let mut centre = Centre::founded();
    centre.carry(Act::SetQuorum { class: ActionClass::Zone, quorum: Quorum::try_from(3).unwrap() });
    let action = Action::propose(Proposal {
        kmc: centre.kmc(),
        id: ActionId([3; 16]),
        requester: caller(OPERATOR).person,
        credential: caller(OPERATOR).credential,
        version: 1,
        quorum: Quorum::MIN,
        act: zone(1),
        grants: vec![],
        nonce: Digest::of(b"nonce"),
        utc_ms: centre.now,
    });
    let given = [0, 1].map(|n| (n, centre.approval(n, &action, |_| ())));
    centre.carry_by(&action, given.into());
    named(&centre.verify(), &action, "asks for 2 persons where 3 decide");
}

#[test]
fn manifests_are_the_centres() {
    let mut centre = Centre::founded();
    let node = NodeId([5; 32]);
    let manifest = |seq: u64, kmc, signer: &SoftSigner, place: u64| {
        let head = Head {
            version: keylink::message::PROTOCOL,
            kmc,
            audience: Audience::Node(node),
            epoch: U64(1),
            seq: U64(seq),
            not_after: U64(9),
        };
        let body = Manifest {
            head,
            previous: None,
            resync: None,
            root: Digest::of(b"root"),
            suspended: false,
            key_sets: vec![],
            evidence: vec![],
            checkpoint: None,
        };
        let signed = Signed::seal(&body, signer);
        Record::Manifest(rows::Manifest { node, epoch: U64(1), seq: U64(place), signed })
    };
    let (kmc, thief) = (centre.kmc(), SoftSigner::new(&[77; 32]));
    let records = [
        manifest(1, kmc, &centre.manager, 1),
        manifest(2, kmc, &thief, 2),
        manifest(1, kmc, &centre.manager, 3),
        manifest(4, KmcId([1; 32]), &centre.manager, 4),
    ];
    centre.forge(Entry::default(), &records);
    let report = centre.verify();
    assert_eq!((report.signatures.unwrap().manifests, report.findings_total), (1, 3));
    let key = |seq: u64| hex::encode([&node.0[..], &seq.to_be_bytes()].concat());
    found(&report, "signature", "manifests", &key(2), "a key that the centre never had");
    found(&report, "signature", "manifests", &key(3), "another centre, node or number");
    found(&report, "signature", "manifests", &key(4), "another centre, node or number");
}
