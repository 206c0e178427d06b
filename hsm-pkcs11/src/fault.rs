//! What a failed call means: for the command that made it, and for the sessions it was made in.

use cryptoki::error::{Error, RvError};
use hsm::{BlockFault, HsmError};
use paytypes::CipherError;
use tr31::{ErrorKind, KeyBlockError, field};

/// What is to be done after a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Sessions or objects are gone, or nobody is logged in: begin anew.
    Lost,
    /// Another login would be needed, and the token must not be asked again.
    Failed,
    /// The token has no such mechanism.
    NotOffered,
}

impl From<&Error> for Fault {
    fn from(error: &Error) -> Self {
        let Error::Pkcs11(code, _) = error else { return Self::Failed };
        match code {
            RvError::DeviceRemoved
            | RvError::DeviceError
            | RvError::TokenNotPresent
            | RvError::TokenNotRecognized
            | RvError::SlotIdInvalid
            | RvError::SessionHandleInvalid
            | RvError::SessionClosed
            | RvError::UserNotLoggedIn
            | RvError::CryptokiNotInitialized
            | RvError::ObjectHandleInvalid
            | RvError::KeyHandleInvalid
            | RvError::OperationActive
            | RvError::OperationNotInitialized => Self::Lost,
            RvError::MechanismInvalid | RvError::FunctionNotSupported => Self::NotOffered,
            _ => Self::Failed,
        }
    }
}

impl From<Fault> for HsmError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NotOffered => Self::Cipher(CipherError::NotOffered),
            Fault::Lost | Fault::Failed => Self::Backend,
        }
    }
}

/// What a host may know of a key block's fault.
pub(crate) fn block_fault(error: KeyBlockError) -> HsmError {
    use ErrorKind as Kind;
    HsmError::Block(match error.kind {
        Kind::HeaderField => match error.field {
            field::USAGE => BlockFault::Usage,
            field::ALGORITHM => BlockFault::Algorithm,
            field::MODE => BlockFault::Mode,
            field::KEY_VERSION => BlockFault::Version,
            field::EXPORTABILITY => BlockFault::Exportability,
            field::LMK => BlockFault::LmkId,
            _ => BlockFault::Format,
        },
        Kind::TooShort | Kind::LengthField | Kind::PayloadLength => BlockFault::Length,
        Kind::OptCount => BlockFault::OptionalCount,
        Kind::OptId | Kind::OptLength | Kind::OptDuplicate | Kind::OptPadding => BlockFault::OptionalHeader,
        Kind::OptData => match error.field {
            field::STATUS => BlockFault::Status,
            field::START => BlockFault::StartDate,
            field::END => BlockFault::EndDate,
            _ => BlockFault::OptionalData,
        },
        Kind::MacMismatch | Kind::PayloadEncoding => BlockFault::Authentication,
        Kind::KeyLength => BlockFault::Algorithm,
        Kind::Backend => return HsmError::Backend,
        _ => BlockFault::Format,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cryptoki::context::Function;

    #[test]
    fn lost_sessions_are_told_from_refusals() {
        let fault = |code| Fault::from(&Error::Pkcs11(code, Function::Encrypt));
        assert_eq!(fault(RvError::SessionHandleInvalid), Fault::Lost);
        assert_eq!(fault(RvError::DeviceRemoved), Fault::Lost);
        assert_eq!(fault(RvError::HostMemory), Fault::Failed);
        assert_eq!(fault(RvError::MechanismInvalid), Fault::NotOffered);
        assert_eq!(Fault::from(&Error::NullFunctionPointer), Fault::Failed);
        assert_eq!(HsmError::from(Fault::Lost), HsmError::Backend);
        assert_eq!(HsmError::from(Fault::NotOffered), HsmError::Cipher(CipherError::NotOffered));
    }
}
