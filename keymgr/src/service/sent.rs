//! What was sent, read from the store: the exact bytes of before.

use crate::core::rows::Manifest;
use crate::store::{Row, Store, Stored, Table};
use keylink::{NodeId, Signed};
use std::sync::{Arc, Mutex, PoisonError};

/// A reading connection beside the writer's.
#[derive(Clone)]
pub struct SentStore(Arc<Mutex<Store>>);

impl SentStore {
    /// Over a store that is only read here.
    pub fn new(store: Store) -> Self {
        Self(Arc::new(Mutex::new(store)))
    }

    /// Looks into the store on a thread that may wait.
    pub async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut Store) -> T + Send + 'static,
    ) -> Option<T> {
        let store = self.0.clone();
        let task = move || look(&mut store.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(task).await.ok()
    }

    /// The manifest of this number as it was signed.
    pub async fn manifest(&self, node: NodeId, seq: u64) -> Option<Signed> {
        let key = [&node.0[..], &seq.to_be_bytes()].concat();
        let row: Option<Row> = self.read(move |store| store.get(Table::Manifests, &key)).await?.ok()?;
        Manifest::from_body(&row?.body).ok().map(|manifest| manifest.signed)
    }
}
