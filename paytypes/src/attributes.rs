//! Attributes that a key block binds to a key: usage, algorithm, mode of use, version number,
//! exportability. Each keeps values it has never seen, so that they print and round-trip; judging them
//! against a policy is the business of `tr31`.

use crate::ValueError;
use core::fmt;

fn printable(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_alphanumeric)
}

/// Two-character key usage of X9.143 / ISO 20038 and of the payment-HSM key block.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyUsage(pub [u8; 2]);

impl KeyUsage {
    /// From two alphanumeric characters.
    #[inline]
    pub fn new(text: &[u8]) -> Result<Self, ValueError> {
        let code: [u8; 2] = text.try_into().map_err(|_| ValueError::Length)?;
        if printable(&code) { Ok(Self(code)) } else { Err(ValueError::Digit) }
    }

    /// The two characters.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or("??")
    }
}

impl fmt::Debug for KeyUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! letter {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $constant:ident = $value:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(pub u8);

        impl $name {
            $($(#[$vdoc])* pub const $constant: Self = Self($value);)*

            /// From one alphanumeric character.
                #[inline]
            pub fn new(c: u8) -> Result<Self, ValueError> {
                if c.is_ascii_alphanumeric() { Ok(Self(c)) } else { Err(ValueError::Digit) }
            }

            /// True when the value is one of the named ones.
            #[inline]
            pub const fn is_known(self) -> bool {
                matches!(self.0, $($value)|*)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", char::from(self.0))
            }
        }
    };
}

letter! {
    /// Algorithm of the wrapped key.
    Algorithm {
        /// AES.
        AES = b'A',
        /// Single DES.
        DES = b'D',
        /// Elliptic curve.
        EC = b'E',
        /// HMAC.
        HMAC = b'H',
        /// HMAC with SHA-3 (ISO 20038).
        HMAC_SHA3 = b'I',
        /// RSA.
        RSA = b'R',
        /// DSA.
        DSA = b'S',
        /// Triple DES.
        TDES = b'T',
    }
}

letter! {
    /// Mode of use.
    ModeOfUse {
        /// Encrypt and decrypt, wrap and unwrap.
        BOTH = b'B',
        /// Generate and verify.
        GENERATE_VERIFY = b'C',
        /// Decrypt or unwrap only.
        DECRYPT = b'D',
        /// Encrypt or wrap only.
        ENCRYPT = b'E',
        /// Generate only.
        GENERATE = b'G',
        /// No special restriction.
        ANY = b'N',
        /// Sign only.
        SIGN = b'S',
        /// Sign and decrypt.
        SIGN_DECRYPT = b'T',
        /// Verify only.
        VERIFY = b'V',
        /// Derive other keys.
        DERIVE = b'X',
        /// Create variants of the key.
        VARIANT = b'Y',
    }
}

letter! {
    /// Exportability.
    Exportability {
        /// Exportable under a trusted key, in a trusted form (key block).
        EXPORTABLE = b'E',
        /// Not exportable.
        NONE = b'N',
        /// Sensitive: exportable under an untrusted key or form.
        SENSITIVE = b'S',
    }
}

/// Two-character key version number: `00` unused, `c1`.. a component, anything else the owner's.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyVersion(pub [u8; 2]);

impl KeyVersion {
    /// Version not used.
    pub const UNUSED: Self = Self(*b"00");

    /// From two alphanumeric characters.
    #[inline]
    pub fn new(text: &[u8]) -> Result<Self, ValueError> {
        let code: [u8; 2] = text.try_into().map_err(|_| ValueError::Length)?;
        if printable(&code) { Ok(Self(code)) } else { Err(ValueError::Digit) }
    }

    /// True for a key component (`c` and a digit).
    pub const fn is_component(self) -> bool {
        self.0[0] == b'c'
    }
}

impl fmt::Debug for KeyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::str::from_utf8(&self.0).unwrap_or("??"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_values_round_trip() {
        assert_eq!(format!("{:?}", KeyUsage::new(b"Z9").unwrap()), "Z9");
        assert!(!ModeOfUse::new(b'Q').unwrap().is_known());
        assert!(ModeOfUse::ANY.is_known());
        assert_eq!(KeyUsage::new(b"Z*").unwrap_err(), ValueError::Digit);
        assert!(KeyVersion(*b"c1").is_component());
    }
}
