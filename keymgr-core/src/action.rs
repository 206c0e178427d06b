//! Everything that needs more than one person, as exact data. An action is frozen into bytes when it is
//! proposed; officers sign the hash of those bytes.

use super::approval::Quorum;
use super::campaign::RotateTarget;
use super::ids::{
    ActionId, CampaignId, CredentialId, Digest, Generation, KeySetId, NodeId, PersonId, PolicyId, ZoneId,
};
use super::key::Holders;
use super::node::NewNode;
use super::people::{NewCredential, NewPerson, Role};
use super::policy::Policy;
use super::root_kek::KekTarget;
use super::signing::KeySuccession;
use keylink::action::ActionClass;
use keylink::message::Definition;
use keylink::wire::U64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    /// Registers a person with a first credential.
    EnrolPerson(NewPerson),
    /// Ends a person's rights, and may name who comes instead.
    RevokePerson {
        /// Who goes.
        person: PersonId,
        /// Who comes.
        replacement: Option<NewPerson>,
    },
    /// Gives a person other roles.
    ChangeRoles {
        /// Whose.
        person: PersonId,
        /// All roles from then on.
        roles: BTreeSet<Role>,
    },
    /// Registers a further credential.
    AddCredential {
        /// Whose.
        person: PersonId,
        /// The credential.
        credential: NewCredential,
    },
    /// Ends a credential.
    RevokeCredential {
        /// Which.
        credential: CredentialId,
    },
    /// Entrusts a component of a key set to a custodian.
    Entrust {
        /// To whom.
        person: PersonId,
        /// Of which key set.
        key_set: KeySetId,
        /// Which component, from 1.
        component: u8,
    },
    /// Puts another key in the place of one of the centre's own, which sign manifests and checkpoints.
    ChangeSigningKey(KeySuccession),
    /// Changes the number of approving persons of a class; never below its minimum.
    SetQuorum {
        /// Which class.
        class: ActionClass,
        /// Persons besides the requester.
        quorum: Quorum,
    },
    /// A policy, or its next version.
    DefinePolicy(Policy),
    /// A virtual network.
    CreateZone {
        /// Identity.
        id: ZoneId,
        /// Name.
        alias: String,
        /// Production.
        live: bool,
    },
    /// Lets nodes into a zone.
    AddMembers {
        /// Which zone.
        zone: ZoneId,
        /// Which nodes.
        nodes: BTreeSet<NodeId>,
    },
    /// Takes nodes out of a zone.
    RemoveMembers {
        /// Which zone.
        zone: ZoneId,
        /// Which nodes.
        nodes: BTreeSet<NodeId>,
    },
    /// A key set.
    CreateKeySet {
        /// What it is for.
        definition: Definition,
        /// Keys may leave under a ZMK.
        exportable: bool,
        /// Production keys.
        live: bool,
        /// Policy.
        policy: PolicyId,
        /// Where its keys live.
        holders: Holders,
    },
    /// Lets nodes in, by the fingerprints of their keys.
    EnrolNodes(Vec<NewNode>),
    /// Lets nodes prove installation by the check value alone, because they can do no more.
    AllowKcvOnly(BTreeSet<NodeId>),
    /// Approves again what was approved before: nodes that have not seen it yet do not take the word of officers
    /// who have left since.
    Reaffirm(Reaffirmed),
    /// Tells a node to do nothing with managed keys. One person's signature is enough.
    SuspendNode {
        /// Which.
        node: NodeId,
        /// Why.
        reason: String,
    },
    /// Gives a suspended node its place back.
    ResumeNode {
        /// Which.
        node: NodeId,
    },
    /// Takes a node's rights for good.
    RevokeNode {
        /// Which.
        node: NodeId,
    },
    /// New root KEKs for nodes, by agreement.
    RekeyNodes(Vec<KekTarget>),
    /// The same, because others may know the root KEKs in use: nothing more goes out under them, and what did is told.
    RekeySuspect {
        /// Which.
        targets: Vec<KekTarget>,
        /// Why.
        reason: String,
    },
    /// Forms a root KEK from components, for a node at which its own custodians form the same.
    FormRootKek {
        /// Which.
        target: KekTarget,
        /// Custodians of components 1, 2, …
        custodians: Vec<PersonId>,
    },
    /// New keys for key sets, on all of their nodes, in the gated steps.
    Rotate(Vec<RotateTarget>),
    /// The same without the gate, for keys that others may know.
    RotateAtOnce {
        /// What.
        targets: Vec<RotateTarget>,
        /// Why.
        reason: String,
    },
    /// Takes nodes that are out of traffic out of the gate of a campaign.
    ExceptNodes {
        /// Which campaign.
        campaign: CampaignId,
        /// Which nodes.
        nodes: BTreeSet<NodeId>,
    },
    /// Lets a paused campaign go on.
    ResumeCampaign {
        /// Which.
        campaign: CampaignId,
    },
    /// Ends a campaign before any node was told to protect.
    AbortCampaign {
        /// Which.
        campaign: CampaignId,
    },
    /// Gives protection back to the old generation.
    RollBack {
        /// Which campaign.
        campaign: CampaignId,
    },
    /// Puts a key that the centre alone holds into use.
    ActivateKey(KeyRef),
    /// Stops a key that may return (T7).
    SuspendKey(KeyRef),
    /// Lets it return (T10).
    ResumeKey(KeyRef),
    /// Declares a key compromised (T3, T6, T11, T14).
    RevokeKey {
        /// Which.
        key: KeyRef,
        /// Why.
        reason: String,
    },
    /// Ends a key's use (T8, T12).
    DeactivateKey(KeyRef),
    /// Destroys a key: at once before its activation, else through a hold.
    DestroyKey(KeyRef),
    /// Ends a destroy hold without destruction.
    KeepKey(KeyRef),
    /// Puts a key's record away.
    ArchiveKey(KeyRef),
    /// Brings it back.
    RestoreKey(KeyRef),
    /// Lets a key protect longer than its policy says.
    ExtendKey {
        /// Which.
        key: KeyRef,
        /// Until when, UTC milliseconds.
        until: U64,
    },
    /// Forms the next generation of a key set from components.
    FormKey {
        /// Which key set.
        key_set: KeySetId,
        /// Custodians of components 1, 2, …
        custodians: Vec<PersonId>,
    },
    /// Takes the next generation of a key set from a key block.
    ImportKey {
        /// Which key set.
        key_set: KeySetId,
        /// Key that wraps the block.
        under: KeyRef,
        /// SHA-256 of the block.
        block: Digest,
        /// Check value as the sender stated it.
        kcv: String,
    },
    /// Gives up what was approved and is not done: a ceremony, an import, an export. To begin anew takes new approvals.
    Abandon {
        /// Which action.
        action: ActionId,
    },
    /// Gives a key out as a key block.
    ExportKey {
        /// Which.
        key: KeyRef,
        /// Key that wraps it.
        under: KeyRef,
    },
}

