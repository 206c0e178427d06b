//! Randomness: the operating system's, or a seeded stream that a test can repeat.

use hsm::HsmError;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

/// Where random bytes come from.
#[derive(Debug)]
pub enum RandomSource {
    /// The operating system.
    System,
    /// A stream from a seed; the simulator takes it under a test LMK only.
    Seeded(Box<ChaCha20Rng>),
}

impl RandomSource {
    /// A repeatable stream.
    pub fn seeded(seed: u64) -> Self {
        Self::Seeded(Box::new(ChaCha20Rng::seed_from_u64(seed)))
    }

    pub(crate) fn fill(&mut self, out: &mut [u8]) -> Result<(), HsmError> {
        match self {
            Self::System => getrandom::fill(out).map_err(|_| HsmError::Backend),
            Self::Seeded(stream) => {
                stream.fill_bytes(out);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeded_streams_repeat_and_the_system_does_not() {
        let draw = |mut source: RandomSource| {
            let mut out = [0; 32];
            source.fill(&mut out).unwrap();
            out
        };
        assert_eq!(draw(RandomSource::seeded(7)), draw(RandomSource::seeded(7)));
        assert_ne!(draw(RandomSource::seeded(7)), draw(RandomSource::seeded(8)));
        assert_ne!(draw(RandomSource::System), draw(RandomSource::System));
    }
}
