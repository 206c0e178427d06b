//! Keys under a variant LMK: pair by key type, variant byte into the left half, scheme byte into the right
//! half, each 8-byte part encrypted alone (host-commands.md section 4).

use crate::lmk::VARIANT_LENGTH;
use hsm::{HsmError, KeyType, LmkPair, Scheme};
use paytypes::{ClearKey, DesKey};

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
type Working = [DesKey; 3];

/// A loaded variant LMK. Working keys are made when first needed; there are few.
#[derive(Debug)]
pub(crate) struct VariantLmk {
    pairs: Box<[ClearKey]>,
    /// By pair, variant and scheme.
    working: Box<[Option<Working>]>,
    /// Where those stand that were asked for last, and for how many parts: the next key is nearly always of the
    /// same kind.
    last: Option<((KeyType, Scheme), usize, usize)>,
}

impl VariantLmk {
    pub(crate) fn new(clear: &[u8]) -> Result<Self, HsmError> {
        if clear.len() != VARIANT_LENGTH {
            return Err(HsmError::KeyLength);
        }
        let pairs = clear.as_chunks::<16>().0.iter();
        let pairs: Result<_, _> = pairs.map(|p| ClearKey::new(p).map_err(|_| HsmError::KeyLength)).collect();
        let working = (0..PLACES).map(|_| None).collect();
        Ok(Self { pairs: pairs?, working, last: None })
    }

    /// A plain pair with a variant, for other things than keys.
    pub(crate) fn pair(&mut self, pair: LmkPair, variant: u8) -> Result<&DesKey, HsmError> {
        let place = self.made(pair, variant, 0)?;
        let plain = self.working.get(place).and_then(|working| working.as_ref()?.first());
        plain.ok_or(HsmError::KeyType)
    }

    // Where working keys stand, which are made when they are not there.
    fn made(&mut self, pair: LmkPair, variant: u8, scheme: usize) -> Result<usize, HsmError> {
        let row = usize::from(pair.0).saturating_mul(VARIANTS.len()).saturating_add(usize::from(variant));
        let place = row.saturating_mul(SCHEMES.len()).saturating_add(scheme);
        let working = self.working.get_mut(place).filter(|_| usize::from(variant) < VARIANTS.len());
        let working = working.ok_or(HsmError::KeyType)?;
        if working.is_none() {
            *working = Some(make(&self.pairs, pair, variant, scheme)?);
        }
        Ok(place)
    }

    /// The keys under which the parts of a key of this type and scheme are wrapped, one for each part.
    #[inline]
    pub(crate) fn keys(&mut self, key_type: KeyType, scheme: Scheme) -> Result<&[DesKey], HsmError> {
        let (place, count) = match self.last {
            Some((known, place, count)) if known == (key_type, scheme) => (place, count),
            _ => self.look(key_type, scheme)?,
        };
        let keys = self.working.get(place).and_then(|working| working.as_ref()?.get(..count));
        keys.ok_or(HsmError::KeyType)
    }

    #[inline(never)]
    fn look(&mut self, key_type: KeyType, scheme: Scheme) -> Result<(usize, usize), HsmError> {
        let count = scheme.key_length().ok_or(HsmError::Scheme)? >> 3;
        let pair = key_type.pair().ok_or(HsmError::KeyType)?;
        let place = self.made(
            pair,
            key_type.variant(),
            match scheme {
                Scheme::U => 1,
                Scheme::T => 2,
                _ => 0,
            },
        )?;
        self.last = Some(((key_type, scheme), place, count));
        Ok((place, count))
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
        DesKey::new(key.expose()).map_err(|_| HsmError::KeyLength)
    };
    let [first, second, third] = *SCHEMES.get(scheme).ok_or(HsmError::Scheme)?;
    Ok([part(first)?, part(second)?, part(third)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LmkSet;
    use crate::jobs::Jobs;
    use crate::material::LaneKey;
    use paytypes::{Direction, hex};

    // An issuer master key of type 209 and its cryptogram under the public test set, from the tests of an
    // open client project (CryptoCarver); see tests/vectors/s-blocks.json, var-MKSMI.
    #[test]
    fn published_example() {
        let set = LmkSet::public_test();
        let mut lmk = VariantLmk::new(set.iter().next().unwrap().clear.expose()).unwrap();
        let mut run = |way, text: &[u8]| {
            let key = hex::decode::<16>(text).unwrap();
            let mut jobs = Jobs::default();
            let keys = lmk.keys(KeyType::new(*b"209").unwrap(), Scheme::U).unwrap();
            for (wrapping, part) in keys.iter().zip(key.as_chunks().0) {
                jobs.push(|| wrapping.job(u64::from_be_bytes(*part), way));
            }
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
        let mut keys = |key_type, scheme| lmk.keys(key_type, scheme).map(<[DesKey]>::len);
        assert_eq!((keys(KeyType::ZPK, Scheme::T), keys(KeyType::ZPK, Scheme::Single)), (Ok(3), Ok(1)));
        assert_eq!(keys(KeyType::ZPK, Scheme::S), Err(HsmError::Scheme));
        assert_eq!(keys(KeyType::FROM_BLOCK, Scheme::U), Err(HsmError::KeyType));
        assert!(VariantLmk::new(&[0; 319]).is_err());
    }
}
