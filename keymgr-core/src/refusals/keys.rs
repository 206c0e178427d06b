//! Keys: their moves, what wraps them, where they may go.

use super::Case;
use super::house::{
    AUDITOR, CUSTODIANS, House, OPERATOR, create, definition, key, material, policy_id, zmk, zone, zpk,
};
use crate::action::Act;
use crate::alarm::AlarmKind;
use crate::campaign::{RotateTarget, Source};
use crate::centre::Limits;
use crate::ids::{CampaignId, Digest, Generation, KeySetId, PolicyId, ZoneId};
use crate::input::{Input, WrappedFor};
use crate::key::{Holders, Origin};
use crate::kind::{KeyKind, Shape};
use crate::lifecycle::KeyState;
use crate::node::Traffic;
use crate::policy::{DAY_MS, SPAN_MAX_MS};
use crate::root_kek::KekTarget;
use crate::table::Record;
use keylink::message::Scope;
use keylink::wire::U64;
use std::collections::BTreeSet;

pub const CASES: &[Case] = &[
    // ---- key sets ----
    ("a key set of a kind that its policy is not for", "unfit", |house| {
        let other = definition(set(9), KeyKind::Zpk, Shape::Tdes3, 9);
        house.unproposed(create(other, PolicyId::new(2, [1; 10]), Holders::Members))
    }),
    ("a wrapping key set of double length", "unfit", |house| {
        let short = definition(set(9), KeyKind::Zmk, Shape::Tdes2, 9);
        house.unproposed(create(short, PolicyId::new(2, [1; 10]), Holders::Centre))
    }),
    ("an index of another key set", "unfit", |house| {
        let mut other = definition(set(9), KeyKind::Zpk, Shape::Tdes3, 1);
        other.name = "other".into();
        house.unproposed(create(other, policy_id(), Holders::Members))
    }),
    ("a live key set in a test zone", "test_and_live", |house| {
        let Act::CreateKeySet { definition, exportable, policy, holders, .. } =
            create(definition(set(9), KeyKind::Zpk, Shape::Tdes3, 9), policy_id(), Holders::Members)
        else {
            unreachable!()
        };
        house.unproposed(Act::CreateKeySet { definition, exportable, live: true, policy, holders })
    }),
    ("a key set under a name that would be read as a key", "value", |house| {
        let mut other = definition(set(9), KeyKind::Zpk, Shape::Tdes3, 9);
        other.name = "set 1/1".into();
        house.unproposed(create(other, policy_id(), Holders::Members))
    }),
    ("a key set under a name that is taken", "exists", |house| {
        let mut same = definition(set(9), KeyKind::Zpk, Shape::Tdes3, 9);
        same.name = "set 1".into();
        house.unproposed(create(same, policy_id(), Holders::Members))
    }),
    // ---- forming, importing, exporting ----
    ("one custodian for all components", "value", |house| {
        let custodian = house.by(CUSTODIANS[0]).person;
        house.unproposed(Act::FormKey { key_set: zmk(), custodians: vec![custodian; 2] })
    }),
    ("an officer who enters a component", "separation", |house| {
        let custodians = vec![house.by(0).person, house.by(CUSTODIANS[0]).person];
        house.unproposed(Act::FormKey { key_set: zmk(), custodians })
    }),
    ("a key that was formed without approval", "outdated", |house| {
        let custodians = CUSTODIANS.map(|person| house.by(person).person).to_vec();
        let (action, ..) = house.propose(Act::FormKey { key_set: zmk(), custodians }).expect("asked");
        house.refused(house.formed(action, Origin::Components, material()))
    }),
    ("a key that was formed twice by one action", "outdated", |house| {
        let custodians = CUSTODIANS.map(|person| house.by(person).person).to_vec();
        let action = house.carry(Act::FormKey { key_set: zmk(), custodians });
        house.must(house.formed(action, Origin::Components, material()));
        house.refused(house.formed(action, Origin::Components, material()))
    }),
    ("a key that was sealed for a number that is taken", "not_next", |house| {
        let custodians = CUSTODIANS.map(|person| house.by(person).person).to_vec();
        let actions =
            [(); 2].map(|()| house.carry(Act::FormKey { key_set: zmk(), custodians: custodians.clone() }));
        // Both are sealed before either is told.
        let told = actions.map(|action| house.formed(action, Origin::Components, material()));
        let [first, second] = told;
        house.must(first);
        house.refused(second)
    }),
    ("a key formed by a custodian", "forbidden", |house| {
        let custodians = CUSTODIANS.map(|person| house.by(person).person).to_vec();
        let action = house.carry(Act::FormKey { key_set: zmk(), custodians });
        let Input::Formed { key, .. } = house.formed(action, Origin::Components, material()) else {
            unreachable!()
        };
        house.refused(Input::Formed { by: house.by(CUSTODIANS[0]), key })
    }),
    ("a key exported by an auditor", "forbidden", |house| {
        let action = house.carry_import("A1B2C3");
        let (block, kcv) = ("D".to_owned(), "A1B2C3".to_owned());
        house.refused(Input::Exported { by: house.by(AUDITOR), action, block, kcv })
    }),
    ("an import told as an export", "unfit", |house| {
        let action = house.carry_import("A1B2C3");
        let (block, kcv) = ("D".to_owned(), "A1B2C3".to_owned());
        house.refused(Input::Exported { by: house.by(OPERATOR), action, block, kcv })
    }),
    ("a component entered by another custodian", "forbidden", |house| {
        let ceremony = house.ceremony();
        house.refused(house.component(ceremony, CUSTODIANS[1], 1, |_| ()))
    }),
    ("a component signed with another person's key", "forbidden", |house| {
        let (ceremony, credential) = (house.ceremony(), house.by(CUSTODIANS[1]).credential);
        house.refused(house.component(ceremony, CUSTODIANS[0], 1, |said| said.credential = credential))
    }),
    ("a component for another centre", "unfit", |house| {
        let ceremony = house.ceremony();
        house.refused(house.component(ceremony, CUSTODIANS[0], 1, |said| said.kmc.0[0] ^= 1))
    }),
    ("a component for an import", "unfit", |house| {
        let action = house.carry_import("A1B2C3");
        house.refused(house.component(action, CUSTODIANS[0], 1, |_| ()))
    }),
    ("a component after the ceremony", "outdated", |house| {
        let ceremony = house.ceremony();
        house.must(house.component(ceremony, CUSTODIANS[0], 1, |_| ()));
        house.must(house.formed(ceremony, Origin::Components, material()));
        house.refused(house.component(ceremony, CUSTODIANS[0], 1, |_| ()))
    }),
    ("an import told as a ceremony", "unfit", |house| {
        let action = house.carry_import("A1B2C3");
        house.refused(house.formed(action, Origin::Components, material()))
    }),
    ("an import with another check value than approved", "value", |house| {
        let action = house.carry_import("FFFFFF");
        house.refused(house.formed(action, Origin::Imported, material()))
    }),
    ("a key stored under a weaker one", "strength", |house| {
        let custodians = CUSTODIANS.map(|person| house.by(person).person).to_vec();
        let action = house.carry(Act::FormKey { key_set: zmk(), custodians });
        let mut weak = material();
        weak.wrapper_strength_bits = 112;
        house.refused(house.formed(action, Origin::Components, weak))
    }),
    ("an import under a key that is weaker", "strength", |house| {
        house.exchange_key();
        house.carry(create(
            definition(set(9), KeyKind::Zpk, Shape::Aes256, 9),
            policy_id(),
            Holders::Members,
        ));
        house.unproposed(import(set(9)))
    }),
    ("an import of a test key into a live zone", "test_and_live", |house| {
        house.exchange_key();
        let live_zone = ZoneId::new(9, [9; 10]);
        house.carry(Act::CreateZone { id: live_zone, alias: "live".into(), live: true });
        let mut definition = definition(set(9), KeyKind::Zpk, Shape::Tdes3, 9);
        definition.scope = Scope::Zone(live_zone);
        let holders = Holders::Members;
        let policy = policy_id();
        house.carry(Act::CreateKeySet { definition, exportable: false, live: true, policy, holders });
        house.unproposed(import(set(9)))
    }),
    ("a key exported that may not leave", "not_exportable", |house| {
        let under = house.exchange_key();
        let key = house.zone_key();
        house.unproposed(Act::ExportKey { key, under })
    }),
    ("a key exported under itself", "not_exportable", |house| {
        let under = house.exchange_key();
        house.unproposed(Act::ExportKey { key: under, under })
    }),
    ("a key exported under one that wraps nothing", "unfit", |house| {
        let key = house.zone_key();
        house.unproposed(Act::ExportKey { key, under: key })
    }),
    ("a key exported under a wrapping key that is not in use", "unfit", |house| {
        let under = house.exchange_key();
        let key = house.zone_key();
        house.carry(Act::RevokeKey { key: under, reason: "seen".into() });
        house.unproposed(Act::ExportKey { key, under })
    }),
    // ---- moves ----
    ("an active key resumed", "illegal_move", |house| {
        let key = house.exchange_key();
        house.unproposed(Act::ResumeKey(key))
    }),
    ("a deactivated key activated", "illegal_move", |house| {
        let key = house.exchange_key();
        house.carry(Act::SuspendKey(key));
        house.carry(Act::DeactivateKey(key));
        house.unproposed(Act::ActivateKey(key))
    }),
    ("a key suspended that does not protect", "unfit", |house| {
        house.exchange_key();
        house.unproposed(Act::SuspendKey(key(zmk(), 2)))
    }),
    ("a key of nodes activated at the centre", "unfit", |house| {
        let key = house.zone_key();
        house.unproposed(Act::ActivateKey(key))
    }),
    ("a protecting key destroyed", "in_use", |house| {
        let key = house.exchange_key();
        house.unproposed(Act::DestroyKey(key))
    }),
    ("a protecting key deactivated", "in_use", |house| {
        let key = house.exchange_key();
        house.unproposed(Act::DeactivateKey(key))
    }),
    ("a second destroy hold", "value", |house| {
        let key = house.exchange_key();
        house.carry(Act::RevokeKey { key, reason: "seen".into() });
        house.carry(Act::DestroyKey(key));
        house.unproposed(Act::DestroyKey(key))
    }),
    ("a hold ended that does not run", "value", |house| {
        let key = house.exchange_key();
        house.unproposed(Act::KeepKey(key))
    }),
    ("a key in use archived", "value", |house| {
        let key = house.exchange_key();
        house.unproposed(Act::ArchiveKey(key))
    }),
    ("a period extended after its end", "value", |house| {
        let key = house.exchange_key();
        house.now += 400 * DAY_MS;
        house.unproposed(Act::ExtendKey { key, until: U64(house.now + DAY_MS) })
    }),
    ("a period extended to an earlier end", "value", |house| {
        let key = house.exchange_key();
        house.unproposed(Act::ExtendKey { key, until: U64(house.now) })
    }),
    // ---- campaigns ----
    ("a plan with a deadline that is never", "value", |house| {
        let mut plan = house.plan(1);
        plan.deadline = U64(u64::MAX);
        house.unproposed(Act::Rotate(vec![plan]))
    }),
    ("a plan whose overlap never ends", "value", |house| {
        let mut plan = house.plan(1);
        plan.overlap_ms = U64(SPAN_MAX_MS + 1);
        house.unproposed(Act::Rotate(vec![plan]))
    }),
    ("a plan at once whose overlap never ends", "value", |house| {
        let mut plan = house.plan(1);
        plan.overlap_ms = U64(u64::MAX);
        house.unproposed(Act::RotateAtOnce { targets: vec![plan], reason: "seen".into() })
    }),
    ("a plan that protects in the far future", "value", |house| {
        let mut plan = house.plan(1);
        plan.protect_not_before = U64(house.now + SPAN_MAX_MS + 1);
        house.unproposed(Act::Rotate(vec![plan]))
    }),
    ("a policy under which keys are never destroyed", "policy", |house| {
        let mut policy = house.policy(PolicyId::new(9, [9; 10]), KeyKind::Zpk);
        policy.destroy_hold_ms = u64::MAX;
        house.unproposed(Act::DefinePolicy(policy))
    }),
    ("a period extended for ever", "value", |house| {
        let key = house.exchange_key();
        house.unproposed(Act::ExtendKey { key, until: U64(u64::MAX) })
    }),
    ("a second campaign of a key set", "campaign_lives", |house| {
        house.begin(1);
        house.unproposed(Act::Rotate(vec![house.plan(2)]))
    }),
    ("a ceremony for a key set in a campaign", "campaign_lives", |house| {
        house.begin(1);
        let custodians = CUSTODIANS.map(|person| house.by(person).person).to_vec();
        house.unproposed(Act::FormKey { key_set: zpk(), custodians })
    }),
    ("members changed during a campaign", "zone_locked", |house| {
        house.begin(1);
        house.unproposed(Act::AddMembers { zone: zone(), nodes: [house.node(2)].into() })
    }),
    ("a plan with another number", "outdated", |house| {
        let mut plan = house.plan(1);
        plan.generation = Generation(7);
        house.unproposed(Act::Rotate(vec![plan]))
    }),
    ("a plan for other members", "outdated", |house| {
        let mut plan = house.plan(1);
        plan.members = 3;
        house.unproposed(Act::Rotate(vec![plan]))
    }),
    ("a plan whose deadline has passed", "value", |house| {
        let mut plan = house.plan(1);
        plan.deadline = U64(house.now);
        house.unproposed(Act::Rotate(vec![plan]))
    }),
    ("an overlap shorter than clocks may differ", "value", |house| {
        let mut plan = house.plan(1);
        plan.overlap_ms = U64(1);
        house.unproposed(Act::Rotate(vec![plan]))
    }),
    ("a rotation of nothing", "value", |house| house.unproposed(Act::Rotate(vec![]))),
    ("a rotation of the centre's own keys", "unfit", |house| {
        let mut plan = house.plan(1);
        plan.key_set = zmk();
        house.unproposed(Act::Rotate(vec![plan]))
    }),
    ("a node in traffic as an exception", "in_traffic", |house| {
        let mut plan = house.plan(1);
        plan.excepted = [house.node(0)].into();
        house.unproposed(Act::Rotate(vec![plan]))
    }),
    ("a node in traffic excepted later", "in_traffic", |house| {
        let campaign = house.begin(1);
        house.unproposed(Act::ExceptNodes { campaign, nodes: [house.node(0)].into() })
    }),
    ("a node that says it serves as an exception, whatever was declared", "in_traffic", |house| {
        house.says_it_serves_and_is_declared(Traffic::Offline);
        let mut plan = house.plan(1);
        plan.excepted = [house.node(0)].into();
        house.unproposed(Act::Rotate(vec![plan]))
    }),
    ("a node that says it serves excepted later", "in_traffic", |house| {
        let campaign = house.begin(1);
        house.says_it_serves_and_is_declared(Traffic::Drained);
        house.unproposed(Act::ExceptNodes { campaign, nodes: [house.node(0)].into() })
    }),
    ("a stranger as an exception", "unknown", |house| {
        let mut plan = house.plan(1);
        plan.excepted = [house.node(2)].into();
        house.unproposed(Act::Rotate(vec![plan]))
    }),
    ("a gate that waits for nobody", "unfit", |house| {
        for n in 0..2 {
            let (by, node) = (house.by(OPERATOR), house.node(n));
            house.must(Input::Traffic { by, node, to: Traffic::Drained });
        }
        let mut plan = house.plan(1);
        plan.excepted = [house.node(0), house.node(1)].into();
        house.unproposed(Act::Rotate(vec![plan]))
    }),
    ("a campaign resumed that is not paused", "phase", |house| {
        let campaign = house.begin(1);
        house.unproposed(Act::ResumeCampaign { campaign })
    }),
    ("a roll-back before anything was switched", "phase", |house| {
        let campaign = house.begin(1);
        house.unproposed(Act::RollBack { campaign })
    }),
    ("a key made for a campaign that has one", "phase", |house| {
        let campaign = house.begin(1);
        house.must(Input::Generated { campaign, material: material() });
        house.refused(Input::Generated { campaign, material: material() })
    }),
    ("an abort after nodes were told to protect", "phase", |house| {
        house.zone_key();
        let campaign = house.emergency(2);
        house.unproposed(Act::AbortCampaign { campaign })
    }),
    ("a number as odd as that of the key that protects", "unfit", |house| {
        let custodians = CUSTODIANS.map(|person| house.by(person).person).to_vec();
        for _ in 0..3 {
            let action = house.carry(Act::FormKey { key_set: zpk(), custodians: custodians.clone() });
            house.must(house.formed(action, Origin::Components, material()));
        }
        let plan = |house: &House, number: u8, generation| RotateTarget {
            generation: Generation(generation),
            source: Source::Existing,
            ..house.plan(number)
        };
        let first = plan(house, 1, 1);
        house.carry(Act::RotateAtOnce { targets: vec![first.clone()], reason: "first".into() });
        house.end(first.campaign);
        let third = plan(house, 2, 3);
        house.unproposed(Act::Rotate(vec![third]))
    }),
    // ---- keys on their way ----
    ("a key for a node outside of its zone", "not_member", |house| {
        let key = house.zone_key();
        house.refused(Input::Wrapped(vec![house.wrapped(2, key)]))
    }),
    ("a key under a root KEK that is weaker", "strength", |house| {
        house.carry(create(
            definition(set(9), KeyKind::Zpk, Shape::Aes256, 9),
            policy_id(),
            Holders::Members,
        ));
        let target = KekTarget { node: house.node(0), number: 2 };
        house.carry(Act::RekeyNodes(vec![target]));
        house.rekeyed(0, House::kek(2, 128));
        let mut plan = house.plan(1);
        plan.key_set = set(9);
        house.carry(Act::RotateAtOnce { targets: vec![plan.clone()], reason: "first".into() });
        house.must(Input::Generated { campaign: plan.campaign, material: material() });
        let mut copy = house.wrapped(0, key(set(9), 1));
        copy.root_kek = 2;
        house.refused(Input::Wrapped(vec![copy]))
    }),
    ("a key under a root KEK that is not the node's", "outdated", |house| {
        let key = house.zone_key();
        let mut copy = house.wrapped(0, key);
        copy.root_kek = 9;
        house.refused(Input::Wrapped(vec![copy]))
    }),
    ("a key under a root KEK that is being changed", "outdated", |house| {
        let key = house.zone_key();
        house.must(Input::Wrapped(vec![house.wrapped(0, key)]));
        let target = KekTarget { node: house.node(0), number: 2 };
        house.carry(Act::RekeyNodes(vec![target]));
        house.agreed(0, House::kek(2, 256));
        house.refused(Input::Wrapped(vec![house.wrapped(0, key)]))
    }),
    ("a key wrapped twice for a node", "exists", |house| {
        let key = house.zone_key();
        house.must(Input::Wrapped(vec![house.wrapped(0, key)]));
        house.refused(Input::Wrapped(vec![house.wrapped(0, key)]))
    }),
    ("a key wrapped that is out of use", "outdated", |house| {
        let key = house.zone_key();
        house.carry(Act::RevokeKey { key, reason: "seen".into() });
        house.refused(Input::Wrapped(vec![house.wrapped(0, key)]))
    }),
];

