//! What a list may be narrowed by. A filter that a list does not know is refused, not ignored.

use super::lists::PageQuery;
use super::views::TokenState;
use crate::core::alarm::AlarmKind;
use crate::core::approval::ActionState;
use crate::core::campaign::Phase;
use crate::core::ids::{CampaignId, KeySetId, NodeId, ZoneId};
use crate::core::lifecycle::KeyState;
use crate::core::node::{Progress, Traffic};
use crate::core::people::{Role, Standing};
use schemars::JsonSchema;
use serde::Deserialize;

macro_rules! filters {
    ($($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $field:ident: $kind:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            /// `next` of the page before.
            pub after: Option<String>,
            /// Records wanted: 100 when missing, 1000 at most.
            pub limit: Option<usize>,
            $($(#[$about])* pub $field: Option<$kind>,)*
        }

        impl $name {
            pub fn page(&self) -> PageQuery {
                PageQuery { after: self.after.clone(), limit: self.limit }
            }
        }
    )*};
}

filters! {
    /// Of persons.
    PersonFilter {
        /// Holds this role.
        role: Role,
        /// Counts or not.
        state: Standing,
    }
    /// Of nodes.
    NodeFilter {
        /// Member of this zone.
        zone: ZoneId,
        /// As declared.
        traffic: Traffic,
        /// Counts or not.
        state: Standing,
    }
    /// Of members.
    MemberFilter {
        /// Of this zone.
        zone: ZoneId,
        /// This node.
        node: NodeId,
    }
    /// Of key sets.
    KeySetFilter {
        /// Of this zone.
        zone: ZoneId,
    }
    /// Of keys.
    KeyFilter {
        /// Of this key set.
        key_set: KeySetId,
        /// In this state.
        state: KeyState,
    }
    /// Of keys that end soon.
    ExpiringFilter {
        /// Of this key set.
        key_set: KeySetId,
        /// Within so many days; 30 when missing.
        days: u64,
    }
    /// Of keys at nodes.
    HolderFilter {
        /// Of this key set.
        key_set: KeySetId,
        /// At this node.
        node: NodeId,
        /// This far.
        progress: Progress,
    }
    /// Of campaigns.
    CampaignFilter {
        /// Of this zone.
        zone: ZoneId,
        /// Of this key set.
        key_set: KeySetId,
        /// In this phase.
        phase: Phase,
        /// Still at work, or not.
        live: bool,
    }
    /// Of actions.
    ActionFilter {
        /// Where they stand.
        state: ActionWord,
    }
    /// Of entries of the log.
    EntryFilter {
        /// The first number that is wanted.
        from: u64,
    }
    /// Of receipts.
    ReceiptFilter {
        /// Of this node.
        node: NodeId,
        /// About this campaign.
        campaign: CampaignId,
    }
    /// Of ceremonies.
    CeremonyFilter {
        /// Finished, or still open.
        done: bool,
    }
    /// Of enrolment tokens.
    TokenFilter {
        /// Where they stand.
        state: TokenState,
    }
    /// Of checkpoints.
    CheckpointFilter {
        /// The first size that is wanted.
        from: u64,
    }
    /// Of alarms.
    AlarmFilter {
        /// Those that last when missing.
        state: AlarmWord,
        /// Of this kind.
        kind: AlarmKind,
    }
}

impl ExpiringFilter {
    /// Within how many days.
    pub fn days(&self) -> u64 {
        self.days.unwrap_or(30)
    }
}

/// Which page of manifests, of which each may be some megabytes long.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ManifestQuery {
    /// `next` of the page before.
    pub after: Option<String>,
    /// Records wanted, at most 20; 20 when missing.
    pub limit: Option<usize>,
}

impl ManifestQuery {
    /// Most manifests of a page.
    pub const LIMIT_MAX: usize = 20;

    pub fn page(&self) -> PageQuery {
        PageQuery { after: self.after.clone(), limit: self.limit }.at_most(Self::LIMIT_MAX)
    }
}

/// Against which state of the log an entry is proved.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SizeQuery {
    /// Its number of entries; that of the newest checkpoint when missing.
    pub size: Option<u64>,
}

/// Between which states of the log.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SpanQuery {
    /// Number of entries of the older state; must be given.
    pub from: Option<u64>,
    /// Of the newer one; that of the newest checkpoint when missing.
    pub to: Option<u64>,
}

/// Which rotation is wanted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PreviewFilter {
    /// No node protects with the new key before, UTC milliseconds.
    pub not_before: Option<u64>,
    /// As an emergency, which waits for nobody.
    pub emergency: Option<bool>,
}

/// Where an action stands, without why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ActionWord {
    Pending,
    Approved,
    Done,
    Failed,
    Withdrawn,
    Expired,
    Lapsed,
}

impl ActionWord {
    pub fn of(state: &ActionState) -> Self {
        match state {
            ActionState::Pending => Self::Pending,
            ActionState::Approved => Self::Approved,
            ActionState::Done => Self::Done,
            ActionState::Failed(_) => Self::Failed,
            ActionState::Withdrawn => Self::Withdrawn,
            ActionState::Expired => Self::Expired,
            ActionState::Lapsed => Self::Lapsed,
        }
    }
}

/// Whether an alarm lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum AlarmWord {
    /// Lasts.
    #[default]
    Lasts,
    /// Is over.
    Ended,
    /// Both.
    All,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_manifests_is_short() {
        for (asked, given) in [(None, 20), (Some(0), 1), (Some(7), 7), (Some(20), 20), (Some(1000), 20)] {
            let query = ManifestQuery { after: Some("x".to_owned()), limit: asked };
            assert_eq!((query.page().limit(), query.page().after.as_deref()), (given, Some("x")));
        }
    }
}
