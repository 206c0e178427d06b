//! Mistakes that the simulation plants to see whether it finds them. Outside of the tests of this crate every
//! switch is a constant `false`, and nothing of this module is left.

#[cfg(test)]
pub use on::*;

#[cfg(not(test))]
pub use off::*;

macro_rules! switches {
    ($($(#[$doc:meta])* $bug:ident $name:ident;)*) => {
        #[cfg(not(test))]
        mod off {
            $($(#[$doc])* #[inline(always)] pub const fn $name() -> bool { false })*
        }

        #[cfg(test)]
        mod on {
            use std::cell::Cell;

            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub enum Bug { $($bug,)* }

            impl Bug {
                pub const ALL: &[Self] = &[$(Self::$bug,)*];
            }

            thread_local!(static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) });

            /// Plants a mistake on this thread, or takes it out.
            pub fn plant(bug: Option<Bug>) {
                PLANTED.set(bug);
            }

            $($(#[$doc])* pub fn $name() -> bool { PLANTED.get() == Some(Bug::$bug) })*
        }
    };
}

switches! {
    /// The requester's approval counts.
    RequesterCounts requester_counts;
    /// One person too few carries an action.
    QuorumOneShort quorum_one_short;
    /// A gate does not wait for the last node to accept.
    AcceptGateOneShort accept_gate_one_short;
    /// A gate does not wait for the last node to protect.
    ActivateGateOneShort activate_gate_one_short;
    /// A receipt counts every time it arrives.
    DuplicateCounts duplicate_counts;
    /// The overlap is not waited for.
    OverlapIgnored overlap_ignored;
    /// A number given up is given again.
    GenerationReused generation_reused;
    /// A proof of possession is not looked at.
    ProofIgnored proof_ignored;
    /// The counts of a campaign are not written.
    CampaignNotWritten campaign_not_written;
    /// A node may serve hosts again without the new key.
    ReturnUnready return_unready;
    /// What a node said that it held counts after a receipt for more.
    WishOutlives wish_outlives;
}

/// Whether a gate is one short for this mark.
#[allow(clippy::missing_const_for_fn, reason = "not constant under test")]
pub fn gate_one_short(mark: super::campaign::Mark) -> bool {
    use super::campaign::Mark;
    (mark == Mark::Accepting && accept_gate_one_short())
        || (mark == Mark::Activated && activate_gate_one_short())
}