/// What is approved again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reaffirmed {
    /// The members of a zone.
    Zone(ZoneId),
    /// The definition of a key set.
    KeySet(KeySetId),
    /// A key that a campaign brings, or has brought.
    Key(KeyRef),
    /// That a key is taken from nodes, and destroyed.
    End(KeyRef),
    /// That protection was given back to an older key; named by either of the two.
    RollBack(KeyRef),
    /// That a key set stands still.
    Suspension(KeyRef),
    /// That it does so no more.
    Resumption(KeyRef),
}

/// One key: a set and a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRef {
    /// Key set.
    pub key_set: KeySetId,
    /// Generation.
    pub generation: Generation,
}

impl std::fmt::Display for KeyRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.key_set, self.generation)
    }
}

impl Act {
    /// True when it is about this person: a component of theirs, their standing, roles or credentials.
    pub fn concerns(&self, who: &PersonId, credentials: &BTreeSet<CredentialId>) -> bool {
        match self {
            Self::EnrolPerson(new) => new.id == *who,
            Self::RevokePerson { person, replacement } => {
                person == who || replacement.as_ref().is_some_and(|new| new.id == *who)
            }
            Self::ChangeRoles { person, .. }
            | Self::AddCredential { person, .. }
            | Self::Entrust { person, .. } => person == who,
            Self::RevokeCredential { credential } => credentials.contains(credential),
            Self::FormKey { custodians, .. } | Self::FormRootKek { custodians, .. } => {
                custodians.contains(who)
            }
            _ => false,
        }
    }