fn set(number: u8) -> KeySetId {
    KeySetId::new(1, [number; 10])
}

fn import(key_set: KeySetId) -> Act {
    Act::ImportKey { key_set, under: key(zmk(), 1), block: Digest::default(), kcv: "A1B2C3".into() }
}

impl House {
    fn ceremony(&mut self) -> crate::ids::ActionId {
        let custodians = CUSTODIANS.map(|person| self.by(person).person).to_vec();
        self.carry(Act::FormKey { key_set: zmk(), custodians })
    }

    fn carry_import(&mut self, kcv: &str) -> crate::ids::ActionId {
        self.exchange_key();
        let Act::ImportKey { key_set, under, block, .. } = import(zpk()) else { unreachable!() };
        self.carry(Act::ImportKey { key_set, under, block, kcv: kcv.into() })
    }

    fn says_it_serves_and_is_declared(&mut self, to: Traffic) {
        self.serves(0);
        let (by, node) = (self.by(OPERATOR), self.node(0));
        self.must(Input::Traffic { by, node, to });
    }

    /// The plan of a rotation of the zone's key.
    pub fn plan(&self, number: u8) -> RotateTarget {
        let state = self.core.state();
        RotateTarget {
            campaign: super::house::campaign(number),
            key_set: zpk(),
            generation: state.key_set(&zpk()).map_or(Generation(1), |set| set.next_generation),
            source: Source::Generate,
            members: state.zone(&zone()).map_or(0, |zone| zone.members),
            excepted: BTreeSet::new(),
            protect_not_before: U64(0),
            overlap_ms: U64(3_600_000),
            deadline: U64(self.now + DAY_MS),
        }
    }

