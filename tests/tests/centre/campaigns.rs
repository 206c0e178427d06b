//! Campaigns that do not go straight to their end, with running nodes under traffic: paused and resumed, aborted before
//! and after nodes accept, rolled back, and at once in an emergency. Whatever officers decide, no transaction is lost.

use crate::house::Centre;
use crate::nodes::Asking;
use crate::rotation::{enrolled, rotated, wishes};
use crate::traffic::{Traffic, Unit};
use keylink::message::Step;
use keylink::node::NodeState;
use keylink::{CampaignId, Generation};
use keymgr::client::{RotateWishes, ZoneWishes, plan_rotation, plan_zone};
use keymgr::core::action::Act;
use keymgr::core::campaign::{Campaign, Delivery, Mark, Phase};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

struct House {
    centre: Centre,
    asking: Vec<Asking>,
    units: [Unit; 2],
    traffic: Traffic,
}

impl House {
    /// Two nodes in traffic under generation 1.
    async fn begin() -> Self {
        let centre = Centre::begin().await;
        let asking = enrolled(&centre, &["n1", "n2"]).await;
        let wishes = ZoneWishes { base: Some(0), ..wishes("east", &asking) };
        let (_, acts) = plan_zone(&centre.operator, &wishes).await.unwrap();
        centre.ask(&acts).await;
        let units = [Unit::start(&asking[0]).await, Unit::start(&asking[1]).await];
        let plan = plan_rotation(&centre.operator, "east", &RotateWishes::default()).await.unwrap();
        centre.ask(std::slice::from_ref(&plan.act)).await;
        assert_eq!(rotated(&centre.operator, plan.targets[0].campaign).await.phase, Phase::Completed);
        for one in &asking {
            let path = format!("/nodes/{}/traffic", one.enrolment.fingerprints().0);
            let _: Value = centre.operator.post(&path, &json!({ "to": "in_traffic" })).await.unwrap();
        }
        let traffic = Traffic::start(&units);
        traffic.protects(1).await;
        Self { centre, asking, units, traffic }
    }

    async fn rotate(&self, wishes: &RotateWishes) -> CampaignId {
        let plan = plan_rotation(&self.centre.operator, "east", wishes).await.unwrap();
        self.centre.ask(std::slice::from_ref(&plan.act)).await;
        plan.targets[0].campaign
    }

    /// Paused before the gate of its first step can open: one of the nodes is away until then.
    async fn rotate_paused(&mut self) -> CampaignId {
        self.units[1].away();
        let id = self.rotate(&RotateWishes::default()).await;
        self.pause(id).await;
        self.units[1].back(&self.asking[1]).await;
        id
    }

    // One person may: it stops nothing that hosts need.
    async fn pause(&self, id: CampaignId) {
        let path = format!("/campaigns/{id}/pause");
        let _: Value = self.centre.operator.post(&path, &json!({})).await.unwrap();
    }

