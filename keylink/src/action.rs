//! What officers approve, as a node can judge it: an action, its list of grants, and approvals by name.
//!
//! An approval signs the hash of the action's exact bytes, and the action holds the tree hash of its grants: any
//! edit voids every approval. A node is shown the grants that concern it, each with its proof of inclusion.

use crate::envelope::{Body, Signed, bytes_of, strict};
use crate::ids::{
    ActionId, CampaignId, CredentialId, Digest, Generation, KeySetId, KmcId, NodeId, PersonId, ZoneId,
};
use crate::merkle;
use crate::message::Definition;
use crate::root::RootDocument;
use crate::wire::{Blob, Hex, U64};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Classes of actions, each with its own quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ActionClass {
    /// The root document: manifest keys, officers, quorums.
    Root,
    /// Persons, roles and credentials.
    Person,
    /// Policies.
    Policy,
    /// Enrolment of nodes.
    Enrol,
    /// Members of zones.
    Zone,
    /// Root KEK of a node.
    RootKek,
    /// A key set is defined.
    KeySet,
    /// Planned rotation, the first distribution included.
    Rotate,
    /// Rotation that does not wait for anybody.
    Emergency,
    /// The old generation protects again.
    Rollback,
    /// Suspending one node or peer: one person.
    SuspendNode,
    /// Suspending a key in use.
    SuspendKey,
    /// Resuming what was suspended.
    Resume,
    /// Revoking a key or a node.
    Revoke,
    /// Destroying a key.
    Destroy,
    /// Import of a key.
    Import,
    /// Export of a key.
    Export,
    /// A ceremony.
    Ceremony,
    /// Restoring a backup.
    Restore,
}

impl ActionClass {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::Root,
        Self::Person,
        Self::Policy,
        Self::Enrol,
        Self::Zone,
        Self::RootKek,
        Self::KeySet,
        Self::Rotate,
        Self::Emergency,
        Self::Rollback,
        Self::SuspendNode,
        Self::SuspendKey,
        Self::Resume,
        Self::Revoke,
        Self::Destroy,
        Self::Import,
        Self::Export,
        Self::Ceremony,
        Self::Restore,
    ];

    /// Fewest persons besides the requester, whatever a root document says. Suspending one node or peer is
    /// fail-safe and needs the requester's own signature only.
    pub const fn minimum(self) -> u8 {
        match self {
            Self::SuspendNode => 1,
            Self::Emergency => 3,
            _ => 2,
        }
    }
}

/// One thing that an action allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// A node may enrol with this signature key (its id is the key's hash) and this certificate request.
    EnrolNode {
        /// The node.
        node: NodeId,
        /// SHA-256 of the request, DER.
        csr: Digest,
    },
    /// A node becomes a member of a zone.
    JoinZone {
        /// The zone.
        zone: ZoneId,
        /// The node.
        node: NodeId,
    },
    /// A node leaves a zone.
    LeaveZone {
        /// The zone.
        zone: ZoneId,
        /// The node.
        node: NodeId,
    },
    /// A key set exists, and this is what it is for.
    KeySet(Definition),
    /// A generation may be installed, accepted and protect, and its predecessor retire.
    Generation {
        /// The campaign.
        campaign: CampaignId,
        /// The key set.
        key_set: KeySetId,
        /// The generation.
        generation: Generation,
    },
    /// `to`, an older generation that is still held, protects again instead of `from`.
    Rollback {
        /// The key set.
        key_set: KeySetId,
        /// The generation that protects now.
        from: Generation,
        /// The one that shall.
        to: Generation,
    },
    /// A generation is destroyed, or revoked when it was still in use.
    Destroy {
        /// The key set.
        key_set: KeySetId,
        /// The generation.
        generation: Generation,
    },
    /// A key set neither protects nor processes.
    SuspendKeySet(KeySetId),
    /// It does again.
    ResumeKeySet(KeySetId),
    /// A node does nothing with managed keys.
    SuspendNode(NodeId),
    /// It does again.
    ResumeNode(NodeId),
    /// A node forgets every managed key and its root KEK.
    ZeroiseNode(NodeId),
    /// A node gets a root KEK.
    RootKek {
        /// The node.
        node: NodeId,
        /// Number of the KEK at this node, from 1.
        number: u32,
    },
    /// Installation at this node is proved by the check value alone.
    KcvOnly(NodeId),
}

