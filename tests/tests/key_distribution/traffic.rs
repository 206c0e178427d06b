//! A rotation under traffic: a real gateway over TCP, whose host names its keys by index.

use crate::manager::{Manager, proved};
use crate::node::{PACE, backend, enrolled, parts, store, zpk};
use gateway::node::{Cores, Identity, NodeSide, SideHandle, run};
use gateway::{Config, Gateway, ListenSpec, ListenerConfig, Running};
use hsm::LmkId;
use keylink::message::{ReceiptKind, Step};
use keylink::node::Rules;
use keylink::wire::U64;
use paytypes::soft::Soft;
use paytypes::{Cipher, Direction, now};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use tokio::sync::oneshot;

pub fn gateway() -> Running {
    let spec: ListenSpec = "127.0.0.1:0/00".parse().unwrap();
    let config = Config { listeners: vec![ListenerConfig::new(spec)], cores: 2, ..Config::default() };
    Gateway::start(config, backend()).unwrap()
}

pub fn ask(stream: &mut TcpStream, request: &str) -> String {
    let frame = format!("HEAD{request}");
    let mut bytes = u16::try_from(frame.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(frame.as_bytes());
    stream.write_all(&bytes).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply).unwrap();
    String::from_utf8(reply).unwrap()[6..].to_owned()
}

const ACCOUNT: &str = "501471610006";

pub fn block(keys: &crate::manager::Keys, generation: u32) -> String {
    let mut clear = hex::decode("041234FFFFFFFFFF").unwrap();
    let account = hex::decode(format!("0000{ACCOUNT}")).unwrap();
    clear.iter_mut().zip(account).for_each(|(a, b)| *a ^= b);
    now(Soft.ecb(&keys.key(generation), Direction::Encrypt, &mut clear)).unwrap().unwrap();
    hex::encode_upper(clear)
}

struct Started {
    manager: Manager,
    identity: Identity,
    stop: oneshot::Sender<()>,
    side: tokio::task::JoinHandle<()>,
}

async fn start(running: &Running, folder: &std::path::Path) -> Started {
    let manager = Manager::new();
    let store = store(folder);
    let identity = enrolled(&manager, &store).await;
    let cores = Box::new(Cores::new(running.switches(), LmkId(0)));
    let side = NodeSide::start(&identity, parts(&store, cores), Rules::default()).await.unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let (_, requests) = SideHandle::new();
    let transport = Arc::new(manager.clone());
    let side = tokio::spawn(async move {
        let ended = run(side, Some(transport), requests, PACE, async { drop(stopped.await) }).await;
        ended.unwrap();
    });
    let node = identity.node();
    manager.with(|state| state.offer_kek(node));
    manager.wait(node, ReceiptKind::KekInstalled, 1).await;
    Started { manager, identity, stop, side }
}

#[tokio::test]
async fn traffic_goes_on_through_a_rotation_and_without_a_manager() {
    let folder = tempfile::tempdir().unwrap();
    let running = gateway();
    let Started { manager, identity, stop, side } = start(&running, folder.path()).await;
    let (node, keys) = (identity.node(), zpk());
    let post = |steps: &[(u32, Step)]| {
        manager.with(|state| {
            let targets = steps.iter().map(|(g, step)| state.target(node, &keys, *g, *step)).collect();
            state.post(node, &keys, targets);
        });
    };
    post(&[(1, Step::Protect)]);
    manager.wait(node, ReceiptKind::Activated, 1).await;

    // Hosts that protect by the base index and process by the odd one of generation 1, all the time.
    let address = running.address(LmkId(0)).unwrap();
    let (ended, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let of_old = block(&keys, 1);
    let good = [block(&keys, 1), block(&keys, 2)].map(|block| format!("0004{block}01"));
    let hosts: Vec<_> = (0..4)
        .map(|_| {
            let (ended, asked, of_old, good) =
                (Arc::clone(&ended), Arc::clone(&asked), of_old.clone(), good.clone());
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                let mut seen = [0u64; 2];
                while !ended.load(Relaxed) {
                    let reply = ask(&mut stream, &format!("CCK101K10012{of_old}0101{ACCOUNT}"));
                    let which = good.iter().position(|good| *good == reply);
                    seen[which.unwrap_or_else(|| panic!("refused or wrong: {reply}"))] += 1;
                    asked.fetch_add(1, Relaxed);
                }
                seen
            })
        })
        .collect();
    post(&[(1, Step::Protect), (2, Step::Stage)]);
    manager.wait(node, ReceiptKind::Proven, 2).await;
    post(&[(1, Step::Protect), (2, Step::Accept)]);
    manager.wait(node, ReceiptKind::Accepting, 2).await;
    // The manager goes away in the middle; the switch happens by the node's own clock.
    manager.with(|state| {
        let mut new = state.target(node, &keys, 2, Step::Protect);
        new.protect_from = Some(U64(crate::manager::utc_ms() + 1_200));
        let old = state.target(node, &keys, 1, Step::Accept);
        state.post(node, &keys, vec![old, new]);
    });
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    manager.with(|state| state.away = true);
    let before = asked.load(Relaxed);
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    assert!(asked.load(Relaxed) > before, "traffic without a manager");
    // The new state is on the disk before a core uses it, and a disk may take seconds for one flush.
    let mut probe = TcpStream::connect(address).unwrap();
    let due = std::time::Instant::now();
    while ask(&mut probe, &format!("CCK101K10012{of_old}0101{ACCOUNT}")) != good[1] {
        assert!(due.elapsed().as_secs() < 20, "no switch while the manager was away");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    manager.with(|state| state.away = false);
    manager.wait(node, ReceiptKind::Activated, 2).await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    ended.store(true, Relaxed);
    let mut seen = [0; 2];
    for host in hosts {
        let one = host.join().expect("no transaction refused or wrong");
        seen.iter_mut().zip(one).for_each(|(sum, n)| *sum += n);
    }
    assert!(seen[0] > 0 && seen[1] > 0, "both generations protected: {seen:?}");

    post(&[(1, Step::Retire), (2, Step::Protect)]);
    manager.wait(node, ReceiptKind::Retired, 1).await;
    assert_eq!(&ask(&mut probe, &format!("CCK101K10012{of_old}0101{ACCOUNT}"))[..2], "K3");
    let of_new = block(&keys, 2);
    assert_eq!(ask(&mut probe, &format!("CCK102K10012{of_new}0101{ACCOUNT}")), good[1]);

    // Every receipt says what it must, and uses are counted by generation.
    tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    manager.with(|state| {
        let kmc = state.centre.kmc;
        let peer = state.peer(node);
        let proofs: Vec<_> = peer.receipts.iter().filter(|r| r.kind == ReceiptKind::Proven).collect();
        for (receipt, generation) in proofs.iter().zip([1, 2]) {
            assert!(proved(receipt.possession.as_ref().unwrap(), kmc, node, &keys, generation));
        }
        assert!(peer.refused.is_empty(), "{:?}", peer.refused);
        let uses = &peer.beats.last().unwrap().uses;
        assert!(uses.iter().any(|u| u.generation.0 == 1 && u.fixed.0 > 0 && u.base.0 > 0));
        assert!(uses.iter().any(|u| u.generation.0 == 2 && u.base.0 > 0));
    });
    stop.send(()).unwrap();
    side.await.unwrap();
}