    /// A planned rotation that waits for its key.
    pub fn begin(&mut self, number: u8) -> CampaignId {
        let plan = self.plan(number);
        self.carry(Act::Rotate(vec![plan.clone()]));
        plan.campaign
    }

    /// A rotation that waits for nobody: nodes are told to protect at once.
    pub fn emergency(&mut self, number: u8) -> CampaignId {
        let plan = self.plan(number);
        if let Some(before) = self.core.state().key_set(&zpk()).and_then(|set| set.live_campaign) {
            self.end(before);
        }
        self.carry(Act::RotateAtOnce { targets: vec![plan.clone()], reason: "seen".into() });
        self.must(Input::Generated { campaign: plan.campaign, material: material() });
        plan.campaign
    }

    /// Nobody answers; in an emergency nobody is waited for.
    pub fn end(&mut self, campaign: CampaignId) {
        for _ in 0..4 {
            self.now += 3_700_000;
            self.must(Input::Tick);
        }
        assert!(self.core.campaign(&campaign).is_some_and(|campaign| !campaign.phase.is_live()));
        for n in 0..2 {
            self.carry(Act::ResumeNode { node: self.node(n) });
            let (by, node) = (self.by(OPERATOR), self.node(n));
            self.must(Input::Traffic { by, node, to: Traffic::Drained });
        }
    }

