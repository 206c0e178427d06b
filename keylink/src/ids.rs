//! Names of things. Who and what is named by a hash of its key or first document cannot be named twice; the
//! rest are UUIDs of version 7, made of time and randomness that the caller gives.

use crate::wire::{hex_of, unhex, write_hex};
use core::fmt;
use core::str::FromStr;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// A text is not an id of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this kind")]
pub struct IdError;

macro_rules! as_text {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

macro_rules! hashes {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                unhex(text).map(Self).ok_or(IdError)
            }
        }

        as_text!($name);
    )*};
}

hashes! {
    /// SHA-256 of something; of a message: of its PAE.
    Digest;
    /// A key management centre: hash of its genesis root document.
    KmcId;
    /// A node: hash of its first signature key. Never given to another.
    NodeId;
    /// An Ed25519 verifying key.
    PublicKey;
    /// Name of a verifying key: its hash.
    KeyId;
}

impl Digest {
    /// SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl PublicKey {
    /// The key's name.
    pub fn id(&self) -> KeyId {
        KeyId(Digest::of(&self.0).0)
    }
}

impl NodeId {
    /// The id of the node whose first signature key this is.
    pub fn of(first: &PublicKey) -> Self {
        Self(first.id().0)
    }
}

impl From<Digest> for KmcId {
    fn from(genesis: Digest) -> Self {
        Self(genesis.0)
    }
}

macro_rules! uuids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// A new id (RFC 9562, version 7) of the time in ms UTC and ten random bytes.
            pub const fn new(utc_ms: u64, random: [u8; 10]) -> Self {
                Self(version_7(utc_ms, random))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_uuid(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                read_uuid(text).map(Self).ok_or(IdError)
            }
        }

        as_text!($name);
    )*};
}

uuids! {
    /// Keys of one purpose through all their generations.
    KeySetId;
    /// A virtual network: its members share its key sets.
    ZoneId;
    /// A change of keys on many nodes.
    CampaignId;
    /// Something that needs approvals.
    ActionId;
    /// A person.
    PersonId;
    /// A credential of a person.
    CredentialId;
    /// A key ceremony.
    CeremonyId;
    /// A policy.
    PolicyId;
    /// A one-time right to enrol.
    TokenId;
    /// A command to a node.
    CommandId;
}

const fn version_7(utc_ms: u64, r: [u8; 10]) -> [u8; 16] {
    let [_, _, a, b, c, d, e, f] = utc_ms.to_be_bytes();
    let [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9] = r;
    [a, b, c, d, e, f, 0x70 | (r0 & 0x0F), r1, 0x80 | (r2 & 0x3F), r3, r4, r5, r6, r7, r8, r9]
}

// Places of the hyphens (RFC 9562 section 4).
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

// The 36 characters at once: rows and messages are full of them.
fn uuid_text(bytes: &[u8; 16]) -> [u8; 36] {
    let mut text = [b'-'; 36];
    let digits = bytes.iter().flat_map(|byte| hex_of(*byte));
    let places = (0..36).filter(|at| !HYPHENS.contains(at));
    for (at, digit) in places.zip(digits) {
        if let Some(place) = text.get_mut(at) {
            *place = digit;
        }
    }
    text
}

fn write_uuid(bytes: &[u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(core::str::from_utf8(&uuid_text(bytes)).map_err(|_| fmt::Error)?)
}

fn read_uuid(text: &str) -> Option<[u8; 16]> {
    let mut digits = [0; 32];
    let plain = text.bytes().enumerate().filter(|(at, _)| !HYPHENS.contains(at));
    digits.iter_mut().zip(plain).for_each(|(place, (_, digit))| *place = digit);
    let bytes = unhex(core::str::from_utf8(&digits).ok()?)?;
    // What stands elsewhere than it should is seen here.
    (uuid_text(&bytes) == text.as_bytes()).then_some(bytes)
}

/// Number of a key within its key set: from 1, never used for two keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u32);

impl Generation {
    /// True when the odd index names it.
    pub const fn is_odd(self) -> bool {
        self.0 % 2 == 1
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_have_version_time_and_one_text() {
        let id = KeySetId::new(0x0199_8877_6655, [0xFF; 10]);
        assert_eq!(id.to_string(), "01998877-6655-7fff-bfff-ffffffffffff");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in [
            "",
            "01998877-6655-7fff-bfff-fffffffffff",
            "0199887766557fffbfffffffffffffff",
            "01998877-6655-7FFF-BFFF-FFFFFFFFFFFF",
            "01998877-66557-fff-bfff-ffffffffffff",
        ] {
            assert_eq!(bad.parse::<KeySetId>(), Err(IdError), "{bad}");
        }
        assert!(ZoneId::new(1, [9; 10]) < ZoneId::new(2, [0; 10]));
    }

    #[test]
    fn hashes_print_and_parse() {
        let id = NodeId::of(&PublicKey([7; 32]));
        assert_eq!(serde_json::from_str::<NodeId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
        assert!(serde_json::from_str::<NodeId>("\"00\"").is_err());
    }
}
