//! Keys of terminals, TMK and TPK, through two campaigns each at two nodes: all four receipts, and hosts that use the
//! newest by the base index. What they get is opened by a model that shares nothing with the server.

use crate::house::Centre;
use crate::nodes::Asking;
use crate::rotation::{enrolled, rotated, wishes};
use crate::traffic::{ACCOUNT, KEY, Unit, ask};
use hsm::LmkId;
use keylink::CampaignId;
use keylink::message::{KeyKind, Shape};
use keylink::node::NodeState;
use keymgr::client::{RotateWishes, ZoneWishes, plan_rotation, plan_zone};
use keymgr::core::campaign::{Delivery, Mark, Phase};
use std::net::TcpStream;
use tests::model::{open_tr31, open_variant, tdes_ecb};

/// Zone, kind, shape, base index; a TMK wraps keys and is never of double length.
const ZONES: [(&str, KeyKind, Shape, u16); 2] =
    [("masters", KeyKind::Tmk, Shape::Tdes3, 0), ("pins", KeyKind::Tpk, Shape::Tdes2, 3)];

// All zones at once.
async fn rotate(centre: &Centre) -> Vec<CampaignId> {
    let (mut acts, mut ids) = (Vec::new(), Vec::new());
    for (zone, ..) in ZONES {
        let plan = plan_rotation(&centre.operator, zone, &RotateWishes::default()).await.unwrap();
        ids.push(plan.targets[0].campaign);
        acts.push(plan.act);
    }
    centre.ask(&acts).await;
    for id in &ids {
        assert_eq!(rotated(&centre.operator, *id).await.phase, Phase::Completed);
    }
    ids
}

// The clear key that a node protects with, from its own store, under the public test LMK.
fn protecting(asking: &Asking, kind: KeyKind, generation: u32) -> Vec<u8> {
    let stored = asking.store.load(asking.enrolment.fingerprints().0).unwrap().unwrap();
    let state: NodeState = serde_json::from_slice(&stored).unwrap();
    let set = state.key_sets.iter().find(|set| set.definition.kind == kind).unwrap();
    let key = set.generations.iter().find(|key| key.generation.0 == generation).unwrap();
    open_variant("002", &key.token).unwrap()
}

#[tokio::test]
async fn keys_of_terminals_are_changed_and_used() {
    let mut centre = Centre::begin().await;
    let asking = enrolled(&centre, &["n1", "n2"]).await;
    for (zone, kind, shape, base) in ZONES {
        let wishes = ZoneWishes { kind, shape, base: Some(base), ..wishes(zone, &asking) };
        let (_, acts) = plan_zone(&centre.operator, &wishes).await.unwrap();
        centre.ask(&acts).await;
    }
    let units = [Unit::start(&asking[0]).await, Unit::start(&asking[1]).await];
    rotate(&centre).await;
    for id in rotate(&centre).await {
        let path = format!("/campaigns/{id}/deliveries");
        let deliveries: Vec<Delivery> = centre.operator.all(&path).await.unwrap();
        assert_eq!(deliveries.len(), 2);
        for one in deliveries {
            let four = [Mark::Proven, Mark::Accepting, Mark::Activated, Mark::Retired];
            assert!(four.iter().all(|mark| one.marks.contains(mark)), "{one:?}");
        }
    }
    for (unit, asking) in units.iter().zip(&asking) {
        let mut stream = TcpStream::connect(unit.running.address(LmkId(0)).unwrap()).unwrap();
        // A terminal's new TPK, as a TR-31 block under its TMK and under the LMK: the same key in both.
        let reply = ask(&mut stream, "A01002U;1K000R&P0B00E00!B");
        assert!(reply.starts_with("00U"), "{reply}");
        let (of_host, block) = (&reply[2..35], &reply[36..]);
        let block = &block[..block[1..5].parse::<usize>().unwrap()];
        let (_, of_terminal) = open_tr31(&protecting(asking, KeyKind::Tmk, 2), block).unwrap();
        assert_eq!(of_terminal, open_variant("002", of_host).unwrap());
        // A PIN that a terminal has encrypted under its TPK goes on under a ZPK.
        let mut clear = hex::decode("041234FFFFFFFFFF").unwrap();
        let account = hex::decode(format!("0000{ACCOUNT}")).unwrap();
        clear.iter_mut().zip(account).for_each(|(a, b)| *a ^= b);
        let pin = hex::encode_upper(tdes_ecb(&protecting(asking, KeyKind::Tpk, 2), true, &clear));
        let reply = ask(&mut stream, &format!("CAK003{KEY}12{pin}0101{ACCOUNT}"));
        assert!(reply.starts_with("0004"), "{reply}");
        let zone = open_variant("001", KEY).unwrap();
        assert_eq!(tdes_ecb(&zone, false, &hex::decode(&reply[4..20]).unwrap()), clear);
    }
    let export = centre.auditor.bytes("/audit/export").await.unwrap();
    centre.end().await;
    units.into_iter().for_each(Unit::end);
    let options = keymgr::audit::Options { signatures: true, ..Default::default() };
    let report = keymgr::audit::verify_export(&mut export.as_slice(), options).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}