    /// The zone has a key, and nobody holds it yet.
    pub fn zone_key(&mut self) -> crate::action::KeyRef {
        self.emergency(1);
        key(zpk(), 1)
    }

    pub fn wrapped(&self, n: usize, key: crate::action::KeyRef) -> WrappedFor {
        WrappedFor { node: self.node(n), key, block: "B".into(), throw_away: None, root_kek: 1 }
    }
}

/// After an abort the next number would be as odd as that of the key that protects: a fixed index would mean either.
#[test]
fn a_number_that_hosts_could_not_tell_from_the_present_one_is_passed_over() {
    let mut house = House::founded();
    house.zone_key();
    house.end(super::house::campaign(1));
    let campaign = house.begin(2);
    house.carry(Act::AbortCampaign { campaign });
    let state = house.core.state();
    let next = state.key_set(&zpk()).map(|set| set.next_generation);
    assert_eq!(next, Some(Generation(4)));
    for number in [2, 3] {
        let row = state.key(&key(zpk(), number)).expect("a missing number has a row");
        assert!(row.aborted && row.material.is_none());
    }
    house.begin(3);
}

/// A hold of a policy from before there were bounds, longer than time itself: the key waits, and is not destroyed at once.
#[test]
fn a_hold_without_end_does_not_end_at_the_next_tick() {
    let mut house = House::founded();
    let lost = house.exchange_key();
    let custodians = CUSTODIANS.map(|person| house.by(person).person).to_vec();
    let action = house.carry(Act::FormKey { key_set: zmk(), custodians });
    house.must(house.formed(action, Origin::Components, material()));
    house.carry(Act::ActivateKey(key(zmk(), 2)));
    house.carry(Act::DeactivateKey(lost));
    let mut policy = house.policy(PolicyId::new(2, [1; 10]), KeyKind::Zmk);
    (policy.destroy_hold_ms, policy.originator_period_ms) = (u64::MAX, u64::MAX);
    house.core.absorb(Record::Policy(Box::new(policy)));
    house.carry(Act::DestroyKey(lost));
    house.now += 1_000;
    house.must(Input::Tick);
    let record = house.core.key(&lost).expect("a key");
    assert_eq!((record.state(), record.destroy_hold_until), (KeyState::Deactivated, Some(u64::MAX)));
    let action = house
        .carry(Act::FormKey { key_set: zmk(), custodians: CUSTODIANS.map(|p| house.by(p).person).to_vec() });
    house.must(house.formed(action, Origin::Components, material()));
    house.carry(Act::ActivateKey(key(zmk(), 3)));
    let windows = &house.core.key(&key(zmk(), 3)).expect("a key").windows;
    assert_eq!(windows.originator_until, Some(u64::MAX), "not a period that ended before it began");
}

