//! A node that refuses what waits for it: neither manager nor log are kept busy with that.

use crate::manager::Manager;
use crate::node::{PACE, enrolled, nowhere, parts, store, zpk};
use gateway::node::{NodeSide, Pace, Sending, SideHandle, Transport, run};
use keylink::endpoint::Endpoint;
use keylink::message::{Reason, ReceiptKind, Step};
use keylink::node::Rules;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Counts requests for mail, and what else is said but beats.
struct Counted(Manager, Arc<[AtomicUsize; 2]>);

impl Transport for Counted {
    fn post(&self, endpoint: Endpoint, body: Vec<u8>) -> Sending<'_> {
        match endpoint {
            Endpoint::Pull => self.1[0].fetch_add(1, Relaxed),
            Endpoint::Beat => 0,
            _ => self.1[1].fetch_add(1, Relaxed),
        };
        self.0.post(endpoint, body)
    }
}

#[tokio::test]
async fn what_is_refused_is_asked_for_less_and_less() {
    let folder = tempfile::tempdir().unwrap();
    let (manager, store) = (Manager::new(), store(folder.path()));
    let identity = enrolled(&manager, &store).await;
    let (node, keys) = (identity.node(), zpk());
    let side = NodeSide::start(&identity, parts(&store, nowhere()), Rules::default()).await.unwrap();
    let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let transport = Arc::new(Counted(manager.clone(), Arc::clone(&counts)));
    let (_handle, requests) = SideHandle::new();
    let pace = Pace { retry_longest: Duration::from_secs(300), ..PACE };
    let running = tokio::spawn(run(side, Some(transport), requests, pace, core::future::pending()));
    manager.with(|state| state.offer_kek(node));
    manager.wait(node, ReceiptKind::KekInstalled, 1).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    manager.with(|state| {
        let mut target = state.target(node, &keys, 1, Step::Protect);
        target.kcv = "000000".into();
        state.post(node, &keys, vec![target]);
    });
    let seen = || [counts[0].load(Relaxed), counts[1].load(Relaxed)];
    let before = seen();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = seen();
    // Long polls take 20 ms here.
    assert!(after[0] - before[0] <= 6, "{before:?} {after:?}");
    let refused = manager.with(|state| state.peer(node).refused.clone());
    assert_eq!(refused.iter().map(|r| r.reason).collect::<Vec<_>>(), [Reason::CheckValue], "told once");
    // Another order is taken when it is asked for the next time.
    manager.with(|state| {
        state.peer(node).mail.clear();
        let target = state.target(node, &keys, 1, Step::Protect);
        state.post(node, &keys, vec![target]);
    });
    manager.wait(node, ReceiptKind::Activated, 1).await;
    running.abort();
}