impl Grant {
    /// True when an action of this class may hold it: else the class with the lowest quorum could allow anything.
    pub const fn belongs_to(&self, class: ActionClass) -> bool {
        use ActionClass as Class;
        match self {
            Self::EnrolNode { .. } => matches!(class, Class::Enrol),
            Self::JoinZone { .. } => matches!(class, Class::Zone | Class::Enrol),
            Self::LeaveZone { .. } => matches!(class, Class::Zone | Class::Revoke),
            Self::KeySet(_) => matches!(class, Class::KeySet | Class::Rotate),
            Self::Generation { .. } => matches!(class, Class::Rotate | Class::Emergency),
            Self::Rollback { .. } => matches!(class, Class::Rollback | Class::Emergency),
            // What was rolled back is destroyed in the end.
            Self::Destroy { .. } => {
                matches!(class, Class::Destroy | Class::Revoke | Class::Rollback | Class::Emergency)
            }
            Self::SuspendKeySet(_) => matches!(class, Class::SuspendKey | Class::Emergency),
            Self::SuspendNode(_) => matches!(class, Class::SuspendNode | Class::Revoke | Class::Emergency),
            Self::ResumeKeySet(_) | Self::ResumeNode(_) => matches!(class, Class::Resume),
            Self::ZeroiseNode(_) => matches!(class, Class::Revoke | Class::Emergency),
            Self::RootKek { .. } => matches!(class, Class::RootKek | Class::Enrol),
            Self::KcvOnly(_) => matches!(class, Class::Policy | Class::RootKek),
        }
    }
}

/// JSON text of what the manager's own classes are about, which a node does not judge. Shown to the officers, and
/// bound by the hash.
pub type Details = Option<String>;

/// An action. Its exact bytes are what is approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// The manager.
    pub kmc: KmcId,
    /// Its id.
    pub action: ActionId,
    /// Its class.
    pub class: ActionClass,
    /// Who asked for it; never counted.
    pub requester: PersonId,
    /// When, ms UTC.
    pub created_ms: U64,
    /// A node does nothing by its right after this, ms UTC.
    pub not_after: U64,
    /// Number of grants.
    pub grants: u32,
    /// Tree hash of the grants' bytes.
    pub grants_root: Digest,
    /// What else was approved.
    pub details: Details,
}

crate::envelope::body!(Action, "action");

/// Hash of an action's exact bytes, which approvals sign.
pub fn action_hash(action: &[u8]) -> Digest {
    Digest::of(&crate::envelope::pae(Action::KIND, action))
}

/// One person's approval of one action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The manager.
    pub kmc: KmcId,
    /// Hash of the action.
    pub action: Digest,
    /// Drawn by the manager for this action.
    pub nonce: Hex<16>,
    /// Who approves.
    pub person: PersonId,
    /// With which credential.
    pub credential: CredentialId,
    /// When, ms UTC.
    pub signed_ms: U64,
    /// Counts for the manager until then, ms UTC. A node that was away judges [`Action::not_after`].
    pub not_after: U64,
}

crate::envelope::body!(Approval, "approval");

/// A grant with its place in an action's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvedGrant {
    /// Its place, from 0.
    pub index: u32,
    /// Its exact bytes.
    pub grant: Blob,
    /// Proof of inclusion, lowest first.
    pub proof: Vec<Digest>,
}

/// An action as a node is shown it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The action's exact bytes.
    pub action: Blob,
    /// The grants that concern the node.
    pub grants: Vec<ProvedGrant>,
    /// Approvals.
    pub approvals: Vec<Signed>,
}

/// Why evidence does not allow anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// Not an action, grant or approval.
    #[error("malformed evidence")]
    Malformed,
    /// Of another manager.
    #[error("evidence of another manager")]
    Kmc,
    /// Past its time.
    #[error("action expired")]
    Expired,
    /// A grant that the action does not hold, or that its class cannot hold.
    #[error("grant is not part of the action")]
    Grant,
    /// An approval that does not hold, or is of another action or of nobody in the root document.
    #[error("approval does not hold")]
    Approval,
    /// Too few persons besides the requester.
    #[error("too few persons have approved")]
    Quorum,
}

