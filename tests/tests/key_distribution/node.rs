//! Node sides for tests.

use crate::manager::{Keys, Manager, key_set, utc_ms};
use gateway::node::{
    Enrolment, Identity, Installer, InstallerLmks, Nowhere, Pace, Parts, Publish, Store, SystemClock, join,
};
use hsm::LmkId;
use hsm_sim::{LmkSet, Options, Simulator};
use keylink::ZoneId;
use keylink::message::{Definition, Indices, KeyKind, Overlap, Scope, Shape};
use keylink::node::About;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub const PACE: Pace = Pace {
    pull_wait_s: 1,
    beat: Duration::from_millis(100),
    tick: Duration::from_millis(50),
    retry_longest: Duration::from_millis(50),
};

pub fn backend() -> Arc<gateway::BackendFactory> {
    Arc::new(|| Box::new(Simulator::new(&LmkSet::public_test(), Options::default()).unwrap()))
}

pub fn installer() -> Installer {
    Installer::start(backend(), InstallerLmks { traffic: LmkId(0), kek: LmkId(2) }).unwrap()
}

pub fn parts(store: &Store, publish: Box<dyn Publish>) -> Parts {
    Parts {
        store: store.clone(),
        installer: installer(),
        publish,
        clock: Arc::new(SystemClock::new().unwrap()),
        about: About { software: "test".into(), backend_class: "C".into() },
        ready: Arc::new(|| true),
        stored: None,
    }
}

pub fn nowhere() -> Box<dyn Publish> {
    Box::new(Nowhere)
}

pub fn store(folder: &Path) -> Store {
    Store::open(&folder.join("nodes.sqlite")).unwrap()
}

/// Enrols a node over the manager itself.
pub async fn enrolled(manager: &Manager, store: &Store) -> Identity {
    let enrolment = Enrolment::new(manager.token("https://kmc.test")).unwrap();
    join(&enrolment, "test node", "C", manager, store, utc_ms()).await.unwrap()
}

pub fn zpk() -> Keys {
    let clear = (1..=4u8).map(|n| {
        let mut key: Vec<u8> = (0..16u8).map(|i| i.wrapping_mul(29).wrapping_add(n * 41)).collect();
        paytypes::parity::make_odd(&mut key);
        key
    });
    Keys {
        definition: Definition {
            key_set: key_set(8),
            name: "ZPK north".into(),
            scope: Scope::Zone(ZoneId([7; 16])),
            kind: KeyKind::Zpk,
            shape: Shape::Tdes2,
            overlap: Overlap::Time,
            indices: Indices { base: 0x100, odd: 0x101, even: 0x102 },
            hard_stop: false,
        },
        clear: clear.collect(),
    }
}
