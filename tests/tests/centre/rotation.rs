//! From nothing to a rotation that is done, and through a restart of the manager.

use crate::house::Centre;
use crate::nodes::{self, Asking};
use keylink::message::{EnrolmentToken, KeyKind, Overlap, Shape};
use keymgr::api::NodeView as Node;
use keymgr::client::{
    Client, ClientProblem, RotateWishes, ZoneWishes, plan_reaffirm, plan_rotation, plan_zone, reaffirm,
};
use keymgr::core::action::{Act, KeyRef, Reaffirmed};
use keymgr::core::campaign::{Campaign, Phase};
use keymgr::core::node::{BackendClass, NewNode, Zone};
use serde_json::json;
use std::time::{Duration, Instant};

pub async fn enrolled(centre: &Centre, names: &[&str]) -> Vec<Asking> {
    let body = json!({ "count": names.len() });
    let tokens: Vec<EnrolmentToken> = centre.operator.post("/enrolment-tokens", &body).await.unwrap();
    let mut asking = Vec::new();
    for (token, name) in tokens.iter().zip(names) {
        asking.push(Asking::ask(token, name, centre.folder.path()).await);
    }
    let waiting: Vec<serde_json::Value> = centre.operator.all("/enrolments").await.unwrap();
    assert_eq!(waiting.len(), names.len());
    let list = asking.iter().zip(&waiting).map(|(_, seen)| NewNode {
        key: seen["key"].as_str().unwrap().parse().unwrap(),
        csr: seen["csr"].as_str().unwrap().parse().unwrap(),
        name: seen["name"].as_str().unwrap().to_owned(),
        class: BackendClass::C,
    });
    centre.operator.propose(&Act::EnrolNodes(list.collect())).await.unwrap();
    asking
}

pub fn wishes(alias: &str, asking: &[Asking]) -> ZoneWishes {
    ZoneWishes {
        alias: alias.to_owned(),
        nodes: asking.iter().map(|one| one.enrolment.fingerprints().0).collect(),
        live: false,
        kind: KeyKind::Zpk,
        shape: Shape::Tdes2,
        base: None,
        overlap: Overlap::Time,
        overlap_ms: Some(2_500),
        lead_ms: Some(300),
        exportable: true,
    }
}

pub async fn rotated(client: &Client, id: keylink::CampaignId) -> Campaign {
    let began = Instant::now();
    loop {
        let campaign: Campaign = client.get(&format!("/campaigns/{id}")).await.unwrap();
        if !campaign.phase.is_live() {
            return campaign;
        }
        assert!(began.elapsed() < Duration::from_secs(90), "{campaign:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

pub async fn rotate(centre: &Centre, zone: &str) -> Campaign {
    let plan = plan_rotation(&centre.operator, zone, &RotateWishes::default()).await.unwrap();
    centre.ask(std::slice::from_ref(&plan.act)).await;
    rotated(&centre.operator, plan.targets[0].campaign).await
}

#[tokio::test]
async fn a_zone_is_made_and_its_key_changed_twice() {
    let mut centre = Centre::begin().await;
    let asking = enrolled(&centre, &["n1", "n2"]).await;
    // Zone, policy, members and key set in one round, though each rests on the one before.
    let (_, acts) = plan_zone(&centre.operator, &wishes("east", &asking)).await.unwrap();
    centre.ask(&acts).await;
    let mut sides = Vec::new();
    for one in &asking {
        let identity = one.once().await.unwrap();
        sides.push(nodes::start(&identity, &one.store).await);
    }
    let first = rotate(&centre, "east").await;
    assert_eq!(first.phase, Phase::Completed);
    let nodes: Vec<Node> = centre.operator.all("/nodes").await.unwrap();
    assert!(nodes.iter().all(|node| node.root_kek.is_some()));
    for node in &nodes {
        let path = format!("/nodes/{}/traffic", node.id);
        let _: serde_json::Value = centre.operator.post(&path, &json!({ "to": "in_traffic" })).await.unwrap();
    }
    // Everything is found in the store again.
    centre.end().await;
    centre.again().await;
    let second = rotate(&centre, "east").await;
    assert_eq!((second.phase, second.new_generation().0), (Phase::Completed, 2));
    again(&centre, second.plan.key_set).await;
    let export = centre.auditor.bytes("/audit/export").await.unwrap();
    centre.end().await;
    sides.iter().for_each(|side| side.abort());
    let options = keymgr::audit::Options { signatures: true, ..Default::default() };
    let report = keymgr::audit::verify_export(&mut export.as_slice(), options).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

// All that holds about the zone and its keys is approved again, and only that.
async fn again(centre: &Centre, key_set: keylink::KeySetId) {
    let zones: Vec<Zone> = centre.operator.all("/zones").await.unwrap();
    let plan = plan_reaffirm(&centre.operator, &zones[0]).await.unwrap();
    let asked = reaffirm(&centre.operator, &plan).await.unwrap();
    let named = |generation| KeyRef { key_set, generation: keylink::Generation(generation) };
    let asked: Vec<_> = asked.into_iter().map(|(what, _)| what).collect();
    // The first key was ended by its campaign, by no act of its own.
    let wanted = [Reaffirmed::Zone(zones[0].id), Reaffirmed::KeySet(key_set), Reaffirmed::Key(named(2))];
    assert_eq!(asked, wanted);
    centre.approve_all().await;
    let never = centre.operator.propose(&Act::Reaffirm(Reaffirmed::RollBack(named(2)))).await.unwrap_err();
    assert!(matches!(never, ClientProblem::Refused(problem) if problem.code == "unfit"));
}
