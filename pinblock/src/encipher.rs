//! PIN blocks under a key: one ECB block of TDES, or the two passes of ISO 9564-1 format 4 over AES.

use crate::{Account, ClearBlock, Format, PinBlockError, codec};
use core::fmt;
use paytypes::bytes::xor_into;
use paytypes::{Cipher, CipherKind, Direction, Pin, Random};

/// An enciphered PIN block of 8 or 16 bytes. `Debug` shows the length.
#[derive(Clone, Copy)]
pub struct EncryptedBlock {
    bytes: [u8; 16],
    len: u8,
}

impl EncryptedBlock {
    /// The cipher text.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    fn of(block: &ClearBlock) -> Self {
        let len = if block.len() == 16 { 16 } else { 8 };
        Self { bytes: paytypes::bytes::left(block.expose()), len }
    }
}

impl fmt::Debug for EncryptedBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncryptedBlock({} bytes)", self.len)
    }
}

/// Enciphers a clear block of `format`. ISO 4 takes an AES key and binds `account` here; every other format
/// takes DES or TDES ([`PinBlockError::KeySize`] otherwise).
pub async fn encipher<C: Cipher>(
    cipher: &C,
    key: &C::Key,
    format: Format,
    block: &ClearBlock,
    account: &Account,
) -> Result<EncryptedBlock, PinBlockError> {
    let pan_field = judge(cipher, key, format, block.len(), account)?;
    let mut work = block.duplicate();
    cipher.ecb(key, Direction::Encrypt, work.expose_mut()).await?;
    if let Some(pan_field) = pan_field {
        xor_into(work.expose_mut(), &pan_field);
        cipher.ecb(key, Direction::Encrypt, work.expose_mut()).await?;
    }
    Ok(EncryptedBlock::of(&work))
}

/// Deciphers a block of `format` (8 bytes; 16 for ISO 4). The content is not judged.
pub async fn decipher<C: Cipher>(
    cipher: &C,
    key: &C::Key,
    format: Format,
    block: &[u8],
    account: &Account,
) -> Result<ClearBlock, PinBlockError> {
    let pan_field = judge(cipher, key, format, block.len(), account)?;
    let mut work = ClearBlock::new(block)?;
    cipher.ecb(key, Direction::Decrypt, work.expose_mut()).await?;
    if let Some(pan_field) = pan_field {
        xor_into(work.expose_mut(), &pan_field);
        cipher.ecb(key, Direction::Decrypt, work.expose_mut()).await?;
    }
    Ok(work)
}

/// [`codec::encode`] and [`encipher`] in one.
pub async fn encode_under<C: Cipher>(
    cipher: &C,
    key: &C::Key,
    format: Format,
    pin: &Pin,
    account: &Account,
    random: &mut impl Random,
) -> Result<EncryptedBlock, PinBlockError> {
    let block = codec::encode(format, pin, account, random)?;
    encipher(cipher, key, format, &block, account).await
}

/// [`decipher`] and strict [`codec::decode`] in one.
pub async fn decode_under<C: Cipher>(
    cipher: &C,
    key: &C::Key,
    format: Format,
    block: &[u8],
    account: &Account,
) -> Result<Pin, PinBlockError> {
    let clear = decipher(cipher, key, format, block, account).await?;
    codec::decode(format, &clear, account)
}

fn judge<C: Cipher>(
    cipher: &C,
    key: &C::Key,
    format: Format,
    len: usize,
    account: &Account,
) -> Result<Option<[u8; 16]>, PinBlockError> {
    passes(cipher.shape(key).kind, format, len, account)
}

/// Judges whether a block of so many bytes fits format and cipher, and gives what is XORed between the two
/// passes of ISO 4: the PAN field; nothing for the formats of one pass.
#[inline(always)]
pub fn passes(
    kind: CipherKind,
    format: Format,
    len: usize,
    account: &Account,
) -> Result<Option<[u8; 16]>, PinBlockError> {
    let two_passes = format == Format::Iso4;
    if two_passes != (kind == CipherKind::Aes) {
        Err(PinBlockError::KeySize)
    } else if len != format.block_length() {
        Err(PinBlockError::BlockLength)
    } else if two_passes {
        account.pan_field().map(Some)
    } else {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paytypes::soft::{Soft, SoftKey};
    use paytypes::{Drawn, Pan, now};

    const RANDOM: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

    fn account(text: &[u8]) -> Account {
        Account::from_pan(Pan::new(text).unwrap())
    }

    #[test]
    fn key_and_format_must_fit() {
        let aes = SoftKey::new(CipherKind::Aes, &[7; 16]).unwrap();
        let tdes = SoftKey::new(CipherKind::Tdes, &[7; 16]).unwrap();
        let none = Account::NONE;
        let open = |key, format, block: &[u8]| {
            now(decipher(&Soft, key, format, block, &none)).unwrap().map(|_| ()).unwrap_err()
        };
        assert_eq!(open(&aes, Format::Iso1, &[0; 8]), PinBlockError::KeySize);
        assert_eq!(open(&tdes, Format::Iso4, &[0; 16]), PinBlockError::KeySize);
        assert_eq!(open(&tdes, Format::Iso1, &[0; 16]), PinBlockError::BlockLength);
        assert_eq!(open(&aes, Format::Iso4, &[0; 8]), PinBlockError::BlockLength);
        assert_eq!(open(&aes, Format::Iso4, &[0; 16]), PinBlockError::PanLength);
    }

    #[test]
    fn iso_4_under_another_pan_is_not_a_pin() {
        let key = SoftKey::new(CipherKind::Aes, &[7; 32]).unwrap();
        let pin = Pin::from_ascii(b"1234").unwrap();
        let own = account(b"4111111111111111");
        let mut random = Drawn::new(&RANDOM);
        let made = now(encode_under(&Soft, &key, Format::Iso4, &pin, &own, &mut random)).unwrap().unwrap();
        let read = |a| now(decode_under(&Soft, &key, Format::Iso4, made.as_bytes(), a)).unwrap();
        assert!(read(&own).unwrap().same_as(&pin));
        assert!(read(&account(b"4111111111111112")).is_err());
        assert_eq!(format!("{made:?}"), "EncryptedBlock(16 bytes)");
    }
}
