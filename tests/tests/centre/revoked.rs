//! Nodes that were away when they were revoked: what they are handed when they come back, and what they may still say.

use crate::house::Centre;
use crate::messages::{Heard, Tap, refused, said, way};
use crate::nodes::{self, Asking};
use crate::rotation::{enrolled, rotate, wishes};
use gateway::node::{Identity, Transport as _, TransportError};
use keylink::endpoint::Endpoint;
use keylink::envelope::strict;
use keylink::message::{Head, Hello, Mail, Pull, Receipt, ReceiptKind, Step};
use keylink::wire::U64;
use keylink::{NodeId, Signed};
use keymgr::api::NodeView;
use keymgr::client::{RotateWishes, plan_rotation, plan_zone};
use keymgr::core::action::Act;
use keymgr::core::alarm::Alarm;
use keymgr::core::campaign::Phase;
use keymgr::core::node::Wipe;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

async fn view(centre: &Centre, node: NodeId) -> NodeView {
    centre.operator.get(&format!("/nodes/{node}")).await.unwrap()
}

pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The second of two nodes of a zone: it has the zone's first key, is away, and a manifest with the next one waits.
struct Away {
    centre: Centre,
    asking: Vec<Asking>,
    identity: Identity,
    other: JoinHandle<()>,
}

impl Away {
    async fn begin() -> Self {
        let centre = Centre::begin().await;
        let asking = enrolled(&centre, &["n1", "n2"]).await;
        let (_, acts) = plan_zone(&centre.operator, &wishes("east", &asking)).await.unwrap();
        centre.ask(&acts).await;
        let identities = [asking[0].once().await.unwrap(), asking[1].once().await.unwrap()];
        let other = nodes::start(&identities[0], &asking[0].store).await;
        let own = nodes::start(&identities[1], &asking[1].store).await;
        assert_eq!(rotate(&centre, "east").await.phase, Phase::Completed);
        let [_, identity] = identities;
        let node = identity.node();
        until("it answers", async || view(&centre, node).await.has_answered).await;
        own.abort();
        let _ = own.await;
        let plan = plan_rotation(&centre.operator, "east", &RotateWishes::default()).await.unwrap();
        centre.ask(std::slice::from_ref(&plan.act)).await;
        until("a manifest waits", async || !view(&centre, node).await.has_answered).await;
        Self { centre, asking, identity, other }
    }

    // Back again: what it says and what it is answered.
    async fn back(&self) -> (Heard, JoinHandle<()>) {
        let (heard, lie) = Default::default();
        let tap = Tap { inner: way(&self.identity), heard: Heard::clone(&heard), lie };
        (heard, nodes::start_over(&self.identity, &self.asking[1].store, Arc::new(tap)).await)
    }

    fn node(&self) -> NodeId {
        self.identity.node()
    }

    async fn revoke(&self) {
        self.centre.ask(&[Act::RevokeNode { node: self.node() }]).await;
        assert!(view(&self.centre, self.node()).await.wipe.is_some());
    }

    async fn erased(&self) {
        let node = self.node();
        let done = async || matches!(view(&self.centre, node).await.wipe, Some(Wipe::Done { .. }));
        until("it says that its keys are erased", done).await;
        let stored = self.asking[1].store.load(node).unwrap().unwrap();
        let state: keylink::node::NodeState = serde_json::from_slice(&stored).unwrap();
        assert!(state.kek.is_none());
        let mut generations = state.key_sets.iter().flat_map(|set| &set.generations);
        assert!(generations.all(|one| one.step == Step::Destroy));
    }

