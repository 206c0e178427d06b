//! What the shell shall do, in this order: store, publish, give orders to the backend, send.

use super::state::KekRecord;
use super::table::TableImage;
use crate::envelope::Signed;
use crate::ids::{Generation, KeySetId};
use crate::label::Label;
use crate::message::{Alarm, Checkpoint, Definition, Possession};
use crate::wire::{Blob, Hex, U64};

/// A key to install: unwrap, compare, prove, wrap under the LMK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallOrder {
    /// The root KEK's token under the LMK.
    pub kek: String,
    /// What the key is for: attributes and length that the block must have.
    pub definition: Definition,
    /// What the block's LB must say.
    pub label: Label,
    /// The block.
    pub block: String,
    /// The check value that the manifest states, hexadecimal.
    pub kcv: String,
    /// The challenge's input: SHA-256 over the fields of key-management decision 16, the nonce among them.
    pub challenge: [u8; 32],
    /// The throw-away key's block, for kinds that wrap keys.
    pub throw_away: Option<String>,
    /// The nonce itself, for the receipt.
    pub nonce: Hex<32>,
    /// The check value is proof enough here.
    pub kcv_only: bool,
}

impl InstallOrder {
    /// Which key it is.
    pub const fn name(&self) -> (KeySetId, Generation) {
        (self.label.key_set, self.label.generation)
    }
}

/// An installed key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Token under the LMK, with its tag.
    pub token: String,
    /// Check value as computed, hexadecimal.
    pub kcv: String,
    /// The proof.
    pub possession: Possession,
}

/// A root KEK to agree: draw a key pair, derive by [`crate::root_kek::derive`], wrap under the LMK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KekOrder {
    /// Number of the KEK.
    pub number: u32,
    /// The manager's public key.
    pub public: Blob,
    /// Hash of the offer, which the transcript begins with.
    pub offer: crate::Digest,
}

/// What the backend agreed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Our public key.
    pub public: Blob,
    /// Our confirmation.
    pub confirm: Hex<32>,
    /// The confirmation that the manager must show.
    pub expected: Hex<32>,
    /// The KEK under the LMK.
    pub kek: KekRecord,
}

/// Evidence to be stored with the state, outside of it: none of it is needed to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The manager has confirmed a receipt of this node.
    Confirmed {
        /// Its number.
        number: U64,
        /// The receipt.
        receipt: Signed,
        /// The manager's counter-receipt, where it names this one and not a later one.
        counter: Option<Signed>,
    },
    /// The log holds this receipt and all before it.
    Proved {
        /// Its number.
        number: U64,
        /// The proof.
        proof: Signed,
    },
    /// A proof that does not hold, signed by the manager.
    Disputed {
        /// The proof.
        proof: Signed,
        /// Another state of the log of the same size, which the manager has signed too.
        other: Option<Checkpoint>,
    },
}

/// What follows from an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Store [`super::Machine::state`] before anything else.
    pub persist: bool,
    /// Store this together with the state.
    pub keep: Vec<Kept>,
    /// Hand this table to every core.
    pub publish: Option<TableImage>,
    /// Install these keys, then call [`super::Machine::installed`] with an answer for each, in order.
    pub install: Vec<InstallOrder>,
    /// Agree this KEK, then call [`super::Machine::agreed`].
    pub agree: Option<KekOrder>,
    /// Send these; they are not kept. The outbox goes with them.
    pub send: Vec<Signed>,
    /// Tell people.
    pub alarms: Vec<Alarm>,
}
