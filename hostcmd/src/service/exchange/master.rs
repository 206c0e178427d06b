//! The exchange key: a ZMK, or a TMK where the host says so.

use crate::service::keys::{self, KeyRule, Place, TMK, Use, ZMK};
use crate::wire::MasterFlag;
use crate::{Code, Cx};
use hsm::{Key, KeyToken};

/// Which exchange key a command names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Master {
    /// Zone master key.
    Zmk,
    /// Terminal master key.
    Tmk,
}

impl Master {
    /// From the flag behind `;`; a ZMK when the pair is missing.
    pub fn from_flag(flag: &MasterFlag) -> Result<Self, Code> {
        match (flag.present, flag.flag) {
            (false, _) | (true, [b'0']) => Ok(Self::Zmk),
            (true, [b'1']) => Ok(Self::Tmk),
            _ => Err(Code::INPUT),
        }
    }

    const fn rule(self) -> &'static KeyRule {
        match self {
            Self::Zmk => &ZMK,
            Self::Tmk => &TMK,
        }
    }
}

/// Opens the exchange key, to wrap ([`Use::Encrypt`]) or unwrap ([`Use::Decrypt`]).
pub async fn open_master(cx: &Cx, token: &KeyToken, master: Master, how: Use) -> Result<Key, Code> {
    keys::open(cx, token, master.rule(), how, Place::Source).await
}
