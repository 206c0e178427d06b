//! Host codes of the faults of a key block under an exchange key.

use crate::Code;
use tr31::{ErrorKind, KeyBlockError, field};

/// What a host may know: which part of the block, not why. MAC and inner length are one answer.
pub fn block_code(error: KeyBlockError) -> Code {
    use ErrorKind as Kind;
    match error.kind {
        Kind::HeaderField | Kind::Policy => match error.field {
            field::USAGE => Code::BLOCK_USAGE,
            field::ALGORITHM => Code::BLOCK_ALGORITHM,
            field::MODE => Code::BLOCK_MODE,
            field::KEY_VERSION => Code::BLOCK_VERSION,
            field::EXPORTABILITY => Code::EXPORTABILITY,
            field::LMK => Code::BLOCK_LMK_ID,
            field::VERSION => Code::NOT_PERMITTED,
            _ => Code::BLOCK_FORMAT,
        },
        Kind::TooShort | Kind::LengthField | Kind::PayloadLength => Code::BLOCK_LENGTH,
        Kind::OptCount => Code::OPTIONAL_COUNT,
        Kind::OptDuplicate => Code::REPEATED_OPTIONAL,
        Kind::OptId | Kind::OptLength | Kind::OptPadding => Code::OPTIONAL_HEADER,
        Kind::OptData => match error.field {
            field::STATUS => Code::STATUS,
            field::START => Code::START_DATE,
            field::END => Code::END_DATE,
            _ => Code::OPTIONAL_DATA,
        },
        Kind::KbpkAlgorithm | Kind::KbpkLength | Kind::KbpkStrength | Kind::KpMismatch => Code::WRAPPING_KEY,
        Kind::MacMismatch => Code::BLOCK_AUTHENTICATION,
        Kind::KeyLength => Code::BLOCK_ALGORITHM,
        Kind::WeakKey => Code::DESTINATION_PARITY,
        Kind::KcMismatch => Code::BLOCK_CHECK_VALUE,
        Kind::Backend => Code::DEVICE,
        Kind::BadChar | Kind::Version | Kind::PayloadEncoding => Code::BLOCK_FORMAT,
    }
}
