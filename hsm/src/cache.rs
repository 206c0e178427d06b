//! Opened keys by their token, so that a key which a host sends again need not be unwrapped again. Bounded
//! in bytes; second-chance eviction, and a full cache takes only what is asked for a second time; keys are wiped
//! when the last handle goes.

use crate::doorkeeper::Doorkeeper;
use crate::{Key, KeyType, LmkId, Scheme};
use core::hash::{BuildHasher, Hasher};
use foldhash::quality::RandomState;
use hashbrown::HashTable;
use paytypes::CipherKind;
use smallvec::SmallVec;

/// Bytes that an entry costs besides a long token: the entry itself, its place in the table at the lowest
/// filling, and the body of the key.
const ENTRY_COST: usize = 240;
/// Entries that are looked at to find one to forget. When a batch holds nearly all that there are, a new key
/// is rather not kept than looked for a place for.
const LOOKS: usize = 64;
/// What an AES key costs more: the schedules of both directions.
const SCHEDULES_COST: usize = 700;

/// LMK, scheme and type of a token, packed: what its text means depends on all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meaning(u64);

impl Meaning {
    #[inline]
    pub(crate) const fn new(lmk: LmkId, scheme: Scheme, KeyType([a, b, c]): KeyType) -> Self {
        Self(u64::from_le_bytes([lmk.0, scheme as u8, a, b, c, 0, 0, 0]))
    }
}

/// A token under an LMK, and the hash by which it is looked for.
#[derive(Clone, Copy)]
pub(crate) struct Name<'a> {
    pub(crate) meaning: Meaning,
    pub(crate) text: &'a [u8],
    pub(crate) hash: u64,
}

/// Longest text that an entry holds without allocation: a double-length key under a variant LMK.
const INLINE: usize = 32;

struct Entry {
    key: Key,
    text: SmallVec<[u8; INLINE]>,
    hash: u64,
    cost: u32,
    meaning: Meaning,
    used: bool,
}

impl Entry {
    #[inline]
    fn is(&self, name: &Name<'_>) -> bool {
        self.hash == name.hash && self.meaning == name.meaning && same(&self.text, name.text)
    }
}

/// Place of an entry in the ring, and bits of its hash that the table does not look at: a name that is not there
/// is found to be so without a look at an entry, which is far away in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    at: u32,
    bits: u32,
}

impl Place {
    const fn new(at: u32, hash: u64) -> Self {
        Self { at, bits: (hash >> 25) as u32 }
    }
}

/// The cache. The table hashes with a random key, so that a host cannot aim at one bucket.
pub(crate) struct KeyCache {
    capacity: usize,
    bytes: usize,
    hasher: RandomState,
    places: HashTable<Place>,
    ring: Vec<Entry>,
    hand: usize,
    door: Doorkeeper,
}

impl KeyCache {
    /// `capacity` in bytes; 0 turns it off.
    pub(crate) fn new(capacity: usize) -> Self {
        let (hasher, places) = (RandomState::default(), HashTable::new());
        let most = capacity / ENTRY_COST;
        let door = Doorkeeper::new(most);
        let capacity = capacity.saturating_sub(Doorkeeper::cost(most));
        Self { capacity, bytes: 0, hasher, places, ring: Vec::new(), hand: 0, door }
    }