    /// What it holds in a person's own words.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::SuspendNode { reason, .. }
            | Self::RotateAtOnce { reason, .. }
            | Self::RevokeKey { reason, .. } => vec![reason],
            Self::DefinePolicy(policy) => vec![&policy.name],
            Self::ImportKey { kcv, .. } => vec![kcv],
            Self::EnrolPerson(new) | Self::RevokePerson { replacement: Some(new), .. } => {
                new.line.iter().map(String::as_str).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The class that tells how many must approve.
    pub fn class(&self) -> ActionClass {
        match self {
            Self::EnrolPerson(_)
            | Self::RevokePerson { .. }
            | Self::ChangeRoles { .. }
            | Self::AddCredential { .. }
            | Self::RevokeCredential { .. }
            | Self::Entrust { .. } => ActionClass::Person,
            Self::SetQuorum { .. } | Self::ChangeSigningKey(_) => ActionClass::Root,
            Self::DefinePolicy(_) | Self::ExtendKey { .. } | Self::AllowKcvOnly(_) => ActionClass::Policy,
            Self::CreateZone { .. }
            | Self::AddMembers { .. }
            | Self::RemoveMembers { .. }
            | Self::Reaffirm(Reaffirmed::Zone(_)) => ActionClass::Zone,
            Self::CreateKeySet { .. } | Self::Reaffirm(Reaffirmed::KeySet(_)) => ActionClass::KeySet,
            Self::EnrolNodes(_) => ActionClass::Enrol,
            Self::RekeyNodes(_) | Self::RekeySuspect { .. } | Self::FormRootKek { .. } => {
                ActionClass::RootKek
            }
            Self::SuspendNode { .. } => ActionClass::SuspendNode,
            Self::ResumeNode { .. }
            | Self::ResumeKey(_)
            | Self::KeepKey(_)
            | Self::RestoreKey(_)
            | Self::Reaffirm(Reaffirmed::Resumption(_)) => ActionClass::Resume,
            Self::RevokeNode { .. }
            | Self::RevokeKey { .. }
            | Self::DeactivateKey(_)
            | Self::AbortCampaign { .. }
            | Self::Abandon { .. }
            | Self::Reaffirm(Reaffirmed::End(_)) => ActionClass::Revoke,
            Self::Rotate(_)
            | Self::ExceptNodes { .. }
            | Self::ResumeCampaign { .. }
            | Self::ActivateKey(_)
            | Self::Reaffirm(Reaffirmed::Key(_)) => ActionClass::Rotate,
            Self::RotateAtOnce { .. } => ActionClass::Emergency,
            Self::RollBack { .. } | Self::Reaffirm(Reaffirmed::RollBack(_)) => ActionClass::Rollback,
            Self::SuspendKey(_) | Self::Reaffirm(Reaffirmed::Suspension(_)) => ActionClass::SuspendKey,
            Self::DestroyKey(_) | Self::ArchiveKey(_) => ActionClass::Destroy,
            Self::FormKey { .. } => ActionClass::Ceremony,
            Self::ImportKey { .. } => ActionClass::Import,
            Self::ExportKey { .. } => ActionClass::Export,
        }
    }

    /// The word for log and lists.
    pub fn word(&self) -> &'static str {
        match self {
            Self::EnrolPerson(_) => "person.enrol",
            Self::RevokePerson { .. } => "person.revoke",
            Self::ChangeRoles { .. } => "person.roles",
            Self::AddCredential { .. } => "credential.add",
            Self::RevokeCredential { .. } => "credential.revoke",
            Self::Entrust { .. } => "person.entrust",
            Self::ChangeSigningKey(_) => "signing_key.change",
            Self::SetQuorum { .. } => "quorum.set",
            Self::DefinePolicy(_) => "policy.define",
            Self::CreateZone { .. } => "zone.create",
            Self::AddMembers { .. } => "zone.add",
            Self::RemoveMembers { .. } => "zone.remove",
            Self::CreateKeySet { .. } => "key_set.create",
            Self::EnrolNodes(_) => "node.enrol",
            Self::AllowKcvOnly(_) => "node.kcv_only",
            Self::Reaffirm(_) => "action.reaffirm",
            Self::SuspendNode { .. } => "node.suspend",
            Self::ResumeNode { .. } => "node.resume",
            Self::RevokeNode { .. } => "node.revoke",
            Self::RekeyNodes(_) => "node.rekey",
            Self::RekeySuspect { .. } => "node.rekey_suspect",
            Self::FormRootKek { .. } => "node.form_root_kek",
            Self::Rotate(_) => "campaign.rotate",
            Self::RotateAtOnce { .. } => "campaign.rotate_at_once",
            Self::ExceptNodes { .. } => "campaign.except",
            Self::ResumeCampaign { .. } => "campaign.resume",
            Self::AbortCampaign { .. } => "campaign.abort",
            Self::RollBack { .. } => "campaign.roll_back",
            Self::ActivateKey(_) => "key.activate",
            Self::SuspendKey(_) => "key.suspend",
            Self::ResumeKey(_) => "key.resume",
            Self::RevokeKey { .. } => "key.revoke",
            Self::DeactivateKey(_) => "key.deactivate",
            Self::DestroyKey(_) => "key.destroy",
            Self::KeepKey(_) => "key.keep",
            Self::ArchiveKey(_) => "key.archive",
            Self::RestoreKey(_) => "key.restore",
            Self::ExtendKey { .. } => "key.extend",
            Self::FormKey { .. } => "key.form",
            Self::Abandon { .. } => "action.abandon",
            Self::ImportKey { .. } => "key.import",
            Self::ExportKey { .. } => "key.export",
        }
    }

    /// Done by the shell after the approval: the backend has to work, or people do.
    pub fn is_performed_outside(&self) -> bool {
        matches!(
            self,
            Self::FormKey { .. } | Self::FormRootKek { .. } | Self::ImportKey { .. } | Self::ExportKey { .. }
        )
    }
}

/// What is bound into the action's bytes besides its grants. Nodes are shown these bytes with every manifest, so
/// the content itself is bound by its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Details {
    /// Grows with every edit.
    pub version: u32,
    /// Approving persons needed besides the requester.
    pub quorum: Quorum,
    /// The requester's credential.
    pub credential: CredentialId,
    /// [`Act::word`] of the content.
    pub word: String,
    /// SHA-256 of the content's exact bytes.
    pub content: Digest,
}
