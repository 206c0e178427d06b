//! How a node's transport certificate is made anew before it ends, or when another authority takes the place of the one
//! that issued it, for the same key. The message is signed by the node, and the answer by the manager. What proves the
//! key is the connection of the certificate in use, or, where mail is pushed or carried, that certificate itself beside a
//! request that its key has signed.

use super::Head;
use crate::envelope::body;
use crate::ids::{Digest, NodeId};
use crate::wire::Blob;
use serde::{Deserialize, Serialize};

/// A day, milliseconds.
const DAY_MS: u64 = 24 * 3_600_000;
/// People are told when so much is left of a certificate, milliseconds.
pub const CERTIFICATE_WARN_MS: u64 = 60 * DAY_MS;
/// A node asks when so much is left, milliseconds: a day before people are told.
pub const CERTIFICATE_RENEW_MS: u64 = CERTIFICATE_WARN_MS + DAY_MS;

/// A node wants another certificate for its transport key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renew {
    /// Head; `seq` is 1.
    pub head: Head,
    /// The node.
    pub node: NodeId,
    /// Certificate request of the key in use, PKCS #10 in DER.
    pub csr: Blob,
    /// The certificate in use, DER: in a parcel, which no connection of the node's own carries. One that is not near its
    /// end asks for nothing: it shows what the node has taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Blob>,
}

body!(Renew, "renew");

/// The certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renewed {
    /// Head; `seq` is 0.
    pub head: Head,
    /// Hash of the [`Renew`] that it answers.
    pub request: Digest,
    /// The certificate and its issuers, each DER. Which issuers count is in the root document.
    pub certificates: Vec<Blob>,
}

body!(Renewed, "renewed");
