//! Proofs for nodes that the log holds their receipts. They come when nothing else is to be said: a checkpoint is younger
//! than the answer to a receipt, and a rotation waits for no proof. A later receipt proves those before it, so one that
//! is newest when a node has fallen silent is enough.

use super::manager::Manager;
use crate::core::alarm::{Alarm, AlarmKind};
use crate::log::{Nodes, inclusion_by};
use crate::store::{Error, Store, Table};
use keylink::message::{Checkpoint, ENTRY_MAX, InclusionProof};
use keylink::wire::U64;
use keylink::{Digest, NodeId, Signed};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Receipts of a node that are tried, newest first: the entry of the last one of a step may be too long.
const TRIED: usize = 8;

/// A node that disputes a proof is shown another after so long, milliseconds.
const AGAIN_MS: u64 = 3_600_000;

/// What is known of the log's tree, and when nodes that dispute a proof were shown the last one.
#[derive(Default)]
pub(super) struct Proofs {
    nodes: Arc<Mutex<Nodes>>,
    disputed: Mutex<HashMap<NodeId, u64>>,
}

impl Proofs {
    // True when it is time for a node that disputes one.
    fn again(&self, node: NodeId, mono_ms: u64) -> bool {
        let mut all = self.disputed.lock().unwrap_or_else(PoisonError::into_inner);
        let last = *all.entry(node).or_insert(mono_ms);
        if mono_ms.saturating_sub(last) < AGAIN_MS {
            return false;
        }
        all.insert(node, mono_ms);
        true
    }
}

struct Found {
    receipt: (U64, Digest),
    index: u64,
    entry: String,
    path: Vec<Digest>,
}

impl Manager {
    /// A proof of the node's newest receipt that a checkpoint covers, if the node has none of it. One that disputes a
    /// proof gets another now and then: its refusals would fill the log.
    pub(super) async fn proof_for(&self, node: NodeId) -> Option<Signed> {
        let checkpoint = self.checkpoint()?;
        let disputes = |alarm: &Alarm| {
            alarm.kind == AlarmKind::LogDisputed
                && alarm.ended_utc_ms.is_none()
                && alarm.subject == node.to_string()
        };
        let (wanted, disputed): (Vec<(U64, Digest)>, bool) = self.view(|core| {
            let record = core.node(&node).filter(|record| record.is_served())?;
            let proved = record.link.proved;
            let newer = record.link.receipts.iter().rev().take_while(|(number, _)| *number > proved);
            let newer: Vec<_> = newer.take(TRIED).copied().collect();
            (!newer.is_empty()).then(|| (newer, core.alarms().any(disputes)))
        })?;
        if disputed && !self.0.proofs.again(node, self.now().mono_ms) {
            return None;
        }
        let (size, nodes) = (checkpoint.size.0, self.0.proofs.nodes.clone());
        let find = move |store: &mut Store| {
            let mut nodes = nodes.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.into_iter().find_map(|receipt| find(store, &mut nodes, node, receipt, size).transpose())
        };
        let found = self.store().read(find).await??;
        let found = found.inspect_err(|error| tracing::error!(%error, "no proof of a receipt")).ok()?;
        self.proof(node, found, checkpoint).await
    }

    async fn proof(&self, node: NodeId, found: Found, checkpoint: Checkpoint) -> Option<Signed> {
        let Found { receipt: (number, receipt), index, entry, path } = found;
        let (kmc, epoch) = (self.kmc().ok()?, self.view(crate::core::Core::epoch));
        let head = self.head(kmc, node, epoch, number.0, self.now().utc_ms);
        let body = InclusionProof { head, receipt, index: U64(index), entry, path, checkpoint };
        // One that is not signed now is due again.
        self.sign(&body).await.ok()
    }
}

fn find(
    store: &mut Store,
    nodes: &mut Nodes,
    node: NodeId,
    receipt: (U64, Digest),
    size: u64,
) -> Result<Option<Found>, Error> {
    let key = [&node.0[..], &receipt.0.0.to_be_bytes()].concat();
    let Some(index) = store.get(Table::Receipts, &key)?.map(|row| row.log_seq).filter(|at| *at < size) else {
        return Ok(None);
    };
    let Some(entry) = store.line(index)?.filter(|line| line.len() <= ENTRY_MAX) else { return Ok(None) };
    let path = inclusion_by(store, nodes, index, size)?.into_iter().map(Digest).collect();
    Ok(Some(Found { receipt, index, entry, path }))
}
