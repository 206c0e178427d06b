//! A node is killed, as SIGKILL does it, while keys are staged, accepted, protect and retire: its floors
//! never go back, no receipt that the manager has counted is missing, every key is there as it was receipted, exactly
//! one of a set protects, and the next process works with them.
//!
//! The node is `payhsm serve`, enrolled at a manager that runs in this process. `PAYHSM_NODE_KILLS` sets the number of
//! kills (20 if unset). A kill has hit a step when the campaign waits for the receipt of that step when the node is
//! gone; with twenty kills and more, each step is hit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "centre/house.rs"]
#[allow(dead_code)]
mod house;
#[path = "../../keymgr/tests/common/shown.rs"]
mod shown;

use gateway::node::{Store, store_file};
use house::Centre;
use keylink::message::{EnrolmentToken, KeyKind, Overlap, Receipt, Shape, Step};
use keylink::node::NodeState;
use keylink::{CampaignId, NodeId};
use keymgr::client::{RotateWishes, ZoneWishes, plan_rotation, plan_zone};
use keymgr::core::action::Act;
use keymgr::core::campaign::{Campaign, Mark, Phase};
use keymgr::core::node::{BackendClass, NewNode, Node, Progress};
use keymgr::store::{Location, Stored, Table};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tests::processes::signal;
use tests::server::Server;
use tests::wire::text;

const ZONES: [&str; 2] = ["east", "north"];
const ACCOUNT: &str = "123456789012";
/// In which a node is killed.
const STEPS: [Phase; 4] = [Phase::Staging, Phase::Accepting, Phase::Protecting, Phase::Retiring];
/// With so many kills each step is hit, and so many more are made for one that was not.
const MANY: u32 = 20;

struct World {
    centre: Centre,
    data: PathBuf,
    node: NodeId,
    server: Option<Server>,
    /// What the node had stored at the last kill.
    before: Option<NodeState>,
    /// Kills by the step that they hit: nobody has counted its receipt when the node is gone.
    hit: BTreeMap<Phase, u32>,
    /// Kills when the receipt was stored at the node and not counted at the manager.
    between: u32,
}

async fn started(data: &Path, more: &[&str]) -> Server {
    let mut options: Vec<String> =
        ["--listen", "127.0.0.1:0", "--cores", "1", "--data"].map(str::to_owned).to_vec();
    options.push(data.display().to_string());
    options.extend(more.iter().map(|word| (*word).to_owned()));
    let start = move || Server::start_with(&options.iter().map(String::as_str).collect::<Vec<_>>(), &[0]);
    tokio::task::spawn_blocking(start).await.unwrap()
}

