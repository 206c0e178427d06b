//! DUKPT as commands meet it: the flag that tells the type of a BDK, descriptor and KSN, and the PIN key
//! of the transaction, which becomes known only inside the command.

use super::keys::{self, BDK, KeyRule, Place, Use, ZPK};
use crate::wire::{Alphabet, Show, Step, Untagged, Wire, names_aes};
use crate::{Code, Cx};
use cardcrypto::CardError;
use cardcrypto::dukpt::{KsnDescriptor, aes, tdes};
use core::fmt;
use hsm::{Key, KeyToken, KeyType};
use paytypes::{CipherKind, KeyUsage, Ksn};

/// Type of a BDK, told by a flag in front of it. The types differ in what a terminal does with the keys
/// for MACs and data; the PIN key is the same in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BdkType {
    /// `*`, and the source of a translation without a flag.
    One,
    /// `~`.
    Two,
    /// `!`.
    Three,
}

impl BdkType {
    const FLAGS: [(u8, Self); 3] = [(b'*', Self::One), (b'~', Self::Two), (b'!', Self::Three)];

    /// Walks a flag that may stand here.
    pub fn walk<W: Wire>(wire: &mut W, name: &'static str, value: &mut Option<Self>) -> Step {
        for (flag, kind) in Self::FLAGS {
            let mut present = *value == Some(kind);
            wire.mark(name, flag, &mut present)?;
            if present {
                *value = Some(kind);
                break;
            }
        }
        Ok(())
    }

    /// What the key field behind the flag takes. Without one a key block tells its own type.
    pub const fn rule(flag: Option<Self>) -> KeyRule {
        let (key_type, usages) = match flag {
            None => return BDK,
            Some(Self::One) => (KeyType::BDK1, USAGES_ONE),
            Some(Self::Two) => (KeyType::BDK2, USAGES_TWO),
            Some(Self::Three) => (KeyType::BDK3, USAGES_THREE),
        };
        KeyRule { key_type, usages, ..BDK }
    }
}

const USAGES_ONE: &[KeyUsage] = &[KeyUsage(*b"B0"), KeyUsage(*b"41")];
const USAGES_TWO: &[KeyUsage] = &[KeyUsage(*b"B0"), KeyUsage(*b"42")];
const USAGES_THREE: &[KeyUsage] = &[KeyUsage(*b"B0"), KeyUsage(*b"43")];

/// Descriptor and KSN. The descriptor gives the length; whether the counter has 21 or 32 bits follows
/// from the algorithm of the BDK.
#[derive(Clone, Copy, Default)]
pub struct KsnField {
    descriptor: [u8; 3],
    text: [u8; 24],
    len: u8,
    aes: bool,
}

impl fmt::Debug for KsnField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KsnField({} digits)", self.len)
    }
}

impl KsnField {
    /// From descriptor and KSN.
    pub fn new(descriptor: [u8; 3], ksn: &[u8]) -> Self {
        let len = u8::try_from(ksn.len().min(24)).unwrap_or_default();
        Self { descriptor, text: paytypes::bytes::left(ksn), len, aes: len == 24 }
    }

    /// Walks descriptor and KSN of the key.
    pub fn walk<W: Wire>(&mut self, wire: &mut W, bdk: &KeyToken) -> Step {
        wire.hex("KSN descriptor", &mut self.descriptor)?;
        if wire.reading() {
            self.aes = names_aes(bdk);
            let descriptor = self.descriptor()?;
            let length = if self.aes { descriptor.aes_length() } else { descriptor.tdes_length() };
            self.len = u8::try_from(length?).unwrap_or_default();
        }
        let text = self.text.get_mut(..usize::from(self.len)).unwrap_or_default();
        wire.fixed("KSN", Alphabet::Hex, Show::All, text)
    }

    fn descriptor(&self) -> Result<KsnDescriptor, CardError> {
        KsnDescriptor::new(&self.descriptor)
    }

    /// The KSN; 15 when its counter is one that no device shows.
    pub fn read(&self) -> Result<Ksn, Code> {
        let text = self.text.get(..usize::from(self.len)).unwrap_or_default();
        let descriptor = self.descriptor()?;
        let ksn = if self.aes { descriptor.read_aes(text) } else { descriptor.read_tdes(text) };
        let ksn = ksn?;
        let judged = match ksn {
            Ksn::Tdes(_) => tdes::judge_counter(ksn.counter()),
            Ksn::Aes(_) => aes::judge_counter(ksn.counter()),
        };
        judged?;
        Ok(ksn)
    }
}

