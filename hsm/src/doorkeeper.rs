//! Who may enter a full cache: a key that was asked for before, not long ago. A batch of terminals that each
//! call once would else drive out the keys that are in use all day, and would be wiped before they are needed
//! again; and forgetting one key for another costs more than opening a key.
//!
//! Two bits for each hash that was refused, forgotten together after as many as the cache has places.

/// Bits for each place of the cache, at least: some 2 of 100 strangers are taken for somebody known.
const BITS_BY_PLACE: usize = 8;

/// Refuses whoever comes for the first time.
#[derive(Debug, Default)]
pub(crate) struct Doorkeeper {
    seen: Box<[u64]>,
    refused: usize,
    places: usize,
}

impl Doorkeeper {
    /// For a cache of so many places; takes its memory when it is first asked.
    pub(crate) fn new(places: usize) -> Self {
        Self { places, ..Self::default() }
    }

    /// What it takes of memory, in bytes.
    pub(crate) const fn cost(places: usize) -> usize {
        Self::words(places).saturating_mul(8)
    }

    const fn words(places: usize) -> usize {
        places.saturating_mul(BITS_BY_PLACE).div_ceil(64).next_power_of_two()
    }

    /// True when a key of this hash came before.
    #[inline]
    pub(crate) fn admits(&mut self, hash: u64) -> bool {
        if self.refused >= self.places || self.seen.is_empty() {
            self.forget();
        }
        let mask = self.seen.len().saturating_sub(1);
        let at = usize::try_from(hash >> 32).unwrap_or_default() & mask;
        let Some(word) = self.seen.get_mut(at) else { return true };
        let bits = 1u64 << (hash & 63) | 1u64 << ((hash >> 6) & 63);
        if *word & bits == bits {
            return true;
        }
        *word |= bits;
        self.refused = self.refused.saturating_add(1);
        false
    }

    #[cold]
    fn forget(&mut self) {
        if self.seen.is_empty() {
            self.seen = vec![0; Self::words(self.places)].into();
        }
        self.seen.fill(0);
        self.refused = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u64) -> u64 {
        n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    #[test]
    fn who_comes_twice_is_admitted() {
        let mut door = Doorkeeper::new(1000);
        let strangers = (0..1000).filter(|n| door.admits(hash(*n))).count();
        assert!(strangers < 100, "{strangers}");
        let mut door = Doorkeeper::new(1000);
        for n in 0..500 {
            door.admits(hash(n));
            assert!(door.admits(hash(n)));
        }
    }

    #[test]
    fn it_forgets_after_as_many_as_there_are_places() {
        let mut door = Doorkeeper::new(100);
        assert!(!door.admits(hash(0)));
        for n in 1..2000 {
            door.admits(hash(n));
        }
        let known = (0..50).filter(|n| door.admits(hash(*n))).count();
        assert!(known < 25, "{known}");
        assert_eq!((door.seen.len() * 8, Doorkeeper::cost(100)), (128, 128));
        assert!(door.seen.iter().map(|w| w.count_ones()).sum::<u32>() <= 202);
    }
}
