//! Attributes of the objects that are made: sensitive, never to be extracted or changed, and good for exactly
//! one thing.

use cryptoki::object::{Attribute, KeyType, ObjectClass};
use paytypes::{CipherKind, parity};
use zeroize::{Zeroize, Zeroizing};

use crate::capability::Capability;

/// The one thing that an object is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// Encryption with the whole key; MACs that are made of CBC.
    Encrypt,
    /// Decryption.
    Decrypt,
    /// CMAC.
    Sign,
    /// Encryption with the left part of a DES key alone: the chain of a retail MAC.
    Left,
}

impl Purpose {
    pub(crate) const COUNT: usize = 4;
}

/// The attributes that every key object has, with the only purpose that is true, and room for a value and a label.
pub(crate) fn attributes(purpose: Purpose, key_type: KeyType, on_token: bool) -> Vec<Attribute> {
    let encrypt = matches!(purpose, Purpose::Encrypt | Purpose::Left);
    let mut list = Vec::with_capacity(ROOM);
    list.extend([
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(key_type),
        Attribute::Token(on_token),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Modifiable(false),
        Attribute::Encrypt(encrypt),
        Attribute::Decrypt(purpose == Purpose::Decrypt),
        Attribute::Sign(purpose == Purpose::Sign),
        Attribute::Verify(false),
        Attribute::Wrap(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
        Attribute::WrapWithTrusted(true),
    ]);
    list
}

// More than any template has: a list that grows leaves its former place unwiped.
const ROOM: usize = 20;

/// A template with a clear value in it, which is wiped when it goes.
pub(crate) struct Template(pub(crate) Vec<Attribute>);

impl Drop for Template {
    fn drop(&mut self) {
        for attribute in &mut self.0 {
            if let Attribute::Value(value) = attribute {
                value.zeroize();
            }
        }
        // Attributes were moved here from the stack with whatever lay in the bytes that they do not use: the place
        // goes as a whole.
        self.0.clear();
        self.0.spare_capacity_mut().zeroize();
    }
}

impl Template {
    /// For a clear key. DES keys get the parity that modules ask for, which changes no cipher text.
    pub(crate) fn of_key(
        capability: &Capability,
        purpose: Purpose,
        kind: CipherKind,
        clear: &[u8],
        on_token: bool,
    ) -> Self {
        let (key_type, value) = form(capability, purpose, kind, clear);
        let mut list = attributes(purpose, key_type, on_token);
        list.push(Attribute::Value(value));
        Self(list)
    }
}

// A single DES key is written as one of two or three equal parts, which is the same cipher.
fn form(capability: &Capability, purpose: Purpose, kind: CipherKind, clear: &[u8]) -> (KeyType, Vec<u8>) {
    if kind == CipherKind::Aes {
        return (KeyType::AES, clear.to_vec());
    }
    let left = clear.get(..8).unwrap_or(clear);
    let whole = if purpose == Purpose::Left { left } else { clear };
    let mut parts = Zeroizing::new([0u8; 24]);
    for (to, from) in parts.iter_mut().zip(whole.iter().cycle()) {
        *to = *from;
    }
    parity::make_odd(parts.as_mut_slice());
    if capability.tdes_two_parts && whole.len() <= 16 {
        (KeyType::DES2, parts.get(..16).unwrap_or_default().to_vec())
    } else {
        (KeyType::DES3, parts.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(capability: &Capability, purpose: Purpose, kind: CipherKind, clear: &[u8]) -> Vec<u8> {
        let template = Template::of_key(capability, purpose, kind, clear, false);
        let found = template.0.iter().find_map(|attribute| match attribute {
            Attribute::Value(value) => Some(value.clone()),
            _ => None,
        });
        found.unwrap()
    }

    #[test]
    fn one_purpose_is_true() {
        for purpose in [Purpose::Encrypt, Purpose::Decrypt, Purpose::Sign, Purpose::Left] {
            let list = attributes(purpose, KeyType::AES, true);
            let uses = list.iter().filter(|a| {
                matches!(
                    a,
                    Attribute::Encrypt(true)
                        | Attribute::Decrypt(true)
                        | Attribute::Sign(true)
                        | Attribute::Verify(true)
                        | Attribute::Wrap(true)
                        | Attribute::Unwrap(true)
                        | Attribute::Derive(true)
                )
            });
            assert_eq!(uses.count(), 1, "{purpose:?}");
            assert!(list.contains(&Attribute::Sensitive(true)));
            assert!(list.contains(&Attribute::Extractable(false)));
            assert!(list.contains(&Attribute::Modifiable(false)));
        }
    }

    #[test]
    fn des_keys_of_every_length() {
        let two = Capability::everything();
        let three = Capability { tdes_two_parts: false, ..Capability::everything() };
        let clear: Vec<u8> = (0..24u8).map(|n| n << 1 | u8::from(n.count_ones() % 2 == 0)).collect();
        let (a, b) = (&clear[..8], &clear[8..16]);
        let (des, tdes) = (CipherKind::Des, CipherKind::Tdes);
        assert_eq!(value(&two, Purpose::Encrypt, des, a), [a, a].concat());
        assert_eq!(value(&three, Purpose::Encrypt, des, a), [a, a, a].concat());
        assert_eq!(value(&two, Purpose::Encrypt, tdes, &clear[..16]), [a, b].concat());
        assert_eq!(value(&three, Purpose::Decrypt, tdes, &clear[..16]), [a, b, a].concat());
        assert_eq!(value(&two, Purpose::Decrypt, tdes, &clear), clear);
        assert_eq!(value(&two, Purpose::Left, tdes, &clear), [a, a].concat());
        // Even parity, as a key variant of DUKPT has it, is mended.
        let even: Vec<u8> = clear.iter().map(|b| b ^ 1).collect();
        assert_eq!(value(&two, Purpose::Encrypt, tdes, &even), clear);
        assert_eq!(value(&two, Purpose::Sign, CipherKind::Aes, &even), even);
    }
}
