//! The node that is killed with SIGKILL between store and receipt. It has stopped for good right after it has stored a
//! proof; hosts are told so by nobody, since it still serves them. The driver takes it out of their traffic first:
//! nothing begins there any more, and what is on its way to it ends. Then it is killed, begun again over the same
//! folder, and takes traffic as soon as it listens.

use super::fleet::{Fleet, HOLDING};
use super::line::Line;
use super::load::{Counters, Order};
use super::people::People;
use super::watch;
use crate::exit::Failure;
use keylink::CampaignId;
use keymgr::core::campaign::Mark;
use serde::Serialize;
use std::sync::mpsc::Sender;
use std::time::Instant;
use tokio::sync::oneshot;

/// How it went.
#[derive(Clone, Debug, Serialize)]
pub struct UnitKill {
    /// The node.
    pub node: String,
    /// The process that was killed, and the one after it.
    pub pids: [u32; 2],
    /// Number of the receipt that it had stored and not sent.
    pub receipt: u64,
    /// The manager had its proofs for some zone before the kill.
    pub known_before: bool,
    /// From the last transaction that began with it to the kill, milliseconds.
    pub drained_ms: u64,
    /// From the kill until it took connections, milliseconds.
    pub down_ms: u64,
    /// Transactions in which it had a part before.
    pub transactions_before: u64,
}

/// Where that is.
#[derive(Debug)]
pub enum Holding {
    /// It has not stopped yet.
    Works,
    /// It gets no transactions any more.
    Drains { receipt: u64, since: Instant, drained: oneshot::Receiver<()>, is_drained: bool },
    /// It was killed, and is back.
    Back(UnitKill),
}

/// Hosts connect to the nodes that are processes.
pub fn connect(fleet: &mut Fleet, orders: &Sender<Order>) -> Result<(), Failure> {
    for (node, name, unit) in fleet.units() {
        let line = Line::open(node, unit.address, orders.clone())
            .map_err(|error| Failure::environment(format!("{name}: {error}")))?;
        let _ = orders.send(Order::Connected { node, line });
    }
    Ok(())
}

fn ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Holding {
    /// The kill, once it is done.
    pub fn kill(&self) -> Option<&UnitKill> {
        match self {
            Self::Back(kill) => Some(kill),
            _ => None,
        }
    }

    /// Goes on, as far as it can now.
    pub async fn go_on(
        &mut self,
        fleet: &mut Fleet,
        people: &People,
        ids: &[CampaignId],
        counters: &Counters,
        orders: &Sender<Order>,
    ) -> Result<(), Failure> {
        let id = fleet.members.get(HOLDING).map(|member| member.id);
        let Some((node, name, unit)) = fleet.units().find(|(node, _, _)| *node == HOLDING) else {
            return Ok(());
        };
        match self {
            Self::Works => {
                if let Some(receipt) = unit.held() {
                    let (done, drained) = oneshot::channel();
                    let _ = orders.send(Order::Traffic { node, on: false });
                    let _ = orders.send(Order::Drained { node, done });
                    let since = Instant::now();
                    *self = Self::Drains { receipt, since, drained, is_drained: false };
                }
            }
            Self::Drains { receipt, since, drained, is_drained } => {
                if !*is_drained {
                    *is_drained = drained.try_recv().is_ok();
                    return Ok(());
                }
                let (receipt, drained_ms) = (*receipt, ms(*since));
                // The manager may be gone for a moment, too.
                let Ok(all) = watch::deliveries_once(people, ids).await else { return Ok(()) };
                let known_before =
                    all.iter().filter(|one| Some(one.node) == id).any(|one| one.marks.contains(&Mark::Proven));
                let before = unit.pid();
                unit.kill()?;
                let killed = Instant::now();
                unit.again(name)?;
                let name = name.to_owned();
                let line = Line::open(node, unit.address, orders.clone());
                let line = line.map_err(|error| Failure::environment(format!("{name}: {error}")))?;
                let _ = orders.send(Order::Connected { node, line });
                let _ = orders.send(Order::Traffic { node, on: true });
                *self = Self::Back(UnitKill {
                    node: name,
                    pids: [before, unit.pid()],
                    receipt,
                    known_before,
                    drained_ms,
                    down_ms: ms(killed),
                    transactions_before: counters.node(HOLDING),
                });
            }
            Self::Back(_) => {}
        }
        Ok(())
    }
}
