//! Opened keys. Outside the backend an opened key is a handle with attributes; what it stands for is known
//! to the backend alone. A handle pins its key: the backend forgets it after the last handle is gone.
//!
//! Keys that come once are opened for a moment, thousands at a time. Their bodies are wiped and used again instead
//! of going back to the allocator, which would cost as much as unwrapping them.

use crate::KeyType;
use core::any::{Any, TypeId};
use core::cell::RefCell;
use core::fmt;
use paytypes::parity::Weakness;
use paytypes::{CipherKind, DesKey, Exportability, KeyShape, KeyUsage, KeyVersion, ModeOfUse};
use std::rc::Rc;
use zeroize::Zeroize;

/// Header fields of a key block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockAttributes {
    /// Key usage.
    pub usage: KeyUsage,
    /// Mode of use.
    pub mode: ModeOfUse,
    /// Key version number.
    pub version: KeyVersion,
    /// Exportability.
    pub exportability: Exportability,
}

/// What tells the use of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Wrapped under a variant of the LMK.
    Variant(KeyType),
    /// Wrapped in a key block.
    Block(BlockAttributes),
    /// Made for the moment of a command: generated, imported or derived, not yet wrapped.
    Session,
}

/// What key hygiene found. Judging it is the command's: source and destination keys have other codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hygiene {
    /// Every byte has odd parity (always true for AES).
    pub odd_parity: bool,
    /// Weak DES key or equal parts (always `None` for AES).
    pub weakness: Weakness,
}

impl Hygiene {
    /// Nothing to complain of.
    pub const GOOD: Self = Self { odd_parity: true, weakness: Weakness::None };
}

/// What may be known of an opened key without seeing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyAttributes {
    /// Cipher and length.
    pub shape: KeyShape,
    /// What tells its use.
    pub binding: Binding,
    /// Parity and weakness.
    pub hygiene: Hygiene,
}

/// What a backend keeps for a key.
enum Kept {
    /// A DES key, which most are, in the body itself.
    Des(DesKey),
    /// Anything else.
    Other(Box<dyn Any>),
}

struct Body {
    attributes: KeyAttributes,
    /// Tells keys of one backend from those of another.
    owner: TypeId,
    kept: Kept,
}

/// Bytes of a key besides what is not kept in it.
#[cfg(test)]
pub(crate) const BODY: usize = size_of::<Body>();

/// Bodies that a thread keeps to be used again, at most: those of the keys of a large batch.
const SPARE_MAX: usize = 2048;

thread_local! {
    static SPARE: RefCell<Vec<Rc<Body>>> = const { RefCell::new(Vec::new()) };
}

impl Body {
    // In the place of a key that is gone, when there is one.
    #[inline]
    fn place(self) -> Rc<Self> {
        let spare = SPARE.try_with(|spare| spare.try_borrow_mut().ok()?.pop());
        if let Ok(Some(mut body)) = spare
            && let Some(room) = Rc::get_mut(&mut body)
        {
            *room = self;
            return body;
        }
        Rc::new(self)
    }

    // The last handle is gone: the key is wiped at once, its place is kept.
    fn retire(mut body: Rc<Self>) {
        let Some(room) = Rc::get_mut(&mut body) else { return };
        match &mut room.kept {
            Kept::Des(key) => key.zeroize(),
            Kept::Other(_) => room.kept = Kept::Des(DesKey::NONE),
        }
        // A thread that ends keeps nothing.
        let _ = SPARE.try_with(|spare| match spare.try_borrow_mut() {
            Ok(mut spare) if spare.len() < SPARE_MAX => spare.push(body),
            _ => {}
        });
    }
}

/// Handle of an opened key.
// Empty only while it is dropped.
pub struct Key(Option<Rc<Body>>);

const NOTHING: &KeyAttributes = &KeyAttributes {
    shape: KeyShape { kind: CipherKind::Des, length: 0 },
    binding: Binding::Session,
    hygiene: Hygiene::GOOD,
};

impl Key {
    /// Made by a backend, from whatever it keeps for a key. `material` must wipe itself when dropped.
    pub fn new<M: Any>(attributes: KeyAttributes, material: M) -> Self {
        let kept = Kept::Other(Box::new(material));
        Self(Some(Body { attributes, owner: TypeId::of::<M>(), kept }.place()))
    }

    /// A DES key that a backend keeps in memory; [`Key::des_key`] gives it to whoever can name the backend's own
    /// type `B`.
    #[inline]
    pub fn des<B: Any>(attributes: KeyAttributes, key: DesKey) -> Self {
        Self(Some(Body { attributes, owner: TypeId::of::<B>(), kept: Kept::Des(key) }.place()))
    }