/// What evidence allows, once it has been judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The action.
    pub action: Action,
    /// Its grants for this node.
    pub grants: Vec<Grant>,
    /// Who approved.
    pub approvers: Vec<PersonId>,
}

/// The bytes of a list of grants, in its order, as they are hashed.
pub fn grant_bytes(grants: &[Grant]) -> Vec<Vec<u8>> {
    grants.iter().map(bytes_of).collect()
}

impl Evidence {
    /// What a node for which `concerns` holds is shown of an action. `None` when `action` does not hold `grants`.
    pub fn select(
        action: &[u8],
        grants: &[Grant],
        approvals: &[Signed],
        concerns: impl Fn(&Grant) -> bool,
    ) -> Option<Self> {
        let parsed: Action = strict(action).ok()?;
        let leaves = grant_bytes(grants);
        if merkle::root(&leaves) != parsed.grants_root || usize::try_from(parsed.grants) != Ok(leaves.len()) {
            return None;
        }
        let chosen = grants.iter().enumerate().filter(|(_, grant)| concerns(grant));
        let proved = chosen.map(|(index, _)| {
            Some(ProvedGrant {
                index: u32::try_from(index).ok()?,
                grant: Blob(leaves.get(index)?.clone()),
                proof: merkle::prove(&leaves, index)?,
            })
        });
        Some(Self {
            action: Blob(action.to_vec()),
            grants: proved.collect::<Option<_>>()?,
            approvals: approvals.to_vec(),
        })
    }

    /// Judges the evidence by a root document. Every approval that is shown must hold.
    pub fn judge(&self, kmc: KmcId, root: &RootDocument, utc_ms: u64) -> Result<Allowed, EvidenceError> {
        let action: Action = strict(&self.action.0).map_err(|_| EvidenceError::Malformed)?;
        if action.kmc != kmc {
            return Err(EvidenceError::Kmc);
        }
        if utc_ms > action.not_after.0 {
            return Err(EvidenceError::Expired);
        }
        let approvers = self.approvers(&action, root)?;
        let grants = self.grants.iter().map(|grant| grant.judge(&action)).collect::<Result<_, _>>()?;
        Ok(Allowed { action, grants, approvers })
    }

    fn approvers(&self, action: &Action, root: &RootDocument) -> Result<Vec<PersonId>, EvidenceError> {
        let hash = action_hash(&self.action.0);
        let mut persons = BTreeSet::new();
        for signed in &self.approvals {
            persons.insert(approver(signed, hash, action.kmc, root)?);
        }
        if action.class == ActionClass::SuspendNode {
            // One person is enough, and may be the requester: it is fail-safe.
            return if persons.is_empty() {
                Err(EvidenceError::Quorum)
            } else {
                Ok(persons.into_iter().collect())
            };
        }
        persons.remove(&action.requester);
        if persons.len() < root.persons_needed(action.class) {
            return Err(EvidenceError::Quorum);
        }
        Ok(persons.into_iter().collect())
    }
}

/// The person whose approval of the action with this hash `signed` is.
pub fn approver(
    signed: &Signed,
    action: Digest,
    kmc: KmcId,
    root: &RootDocument,
) -> Result<PersonId, EvidenceError> {
    let officer = root.officer(&signed.key_id).ok_or(EvidenceError::Approval)?;
    let approval: Approval = signed.open(&officer.key).map_err(|_| EvidenceError::Approval)?;
    let own = approval.person == officer.person && approval.credential == officer.credential;
    let fits = approval.kmc == kmc && approval.action == action && approval.signed_ms <= approval.not_after;
    if own && fits { Ok(officer.person) } else { Err(EvidenceError::Approval) }
}

impl ProvedGrant {
    fn judge(&self, action: &Action) -> Result<Grant, EvidenceError> {
        let (count, index) = (usize::try_from(action.grants), usize::try_from(self.index));
        let (Ok(count), Ok(index)) = (count, index) else { return Err(EvidenceError::Grant) };
        if !merkle::holds(&action.grants_root, count, index, &self.grant.0, &self.proof) {
            return Err(EvidenceError::Grant);
        }
        let grant: Grant = strict(&self.grant.0).map_err(|_| EvidenceError::Malformed)?;
        if grant.belongs_to(action.class) { Ok(grant) } else { Err(EvidenceError::Grant) }
    }
}
