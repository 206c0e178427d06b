//! Nodes that are pushed to: what is due is brought to them, and what they answer is taken, as by file but at once.
//! Every node has a task of its own, so that one that does not answer keeps nobody waiting.

use super::carrier::{CARRIED_MAX, Way};
use super::link::{LinkProblem, mail_bytes};
use super::manager::Manager;
use super::transport::Transport;
use crate::channel::{ClientError, node_client};
use crate::core::node::{Node, Zone};
use crate::core::table::{State, Table};
use crate::with_causes;
use keylink::endpoint::{BEAT_S, MEDIA_TYPE, PUSH_PATH};
use keylink::envelope::strict;
use keylink::message::{Mail, Parcel};
use keylink::wire::{MESSAGE_MAX, U64};
use keylink::{Digest, NodeId};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::task::{AbortHandle, JoinSet};

/// Between two looks at who is pushed to.
const LOOK: Duration = Duration::from_secs(1);
/// Between two pushes to a node that still owes something.
const BUSY: Duration = Duration::from_millis(500);
/// Between two pushes to a node that owes nothing: its answer says how it is.
const IDLE: Duration = Duration::from_secs(BEAT_S);
/// After failures: twice as long each time, half of it at random, milliseconds.
const SHORTEST_MS: u64 = 1_000;
const LONGEST_MS: u64 = 300_000;

/// Why a push did not go through.
#[derive(Debug, Error)]
enum PushProblem {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("not reached: {0}")]
    Unreachable(String),
    #[error("the node answered {0}")]
    Status(u16),
    #[error("the node's answer is no parcel")]
    Answer,
    #[error(transparent)]
    Link(#[from] LinkProblem),
}

impl From<reqwest::Error> for PushProblem {
    fn from(error: reqwest::Error) -> Self {
        Self::Unreachable(with_causes(&error.without_url()))
    }
}

// How long to wait after so many failures in a row.
fn pause(failures: u32, random: u64) -> Duration {
    let most = (SHORTEST_MS << failures.min(16)).min(LONGEST_MS);
    Duration::from_millis(most / 2 + random % (most / 2))
}

/// What a task knows of its node.
struct Target {
    node: NodeId,
    url: String,
    // Of the authorities of that moment.
    http: Option<(Arc<Transport>, reqwest::Client)>,
    // The last receipt that a push has confirmed.
    confirmed: Option<(U64, Digest)>,
}

impl Manager {
    /// Pushes to whoever takes pushes, over connections to certificates of the transport authority, until `stop` is ready.
    pub async fn push(&self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let (mut tasks, mut running) = (JoinSet::new(), HashMap::<NodeId, (String, AbortHandle)>::new());
        loop {
            let wanted = self.pushed_to();
            running.retain(|node, (address, task)| {
                let stays = wanted.get(node) == Some(address) && !task.is_finished();
                if !stays {
                    task.abort();
                }
                stays
            });
            while tasks.try_join_next().is_some() {}
            for (node, address) in wanted {
                if running.contains_key(&node) {
                    continue;
                }
                let url = format!("https://{address}{PUSH_PATH}");
                let target = Target { node, url, http: None, confirmed: None };
                let task = tasks.spawn(self.clone().push_to(target));
                running.insert(node, (address, task));
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = &mut stop => break,
            }
        }
        tasks.shutdown().await;
    }

    fn pushed_to(&self) -> HashMap<NodeId, String> {
        self.view(|core| {
            let counts = |node: &&Node| node.is_spoken_with();
            let nodes = <State as Table<Node>>::rows(core.state()).values().filter(counts);
            nodes.filter_map(|node| Some((node.id, node.reach.push.clone()?))).collect()
        })
    }

