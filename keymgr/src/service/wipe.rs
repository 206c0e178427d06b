//! The last order to a node that was revoked: to erase its keys. It is made when the node can still be reached, by the right
//! of the very action that revoked it, which the node judges as it judges all.

use super::manager::Manager;
use crate::core::input::Input;
use crate::core::node::Wipe;
use keylink::action::Grant;
use keylink::message::{Command, Order};
use keylink::{Body as _, CommandId, NodeId};

impl Manager {
    /// Puts the order into the node's box, if it owes that and the order is not on its way.
    pub(super) async fn order_wipe(&self, node: NodeId) {
        let now = self.now().utc_ms;
        let owed = self.view(|core| {
            let record = core.node(&node)?;
            let Some(Wipe::Owed { by, seq }) = record.wipe else { return None };
            // Taken, and its receipt is to come.
            if seq.is_some_and(|seq| record.link.taken.1 >= seq) {
                return None;
            }
            let evidence = core.evidence(&[by], now, |grant| *grant == Grant::ZeroiseNode(node));
            Some((seq, evidence))
        });
        let Some((seq, evidence)) = owed else { return };
        if seq.is_some_and(|seq| self.0.mail.holds(node, seq.0)) {
            return;
        }
        // Past its time, or by officers who are none any more: the node would not obey.
        let Some(evidence) = evidence else { return };
        let mut random = [0; 10];
        if getrandom::fill(&mut random).is_err() {
            return;
        }
        let command = CommandId::new(now, random);
        let made = self
            .post_next(
                node,
                |head| {
                    let evidence = vec![evidence.clone()];
                    Command { head, command, order: Order::Zeroise, evidence }
                },
                |signed| Input::Post { node, signed },
            )
            .await;
        if let Err(problem) = made {
            tracing::warn!(%node, kind = Command::KIND, %problem, "a revoked node is not told to erase its keys");
        }
    }
}
