//! Nodes that the manager pushes to, beside one that asks and one that is carried to: one zone, one rotation, three ways.

use crate::house::Centre;
use crate::nodes::{self, Asking};
use crate::packages::{Remote, fetch, hand_in};
use crate::rotation::{enrolled, rotate, rotated, wishes};
use gateway::node::{Identity, Nowhere, Pace, PushListener, SideHandle, run};
use keylink::NodeId;
use keymgr::api::{HolderView, NodeView};
use keymgr::client::{ClientProblem, RotateWishes, plan_rotation, plan_zone};
use keymgr::core::campaign::Phase;
use keymgr::core::node::Progress;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// A node side that takes pushes and asks nobody: `pull = false`.
pub struct Pushed {
    pub address: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

impl Pushed {
    pub async fn start(identity: &Identity, asking: &Asking, at: &str) -> Self {
        let side = nodes::side(identity, &asking.store, Box::new(Nowhere)).await;
        let listener = PushListener::bind(at.parse().unwrap(), &identity.tls()).await.unwrap();
        let (address, (handle, requests)) = (listener.address(), SideHandle::new());
        let taking = tokio::spawn(listener.serve(handle, core::future::pending()));
        let living = tokio::spawn(async move {
            run(side, None, requests, Pace::default(), core::future::pending()).await.unwrap();
        });
        Self { address, tasks: [taking, living] }
    }

