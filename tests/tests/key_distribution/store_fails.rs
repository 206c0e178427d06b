//! A disk that is full for a moment: the node side goes back to what is stored, and goes on within the same boot. And
//! cores that do not take a table.

use crate::manager::Manager;
use crate::node::{PACE, enrolled, nowhere, parts, store, zpk};
use gateway::node::{NodeSide, Nowhere, Publish, SideHandle, Store, TableEvent, run};
use keylink::message::{GenerationUse, ReceiptKind, StatusBeat, Step};
use keylink::node::{Rules, TableImage};
use keylink::{Generation, NodeId};
use rusqlite::Connection;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use ReceiptKind::{Accepting, Activated, Destroyed, Proven};

/// A disk that does not take, or does not give, what is written.
struct Disk(Connection);

impl Disk {
    fn of(folder: &tempfile::TempDir) -> Self {
        Self(Connection::open(folder.path().join("nodes.sqlite")).unwrap())
    }

    fn run(&self, sql: &str) {
        self.0.execute_batch(sql).unwrap();
    }

    fn fill(&self) {
        self.run("CREATE TRIGGER full BEFORE INSERT ON node BEGIN SELECT RAISE(ABORT, 'disk full'); END");
    }

    fn clear(&self) {
        self.run("DROP TRIGGER full");
    }
}

/// Cores of which the test says itself what they have done.
struct Silent;

impl Publish for Silent {
    fn publish(&mut self, _: &TableImage, _: &UnboundedSender<TableEvent>) -> bool {
        true
    }

    fn uses(&self) -> Vec<GenerationUse> {
        Vec::new()
    }
}

/// Cores that take tables only when they are told to.
struct Stubborn(Arc<AtomicBool>);

impl Publish for Stubborn {
    fn publish(&mut self, image: &TableImage, events: &UnboundedSender<TableEvent>) -> bool {
        self.0.load(Ordering::SeqCst) && Nowhere.publish(image, events)
    }

    fn uses(&self) -> Vec<GenerationUse> {
        Vec::new()
    }
}

struct House {
    manager: Manager,
    store: Store,
    disk: Disk,
    side: NodeSide,
    node: NodeId,
    _folder: tempfile::TempDir,
}

async fn house(publish: Box<dyn Publish>) -> House {
    let folder = tempfile::tempdir().unwrap();
    let (manager, store) = (Manager::new(), store(folder.path()));
    let identity = enrolled(&manager, &store).await;
    let side = NodeSide::start(&identity, parts(&store, publish), Rules::default()).await.unwrap();
    let (node, disk) = (identity.node(), Disk::of(&folder));
    let mut house = House { manager, store, disk, side, node, _folder: folder };
    house.manager.with(|state| state.offer_kek(node));
    assert_eq!(house.round().await, []);
    assert_eq!(house.round().await, [ReceiptKind::KekInstalled]);
    house
}

impl House {
    fn post(&self, steps: &[(u32, Step)]) {
        self.manager.with(|state| {
            let targets = steps.iter().map(|(g, step)| state.target(self.node, &zpk(), *g, *step)).collect();
            state.post(self.node, &zpk(), targets);
        });
    }

    async fn mail(&mut self) -> Result<Vec<keylink::Signed>, gateway::node::SideError> {
        let taken = self.side.machine().state().seq.0;
        let mail = self.manager.with(|state| state.mail(self.node, taken));
        self.side.mail(&mail).await
    }

    /// Mail in, receipts out; their kinds.
    async fn round(&mut self) -> Vec<ReceiptKind> {
        let said = self.mail().await.unwrap();
        self.side.settle().await.unwrap();
        self.deliver(said)
    }

    fn deliver(&self, said: Vec<keylink::Signed>) -> Vec<ReceiptKind> {
        let parcel = self.side.parcel(said);
        self.manager.with(|state| {
            let before = state.peer(self.node).receipts.len();
            parcel.messages.iter().for_each(|signed| state.receive(self.node, signed));
            state.peer(self.node).receipts[before..].iter().map(|receipt| receipt.kind).collect()
        })
    }

    /// What this side says of itself is no replay to the manager.
    fn is_heard(&mut self) {
        let (hello, pull, beat) =
            (self.side.hello().unwrap(), self.side.pull(25).unwrap(), self.side.beat().unwrap());
        self.manager.with(|state| {
            let link = state.peer(self.node).link.as_mut().unwrap();
            let now = crate::manager::utc_ms();
            link.hello(now, &hello).expect("hello");
            link.pull(now, &pull).expect("pull");
            link.beat(now, &beat).expect("beat");
        });
    }

    fn table(&self) -> u64 {
        self.side.machine().state().table.0
    }
}