fn stands(house: &House, kind: AlarmKind) -> bool {
    house.core.alarms().any(|alarm| alarm.kind == kind && alarm.ended_utc_ms.is_none())
}

/// A period of thirty days: no warning at its begin, one in its last week, none when the next key protects.
#[test]
fn a_warning_comes_late_in_a_period_and_ends_with_the_key_that_it_is_about() {
    for (days, expired) in [(24, false), (31, true)] {
        let mut house = House::founded();
        house.zone_key();
        house.end(super::house::campaign(1));
        house.must(Input::Tick);
        assert!(!stands(&house, AlarmKind::KeyExpires), "a key that is new is not about to end");
        house.now += days * DAY_MS;
        house.must(Input::Tick);
        assert_eq!(
            (stands(&house, AlarmKind::KeyExpires), stands(&house, AlarmKind::KeyExpired)),
            (!expired, expired)
        );
        house.emergency(2);
        house.must(Input::Tick);
        assert!(!stands(&house, AlarmKind::KeyExpires) && !stands(&house, AlarmKind::KeyExpired));
    }
}

#[test]
fn a_warning_ends_when_the_period_is_made_longer() {
    let mut house = House::founded();
    let key = house.zone_key();
    house.end(super::house::campaign(1));
    house.now += 24 * DAY_MS;
    house.must(Input::Tick);
    assert!(stands(&house, AlarmKind::KeyExpires));
    house.carry(Act::ExtendKey { key, until: U64(house.now + 60 * DAY_MS) });
    assert!(!stands(&house, AlarmKind::KeyExpires));
    house.now += 55 * DAY_MS;
    house.must(Input::Tick);
    assert!(stands(&house, AlarmKind::KeyExpires), "it is warned about anew");
}

