//! Root KEKs of nodes are changed: by agreement, and from components that custodians enter at the centre and at the node.

use crate::ceremony::{FIRST, SECOND, part};
use crate::house::Centre;
use crate::nodes::{self, Asking};
use crate::rotation::{enrolled, rotate, wishes};
use gateway::node::{Identity, NodeSide, Nowhere};
use keylink::{NodeId, Signed};
use keymgr::api::{CeremonyLine, NodeView};
use keymgr::ceremony::{CeremonyView, Transcript, check_of};
use keymgr::client::plan_zone;
use keymgr::core::action::Act;
use keymgr::core::alarm::{Alarm, AlarmKind};
use keymgr::core::campaign::Phase;
use keymgr::core::root_kek::KekTarget;
use paytypes::{CipherKind, ClearKey};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

struct Fleet {
    centre: Centre,
    asking: Vec<Asking>,
    identities: Vec<Identity>,
    sides: Vec<JoinHandle<()>>,
}

impl Fleet {
    /// Two nodes that have the first key of a zone.
    async fn with_a_key() -> Self {
        let centre = Centre::begin().await;
        let asking = enrolled(&centre, &["n1", "n2"]).await;
        let (_, acts) = plan_zone(&centre.operator, &wishes("east", &asking)).await.unwrap();
        centre.ask(&acts).await;
        let (mut identities, mut sides) = (Vec::new(), Vec::new());
        for one in &asking {
            let identity = one.once().await.unwrap();
            sides.push(nodes::start(&identity, &one.store).await);
            identities.push(identity);
        }
        let fleet = Self { centre, asking, identities, sides };
        assert_eq!(rotate(&fleet.centre, "east").await.phase, Phase::Completed);
        for node in fleet.views().await {
            let path = format!("/nodes/{}/traffic", node.id);
            let to = json!({ "to": "in_traffic" });
            let _: serde_json::Value = fleet.centre.operator.post(&path, &to).await.unwrap();
        }
        fleet
    }

    fn node(&self, n: usize) -> NodeId {
        self.identities[n].node()
    }

    async fn views(&self) -> Vec<NodeView> {
        self.centre.operator.all("/nodes").await.unwrap()
    }

