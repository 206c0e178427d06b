//! What every body begins with: for whom it is, in which order it stands, and how long it may travel.

use crate::ids::{KmcId, NodeId};
use crate::wire::U64;
use core::fmt;
use core::str::FromStr;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Version of the protocol that this crate speaks. It is inside the signed bytes; a node keeps the highest that
/// it has used as a floor.
pub const PROTOCOL: u16 = 1;

/// For whom a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Audience {
    /// The manager of the message's KMC id.
    Kmc,
    /// One node.
    Node(NodeId),
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kmc => f.write_str("kmc"),
            Self::Node(node) => write!(f, "node:{node}"),
        }
    }
}

impl FromStr for Audience {
    type Err = crate::ids::IdError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("node:") {
            Some(node) => node.parse().map(Self::Node),
            None if text == "kmc" => Ok(Self::Kmc),
            None => Err(crate::ids::IdError),
        }
    }
}

impl Serialize for Audience {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// The head of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// [`PROTOCOL`] of the sender.
    pub version: u16,
    /// The manager.
    pub kmc: KmcId,
    /// For whom.
    pub audience: Audience,
    /// Take-over count of the manager; in what nodes send: the highest they have seen.
    pub epoch: U64,
    /// To a node: number of the message for that node, strictly rising. From a node: see each message.
    pub seq: U64,
    /// Refused after this, ms UTC.
    pub not_after: U64,
}

/// Why a message is not for us, or not for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// A protocol version that is not spoken here.
    #[error("protocol version not spoken")]
    Version,
    /// Another manager's.
    #[error("message of another manager")]
    Kmc,
    /// For somebody else.
    #[error("message for somebody else")]
    Audience,
    /// Past its time.
    #[error("message expired")]
    Expired,
}

impl Head {
    /// Judges all but the order. `floor` is the lowest version that is still taken.
    pub fn judge(&self, kmc: KmcId, me: Audience, floor: u16, utc_ms: u64) -> Result<(), HeadError> {
        if self.version > PROTOCOL || self.version < floor || self.version == 0 {
            return Err(HeadError::Version);
        }
        if self.kmc != kmc {
            return Err(HeadError::Kmc);
        }
        if self.audience != me {
            return Err(HeadError::Audience);
        }
        if utc_ms > self.not_after.0 { Err(HeadError::Expired) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_for_one_reader_and_a_time() {
        let (kmc, node) = (KmcId([1; 32]), NodeId([2; 32]));
        let head = Head {
            version: PROTOCOL,
            kmc,
            audience: Audience::Node(node),
            epoch: U64(1),
            seq: U64(1),
            not_after: U64(100),
        };
        let me = Audience::Node(node);
        assert_eq!(head.judge(kmc, me, 1, 100), Ok(()));
        assert_eq!(head.judge(kmc, me, 1, 101), Err(HeadError::Expired));
        assert_eq!(head.judge(kmc, Audience::Kmc, 1, 1), Err(HeadError::Audience));
        assert_eq!(head.judge(KmcId([9; 32]), me, 1, 1), Err(HeadError::Kmc));
        assert_eq!(head.judge(kmc, me, PROTOCOL + 1, 1), Err(HeadError::Version));
        let newer = Head { version: PROTOCOL + 1, ..head };
        assert_eq!(newer.judge(kmc, me, 1, 1), Err(HeadError::Version));
        let text = serde_json::to_string(&head).unwrap();
        assert_eq!(serde_json::from_str::<Head>(&text).unwrap(), head);
        assert!(serde_json::from_str::<Head>(&text.replace("node:", "nodes:")).is_err());
    }
}
