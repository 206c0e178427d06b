//! The programs of people towards the manager: one connection with the person's own channel key, to the one
//! server key that the person was told. What is approved is read, judged and signed here, never at the manager.

mod address;
mod approve;
mod calls;
mod error;
mod plan;
mod reaffirm;
mod succession;

pub use crate::api::Me;
pub use address::{AddressError, ManagerAddress};
pub use approve::{SIGNED_LIFE_MS, judge, sign};
pub use calls::{Client, Proposed};
pub use error::ClientProblem;
pub use plan::{
    KeySetWishes, RotateWishes, Rotation, ZoneWishes, fresh_id, plan_key_set, plan_rotation, plan_zone,
};
pub use reaffirm::{plan_reaffirm, reaffirm};
pub use succession::{judge_succession, sign_documents};

/// Milliseconds since 1970, UTC.
pub fn utc_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
