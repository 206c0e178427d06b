//! Ids of optional blocks (X9.143:2021 table 7).

use crate::error::field;

/// Id of an optional block.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockId(pub [u8; 2]);

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        impl BlockId {
            $($(#[$doc])* pub const $name: Self = Self(two(stringify!($name)));)*

            /// The id's text for a message; an id outside X9.143 is named in general terms.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                    _ => field::OPT,
                }
            }
        }
    };
}

const fn two(text: &str) -> [u8; 2] {
    match text.as_bytes() {
        [a, b] => [*a, *b],
        _ => *b"??",
    }
}

ids! {
    /// Asymmetric key life.
    AL;
    /// Base derivation key identifier.
    BI;
    /// Public key certificate.
    CT;
    /// Derivations allowed.
    DA;
    /// Flags.
    FL;
    /// Hash algorithm of an HMAC key.
    HM;
    /// Initial key identifier of AES DUKPT.
    IK;
    /// Check value of the wrapped key.
    KC;
    /// Check value of the protection key.
    KP;
    /// Initial key serial number of TDES DUKPT.
    KS;
    /// Key block values.
    KV;
    /// Label.
    LB;
    /// Padding.
    PB;
    /// Check value of the export protection key.
    PK;
    /// Time of creation.
    TC;
    /// Time stamp.
    TS;
    /// Wrapping pedigree.
    WP;
}

impl core::fmt::Debug for BlockId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(core::str::from_utf8(&self.0).unwrap_or("??"))
    }
}