/// Opens a BDK and derives the PIN key of the transaction: TDES under a TDES BDK; AES as long as the BDK
/// under an AES one.
pub async fn open_pin_key(
    cx: &Cx,
    token: &KeyToken,
    rule: &KeyRule,
    ksn: &Ksn,
    place: Place,
) -> Result<Key, Code> {
    let bdk = keys::open(cx, token, rule, Use::Derive, place).await?;
    pin_key(cx, &bdk, ksn).await
}

/// The PIN key of a transaction under an opened BDK.
pub async fn pin_key(cx: &Cx, bdk: &Key, ksn: &Ksn) -> Result<Key, Code> {
    let shape = bdk.attributes().shape;
    let key = if shape.kind == CipherKind::Aes {
        let kind = aes::KeyType::aes(shape.length).ok_or(Code::KEY_LENGTH)?;
        let transaction = aes::TransactionKey::derive(&cx.hsm, bdk, ksn).await?;
        transaction.working_key(&cx.hsm, aes::Usage::Pin, kind).await
    } else {
        tdes::working_key(&cx.hsm, bdk, ksn, tdes::Purpose::Pin).await
    };
    Ok(key?)
}

/// Where a translated block goes: under a ZPK, or with a flag in front under the PIN key of a BDK.
#[derive(Clone, Debug, Default)]
pub struct Destination {
    /// Flag of a BDK.
    pub bdk: Option<BdkType>,
    /// ZPK or BDK.
    pub key: KeyToken,
    /// Descriptor and KSN of a BDK.
    pub ksn: KsnField,
}

impl Destination {
    /// Walks flag and key.
    pub fn walk_key<W: Wire>(&mut self, wire: &mut W) -> Step {
        BdkType::walk(wire, "destination BDK flag", &mut self.bdk)?;
        match self.bdk {
            Some(_) => wire.key("destination BDK", Untagged::Pair, &mut self.key),
            None => wire.key("destination ZPK", Untagged::Single, &mut self.key),
        }
    }

    /// Walks descriptor and KSN of a BDK; nothing for a ZPK.
    pub fn walk_ksn<W: Wire>(&mut self, wire: &mut W) -> Step {
        if self.bdk.is_some() { self.ksn.walk(wire, &self.key) } else { Ok(()) }
    }

    /// The KSN of a BDK.
    pub fn read_ksn(&self) -> Result<Option<Ksn>, Code> {
        if self.bdk.is_some() { self.ksn.read().map(Some) } else { Ok(None) }
    }

    /// Opens the key under which the block goes out.
    pub async fn open(&self, cx: &Cx, ksn: Option<&Ksn>) -> Result<Key, Code> {
        match ksn {
            Some(ksn) => open_pin_key(cx, &self.key, &BdkType::rule(self.bdk), ksn, Place::Destination).await,
            None => keys::open(cx, &self.key, &ZPK, Use::Encrypt, Place::Destination).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(descriptor: &[u8; 3], ksn: &[u8]) -> Result<u32, Code> {
        KsnField::new(*descriptor, ksn).read().map(|ksn| ksn.counter())
    }

    #[test]
    fn counters_that_no_device_shows_answer_15() {
        assert_eq!(read(b"A05", b"FFFF9876543210E00001"), Ok(1));
        assert_eq!(read(b"605", b"9876543210E003FF"), Ok(0x3FF));
        assert_eq!(read(b"A05", b"FFFF9876543210E00000"), Err(Code::INPUT));
        assert_eq!(read(b"A05", b"FFFF9876543210E007FF"), Err(Code::INPUT));
        assert_eq!(read(b"808", b"12345678901234560000FFFF"), Ok(0xFFFF));
        assert_eq!(read(b"808", b"123456789012345600000000"), Err(Code::INPUT));
        assert_eq!(read(b"808", b"12345678901234560001FFFF"), Err(Code::INPUT));
    }

    #[test]
    fn flags_name_the_type_of_a_variant_key_and_narrow_that_of_a_block() {
        let types = BdkType::FLAGS.map(|(_, kind)| BdkType::rule(Some(kind)).key_type);
        assert_eq!(types, [KeyType::BDK1, KeyType::BDK2, KeyType::BDK3]);
        assert_eq!(BdkType::rule(None).key_type, KeyType::BDK1);
        assert!(!BdkType::rule(Some(BdkType::Two)).usages.contains(&KeyUsage(*b"41")));
    }

    #[test]
    fn every_refusal_has_a_host_code() {
        assert_eq!(Code::from(CardError::KeySize), Code::KEY_LENGTH);
        assert_eq!(Code::from(CardError::Strength), Code::KEY_LENGTH);
        assert_eq!(Code::from(CardError::Counter), Code::INPUT);
        assert_eq!(Code::from(CardError::Cipher(paytypes::CipherError::Backend)), Code::DEVICE);
    }
}