    async fn push_to(self, mut target: Target) {
        let mut failures = 0;
        loop {
            let bell = self.0.mail.bell(target.node);
            let ring = bell.notified();
            match self.push_once(&mut target).await {
                Ok(wait) => {
                    failures = 0;
                    let _ = tokio::time::timeout(wait, ring).await;
                }
                Err(problem) => {
                    let wait = pause(failures, getrandom::u64().unwrap_or_default());
                    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                    // The first failure is news; the others are the same again.
                    match failures {
                        0 => tracing::warn!(node = %target.node, %problem, wait_ms, "push"),
                        _ => tracing::debug!(node = %target.node, %problem, wait_ms, "push"),
                    }
                    failures = failures.saturating_add(1);
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    // One push; gives how long to wait for the next when nothing new is due.
    async fn push_once(&self, target: &mut Target) -> Result<Duration, PushProblem> {
        let node = target.node;
        if !self.writer().standing().leading {
            return Ok(BUSY);
        }
        let link = self.view(|core| core.node(&node).map(|record| record.link.clone()));
        let link = link.ok_or(LinkProblem::Unknown)?;
        let last = link.last_receipt();
        // A node that has never spoken says first what it has.
        let mail = if link.spoke(u64::MAX) == U64(0) {
            Mail::default()
        } else {
            self.keep_offered(node).await;
            let news = last != target.confirmed;
            self.bundle(node, news, !news).await?
        };
        let http = self.client_of(target)?;
        let request = http.post(&target.url).header("content-type", MEDIA_TYPE);
        let mut answer = request.body(mail_bytes(&mail)).send().await?;
        if !answer.status().is_success() {
            return Err(PushProblem::Status(answer.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if body.len() + chunk.len() > MESSAGE_MAX {
                return Err(PushProblem::Answer);
            }
            body.extend_from_slice(&chunk);
        }
        target.confirmed = last;
        let parcel: Parcel = strict(&body).map_err(|_| PushProblem::Answer)?;
        if parcel.messages.len() > CARRIED_MAX {
            return Err(PushProblem::Answer);
        }
        // As on the node's own connection; here the answer is waited with, since a node need not say it again.
        while let Err(LinkProblem::TooMany(seconds)) = self.listen(node, parcel.messages.len()) {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        }
        for verdict in self.parcel(node, parcel, Way::Push).await? {
            if let Some(code) = verdict.code {
                tracing::warn!(%node, kind = verdict.kind, message = %verdict.message, code, "not taken");
            }
        }
        Ok(if self.is_busy(node, target.confirmed) { BUSY } else { IDLE })
    }

    // The one that is there, unless authorities have changed since: what is open ends with it.
    fn client_of(&self, target: &mut Target) -> Result<reqwest::Client, PushProblem> {
        let transport = self.transport()?;
        if let Some((of, http)) = &target.http
            && Arc::ptr_eq(of, &transport)
        {
            return Ok(http.clone());
        }
        let http = node_client(transport.shown(), transport.counts(), target.node)?;
        target.http = Some((transport, http.clone()));
        Ok(http)
    }

    // Something of the node is awaited: an answer, a step of a rotation, receipts that are not confirmed.
    fn is_busy(&self, node: NodeId, confirmed: Option<(U64, Digest)>) -> bool {
        self.view(|core| {
            let Some(record) = core.node(&node) else { return false };
            let zones = <State as Table<Zone>>::rows(core.state());
            let sets = record.zones.iter().filter_map(|zone| zones.get(zone)).flat_map(|zone| &zone.key_sets);
            let mut live = sets.filter_map(|set| core.key_set(set)).map(|set| set.live_campaign.is_some());
            !record.has_answered()
                || core.key_change_concerns(record)
                || record.link.last_receipt() != confirmed
                || live.any(|live| live)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_are_never_nothing() {
        for (failures, least, most) in [(0, 500, 1_000), (3, 4_000, 8_000), (60, 150_000, 300_000)] {
            for random in [0, 1, 77_777, u64::MAX] {
                let wait = pause(failures, random).as_millis();
                assert!((least..=most).contains(&wait), "{failures}: {wait}");
            }
        }
    }
}