    /// The name of a token.
    #[inline]
    pub(crate) fn name<'a>(&self, meaning: Meaning, text: &'a [u8]) -> Name<'a> {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u64(meaning.0);
        match <&[u8; 32]>::try_from(text) {
            // The most frequent length by far, without a call.
            Ok(text) => {
                let (words, _) = text.as_chunks::<16>();
                words.iter().for_each(|word| hasher.write_u128(u128::from_le_bytes(*word)));
            }
            Err(_) => hasher.write(text),
        }
        Name { meaning, text, hash: hasher.finish() }
    }

    #[inline]
    pub(crate) fn get(&mut self, name: &Name<'_>) -> Option<Key> {
        let place = self.find(name)?;
        let entry = self.ring.get_mut(usize::try_from(place.at).ok()?)?;
        entry.used = true;
        Some(entry.key.share())
    }

    #[inline]
    fn find(&self, name: &Name<'_>) -> Option<Place> {
        let ring = &self.ring;
        let looked_for = Place::new(0, name.hash).bits;
        let is = |place: &Place| place.bits == looked_for && at(ring, *place).is_some_and(|e| e.is(name));
        self.places.find(name.hash, is).copied()
    }

    /// Keeps a key. A cache that is full takes it only when it was asked for before, see [`Doorkeeper`].
    #[inline]
    pub(crate) fn put(&mut self, name: &Name<'_>, key: &Key) {
        let cost = cost_of(name, key);
        let full = self.bytes.saturating_add(cost) > self.capacity;
        if cost <= self.capacity && (!full || self.door.admits(name.hash)) {
            self.keep(name, key, cost);
        }
    }

    #[inline(never)]
    fn keep(&mut self, name: &Name<'_>, key: &Key, cost: usize) {
        if self.find(name).is_some() {
            return;
        }
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
        let Ok(next) = u32::try_from(self.ring.len()) else { return };
        let place = place.unwrap_or(next);
        self.bytes = self.bytes.saturating_add(cost);
        let entry = Entry {
            key: key.share(),
            text: SmallVec::from_slice(name.text),
            hash: name.hash,
            cost: u32::try_from(cost).unwrap_or(u32::MAX),
            meaning: name.meaning,
            used: false,
        };
        match usize::try_from(place).ok().and_then(|place| self.ring.get_mut(place)) {
            Some(old) => *old = entry,
            None => self.ring.push(entry),
        }
        self.insert(name.hash, place);
    }

    fn insert(&mut self, hash: u64, place: u32) {
        let ring = &self.ring;
        self.places.insert_unique(hash, Place::new(place, hash), |place| {
            at(ring, *place).map_or(0, |entry| entry.hash)
        });
    }

    // The table forgets a place.
    fn remove(&mut self, hash: u64, place: u32) {
        if let Ok(found) = self.places.find_entry(hash, |known| known.at == place) {
            found.remove();
        }
    }

    /// Forgets every key that was opened from this text. Handles in flight keep theirs until they are gone.
    pub(crate) fn forget(&mut self, text: &[u8]) {
        let mut at = 0;
        while let Some(entry) = self.ring.get(at) {
            match u32::try_from(at) {
                Ok(place) if entry.text.as_slice() == text => {
                    let (hash, cost) = (entry.hash, entry.cost);
                    self.remove(hash, place);
                    self.bytes = self.bytes.saturating_sub(usize::try_from(cost).unwrap_or_default());
                    self.close_gap(place);
                }
                _ => at = at.saturating_add(1),
            }
        }
    }

    // Forgets one entry that nothing in flight names; its place in the ring is left to be filled.
    fn evict(&mut self) -> Option<u32> {
        for _ in 0..LOOKS {
            let index = self.hand.checked_rem(self.ring.len())?;
            self.hand = index.wrapping_add(1);
            let entry = self.ring.get_mut(index)?;
            if entry.used || !entry.key.is_unpinned() {
                entry.used = false;
                continue;
            }
            let (hash, place) = (entry.hash, u32::try_from(index).ok()?);
            self.bytes = self.bytes.saturating_sub(usize::try_from(entry.cost).unwrap_or_default());
            self.remove(hash, place);
            return Some(place);
        }
        None
    }

    // Fills the place with the last entry, so that the ring has no holes.
    fn close_gap(&mut self, gap: u32) {
        let Ok(place) = usize::try_from(gap) else { return };
        let last = self.ring.len().saturating_sub(1);
        if place > last {
            return;
        }
        self.ring.swap_remove(place);
        if let (Some(moved), Ok(last)) = (self.ring.get(place).map(|e| e.hash), u32::try_from(last)) {
            self.remove(moved, last);
            self.insert(moved, gap);
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.ring.len()
    }
}

// Cryptograms are no secrets, so the comparison may end early. Texts of the most frequent length are compared
// as numbers, without a call.
#[inline]
fn same(a: &[u8], b: &[u8]) -> bool {
    let words = |text: &[u8; 32]| {
        let (words, _) = text.as_chunks::<8>();
        words.first_chunk::<4>().map(|words| words.map(u64::from_ne_bytes)).unwrap_or_default()
    };
    match (<&[u8; 32]>::try_from(a), <&[u8; 32]>::try_from(b)) {
        (Ok(a), Ok(b)) => {
            let ([a, b, c, d], [e, f, g, h]) = (words(a), words(b));
            (a ^ e) | (b ^ f) | (c ^ g) | (d ^ h) == 0
        }
        _ => a == b,
    }
}

#[inline]
fn at(ring: &[Entry], place: Place) -> Option<&Entry> {
    ring.get(usize::try_from(place.at).ok()?)
}

