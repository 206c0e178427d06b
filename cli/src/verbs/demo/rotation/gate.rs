//! When the manager is killed, and what holds its nodes back until it was. The kill comes from the event itself: the
//! answer to the receipt, or the stored order, that makes the count full. Around it the nodes of this process are
//! paced, so that some proofs are confirmed, some are on their way and some are not sent yet when it comes, however
//! fast a small fleet is.

use super::fleet::Seen;
use gateway::node::{Answer, Sending, Transport, TransportError};
use keylink::endpoint::Endpoint;
use keylink::envelope::strict;
use keylink::message::{InclusionProof, Mail, Parcel, Receipt, ReceiptKind};
use keylink::{Body as _, Digest, Signed};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What is counted up to a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Proofs that the manager has confirmed to nodes of this process.
    Proofs,
    /// Nodes of this process that have stored the order to protect.
    Orders,
}

/// A kill that is to come.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    /// What is counted.
    pub count: Count,
    /// It comes when so many are there.
    pub at: usize,
    /// No more than so many are let through before.
    pub limit: usize,
    /// Process.
    pub pid: u32,
}

/// A kill that came.
#[derive(Clone, Copy, Debug)]
pub struct Fired {
    /// What was there.
    pub count: usize,
    /// When, UTC milliseconds.
    pub utc_ms: u64,
}

#[derive(Default)]
struct State {
    due: Option<Due>,
    fired: Option<Fired>,
    sent: HashSet<Digest>,
    confirmed: HashSet<Digest>,
    mailed: HashSet<usize>,
    ordered: HashSet<usize>,
}

/// The gate of all nodes.
#[derive(Default)]
pub struct Gate {
    state: Mutex<State>,
    changed: Notify,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A kill is due; what waited for the one before goes on.
    pub fn arm(&self, due: Option<Due>) {
        let mut state = self.state();
        (state.due, state.fired) = (due, None);
        drop(state);
        self.changed.notify_waiters();
    }

    /// The kill, when it has come.
    pub fn fired(&self) -> Option<Fired> {
        self.state().fired
    }

    /// A node has stored a state.
    pub fn stored(&self, node: usize, seen: &Seen, zones: usize) {
        if seen.ordered < zones {
            return;
        }
        let mut state = self.state();
        state.ordered.insert(node);
        self.judge(&mut state, Count::Orders);
    }

    // By its number: the child is waited for later, so that the number is nobody else's.
    fn judge(&self, state: &mut State, what: Count) {
        let count = match what {
            Count::Proofs => state.confirmed.len(),
            Count::Orders => state.ordered.len(),
        };
        let Some(due) = state.due.filter(|due| due.count == what && count >= due.at) else { return };
        if state.fired.is_some() {
            return;
        }
        let pid = i32::try_from(due.pid).ok().and_then(Pid::from_raw);
        if pid.is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok()) {
            state.fired = Some(Fired { count, utc_ms: keymgr::client::utc_ms() });
            self.changed.notify_waiters();
        }
    }

    // Waits until these proofs may be sent.
    async fn send(&self, proofs: &[Digest]) {
        loop {
            let changed = self.changed.notified();
            {
                let mut state = self.state();
                let limit = state.due.filter(|due| due.count == Count::Proofs).map(|due| due.limit);
                let known = proofs.iter().all(|proof| state.sent.contains(proof));
                if known || limit.is_none_or(|limit| state.sent.len() < limit) {
                    state.sent.extend(proofs);
                    return;
                }
            }
            changed.await;
        }
    }

    fn confirm(&self, proofs: &[Digest]) {
        let mut state = self.state();
        state.confirmed.extend(proofs);
        self.judge(&mut state, Count::Proofs);
    }

    // False: the mail is lost on its way, with the manager that has sent it.
    async fn mail(&self, node: usize) -> bool {
        loop {
            let changed = self.changed.notified();
            {
                let mut state = self.state();
                let limit = state.due.filter(|due| due.count == Count::Orders).map(|due| due.limit);
                let Some(limit) = limit else { return true };
                if state.mailed.contains(&node) || state.mailed.len() < limit {
                    state.mailed.insert(node);
                    return true;
                }
                if state.fired.is_some() {
                    return false;
                }
            }
            changed.await;
        }
    }
}

/// A way to the manager that passes the gate.
pub struct Gated {
    inner: Arc<dyn Transport>,
    gate: Arc<Gate>,
    node: usize,
}

impl Gated {
    /// The way of a node.
    pub fn new(inner: Arc<dyn Transport>, gate: Arc<Gate>, node: usize) -> Self {
        Self { inner, gate, node }
    }
}

// Proofs of a second key and later ones; the first is brought before anything is killed.
fn proofs(body: &[u8]) -> Vec<Digest> {
    let Ok(parcel) = strict::<Parcel>(body) else { return Vec::new() };
    let is_proof = |receipt: &Receipt| {
        receipt.kind == ReceiptKind::Proven && receipt.generation.is_some_and(|generation| generation.0 > 1)
    };
    let receipts = parcel.messages.iter().filter(|signed| signed.kind == "receipt");
    receipts.filter(|signed| signed.peek().is_ok_and(|one| is_proof(&one))).map(|s| s.hash()).collect()
}

// Mail that a rotation waits for: a proof of what was receipted orders nothing.
fn orders(body: &[u8]) -> bool {
    let orders = |signed: &Signed| signed.kind != InclusionProof::KIND;
    let is_order = |mail: Mail| !mail.roots.is_empty() || mail.messages.iter().any(orders);
    strict::<Mail>(body).map_or(!body.is_empty(), is_order)
}

impl Transport for Gated {
    fn session(&self) -> gateway::node::Opening<'_> {
        self.inner.session()
    }

    fn post(&self, endpoint: Endpoint, body: Vec<u8>) -> Sending<'_> {
        Box::pin(async move {
            let proofs = if endpoint == Endpoint::Receipts { proofs(&body) } else { Vec::new() };
            if !proofs.is_empty() {
                self.gate.send(&proofs).await;
            }
            let answer = self.inner.post(endpoint, body).await?;
            if !proofs.is_empty() {
                self.gate.confirm(&proofs);
            }
            let mail = endpoint == Endpoint::Pull && matches!(&answer, Answer::Taken(body) if orders(body));
            if mail && !self.gate.mail(self.node).await {
                return Err(TransportError::Unreachable("lost with the manager".to_owned()));
            }
            Ok(answer)
        })
    }
}