#[test]
fn an_extension_takes_nothing_from_the_time_in_which_a_key_is_processed() {
    let mut house = House::founded();
    let key = house.zone_key();
    house.end(super::house::campaign(1));
    let windows = |house: &House| house.core.key(&key).expect("there").windows;
    let before = windows(&house);
    let (until, told) = (before.originator_until.expect("told"), before.recipient_until.expect("told"));
    house.core.state.keys.get_mut(&key).expect("there").windows.recipient_until = Some(told + 6 * DAY_MS);
    house.carry(Act::ExtendKey { key, until: U64(until + DAY_MS) });
    assert_eq!(windows(&house).recipient_until, Some(told + 6 * DAY_MS));
    house.carry(Act::ExtendKey { key, until: U64(until + 20 * DAY_MS) });
    assert_eq!(windows(&house).recipient_until, Some(told + 20 * DAY_MS));
}

/// A key whose period is over protects until another one follows: a node that lost it is shown the right to bring it.
#[test]
fn what_is_approved_again_of_a_key_that_is_kept_in_its_place() {
    use crate::action::Reaffirmed;
    use keylink::action::Grant;
    let mut house = House::founded();
    let key = house.zone_key();
    house.end(super::house::campaign(1));
    let grants = |house: &mut House| {
        let asked = house.propose(Act::Reaffirm(Reaffirmed::Key(key))).ok()?.0;
        Some(house.core.state().action(&asked).expect("there").grants.clone())
    };
    let brings = |grants: Option<Vec<Grant>>| {
        let brought = |grant: &Grant| matches!(grant, Grant::Generation { generation, .. } if *generation == key.generation);
        grants.is_some_and(|grants| grants.iter().any(brought))
    };
    assert!(brings(grants(&mut house)));
    let now = house.now;
    let record = house.core.state.keys.get_mut(&key).expect("a key");
    record.apply(crate::lifecycle::Transition::T8, now).expect("legal");
    assert!(brings(grants(&mut house)), "it still protects");
    house.core.state.keys.get_mut(&key).expect("a key").suspect = Some("seen".into());
    assert!(!brings(grants(&mut house)), "others know it");
    house.core.state.keys.get_mut(&key).expect("a key").suspect = None;
    house.core.state.key_sets.get_mut(&zpk()).expect("a set").protecting = None;
    assert!(!brings(grants(&mut house)), "another one follows");
}

