//! Opening an `S` block.

use crate::binding::inner_key;
use crate::block::{check_length, open_text};
use crate::error::{ErrorKind, KeyBlockError, field};
use crate::sblock::header::{Cut, SBlock, SVersion};
use crate::scheme::BlockKeys;
use crate::work::Work;
use paytypes::{Algorithm, Cipher, CipherKind, ClearBytes, ClearKey};

/// KBEK and KBAK of an LMK or ZMK, derived once and kept.
pub struct SKeys<K> {
    pub(super) keys: BlockKeys<K>,
    pub(super) version: SVersion,
}

impl<K> SKeys<K> {
    /// Derives both keys of `key`: a TDES key serves version 0, an AES key version 1. Refuses single DES.
    pub async fn new<C: Cipher<Key = K>>(cipher: &C, key: &K) -> Result<Self, KeyBlockError> {
        let version = match cipher.shape(key).kind {
            CipherKind::Aes => SVersion::Aes,
            CipherKind::Tdes | CipherKind::Des => SVersion::Tdes,
        };
        Ok(Self { keys: BlockKeys::derive(cipher, key, version.scheme()).await?, version })
    }

    /// Both keys as they were derived before, for a token that keeps them: KBEK and KBAK.
    pub const fn from_parts(version: SVersion, encryption: K, authentication: K) -> Self {
        Self { keys: BlockKeys { encryption, authentication }, version }
    }

    /// KBEK and KBAK, for whoever keeps them.
    pub fn into_parts(self) -> (K, K) {
        (self.keys.encryption, self.keys.authentication)
    }

    /// Version of the blocks that these keys open and make.
    pub const fn version(&self) -> SVersion {
        self.version
    }
}

impl<K> core::fmt::Debug for SKeys<K> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SKeys({:?})", self.version)
    }
}

/// Proves `block` and gives its key: the path for every symmetric key, without allocation while header and
/// key data fit 192 bytes. Refuses a block of the other version, a MAC that does not match or an impossible
/// inner length (one answer), a length that does not fit the algorithm, optional blocks that are not well formed
/// ([`SHeader::check_blocks`](crate::sblock::SHeader::check_blocks)), and more than 32 bytes.
pub async fn open<C: Cipher>(
    cipher: &C,
    keys: &SKeys<C::Key>,
    block: &SBlock<'_>,
) -> Result<ClearKey, KeyBlockError> {
    let mut work = room(block);
    prove(cipher, keys, block, &mut work).await?;
    let key = key(block, &work)?;
    block.header.check_blocks()?;
    ClearKey::new(key)
        .map_err(|_| KeyBlockError::new(ErrorKind::KeyLength, field::KEY, 0).because("longer than 32 bytes"))
}

/// As [`open`], for keys of any length: RSA and ECC private keys, long HMAC keys.
pub async fn open_long<C: Cipher>(
    cipher: &C,
    keys: &SKeys<C::Key>,
    block: &SBlock<'_>,
) -> Result<ClearBytes, KeyBlockError> {
    let mut work = room(block);
    prove(cipher, keys, block, &mut work).await?;
    let key = key(block, &work)?;
    block.header.check_blocks()?;
    Ok(ClearBytes::new(key.to_vec()))
}

fn room(block: &SBlock<'_>) -> Work {
    let mac = block.header.version.scheme().mac_length.saturating_mul(2);
    let payload = block.text.len().saturating_sub(block.header_length).saturating_sub(mac);
    Work::zeroed(block.header_length, payload >> 1)
}

async fn prove<C: Cipher>(
    cipher: &C,
    keys: &SKeys<C::Key>,
    block: &SBlock<'_>,
    work: &mut Work,
) -> Result<(), KeyBlockError> {
    if keys.version != block.header.version {
        return Err(KeyBlockError::new(ErrorKind::KbpkAlgorithm, field::KBPK, 0));
    }
    open_text(cipher, &keys.keys, keys.version.scheme(), block.text, block.header_length, work).await
}

fn key<'w>(block: &SBlock<'_>, work: &'w Work) -> Result<&'w [u8], KeyBlockError> {
    let Cut { header, payload, .. } = block.cut();
    let data = work.after(block.header_length);
    key_inside(block.header.attributes.algorithm, data).map_err(|error| match error.kind {
        ErrorKind::MacMismatch => error.at(header.saturating_add(payload)),
        _ => error,
    })
}

/// The key inside the key data of a block that was proved and decrypted, with the refusals of [`open_long`] but for
/// those of its header; for whoever does that for many blocks side by side, see [`SBlock::cut`].
pub fn key_inside(algorithm: Algorithm, data: &[u8]) -> Result<&[u8], KeyBlockError> {
    let key = inner_key(data)?;
    check_length(algorithm, key.len())?;
    Ok(key)
}
