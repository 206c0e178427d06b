//! Who may do what, and whose word counts.

use super::Case;
use super::house::{AUDITOR, CUSTODIANS, House, OPERATOR, campaign, policy_id, zone};
use crate::action::Act;
use crate::approval::{CLOCK_MS, PENDING_MS, Quorum};
use crate::ids::{CredentialId, PersonId, PublicKey};
use crate::input::{Input, Outcome};
use crate::kind::KeyKind;
use crate::people::{CredentialKind, NewCredential, NewPerson, Role};
use crate::simulation::people::Human;
use crate::simulation::rng::Rng;
use keylink::KmcId;
use keylink::action::{ActionClass, Approval};
use keylink::root::{Officer, SignedRoot};
use keylink::wire::{Hex, U64};

pub const CASES: &[Case] = &[
    ("anything before the centre is founded", "not_founded", |_| House::new().refused(Input::Tick)),
    ("a second founding", "founded", |house| house.refused(house.founding())),
    ("a root document that an officer has not signed", "root", |_| {
        let mut house = House::new();
        house.root.signatures.pop();
        house.refused(house.founding())
    }),
    ("a root document that only one of the officers has signed", "root", |house| {
        let mut next = SignedRoot::new(&house.core.next_root(house.now).expect("a draft"));
        next.sign(house.people[0].signer.as_ref());
        house.refused(Input::InstallRoot { by: house.by(OPERATOR), root: next })
    }),
    ("a root document with officers who are not registered", "value", |house| {
        let mut document = house.core.next_root(house.now).expect("a draft");
        document.officers.pop();
        let mut next = SignedRoot::new(&document);
        house.people[..4].iter().for_each(|human| next.sign(human.signer.as_ref()));
        house.refused(Input::InstallRoot { by: house.by(OPERATOR), root: next })
    }),
    ("a recovery that names a known key under other ids", "exists", |house| {
        let [dora, emil] = house.newcomers();
        let ada = Officer { person: PersonId::new(7, [7; 10]), ..house.people[0].officer() };
        house.refused(house.recovery(vec![ada, dora, emil]))
    }),
    ("a recovery with a key that was revoked", "value", |house| {
        house.carry(Act::RevokeCredential { credential: house.by(3).credential });
        let [dora, emil] = house.newcomers();
        house.refused(house.recovery(vec![house.people[3].officer(), dora, emil]))
    }),
    ("a recovery with another key of a person who was revoked", "value", |house| {
        house.carry(Act::RevokePerson { person: house.by(3).person, replacement: None });
        let [dora, emil] = house.newcomers();
        let again = Officer { person: house.by(3).person, ..dora };
        house.refused(house.recovery(vec![house.people[0].officer(), again, emil]))
    }),
    ("a recovery that makes an auditor an officer", "separation", |house| {
        let [dora, emil] = house.newcomers();
        house.refused(house.recovery(vec![house.people[AUDITOR].officer(), dora, emil]))
    }),
    ("a recovery by fewer officers than a policy needs", "too_few_officers", |house| {
        let mut policy = house.policy(policy_id(), KeyKind::Zpk);
        (policy.version, policy.quorum) = (2, quorum(3));
        house.carry(Act::DefinePolicy(policy));
        let [dora, emil] = house.newcomers();
        house.refused(house.recovery(vec![house.people[0].officer(), dora, emil]))
    }),
    ("a second recovery while one waits", "value", |house| {
        let [dora, emil] = house.newcomers();
        let recovery = house.recovery(vec![house.people[0].officer(), dora, emil]);
        house.must(recovery.clone());
        house.refused(recovery)
    }),
    ("a person with a key that a recovery brings", "value", |house| {
        let [dora, emil] = house.newcomers();
        house.must(house.recovery(vec![house.people[0].officer(), dora, emil]));
        let dora = house.people[house.people.len() - 2].clone();
        let id = PersonId::new(7, [7; 10]);
        house.unproposed(Act::EnrolPerson(NewPerson { id, ..dora.registration() }))
    }),
    ("a request by an auditor", "forbidden", |house| {
        house.propose_by(AUDITOR, suspend(house)).expect_err("refused")
    }),
    ("a request by a custodian", "forbidden", |house| {
        house.propose_by(CUSTODIANS[0], suspend(house)).expect_err("refused")
    }),
    ("a request with another person's credential", "forbidden", |house| {
        let mut by = house.by(OPERATOR);
        by.credential = house.by(0).credential;
        let act = suspend(house);
        house.refused(Input::Propose { by, act })
    }),
    ("a campaign paused by an auditor", "forbidden", |house| {
        house.refused(Input::Pause { by: house.by(AUDITOR), campaign: campaign(1) })
    }),
    ("an action that is not there", "unknown", |house| {
        house.refused(Input::Withdraw { by: house.by(OPERATOR), action: Default::default() })
    }),
    ("an action taken back by somebody else", "not_requester", |house| {
        let (action, ..) = house.propose(revoke(house)).expect("asked");
        house.refused(Input::Withdraw { by: house.by(0), action })
    }),
    ("an action edited by somebody else", "not_requester", |house| {
        let (action, ..) = house.propose(revoke(house)).expect("asked");
        let act = suspend(house);
        house.refused(Input::Edit { by: house.by(0), action, act })
    }),
    ("an action taken back that was carried", "approval_not_pending", |house| {
        let action = house.carry(suspend(house));
        house.refused(Input::Withdraw { by: house.by(OPERATOR), action })
    }),
    ("the same officer twice", "approval_twice", |house| {
        let asked = house.propose(revoke(house)).expect("asked");
        house.must(house.approval(0, asked, |_| ()));
        house.refused(house.approval(0, asked, |_| ()))
    }),
    ("the same officer twice, by another credential", "approval_twice", |house| {
        let mut second = Human::new(&mut Rng::new(9), "an", Role::SecurityOfficer);
        second.by.person = house.by(0).person;
        let credential =
            NewCredential { id: second.by.credential, kind: CredentialKind::File, key: second.key() };
        house.carry(Act::AddCredential { person: second.by.person, credential });
        house.people.push(second);
        let asked = house.propose(revoke(house)).expect("asked");
        house.must(house.approval(0, asked, |_| ()));
        house.refused(house.approval(house.people.len() - 1, asked, |_| ()))
    }),
    ("the requester's approval", "approval_requester", |house| {
        let asked = house.propose_by(0, revoke(house)).expect("asked");
        house.refused(house.approval(0, asked, |_| ()))
    }),
    ("an approval by the operator", "approval_role", |house| {
        let asked = house.propose_by(0, revoke(house)).expect("asked");
        house.refused(house.approval(OPERATOR, asked, |_| ()))
    }),
    ("an operator's approval of the suspension of a node", "approval_role", |house| {
        let asked = house.propose_by(0, suspend(house)).expect("asked");
        house.refused(house.approval(OPERATOR, asked, |_| ()))
    }),
    ("an operator's approval of the own wish to suspend a node", "approval_role", |house| {
        let asked = house.propose(suspend(house)).expect("asked");
        house.refused(house.approval(OPERATOR, asked, |_| ()))
    }),
    ("an approval by an auditor", "approval_role", |house| {
        let asked = house.propose(revoke(house)).expect("asked");
        house.refused(house.approval(AUDITOR, asked, |_| ()))
    }),
    ("an approval in another officer's name", "approval_credential", |house| {
        let (asked, other) = (house.propose(revoke(house)).expect("asked"), house.by(1));
        house.refused(
            house.approval(0, asked, |a| (a.person, a.credential) = (other.person, other.credential)),
        )
    }),
    ("an approval by one who was revoked", "approval_credential", |house| {
        house.carry(Act::RevokeCredential { credential: house.by(3).credential });
        let asked = house.propose(revoke(house)).expect("asked");
        house.refused(house.approval(3, asked, |_| ()))
    }),
    ("an approval of another centre's action", "approval_other_content", |house| {
        let asked = house.propose(revoke(house)).expect("asked");
        house.refused(house.approval(0, asked, |a| a.kmc = KmcId::default()))
    }),
    ("an approval with another nonce", "approval_other_content", |house| {
        let asked = house.propose(revoke(house)).expect("asked");
        house.refused(house.approval(0, asked, |a| a.nonce = Hex([0; 16])))
    }),
    ("an approval of what was edited since", "unknown", |house| {
        let (act, other) = (revoke(house), suspend(house));
        let asked = house.propose(act).expect("asked");
        let by = house.by(OPERATOR);
        house.must(Input::Edit { by, action: asked.0, act: other });
        house.refused(house.approval(0, asked, |_| ()))
    }),
    ("an approval that is replayed for the next request of the same", "approval_other_content", |house| {
        let act = revoke(house);
        let first = house.propose(act.clone()).expect("asked");
        let (_, hash, _) = house.propose(act).expect("asked");
        house.refused(house.approval(0, (first.0, hash, first.2), |_| ()))
    }),
    ("an approval that is replayed after the action was carried", "unknown", |house| {
        let asked = house.propose(revoke(house)).expect("asked");
        house.must(house.approval(0, asked, |_| ()));
        house.must(house.approval(1, asked, |_| ()));
        house.refused(house.approval(0, asked, |_| ()))
    }),
    ("an approval past its time", "approval_expired", |house| {
        let asked = house.propose(revoke(house)).expect("asked");
        let late = house.approval(0, asked, |_| ());
        house.now += 60_000;
        house.refused(late)
    }),
    ("an approval of an action past its time", "approval_expired", |house| {
        let asked = house.propose(revoke(house)).expect("asked");
        house.now += PENDING_MS;
        house.refused(house.approval(0, asked, |_| ()))
    }),
    ("an approval for longer than an action waits", "approval_times", |house| {
        let asked = house.propose(revoke(house)).expect("asked");
        let long = U64(house.now + PENDING_MS + 1);
        house.refused(house.approval(0, asked, |a| a.not_after = long))
    }),
    ("an approval signed in times to come", "approval_times", |house| {
        let asked = house.propose(revoke(house)).expect("asked");
        let then = house.now + CLOCK_MS + 1;
        let signed = |a: &mut Approval| (a.signed_ms, a.not_after) = (U64(then), U64(then + 1));
        house.refused(house.approval(0, asked, signed))
    }),
    ("too few officers left", "too_few_officers", |house| {
        house.carry(Act::RevokePerson { person: house.by(3).person, replacement: None });
        house.unproposed(Act::RevokePerson { person: house.by(2).person, replacement: None })
    }),
    ("a quorum that the officers cannot make", "too_few_officers", |house| {
        house.unproposed(Act::SetQuorum { class: ActionClass::Rotate, quorum: quorum(4) })
    }),
    ("a quorum below the minimum of its class", "value", |house| {
        house.unproposed(Act::SetQuorum { class: ActionClass::Emergency, quorum: Quorum::MIN })
    }),
    ("an auditor with another role", "separation", |house| {
        let roles = [Role::Auditor, Role::Operator].into();
        house.unproposed(Act::ChangeRoles { person: house.by(AUDITOR).person, roles })
    }),
    ("a custodian who becomes an officer", "separation", |house| {
        let person = house.by(CUSTODIANS[0]).person;
        house.carry(Act::Entrust { person, key_set: super::house::zmk(), component: 1 });
        house.unproposed(Act::ChangeRoles { person, roles: [Role::SecurityOfficer].into() })
    }),
    ("a second component of a key in the same hands", "separation", |house| {
        let person = house.by(CUSTODIANS[0]).person;
        house.carry(Act::Entrust { person, key_set: super::house::zmk(), component: 1 });
        house.unproposed(Act::Entrust { person, key_set: super::house::zmk(), component: 2 })
    }),
    ("a component for one who is no custodian", "separation", |house| {
        let person = house.by(0).person;
        house.unproposed(Act::Entrust { person, key_set: super::house::zmk(), component: 1 })
    }),
    ("a person under a name that is taken", "exists", |house| {
        house.unproposed(Act::EnrolPerson(Human::new(&mut Rng::new(7), "an", Role::Operator).registration()))
    }),
    ("one key under two credentials", "exists", |house| {
        let key: PublicKey = house.people[0].key();
        let credential = NewCredential { id: CredentialId::new(5, [5; 10]), kind: CredentialKind::File, key };
        house.unproposed(Act::AddCredential { person: house.by(1).person, credential })
    }),
    ("a credential for one who was revoked", "value", |house| {
        let person = house.by(3).person;
        house.carry(Act::RevokePerson { person, replacement: None });
        let credential = NewCredential {
            id: CredentialId::new(5, [5; 10]),
            kind: CredentialKind::File,
            key: PublicKey([5; 32]),
        };
        house.unproposed(Act::AddCredential { person, credential })
    }),
    ("a person revoked twice", "value", |house| {
        let person = house.by(3).person;
        house.carry(Act::RevokePerson { person, replacement: None });
        house.unproposed(Act::RevokePerson { person, replacement: None })
    }),
    ("a policy that cannot be meant", "policy", |house| {
        let mut policy = house.policy(policy_id(), KeyKind::Zpk);
        (policy.version, policy.overlap_ms) = (2, 0);
        house.unproposed(Act::DefinePolicy(policy))
    }),
    ("a policy upon a version that is not the last", "outdated", |house| {
        house.unproposed(Act::DefinePolicy(house.policy(policy_id(), KeyKind::Zpk)))
    }),
    ("a policy for another kind of keys", "unfit", |house| {
        let mut policy = house.policy(policy_id(), KeyKind::Zmk);
        policy.version = 2;
        house.unproposed(Act::DefinePolicy(policy))
    }),
    ("a policy that says otherwise about the hard stop than its key sets", "unfit", |house| {
        let mut policy = house.policy(policy_id(), KeyKind::Zpk);
        (policy.version, policy.hard_stop) = (2, true);
        house.unproposed(Act::DefinePolicy(policy))
    }),
    ("a zone under a name that is taken", "exists", |house| {
        house.unproposed(Act::CreateZone { id: zone(), alias: "zone".into(), live: false })
    }),
    ("a zone whose name is no line", "value", |house| {
        let id = keylink::ZoneId::new(9, [9; 10]);
        house.unproposed(Act::CreateZone { id, alias: "east\nwest".into(), live: false })
    }),
    ("a zone named like an id", "value", |house| {
        let id = keylink::ZoneId::new(9, [9; 10]);
        house.unproposed(Act::CreateZone { id, alias: zone().to_string(), live: false })
    }),
    ("a person with a name that is not shown as it is", "value", |house| {
        let mallory = Human::new(&mut Rng::new(7), "an\u{202e}", Role::Operator);
        house.unproposed(Act::EnrolPerson(mallory.registration()))
    }),
    ("an epoch that does not rise", "outdated", |house| house.refused(Input::TakeOver { epoch: 1 })),
];

fn quorum(persons: u8) -> Quorum {
    persons.try_into().expect("a quorum")
}

/// What two officers must approve, and what can be asked for at any time.
fn revoke(house: &House) -> Act {
    Act::RevokeNode { node: house.node(2) }
}

/// What one officer may carry.
fn suspend(house: &House) -> Act {
    Act::SuspendNode { node: house.node(2), reason: "odd".into() }
}

#[test]
fn what_the_cases_rest_on_is_allowed() {
    let mut house = House::founded();
    let asked = house.propose(revoke(&house)).expect("asked");
    house.must(house.approval(0, asked, |_| ()));
    let Outcome::Approved { standing, .. } = house.must(house.approval(1, asked, |_| ())) else { panic!() };
    assert_eq!(standing, 2);
}
