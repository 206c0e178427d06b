//! Response codes: two characters to the host, a name and a sentence for people.

use cardcrypto::CardError;
use core::fmt;
use hsm::{BlockFault, HsmError};
use paytypes::CipherError;

/// A two-character response code. Codes that have no name here still print and travel.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(pub [u8; 2]);

macro_rules! codes {
    ($($name:ident = $code:literal, $text:literal;)*) => {
        #[allow(missing_docs)] // each carries its sentence in the table, read by `explain`
        impl Code {
            $(pub const $name: Self = Self(*$code);)*

            /// What the code says, in one line.
            pub const fn explain(self) -> Option<&'static str> {
                $(if self.0[0] == $code[0] && self.0[1] == $code[1] { return Some($text); })*
                None
            }

            /// Every code that has a name.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

codes! {
    OK = b"00", "done";
    VERIFICATION = b"01", "verification failed; on import: parity of the key was forced to odd";
    ALGORITHM_LENGTH = b"02", "key length unusual for the algorithm, or mode not known";
    COUNT = b"03", "number of components, or input format not known";
    KEY_TYPE_CODE = b"04", "key type code; data commands: output format, MAC algorithm or size not known";
    LENGTH_FLAG = b"05", "key length flag; data commands: key type not allowed";
    PADDING = b"06", "data length not allowed";
    PADDING_METHOD = b"09", "padding method not known, or not allowed here";
    SOURCE_PARITY = b"10", "source key has bad parity or is weak";
    DESTINATION_PARITY = b"11", "destination key has bad parity, is weak or all zero";
    STORAGE_EMPTY = b"12", "user storage holds nothing at this index";
    LMK_ID = b"13", "no such LMK";
    PIN_UNDER_LMK = b"14", "PIN under the LMK is not valid";
    INPUT = b"15", "input data not valid: format, length or characters";
    NOT_AUTHORISED = b"17", "not in the authorised state that this needs";
    PIN_BLOCK = b"20", "PIN block does not hold a valid PIN";
    INDEX = b"21", "index not valid";
    ACCOUNT = b"22", "account number not valid";
    PIN_FORMAT = b"23", "PIN block format not allowed here";
    PIN_LENGTH = b"24", "PIN length not between 4 and 12, or not what this unit stores";
    DECIMALISATION = b"25", "decimalisation table not allowed";
    SCHEME = b"26", "key scheme not allowed";
    KEY_LENGTH = b"27", "key length not allowed";
    KEY_TYPE = b"28", "key type not allowed";
    NOT_PERMITTED = b"29", "function not permitted for this key";
    MESSAGE_FORMAT = b"35", "message format not valid";
    INTERNAL = b"41", "internal error: the command was not done";
    DEVICE = b"42", "backend failure: the command was not done";
    LICENCE_ALGORITHM = b"47", "algorithm not available on this backend";
    NOT_LICENSED = b"67", "command not available on this backend";
    DISABLED = b"68", "command unknown, disabled or not allowed on this listener";
    FORMAT_DISABLED = b"69", "PIN block format disabled";
    MASQUERADE = b"75", "parts of the key are equal: a single-length key in disguise";
    DATA_LENGTH = b"80", "data length does not match the data";
    PIN_MISMATCH = b"81", "PIN lengths do not match";
    CHECK_VALUE_LENGTH = b"82", "check value length not allowed";
    BLOCK_FORMAT = b"83", "key block format not valid";
    BLOCK_CHECK_VALUE = b"84", "check value inside the key block does not match";
    EXCLUDED_PIN = b"86", "PIN is on the excluded list";
    LMK_SCHEMES_DIFFER = b"A1", "key and LMK are of different schemes";
    LMK_IDS_DIFFER = b"A2", "keys are under different LMKs";
    BLOCK_LMK_ID = b"A3", "key block names another LMK";
    BLOCK_AUTHENTICATION = b"A4", "key block fails authentication";
    BLOCK_LENGTH = b"A5", "key block length not valid";
    BLOCK_USAGE = b"A6", "key usage does not allow this";
    BLOCK_ALGORITHM = b"A7", "key algorithm does not allow this";
    BLOCK_MODE = b"A8", "mode of use does not allow this";
    BLOCK_VERSION = b"A9", "key version number not allowed";
    EXPORTABILITY = b"AA", "exportability does not allow this";
    OPTIONAL_COUNT = b"AB", "number of optional blocks not valid";
    OPTIONAL_HEADER = b"AC", "optional block header not valid";
    STATUS = b"AD", "status of the key not valid, or not one for use";
    START_DATE = b"AE", "start date of the key not valid, or not reached";
    END_DATE = b"AF", "end date of the key not valid, or past";
    OPTIONAL_DATA = b"B4", "optional block data not valid";
    COMPONENT = b"B5", "key components do not belong together";
    WRAPPING_KEY = b"BB", "wrapping key not valid or not strong enough";
    REPEATED_OPTIONAL = b"BC", "optional block repeated";
    KEY_SUSPENDED = b"K1", "key set of this index is suspended";
    KEY_STALE = b"K2", "key of this index is past its time and does not protect";
    KEY_GENERATION = b"K3", "no generation of the key set of this index is held for it";
    KEY_PROCESSES = b"K4", "this index processes only: the base index protects";
}

impl Default for Code {
    fn default() -> Self {
        Self::OK
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::str::from_utf8(&self.0).unwrap_or("??"))
    }
}

impl From<BlockFault> for Code {
    fn from(fault: BlockFault) -> Self {
        match fault {
            BlockFault::Format => Self::BLOCK_FORMAT,
            BlockFault::LmkId => Self::BLOCK_LMK_ID,
            BlockFault::Authentication => Self::BLOCK_AUTHENTICATION,
            BlockFault::Length => Self::BLOCK_LENGTH,
            BlockFault::Usage => Self::BLOCK_USAGE,
            BlockFault::Algorithm => Self::BLOCK_ALGORITHM,
            BlockFault::Mode => Self::BLOCK_MODE,
            BlockFault::Version => Self::BLOCK_VERSION,
            BlockFault::Exportability => Self::EXPORTABILITY,
            BlockFault::OptionalCount => Self::OPTIONAL_COUNT,
            BlockFault::OptionalHeader => Self::OPTIONAL_HEADER,
            BlockFault::OptionalData => Self::OPTIONAL_DATA,
            BlockFault::Status => Self::STATUS,
            BlockFault::StartDate => Self::START_DATE,
            BlockFault::EndDate => Self::END_DATE,
        }
    }
}

/// The one place where inner errors become host codes.
impl From<HsmError> for Code {
    fn from(error: HsmError) -> Self {
        match error {
            HsmError::NoSuchLmk => Self::LMK_ID,
            HsmError::Scheme => Self::SCHEME,
            HsmError::KeyType => Self::KEY_TYPE,
            HsmError::Token => Self::INPUT,
            HsmError::Block(fault) => fault.into(),
            HsmError::NotRevealed => Self::NOT_PERMITTED,
            HsmError::KeyLength => Self::KEY_LENGTH,
            HsmError::EmptyIndex => Self::STORAGE_EMPTY,
            HsmError::Cipher(inner) => inner.into(),
            HsmError::Backend => Self::DEVICE,
        }
    }
}

impl From<CipherError> for Code {
    fn from(error: CipherError) -> Self {
        match error {
            CipherError::KeyLength => Self::KEY_LENGTH,
            CipherError::DataLength => Self::DATA_LENGTH,
            CipherError::Unsupported => Self::KEY_LENGTH,
            CipherError::NotOffered => Self::LICENCE_ALGORITHM,
            CipherError::Backend => Self::DEVICE,
        }
    }
}

/// What a card formula or DUKPT refused.
impl From<CardError> for Code {
    fn from(error: CardError) -> Self {
        match error {
            CardError::KeySize | CardError::Strength | CardError::KeyType => Self::KEY_LENGTH,
            CardError::Segment | CardError::MacLength | CardError::DataLength => Self::DATA_LENGTH,
            CardError::PanLength => Self::ACCOUNT,
            CardError::Counter
            | CardError::Ksn
            | CardError::Descriptor
            | CardError::PanSequence
            | CardError::Tree
            | CardError::Amount => Self::INPUT,
            CardError::Cipher(inner) => inner.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_code_is_unique_and_explained() {
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.0), "{code} twice");
            assert!(code.explain().is_some_and(|text| text.len() > 3));
        }
        assert_eq!(Code(*b"zz").explain(), None);
    }

    // Every inner error has a host code that says no more than a host may know.
    #[test]
    fn every_inner_error_becomes_a_refusal() {
        let faults = [
            BlockFault::Format,
            BlockFault::LmkId,
            BlockFault::Authentication,
            BlockFault::Length,
            BlockFault::Usage,
            BlockFault::Algorithm,
            BlockFault::Mode,
            BlockFault::Version,
            BlockFault::Exportability,
            BlockFault::OptionalCount,
            BlockFault::OptionalHeader,
            BlockFault::OptionalData,
            BlockFault::Status,
            BlockFault::StartDate,
            BlockFault::EndDate,
        ];
        let mut errors: Vec<HsmError> = faults.into_iter().map(HsmError::Block).collect();
        errors.extend([
            HsmError::NoSuchLmk,
            HsmError::Scheme,
            HsmError::KeyType,
            HsmError::Token,
            HsmError::NotRevealed,
            HsmError::KeyLength,
            HsmError::EmptyIndex,
            HsmError::Backend,
            HsmError::Cipher(CipherError::KeyLength),
            HsmError::Cipher(CipherError::DataLength),
            HsmError::Cipher(CipherError::Unsupported),
            HsmError::Cipher(CipherError::NotOffered),
            HsmError::Cipher(CipherError::Backend),
        ]);
        for error in errors {
            let code = Code::from(error);
            assert!(code != Code::OK && code.explain().is_some(), "{error:?}");
        }
    }
}
