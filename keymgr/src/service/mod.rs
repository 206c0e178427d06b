//! The manager at work: the core behind the one writer, the vault, and the labour that follows from what was
//! decided: keys are made and wrapped, manifests signed and put where nodes fetch them.
//!
//! Nothing is remembered here that cannot be found in the store: after a restart the same work is due again,
//! and what was sent before is sent again as it was. This module refuses to know HTTP and what officers see.

mod again;
mod carrier;
mod certificate;
mod clock;
mod echo;
mod enrolment;
mod keys;
mod labour;
mod link;
mod mailroom;
mod manager;
mod offers;
mod proofs;
mod push;
mod rates;
mod renewals;
mod root_kek;
mod sent;
mod signing;
mod transport;
mod wipe;

pub use carrier::{CARRIED_MAX, Fate, Verdict, Way};
pub use clock::Clock;
pub use enrolment::{Asked, EnrolmentError};
pub use keys::{TakeKeyError, kcv_method, label_of, spec_of};
pub use link::{Line, LinkAnswer, LinkProblem, mail_bytes, stored_label};
pub use manager::{Manager, Parts, RequestName, SubmitProblem};
pub use sent::SentStore;
pub use signing::SuccessorProblem;
pub(crate) use signing::origin;
pub use transport::{Transport, TransportProblem};
