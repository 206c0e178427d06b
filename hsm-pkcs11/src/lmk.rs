//! An LMK on the token: one object for each thing that it and its derived keys do, found by label.
//!
//! `payhsm/lmk/02/master` is the LMK itself, which serves its check value (and, in the ceremony, derivation);
//! `kbek-…` and `kbak` open and make key blocks, `pin-…` and `table-…` store PINs and decimalisation tables.

use crate::error::TokenError;
use crate::link::Link;
use crate::mac::{CmacKey, cmac};
use crate::objects::{self, OWN};
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use hsm::{HsmError, LmkId, LmkInfo, LmkPurpose, LmkScheme};
use paytypes::{CipherKind, Direction, hex};

/// Number of LMK identifiers.
pub(crate) const IDS: u8 = 20;

/// An object of an LMK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Master,
    KbekEncrypt,
    KbekDecrypt,
    Kbak,
    PinEncrypt,
    PinDecrypt,
    TableEncrypt,
    TableDecrypt,
}

impl Part {
    pub(crate) const ALL: [Self; 8] = [
        Self::Master,
        Self::KbekEncrypt,
        Self::KbekDecrypt,
        Self::Kbak,
        Self::PinEncrypt,
        Self::PinDecrypt,
        Self::TableEncrypt,
        Self::TableDecrypt,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::KbekEncrypt => "kbek-encrypt",
            Self::KbekDecrypt => "kbek-decrypt",
            Self::Kbak => "kbak",
            Self::PinEncrypt => "pin-encrypt",
            Self::PinDecrypt => "pin-decrypt",
            Self::TableEncrypt => "table-encrypt",
            Self::TableDecrypt => "table-decrypt",
        }
    }

    pub(crate) fn label(self, id: LmkId) -> String {
        format!("{OWN}lmk/{id}/{}", self.name())
    }
}

/// Encrypting and decrypting object of one key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) encrypt: ObjectHandle,
    pub(crate) decrypt: ObjectHandle,
}

impl Pair {
    pub(crate) const fn of(&self, way: Direction) -> ObjectHandle {
        match way {
            Direction::Encrypt => self.encrypt,
            Direction::Decrypt => self.decrypt,
        }
    }
}

/// The objects of an LMK, as this connection sees them.
#[derive(Clone, Debug)]
pub(crate) struct TokenLmk {
    pub(crate) info: LmkInfo,
    pub(crate) kind: CipherKind,
    pub(crate) kbek: Pair,
    pub(crate) kbak: CmacKey,
    pin: Pair,
    table: Pair,
}

impl TokenLmk {
    pub(crate) const fn pair(&self, purpose: LmkPurpose) -> &Pair {
        match purpose {
            LmkPurpose::PinStorage => &self.pin,
            LmkPurpose::DecimalisationTable => &self.table,
        }
    }
}

/// The secret keys of a label on the token.
pub(crate) fn find(session: &Session, label: &str) -> Result<Vec<ObjectHandle>, TokenError> {
    Ok(session.find_objects(&[
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::Token(true),
        Attribute::Label(label.as_bytes().to_vec()),
    ])?)
}

/// Finds and judges every LMK. One whose objects are incomplete, double or not sound is refused with the
/// whole token: it is no accident. `answered` is called for each identifier.
pub(crate) fn find_all(link: &mut Link, answered: &mut dyn FnMut()) -> Result<Vec<TokenLmk>, TokenError> {
    let mut lmks = Vec::new();
    for id in (0..IDS).map(LmkId) {
        answered();
        if !find(link.session(), &Part::Master.label(id))?.is_empty() {
            lmks.push(load(link, id)?);
        }
    }
    // Without the cipher an LMK cannot serve; status shows that it is not there.
    lmks.retain(|lmk| link.capability().offers(lmk.kind));
    Ok(lmks)
}

struct Found {
    object: ObjectHandle,
    kind: CipherKind,
    signs: bool,
}

