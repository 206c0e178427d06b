//! Keys under a variant LMK: pair by key type, variant byte into the left half, scheme byte into the right
//! half, each 8-byte part encrypted alone (host-commands.md section 4).

use crate::jobs::Jobs;
use crate::lmk::VARIANT_LENGTH;
use crate::material::TdesKey;
use hsm::{HsmError, KeyType, LmkPair, Scheme};
use paytypes::{ClearKey, Direction};

/// XORed into byte 0 of the pair; index is the variant digit, 0 is no variant.
const VARIANTS: [u8; 10] = [0x00, 0xA6, 0x5A, 0x6A, 0xDE, 0x2B, 0x50, 0x74, 0x9C, 0xFA];
/// XORed into byte 8 of the pair for each part of a key: nothing, or by its place for scheme `U` or `T`.
const PLAIN: [u8; 3] = [0; 3];
const DOUBLE: [u8; 3] = [0xA6, 0x5A, 0x00];
const TRIPLE: [u8; 3] = [0x6A, 0xDE, 0x2B];

/// In this order under each variant of each pair.
const SCHEMES: [[u8; 3]; 3] = [PLAIN, DOUBLE, TRIPLE];
const PLACES: usize = (VARIANT_LENGTH / 16) * VARIANTS.len() * SCHEMES.len();

/// The keys under which the parts of a key are wrapped.
type Working = [TdesKey; 3];

/// A loaded variant LMK. Working keys are made when first needed; there are few.
#[derive(Debug)]
pub(crate) struct VariantLmk {
    pairs: Box<[ClearKey]>,
    /// By pair, variant and scheme.
    working: Box<[Option<Working>]>,
}

impl VariantLmk {
    pub(crate) fn new(clear: &[u8]) -> Result<Self, HsmError> {
        if clear.len() != VARIANT_LENGTH {
            return Err(HsmError::KeyLength);
        }
        let pairs = clear.as_chunks::<16>().0.iter();
        let pairs: Result<_, _> = pairs.map(|p| ClearKey::new(p).map_err(|_| HsmError::KeyLength)).collect();
        let working = (0..PLACES).map(|_| None).collect();
        Ok(Self { pairs: pairs?, working })
    }

    /// A plain pair with a variant, for other things than keys.
    pub(crate) fn pair(&mut self, pair: LmkPair, variant: u8) -> Result<&TdesKey, HsmError> {
        let [plain, ..] = self.working(pair, variant, 0)?;
        Ok(plain)
    }

    #[inline]
    fn working(&mut self, pair: LmkPair, variant: u8, scheme: usize) -> Result<&Working, HsmError> {
        let row = usize::from(pair.0).saturating_mul(VARIANTS.len()).saturating_add(usize::from(variant));
        let place = row.saturating_mul(SCHEMES.len()).saturating_add(scheme);
        let place = self.working.get_mut(place).filter(|_| usize::from(variant) < VARIANTS.len());
        let place = place.ok_or(HsmError::KeyType)?;
        match place {
            Some(known) => Ok(known),
            None => Ok(place.insert(make(&self.pairs, pair, variant, scheme)?)),
        }
    }

    /// The jobs that encrypt or decrypt the parts of a key, one for each.
    #[inline]
    pub(crate) fn jobs(
        &mut self,
        way: Direction,
        key_type: KeyType,
        scheme: Scheme,
        parts: &[u64],
        jobs: &mut Jobs,
    ) -> Result<(), HsmError> {
        if scheme.key_length().map(|length| length >> 3) != Some(parts.len()) {
            return Err(HsmError::KeyLength);
        }
        let pair = key_type.pair().ok_or(HsmError::KeyType)?;
        let scheme = match scheme {
            Scheme::U => 1,
            Scheme::T => 2,
            _ => 0,
        };
        let working = self.working(pair, key_type.variant(), scheme)?;
        working.iter().zip(parts).for_each(|(key, part)| jobs.push(|| key.job(*part, way)));
        Ok(())
    }
}

#[cold]
fn make(pairs: &[ClearKey], pair: LmkPair, variant: u8, scheme: usize) -> Result<Working, HsmError> {
    let (base, mask) = (pairs.get(usize::from(pair.0)), VARIANTS.get(usize::from(variant)));
    let (base, mask) = base.zip(mask).ok_or(HsmError::KeyType)?;
    let part = |scheme_byte: u8| {
        let mut key = base.duplicate();
        for (at, mask) in [(0, *mask), (8, scheme_byte)] {
            if let Some(byte) = key.expose_mut().get_mut(at) {
                *byte ^= mask;
            }
        }
        TdesKey::new(key.expose())
    };
    let [first, second, third] = *SCHEMES.get(scheme).ok_or(HsmError::Scheme)?;
    Ok([part(first)?, part(second)?, part(third)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LmkSet;
    use paytypes::hex;

    // An issuer master key of type 209 and its cryptogram under the public test set, from the tests of an
    // open client project (CryptoCarver); see tests/vectors/s-blocks.json, var-MKSMI.
    #[test]
    fn published_example() {
        let set = LmkSet::public_test();
        let mut lmk = VariantLmk::new(set.iter().next().unwrap().clear.expose()).unwrap();
        let mut run = |way, text: &[u8]| {
            let key = hex::decode::<16>(text).unwrap();
            let mut jobs = Jobs::default();
            let key = key.as_chunks().0.iter().map(|part| u64::from_be_bytes(*part)).collect::<Vec<_>>();
            lmk.jobs(way, KeyType::new(*b"209").unwrap(), Scheme::U, &key, &mut jobs).unwrap();
            tdes_lanes::Lanes::new().run(&mut jobs);
            let parts: Vec<[u8; 8]> = jobs.iter().map(|j| j.block().to_be_bytes()).collect();
            hex::encode(parts.as_flattened())
        };
        let (clear, wrapped) = (b"F1F1F1F1F1F1F1F1C1C1C1C1C1C1C1C1", b"5178C9D3D1052B15BF6AEC458B4A4564");
        assert_eq!(run(Direction::Encrypt, clear).as_bytes(), wrapped);
        assert_eq!(run(Direction::Decrypt, wrapped).as_bytes(), clear);
    }

    #[test]
    fn length_and_type_are_checked() {
        let set = LmkSet::public_test();
        let mut lmk = VariantLmk::new(set.iter().next().unwrap().clear.expose()).unwrap();
        let mut jobs = Jobs::default();
        let mut run = |key_type, scheme| lmk.jobs(Direction::Encrypt, key_type, scheme, &[0; 2], &mut jobs);
        assert_eq!(run(KeyType::ZPK, Scheme::T), Err(HsmError::KeyLength));
        assert_eq!(run(KeyType::FROM_BLOCK, Scheme::U), Err(HsmError::KeyType));
        assert!(VariantLmk::new(&[0; 319]).is_err());
    }
}
