//! Alarms: what people must look at. One alarm for each kind and subject, raised once and ended by the machine
//! that raised it when its reason has gone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// The period of a key ends within 90, 30, 7 or 1 days.
    KeyExpires,
    /// The period of a key has ended, and it still protects.
    KeyExpired,
    /// No sign of life from a node.
    NodeSilent,
    /// A node holds keys that others have retired.
    NodeStale,
    /// A node's clock differs from ours.
    Skew,
    /// A node reports something wrong with itself.
    NodeReports,
    /// A node serves hosts although it is declared out of traffic. Ends when it is declared in traffic, or serves nobody.
    Undeclared,
    /// A node has protected with a new key before its time. Ends when it keeps the time of a later one.
    EarlySwitch,
    /// Two nodes sign with one key.
    Cloned,
    /// A node's receipts do not connect: some are missing.
    ReceiptsBehind,
    /// A node did not do what a manifest asks.
    NodeRefuses,
    /// A node was shown a message that we did not send it now: somebody else speaks in our name, or repeats what we said
    /// long ago. Ends when the node has done what we said last.
    ForeignMail,
    /// A proof of possession does not hold.
    ProofFailed,
    /// A node is suspended.
    Quarantined,
    /// A campaign is past its deadline.
    Deadline,
    /// Nodes do not protect with the new key although its time has come.
    SwitchLate,
    /// A campaign ended without some nodes.
    Exceptions,
    /// Fewer officers than decisions may need.
    FewOfficers,
    /// The officers of the root document are not those of the register.
    RootBehind,
    /// Recovery keys are replacing officers.
    Recovery,
    /// A key may be known to others: a key that wrapped it is, or a node that it was sent to was revoked.
    KeySuspect,
    /// The key that protects was compromised and no campaign brings another: nodes have none, or go on with one that was
    /// given up.
    KeyLost,
    /// The backend could not make a key, or does not sign with the centre's own.
    Backend,
    /// The root KEK of a node is not the one that the centre has, or its change does not end.
    RootKek,
    /// A node's transport certificate ends soon, or has ended, and was not made anew.
    CertificateEnds,
    /// The change of one of the centre's own keys does not end.
    SigningKey,
    /// An approved action could not be carried out.
    ActionFailed,
    /// What was to happen at its time could not be done; it is tried again every second.
    Stuck,
    /// A node has seen a log that is not ours: the store was set back, or the history was told anew.
    LogDiffers,
    /// A node was shown a proof that the log holds its receipt, and it does not hold.
    LogDisputed,
    /// The clock of the manager's machine has stepped, or was behind the log at the start. Time goes on as before for an
    /// hour.
    Clock,
}

/// Subject of the alarm that the centre's own keys do not sign.
pub const OWN_KEYS: &str = "signing keys";

/// An alarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alarm {
    /// What is wrong.
    pub kind: AlarmKind,
    /// With whom or what: the text of its id.
    pub subject: String,
    /// In words; holds no secret.
    pub text: String,
    /// Since, UTC milliseconds.
    pub raised_utc_ms: u64,
    /// Until, UTC milliseconds; none while it lasts.
    pub ended_utc_ms: Option<u64>,
}
