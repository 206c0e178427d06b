//! A node process that is killed between storing and sending its receipt.

use crate::manager::Manager;
use crate::node::{enrolled, nowhere, parts, store, zpk};
use gateway::node::{Identity, NodeSide};
use keylink::envelope::{bytes_of, strict};
use keylink::message::{Mail, ReceiptKind, Step};
use keylink::node::Rules;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const FOLDER: &str = "PAYHSM_TEST_NODE_FOLDER";

// The child: takes the mail in the folder, and stops for ever right after the store, before anything is sent.
#[tokio::test]
async fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let identity = Identity::load(&folder.join("node.json")).unwrap();
    let mail: Mail = strict(&std::fs::read(folder.join("mail")).unwrap()).unwrap();
    let mark = folder.join("stored");
    let stored = Arc::new(move |state: &keylink::node::NodeState| {
        if !state.key_sets.is_empty() {
            std::fs::write(&mark, b"stored").unwrap();
            loop {
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    });
    let parts = gateway::node::Parts { stored: Some(stored), ..parts(&store(folder), nowhere()) };
    let mut side = NodeSide::start(&identity, parts, Rules::default()).await.unwrap();
    side.mail(&mail).await.unwrap();
    panic!("the store comes first");
}

#[tokio::test]
async fn killed_between_store_and_receipt() {
    let folder = tempfile::tempdir().unwrap();
    let manager = Manager::new();
    let opened = store(folder.path());
    let identity = enrolled(&manager, &opened).await;
    let node = identity.node();
    identity.save(&folder.path().join("node.json")).unwrap();
    let mut side = NodeSide::start(&identity, parts(&opened, nowhere()), Rules::default()).await.unwrap();
    let give = async |side: &mut NodeSide| {
        let taken = side.machine().state().seq.0;
        let mail = manager.with(|state| state.mail(node, taken));
        let said = side.mail(&mail).await.unwrap();
        side.settle().await.unwrap();
        let parcel = side.parcel(said);
        manager.with(|state| parcel.messages.iter().for_each(|signed| state.receive(node, signed)));
    };
    manager.with(|state| state.offer_kek(node));
    give(&mut side).await;
    give(&mut side).await;
    drop(side);
    drop(opened);
    let keys = zpk();
    let signed = manager.with(|state| {
        let target = state.target(node, &keys, 1, Step::Protect);
        state.post(node, &keys, vec![target])
    });
    let mail = Mail { roots: vec![], messages: vec![signed] };
    std::fs::write(folder.path().join("mail"), bytes_of(&mail)).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::child", "--nocapture"])
        .env(FOLDER, folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mark = folder.path().join("stored");
    for _ in 0..3_000 {
        if mark.exists() {
            break;
        }
        assert!(child.try_wait().unwrap().is_none(), "the child ended by itself");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(mark.exists());
    child.kill().unwrap();
    child.wait().unwrap();

    // It comes back with the receipt that it had stored, and one key.
    let opened = store(folder.path());
    let mut side = NodeSide::start(&identity, parts(&opened, nowhere()), Rules::default()).await.unwrap();
    let kept: Vec<_> = side.machine().outbox().to_vec();
    let proven: Vec<_> = kept.iter().filter(|s| s.kind == "receipt").collect();
    assert!(!proven.is_empty());
    side.settle().await.unwrap();
    give(&mut side).await;
    give(&mut side).await;
    assert_eq!(side.machine().state().key_sets[0].generations.len(), 1);
    manager.with(|state| {
        let kinds: Vec<_> = state.peer(node).receipts.iter().map(|r| r.kind).collect();
        let once = |kind| kinds.iter().filter(|k| **k == kind).count() == 1;
        assert!(
            once(ReceiptKind::Proven) && once(ReceiptKind::Accepting) && once(ReceiptKind::Activated),
            "{kinds:?}"
        );
        assert_eq!(state.peer(node).link.as_ref().unwrap().quarantine, None);
    });
}
