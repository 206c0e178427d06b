//! Another of the centre's own keys: what is not asked for, what does not count, and that the whole of it goes its way.

use super::Case;
use super::house::{House, OPERATOR, transport};
use crate::action::Act;
use crate::ids::{ActionId, Digest};
use crate::input::Input;
use crate::node::Traffic;
use crate::refusal::Refusal;
use crate::signing::{DocumentSignatures, KeyPhase, KeySuccession};
use keylink::envelope::{Sign, SoftSigner};
use keylink::root::{NamedSignature, RootDocument, SignedRoot};
use keylink::succession::{CentreKey, SignedSuccession, Succession};
use keylink::wire::{Hex, U64};

const NEXT: [u8; 32] = [0x77; 32];

type Asked = (ActionId, Digest, Hex<16>);

fn change(house: &House, new: &SoftSigner, alter: impl FnOnce(&mut RootDocument)) -> KeySuccession {
    change_of(house, CentreKey::Manifest, (&house.manager, new), alter)
}

fn change_of(
    house: &House,
    key: CentreKey,
    (old, new): (&SoftSigner, &SoftSigner),
    alter: impl FnOnce(&mut RootDocument),
) -> KeySuccession {
    let body = Succession { kmc: house.kmc(), key, old: old.key(), new: new.key(), made_ms: U64(house.now) };
    let statement = SignedSuccession::try_seal(&body, old, new).expect("signed");
    let drafted = house.core.key_documents(key, new.key(), house.now).expect("a draft");
    let [mut both, mut alone] = drafted;
    alter(&mut both);
    alone.previous = Some(SignedRoot::new(&both).hash());
    let [both, alone] = [both, alone].map(|document| SignedRoot::new(&document).payload);
    KeySuccession { statement, both, alone }
}

fn sound(house: &House) -> KeySuccession {
    change(house, &SoftSigner::new(&NEXT), |_| {})
}

fn signed(house: &House, by: usize, id: ActionId, act: &KeySuccession) -> Input {
    let human = &house.people[by];
    let [both, alone] = act.documents().map(|document| NamedSignature {
        key: human.key().id(),
        signature: Hex(human.signer.sign(&document.pae())),
    });
    Input::SignDocuments { by: human.by, action: id, signatures: DocumentSignatures { both, alone } }
}

fn asked(house: &mut House) -> (KeySuccession, Asked) {
    let act = sound(house);
    let asked = house.propose(Act::ChangeSigningKey(act.clone())).expect("asked");
    (act, asked)
}

fn approved(house: &mut House) {
    let (act, asked) = asked(house);
    for officer in [0, 1] {
        house.must(signed(house, officer, asked.0, &act));
        house.must(house.approval(officer, asked, |_| ()));
    }
}

fn unasked(house: &mut House, act: KeySuccession) -> Refusal {
    house.unproposed(Act::ChangeSigningKey(act))
}

pub const CASES: &[Case] = &[
    ("a second change of a key while one goes on", "key_changes", |house| {
        let act = sound(house);
        approved(house);
        unasked(house, act)
    }),
    ("a key that does not say itself that it follows", "value", |house| {
        let mut act = sound(house);
        act.statement.by_new = act.statement.by_old;
        unasked(house, act)
    }),
    ("an authority that only the one before says follows it", "value", |house| {
        let [old, new] = [transport(), SoftSigner::new(&NEXT)];
        let mut act = change_of(house, CentreKey::Transport, (&old, &new), |_| {});
        act.statement.by_new = act.statement.by_old;
        unasked(house, act)
    }),
    ("an officers' root document that names another authority", "value", |house| {
        let mut document = house.core.next_root(house.now).expect("a draft");
        document.transport_keys.push(SoftSigner::new(&NEXT).key());
        let mut next = SignedRoot::new(&document);
        house.people[..4].iter().for_each(|human| next.sign(human.signer.as_ref()));
        house.refused(Input::InstallRoot { by: house.by(OPERATOR), root: next })
    }),
    ("a key that signs already", "value", |house| {
        let officer = SoftSigner::new(&NEXT);
        let mut act = change(house, &officer, |_| {});
        act.statement.by_old = act.statement.by_new;
        unasked(house, act)
    }),
    ("a root document that brings more than a key", "outdated", |house| {
        let act = change(house, &SoftSigner::new(&NEXT), |both| both.name = "another".into());
        unasked(house, act)
    }),
    ("a change of keys while officers have changed", "outdated", |house| {
        let act = sound(house);
        house.carry(Act::RevokeCredential { credential: house.by(3).credential });
        unasked(house, act)
    }),
    ("a change of keys while a recovery waits", "value", |house| {
        let act = sound(house);
        let [dora, emil] = house.newcomers();
        house.must(house.recovery(vec![house.people[0].officer(), dora, emil]));
        unasked(house, act)
    }),
    ("a key that officers were asked about before and that may be erased", "outdated", |house| {
        let (act, asked) = asked(house);
        house.must(Input::Withdraw { by: house.by(OPERATOR), action: asked.0 });
        unasked(house, act)
    }),
    ("an approval of a change without its root documents", "unfit", |house| {
        let (_, asked) = asked(house);
        house.refused(house.approval(0, asked, |_| ()))
    }),
    ("signatures on root documents by an operator", "forbidden", |house| {
        let (act, asked) = asked(house);
        house.refused(signed(house, OPERATOR, asked.0, &act))
    }),
    ("signatures on other root documents", "value", |house| {
        let (_, asked) = asked(house);
        let other = change(house, &SoftSigner::new(&[0x78; 32]), |_| {});
        house.refused(signed(house, 0, asked.0, &other))
    }),
    ("signatures on root documents of another action", "unfit", |house| {
        let act = sound(house);
        let node = house.node(0);
        let other = house.propose(Act::RevokeNode { node }).expect("asked");
        house.refused(signed(house, 0, other.0, &act))
    }),
    ("a step of a change that waits for nodes", "not_due", |house| {
        approved(house);
        house.must(Input::KeyStep { checkpoints: None });
        house.refused(Input::KeyStep { checkpoints: None })
    }),
    ("an officers' root document that drops a key that signs", "value", |house| {
        let mut document = house.core.next_root(house.now).expect("a draft");
        document.manifest_keys = vec![SoftSigner::new(&NEXT).key()];
        let mut next = SignedRoot::new(&document);
        house.people[..4].iter().for_each(|human| next.sign(human.signer.as_ref()));
        house.refused(Input::InstallRoot { by: house.by(OPERATOR), root: next })
    }),
];

