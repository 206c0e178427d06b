//! A fault in the node side of a running gateway: it begins anew from what is stored, and no order is lost.

use crate::network::{enrol, net};
use crate::node::{backend, zpk};
use crate::traffic::gateway;
use gateway::node::{NodeService, NodeTable, ServiceSetup, Store, identity_file, store_file};
use keylink::message::{ReceiptKind, Step};
use keylink::node::NodeState;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_side_that_panics_begins_anew() {
    let net = net().await;
    let folder = net.folder.path();
    let identity = enrol(&net, &Store::open(&store_file(folder)).unwrap()).await;
    identity.save(&identity_file(folder)).unwrap();
    let running = gateway();
    // At the first two stores in which there is a key, before anything is said of it.
    let panics = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&panics);
    let stored = move |state: &NodeState| {
        let told = !state.key_sets.is_empty() && counted.fetch_add(1, Relaxed) < 2;
        assert!(!told, "a fault");
    };
    let setup = ServiceSetup {
        data: folder.to_owned(),
        table: NodeTable::default(),
        switches: running.switches(),
        health: running.health(),
        lmks: running.lmks().to_vec(),
        class: running.backend_class(),
        backend: backend(),
        token: None,
        stored: Some(Arc::new(stored)),
    };
    let service = tokio::task::spawn_blocking(|| NodeService::start(setup)).await.unwrap().unwrap();
    let (node, keys) = (identity.node(), zpk());
    net.manager.with(|state| state.offer_kek(node));
    net.manager.wait(node, ReceiptKind::KekInstalled, 1).await;
    net.manager.with(|state| {
        let target = state.target(node, &keys, 1, Step::Protect);
        state.post(node, &keys, vec![target]);
    });
    net.manager.wait(node, ReceiptKind::Activated, 1).await;
    assert!(panics.load(Relaxed) >= 2);
    tokio::task::spawn_blocking(|| drop(service)).await.unwrap();
}
