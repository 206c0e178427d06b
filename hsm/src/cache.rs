//! Opened keys by their token, so that a key which a host sends again need not be unwrapped again. Bounded
//! in bytes; second-chance eviction; keys are wiped when the last handle goes.

use crate::Key;
use foldhash::quality::RandomState;
use std::collections::HashMap;
use std::rc::Rc;

/// Bytes that an entry costs besides its token: key, schedules, map and ring.
const ENTRY_COST: usize = 700;

struct Entry {
    key: Key,
    name: Rc<[u8]>,
    used: bool,
}

/// The cache. The map hashes with a random key, so that a host cannot aim at one bucket.
pub(crate) struct KeyCache {
    capacity: usize,
    bytes: usize,
    places: HashMap<Rc<[u8]>, usize, RandomState>,
    ring: Vec<Entry>,
    hand: usize,
}

impl KeyCache {
    /// `capacity` in bytes; 0 turns it off.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, bytes: 0, places: HashMap::default(), ring: Vec::new(), hand: 0 }
    }

    pub(crate) fn get(&mut self, name: &[u8]) -> Option<Key> {
        let entry = self.ring.get_mut(*self.places.get(name)?)?;
        entry.used = true;
        Some(entry.key.share())
    }

    pub(crate) fn put(&mut self, name: &[u8], key: &Key) {
        let cost = name.len().saturating_add(ENTRY_COST);
        if cost > self.capacity || self.places.contains_key(name) {
            return;
        }
        let name: Rc<[u8]> = name.into();
        let entry = Entry { key: key.share(), name: Rc::clone(&name), used: true };
        let mut place = None;
        while self.bytes.saturating_add(cost) > self.capacity {
            match self.evict() {
                Some(freed) => place = Some(freed),
                None => return,
            }
            if self.bytes.saturating_add(cost) > self.capacity
                && let Some(freed) = place.take()
            {
                self.close_gap(freed);
            }
        }
        self.bytes = self.bytes.saturating_add(cost);
        match place.and_then(|p| self.ring.get_mut(p).map(|old| (p, old))) {
            Some((p, old)) => {
                *old = entry;
                self.places.insert(name, p);
            }
            None => {
                self.places.insert(name, self.ring.len());
                self.ring.push(entry);
            }
        }
    }

    /// Forgets every key that was opened from this text. Handles in flight keep theirs until they are gone.
    pub(crate) fn forget(&mut self, text: &[u8]) {
        let mut at = 0;
        while let Some(entry) = self.ring.get(at) {
            if !entry.name.ends_with(text) {
                at = at.saturating_add(1);
                continue;
            }
            let name = Rc::clone(&entry.name);
            self.places.remove(&name);
            self.bytes = self.bytes.saturating_sub(name.len().saturating_add(ENTRY_COST));
            self.close_gap(at);
        }
    }

    // Forgets one entry that nothing in flight names; its place in the ring is left to be filled.
    fn evict(&mut self) -> Option<usize> {
        for _ in 0..self.ring.len().saturating_mul(2) {
            let index = self.hand.checked_rem(self.ring.len())?;
            self.hand = index.wrapping_add(1);
            let entry = self.ring.get_mut(index)?;
            if entry.used || !entry.key.is_unpinned() {
                entry.used = false;
                continue;
            }
            let name = Rc::clone(&entry.name);
            self.places.remove(&name);
            self.bytes = self.bytes.saturating_sub(name.len().saturating_add(ENTRY_COST));
            return Some(index);
        }
        None
    }

    // Fills the place with the last entry, so that the ring has no holes.
    fn close_gap(&mut self, place: usize) {
        if place < self.ring.len() {
            self.ring.swap_remove(place);
            if let Some(moved) = self.ring.get(place) {
                self.places.insert(Rc::clone(&moved.name), place);
            }
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.ring.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Binding, Hygiene, KeyAttributes};
    use paytypes::{CipherKind, KeyShape};

    fn key(n: u32) -> Key {
        let attributes = KeyAttributes {
            shape: KeyShape { kind: CipherKind::Aes, length: 16 },
            binding: Binding::Session,
            hygiene: Hygiene::GOOD,
        };
        Key::new(attributes, n)
    }

    #[test]
    fn bounded_and_right() {
        let mut cache = KeyCache::new(10 * (ENTRY_COST + 4));
        for n in 0..1000u32 {
            cache.put(&n.to_be_bytes(), &key(n));
            assert_eq!(cache.get(&n.to_be_bytes()).unwrap().material::<u32>(), Some(&n));
            assert!(cache.len() <= 10 && cache.bytes <= cache.capacity);
        }
        let kept = (0..1000u32).filter(|n| cache.get(&n.to_be_bytes()).is_some()).count();
        assert_eq!(kept, 10);
    }

    #[test]
    fn forgotten_keys_are_gone_and_the_others_stay() {
        let mut cache = KeyCache::new(100 * (ENTRY_COST + 4));
        for n in 0..20u32 {
            cache.put(&n.to_be_bytes(), &key(n));
        }
        cache.forget(&[7]);
        assert!(cache.get(&7u32.to_be_bytes()).is_none());
        assert_eq!(cache.len(), 19);
        let mut kept =
            |n: &u32| cache.get(&n.to_be_bytes()).and_then(|k| k.material::<u32>().copied()) == Some(*n);
        assert_eq!((0..20u32).filter(&mut kept).count(), 19);
    }

    #[test]
    fn names_of_different_length_keep_the_bound() {
        let mut cache = KeyCache::new(5 * (ENTRY_COST + 40));
        for n in 0..500u32 {
            let name = vec![u8::try_from(n % 251).unwrap(); 4 + (n as usize * 7) % 200];
            cache.put(&name, &key(n));
            assert!(cache.bytes <= cache.capacity);
            assert_eq!(cache.places.len(), cache.ring.len());
            for (name, place) in &cache.places {
                assert_eq!(&cache.ring[*place].name, name);
            }
        }
    }

    #[test]
    fn pinned_keys_stay_and_zero_is_off() {
        let mut cache = KeyCache::new(2 * (ENTRY_COST + 4));
        let (a, b) = (key(1), key(2));
        cache.put(b"aaaa", &a);
        cache.put(b"bbbb", &b);
        cache.put(b"cccc", &key(3));
        assert!(cache.get(b"aaaa").is_some() && cache.get(b"bbbb").is_some() && cache.get(b"cccc").is_none());
        let mut off = KeyCache::new(0);
        off.put(b"aaaa", &a);
        assert!(off.get(b"aaaa").is_none());
    }
}
