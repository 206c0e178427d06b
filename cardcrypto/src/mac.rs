//! Message authentication codes: ISO/IEC 9797-1 algorithms 1 and 3 with its paddings, CMAC, whole or in
//! parts as host commands send them; and HMAC.

mod hmac;
mod padding;

pub use self::hmac::{HmacHash, HmacValue, hmac};
pub use self::padding::Padding;

use crate::CardError;
use core::fmt;
use paytypes::bytes::{left, xor_into};
use paytypes::{Cipher, CipherKind, Direction, MacAlgorithm, MacValue};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Shortest MAC: 32 bits (ISO 8583 fields, X9.19).
pub const MAC_LENGTH_MIN: usize = 4;

/// MAC algorithm of host commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ISO/IEC 9797-1 algorithm 1, CBC-MAC with the whole key (X9.9 when the key is single DES).
    Cbc,
    /// ISO/IEC 9797-1 algorithm 3, retail MAC (X9.19). DES and TDES only.
    Retail,
    /// CMAC: NIST SP 800-38B, ISO/IEC 9797-1 algorithm 5. It pads by itself.
    Cmac,
}

impl Algorithm {
    /// From the digit of M6 and M8: 1 and 5 are CBC-MAC, 3 is retail MAC, 6 is CMAC.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            b'1' | b'5' => Some(Self::Cbc),
            b'3' => Some(Self::Retail),
            b'6' => Some(Self::Cmac),
            _ => None,
        }
    }
}

/// Which part of a message the data is. The initial value of a middle and a last part is the chaining value
/// that the part before it gave, one block.
#[derive(Clone, Copy)]
pub enum Part<'a> {
    /// The whole message.
    Only,
    /// The beginning.
    First,
    /// More of it.
    Middle(&'a [u8]),
    /// The end.
    Last(&'a [u8]),
}

impl fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Only => "Only",
            Self::First => "First",
            Self::Middle(_) => "Middle",
            Self::Last(_) => "Last",
        })
    }
}

/// The MAC after an only or a last part; the chaining value after a first or a middle one. Whole block.
///
/// A first or middle part is whole blocks, at least one; its padding is not applied. Padding method 3 begins
/// with the length of the message, so it takes whole messages only. CMAC must be given [`Padding::None`] or
/// [`Padding::Zeros`], neither of which it applies, and a last part that is not empty, since it treats the
/// last block in its own way. Errors: [`CardError::Segment`] for all of these, [`CardError::Cipher`] for a
/// key or an initial value that does not fit.
pub async fn mac<C: Cipher>(
    cipher: &C,
    key: &C::Key,
    algorithm: Algorithm,
    padding: Padding,
    part: Part<'_>,
    data: &[u8],
) -> Result<MacValue, CardError> {
    let block = cipher.shape(key).kind.block_length();
    let zeros = [0u8; 16];
    let start = zeros.get(..block).unwrap_or_default();
    if algorithm == Algorithm::Cmac && !padding.is_empty_for_cmac() {
        return Err(CardError::Segment);
    }
    match part {
        Part::Only => end(cipher, key, algorithm, padding, start, data).await,
        Part::Last(_) if padding == Padding::Length => Err(CardError::Segment),
        Part::Last(_) if algorithm == Algorithm::Cmac && data.is_empty() => Err(CardError::Segment),
        Part::Last(iv) if algorithm == Algorithm::Cmac && data.len() < block => {
            cmac_short_end(cipher, key, iv, data).await
        }
        Part::Last(iv) => end(cipher, key, algorithm, padding, iv, data).await,
        Part::First => chain(cipher, key, algorithm, padding, start, data).await,
        Part::Middle(iv) => chain(cipher, key, algorithm, padding, iv, data).await,
    }
}

