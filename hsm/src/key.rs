//! Opened keys. Outside the backend an opened key is a handle with attributes; what it stands for is known
//! to the backend alone. A handle pins its key: the backend forgets it after the last handle is gone.

use crate::KeyType;
use core::any::Any;
use core::fmt;
use paytypes::parity::Weakness;
use paytypes::{Exportability, KeyShape, KeyUsage, KeyVersion, ModeOfUse};
use std::rc::Rc;

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

struct Body<M: ?Sized> {
    attributes: KeyAttributes,
    material: M,
}

/// Handle of an opened key.
pub struct Key(Rc<Body<dyn Any>>);

impl Key {
    /// Made by a backend, from whatever it keeps for a key. `material` must wipe itself when dropped.
    pub fn new<M: Any>(attributes: KeyAttributes, material: M) -> Self {
        Self(Rc::new(Body { attributes, material }))
    }

    /// What may be known of it.
    pub fn attributes(&self) -> &KeyAttributes {
        &self.0.attributes
    }

    /// The backend's own side of the key; `None` when another backend made it.
    pub fn material<M: Any>(&self) -> Option<&M> {
        self.0.material.downcast_ref()
    }

    /// A second handle of the same key.
    pub fn share(&self) -> Self {
        Self(Rc::clone(&self.0))
    }

    /// True when no other handle exists, so that nothing in flight names the key.
    pub fn is_unpinned(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.0.attributes.shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paytypes::CipherKind;

    #[test]
    fn handles_pin_and_material_is_typed() {
        let attributes = KeyAttributes {
            shape: KeyShape { kind: CipherKind::Aes, length: 16 },
            binding: Binding::Session,
            hygiene: Hygiene::GOOD,
        };
        let key = Key::new(attributes, 7u32);
        let second = key.share();
        assert!(!key.is_unpinned());
        drop(second);
        assert!(key.is_unpinned());
        assert_eq!(key.material::<u32>(), Some(&7));
        assert!(key.material::<u64>().is_none());
    }
}