#[inline]
fn cost_of(name: &Name<'_>, key: &Key) -> usize {
    let text = if name.text.len() > INLINE { name.text.len() } else { 0 };
    let schedules = if key.attributes().shape.kind == CipherKind::Aes { SCHEDULES_COST } else { 0 };
    ENTRY_COST.saturating_add(text).saturating_add(schedules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Binding, Hygiene, KeyAttributes};
    use paytypes::KeyShape;

    const MEANING: Meaning = Meaning::new(LmkId(0), Scheme::U, KeyType::ZPK);

    fn key(n: u32) -> Key {
        let attributes = KeyAttributes {
            shape: KeyShape { kind: CipherKind::Tdes, length: 16 },
            binding: Binding::Session,
            hygiene: Hygiene::GOOD,
        };
        Key::new(attributes, n)
    }

    fn put(cache: &mut KeyCache, text: &[u8], key: &Key) {
        let name = cache.name(MEANING, text);
        cache.put(&name, key);
    }

    // So many bytes for entries, whatever else it takes.
    fn cache(bytes: usize) -> KeyCache {
        let cache = KeyCache::new(bytes);
        KeyCache { capacity: bytes, ..cache }
    }

    // The door may forget who came in between once.
    fn put_often(cache: &mut KeyCache, text: &[u8], key: &Key) {
        (0..3).for_each(|_| put(cache, text, key));
    }

    fn get(cache: &mut KeyCache, text: &[u8]) -> Option<Key> {
        let name = cache.name(MEANING, text);
        cache.get(&name)
    }

    #[test]
    fn an_entry_costs_what_it_says() {
        // Eight bytes and a control byte of the table at half filling; the allocator's own part of the body.
        let body = crate::key::BODY + 2 * size_of::<usize>() + 16;
        assert!(size_of::<Entry>() + 2 * 9 + body <= ENTRY_COST, "{} + {body}", size_of::<Entry>());
    }

    #[test]
    fn bounded_and_right() {
        let mut cache = cache(10 * ENTRY_COST);
        for n in 0..1000u32 {
            put_often(&mut cache, &n.to_be_bytes(), &key(n));
            assert_eq!(get(&mut cache, &n.to_be_bytes()).unwrap().material::<u32>(), Some(&n));
            assert!(cache.len() <= 10 && cache.bytes <= cache.capacity);
        }
        let kept = (0..1000u32).filter(|n| get(&mut cache, &n.to_be_bytes()).is_some()).count();
        assert_eq!(kept, 10);
    }

    #[test]
    fn keys_that_come_once_drive_nobody_out_of_a_full_cache() {
        let mut cache = KeyCache::new(1000 * ENTRY_COST);
        let name = |n: u32| n.to_be_bytes();
        for n in 0..1000 {
            put(&mut cache, &name(n), &key(n));
        }
        let first: Vec<u32> = (0..1000).filter(|n| get(&mut cache, &name(*n)).is_some()).collect();
        assert!(first.len() > 990 && cache.bytes + Doorkeeper::cost(1000) <= 1000 * ENTRY_COST);
        for n in 1000..2000 {
            put(&mut cache, &name(n), &key(n));
        }
        let kept = first.iter().filter(|n| get(&mut cache, &name(**n)).is_some()).count();
        assert!(kept > first.len() * 8 / 10, "{kept}");
        for n in 5000..5100 {
            // All have been used; a new one gets its place when it comes often enough.
            let came = (0..40).find(|_| {
                put(&mut cache, &name(n), &key(n));
                get(&mut cache, &name(n)).is_some()
            });
            assert!(came.is_some(), "{n}");
        }
    }

    #[test]
    fn forgotten_keys_are_gone_and_the_others_stay() {
        let mut cache = cache(100 * ENTRY_COST);
        for n in 0..20u32 {
            put(&mut cache, &n.to_be_bytes(), &key(n));
        }
        cache.forget(&7u32.to_be_bytes());
        assert!(get(&mut cache, &7u32.to_be_bytes()).is_none());
        assert_eq!((cache.len(), cache.bytes), (19, 19 * ENTRY_COST));
        let mut kept = |n: &u32| {
            get(&mut cache, &n.to_be_bytes()).and_then(|k| k.material::<u32>().copied()) == Some(*n)
        };
        assert_eq!((0..20u32).filter(&mut kept).count(), 19);
    }

    #[test]
    fn names_of_different_length_keep_the_bound() {
        let mut cache = cache(5 * (ENTRY_COST + 40));
        for n in 0..500u32 {
            let name = vec![u8::try_from(n % 251).unwrap(); 4 + (n as usize * 7) % 200];
            put_often(&mut cache, &name, &key(n));
            assert!(cache.bytes <= cache.capacity);
            assert_eq!(cache.places.len(), cache.ring.len());
            assert_eq!(cache.bytes, cache.ring.iter().map(|e| e.cost as usize).sum::<usize>());
            for place in &cache.places {
                let text = cache.ring[place.at as usize].text.clone();
                let name = cache.name(MEANING, &text);
                assert!(cache.ring[place.at as usize].is(&name));
            }
        }
    }

    #[test]
    fn a_name_is_text_and_meaning() {
        let mut cache = cache(100 * ENTRY_COST);
        put(&mut cache, b"aaaa", &key(1));
        for other in [
            Meaning::new(LmkId(1), Scheme::U, KeyType::ZPK),
            Meaning::new(LmkId(0), Scheme::X, KeyType::ZPK),
            Meaning::new(LmkId(0), Scheme::U, KeyType::PVK),
        ] {
            let name = cache.name(other, b"aaaa");
            assert!(cache.get(&name).is_none(), "{other:?}");
        }
        assert!(get(&mut cache, b"aaab").is_none());
        assert!(get(&mut cache, b"aaaa").is_some());
    }

    #[test]
    fn pinned_keys_stay_and_zero_is_off() {
        let mut cache = cache(2 * ENTRY_COST);
        let (a, b) = (key(1), key(2));
        put(&mut cache, b"aaaa", &a);
        put(&mut cache, b"bbbb", &b);
        put_often(&mut cache, b"cccc", &key(3));
        let mut there = |text| get(&mut cache, text).is_some();
        assert!(there(b"aaaa") && there(b"bbbb") && !there(b"cccc"));
        let mut off = KeyCache::new(0);
        put(&mut off, b"aaaa", &a);
        assert!(get(&mut off, b"aaaa").is_none());
    }
}