impl World {
    // One node in two zones, each with its first key protecting.
    async fn begin() -> Self {
        let centre = Centre::begin().await;
        let data = centre.folder.path().join("node");
        std::fs::create_dir(&data).unwrap();
        let tokens: Vec<EnrolmentToken> =
            centre.operator.post("/enrolment-tokens", &json!({ "count": 1 })).await.unwrap();
        let token = centre.folder.path().join("node.token");
        std::fs::write(&token, tokens[0].to_line()).unwrap();
        let enrol = ["--enrol", token.to_str().unwrap(), "--node-name", "n1"];
        let server = started(&data, &enrol).await;
        let asked = loop {
            let asking: Vec<Value> = centre.operator.all("/enrolments").await.unwrap();
            match asking.first() {
                Some(one) => break one.clone(),
                None => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        let word = |field: &str| asked[field].as_str().unwrap().to_owned();
        let node: NodeId = word("node").parse().unwrap();
        let new = NewNode {
            key: word("key").parse().unwrap(),
            csr: word("csr").parse().unwrap(),
            name: "n1".into(),
            class: BackendClass::C,
        };
        centre.ask(&[Act::EnrolNodes(vec![new])]).await;
        for zone in ZONES {
            let wishes = ZoneWishes {
                alias: zone.to_owned(),
                nodes: [node].into(),
                live: false,
                kind: KeyKind::Zpk,
                shape: Shape::Tdes2,
                base: None,
                overlap: Overlap::Time,
                overlap_ms: Some(2_000),
                lead_ms: Some(250),
                exportable: false,
            };
            let (_, acts) = plan_zone(&centre.operator, &wishes).await.unwrap();
            centre.ask(&acts).await;
        }
        let hit = BTreeMap::new();
        let world = Self { centre, data, node, server: Some(server), before: None, hit, between: 0 };
        world.rotate().await;
        world.until_done().await;
        let path = format!("/nodes/{node}/traffic");
        let _: Value = world.centre.operator.post(&path, &json!({ "to": "in_traffic" })).await.unwrap();
        world
    }

    async fn campaigns(&self) -> Vec<Campaign> {
        self.centre.operator.all("/campaigns").await.unwrap()
    }

    // Every zone at rest gets its next key.
    async fn rotate(&self) {
        let live: Vec<_> = self.campaigns().await.into_iter().filter(|c| c.phase.is_live()).collect();
        let zones: Vec<keymgr::core::node::Zone> = self.centre.operator.all("/zones").await.unwrap();
        for zone in zones.iter().filter(|zone| live.iter().all(|campaign| campaign.zone != zone.id)) {
            let wishes = RotateWishes::default();
            let plan = plan_rotation(&self.centre.operator, &zone.alias, &wishes).await.unwrap();
            self.centre.ask(&[plan.act]).await;
        }
    }

    async fn until_done(&self) {
        let until = Instant::now() + Duration::from_secs(120);
        loop {
            let campaigns = self.campaigns().await;
            let Some(live) = campaigns.iter().find(|campaign| campaign.phase.is_live()) else { return };
            assert!(Instant::now() < until, "{live:?}\n{}", self.server.as_ref().unwrap().log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn missed(&self) -> Option<Phase> {
        STEPS.into_iter().find(|step| !self.hit.contains_key(step))
    }

    // Those that were hit no more than the others, or hardly.
    fn due(&self) -> impl Fn(Phase) -> bool {
        let times = STEPS.map(|step| (step, self.hit.get(&step).copied().unwrap_or_default()));
        let least = times.iter().map(|(_, times)| *times).min().unwrap_or_default();
        move |phase| times.iter().any(|(step, times)| *step == phase && *times <= least + 1)
    }

    // Waits until a campaign waits for this node's receipt of a step that is due.
    async fn until_due(&self) -> Phase {
        let (until, due) = (Instant::now() + Duration::from_secs(60), self.due());
        loop {
            self.rotate().await;
            let mut campaigns = self.campaigns().await;
            // A step may take no more than milliseconds: while something moves, only that is looked at.
            while campaigns.iter().any(|campaign| campaign.phase.is_live()) {
                if let Some(found) = campaigns.iter().find(|campaign| due(campaign.phase) && waits(campaign))
                {
                    return found.phase;
                }
                assert!(Instant::now() < until, "no step comes that is due: {:?}, {campaigns:?}", self.hit);
                campaigns = self.campaigns().await;
            }
        }
    }

    // While a campaign is in a step: at once if none has hit it yet, else at a moment of chance after its beginning.
    async fn kill(&mut self, draw: u64) {
        let step = self.until_due().await;
        if self.hit.contains_key(&step) {
            // Mail arrives within milliseconds; a switch and what follows it takes longer.
            let longest = if step < Phase::Protecting { 4 } else { 300 };
            tokio::time::sleep(Duration::from_micros(draw % (longest * 1_000))).await;
        }
        let server = self.server.take().unwrap();
        signal(server.pid(), "KILL");
        tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
        // What it has sent before is taken.
        tokio::time::sleep(Duration::from_millis(50)).await;
        for campaign in self.campaigns().await.iter().filter(|campaign| waits(campaign)) {
            *self.hit.entry(campaign.phase).or_default() += 1;
        }
    }

    fn stored(&self) -> NodeState {
        let store = Store::open(&store_file(&self.data)).unwrap();
        keylink::envelope::strict(&store.load(self.node).unwrap().unwrap()).unwrap()
    }

    async fn judge(&mut self) {
        let stored = self.stored();
        if let Some(before) = &self.before {
            floors(before, &stored);
        }
        let manager = self.at_the_manager();
        assert_eq!((manager.link.quarantine, &manager.quarantined), (None, &None));
        let number = |signed: &keylink::Signed| signed.peek::<Receipt>().unwrap().head.seq.0;
        let waiting: Vec<u64> = stored.outbox.iter().map(number).collect();
        let counted = manager.link.last_receipt().unwrap();
        assert!(counted.0 <= stored.receipt.0, "counted {}, the node is at {}", counted.0, stored.receipt.0);
        if counted.0 == stored.receipt.0 {
            assert_eq!(Some(counted.1), stored.receipt.1, "another receipt of that number");
        }
        // What the manager has not is still to be sent, all of it and in order.
        let owed: Vec<u64> = waiting.iter().copied().filter(|number| *number > counted.0.0).collect();
        assert_eq!(owed, (counted.0.0 + 1..=stored.receipt.0.0).collect::<Vec<_>>());
        self.between += u32::from(!owed.is_empty());

        let holders: Vec<Value> =
            self.centre.operator.all(&format!("/holders?node={}", self.node)).await.unwrap();
        let keys: Vec<Value> = self.centre.operator.all("/keys").await.unwrap();
        for holder in holders {
            let progress: Progress = serde_json::from_value(holder["progress"].clone()).unwrap();
            if !(Progress::Proven..=Progress::Activated).contains(&progress) {
                continue;
            }
            let sets = stored.key_sets.iter();
            let set = sets.clone().find(|set| json!(set.definition.key_set) == holder["key_set"]);
            let found = set
                .and_then(|set| set.generations.iter().find(|g| json!(g.generation) == holder["generation"]));
            let found = found.unwrap_or_else(|| panic!("receipted and not there: {holder}"));
            let same = |key: &&Value| {
                key["key_set"] == holder["key_set"] && key["generation"] == holder["generation"]
            };
            let kcv = keys.iter().find(same).unwrap()["kcv"].as_str().unwrap();
            assert_eq!(found.kcv.to_ascii_uppercase(), kcv.to_ascii_uppercase());
            assert!(!found.token.is_empty() || found.step == Step::Destroy, "{holder}");
        }
        for set in &stored.key_sets {
            let protecting = set.generations.iter().filter(|g| g.step == Step::Protect).count();
            assert_eq!(protecting, 1, "{:?}", set.definition.name);
        }
        self.before = Some(stored);
    }

    // The next process: PINs go out under the base index and come back by it.
    async fn again(&mut self) {
        let server = started(&self.data, &[]).await;
        let bases: Vec<u16> =
            self.before.as_ref().unwrap().key_sets.iter().map(|s| s.definition.indices.base).collect();
        let traffic = tokio::task::spawn_blocking(move || {
            let mut wire = server.connect(0);
            let mut ask = |request: String| text(&wire.exchange(request.as_bytes()).unwrap());
            let stored = ask(format!("JA{ACCOUNT}04"))[4..].to_owned();
            for base in bases {
                let mut last = String::new();
                // Its table is with the cores as soon as it is ready; a switch in between may fall on one PIN.
                let held = (0..3).any(|_| {
                    let block = ask(format!("JGK{base:03X}01{ACCOUNT}{stored}"));
                    let back = block.get(4..20).map(|block| ask(format!("JEK{base:03X}{block}01{ACCOUNT}")));
                    last = format!("{block} {back:?}");
                    back.is_some_and(|back| back.starts_with("JF00") && back[4..] == stored)
                });
                assert!(held, "K{base:03X}: {last}\n{}", server.log());
            }
            server
        });
        self.server = Some(traffic.await.unwrap());
    }
}

// For the one node's receipt of the step in which it is.
fn waits(campaign: &Campaign) -> bool {
    campaign.phase.awaits().is_some_and(|mark| campaign.counts.of(mark) == 0)
}

fn floors(before: &NodeState, now: &NodeState) {
    assert!((now.epoch, now.seq) >= (before.epoch, before.seq), "{} after {}", now.seq, before.seq);
    assert!(
        now.protocol >= before.protocol && now.table >= before.table && now.receipt.0 >= before.receipt.0
    );
    assert!(now.checkpoint.as_ref().map(|c| c.size) >= before.checkpoint.as_ref().map(|c| c.size));
    for old in &before.key_sets {
        let set = now.key_set(old.definition.key_set).expect("a key set is gone");
        assert!(set.highest >= old.highest, "{:?}", set.definition.name);
    }
}

fn draws() -> impl FnMut() -> u64 {
    let mut state = 11u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    }
}

#[tokio::test]
async fn a_killed_node_has_lost_nothing() {
    let kills: u32 = std::env::var("PAYHSM_NODE_KILLS").map_or(20, |text| text.parse().unwrap());
    let mut world = World::begin().await;
    let mut draw = draws();
    let mut made = 0;
    while made < kills || (kills >= MANY && made < kills + MANY && world.missed().is_some()) {
        world.kill(draw()).await;
        world.judge().await;
        world.again().await;
        made += 1;
    }
    if kills >= MANY {
        assert_eq!(world.missed(), None, "{made} kills: {:?}", world.hit);
    }
    world.until_done().await;
    let campaigns: Vec<Campaign> = world.campaigns().await;
    for campaign in &campaigns {
        assert_eq!(campaign.phase, Phase::Completed, "{campaign:?}");
        let marks = [Mark::Proven, Mark::Accepting, Mark::Activated].map(|mark| campaign.counts.of(mark));
        assert_eq!(marks, [1, 1, 1], "{campaign:?}");
    }
    let done: Vec<CampaignId> = campaigns.iter().map(|campaign| campaign.id).collect();
    let receipts = world.stored_receipts();
    drop(world.server.take());
    let found = format!(
        "{made} kills, that hit {:?}, {} of them with a receipt stored and not counted; {} rotations, {receipts} \
         receipts, none lost\nsettings {:?}",
        world.hit,
        world.between,
        done.len(),
        Store::open(&store_file(&world.data)).unwrap().settings()
    );
    shown::show("node-kills", &found);
    let export = world.centre.auditor.bytes("/audit/export").await.unwrap();
    let options = keymgr::audit::Options { signatures: true, ..Default::default() };
    let report = keymgr::audit::verify_export(&mut export.as_slice(), options).unwrap();
    let other = report.findings.iter().find(|finding| finding.kind != "uncovered");
    assert!(other.is_none(), "{other:?}");
}

impl World {
    // What the manager has stored of the node: its chain of receipts is not for people.
    fn at_the_manager(&self) -> Node {
        let path = self.centre.folder.path().join("kmc").join("store.db");
        let mut store = keymgr::store::Store::read(&Location::Sqlite(path)).unwrap();
        Node::from_body(&store.get(Table::Nodes, &self.node.0).unwrap().unwrap().body).unwrap()
    }

    fn stored_receipts(&self) -> u64 {
        self.at_the_manager().link.last_receipt().map_or(0, |(number, _)| number.0)
    }
}