fn part(session: &Session, id: LmkId, part: Part) -> Result<Found, TokenError> {
    let label = part.label(id);
    let [object] = find(session, &label)?[..] else { return Err(TokenError::LmkParts(id, label)) };
    let facts = objects::facts(session, object)?;
    let refused = |why: String| TokenError::LmkAttributes(id, label.clone(), why);
    let conflicts = facts.conflicts();
    if !conflicts.is_empty() {
        return Err(refused(conflicts.join(", ")));
    }
    let kind = match facts.cipher {
        "AES" => CipherKind::Aes,
        "DES3" => CipherKind::Tdes,
        other => return Err(refused(format!("a key of cipher {other}"))),
    };
    let signs = facts.uses == ["CKA_SIGN"];
    let fits = match part {
        Part::Master | Part::Kbak => signs || facts.uses == ["CKA_ENCRYPT"],
        Part::KbekEncrypt | Part::PinEncrypt | Part::TableEncrypt => facts.uses == ["CKA_ENCRYPT"],
        Part::KbekDecrypt | Part::PinDecrypt | Part::TableDecrypt => facts.uses == ["CKA_DECRYPT"],
    };
    if fits { Ok(Found { object, kind, signs }) } else { Err(refused(facts.uses.join(" "))) }
}

fn load(link: &mut Link, id: LmkId) -> Result<TokenLmk, TokenError> {
    let session = link.session();
    let mut found = Vec::with_capacity(Part::ALL.len());
    for each in Part::ALL {
        found.push(part(session, id, each)?);
    }
    let [master, kbek_encrypt, kbek_decrypt, kbak, pin_encrypt, pin_decrypt, table_encrypt, table_decrypt] =
        &found[..]
    else {
        return Err(TokenError::LmkParts(id, Part::Master.label(id)));
    };
    let kind = master.kind;
    if found.iter().any(|part| part.kind != kind) {
        return Err(TokenError::LmkParts(id, "a part of another cipher".to_owned()));
    }
    let pair = |encrypt: &Found, decrypt: &Found| Pair { encrypt: encrypt.object, decrypt: decrypt.object };
    let (kbek, pin) = (pair(kbek_encrypt, kbek_decrypt), pair(pin_encrypt, pin_decrypt));
    let (table, kbak) = (pair(table_encrypt, table_decrypt), mac_key(kbak));
    let master = mac_key(master);
    let (check, test) = if link.capability().offers(kind) {
        check_value(link, kind, master).map_err(|_| TokenError::Derivation)?
    } else {
        (*b"000000", false)
    };
    let scheme = if kind == CipherKind::Aes { LmkScheme::AesBlock } else { LmkScheme::TdesBlock };
    let comment = if test { "public test LMK, on a token" } else { "on a token" };
    let info = LmkInfo { id, scheme, test, check, comment: comment.to_owned() };
    Ok(TokenLmk { info, kind, kbek, kbak, pin, table })
}

const fn mac_key(found: &Found) -> CmacKey {
    if found.signs { CmacKey::Sign(found.object) } else { CmacKey::Encrypt(found.object) }
}

// What the public test LMKs make of a zero block: ECB under the 3DES one, CMAC under the AES one. By it they
// are known whoever loaded them, and under whatever identifier.
const TEST_TDES: [u8; 8] = 0x8E0E_C086_4D35_705B_u64.to_be_bytes();
const TEST_AES: [u8; 16] = 0xDB3F_B663_EE8D_2B66_0CB7_E0FD_53D7_906E_u128.to_be_bytes();

/// Check value by the rule of the cipher, and whether it is a public test LMK.
pub(crate) fn check_value(
    link: &mut Link,
    kind: CipherKind,
    master: CmacKey,
) -> Result<([u8; 6], bool), HsmError> {
    let mut block = [0u8; 16];
    let block = block.get_mut(..kind.block_length()).unwrap_or_default();
    let (made, test) = match (kind, master) {
        (CipherKind::Aes, _) => {
            let made = cmac(link, kind, master, &[0; 16], block)?;
            block.copy_from_slice(made.as_bytes());
            (&*block, *block == TEST_AES)
        }
        (_, CmacKey::Encrypt(key)) => {
            link.ecb(Direction::Encrypt, kind, key, block)?;
            (&*block, *block == TEST_TDES)
        }
        (_, CmacKey::Sign(_)) => return Err(HsmError::Backend),
    };
    let mut text = [b'0'; 6];
    for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(made) {
        *pair = [hex::letter(byte >> 4), hex::letter(*byte)];
    }
    Ok((text, test))
}