#[tokio::test]
async fn a_manifest_that_is_not_stored_comes_again() {
    let mut house = house(nowhere()).await;
    house.side.by_file();
    for _ in 0..200 {
        let beat = house.side.beat().unwrap();
        house.manager.with(|state| state.receive(house.node, &beat));
    }
    house.post(&[(1, Step::Protect)]);
    let before = house.store.load(house.node).unwrap();
    house.disk.fill();
    assert!(house.mail().await.is_err());
    assert_eq!(house.store.load(house.node).unwrap(), before);
    assert_eq!(house.side.machine().to_bytes(), before.unwrap());
    house.is_heard();
    let beat: StatusBeat = house.side.beat().unwrap().peek().unwrap();
    assert_eq!(beat.alarms, [keylink::message::Alarm::Store]);
    let life_ms = beat.head.not_after.0 - beat.utc_ms.0;
    assert!(life_ms > 24 * 3600 * 1000, "still said for files: {life_ms}");
    house.disk.clear();
    assert_eq!(house.round().await, [Proven, Accepting, Activated]);
    house.is_heard();
    assert!(house.side.beat().unwrap().peek::<StatusBeat>().unwrap().alarms.is_empty());
}

// The cores say once that they have switched, and once that nothing older is left.
#[tokio::test]
async fn what_the_cores_have_done_is_told_when_it_can_be_stored() {
    let mut house = house(Box::new(Silent)).await;
    house.post(&[(1, Step::Protect), (2, Step::Stage)]);
    assert_eq!(house.round().await, [Proven, Proven]);
    for _ in 0..200 {
        let beat = house.side.beat().unwrap();
        house.manager.with(|state| state.receive(house.node, &beat));
    }
    house.disk.fill();
    assert!(house.side.event(TableEvent::Switched(house.table())).await.is_err());
    assert_eq!(house.deliver(vec![]), []);
    assert!(house.side.tick().await.is_err());
    house.is_heard();
    house.disk.clear();
    let said = house.side.tick().await.unwrap();
    assert_eq!(house.deliver(said), [Accepting, Activated]);

    house.post(&[(1, Step::Protect), (2, Step::Destroy)]);
    assert_eq!(house.round().await, []);
    house.side.event(TableEvent::Switched(house.table())).await.unwrap();
    house.disk.fill();
    assert!(house.side.event(TableEvent::Released(house.table())).await.is_err());
    let token = |house: &House| {
        let set = &house.side.machine().state().key_sets[0];
        set.generation(Generation(2)).unwrap().token.clone()
    };
    assert!(!token(&house).is_empty());
    house.disk.clear();
    let said = house.side.tick().await.unwrap();
    assert_eq!(house.deliver(said), [Destroyed]);
    assert_eq!(token(&house), "", "erased");
    assert_eq!(house.side.tick().await.unwrap(), []);
    assert_eq!(house.deliver(vec![]), [], "once");
}

// Or a key that is to stop would go on for as long as nothing else changes.
#[tokio::test]
async fn a_table_that_is_not_taken_is_given_again_and_is_an_alarm_meanwhile() {
    let takes = Arc::new(AtomicBool::new(true));
    let mut house = house(Box::new(Stubborn(Arc::clone(&takes)))).await;
    let alarms = |house: &mut House| house.side.beat().unwrap().peek::<StatusBeat>().unwrap().alarms;
    house.post(&[(1, Step::Protect)]);
    takes.store(false, Ordering::SeqCst);
    assert_eq!(house.round().await, [Proven]);
    for _ in 0..3 {
        let said = house.side.tick().await.unwrap();
        assert_eq!(house.deliver(said), [], "nothing is told that the cores do not do");
        assert_eq!(alarms(&mut house), [keylink::message::Alarm::Table]);
    }
    takes.store(true, Ordering::SeqCst);
    let said = house.side.tick().await.unwrap();
    house.side.settle().await.unwrap();
    assert_eq!(house.deliver(said), [Accepting, Activated]);
    assert_eq!(alarms(&mut house), []);
}

// Neither stored nor read: what the machine holds then must not reach the manager, who would find a fork later.
#[tokio::test]
async fn nothing_is_said_that_is_not_known_to_be_stored() {
    let mut house = house(nowhere()).await;
    house.post(&[(1, Step::Protect)]);
    house.disk.run("ALTER TABLE node RENAME TO away");
    assert!(house.mail().await.is_err());
    assert!(!house.side.is_sound() && house.side.tick().await.is_err());
    let House { manager, disk, side, node, _folder, store: _store } = house;
    let (stop, stopped) = oneshot::channel::<()>();
    let (_handle, requests) = SideHandle::new();
    let transport = Arc::new(manager.clone());
    let running = tokio::spawn(run(side, Some(transport), requests, PACE, async { drop(stopped.await) }));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let told = |manager: &Manager| {
        manager.with(|state| (state.peer(node).beats.len(), state.peer(node).receipts.len()))
    };
    assert_eq!(told(&manager), (0, 1), "silent, but for the root KEK before");
    disk.run("ALTER TABLE away RENAME TO node");
    manager.wait(node, Activated, 1).await;
    assert_eq!(manager.with(|state| state.peer(node).link.as_ref().unwrap().quarantine), None);
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
}
