//! How a node side of the run hands key tables to its host-command engine, which runs in the thread of the load.

use super::load::Order;
use super::sabotage::{Sabotage, spoil};
use gateway::node::{Publish, TableEvent, Tables};
use hostcmd::KeyTable;
use hsm::LmkId;
use keylink::message::GenerationUse;
use keylink::node::TableImage;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// The desk of one node.
#[derive(Debug)]
pub struct Desk {
    node: usize,
    tables: Tables,
    before: Vec<Weak<KeyTable>>,
    orders: Sender<Order>,
    fault: Option<Sabotage>,
}

impl Desk {
    /// For the engine of this number.
    pub fn new(node: usize, orders: Sender<Order>, fault: Option<Sabotage>) -> Self {
        Self { node, tables: Tables::new(LmkId(0), 1), before: Vec::new(), orders, fault }
    }
}

impl Publish for Desk {
    fn publish(&mut self, image: &TableImage, events: &UnboundedSender<TableEvent>) -> bool {
        let number = image.number;
        let protects = self
            .before
            .iter()
            .filter_map(Weak::upgrade)
            .any(|table| table.sets().iter().any(|set| set.current.is_some()));
        let made = match self.fault {
            Some(kind) => match spoil(kind, image, protects) {
                Some(image) => self.tables.make(&image),
                // Claims what it has not done.
                None => {
                    return events.send(TableEvent::Switched(number)).is_ok()
                        && events.send(TableEvent::Released(number)).is_ok();
                }
            },
            None => self.tables.make(image),
        };
        let Ok(table) = made.map(Arc::new) else { return false };
        self.before.retain(|old| old.strong_count() > 0);
        let before = self.before.clone();
        self.before.push(Arc::downgrade(&table));
        let (done, taken) = oneshot::channel();
        if self.orders.send(Order::Table { node: self.node, table, done }).is_err() {
            return false;
        }
        let events = events.clone();
        tokio::spawn(async move {
            if taken.await.is_err() {
                return;
            }
            let _ = events.send(TableEvent::Switched(number));
            while before.iter().any(|old| old.strong_count() > 0) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let _ = events.send(TableEvent::Released(number));
        });
        true
    }

    fn uses(&self) -> Vec<GenerationUse> {
        self.tables.uses()
    }
}
