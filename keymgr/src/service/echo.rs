//! What nodes have seen of the log, compared with the log: a store that was set back, or a log that was told anew, is
//! found by the first node that speaks, while the manager serves.

use super::manager::Manager;
use crate::core::alarm::{Alarm, AlarmKind};
use crate::core::input::Input;
use keylink::wire::U64;
use keylink::{Digest, NodeId};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

// Nodes name the same few states time and again.
const KEPT: usize = 1024;

/// Roots that were worked out.
#[derive(Default)]
pub(super) struct Roots(Mutex<BTreeMap<u64, Digest>>);

impl Roots {
    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<u64, Digest>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Manager {
    /// A node has proved that it has seen this state of the log: its size and root. People are told when the log never
    /// was in it.
    pub(super) async fn echoed(&self, node: NodeId, seen: Option<(U64, Digest)>) {
        let Some((U64(size), root)) = seen else { return };
        let text = match self.root_of(size).await {
            Some(own) if own == root => return,
            Some(_) => format!("it has seen another log of {size} entries: the history was told anew"),
            None if size > self.0.parts.writer.standing().log_size => {
                format!("it has seen {size} entries of the log, which has fewer: the store was set back")
            }
            // The store does not answer now.
            None => return,
        };
        let open = |alarm: &Alarm| {
            alarm.kind == AlarmKind::LogDiffers
                && alarm.subject == node.to_string()
                && alarm.ended_utc_ms.is_none()
        };
        if !self.view(|core| core.alarms().any(open)) {
            tracing::error!(%node, size, "a node has seen another log");
            let _ = self.submit(None, Input::LogDiffers { node, text }).await;
        }
    }

    async fn root_of(&self, size: u64) -> Option<Digest> {
        if let Some(root) = self.0.roots.with(|roots| roots.get(&size).copied()) {
            return Some(root);
        }
        if size > self.0.parts.writer.standing().log_size {
            return None;
        }
        let root = self.store().read_log(move |store, tiles| tiles.root_at(store, size)).await;
        let root = Digest(root?.ok()?);
        self.0.roots.with(|roots| {
            // The newest states are those that will be named again.
            if roots.len() >= KEPT {
                roots.pop_first();
            }
            roots.insert(size, root);
        });
        Some(root)
    }
}