    // By its own asking, and over its own connection, under its own key and new: nothing is written for it any more.
    async fn is_heard_no_more(&self, heard: &Heard, side: JoinHandle<()>) {
        let size = async || {
            let export = self.centre.auditor.bytes("/audit/export").await.unwrap();
            let actor = self.node().to_string();
            let text = String::from_utf8_lossy(&export).into_owned();
            let count = text.lines().filter(|line| line.split(' ').nth(4) == Some(&actor)).count();
            assert!(count > 0, "entries name their actor");
            count
        };
        let before = size().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        side.abort();
        let _ = side.await;
        // It need not have asked for mail: a hello is answered with what waits.
        let hello = said(heard, Endpoint::Hello).pop().unwrap();
        let hello: Hello = Signed::parse(&hello).unwrap().peek().unwrap();
        let pull = Pull {
            head: Head { seq: U64(1 << 40), ..hello.head },
            node: self.node(),
            boot_id: hello.boot_id,
            taken: hello.taken,
            root: hello.root,
            proved: U64(0),
            wait_s: 0,
        };
        let pull = Signed::seal(&pull, &nodes::signer_of(&self.identity)).to_bytes();
        let own = way(&self.identity);
        let answer = loop {
            match own.post(Endpoint::Pull, pull.clone()).await {
                Err(TransportError::Busy(seconds)) => tokio::time::sleep(Duration::from_secs(seconds)).await,
                answer => break answer,
            }
        };
        assert_eq!(refused(answer).1, "suspended");
        assert_eq!(size().await, before);
    }

    async fn end(mut self) {
        self.other.abort();
        self.centre.end().await;
    }
}

// Kinds of the messages that came over these paths.
fn kinds(heard: &Heard, wanted: &[Endpoint]) -> Vec<String> {
    let heard = heard.lock().unwrap();
    let mails = heard.iter().filter(|(at, ..)| wanted.contains(at));
    mails.flat_map(|(.., mail)| strict::<Mail>(mail).unwrap().messages).map(|one| one.kind).collect()
}

fn receipts(heard: &Heard) -> Vec<ReceiptKind> {
    let parcels = said(heard, Endpoint::Receipts);
    let parcels = parcels.iter().map(|body| strict::<keylink::message::Parcel>(body).unwrap());
    let messages = parcels.flat_map(|parcel| parcel.messages).filter(|one| one.kind == "receipt");
    messages.map(|one| one.peek::<Receipt>().unwrap().kind).collect()
}

#[tokio::test]
async fn who_was_revoked_while_away_is_handed_the_order_to_erase_and_nothing_else() {
    let away = Away::begin().await;
    away.revoke().await;
    let (heard, side) = away.back().await;
    away.erased().await;
    let mail = kinds(&heard, &[Endpoint::Hello, Endpoint::Pull]);
    assert!(!mail.is_empty() && mail.iter().all(|kind| kind == "command"), "{mail:?}");
    let answers = kinds(&heard, &[Endpoint::Receipts]);
    assert!(answers.iter().all(|kind| kind == "counter-receipt"), "{answers:?}");
    let said = receipts(&heard);
    assert!(said.contains(&ReceiptKind::Zeroised) && !said.contains(&ReceiptKind::Proven), "{said:?}");
    away.is_heard_no_more(&heard, side).await;
    let alarms: Vec<Alarm> = away.centre.operator.all("/alarms").await.unwrap();
    let own = away.node().to_string();
    assert!(alarms.iter().all(|alarm| alarm.subject != own), "{alarms:?}");
    away.end().await;
}

// In quarantine it is not served, from its box neither; revoked, it erases its keys as any other.
#[tokio::test]
async fn who_is_in_quarantine_is_handed_nothing_until_it_is_revoked() {
    let away = Away::begin().await;
    let node = away.node();
    let path = format!("/nodes/{node}/quarantine");
    let _: Value = away.centre.operator.post(&path, &json!({ "reason": "lost sight of" })).await.unwrap();
    let (heard, side) = away.back().await;
    until("it asks", async || said(&heard, Endpoint::Pull).len() > 1).await;
    assert_eq!(kinds(&heard, &[Endpoint::Hello, Endpoint::Pull]), Vec::<String>::new());
    away.revoke().await;
    away.erased().await;
    let mail = kinds(&heard, &[Endpoint::Hello, Endpoint::Pull]);
    assert!(mail.iter().all(|kind| kind == "command"), "{mail:?}");
    away.is_heard_no_more(&heard, side).await;
    away.end().await;
}
