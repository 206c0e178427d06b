//! Bodies of the messages between a manager and its nodes. Each is sealed in a [`crate::Signed`].
//!
//! | message | from | to | signed by |
//! |---|---|---|---|
//! | [`Enrol`] | node | manager | the key that it asks to be known by |
//! | [`Enrolled`] | manager | node | manifest key |
//! | [`Renew`] | node | manager | node key |
//! | [`Renewed`] | manager | node | manifest key |
//! | [`Hello`], [`Pull`], [`StatusBeat`] | node | manager | node key |
//! | [`RootKekOffer`], [`RootKekConfirm`] | manager | node | manifest key |
//! | [`RootKekAccept`] | node | manager | node key |
//! | [`Manifest`], [`Command`] | manager | node | manifest key |
//! | [`Receipt`], [`Refused`], [`Resync`] | node | manager | node key |
//! | [`CounterReceipt`], [`InclusionProof`] | manager | node | manifest key |

mod beat;
mod command;
mod definition;
mod enrol;
mod head;
mod mail;
mod manifest;
mod proof;
mod receipt;
mod refused;
mod renew;
mod root_kek;

pub use beat::{Alarm, GenerationUse, Hello, Pull, StatusBeat};
pub use command::{Command, Order};
pub use definition::{Definition, INDEX_COUNT, Indices, KeyKind, Overlap, Scope, Shape};
pub use enrol::{Enrol, Enrolled, EnrolmentToken, enrol_proof, proof_holds};
pub use head::{Audience, Head, HeadError, PROTOCOL};
pub use mail::{Mail, Package, Parcel};
pub use manifest::{Checkpoint, GenerationTarget, KeySetTarget, Manifest, Step};
pub(crate) use proof::PROOF_MAX;
pub use proof::{ENTRY_MAX, InclusionProof, ProofFault};
pub(crate) use receipt::COUNTER_MAX;
pub use receipt::{CounterReceipt, Possession, PossessionMethod, Receipt, ReceiptKind};
pub use refused::{Held, Reason, Refused, Resync};
pub use renew::{CERTIFICATE_RENEW_MS, CERTIFICATE_WARN_MS, Renew, Renewed};
pub use root_kek::{RootKekAccept, RootKekConfirm, RootKekOffer};
