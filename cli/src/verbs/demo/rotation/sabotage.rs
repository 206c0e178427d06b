//! Faults that are planted on purpose in one node or in all: a run that does not notice them proves nothing.

use clap::ValueEnum;
use gateway::node::{Answer, HttpsTransport, Sending, Transport};
use keylink::endpoint::Endpoint;
use keylink::node::TableImage;

/// What is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sabotage {
    /// One node protects with the new key as soon as it accepts it.
    ProtectFirst,
    /// Every node gives up the old generation when it switches, without an order: blocks are on their way.
    RetireEarly,
    /// One node forgets the previous generation when it switches.
    DropPrevious,
    /// One node says that it has switched, and goes on with its first table.
    StaleTable,
    /// The receipts of one node are lost after it was told that they were taken.
    LostReceipt,
}

impl Sabotage {
    /// Whether the node with this number has the fault.
    pub fn is_at(self, number: usize) -> bool {
        number == 0 || self == Self::RetireEarly
    }
}

/// What a node with a fault makes of a table.
pub fn spoil(kind: Sabotage, image: &TableImage, first_is_there: bool) -> Option<TableImage> {
    let mut image = image.clone();
    match kind {
        Sabotage::ProtectFirst => {
            for set in &mut image.sets {
                let Some(current) = set.current.take() else { continue };
                match set.next.take() {
                    Some(next) => {
                        set.previous.insert(0, current);
                        set.current = Some(next);
                    }
                    None => set.current = Some(current),
                }
            }
        }
        Sabotage::DropPrevious | Sabotage::RetireEarly => {
            image.sets.iter_mut().for_each(|set| set.previous.clear())
        }
        Sabotage::StaleTable if first_is_there => return None,
        Sabotage::StaleTable | Sabotage::LostReceipt => {}
    }
    Some(image)
}

/// A way to the manager on which receipts get lost.
#[derive(Debug)]
pub struct Losing {
    inner: HttpsTransport,
    from: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Losing {
    /// Loses nothing until `from` is set.
    pub const fn new(inner: HttpsTransport, from: std::sync::Arc<std::sync::atomic::AtomicBool>) -> Self {
        Self { inner, from }
    }
}

impl Transport for Losing {
    fn session(&self) -> gateway::node::Opening<'_> {
        self.inner.session()
    }

    fn post(&self, endpoint: Endpoint, body: Vec<u8>) -> Sending<'_> {
        if endpoint == Endpoint::Receipts && self.from.load(std::sync::atomic::Ordering::Relaxed) {
            return Box::pin(async { Ok(Answer::Taken(Vec::new())) });
        }
        self.inner.post(endpoint, body)
    }
}
