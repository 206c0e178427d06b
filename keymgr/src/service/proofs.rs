//! Proofs for nodes that the log holds their receipts. They come when nothing else is to be said: a checkpoint is younger
//! than the answer to a receipt, and a rotation waits for no proof. A later receipt proves those before it, so one that
//! is newest when a node has fallen silent is enough.

use super::manager::Manager;
use crate::core::alarm::{Alarm, AlarmKind};
use crate::log::Tiles;
use crate::store::{Error, Store, Table};
use keylink::message::{Checkpoint, ENTRY_MAX, InclusionProof};
use keylink::wire::U64;
use keylink::{Digest, NodeId, Signed};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Receipts of a node that are tried, newest first: the entry of the last one of a step may be too long.
const TRIED: usize = 8;

/// A node that disputes a proof is shown another after so long, milliseconds.
const AGAIN_MS: u64 = 3_600_000;

/// A node that does not say that it has a proof is given it so often at once, since what was given may be lost on its
/// way, and then once in [`AGAIN_MS`].
const GIVEN: u32 = 3;

/// When nodes that dispute a proof were shown the last one, and what was given.
#[derive(Default)]
pub(super) struct Proofs {
    disputed: Mutex<HashMap<NodeId, u64>>,
    // Per node the receipt that was proved last, how often, and when.
    given: Mutex<HashMap<NodeId, (u64, u32, u64)>>,
}

impl Proofs {
    // How often a proof of this receipt was given, if it may be given again.
    fn may_give(&self, node: NodeId, number: u64, mono_ms: u64) -> Option<u32> {
        let all = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, times, since) = all.get(&node).copied().unwrap_or((number, 0, mono_ms));
        let times = if last == number { times } else { 0 };
        (times < GIVEN || mono_ms.saturating_sub(since) >= AGAIN_MS).then_some(times)
    }

    // It was given.
    fn gave(&self, node: NodeId, number: u64, times: u32, mono_ms: u64) {
        let mut all = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(node, (number, times.saturating_add(1), mono_ms));
    }

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
        self.0.proofs.may_give(node, wanted.first()?.0.0, self.now().mono_ms)?;
        let size = checkpoint.size.0;
        let find = move |store: &mut Store, tiles: &mut Tiles| {
            wanted.into_iter().find_map(|receipt| find(store, tiles, node, receipt, size).transpose())
        };
        let found = self.store().read_log(find).await??;
        let found = found.inspect_err(|error| tracing::error!(%error, "no proof of a receipt")).ok()?;
        let number = found.receipt.0.0;
        let times = self.0.proofs.may_give(node, number, self.now().mono_ms)?;
        let proof = self.proof(node, found, checkpoint).await?;
        self.0.proofs.gave(node, number, times, self.now().mono_ms);
        Some(proof)
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
    tiles: &mut Tiles,
    node: NodeId,
    receipt: (U64, Digest),
    size: u64,
) -> Result<Option<Found>, Error> {
    let key = [&node.0[..], &receipt.0.0.to_be_bytes()].concat();
    let Some(index) = store.get(Table::Receipts, &key)?.map(|row| row.log_seq).filter(|at| *at < size) else {
        return Ok(None);
    };
    let Some(entry) = store.line(index)?.filter(|line| line.len() <= ENTRY_MAX) else { return Ok(None) };
    let path = tiles.inclusion(store, index, size)?.into_iter().map(Digest).collect();
    Ok(Some(Found { receipt, index, entry, path }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_that_a_node_does_not_take_is_not_given_for_ever() {
        let proofs = Proofs::default();
        let (one, other) = (NodeId([1; 32]), NodeId([2; 32]));
        let given = |node, number, ms| {
            let times = proofs.may_give(node, number, ms);
            times.inspect(|times| proofs.gave(node, number, *times, ms)).is_some()
        };
        let pulls: Vec<u64> = (0..10).map(|pull| 1_000 + pull * 30_000).collect();
        let times = pulls.iter().filter(|&&ms| given(one, 7, ms)).count();
        assert_eq!(times, GIVEN as usize);
        // Another node and another receipt count for themselves; the same again after a while, and once.
        assert!(given(other, 7, 300_000) && given(one, 8, 300_000));
        let later = 300_000 + AGAIN_MS;
        assert!(given(one, 8, 300_001) && given(one, 8, 300_002) && !given(one, 8, later));
        assert!(given(one, 8, later + 2) && !given(one, 8, later + 3));
    }
}
