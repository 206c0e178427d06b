//! Why the centre does not do what is asked. Nothing has changed then.

use super::approval::ApprovalError;
use super::lifecycle::IllegalMove;
use super::people::Conflict;
use super::policy::PolicyError;
use keylink::manager::LinkError;
use keylink::root::RootError;

/// A refusal: a stable word for programs ([`Refusal::code`]) and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Refusal {
    #[error("no {table} {key}")]
    Unknown { table: &'static str, key: String },
    #[error("{table} {key} is there already")]
    Exists { table: &'static str, key: String },
    #[error("the centre has been founded already")]
    Founded,
    #[error("the centre has not been founded")]
    NotFounded,
    #[error("the person may not do this")]
    Forbidden,
    #[error("only the requester takes an action back or edits it")]
    NotRequester,
    #[error(transparent)]
    Approval(#[from] ApprovalError),
    #[error(transparent)]
    Move(#[from] IllegalMove),
    #[error(transparent)]
    Conflict(#[from] Conflict),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Root(#[from] RootError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("too few officers would be left")]
    TooFewOfficers,
    #[error("policy and key set do not fit: {0}")]
    Unfit(&'static str),
    #[error("test keys and production do not meet")]
    TestAndLive,
    #[error("the key set has a live campaign")]
    CampaignLives,
    #[error("another of the centre's own keys is being changed")]
    KeyChanges,
    #[error("the zone is locked by a live campaign")]
    ZoneLocked,
    #[error("outdated: {0}")]
    Outdated(&'static str),
    #[error("the key was sealed for a number that is not the next one; it has to be sealed again")]
    NotNext,
    #[error("not possible in this phase of the campaign")]
    Phase,
    #[error(
        "node {0} is in traffic, by what was declared or by its own word; it has to be taken out of it first"
    )]
    InTraffic(super::ids::NodeId),
    #[error("node does not have the keys that traffic needs")]
    NotReady,
    #[error("the node is suspended or revoked")]
    Suspended,
    #[error("the node is in quarantine already: {0}")]
    InQuarantine(String),
    #[error("key is in use: {0}")]
    InUse(&'static str),
    #[error("a wrapping key weaker than the key")]
    Strength,
    #[error("the key may not leave")]
    NotExportable,
    #[error("the node is no member of the key's zone")]
    NotMember,
    #[error("the manifest is not the one that is due")]
    NotDue,
    #[error("a number or name that is not allowed: {0}")]
    Value(&'static str),
}

impl Refusal {
    /// A record that is not there.
    pub fn unknown<R>(key: &impl std::fmt::Debug) -> Self {
        Self::Unknown { table: table_of::<R>(), key: format!("{key:?}") }
    }

    /// A record that is there already.
    pub fn exists<R>(key: &impl std::fmt::Debug) -> Self {
        Self::Exists { table: table_of::<R>(), key: format!("{key:?}") }
    }
}

macro_rules! codes {
    ($($refusal:pat => $word:literal,)*) => {
        impl Refusal {
            /// Every stable word.
            pub const CODES: &[&str] = &[$($word),*];

            /// A stable word.
            pub fn code(&self) -> &'static str {
                match self { $($refusal => $word,)* }
            }
        }
    };
}

codes! {
    Self::Unknown { .. } => "unknown",
    Self::Exists { .. } => "exists",
    Self::Founded => "founded",
    Self::NotFounded => "not_founded",
    Self::Forbidden => "forbidden",
    Self::NotRequester => "not_requester",
    Self::Approval(ApprovalError::NotPending) => "approval_not_pending",
    Self::Approval(ApprovalError::Expired) => "approval_expired",
    Self::Approval(ApprovalError::OtherContent) => "approval_other_content",
    Self::Approval(ApprovalError::Credential) => "approval_credential",
    Self::Approval(ApprovalError::Role) => "approval_role",
    Self::Approval(ApprovalError::Requester) => "approval_requester",
    Self::Approval(ApprovalError::Twice) => "approval_twice",
    Self::Approval(ApprovalError::Times) => "approval_times",
    Self::Move(_) => "illegal_move",
    Self::Conflict(_) => "separation",
    Self::Policy(_) => "policy",
    Self::Root(_) => "root",
    Self::Link(LinkError::Envelope(_)) => "message_signature",
    Self::Link(LinkError::Head(_)) => "message_head",
    Self::Link(LinkError::Foreign) => "message_foreign",
    Self::Link(LinkError::Gap(_)) => "receipt_gap",
    Self::Link(LinkError::Replayed) => "message_replayed",
    Self::Link(LinkError::Quarantined(_)) => "node_quarantined",
    Self::TooFewOfficers => "too_few_officers",
    Self::Unfit(_) => "unfit",
    Self::TestAndLive => "test_and_live",
    Self::CampaignLives => "campaign_lives",
    Self::KeyChanges => "key_changes",
    Self::ZoneLocked => "zone_locked",
    Self::Outdated(_) => "outdated",
    Self::NotNext => "not_next",
    Self::Phase => "phase",
    Self::InTraffic(_) => "in_traffic",
    Self::NotReady => "not_ready",
    Self::Suspended => "suspended",
    Self::InQuarantine(_) => "in_quarantine",
    Self::InUse(_) => "in_use",
    Self::Strength => "strength",
    Self::NotExportable => "not_exportable",
    Self::NotMember => "not_member",
    Self::NotDue => "not_due",
    Self::Value(_) => "value",
}

fn table_of<R>() -> &'static str {
    std::any::type_name::<R>().rsplit("::").next().unwrap_or("record")
}
