//! Working keys of TDES DUKPT (ANSI X9.24-1:2009 annex A), as two jobs in every pass: all derivations in flight
//! take their steps side by side, and no key in between leaves the lanes' side of the seam.

use crate::jobs::Jobs;
use crate::material::LaneKey;
use hsm::HsmError;
use paytypes::{CipherError, DesKey};
use tdes_lanes::Job;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// In each half, for the second key of a step and the right half of the initial key.
const DERIVATION_MASK: u64 = 0xC0C0_C0C0_0000_0000;
/// The counter, as it stands in the last eight bytes of a KSN.
const COUNTER: u64 = 0x1F_FFFF;

/// What the two jobs of the pass make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The initial key of the device, from the base key.
    Initial,
    /// The key of the next one bit of the counter.
    Bit,
    /// The working key under itself.
    Itself,
    /// Nothing: it is done.
    Done,
}

/// A derivation under way. What it has of a key is wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Derivation {
    #[zeroize(skip)]
    op: usize,
    #[zeroize(skip)]
    job: usize,
    #[zeroize(skip)]
    step: Step,
    #[zeroize(skip)]
    enciphered: bool,
    /// What enters the steps: the last eight bytes of the KSN, with the one bits of the counter so far.
    #[zeroize(skip)]
    register: u64,
    /// One bits of the counter that are still to come.
    #[zeroize(skip)]
    left: u64,
    #[zeroize(skip)]
    mask: u64,
    halves: [u64; 2],
}

impl core::fmt::Debug for Derivation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Derivation({:?})", self.step)
    }
}

impl Derivation {
    /// For an operation under a base key, which must be two-key TDES; its two jobs are appended.
    pub(crate) fn begin(
        op: usize,
        base: &DesKey,
        ksn: &[u8],
        mask: &[u8],
        enciphered: bool,
        jobs: &mut Jobs,
    ) -> Result<Self, HsmError> {
        let [left, right] = base.two().ok_or(HsmError::KeyLength)?;
        let wrong = HsmError::Cipher(CipherError::DataLength);
        let ksn: &[u8; 10] = ksn.try_into().map_err(|_| wrong)?;
        let mask = u64::from_be_bytes(mask.try_into().map_err(|_| wrong)?);
        let [a, b, c, d, e, f, g, h, i, j] = *ksn;
        let last = u64::from_be_bytes([c, d, e, f, g, h, i, j]);
        let first = u64::from_be_bytes([a, b, c, d, e, f, g, h & 0xE0]);
        let job = jobs.len();
        jobs.push(|| Job::double([left, right], first, tdes_lanes::Direction::Encrypt));
        let masked = [left ^ DERIVATION_MASK, right ^ DERIVATION_MASK];
        jobs.push(|| Job::double(masked, first, tdes_lanes::Direction::Encrypt));
        let (register, left) = (last & !COUNTER, last & COUNTER);
        Ok(Self { op, job, step: Step::Initial, enciphered, register, left, mask, halves: [0; 2] })
    }

    /// The operation that it is for.
    pub(crate) fn op(&self) -> usize {
        self.op
    }

    /// Takes the results of a pass; the working key when it is done.
    #[inline]
    pub(crate) fn take(&mut self, jobs: &[Job]) -> Option<Zeroizing<[u64; 3]>> {
        let [first, second] = jobs.get(self.job..)?.first_chunk()?;
        let (first, second) = (first.block(), second.block());
        match self.step {
            Step::Done => return None,
            Step::Initial | Step::Itself => self.halves = [first, second],
            Step::Bit => {
                let [_, right] = self.halves;
                self.halves = [first ^ right ^ DERIVATION_MASK, second ^ right];
            }
        }
        if self.step != Step::Itself && self.left == 0 {
            self.halves = self.halves.map(|half| half ^ self.mask);
            if self.enciphered {
                self.step = Step::Itself;
                return None;
            }
        } else if self.step != Step::Itself {
            self.step = Step::Bit;
            return None;
        }
        self.step = Step::Done;
        let [left, right] = self.halves;
        Some(Zeroizing::new([left, right, 0]))
    }

    /// The jobs of the next pass.
    #[inline]
    pub(crate) fn give(&mut self, jobs: &mut Jobs) {
        let [left, right] = self.halves;
        self.job = jobs.len();
        match self.step {
            Step::Initial | Step::Done => {}
            Step::Bit => {
                let bit = 1u64 << (63 ^ (self.left.leading_zeros() & 63));
                self.left &= !bit;
                self.register |= bit;
                // The key made from the masked key becomes the left half (annex A, non-reversible key generation).
                let block = self.register ^ right;
                let masked = Job::single(
                    left ^ DERIVATION_MASK,
                    block ^ DERIVATION_MASK,
                    tdes_lanes::Direction::Encrypt,
                );
                jobs.push(|| masked);
                jobs.push(|| Job::single(left, block, tdes_lanes::Direction::Encrypt));
            }
            Step::Itself => {
                for half in self.halves {
                    jobs.push(|| Job::double([left, right], half, tdes_lanes::Direction::Encrypt));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{LmkSet, Options, RandomSource, Simulator};
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};
    use hsm::{Hsm, HsmError, Key};
    use paytypes::{Cipher, CipherError, CipherKind, DukptKey};

    fn drive<T>(task: impl AsyncFnOnce(Hsm) -> T) -> T {
        let options = Options { random: RandomSource::seeded(3) };
        let mut sim = Simulator::new(&LmkSet::public_test(), options).unwrap();
        let hsm = Hsm::new();
        let mut future = pin!(task(hsm.clone()));
        loop {
            match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(value) => return value,
                Poll::Pending => hsm.run(&mut sim),
            }
        }
    }

    #[test]
    fn refusals() {
        let which = DukptKey { ksn: [1; 10], mask: [0; 8], enciphered: false };
        let derived = |kind, clear: &'static [u8]| {
            drive(async |hsm: Hsm| {
                let base: Key = hsm.load(kind, clear).await.unwrap();
                hsm.dukpt(&base, &which).await.err()
            })
        };
        assert_eq!(derived(CipherKind::Tdes, &[0x3B; 16]), None);
        assert_eq!(derived(CipherKind::Tdes, &[0x3B; 24]), Some(CipherError::KeyLength));
        assert_eq!(derived(CipherKind::Des, &[0x3B; 8]), Some(CipherError::KeyLength));
        assert_eq!(derived(CipherKind::Aes, &[0x3B; 16]), Some(CipherError::KeyLength));
        let key = paytypes::DesKey::new(&[0x3B; 16]).unwrap();
        let short =
            super::Derivation::begin(0, &key, &[1; 9], &[0; 8], false, &mut crate::jobs::Jobs::default());
        assert_eq!(short.err(), Some(HsmError::Cipher(CipherError::DataLength)));
    }
}
