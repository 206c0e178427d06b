//! What the simulator keeps for an opened key: DES keys for the lanes, AES keys with their schedules.

use core::fmt;
use hsm::{HsmError, Key};
use paytypes::soft::SoftKey;
use paytypes::{CipherKind, ClearKey, Direction, KeyShape};
use tdes_lanes::Job;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A DES key of one, two or three parts, as the lanes take it. It has no schedule: in the lanes key bits are
/// wired like data. Wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct TdesKey {
    parts: [u64; 3],
    #[zeroize(skip)]
    count: u8,
}

/// Shows the length.
impl fmt::Debug for TdesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TdesKey({} bytes)", self.length())
    }
}

impl TdesKey {
    /// From 8, 16 or 24 bytes.
    pub(crate) fn new(clear: &[u8]) -> Result<Self, HsmError> {
        let (words, []) = clear.as_chunks::<8>() else { return Err(HsmError::KeyLength) };
        let count = match words.len() {
            1 => 1,
            2 => 2,
            3 => 3,
            _ => return Err(HsmError::KeyLength),
        };
        let mut key = Self { parts: [0; 3], count };
        for (part, word) in key.parts.iter_mut().zip(words) {
            *part = u64::from_be_bytes(*word);
        }
        Ok(key)
    }

    /// From one, two or three big-endian words; what is behind `count` of them does not count.
    #[inline]
    pub(crate) fn of_parts(parts: [u64; 3], count: usize) -> Self {
        match (parts, count) {
            ([a, ..], 1) => Self { parts: [a, 0, 0], count: 1 },
            ([a, b, _], 2) => Self { parts: [a, b, 0], count: 2 },
            _ => Self { parts, count: 3 },
        }
    }

    /// The parts.
    #[inline]
    pub(crate) fn parts(&self) -> &[u64] {
        self.parts.get(..usize::from(self.count)).unwrap_or_default()
    }

    /// Length in bytes.
    pub(crate) const fn length(&self) -> usize {
        match self.count {
            1 => 8,
            2 => 16,
            _ => 24,
        }
    }

    #[inline]
    pub(crate) const fn shape(&self) -> KeyShape {
        let kind = if self.count == 1 { CipherKind::Des } else { CipherKind::Tdes };
        KeyShape { kind, length: self.length() }
    }

    /// One block under the whole key.
    #[inline]
    pub(crate) fn job(&self, block: u64, way: Direction) -> Job {
        let [k1, k2, k3] = self.parts;
        match self.count {
            1 => Job::single(k1, block, direction(way)),
            2 => Job::double([k1, k2], block, direction(way)),
            _ => Job::triple([k1, k2, k3], block, direction(way)),
        }
    }

    /// Both parts of a key that has two.
    #[inline]
    pub(crate) fn two(&self) -> Option<[u64; 2]> {
        let [left, right, _] = self.parts;
        (self.count == 2).then_some([left, right])
    }

    /// One block under the left part alone: the chain of a retail MAC (ISO 9797-1 algorithm 3).
    #[inline]
    pub(crate) fn left_job(&self, block: u64) -> Job {
        let [left, ..] = self.parts;
        Job::single(left, block, tdes_lanes::Direction::Encrypt)
    }

    /// The clear bytes, made for whoever has to have them.
    pub(crate) fn expose(&self) -> Result<ClearKey, HsmError> {
        let bytes = Zeroizing::new(self.parts.map(u64::to_be_bytes));
        let bytes = bytes.as_flattened().get(..self.length()).unwrap_or_default();
        ClearKey::new(bytes).map_err(|_| HsmError::KeyLength)
    }
}

#[inline]
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
    #[inline]
    pub(crate) fn of(key: &Key) -> Result<&Self, HsmError> {
        key.material().ok_or(HsmError::Backend)
    }

    /// The clear bytes, made for whoever has to have them.
    pub(crate) fn expose(&self) -> Result<ClearKey, HsmError> {
        match self {
            Self::Tdes(key) => key.expose(),
            Self::Aes(key) => Ok(key.expose().duplicate()),
        }
    }

    pub(crate) fn shape(&self) -> KeyShape {
        match self {
            Self::Aes(key) => KeyShape { kind: CipherKind::Aes, length: key.expose().len() },
            Self::Tdes(key) => key.shape(),
        }
    }
}
