//! Making an own LMK: at random, or from components of separate custodians.

use crate::RandomSource;
use crate::lmk::{LmkKind, VARIANT_LENGTH};
use paytypes::bytes::xor_into;
use paytypes::parity::{Weakness, make_odd, weakness};
use paytypes::soft::{Soft, SoftKey};
use paytypes::{CipherKind, ClearBytes, MacAlgorithm, now};
use subtle::ConstantTimeEq;
use thiserror::Error;

/// Why no LMK was made.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FormingError {
    /// Fewer than two components: one person would know the key.
    #[error("an LMK has at least two components")]
    Count,
    /// A component of another length.
    #[error("component {0}: has not {1} bytes")]
    Length(usize, usize),
    /// Two components that are equal cancel each other.
    #[error("component {0} repeats an earlier one")]
    Repeated(usize),
    /// The sum is weak or zero.
    #[error("the components form a weak key")]
    Weak,
    /// No randomness.
    #[error("the operating system gave no random bytes")]
    Random,
}

/// Length of a component in bytes. A variant set is expanded from 32 bytes, since nobody types 40 DES keys.
pub const fn component_length(kind: LmkKind) -> usize {
    match kind {
        LmkKind::TdesBlock => 24,
        LmkKind::AesBlock | LmkKind::Variant => 32,
    }
}

fn cipher_of(kind: LmkKind) -> CipherKind {
    match kind {
        LmkKind::TdesBlock => CipherKind::Tdes,
        LmkKind::AesBlock | LmkKind::Variant => CipherKind::Aes,
    }
}

/// Check value of a component, six hexadecimal digits: ECB for 3DES, CMAC for AES.
pub fn component_check(kind: LmkKind, component: &ClearBytes) -> Option<[u8; 6]> {
    let key = SoftKey::new(cipher_of(kind), component.expose()).ok()?;
    now(tr31::kcv(&Soft, &key)).and_then(Result::ok).map(|kcv| kcv.hex6())
}

/// A random component, as one of several or as the whole secret of a random LMK.
pub fn random_component(kind: LmkKind) -> Result<ClearBytes, FormingError> {
    let mut component = ClearBytes::zeroed(component_length(kind));
    RandomSource::System.fill(component.expose_mut()).map_err(|_| FormingError::Random)?;
    Ok(component)
}

/// The LMK of two or more components: their XOR, with odd parity for 3DES, expanded for a variant set.
pub fn combine(kind: LmkKind, components: &[ClearBytes]) -> Result<ClearBytes, FormingError> {
    if components.len() < 2 {
        return Err(FormingError::Count);
    }
    let length = component_length(kind);
    let mut sum = ClearBytes::zeroed(length);
    for (index, component) in components.iter().enumerate() {
        let number = index.saturating_add(1);
        if component.len() != length {
            return Err(FormingError::Length(number, length));
        }
        let earlier = components.get(..index).unwrap_or_default();
        if earlier.iter().any(|e| bool::from(e.expose().ct_eq(component.expose()))) {
            return Err(FormingError::Repeated(number));
        }
        xor_into(sum.expose_mut(), component.expose());
    }
    expand(kind, sum)
}

/// The LMK of one secret of [`component_length`] bytes.
pub fn expand(kind: LmkKind, mut secret: ClearBytes) -> Result<ClearBytes, FormingError> {
    if secret.expose().iter().all(|b| *b == 0) {
        return Err(FormingError::Weak);
    }
    match kind {
        LmkKind::AesBlock => Ok(secret),
        LmkKind::TdesBlock => {
            make_odd(secret.expose_mut());
            let good = weakness(secret.expose()) == Weakness::None;
            if good { Ok(secret) } else { Err(FormingError::Weak) }
        }
        LmkKind::Variant => variant_set(&secret),
    }
}

// Twenty pairs by CMAC in counter mode (the shape of NIST SP 800-108), the label and pair number as input; a
// pair that turns out weak is passed over.
fn variant_set(secret: &ClearBytes) -> Result<ClearBytes, FormingError> {
    let key = SoftKey::new(CipherKind::Aes, secret.expose()).map_err(|_| FormingError::Weak)?;
    let mut set = ClearBytes::zeroed(VARIANT_LENGTH);
    for (number, pair) in (0u8..).zip(set.expose_mut().chunks_exact_mut(16)) {
        let mut attempt = 0u8;
        loop {
            let label = [b"variant LMK pair".as_slice(), &[number, attempt]].concat();
            let made = key.mac(MacAlgorithm::Cmac, &[0; 16], &label).map_err(|_| FormingError::Weak)?;
            pair.copy_from_slice(made.as_bytes());
            make_odd(pair);
            if weakness(pair) == Weakness::None {
                break;
            }
            attempt = attempt.checked_add(1).ok_or(FormingError::Weak)?;
        }
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(fill: u8, length: usize) -> ClearBytes {
        ClearBytes::new(
            (1..=length).map(|i| fill.wrapping_mul(37).wrapping_mul(i as u8) ^ (i * i) as u8).collect(),
        )
    }

    #[test]
    fn components_add_up() {
        for kind in [LmkKind::Variant, LmkKind::TdesBlock, LmkKind::AesBlock] {
            let length = component_length(kind);
            let (a, b) = (component(3, length), component(8, length));
            assert_ne!(component_check(kind, &a), component_check(kind, &b));
            let lmk = combine(kind, &[a, b]).unwrap();
            assert_eq!(lmk.len(), kind.length());
            let (a, b) = (component(8, length), component(3, length));
            assert_eq!(combine(kind, &[a, b]).unwrap().expose(), lmk.expose());
        }
    }

    #[test]
    fn refusals() {
        let kind = LmkKind::AesBlock;
        assert_eq!(combine(kind, &[component(1, 32)]).err(), Some(FormingError::Count));
        let short = combine(kind, &[component(1, 32), component(2, 31)]);
        assert_eq!(short.err(), Some(FormingError::Length(2, 32)));
        let twice = combine(kind, &[component(1, 32), component(2, 32), component(1, 32)]);
        assert_eq!(twice.err(), Some(FormingError::Repeated(3)));
        assert_eq!(expand(kind, ClearBytes::zeroed(32)).err(), Some(FormingError::Weak));
        let equal = ClearBytes::new(vec![0x23; 24]);
        assert_eq!(expand(LmkKind::TdesBlock, equal).err(), Some(FormingError::Weak));
    }

    #[test]
    fn variant_pairs_are_sound_and_differ() {
        let set = expand(LmkKind::Variant, component(5, 32)).unwrap();
        let pairs: std::collections::HashSet<&[u8]> = set.expose().chunks(16).collect();
        assert_eq!(pairs.len(), 20);
        assert!(pairs.iter().all(|p| paytypes::parity::is_odd(p) && weakness(p) == Weakness::None));
    }
}