    async fn reached(&self, id: CampaignId, what: impl Fn(&Campaign) -> bool) -> Campaign {
        let began = Instant::now();
        loop {
            let campaign: Campaign = self.centre.operator.get(&format!("/campaigns/{id}")).await.unwrap();
            if what(&campaign) {
                return campaign;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "{campaign:?}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    async fn marks(&self, id: CampaignId, mark: Mark) -> usize {
        let path = format!("/campaigns/{id}/deliveries");
        let all: Vec<Delivery> = self.centre.operator.all(&path).await.unwrap();
        all.iter().filter(|one| one.marks.contains(&mark)).count()
    }

    // The generations that the nodes hold tokens of, as they have stored it.
    fn held(&self) -> Vec<Vec<u32>> {
        let one = |asking: &Asking| {
            let stored = asking.store.load(asking.enrolment.fingerprints().0).unwrap().unwrap();
            let state: NodeState = serde_json::from_slice(&stored).unwrap();
            let generations = state.key_sets.iter().flat_map(|set| &set.generations);
            generations.filter(|g| g.step < Step::Retire).map(|g| g.generation.0).collect()
        };
        self.asking.iter().map(one).collect()
    }

    async fn hold(&self, generations: &[u32]) {
        let began = Instant::now();
        while self.held().iter().any(|held| held != generations) {
            assert!(began.elapsed() < Duration::from_secs(30), "{:?}", self.held());
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    async fn end(mut self, of: &[u32], not_of: &[u32]) {
        tokio::time::sleep(Duration::from_millis(900)).await;
        let seen = self.traffic.end();
        assert_eq!(seen.wrong, [""; 0]);
        assert!(of.iter().all(|generation| seen.right.get(generation) > Some(&20)), "{seen:?}");
        assert!(not_of.iter().all(|generation| !seen.right.contains_key(generation)), "{seen:?}");
        let export = self.centre.auditor.bytes("/audit/export").await.unwrap();
        self.centre.end().await;
        self.units.into_iter().for_each(Unit::end);
        let options = keymgr::audit::Options { signatures: true, ..Default::default() };
        let report = keymgr::audit::verify_export(&mut export.as_slice(), options).unwrap();
        assert!(report.findings.is_empty(), "{:?}", report.findings);
    }
}

#[tokio::test]
async fn a_paused_campaign_rests_and_goes_on() {
    let mut house = House::begin().await;
    let id = house.rotate_paused().await;
    let proven = |c: &Campaign| c.phase == Phase::Staging && c.counts.all(Mark::Proven);
    house.reached(id, proven).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let still = house.reached(id, |_| true).await;
    assert_eq!((still.phase, still.paused), (Phase::Staging, true));
    house.centre.ask(&[Act::ResumeCampaign { campaign: id }]).await;
    assert_eq!(rotated(&house.centre.operator, id).await.phase, Phase::Completed);
    house.hold(&[2]).await;
    house.end(&[1, 2], &[]).await;
}

#[tokio::test]
async fn an_abort_destroys_the_new_key_and_its_number_is_gone() {
    let mut house = House::begin().await;
    // While it is brought.
    let id = house.rotate_paused().await;
    house.reached(id, |c| c.phase == Phase::Staging && c.counts.all(Mark::Proven)).await;
    house.hold(&[1, 2]).await;
    house.centre.ask(&[Act::AbortCampaign { campaign: id }]).await;
    assert_eq!(rotated(&house.centre.operator, id).await.phase, Phase::Aborted);
    house.hold(&[1]).await;
    // While nodes process with it: one of them is away, so that the others do not go on.
    let id = house.rotate_paused().await;
    house.reached(id, |c| c.counts.all(Mark::Proven)).await;
    house.units[1].away();
    house.centre.ask(&[Act::ResumeCampaign { campaign: id }]).await;
    let accepting = house.reached(id, |c| c.phase == Phase::Accepting).await;
    house.pause(id).await;
    house.units[1].back(&house.asking[1]).await;
    house.reached(id, |c| c.phase == Phase::Accepting && c.counts.all(Mark::Accepting)).await;
    let given_up = accepting.new_generation().0;
    assert!(given_up > 2, "no number is used twice");
    house.centre.ask(&[Act::AbortCampaign { campaign: id }]).await;
    assert_eq!(rotated(&house.centre.operator, id).await.phase, Phase::Aborted);
    assert_eq!(house.marks(id, Mark::Withdrawn).await, 2);
    house.hold(&[1]).await;
    // And the next rotation is as any other.
    let id = house.rotate(&RotateWishes::default()).await;
    let done = rotated(&house.centre.operator, id).await;
    let new = done.new_generation().0;
    assert_eq!(done.phase, Phase::Completed);
    assert!(new > given_up, "no number is used twice");
    house.end(&[1, new], &[2, given_up]).await;
}

#[tokio::test]
async fn after_a_roll_back_the_old_key_protects_and_nothing_is_lost() {
    let house = House::begin().await;
    // Long enough for people to decide.
    let wishes = RotateWishes { overlap_ms: Some(30_000), ..RotateWishes::default() };
    let id = house.rotate(&wishes).await;
    house.reached(id, |c| c.phase == Phase::Overlap).await;
    house.traffic.protects(2).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    let act = [Act::RollBack { campaign: id }];
    house.centre.operator.propose(&act[0]).await.unwrap();
    house.centre.approve_all().await;
    let back = rotated(&house.centre.operator, id).await;
    assert_eq!(back.phase, Phase::RolledBack);
    assert_eq!(house.marks(id, Mark::Returned).await, 2);
    house.traffic.protects(1).await;
    // A roll-back of what has been rolled back means nothing.
    let again = house.centre.operator.propose(&act[0]).await;
    assert!(again.is_err() || house.centre.operator.pending().await.unwrap().len() <= 1);
    house.end(&[1, 2], &[]).await;
}

#[tokio::test]
async fn in_an_emergency_three_officers_change_the_key_at_once() {
    let house = House::begin().await;
    let wishes = RotateWishes { emergency: Some("a component was seen".to_owned()), ..Default::default() };
    let plan = plan_rotation(&house.centre.operator, "east", &wishes).await.unwrap();
    let proposed = house.centre.operator.propose(&plan.act).await.unwrap();
    let id = plan.targets[0].campaign;
    for (count, officer) in house.centre.officers.iter().enumerate() {
        // Two are not enough.
        let begun = house.centre.operator.get::<Campaign>(&format!("/campaigns/{id}")).await;
        assert!(begun.is_err(), "begun after {count} approvals");
        let view =
            officer.pending().await.unwrap().into_iter().find(|view| view.action.id == proposed.action);
        officer.approve(&view.unwrap()).await.unwrap();
    }
    let done = rotated(&house.centre.operator, id).await;
    assert_eq!((done.phase, done.new_generation()), (Phase::Completed, Generation(2)));
    assert_eq!(done.emergency.as_deref(), Some("a component was seen"));
    house.traffic.protects(2).await;
    house.hold(&[2]).await;
    house.end(&[1, 2], &[]).await;
}