#[test]
fn an_authority_goes_when_every_node_has_a_certificate_of_the_next() {
    let mut house = House::founded();
    let (old, new) = (transport(), SoftSigner::new(&NEXT));
    let act = change_of(&house, CentreKey::Transport, (&old, &new), |_| {});
    let asked = house.propose(Act::ChangeSigningKey(act.clone())).expect("asked");
    for officer in [0, 1] {
        house.must(signed(&house, officer, asked.0, &act));
        house.must(house.approval(officer, asked, |_| ()));
    }
    let listed = |house: &House| house.core.authorities();
    let until = house.now + 1_000_000;
    let shown = |house: &House, n: usize, by: &SoftSigner, until_utc_ms: u64| Input::CertificateShown {
        node: house.node(n),
        authority: by.key(),
        until_utc_ms,
    };
    for n in 0..2 {
        house.must(shown(&house, n, &old, until));
    }
    // Before it issues, nothing of it counts for more.
    house.must(Input::KeyStep { checkpoints: None });
    assert_eq!(listed(&house), (vec![old.key(), new.key()], vec![]));
    let early = shown(&house, 0, &new, until);
    assert_eq!(house.refused(early).code(), "not_due");
    house.now += 3_600_000;
    let mut root = house.core.key_change(house.now).unwrap().0.number;
    for n in 0..3 {
        let (by, node) = (house.by(OPERATOR), house.node(n));
        house.must(Input::Traffic { by, node, to: Traffic::Offline });
    }
    house.must(Input::KeyStep { checkpoints: None });
    assert_eq!(house.core.signing_key(CentreKey::Transport).unwrap(), (new.key(), house.now));
    for n in 0..2 {
        let (by, node) = (house.by(OPERATOR), house.node(n));
        house.must(Input::Traffic { by, node, to: Traffic::Drained });
    }
    let waits = |house: &House| house.core.key_change(house.now).unwrap().1.len();
    // A sign of life is not enough.
    assert_eq!((waits(&house), house.core.key_step_due(None, house.now)), (2, false));
    house.must(shown(&house, 0, &new, until - 10));
    assert_eq!(house.refused(shown(&house, 0, &old, until + 10)).code(), "not_due");
    assert_eq!(waits(&house), 1);
    house.must(shown(&house, 1, &new, until));
    assert_eq!(waits(&house), 0);
    house.must(Input::KeyStep { checkpoints: None });
    root += 1;
    assert_eq!(listed(&house), (vec![new.key()], vec![old.key()]));
    assert_eq!(house.core.roots().last().unwrap().document().unwrap().number, root);
    assert!(!house.core.wanted_keys().contains(&old.key()) && house.core.known_keys().contains(&old.key()));
}

#[test]
fn a_key_comes_is_learnt_signs_and_the_old_one_goes() {
    let mut house = House::founded();
    let (old, new) = (house.manager.key(), SoftSigner::new(&NEXT).key());
    approved(&mut house);
    let listed = |house: &House| house.core.roots().last().unwrap().document().unwrap().manifest_keys;
    let signs = |house: &House| house.core.signing_key(CentreKey::Manifest).unwrap().0;
    let phase = |house: &House| house.core.key_change(house.now).map(|(change, _)| change.phase);
    assert_eq!(phase(&house), Some(KeyPhase::Approved));
    house.must(Input::KeyStep { checkpoints: None });
    assert_eq!((listed(&house), signs(&house)), (vec![old, new], old));
    let waits = house.core.key_change(house.now).unwrap().1;
    assert!(waits.contains(&house.node(0)) && waits.contains(&house.node(1)), "in traffic, and without it");
    assert!(!house.core.key_step_due(None, house.now));
    // Out of traffic they are not waited for.
    for n in 0..3 {
        let (by, node) = (house.by(OPERATOR), house.node(n));
        house.must(Input::Traffic { by, node, to: Traffic::Offline });
    }
    house.now += 3_600_000;
    assert!(house.core.key_change(house.now).unwrap().1.is_empty());
    house.must(Input::KeyStep { checkpoints: None });
    assert_eq!((phase(&house), signs(&house)), (Some(KeyPhase::Signing), new));
    assert!(house.core.wanted_keys().contains(&old), "until it is dropped");
    house.must(Input::KeyStep { checkpoints: None });
    assert_eq!((listed(&house), signs(&house), phase(&house)), (vec![new], new, None));
    assert!(!house.core.wanted_keys().contains(&old));
    assert_eq!(house.core.roots().len(), 3);
}
