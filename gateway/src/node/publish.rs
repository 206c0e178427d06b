//! Handing tables to whoever uses them, and learning when everybody has switched and the old ones are gone.

use super::tables::Tables;
use crate::Switches;
use hostcmd::KeyTable;
use keylink::message::GenerationUse;
use keylink::node::TableImage;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Between two looks whether an old table is gone: commands in flight end within a batch.
const LOOK: Duration = Duration::from_millis(2);

/// What became of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableEvent {
    /// Every core uses the table with this number.
    Switched(u64),
    /// No older one is left, nor a command that began with one.
    Released(u64),
}

/// Whoever uses tables.
pub trait Publish: Send {
    /// Hands a table over; `events` hears what becomes of it. False when the table cannot be used: the same comes again
    /// until it is, or another.
    fn publish(&mut self, image: &TableImage, events: &UnboundedSender<TableEvent>) -> bool;

    /// Uses of generations since the start.
    fn uses(&self) -> Vec<GenerationUse>;
}

/// Nobody: a node side without traffic.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nowhere;

impl Publish for Nowhere {
    fn publish(&mut self, image: &TableImage, events: &UnboundedSender<TableEvent>) -> bool {
        events.send(TableEvent::Switched(image.number)).is_ok()
            && events.send(TableEvent::Released(image.number)).is_ok()
    }

    fn uses(&self) -> Vec<GenerationUse> {
        Vec::new()
    }
}

/// The cores of a gateway. Must be used within a tokio runtime.
#[derive(Debug)]
pub struct Cores {
    switches: Switches,
    tables: Tables,
    before: Vec<Weak<KeyTable>>,
    // The last table that was not taken: it is given again and again, and said once.
    refused: Option<u64>,
}

impl Cores {
    /// Of a running gateway; keys are under `lmk`.
    pub fn new(switches: Switches, lmk: hsm::LmkId) -> Self {
        let tables = Tables::new(lmk, switches.cores());
        Self { switches, tables, before: Vec::new(), refused: None }
    }
}

impl Publish for Cores {
    fn publish(&mut self, image: &TableImage, events: &UnboundedSender<TableEvent>) -> bool {
        let table = match self.tables.make(image) {
            Ok(table) => Arc::new(table),
            Err(error) => {
                if self.refused.replace(image.number) != Some(image.number) {
                    tracing::error!(%error, number = image.number, "a key table is not used");
                }
                return false;
            }
        };
        let (done, mut answers) = unbounded_channel();
        self.switches.set_key_table(&table, &done);
        drop(done);
        self.before.retain(|old| old.strong_count() > 0);
        let before = self.before.clone();
        self.before.push(Arc::downgrade(&table));
        drop(table);
        let (events, cores, number) = (events.clone(), self.switches.cores(), image.number);
        tokio::spawn(async move {
            for _ in 0..cores {
                if answers.recv().await.is_none() {
                    // A core has ended before it switched: the gateway drains.
                    return;
                }
            }
            let _ = events.send(TableEvent::Switched(number));
            while before.iter().any(|old| old.strong_count() > 0) {
                tokio::time::sleep(LOOK).await;
            }
            let _ = events.send(TableEvent::Released(number));
        });
        true
    }

    fn uses(&self) -> Vec<GenerationUse> {
        self.tables.uses()
    }
}
