//! The node's end of key distribution as a pure state machine: signed messages in; new state, receipts, a key table
//! to publish and orders for the backend out.
//!
//! The shell around it stores [`NodeState`] whenever [`Effects::persist`] says so, and only then sends the outbox,
//! publishes and answers. When storing fails the machine goes back to what is stored ([`Machine::reload`]): nothing was
//! promised yet. What the cores have done meanwhile is told again ([`Machine::switched`], [`Machine::released`]) until
//! it is stored.
//!
//! | what happened | method |
//! |---|---|
//! | the process started | [`Machine::boot`] |
//! | a root document or a message came | [`Machine::root`], [`Machine::message`] |
//! | the backend has installed keys, or refused | [`Machine::installed`] |
//! | the backend has agreed a root KEK | [`Machine::agreed`] |
//! | every core uses a table; no older one is left | [`Machine::switched`], [`Machine::released`] |
//! | time passes | [`Machine::tick`] |

mod clock;
mod effects;
mod evidence;
mod judge;
mod kek;
mod machine;
mod manifest;
mod plan;
mod receipts;
mod speak;
mod state;
mod table;
mod time;

pub use clock::Guard;
pub use effects::{Agreed, Effects, InstallOrder, Installed, KekOrder, Kept};
pub use machine::{Machine, Rules};
pub use plan::challenge_of;
pub use speak::{About, Counts};
pub use state::{Decision, Fact, GenerationRecord, KekRecord, KeySetRecord, NodeState};
pub use table::{TableImage, TableKey, TableSet};
