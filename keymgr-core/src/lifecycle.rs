//! States of a key generation and the only moves between them: SP 800-57 part 1, section 7, in one table.
//!
//! A destroy hold and archival are conditions of a generation, not states. This module knows no key set, no
//! node and no clock; guards that need them stand where the move is asked for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// State of one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// Exists, and may be staged and proven, nothing else.
    PreActivation,
    /// May protect and process, or only process during an overlap.
    Active,
    /// Neither protects nor processes, and may return.
    Suspended,
    /// Protects no more; processes only where the policy says so.
    Deactivated,
    /// Known or suspected by others.
    Compromised,
    /// Gone; the record stays.
    Destroyed,
}

/// A move of the life cycle by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the numbers are the names; TABLE says what each does")]
pub enum Transition {
    T1,
    T2,
    T3,
    T4,
    T5,
    T6,
    T7,
    T8,
    T9,
    T10,
    T11,
    T12,
    T13,
    T14,
    T15,
}

use KeyState::{Active, Compromised, Deactivated, Destroyed, PreActivation, Suspended};
use Transition::{T1, T2, T3, T4, T5, T6, T7, T8, T9, T10, T11, T12, T13, T14, T15};

/// One legal move. `from` is none for the birth of a key.
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    /// Its number.
    pub transition: Transition,
    /// State before.
    pub from: Option<KeyState>,
    /// State after.
    pub to: KeyState,
    /// Only after a destroy hold that was set before and has ended.
    pub through_hold: bool,
}

const fn edge(transition: Transition, from: Option<KeyState>, to: KeyState, through_hold: bool) -> Edge {
    Edge { transition, from, to, through_hold }
}

/// Every legal move; what is not here does not happen.
pub const TABLE: [Edge; 15] = [
    edge(T1, None, PreActivation, false),
    edge(T2, Some(PreActivation), Destroyed, false),
    edge(T3, Some(PreActivation), Compromised, false),
    edge(T4, Some(PreActivation), Active, false),
    edge(T5, Some(Active), Destroyed, true),
    edge(T6, Some(Active), Compromised, false),
    edge(T7, Some(Active), Suspended, false),
    edge(T8, Some(Active), Deactivated, false),
    edge(T9, Some(Suspended), Destroyed, true),
    edge(T10, Some(Suspended), Active, false),
    edge(T11, Some(Suspended), Compromised, false),
    edge(T12, Some(Suspended), Deactivated, false),
    edge(T13, Some(Deactivated), Destroyed, true),
    edge(T14, Some(Deactivated), Compromised, false),
    edge(T15, Some(Compromised), Destroyed, true),
];

impl Transition {
    /// The row of this move.
    pub fn edge(self) -> &'static Edge {
        &TABLE[self as usize]
    }
}

/// The move that leads from one state to another, if there is one.
pub fn transition_between(from: Option<KeyState>, to: KeyState) -> Option<Transition> {
    TABLE.iter().find(|edge| edge.from == from && edge.to == to).map(|edge| edge.transition)
}

/// Why a generation did not move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IllegalMove {
    /// Not in the table.
    #[error("{transition:?} does not lead out of {from:?}")]
    NoSuchEdge {
        /// State of the generation.
        from: KeyState,
        /// The move asked for.
        transition: Transition,
    },
    /// The move leads through a hold, and none was set.
    #[error("{0:?} needs a destroy hold first")]
    NoHold(Transition),
    /// The hold has not ended.
    #[error("destroy hold lasts until {until_utc_ms}")]
    HoldLasts {
        /// End of the hold, UTC milliseconds.
        until_utc_ms: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [KeyState; 6] = [PreActivation, Active, Suspended, Deactivated, Compromised, Destroyed];

    #[test]
    fn rows_stand_in_the_order_of_their_numbers() {
        for (index, edge) in TABLE.iter().enumerate() {
            assert_eq!(edge.transition as usize, index);
            assert_eq!(edge.transition.edge().to, edge.to);
        }
    }

    #[test]
    fn nothing_returns_from_the_end_and_only_suspension_is_reversible() {
        for from in STATES {
            let to_active = transition_between(Some(from), Active);
            assert_eq!(to_active.is_some(), matches!(from, PreActivation | Suspended), "{from:?}");
            assert_eq!(transition_between(Some(Destroyed), from), None);
            assert_eq!(transition_between(Some(from), PreActivation), None);
        }
    }

    #[test]
    fn a_key_that_was_active_is_destroyed_through_a_hold_only() {
        for edge in TABLE.iter().filter(|edge| edge.to == Destroyed) {
            assert_eq!(edge.through_hold, edge.from != Some(PreActivation));
        }
    }
}
