//! Receipts that neither side can deny: each node gets a proof that the centre's log holds its own, by its own
//! connection, by push and by file; a third party is shown it by root documents alone; and a proof that does not hold is
//! reported.

use crate::house::{Centre, PASSPHRASE};
use crate::nodes::{self, Asking};
use crate::packages::{Remote, fetch, hand_in};
use crate::pushes::{Pushed, push_to};
use crate::rotation::{enrolled, rotate, wishes};
use gateway::node::{
    Answer, Evidence, HttpsTransport, Identity, Opening, Sending, Store, Transport, receipt_file,
};
use keylink::endpoint::Endpoint;
use keylink::envelope::bytes_of;
use keylink::message::{InclusionProof, Mail};
use keylink::node::NodeState;
use keylink::receipt_file::CentreKeys;
use keylink::root::SignedRoot;
use keylink::succession::CentreKey;
use keylink::wire::U64;
use keylink::{NodeId, Signed};
use keymgr::client::plan_zone;
use keymgr::core::alarm::{Alarm, AlarmKind};
use keymgr::core::campaign::Phase;
use keymgr::house::House;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

struct Liar {
    inner: HttpsTransport,
    lie: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Transport for Liar {
    fn session(&self) -> Opening<'_> {
        self.inner.session()
    }

    fn post(&self, endpoint: Endpoint, body: Vec<u8>) -> Sending<'_> {
        let lie = if endpoint == Endpoint::Pull { self.lie.lock().unwrap().take() } else { None };
        Box::pin(async move {
            match lie {
                Some(lie) => Ok(Answer::Taken(lie)),
                None => self.inner.post(endpoint, body).await,
            }
        })
    }
}

fn evidence(centre: &Centre, name: &str, node: NodeId) -> Evidence {
    Store::evidence(&centre.folder.path().join(format!("{name}.db")), node).unwrap()
}

fn state(centre: &Centre, name: &str, node: NodeId) -> NodeState {
    let stored = Store::peek(&centre.folder.path().join(format!("{name}.db")), node).unwrap().unwrap();
    serde_json::from_slice(&stored).unwrap()
}

async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < Duration::from_secs(90), "{what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn each_node_gets_proof_of_its_receipts_by_every_way() {
    let centre = Centre::begin().await;
    let names = ["asks", "pushed", "far"];
    let mut asking = enrolled(&centre, &names).await;
    let (_, acts) = plan_zone(&centre.operator, &wishes("east", &asking)).await.unwrap();
    centre.ask(&acts).await;
    let far = Remote::of(asking.pop().unwrap()).await;
    let pushed: Asking = asking.pop().unwrap();
    let own = asking.pop().unwrap().start_lying().await;
    let pushed_identity = pushed.once().await.unwrap();
    let running = Pushed::start(&pushed_identity, &pushed, "127.0.0.1:0").await;
    push_to(&centre, pushed_identity.node(), Some(&running.address.to_string())).await.unwrap();
    let traffic = format!("/nodes/{}/traffic", far.identity.node());
    let _: serde_json::Value =
        centre.operator.post(&traffic, &serde_json::json!({ "to": "offline" })).await.unwrap();
    // By file: what is brought is proved with the next package.
    for _ in 0..2 {
        let back = far.carry(&fetch(&centre, far.identity.node()).await).await.unwrap();
        hand_in(&centre, far.identity.node(), &back).await.unwrap();
    }
    let campaign = rotate(&centre, "east").await;
    assert_ne!(campaign.phase, Phase::Aborted);
    for _ in 0..2 {
        let back = far.carry(&fetch(&centre, far.identity.node()).await).await.unwrap();
        hand_in(&centre, far.identity.node(), &back).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    far.carry(&fetch(&centre, far.identity.node()).await).await.unwrap();
    let roots: Vec<SignedRoot> = centre.operator.get("/root").await.unwrap();
    let keys = CentreKeys::of(&roots).unwrap();
    for (name, identity) in [("asks", &own.0), ("pushed", &pushed_identity), ("far", &far.identity)] {
        let node = identity.node();
        until(name, || {
            let state = state(&centre, name, node);
            state.outbox.is_empty() && state.proved == state.receipt.0
        })
        .await;
        let file = receipt_file(&centre.folder.path().join(format!("{name}.db")), &identity.who()).unwrap();
        let size = file.proof.as_ref().unwrap().to_bytes().len();
        println!("{name}: {} receipts, a proof of {size} bytes", file.receipts.len());
        let shown = file.judge(&keys).unwrap();
        let last = shown.receipts.last().unwrap().1.head.seq.0;
        assert_eq!((shown.proved.unwrap().number, shown.confirmed), (last, Some(last)), "{name}");
        assert!(shown.receipts.len() >= 3 && shown.disputed.is_empty(), "{name}");
        assert!(size < 16 << 10, "{size}");
    }

    // A proof under the centre's own key that does not hold: the node keeps it, and the centre hears of it.
    let house = House::at(centre.folder.path().join("kmc"));
    let keys = house.open(PASSPHRASE).unwrap();
    let manifest = keys.ring.first(CentreKey::Manifest);
    let signer = keys.ring.signer(CentreKey::Manifest, &manifest).unwrap();
    let node = own.0.node();
    let held = evidence(&centre, "asks", node);
    let mut proof: InclusionProof = held.proof.unwrap().peek().unwrap();
    proof.head.seq = U64(proof.head.seq.0 + 1);
    let bad = Signed::try_seal(&proof, &signer).unwrap();
    let mail = Mail { roots: Vec::new(), messages: vec![bad.clone()] };
    *own.1.lock().unwrap() = Some(bytes_of(&mail));
    until("disputed", || state(&centre, "asks", node).disputed).await;
    assert_eq!(evidence(&centre, "asks", node).disputed, [bad]);
    let began = Instant::now();
    loop {
        let alarms: Vec<Alarm> = centre.operator.all("/alarms").await.unwrap();
        let told = |alarm: &Alarm| alarm.kind == AlarmKind::LogDisputed && alarm.subject == node.to_string();
        if alarms.iter().any(told) {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{alarms:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    running.end().await;
}

trait Lying {
    async fn start_lying(self) -> (Identity, Arc<Mutex<Option<Vec<u8>>>>, Asking);
}

impl Lying for Asking {
    async fn start_lying(self) -> (Identity, Arc<Mutex<Option<Vec<u8>>>>, Asking) {
        let identity = self.once().await.unwrap();
        let lie = Arc::default();
        let inner = HttpsTransport::new(&identity.url, &identity.tls()).unwrap();
        let transport = Liar { inner, lie: Arc::clone(&lie) };
        nodes::start_over(&identity, &self.store, Arc::new(transport)).await;
        (identity, lie, self)
    }
}
