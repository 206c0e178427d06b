//! Keys: their moves, what wraps them, where they may go.

use super::Case;
use super::house::{
    CUSTODIANS, House, OPERATOR, create, definition, key, material, policy_id, zmk, zone, zpk,
};
use crate::core::action::Act;
use crate::core::campaign::{RotateTarget, Source};
use crate::core::ids::{CampaignId, Digest, Generation, KeySetId, PolicyId, ZoneId};
use crate::core::input::{Input, WrappedFor};
use crate::core::key::{Holders, Origin};
use crate::core::kind::{KeyKind, Shape};
use crate::core::node::Traffic;
use crate::core::policy::DAY_MS;
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
        house.refused(Input::Formed { action, origin: Origin::Components, material: material() })
    }),
    ("a key that was formed twice by one action", "outdated", |house| {
        let custodians = CUSTODIANS.map(|person| house.by(person).person).to_vec();
        let action = house.carry(Act::FormKey { key_set: zmk(), custodians });
        house.must(Input::Formed { action, origin: Origin::Components, material: material() });
        house.refused(Input::Formed { action, origin: Origin::Components, material: material() })
    }),
    ("an import told as a ceremony", "unfit", |house| {
        let action = house.carry_import("A1B2C3");
        house.refused(Input::Formed { action, origin: Origin::Components, material: material() })
    }),
    ("an import with another check value than approved", "value", |house| {
        let action = house.carry_import("FFFFFF");
        house.refused(Input::Formed { action, origin: Origin::Imported, material: material() })
    }),
    ("a key stored under a weaker one", "strength", |house| {
        let custodians = CUSTODIANS.map(|person| house.by(person).person).to_vec();
        let action = house.carry(Act::FormKey { key_set: zmk(), custodians });
        let mut weak = material();
        weak.wrapper_strength_bits = 112;
        house.refused(Input::Formed { action, origin: Origin::Components, material: weak })
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
            house.must(Input::Formed { action, origin: Origin::Components, material: material() });
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
        house.must(Input::RootKek { node: house.node(0), kek: House::kek(2, 128) });
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
    fn carry_import(&mut self, kcv: &str) -> crate::core::ids::ActionId {
        self.exchange_key();
        let Act::ImportKey { key_set, under, block, .. } = import(zpk()) else { unreachable!() };
        self.carry(Act::ImportKey { key_set, under, block, kcv: kcv.into() })
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
    pub fn zone_key(&mut self) -> crate::core::action::KeyRef {
        self.emergency(1);
        key(zpk(), 1)
    }

    pub fn wrapped(&self, n: usize, key: crate::core::action::KeyRef) -> WrappedFor {
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
