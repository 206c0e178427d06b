//! Derived unique key per transaction: [`tdes`] (ANSI X9.24-1), for the host and, with [`tdes::Device`], for
//! the device; [`aes`] (ANSI X9.24-3), for the host.
//!
//! The base key is used through the cipher only. What is derived from it passes through
//! [`paytypes::ClearKey`] and is wiped; only working keys are handed out as keys of the cipher, each for one
//! purpose, so a transaction key can never encrypt a PIN by mistake.

pub mod aes;
mod base;
mod descriptor;
pub mod tdes;
mod working;

pub use base::Bdk;
pub use descriptor::KsnDescriptor;
pub use working::{DataUse, MacUse, PinUse, WorkingKey};

/// Direction of a message of TDES DUKPT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the device, or both directions in older systems.
    Request,
    /// To the device.
    Response,
}

/// The next counter a device uses: one more, but never with more than `ones_max` one bits; `None` when the
/// counter is exhausted.
fn advance(counter: u32, ones_max: u32, last: u32) -> Option<u32> {
    let mut next = counter.checked_add(1)?;
    while next.count_ones() > ones_max {
        // Adding the lowest one bit clears it and carries: the smallest larger value with fewer ones.
        next = next.checked_add(next & next.wrapping_neg())?;
    }
    (next <= last).then_some(next)
}
