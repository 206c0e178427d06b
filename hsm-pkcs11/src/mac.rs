//! MACs, made of what tokens have: CBC, ECB and AES-CMAC. The binding has no CMAC of TDES, so that one is made
//! of CBC over a last block that carries its subkey (NIST SP 800-38B 6.2).

use crate::link::Link;
use cryptoki::object::ObjectHandle;
use hsm::HsmError;
use paytypes::bytes::{left, xor_into};
use paytypes::{CipherError, CipherKind, Direction, MacValue};
use zeroize::Zeroizing;

const DATA_LENGTH: HsmError = HsmError::Cipher(CipherError::DataLength);

/// An object with which CMACs are made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CmacKey {
    /// It signs.
    Sign(ObjectHandle),
    /// It encrypts.
    Encrypt(ObjectHandle),
}

/// CBC-MAC: the last link of the chain; of no data, the initial value.
pub(crate) fn chain(
    link: &mut Link,
    kind: CipherKind,
    key: ObjectHandle,
    iv: &[u8],
    data: &[u8],
) -> Result<MacValue, HsmError> {
    let block = kind.block_length();
    if iv.len() != block || !data.len().is_multiple_of(block) {
        return Err(DATA_LENGTH);
    }
    if data.is_empty() {
        return Ok(MacValue::new(iv));
    }
    let mut work = Zeroizing::new(data.to_vec());
    link.cbc(Direction::Encrypt, kind, key, iv, &mut work)?;
    let last = work.len().saturating_sub(block);
    Ok(MacValue::new(work.get(last..).unwrap_or_default()))
}

/// ISO 9797-1 algorithm 3: the chain under the left part, the last block under the whole key, whose E-D-E
/// is what the algorithm asks for. There must be a last block.
pub(crate) fn retail(
    link: &mut Link,
    left_part: Option<ObjectHandle>,
    whole: ObjectHandle,
    iv: &[u8],
    data: &[u8],
) -> Result<MacValue, HsmError> {
    let split = data.len().checked_sub(8).filter(|_| data.len().is_multiple_of(8)).ok_or(DATA_LENGTH)?;
    let (head, last) = data.split_at_checked(split).ok_or(DATA_LENGTH)?;
    let mut work = Zeroizing::new(left::<8>(last));
    if head.is_empty() {
        xor_into(work.as_mut_slice(), <&[u8; 8]>::try_from(iv).map_err(|_| DATA_LENGTH)?);
    } else {
        let part = left_part.ok_or(HsmError::Backend)?;
        xor_into(work.as_mut_slice(), chain(link, CipherKind::Tdes, part, iv, head)?.as_bytes());
    }
    link.ecb(Direction::Encrypt, CipherKind::Tdes, whole, work.as_mut_slice())?;
    Ok(MacValue::new(work.as_slice()))
}

/// CMAC that goes on from `iv` (zeros to begin with).
pub(crate) fn cmac(
    link: &mut Link,
    kind: CipherKind,
    key: CmacKey,
    iv: &[u8],
    data: &[u8],
) -> Result<MacValue, HsmError> {
    let block = kind.block_length();
    if iv.len() != block {
        return Err(DATA_LENGTH);
    }
    let begins = iv.iter().all(|b| *b == 0);
    // What goes on needs data to go on with: a block of it for AES, as in software.
    let least = if kind == CipherKind::Aes { block } else { 1 };
    if !begins && data.len() < least {
        return Err(DATA_LENGTH);
    }
    match key {
        CmacKey::Sign(key) if begins => Ok(MacValue::new(&link.sign(key, data)?)),
        // The chain before joins the first block, which is not the padded one.
        CmacKey::Sign(key) => {
            let mut work = Zeroizing::new(data.to_vec());
            xor_into(&mut work, iv);
            Ok(MacValue::new(&link.sign(key, &work)?))
        }
        CmacKey::Encrypt(key) => {
            let mut zero = Zeroizing::new([0u8; 16]);
            let first = zero.get_mut(..block).unwrap_or_default();
            link.ecb(Direction::Encrypt, kind, key, first)?;
            let work = masked(first, data);
            chain(link, kind, key, iv, &work)
        }
    }
}

// The message with its last block padded and masked by the subkey that comes from the encrypted zero block.
fn masked(first: &[u8], data: &[u8]) -> Zeroizing<Vec<u8>> {
    let block = first.len();
    let whole = !data.is_empty() && data.len().is_multiple_of(block);
    let length = data.len().max(1).checked_next_multiple_of(block).unwrap_or(block);
    let mut work = Zeroizing::new(Vec::with_capacity(length));
    work.extend_from_slice(data);
    let mut subkey = doubled(first);
    if !whole {
        work.push(0x80);
        work.resize(length, 0);
        subkey = doubled(&subkey);
    }
    let last = length.saturating_sub(block);
    xor_into(work.get_mut(last..).unwrap_or_default(), &subkey);
    work
}

// Doubling in the field of the block's size, with the constants of SP 800-38B 5.3.
fn doubled(value: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(vec![0u8; value.len()]);
    let mut carry = 0u8;
    for (to, from) in out.iter_mut().zip(value).rev() {
        *to = (from << 1) | carry;
        carry = from >> 7;
    }
    let constant: u8 = if value.len() > 8 { 0x87 } else { 0x1B };
    if let Some(byte) = out.last_mut() {
        *byte ^= constant & carry.wrapping_neg();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use paytypes::MacAlgorithm;
    use paytypes::soft::SoftKey;

    // CBC in software over what is masked here must be the CMAC of the software cipher.
    #[test]
    fn a_masked_message_under_cbc_is_a_cmac() {
        for (kind, length) in [(CipherKind::Tdes, 16), (CipherKind::Aes, 32)] {
            for fill in [0x00u8, 0x5A, 0xC3] {
                let clear: Vec<u8> = (0..length).map(|i| i as u8 ^ fill).collect();
                let key = SoftKey::new(kind, &clear).unwrap();
                let block = kind.block_length();
                let mut first = vec![0; block];
                key.ecb(Direction::Encrypt, &mut first).unwrap();
                for size in 0..50usize {
                    let data: Vec<u8> = (0..size).map(|i| i as u8).collect();
                    let mut work = masked(&first, &data);
                    key.cbc(Direction::Encrypt, &vec![0; block], &mut work).unwrap();
                    let expected = key.mac(MacAlgorithm::Cmac, &vec![0; block], &data).unwrap();
                    assert_eq!(&work[work.len() - block..], expected.as_bytes(), "{kind:?} {size}");
                }
            }
        }
    }
}