    pub async fn end(self) {
        for task in self.tasks {
            task.abort();
            let _ = task.await;
        }
    }
}

pub async fn push_to(centre: &Centre, node: NodeId, address: Option<&str>) -> Result<Value, ClientProblem> {
    centre.operator.post(&format!("/nodes/{node}/push"), &json!({ "address": address })).await
}

async fn view(centre: &Centre, node: NodeId) -> NodeView {
    centre.operator.get(&format!("/nodes/{node}")).await.unwrap()
}

async fn holds(centre: &Centre, node: NodeId) -> Vec<(u32, Progress)> {
    let all: Vec<HolderView> = centre.operator.all(&format!("/holders?node={node}")).await.unwrap();
    all.iter().map(|one| (one.generation.0, one.progress)).collect()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn round(centre: &Centre, remote: &Remote) {
    let node = remote.identity.node();
    let back = remote.carry(&fetch(centre, node).await).await.unwrap();
    hand_in(centre, node, &back).await.unwrap();
}

#[tokio::test]
async fn one_rotation_by_pull_push_and_file() {
    let mut centre = Centre::begin().await;
    let mut asking = enrolled(&centre, &["n1", "n2", "n3"]).await;
    let (_, acts) = plan_zone(&centre.operator, &wishes("east", &asking)).await.unwrap();
    centre.ask(&acts).await;
    let remote = Remote::of(asking.pop().unwrap()).await;
    let pulls = asking[0].once().await.unwrap();
    let side = nodes::start(&pulls, &asking[0].store).await;
    let pushed = asking[1].once().await.unwrap();
    let node = pushed.node();
    let listening = Pushed::start(&pushed, &asking[1], "127.0.0.1:0").await;
    let address = listening.address.to_string();
    // Nobody knows the address yet.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(view(&centre, node).await.seen_utc_ms, 0);
    push_to(&centre, node, Some(&address)).await.unwrap();
    assert_eq!(view(&centre, node).await.push.as_deref(), Some(address.as_str()));
    until("a root KEK by pushes", async || view(&centre, node).await.root_kek.is_some()).await;
    // The first key waits for every member.
    assert_eq!(rotate_with(&centre, &remote).await, Phase::Completed);
    until("the first key by pushes", async || holds(&centre, node).await == [(1, Progress::Activated)]).await;
    let all = [pulls.node(), node, remote.identity.node()];
    for id in all {
        let path = format!("/nodes/{id}/traffic");
        let _: Value = centre.operator.post(&path, &json!({ "to": "in_traffic" })).await.unwrap();
    }

    // All three are waited for at every step.
    let plan = plan_rotation(&centre.operator, "east", &RotateWishes::default()).await.unwrap();
    centre.ask(std::slice::from_ref(&plan.act)).await;
    let campaign = plan.targets[0].campaign;
    let done = with_carrier(&centre, &remote, rotated(&centre.operator, campaign)).await;
    assert_eq!(done.phase, Phase::Completed);
    for id in all {
        let held = holds(&centre, id).await;
        assert_eq!(held, [(1, Progress::Retired), (2, Progress::Activated)], "{id}");
        assert_eq!(view(&centre, id).await.quarantined, None);
    }
    // Both at once: the node that is pushed to begins to ask as well, and is one node all the same.
    listening.end().await;
    let both = nodes::start(&pushed, &asking[1].store).await;
    push_to(&centre, node, None).await.unwrap();
    assert_eq!(rotate_with(&centre, &remote).await, Phase::Completed);
    assert_eq!(view(&centre, node).await.quarantined, None);

    let export = centre.auditor.bytes("/audit/export").await.unwrap();
    assert!(String::from_utf8_lossy(&export).contains("node.push"));
    centre.end().await;
    [side, both].iter().for_each(|task| task.abort());
    let options = keymgr::audit::Options { signatures: true, ..Default::default() };
    let report = keymgr::audit::verify_export(&mut export.as_slice(), options).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

// Somebody goes to the third node and back, again and again, until it is done.
async fn with_carrier<T>(centre: &Centre, remote: &Remote, work: impl Future<Output = T>) -> T {
    let carrying = async {
        loop {
            round(centre, remote).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        done = work => done,
        () = carrying => unreachable!(),
    }
}

async fn rotate_with(centre: &Centre, remote: &Remote) -> Phase {
    with_carrier(centre, remote, rotate(centre, "east")).await.phase
}

// An address where nobody answers, and one where another node does: the node is not heard of, nothing is believed, and
// those beside it go on. Once it is there it is found again, also after a restart of the manager.
#[tokio::test]
async fn a_node_that_is_not_where_it_is_pushed_to_keeps_nobody_waiting() {
    let mut centre = Centre::begin().await;
    let asking = enrolled(&centre, &["n1", "n2"]).await;
    let (_, acts) = plan_zone(&centre.operator, &wishes("east", &asking)).await.unwrap();
    centre.ask(&acts).await;
    let identities = [asking[0].once().await.unwrap(), asking[1].once().await.unwrap()];
    let [n1, n2] = [identities[0].node(), identities[1].node()];
    let there = Pushed::start(&identities[0], &asking[0], "127.0.0.1:0").await;
    let address = there.address.to_string();
    for bad in [
        "",
        "host",
        "host:",
        "host:0",
        "host:70000",
        "a b:1",
        "h/x:1",
        "u@h:1",
        "::1:443",
        "[h]:1",
        "http://h:1",
    ] {
        let problem = push_to(&centre, n1, Some(bad)).await.unwrap_err();
        assert!(matches!(problem, ClientProblem::Refused(problem) if problem.code == "value"), "{bad}");
    }
    // Both at the place of the first one.
    push_to(&centre, n1, Some(&address)).await.unwrap();
    push_to(&centre, n2, Some(&address)).await.unwrap();
    let _: Value =
        centre.operator.post(&format!("/nodes/{n2}/traffic"), &json!({ "to": "offline" })).await.unwrap();
    assert_eq!(rotate(&centre, "east").await.phase, Phase::CompletedWithExceptions);
    until("the first", async || holds(&centre, n1).await == [(1, Progress::Activated)]).await;
    let silent = view(&centre, n2).await;
    assert_eq!((silent.seen_utc_ms, silent.root_kek.is_none()), (0, true));
    assert!(asking[1].store.load(n2).unwrap().is_some());
    // Its own place, where it is not yet.
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let own = reserved.local_addr().unwrap().to_string();
    drop(reserved);
    push_to(&centre, n2, Some(&own)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let late = Pushed::start(&identities[1], &asking[1], &own).await;
    centre.end().await;
    centre.again().await;
    until("the second", async || holds(&centre, n2).await == [(1, Progress::Activated)]).await;
    assert!(view(&centre, n1).await.quarantined.is_none() && view(&centre, n2).await.quarantined.is_none());
    centre.end().await;
    there.end().await;
    late.end().await;
}
