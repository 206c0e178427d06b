//! A manager that answers and has counted nothing: what it was told is told again.

use crate::manager::Manager;
use crate::node::{PACE, enrolled, nowhere, parts, store, zpk};
use gateway::node::{Answer, NodeSide, Pace, Sending, SideHandle, Transport, run};
use keylink::endpoint::Endpoint;
use keylink::message::{ReceiptKind, Step};
use keylink::node::Rules;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Takes receipts and gives them to nobody, for as long as it is told to; counts them.
#[derive(Clone)]
struct Deaf(Manager, Arc<(AtomicBool, AtomicUsize)>);

impl Transport for Deaf {
    fn post(&self, endpoint: Endpoint, body: Vec<u8>) -> Sending<'_> {
        if endpoint == Endpoint::Receipts && self.1.0.load(Relaxed) {
            self.1.1.fetch_add(1, Relaxed);
            return Box::pin(async { Ok(Answer::Taken(Vec::new())) });
        }
        self.0.post(endpoint, body)
    }
}

#[tokio::test]
async fn receipts_that_nobody_has_counted_are_told_again_and_ever_more_seldom() {
    let folder = tempfile::tempdir().unwrap();
    let (manager, store) = (Manager::new(), store(folder.path()));
    let identity = enrolled(&manager, &store).await;
    let (node, keys) = (identity.node(), zpk());
    let side = NodeSide::start(&identity, parts(&store, nowhere()), Rules::default()).await.unwrap();
    let deaf = Deaf(manager.clone(), Arc::default());
    let (_handle, requests) = SideHandle::new();
    let pace = Pace { beat: Duration::from_millis(200), ..PACE };
    let running =
        tokio::spawn(run(side, Some(Arc::new(deaf.clone())), requests, pace, core::future::pending()));
    manager.with(|state| state.offer_kek(node));
    manager.wait(node, ReceiptKind::KekInstalled, 1).await;
    deaf.1.0.store(true, Relaxed);
    manager.with(|state| {
        let target = state.target(node, &keys, 1, Step::Protect);
        state.post(node, &keys, vec![target]);
    });
    // Told at once, and again after 0.2, 0.6, 1.4 and 3 s; each of three receipts may be told alone at first.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let told = deaf.1.1.load(Relaxed);
    assert!((3..=7).contains(&told), "{told}");
    deaf.1.0.store(false, Relaxed);
    manager.wait(node, ReceiptKind::Activated, 1).await;
    running.abort();
}
