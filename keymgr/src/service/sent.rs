//! The store, read beside the writer: what was sent, in the exact bytes of before, and exports.

use crate::core::rows::Manifest;
use crate::log::Tiles;
use crate::store::{Error, Location, Row, Store, Stored, Table};
use keylink::{NodeId, Signed};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// A reading connection beside the writer's.
#[derive(Clone)]
pub struct SentStore {
    store: Arc<Mutex<(Store, Tiles)>>,
    location: Arc<Location>,
    turns: Arc<Semaphore>,
}

impl SentStore {
    /// Opens a store that is only read here.
    pub fn open(location: Location) -> Result<Self, Error> {
        let store = Arc::new(Mutex::new((Store::read(&location)?, Tiles::default())));
        Ok(Self { store, location: Arc::new(location), turns: Arc::new(Semaphore::new(1)) })
    }

    /// A connection of its own, for who reads for long.
    pub fn another(&self) -> Result<Store, Error> {
        Store::read(&self.location)
    }

    /// The turn to read for long: one has it.
    pub async fn turn(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        self.turns.clone().acquire_owned().await
    }

    /// Looks into the store on a thread that may wait.
    pub async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut Store) -> T + Send + 'static,
    ) -> Option<T> {
        self.read_log(|store, _| look(store)).await
    }

    /// The same for who works with the log's tree.
    pub async fn read_log<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut Store, &mut Tiles) -> T + Send + 'static,
    ) -> Option<T> {
        let store = self.store.clone();
        let task = move || {
            let (store, tiles) = &mut *store.lock().unwrap_or_else(PoisonError::into_inner);
            look(store, tiles)
        };
        tokio::task::spawn_blocking(task).await.ok()
    }

    /// The manifest of this number as it was signed.
    pub async fn manifest(&self, node: NodeId, seq: u64) -> Option<Signed> {
        let key = [&node.0[..], &seq.to_be_bytes()].concat();
        let row: Option<Row> = self.read(move |store| store.get(Table::Manifests, &key)).await?.ok()?;
        Manifest::from_body(&row?.body).ok().map(|manifest| manifest.signed)
    }
}
