//! What the simulator keeps for an opened key: DES keys for the lanes, AES keys with their schedules.

use hsm::{HsmError, Key};
use paytypes::soft::SoftKey;
use paytypes::{CipherKind, ClearKey, DesKey, Direction, KeyShape};
use tdes_lanes::Job;

/// What a DES key is asked to do in the lanes.
pub(crate) trait LaneKey {
    /// One block under the whole key.
    fn job(&self, block: u64, way: Direction) -> Job;

    /// One block under the left part alone: the chain of a retail MAC (ISO 9797-1 algorithm 3).
    fn left_job(&self, block: u64) -> Job;

    /// Both parts of a key that has two.
    fn two(&self) -> Option<[u64; 2]>;
}

impl LaneKey for DesKey {
    #[inline]
    fn job(&self, block: u64, way: Direction) -> Job {
        let [k1, k2, k3] = self.expose_words();
        match self.count() {
            1 => Job::single(k1, block, direction(way)),
            2 => Job::double([k1, k2], block, direction(way)),
            _ => Job::triple([k1, k2, k3], block, direction(way)),
        }
    }

    #[inline]
    fn left_job(&self, block: u64) -> Job {
        let [left, ..] = self.expose_words();
        Job::single(left, block, tdes_lanes::Direction::Encrypt)
    }

    #[inline]
    fn two(&self) -> Option<[u64; 2]> {
        let [left, right, _] = self.expose_words();
        (self.count() == 2).then_some([left, right])
    }
}

#[inline]
const fn direction(way: Direction) -> tdes_lanes::Direction {
    match way {
        Direction::Encrypt => tdes_lanes::Direction::Encrypt,
        Direction::Decrypt => tdes_lanes::Direction::Decrypt,
    }
}

/// An AES key, and the name by which the simulator knows keys of its own.
pub(crate) struct Own(pub(crate) SoftKey);

/// A key of the simulator.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Material<'k> {
    /// DES and TDES.
    Tdes(&'k DesKey),
    /// AES.
    Aes(&'k SoftKey),
}

impl<'k> Material<'k> {
    /// Of a key that this backend opened.
    #[inline]
    pub(crate) fn of(key: &'k Key) -> Result<Self, HsmError> {
        match key.des_key::<Own>() {
            Some(des) => Ok(Self::Tdes(des)),
            None => key.material::<Own>().map(|Own(aes)| Self::Aes(aes)).ok_or(HsmError::Backend),
        }
    }

    /// The clear bytes, made for whoever has to have them.
    pub(crate) fn expose(self) -> Result<ClearKey, HsmError> {
        match self {
            Self::Tdes(key) => key.expose().map_err(|_| HsmError::KeyLength),
            Self::Aes(key) => Ok(key.expose().duplicate()),
        }
    }

    pub(crate) fn shape(self) -> KeyShape {
        match self {
            Self::Aes(key) => KeyShape { kind: CipherKind::Aes, length: key.expose().len() },
            Self::Tdes(key) => key.shape(),
        }
    }
}
