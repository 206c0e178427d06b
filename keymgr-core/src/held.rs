//! Records by their names. A tree's leaves are half empty where names grow, as those of keys do, and are moved when they
//! part: so they hold where a record is, and each record has a place of its own and its size.

use std::collections::BTreeMap;
use std::ops::{Index, RangeBounds};

/// Records of one kind, in the order of their names.
#[derive(Clone, Debug, PartialEq)]
pub struct Held<K, R>(BTreeMap<K, Box<R>>);

impl<K, R> Default for Held<K, R> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord, R> Index<&K> for Held<K, R> {
    type Output = R;

    fn index(&self, key: &K) -> &R {
        &self.0[key]
    }
}

impl<K: Ord, R> Held<K, R> {
    /// A record.
    pub fn get(&self, key: &K) -> Option<&R> {
        self.0.get(key).map(|record| &**record)
    }

    /// A record, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut R> {
        self.0.get_mut(key).map(|record| &mut **record)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is one of this name.
    pub fn contains_key(&self, key: &K) -> bool {
        self.0.contains_key(key)
    }

    /// Takes a record in, over an older one.
    pub fn insert(&mut self, key: K, record: Box<R>) {
        self.0.insert(key, record);
    }

    /// Lets a record go.
    pub fn remove(&mut self, key: &K) -> Option<Box<R>> {
        self.0.remove(key)
    }

    /// Every name.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.0.keys()
    }

    /// Every record.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &R> {
        self.0.values().map(|record| &**record)
    }

    /// Records whose names are in a range.
    pub fn range(&self, range: impl RangeBounds<K>) -> impl DoubleEndedIterator<Item = (&K, &R)> {
        self.0.range(range).map(|(key, record)| (key, &**record))
    }

    /// The records themselves.
    pub fn into_values(self) -> impl Iterator<Item = Box<R>> {
        self.0.into_values()
    }
}