    async fn until(&self, what: &str, so: impl Fn(&NodeView) -> bool, n: usize) -> NodeView {
        let (began, id) = (Instant::now(), self.node(n));
        loop {
            let view = self.views().await.into_iter().find(|node| node.id == id).unwrap();
            if so(&view) {
                return view;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "{what}: {view:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn has(&self, n: usize, number: u32) -> String {
        let in_use = |node: &NodeView| node.root_kek.as_ref().is_some_and(|kek| kek.number == number);
        let view = self.until(&format!("root KEK {number}"), in_use, n).await;
        assert!(view.next_root_kek.is_none() && view.ordered_root_kek.is_none());
        view.root_kek.unwrap().kcv
    }

    /// The node's service stops, its custodians form a root KEK there, and it starts again.
    async fn form_at_node(&mut self, n: usize, number: u32, key: &[u8]) -> String {
        self.sides[n].abort();
        let _ = (&mut self.sides[n]).await;
        let mut side: NodeSide =
            nodes::side(&self.identities[n], &self.asking[n].store, Box::new(Nowhere)).await;
        let lower = side.form_kek(number - 1, ClearKey::new(key).unwrap()).await.unwrap();
        assert!(lower.is_err(), "a number that does not rise");
        let short = side.form_kek(number, ClearKey::new(&key[..16]).unwrap()).await.unwrap();
        assert!(short.is_err(), "weaker than the keys that it shall wrap");
        let formed = side.form_kek(number, ClearKey::new(key).unwrap()).await.unwrap().unwrap();
        drop(side);
        self.sides[n] = nodes::start(&self.identities[n], &self.asking[n].store).await;
        formed.kcv
    }

    /// The centre's custodians form one.
    async fn form_at_centre(&self, n: usize, number: u32) -> Transcript {
        let mut custodians = Vec::new();
        for one in &self.centre.custodians {
            custodians.push(one.me().await.unwrap().person);
        }
        let target = KekTarget { node: self.node(n), number };
        let asked = self.centre.operator.propose(&Act::FormRootKek { target, custodians }).await.unwrap();
        self.centre.approve_all().await;
        let path = format!("/ceremonies/{}", asked.action);
        for (at, clear) in [FIRST, SECOND].iter().enumerate() {
            let by = &self.centre.custodians[at];
            let open: CeremonyView = by.get(&path).await.unwrap();
            assert_eq!((open.root_kek, open.length), (Some(target), 32));
            // Among the others, for those whom it concerns.
            let listed: Vec<CeremonyLine> = by.all("/ceremonies").await.unwrap();
            let own = listed.iter().find(|one| one.ceremony == asked.action).unwrap();
            assert_eq!((own.root_kek, own.key_set, own.done), (Some(target), None, false));
            let entry = part(by, &open, u8::try_from(at + 1).unwrap(), clear).await;
            by.post::<CeremonyView>(&format!("{path}/components"), &entry).await.unwrap();
        }
        let signed: Signed = self.centre.operator.post(&format!("{path}/finish"), &json!({})).await.unwrap();
        signed.peek().unwrap()
    }

    async fn alarms(&self) -> Vec<Alarm> {
        let all: Vec<Alarm> = self.centre.operator.all("/alarms").await.unwrap();
        all.into_iter().filter(|a| a.kind == AlarmKind::RootKek && a.ended_utc_ms.is_none()).collect()
    }

    /// Ends it; gives what the log says of ceremonies: word and person.
    async fn end(mut self) -> Vec<(String, String)> {
        let export = self.centre.auditor.bytes("/audit/export").await.unwrap();
        self.centre.end().await;
        self.sides.iter().for_each(JoinHandle::abort);
        let options = keymgr::audit::Options { signatures: true, ..Default::default() };
        let report = keymgr::audit::verify_export(&mut export.as_slice(), options).unwrap();
        assert!(report.holds, "{:?}", report.findings);
        let words = ["ceremony.component", "node.form_root_kek"];
        let text = String::from_utf8_lossy(&export);
        let lines = text.lines().filter(|line| line.starts_with("v1 ")).map(|line| line.split(' ').collect());
        let of_ceremonies = lines.filter(|fields: &Vec<&str>| words.contains(&fields[6]));
        let done: Vec<_> = of_ceremonies.map(|f| (f[6].to_owned(), f[4].to_owned())).collect();
        let components = done.iter().filter(|(word, _)| word == words[0]).count();
        assert_eq!(report.signatures.unwrap().components, u64::try_from(components).unwrap());
        done
    }
}

fn combined() -> Vec<u8> {
    FIRST.iter().zip(&SECOND).map(|(a, b)| a ^ b).collect()
}

#[tokio::test]
async fn root_keks_are_changed_and_keys_go_on() {
    let mut fleet = Fleet::with_a_key().await;
    let first = fleet.has(0, 1).await;
    let targets: Vec<_> = (0..2).map(|n| KekTarget { node: fleet.node(n), number: 2 }).collect();
    fleet.centre.ask(&[Act::RekeyNodes(targets)]).await;
    let second = fleet.has(0, 2).await;
    fleet.has(1, 2).await;
    assert_ne!(first, second);
    assert_eq!(rotate(&fleet.centre, "east").await.phase, Phase::Completed);
    // One of a node that is away is agreed when it is back, also by a manager that has been started anew meanwhile.
    fleet.sides[1].abort();
    let targets: Vec<_> = (0..2).map(|n| KekTarget { node: fleet.node(n), number: 3 }).collect();
    fleet.centre.ask(&[Act::RekeyNodes(targets)]).await;
    fleet.has(0, 3).await;
    fleet.centre.end().await;
    fleet.centre.again().await;
    fleet.until("is ordered", |node| node.ordered_root_kek == Some(3), 1).await;
    fleet.sides[1] = nodes::start(&fleet.identities[1], &fleet.asking[1].store).await;
    fleet.has(1, 3).await;
    let third = rotate(&fleet.centre, "east").await;
    assert_eq!((third.phase, third.new_generation().0), (Phase::Completed, 3));
    assert!(fleet.alarms().await.is_empty());
    // Others may know the third: what went out under it is told, and the next key goes out under the fourth.
    let targets = vec![KekTarget { node: fleet.node(0), number: 4 }];
    fleet.centre.ask(&[Act::RekeySuspect { targets, reason: "seen".into() }]).await;
    fleet.has(0, 4).await;
    let all: Vec<Alarm> = fleet.centre.operator.all("/alarms").await.unwrap();
    let told: Vec<_> = all.iter().filter(|alarm| alarm.kind == AlarmKind::KeySuspect).collect();
    assert!(told.len() == 1 && told[0].text.contains("n1 under its root KEK 3"), "{told:?}");
    assert_eq!(rotate(&fleet.centre, "east").await.phase, Phase::Completed);
    fleet.end().await;
}

#[tokio::test]
async fn a_root_kek_from_components_takes_part_in_a_rotation() {
    let mut fleet = Fleet::with_a_key().await;
    let clear = combined();
    let right = check_of(CipherKind::Aes, &ClearKey::new(&clear).unwrap()).unwrap();
    // First the centre, then the node: until then the node has what it had.
    let transcript = fleet.form_at_centre(0, 2).await;
    assert_eq!((&transcript.kcv, transcript.node, transcript.parts.len()), (&right, Some(fleet.node(0)), 2));
    fleet.until("is formed", |node| node.next_root_kek.is_some(), 0).await;
    assert_eq!(fleet.form_at_node(0, 2, &clear).await, right);
    assert_eq!(fleet.has(0, 2).await, right);
    // First the node, then the centre.
    fleet.form_at_node(1, 2, &clear).await;
    fleet.until("is told", |node| node.told_root_kek == Some(2), 1).await;
    assert_eq!(fleet.alarms().await.len(), 1);
    fleet.form_at_centre(1, 2).await;
    assert_eq!(fleet.has(1, 2).await, right);
    assert!(fleet.alarms().await.is_empty());
    let second = rotate(&fleet.centre, "east").await;
    assert_eq!((second.phase, second.new_generation().0), (Phase::Completed, 2));
    // Other components than the centre's: told, and not used; an agreement is the way out.
    fleet.form_at_centre(0, 3).await;
    fleet.form_at_node(0, 3, &FIRST).await;
    fleet.until("is told", |node| node.told_root_kek == Some(3), 0).await;
    assert_eq!(fleet.alarms().await.len(), 1);
    fleet.centre.ask(&[Act::RekeyNodes(vec![KekTarget { node: fleet.node(0), number: 4 }])]).await;
    fleet.has(0, 4).await;
    let third = rotate(&fleet.centre, "east").await;
    assert_eq!((third.phase, third.new_generation().0), (Phase::Completed, 3));
    // Who entered each component, and who had them combined, is in the log.
    let mut expected = Vec::new();
    let [cora, carl] = [&fleet.centre.custodians[0], &fleet.centre.custodians[1]];
    for (word, by) in [
        ("ceremony.component", cora),
        ("ceremony.component", carl),
        ("node.form_root_kek", &fleet.centre.operator),
    ] {
        expected.push((word.to_owned(), by.me().await.unwrap().person.to_string()));
    }
    assert_eq!(fleet.end().await, [&expected[..]; 3].concat());
}
