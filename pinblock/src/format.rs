//! PIN block formats and their host codes.

use core::fmt;

macro_rules! formats {
    ($($(#[$doc:meta])* $name:ident $code:expr),* $(,)?) => {
        /// A PIN block format. The last four have no host code; they serve interchange with other systems.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Format {
            $($(#[$doc])* $name,)*
        }

        impl Format {
            /// Every format.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Two-digit format code of host commands, ASCII.
            pub const fn code(self) -> Option<[u8; 2]> {
                match self {
                    $(Self::$name => $code,)*
                }
            }
        }
    };
}

formats! {
    /// ISO 9564-1 format 0, also called ANSI X9.8, Visa-1, Visa-4, ECI-1.
    Iso0 Some(*b"01"),
    /// Docutel: length, PIN of 4 to 6 zero filled to six, decimal pad of the user.
    Docutel Some(*b"02"),
    /// Diebold and IBM 3624: PIN left, filled with F.
    Diebold Some(*b"03"),
    /// PLUS network: as format 0 over the twelve left-most digits of the PAN.
    Plus Some(*b"04"),
    /// ISO 9564-1 format 1, also called ECI-4: no account, random fill.
    Iso1 Some(*b"05"),
    /// ISO 9564-1 format 2: to the IC card only.
    Iso2 Some(*b"34"),
    /// Europay/Mastercard pay now & pay later: format 2 bound to the account as format 0 is.
    Mastercard Some(*b"35"),
    /// Visa PIN change without the current PIN; see [`crate::visa_change`].
    VisaNew Some(*b"41"),
    /// Visa PIN change with the current PIN; see [`crate::visa_change`].
    VisaNewOld Some(*b"42"),
    /// AS 2805. Known by its code only: no open source gives the layout.
    As2805 Some(*b"46"),
    /// ISO 9564-1 format 3: format 0 with random fill of A to F.
    Iso3 Some(*b"47"),
    /// ISO 9564-1 format 4: 16 bytes, two passes of AES.
    Iso4 Some(*b"48"),
    /// Visa format 2: as Docutel.
    Visa2 None,
    /// Visa format 3: PIN, F, pad.
    Visa3 None,
    /// ECI format 2: PIN of four, random fill.
    Eci2 None,
    /// ECI format 3: as Docutel with random fill.
    Eci3 None,
}

impl Format {
    /// From the two ASCII digits of a host command; `None` for a code that is no format.
    #[inline]
    pub fn from_code(code: [u8; 2]) -> Option<Self> {
        Self::ALL.iter().copied().find(|f| f.code() == Some(code))
    }

    /// Block length in bytes, clear and enciphered.
    pub const fn block_length(self) -> usize {
        match self {
            Self::Iso4 => 16,
            _ => 8,
        }
    }

    /// True when the block can only be read with the account it was made for.
    pub const fn binds_account(self) -> bool {
        matches!(self, Self::Iso0 | Self::Iso3 | Self::Iso4 | Self::Plus | Self::Mastercard)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code() {
            Some([a, b]) => write!(f, "{}{} ({self:?})", char::from(a), char::from(b)),
            None => write!(f, "{self:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip() {
        let with_code = Format::ALL.iter().filter(|f| f.code().is_some());
        assert_eq!(with_code.clone().count(), 12);
        for format in with_code {
            assert_eq!(Format::from_code(format.code().unwrap()), Some(*format));
        }
        for code in [*b"00", *b"06", *b"99", *b"4A"] {
            assert_eq!(Format::from_code(code), None);
        }
        assert_eq!(Format::Iso3.to_string(), "47 (Iso3)");
        assert_eq!(Format::Visa2.to_string(), "Visa2");
    }

    #[test]
    fn formats_that_need_the_account() {
        let bound: Vec<_> =
            Format::ALL.iter().filter_map(|f| f.code().filter(|_| f.binds_account())).collect();
        assert_eq!(bound, [*b"01", *b"04", *b"35", *b"47", *b"48"]);
        assert!(Format::ALL.iter().all(|f| f.code().is_some() || !f.binds_account()));
    }
}
