//! Is a message ours, new, and backed by approvals? Everything here only reads.

use super::state::{Decision, NodeState};
use crate::action::{Evidence, EvidenceError, Grant};
use crate::envelope::{Body, EnvelopeError, Signed};
use crate::ids::{Digest, Generation, KeySetId, NodeId, ZoneId};
use crate::message::{Audience, Definition, Head, HeadError, Reason, Step};
use crate::root::RootDocument;
use std::collections::BTreeMap;

impl From<EnvelopeError> for Reason {
    fn from(error: EnvelopeError) -> Self {
        match error {
            EnvelopeError::Malformed => Self::Malformed,
            EnvelopeError::Kind => Self::Kind,
            EnvelopeError::Signer | EnvelopeError::Signature => Self::Signature,
        }
    }
}

impl From<HeadError> for Reason {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::Version => Self::Version,
            HeadError::Kmc => Self::Kmc,
            HeadError::Audience => Self::Audience,
            HeadError::Expired => Self::Expired,
        }
    }
}

impl From<EvidenceError> for Reason {
    fn from(error: EvidenceError) -> Self {
        match error {
            EvidenceError::Expired => Self::ActionExpired,
            EvidenceError::Quorum => Self::NotApproved,
            _ => Self::Evidence,
        }
    }
}

impl Reason {
    /// True when nobody of ours sends such a message: people should hear of it.
    pub const fn is_intrusion(self) -> bool {
        matches!(
            self,
            Self::Signature
                | Self::Kmc
                | Self::Audience
                | Self::Conflict
                | Self::Replayed
                | Self::Epoch
                | Self::RootChange
                | Self::NotApproved
                | Self::Evidence
                | Self::NotMember
                | Self::Label
                | Self::Generation
                | Self::Rollback
                | Self::Protect
        )
    }
}

/// Proves a message of the manager and judges its head; `head` picks it from the body.
pub(super) fn open<B: Body>(
    state: &NodeState,
    document: &RootDocument,
    signed: &Signed,
    utc_ms: u64,
    head: impl Fn(&B) -> &Head,
) -> Result<B, Reason> {
    let key = document.manifest_key(&signed.key_id).ok_or(Reason::Signature)?;
    let body: B = signed.open(key)?;
    head(&body).judge(state.kmc, Audience::Node(state.node), state.protocol, utc_ms)?;
    Ok(body)
}

/// Where a proved message stands in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    New,
    /// The last one again: its stored receipts are the answer.
    Again,
}

pub(super) fn order(state: &NodeState, head: &Head, hash: Digest) -> Result<Order, Reason> {
    if head.seq == state.seq && state.last == Some(hash) {
        return Ok(Order::Again);
    }
    if head.epoch < state.epoch {
        return Err(Reason::Epoch);
    }
    if head.seq > state.seq {
        return Ok(Order::New);
    }
    Err(if head.seq == state.seq { Reason::Conflict } else { Reason::Replayed })
}

/// What the evidence of a message allows, all of it judged.
#[derive(Debug, Default)]
pub(super) struct Rights {
    grants: Vec<(Decision, Grant)>,
}

impl Rights {
    pub(super) fn judge(
        state: &NodeState,
        document: &RootDocument,
        evidence: &[Evidence],
        utc_ms: u64,
    ) -> Result<Self, Reason> {
        let mut rights = Self::default();
        for one in evidence {
            let allowed = one.judge(state.kmc, document, utc_ms)?;
            let decision = Decision { created_ms: allowed.action.created_ms, action: allowed.action.action };
            rights.grants.extend(allowed.grants.into_iter().map(|grant| (decision, grant)));
        }
        Ok(rights)
    }

    pub(super) fn holds(&self, grant: &Grant) -> bool {
        self.grants.iter().any(|(_, own)| own == grant)
    }

    /// The newest action that holds a grant.
    pub(super) fn newest(&self, grant: &Grant) -> Option<Decision> {
        self.grants.iter().filter(|(_, own)| own == grant).map(|(decision, _)| *decision).max()
    }

    pub(super) fn defines(&self, definition: &Definition) -> bool {
        self.grants.iter().any(|(_, grant)| matches!(grant, Grant::KeySet(own) if own == definition))
    }

    pub(super) fn brings(&self, key_set: KeySetId, generation: Generation) -> bool {
        self.grants.iter().any(|(_, grant)| {
            matches!(grant, Grant::Generation { key_set: s, generation: g, .. }
                if *s == key_set && *g == generation)
        })
    }

    /// Whether a later generation may be brought, whose predecessors retire.
    pub(super) fn brings_after(&self, key_set: KeySetId, generation: Generation) -> bool {
        self.grants.iter().any(|(_, grant)| {
            matches!(grant, Grant::Generation { key_set: s, generation: g, .. }
                if *s == key_set && *g > generation)
        })
    }

    /// Whether a held generation may be taken to a step: by the right that brings it, or by that of a roll-back to it.
    pub(super) fn lifts(&self, key_set: KeySetId, generation: Generation, step: Step) -> bool {
        let back = self.grants.iter().any(|(_, grant)| {
            matches!(grant, Grant::Rollback { key_set: s, to, .. } if *s == key_set && *to == generation)
        });
        self.brings(key_set, generation) || (step == Step::Protect && back)
    }

    /// What is decided about the node's membership in zones: the newest decision of each.
    pub(super) fn zones(&self, node: NodeId) -> BTreeMap<ZoneId, (Decision, bool)> {
        let mut zones = BTreeMap::new();
        for (decision, grant) in &self.grants {
            let (zone, joins) = match grant {
                Grant::JoinZone { zone, node: n } if *n == node => (*zone, true),
                Grant::LeaveZone { zone, node: n } if *n == node => (*zone, false),
                _ => continue,
            };
            let newest = zones.entry(zone).or_insert((*decision, joins));
            *newest = (*newest).max((*decision, joins));
        }
        zones
    }
}