/// A key is processed for a while after it has protected, never shorter than the overlap; one that others may know is not.
#[test]
fn a_key_is_processed_for_longer_than_it_protects() {
    let mut house = House::founded();
    let first = house.zone_key();
    house.end(super::house::campaign(1));
    let windows = |house: &House, key| house.core.key(&key).expect("a key").windows;
    let extra = {
        let set = house.core.key_set(&zpk()).expect("a set").policy;
        house.core.state().policy(&set).expect("a policy").extra_ms()
    };
    let before = windows(&house, first);
    assert_eq!(before.recipient_until, before.originator_until.map(|until| until + extra));
    assert!(extra >= DAY_MS);
    let until = house.now + 60 * DAY_MS;
    house.carry(Act::ExtendKey { key: first, until: U64(until) });
    assert_eq!(windows(&house, first).recipient_until, Some(until + extra));
    house.emergency(2);
    house.must(Input::Tick);
    let (old, new) = (windows(&house, first), windows(&house, key(zpk(), 2)));
    assert!(old.recipient_until.is_none_or(|until| until <= house.now));
    assert_eq!(new.recipient_until, new.originator_until.map(|until| until + extra));
}

/// What a preview says is what is asked for and refused: one meaning of what a gate waits for.
#[test]
fn a_preview_names_what_the_gate_waits_for() {
    let mut house = House::founded();
    let gated = |house: &House, emergency| -> (Vec<bool>, Vec<bool>, usize) {
        let seen =
            house.core.preview(campaign_of_nobody(), &zpk(), house.now, emergency, house.now).expect("seen");
        let waited = seen.nodes.iter().map(|node| node.gated).collect();
        let may = seen.nodes.iter().map(|node| node.may_be_excepted).collect();
        let left = seen.nodes.iter().filter(|node| !node.gated && !emergency).map(|node| node.node).collect();
        assert_eq!(seen.plan.excepted, left);
        (waited, may, seen.quorum.persons())
    };
    let at = |house: &House, n| {
        let mut ids = [house.node(0), house.node(1)];
        ids.sort_unstable();
        usize::from(ids[1] == house.node(n))
    };
    let (first, second) = (at(&house, 0), at(&house, 1));
    assert_eq!(gated(&house, false), (vec![true, true], vec![false, false], 2));
    let declare = |house: &mut House, to| {
        let (by, node) = (house.by(OPERATOR), house.node(0));
        house.must(Input::Traffic { by, node, to });
    };
    // Drained: waited for unless it is named, and it may be.
    declare(&mut house, Traffic::Drained);
    let (waited, may, _) = gated(&house, false);
    assert!(waited[first] && waited[second] && may[first] && !may[second]);
    // Switched off: named without being asked for.
    declare(&mut house, Traffic::Offline);
    let (waited, may, _) = gated(&house, false);
    assert!(!waited[first] && waited[second] && may[first]);
    // It says something else itself, until it has been silent for long.
    house.says_it_serves_and_is_declared(Traffic::Offline);
    let (waited, may, _) = gated(&house, false);
    assert!(waited[first] && !may[first]);
    house.now += Limits::default().silent_after_ms + 1;
    let (waited, may, _) = gated(&house, false);
    assert!(!waited[first] && may[first]);
    // An emergency waits for nobody, and takes three.
    assert_eq!(gated(&house, true).0, [false, false]);
    assert_eq!(gated(&house, true).2, 3);
}

fn campaign_of_nobody() -> CampaignId {
    CampaignId::default()
}
