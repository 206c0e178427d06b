//! A node that no network reaches, and a store that is in use.

use crate::manager::Manager;
use crate::node::{enrolled, nowhere, parts, store, zpk};
use gateway::node::{NodeSide, SideError, Store, StoreError, carry};
use keylink::message::{Package, Parcel, Reason, ReceiptKind, Step};
use keylink::node::Rules;
use keylink::{KmcId, NodeId};

async fn round(manager: &Manager, side: &mut NodeSide) -> Vec<ReceiptKind> {
    let node = side.machine().state().node;
    let taken = side.machine().state().seq.0;
    let mail = manager.with(|state| state.mail(node, taken));
    let out = carry(side, &Package::new(node, mail).to_bytes()).await.unwrap().unwrap();
    let parcel = Package::<Parcel>::from_bytes(&out, node).unwrap();
    manager.with(|state| {
        let before = state.peer(node).receipts.len();
        parcel.messages.iter().for_each(|signed| state.receive(node, signed));
        state.peer(node).receipts[before..].iter().map(|r| r.kind).collect()
    })
}

#[tokio::test]
async fn files_carry_the_same_messages() {
    let folder = tempfile::tempdir().unwrap();
    let (manager, store) = (Manager::new(), store(folder.path()));
    let identity = enrolled(&manager, &store).await;
    let node = identity.node();
    let mut side = NodeSide::start(&identity, parts(&store, nowhere()), Rules::default()).await.unwrap();
    manager.with(|state| state.offer_kek(node));
    assert_eq!(round(&manager, &mut side).await, []);
    assert_eq!(round(&manager, &mut side).await, [ReceiptKind::KekInstalled]);
    let keys = zpk();
    manager.with(|state| {
        let target = state.target(node, &keys, 1, Step::Protect);
        state.post(node, &keys, vec![target]);
    });
    assert_eq!(
        round(&manager, &mut side).await,
        [ReceiptKind::Proven, ReceiptKind::Accepting, ReceiptKind::Activated]
    );
    assert_eq!(round(&manager, &mut side).await, []);
    assert!(side.machine().outbox().is_empty(), "confirmed by the package before");
    let foreign = Package::new(NodeId([1; 32]), keylink::message::Mail::default()).to_bytes();
    assert!(carry(&mut side, &foreign).await.unwrap().is_none());
    assert!(carry(&mut side, b"{}").await.unwrap().is_none());
}

// A key block that is moved between rows, nodes or managers is refused by the backend.
#[tokio::test]
async fn swapped_blocks_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (manager, store) = (Manager::new(), store(folder.path()));
    let identity = enrolled(&manager, &store).await;
    let node = identity.node();
    let mut side = NodeSide::start(&identity, parts(&store, nowhere()), Rules::default()).await.unwrap();
    manager.with(|state| state.offer_kek(node));
    round(&manager, &mut side).await;
    round(&manager, &mut side).await;
    let keys = zpk();
    let check = async |side: &mut NodeSide, target: keylink::message::GenerationTarget| {
        manager.with(|state| {
            state.peer(node).mail.clear();
            state.post(node, &keys, vec![target]);
        });
        round(&manager, side).await;
        manager.with(|state| state.peer(node).refused.pop().expect("refused").reason)
    };
    let target = || manager.with(|state| state.target(node, &keys, 1, Step::Stage));
    // The block of another generation, with its own check value: it opens, and says what it is.
    let mut swapped = target();
    let other = manager.with(|state| state.target(node, &keys, 2, Step::Stage));
    (swapped.block, swapped.kcv) = (other.block, other.kcv);
    assert_eq!(check(&mut side, swapped).await, Reason::Label);
    // Of another manager's key set with the same node.
    manager.with(|state| state.centre.kmc = KmcId([3; 32]));
    let foreign = target();
    manager.with(|state| state.centre.kmc = state.centre.root.kmc().unwrap());
    assert_eq!(check(&mut side, foreign).await, Reason::Label);
    let mut wrong = target();
    wrong.kcv = "000000".into();
    assert_eq!(check(&mut side, wrong).await, Reason::CheckValue);
    let mut cut = target();
    cut.block = cut.block.map(|block| block[..block.len() - 2].to_owned());
    assert_eq!(check(&mut side, cut).await, Reason::Block);
    assert_eq!(side.machine().state().key_sets.len(), 0, "nothing of it is kept");
}

#[tokio::test]
async fn one_process_has_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let (manager, store) = (Manager::new(), store(folder.path()));
    let identity = enrolled(&manager, &store).await;
    assert!(matches!(Store::open(&folder.path().join("nodes.sqlite")), Err(StoreError::InUse)));
    let empty = tempfile::tempdir().unwrap();
    let other = crate::node::store(empty.path());
    let refused = NodeSide::start(&identity, parts(&other, nowhere()), Rules::default()).await;
    assert!(matches!(refused, Err(SideError::Unknown(_))));
}
