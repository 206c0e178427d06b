//! `[node]` of the configuration file.

use serde::Deserialize;
use std::net::SocketAddr;

/// A gateway whose keys come from a key management centre. The node's identity and state are in the data folder, as
/// enrolment left them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeTable {
    /// Where the manager is, when it is not where enrolment found it.
    pub manager: Option<String>,
    /// The node asks for mail; false leaves pushes and files.
    pub pull: Option<bool>,
    /// Address at which pushes are taken.
    pub push: Option<SocketAddr>,
    /// LMK under which keys of traffic are kept: 0 to 19.
    pub lmk: Option<u8>,
    /// LMK under which the root KEK is kept: an AES key-block LMK.
    pub kek_lmk: Option<u8>,
    /// Most that wall and monotonic clock may go apart, ms, before switches by time are held back.
    pub skew_max_ms: Option<u64>,
}
