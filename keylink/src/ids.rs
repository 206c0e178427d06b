//! Names of things. Who and what is named by a hash of its key or first document cannot be named twice; the
//! rest are UUIDs of version 7, made of time and randomness that the caller gives.

use crate::wire::{read_text, unhex, unhex_digits, with_hex};
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// A text is not an id of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this kind")]
pub struct IdError;

macro_rules! as_text {
    ($name:ident, $with_text:ident, $read:ident, $pattern:literal) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $with_text(&self.0, |text| f.write_str(text))
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                $read(text).map(Self).ok_or(IdError)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                $with_text(&self.0, |text| to.serialize_str(text))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                read_text(from, "not an id of this kind", |text| $read(text).map(Self))
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

macro_rules! hashes {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        as_text!($name, with_hex, unhex, "^[0-9a-f]{64}$");
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

            /// A new id that sorts behind `last`, also within one millisecond and when the clock was set back: its
            /// time is then the next millisecond after that of `last` (RFC 9562, section 6.2).
            pub fn after(last: Option<Self>, utc_ms: u64, random: [u8; 10]) -> Self {
                let least = last.map_or(0, |last| time_of(&last.0) + 1);
                Self::new(utc_ms.max(least), random)
            }
        }

        as_text!($name, with_uuid, read_uuid, "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$");
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

const fn time_of(&[a, b, c, d, e, f, ..]: &[u8; 16]) -> u64 {
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

// Bytes behind which a hyphen stands.
const GROUPS: [usize; 4] = [3, 5, 7, 9];
const UUID_TEXT: usize = 36;

fn with_uuid<T>(bytes: &[u8; 16], take: impl FnOnce(&str) -> T) -> T {
    with_hex(bytes, |hex| {
        let mut text = [b'-'; UUID_TEXT];
        let mut places = text.iter_mut();
        for (at, pair) in hex.as_bytes().chunks(2).enumerate() {
            pair.iter().zip(&mut places).for_each(|(digit, place)| *place = *digit);
            if GROUPS.contains(&at) {
                places.next();
            }
        }
        take(core::str::from_utf8(&text).unwrap_or_default())
    })
}

fn read_uuid(text: &str) -> Option<[u8; 16]> {
    let text: &[u8; UUID_TEXT] = text.as_bytes().try_into().ok()?;
    let mut places = text.iter();
    let mut digits = [0; 32];
    for (at, pair) in digits.chunks_exact_mut(2).enumerate() {
        for digit in pair {
            *digit = *places.next()?;
        }
        if GROUPS.contains(&at) && places.next() != Some(&b'-') {
            return None;
        }
    }
    unhex_digits(&digits)
}

/// Number of a key within its key set: from 1, never used for two keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
            "01998877-6655-7fff-bfff-fffffffffff-",
            "01998877-6655-7fff-bfff-fffffffffff\u{e9}",
        ] {
            assert_eq!(bad.parse::<KeySetId>(), Err(IdError), "{bad}");
        }
        assert!(ZoneId::new(1, [9; 10]) < ZoneId::new(2, [0; 10]));
    }

    #[test]
    fn an_id_after_another_sorts_behind_it_whatever_the_clock_says() {
        assert_eq!(ActionId::after(None, 7, [1; 10]), ActionId::new(7, [1; 10]));
        let last = ActionId::new(0x01FF, [0xFF; 10]);
        for now in [0, 0x01FE, 0x01FF] {
            assert_eq!(ActionId::after(Some(last), now, [0; 10]), ActionId::new(0x0200, [0; 10]));
        }
        assert_eq!(ActionId::after(Some(last), 0x0300, [0; 10]), ActionId::new(0x0300, [0; 10]));
    }

    #[test]
    fn hashes_print_and_parse() {
        let id = NodeId::of(&PublicKey([7; 32]));
        assert_eq!(serde_json::from_str::<NodeId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
        assert!(serde_json::from_str::<NodeId>("\"00\"").is_err());
    }
}