    /// What may be known of it.
    #[inline]
    pub fn attributes(&self) -> &KeyAttributes {
        self.0.as_ref().map_or(NOTHING, |body| &body.attributes)
    }

    /// The backend's own side of the key; `None` when another backend made it.
    #[inline]
    pub fn material<M: Any>(&self) -> Option<&M> {
        match &self.0.as_ref()?.kept {
            Kept::Other(material) => material.downcast_ref(),
            Kept::Des(_) => None,
        }
    }

    /// The same of a key that was made by [`Key::des`].
    #[inline]
    pub fn des_key<B: Any>(&self) -> Option<&DesKey> {
        let body = self.0.as_ref().filter(|body| body.owner == TypeId::of::<B>())?;
        match &body.kept {
            Kept::Des(key) => Some(key),
            Kept::Other(_) => None,
        }
    }

    /// A second handle of the same key.
    #[inline]
    pub fn share(&self) -> Self {
        Self(self.0.clone())
    }

    /// True when no other handle exists, so that nothing in flight names the key.
    #[inline]
    pub fn is_unpinned(&self) -> bool {
        self.0.as_ref().is_none_or(|body| Rc::strong_count(body) == 1)
    }
}

impl Drop for Key {
    #[inline]
    fn drop(&mut self) {
        if self.is_unpinned()
            && let Some(body) = self.0.take()
        {
            Body::retire(body);
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.attributes().shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTRIBUTES: KeyAttributes = KeyAttributes {
        shape: KeyShape { kind: CipherKind::Tdes, length: 16 },
        binding: Binding::Session,
        hygiene: Hygiene::GOOD,
    };

    // Two backends.
    struct One;
    struct Other;

    fn des(n: u8) -> DesKey {
        DesKey::new(&[n; 16]).unwrap()
    }

    fn spare() -> usize {
        SPARE.with(|spare| spare.borrow().len())
    }

    fn parts_of_spare() -> Vec<[u64; 3]> {
        let parts = |body: &Rc<Body>| match &body.kept {
            Kept::Des(key) => key.expose_words(),
            Kept::Other(_) => [u64::MAX; 3],
        };
        SPARE.with(|spare| spare.borrow().iter().map(parts).collect())
    }

    #[test]
    fn the_last_handle_wipes_and_the_place_is_used_again() {
        let first = Key::des::<One>(ATTRIBUTES, des(1));
        let place = core::ptr::from_ref(first.des_key::<One>().unwrap());
        let second = first.share();
        drop(first);
        assert_eq!((spare(), second.des_key::<One>().unwrap().expose_parts()), (0, des(1).expose_parts()));
        drop(second);
        assert_eq!(parts_of_spare(), [[0; 3]]);
        let hygiene = Hygiene { odd_parity: false, ..Hygiene::GOOD };
        let next = Key::des::<One>(KeyAttributes { hygiene, ..ATTRIBUTES }, des(2));
        let key = next.des_key::<One>().unwrap();
        assert!(core::ptr::eq(place, key) && spare() == 0);
        assert_eq!(
            (key.expose_parts(), next.attributes().hygiene.odd_parity),
            (des(2).expose_parts(), false)
        );
    }

    // Tells when it is dropped.
    struct Dropped(Rc<()>);

    #[test]
    fn material_of_any_kind_is_dropped_with_the_last_handle() {
        let alive = Rc::new(());
        let key = Key::new(ATTRIBUTES, Dropped(Rc::clone(&alive)));
        assert!(key.material::<Dropped>().is_some_and(|held| Rc::ptr_eq(&held.0, &alive)));
        assert_eq!((Rc::strong_count(&alive), key.des_key::<Dropped>().is_none()), (2, true));
        drop(key);
        assert_eq!((Rc::strong_count(&alive), parts_of_spare()), (1, vec![[0; 3]]));
        let key = Key::des::<One>(ATTRIBUTES, des(3));
        assert!(key.des_key::<Other>().is_none() && key.material::<One>().is_none());
    }

    #[test]
    fn only_so_many_places_are_kept() {
        let keys: Vec<Key> = (0..SPARE_MAX + 10).map(|_| Key::des::<One>(ATTRIBUTES, des(1))).collect();
        drop(keys);
        assert_eq!(spare(), SPARE_MAX);
    }

    #[test]
    fn handles_pin_and_material_is_typed() {
        let key = Key::new(ATTRIBUTES, 7u32);
        let second = key.share();
        assert!(!key.is_unpinned());
        drop(second);
        assert!(key.is_unpinned());
        assert_eq!(key.material::<u32>(), Some(&7));
        assert!(key.material::<u64>().is_none());
    }
}
