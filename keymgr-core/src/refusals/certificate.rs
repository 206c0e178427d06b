//! Transport certificates of nodes, and the authority that issues them.

use super::Case;
use super::house::{House, NOW};
use crate::action::Act;
use crate::alarm::AlarmKind;
use crate::ids::Digest;
use crate::input::Input;
use crate::policy::DAY_MS;
use keylink::succession::CentreKey;
use keylink::{PublicKey, SoftSigner};

pub const CASES: &[Case] = &[
    ("a certificate for a node that is not known", "unknown", |house| {
        house.nodes[0] = SoftSigner::new(&[9; 32]);
        house.refused(house.certified(1))
    }),
    ("a certificate for a suspended node", "suspended", |house| {
        house.carry(Act::SuspendNode { node: house.node(0), reason: "odd".into() });
        house.refused(house.certified(1))
    }),
    ("a certificate for a revoked node", "suspended", |house| {
        house.carry(Act::RevokeNode { node: house.node(0) });
        house.refused(house.certified(1))
    }),
    ("a certificate shown that ends no later", "not_due", |house| {
        house.must(house.certified(397));
        house.refused(house.shown(397))
    }),
    ("a later certificate shown, of an authority that does not issue", "not_due", |house| {
        house.must(house.certified(397));
        house.refused(house.shown_by(PublicKey([7; 32]), 500))
    }),
];

#[test]
fn people_are_told_once_of_a_certificate_that_ends_and_no_more_when_another_is_shown() {
    let told = |house: &mut House, days: u64| {
        house.now = NOW + days * DAY_MS;
        house.must(Input::Tick);
        let alarms = house.core.alarms().filter(|alarm| alarm.kind == AlarmKind::CertificateEnds);
        let open = alarms.filter(|alarm| alarm.ended_utc_ms.is_none());
        open.map(|alarm| (alarm.text.contains("has ended"), alarm.raised_utc_ms)).collect::<Vec<_>>()
    };
    let mut house = House::founded();
    house.must(house.certified(397));
    assert_eq!(told(&mut house, 336), vec![]);
    let first = vec![(false, NOW + 337 * DAY_MS)];
    assert_eq!(told(&mut house, 337), first);
    // Another that was issued and not shown changes nothing.
    house.must(house.certified(734));
    assert_eq!(told(&mut house, 338), first);
    assert_eq!(told(&mut house, 397), vec![(true, NOW + 397 * DAY_MS)]);
    house.must(house.shown(734));
    assert_eq!(told(&mut house, 398), vec![]);
    assert_eq!(told(&mut house, 674).len(), 1);
    house.carry(Act::RevokeNode { node: house.node(0) });
    assert_eq!(told(&mut house, 700), vec![]);
}

#[test]
fn people_are_told_when_the_authority_is_to_be_followed_by_another() {
    let told = |house: &mut House, days: u64| {
        house.now = NOW + days * DAY_MS;
        house.must(Input::Tick);
        let alarms = house.core.alarms().filter(|alarm| alarm.kind == AlarmKind::CertificateEnds);
        alarms.filter(|alarm| alarm.subject == "transport authority").count()
    };
    let mut house = House::founded();
    assert_eq!((told(&mut house, 3_219), told(&mut house, 3_221), told(&mut house, 3_650)), (0, 1, 1));
}

impl House {
    fn certified(&self, days: u64) -> Input {
        let until_utc_ms = NOW + days * DAY_MS;
        let authority = self.authority();
        Input::Certified { node: self.node(0), certificate: Digest([1; 32]), authority, until_utc_ms }
    }

    fn shown(&self, days: u64) -> Input {
        self.shown_by(self.authority(), days)
    }

    fn authority(&self) -> PublicKey {
        self.core.signing_key(CentreKey::Transport).expect("one issues").0
    }

    fn shown_by(&self, authority: PublicKey, days: u64) -> Input {
        Input::CertificateShown { node: self.node(0), authority, until_utc_ms: NOW + days * DAY_MS }
    }
}