/// Makes the MAC of an only or last part and compares its left part with `sent` in constant time.
/// `sent` has 4 bytes to one block ([`CardError::MacLength`] otherwise).
pub async fn verify<C: Cipher>(
    cipher: &C,
    key: &C::Key,
    algorithm: Algorithm,
    padding: Padding,
    part: Part<'_>,
    data: &[u8],
    sent: &[u8],
) -> Result<bool, CardError> {
    if let Part::First | Part::Middle(_) = part {
        return Err(CardError::Segment);
    }
    let own = mac(cipher, key, algorithm, padding, part, data).await?;
    same(own.as_bytes(), sent)
}

/// The left `length` bytes of a MAC: 4 to the whole.
pub fn truncated(mac: &[u8], length: usize) -> Result<&[u8], CardError> {
    mac.get(..length).filter(|_| length >= MAC_LENGTH_MIN).ok_or(CardError::MacLength)
}

/// Compares the left part of a MAC with a sent one in constant time; the length is not secret.
pub fn same(own: &[u8], sent: &[u8]) -> Result<bool, CardError> {
    Ok(truncated(own, sent.len())?.ct_eq(sent).into())
}

async fn chain<C: Cipher>(
    cipher: &C,
    key: &C::Key,
    algorithm: Algorithm,
    padding: Padding,
    iv: &[u8],
    data: &[u8],
) -> Result<MacValue, CardError> {
    let block = cipher.shape(key).kind.block_length();
    if padding == Padding::Length || data.is_empty() || data.len().checked_rem(block) != Some(0) {
        return Err(CardError::Segment);
    }
    let step = match algorithm {
        Algorithm::Cbc | Algorithm::Cmac => MacAlgorithm::Iso1,
        Algorithm::Retail => MacAlgorithm::Iso3Chain,
    };
    Ok(cipher.mac(key, step, iv, data).await?)
}

async fn end<C: Cipher>(
    cipher: &C,
    key: &C::Key,
    algorithm: Algorithm,
    padding: Padding,
    iv: &[u8],
    data: &[u8],
) -> Result<MacValue, CardError> {
    let step = match algorithm {
        Algorithm::Cbc => MacAlgorithm::Iso1,
        Algorithm::Retail => MacAlgorithm::Iso3,
        Algorithm::Cmac => return Ok(cipher.mac(key, MacAlgorithm::Cmac, iv, data).await?),
    };
    let block = cipher.shape(key).kind.block_length();
    let padded = padding.apply(block, data).ok_or(CardError::Segment)?;
    Ok(cipher.mac(key, step, iv, &padded).await?)
}

// A last part of CMAC shorter than a block, after others: SP 800-38B 6.2 with the second subkey, since the
// chaining value has no whole block to go into.
async fn cmac_short_end<C: Cipher>(
    cipher: &C,
    key: &C::Key,
    iv: &[u8],
    data: &[u8],
) -> Result<MacValue, CardError> {
    let kind = cipher.shape(key).kind;
    let block = kind.block_length();
    if iv.len() != block {
        return Err(CardError::Segment);
    }
    let mut subkey = Zeroizing::new([0u8; 16]);
    let subkey = subkey.get_mut(..block).unwrap_or_default();
    cipher.ecb(key, Direction::Encrypt, subkey).await?;
    double(kind, subkey);
    double(kind, subkey);
    let mut last: [u8; 16] = left(data);
    let last = last.get_mut(..block).unwrap_or_default();
    if let Some(mark) = last.get_mut(data.len()) {
        *mark = 0x80;
    }
    xor_into(last, subkey);
    xor_into(last, iv);
    cipher.ecb(key, Direction::Encrypt, last).await?;
    Ok(MacValue::new(last))
}

// Doubling in the field of the block cipher, without a branch on the carry.
fn double(kind: CipherKind, block: &mut [u8]) {
    let polynomial = if kind == CipherKind::Aes { 0x87 } else { 0x1B };
    let carry = block.first().map_or(0, |b| b >> 7);
    let mut low = 0;
    for byte in block.iter_mut().rev() {
        let high = *byte >> 7;
        *byte = (*byte << 1) | low;
        low = high;
    }
    if let Some(last) = block.last_mut() {
        *last ^= polynomial & 0u8.wrapping_sub(carry);
    }
}

#[cfg(test)]
mod tests;
