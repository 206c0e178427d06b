//! The last order to a node that was revoked: to erase its keys. It is made when the node can still be reached, by the right
//! of the very action that revoked it, which the node judges as it judges all.

use super::manager::{Manager, SubmitProblem};
use crate::core::Refusal;
use crate::core::input::Input;
use crate::core::node::Wipe;
use crate::service::link::LinkProblem;
use keylink::action::{Evidence, Grant};
use keylink::message::{Command, Order};
use keylink::{Body as _, CommandId, NodeId};

impl Manager {
    /// Puts the order into the node's box, if it owes that and no order is on its way that still holds long enough.
    pub(super) async fn order_wipe(&self, node: NodeId) {
        let now = self.now().utc_ms;
        let evidence = self.view(|core| {
            let record = core.node(&node)?;
            let Some(Wipe::Owed { by, order, .. }) = record.wipe else { return None };
            // Taken, and its receipt is to come; or it waits.
            let waits = order.is_some_and(|order| {
                let taken = order.until_utc_ms > now && record.link.taken.1 >= order.seq;
                taken || (!order.is_late(now) && self.0.mail.holds(node, order.seq.0))
            });
            // Past its time, or by officers who are none any more: the node would not obey, and the core ends it.
            let shown = || core.evidence(&[by], now, |grant| *grant == Grant::ZeroiseNode(node));
            if waits { None } else { shown() }
        });
        let Some(evidence) = evidence else { return };
        // To its end, also when the node has gone meanwhile: an order that has its number belongs into the box.
        let manager = self.clone();
        let made = tokio::spawn(async move { manager.make_order(node, evidence).await }).await;
        match made {
            Ok(Ok(()) | Err(LinkProblem::Refused(SubmitProblem::Refused(Refusal::Outdated(_))))) => {}
            Ok(Err(problem)) => {
                tracing::warn!(%node, kind = Command::KIND, %problem, "a revoked node is not told to erase its keys");
            }
            Err(problem) => tracing::error!(%node, %problem, "a revoked node is not told to erase its keys"),
        }
    }

    async fn make_order(&self, node: NodeId, evidence: Evidence) -> Result<(), LinkProblem> {
        let mut random = [0; 10];
        getrandom::fill(&mut random).map_err(|error| LinkProblem::Unready(error.to_string()))?;
        let command = CommandId::new(self.now().utc_ms, random);
        let body = |head| Command { head, command, order: Order::Zeroise, evidence: vec![evidence.clone()] };
        self.post_next(node, body, |signed| Input::Post { node, signed }).await.map(|_| ())
    }
}
