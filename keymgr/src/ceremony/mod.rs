//! Key ceremonies: components by separate custodians, each sealed at the custodian's own console to a key that the
//! backend made for this ceremony alone. The manager passes sealed boxes on and knows check values.
//!
//! An open ceremony lives in memory only: when the manager stops, it begins anew with another key, and every
//! component is entered again. This module refuses to know HTTP.

mod message;
mod room;

pub use keymgr_core::ceremony::{ComponentMessage, Transcript, TranscriptPart};
pub use message::{ComponentEntry, check_of, context, make};
pub(crate) use room::{Ceremonies, SEALED_AT_MOST};
pub use room::{CeremonyProblem, CeremonyView, PartView};
