//! What waits for nodes: the newest message of each kind, until the node says that it has taken it.
//!
//! It can be lost without harm. A manifest is the full state of a node, so the newest is enough, and a node
//! that asks with an older one than the store has sent is answered from the store.

use keylink::message::Mail;
use keylink::root::SignedRoot;
use keylink::{NodeId, Signed};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// A message and its place in what is sent to the node.
#[derive(Clone, Debug)]
struct Waiting {
    place: (u64, u64),
    signed: Signed,
}

#[derive(Default)]
struct Box_ {
    numbered: Vec<Waiting>,
    // Messages that have a number and are not here yet: nothing behind them may be taken before.
    awaited: usize,
    bell: Arc<Notify>,
}

/// Boxes by node.
#[derive(Default)]
pub struct Mailroom(Mutex<HashMap<NodeId, Box_>>);

/// Keeps what is behind a message from being taken before it.
pub struct Held<'a> {
    room: &'a Mailroom,
    node: NodeId,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.room.with(self.node, |own| {
            own.awaited = own.awaited.saturating_sub(1);
            own.bell.notify_waiters();
        });
    }
}

/// Numbered messages kept for one node at most: an agreement's two and a manifest.
const KEPT: usize = 4;

impl Mailroom {
    fn with<T>(&self, node: NodeId, work: impl FnOnce(&mut Box_) -> T) -> T {
        let mut boxes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        work(boxes.entry(node).or_default())
    }

    /// Puts a numbered message into a node's box. A manifest replaces older ones.
    pub fn put(&self, node: NodeId, place: (u64, u64), signed: Signed) {
        self.with(node, |own| {
            if own.numbered.iter().any(|waiting| waiting.place == place) {
                return;
            }
            own.numbered.retain(|waiting| waiting.signed.kind != signed.kind);
            own.numbered.push(Waiting { place, signed });
            own.numbered.sort_by_key(|waiting| waiting.place);
            let surplus = own.numbered.len().saturating_sub(KEPT);
            own.numbered.drain(..surplus);
            own.bell.notify_waiters();
        });
    }

    /// Throws away what is not of this kind, for good.
    pub fn keep_only(&self, node: NodeId, kind: &str) {
        self.with(node, |own| own.numbered.retain(|waiting| waiting.signed.kind == kind));
    }

    /// A message is about to get a number: until the answer is dropped, nothing is taken.
    pub fn hold(&self, node: NodeId) -> Held<'_> {
        self.with(node, |own| own.awaited += 1);
        Held { room: self, node }
    }

    /// What a node has not taken yet.
    pub fn take(&self, node: NodeId, taken: (u64, u64), roots: Vec<SignedRoot>) -> Mail {
        self.with(node, |own| {
            own.numbered.retain(|waiting| waiting.place > taken);
            if own.awaited > 0 {
                return Mail { roots, messages: Vec::new() };
            }
            Mail { roots, messages: own.numbered.iter().map(|w| w.signed.clone()).collect() }
        })
    }

    /// Rings when something numbered is put into the node's box.
    pub fn bell(&self, node: NodeId) -> Arc<Notify> {
        self.with(node, |own| own.bell.clone())
    }

    /// Something without a number waits for the node elsewhere.
    pub fn ring(&self, node: NodeId) {
        self.with(node, |own| own.bell.notify_waiters());
    }

    /// True when the message of this number is in the box, or about to be.
    pub fn holds(&self, node: NodeId, seq: u64) -> bool {
        self.with(node, |own| own.awaited > 0 || own.numbered.iter().any(|w| w.place.1 == seq))
    }
}
