//! What the simulator keeps for an opened key: DES keys for the lanes, AES keys with their schedules.

use hsm::{HsmError, Key};
use paytypes::soft::SoftKey;
use paytypes::{CipherKind, ClearKey, Direction, KeyShape};
use tdes_lanes::Job;

/// A DES key of one, two or three parts. It has no schedule: in the lanes key bits are wired like data.
#[derive(Debug)]
pub(crate) struct TdesKey(ClearKey);

impl TdesKey {
    /// From 8, 16 or 24 bytes.
    pub(crate) fn new(clear: &[u8]) -> Result<Self, HsmError> {
        match clear.len() {
            8 | 16 | 24 => ClearKey::new(clear).map(Self).map_err(|_| HsmError::KeyLength),
            _ => Err(HsmError::KeyLength),
        }
    }

    /// One block under the whole key.
    pub(crate) fn job(&self, block: u64, way: Direction) -> Option<Job> {
        Job::with_key(self.0.expose(), block.to_be_bytes(), direction(way))
    }

    /// One block under the left part alone: the chain of a retail MAC (ISO 9797-1 algorithm 3).
    pub(crate) fn left_job(&self, block: u64) -> Option<Job> {
        let left = self.0.expose().first_chunk::<8>()?;
        Some(Job::single(u64::from_be_bytes(*left), block, tdes_lanes::Direction::Encrypt))
    }

    pub(crate) fn expose(&self) -> &ClearKey {
        &self.0
    }
}

const fn direction(way: Direction) -> tdes_lanes::Direction {
    match way {
        Direction::Encrypt => tdes_lanes::Direction::Encrypt,
        Direction::Decrypt => tdes_lanes::Direction::Decrypt,
    }
}

/// A key of the simulator. The larger variant is the rarer one to move: both live behind the handle.
#[derive(Debug)]
pub(crate) enum Material {
    /// DES and TDES.
    Tdes(TdesKey),
    /// AES.
    Aes(Box<SoftKey>),
}

impl Material {
    pub(crate) fn new(kind: CipherKind, clear: &[u8]) -> Result<Self, HsmError> {
        if !kind.takes(clear.len()) {
            return Err(HsmError::KeyLength);
        }
        match kind {
            CipherKind::Aes => Ok(Self::Aes(Box::new(SoftKey::new(kind, clear)?))),
            CipherKind::Des | CipherKind::Tdes => TdesKey::new(clear).map(Self::Tdes),
        }
    }

    /// Of a key that this backend opened.
    pub(crate) fn of(key: &Key) -> Result<&Self, HsmError> {
        key.material().ok_or(HsmError::Backend)
    }

    pub(crate) fn expose(&self) -> &ClearKey {
        match self {
            Self::Tdes(key) => key.expose(),
            Self::Aes(key) => key.expose(),
        }
    }

    pub(crate) fn shape(&self) -> KeyShape {
        let length = self.expose().len();
        let kind = match self {
            Self::Aes(_) => CipherKind::Aes,
            Self::Tdes(_) if length == 8 => CipherKind::Des,
            Self::Tdes(_) => CipherKind::Tdes,
        };
        KeyShape { kind, length }
    }
}
