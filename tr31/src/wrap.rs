//! Making a TR-31 / X9.143 / ISO 20038 block.

use crate::binding::seal;
use crate::block::{check_kc, check_kp, check_length};
use crate::blocks::OptionalBlocks;
use crate::error::{ErrorKind, KeyBlockError, field};
use crate::front::{self, FIXED, LENGTH_MAX};
use crate::header::{Attributes, Header};
use crate::kbpk::Kbpk;
use crate::policy::Policy;
use crate::scheme::{BlockKeys, Scheme};
use crate::text;
use crate::work::Work;
use paytypes::{Algorithm, Cipher, Random};

/// How far key data is padded so that its length does not show the key's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masking {
    /// Only to the cipher block.
    None,
    /// As X9.143 asks: DES and TDES keys as if 24 bytes long, AES keys 32; other keys are not masked.
    Standard,
    /// As if the key had at least so many bytes.
    Length(usize),
}

impl Masking {
    fn length(self, algorithm: Algorithm, key: usize) -> usize {
        let wanted = match (self, algorithm) {
            (Self::Length(length), _) => length,
            (Self::Standard, Algorithm::DES | Algorithm::TDES) => 24,
            (Self::Standard, Algorithm::AES) => 32,
            _ => 0,
        };
        wanted.max(key)
    }
}

/// What is written in front of key data.
pub(crate) struct Draft<'a> {
    pub version: u8,
    pub scheme: &'static Scheme,
    pub attributes: &'a Attributes,
    pub tail: [u8; 2],
    pub blocks: &'a OptionalBlocks<'a>,
}

impl Draft<'_> {
    /// Length of the whole text and of the padded key data for a key masked to `masked` bytes.
    pub(crate) fn lengths(&self, masked: usize) -> Result<(usize, usize), KeyBlockError> {
        let sum = || {
            let payload = self.scheme.padded(masked.checked_add(2)?)?;
            let hex = payload.checked_add(self.scheme.mac_length)?.checked_mul(2)?;
            let total = hex.checked_add(FIXED)?.checked_add(self.blocks.text().len())?;
            (total <= LENGTH_MAX).then_some((total, payload))
        };
        sum().ok_or(KeyBlockError::new(ErrorKind::LengthField, field::LENGTH, 1))
    }

    /// Seals `key` and appends the block to `out`.
    pub(crate) async fn seal<C: Cipher>(
        &self,
        cipher: &C,
        keys: &BlockKeys<C::Key>,
        key: &[u8],
        masked: usize,
        random: &mut (impl Random + ?Sized),
        out: &mut Vec<u8>,
    ) -> Result<(), KeyBlockError> {
        front::check_written(self.attributes, self.tail)?;
        let (total, payload) = self.lengths(masked)?;
        let start = out.len();
        out.reserve(total);
        front::write(self.version, total, self.attributes, self.tail, self.blocks, out);
        let header = FIXED.saturating_add(self.blocks.text().len());
        let mut work = Work::zeroed(header, payload);
        if let Some((head, data)) = work.bytes_mut().split_at_mut_checked(header) {
            head.copy_from_slice(out.get(start..).unwrap_or_default());
            fill(data, key, random);
        }
        match seal(cipher, keys, self.scheme, header, &mut work).await {
            Ok(mac) => {
                text::encode(work.after(header), out);
                text::encode(mac.as_bytes().get(..self.scheme.mac_length).unwrap_or_default(), out);
                Ok(())
            }
            Err(error) => {
                out.truncate(start);
                Err(error)
            }
        }
    }
}

// Length in bits, key, random padding. `data` was measured for the key.
fn fill(data: &mut [u8], key: &[u8], random: &mut (impl Random + ?Sized)) {
    let bits = u16::try_from(key.len().saturating_mul(8)).unwrap_or_default();
    if let Some((length, rest)) = data.split_first_chunk_mut::<2>() {
        *length = bits.to_be_bytes();
        if let Some((room, pad)) = rest.split_at_mut_checked(key.len()) {
            room.copy_from_slice(key);
            random.fill(pad);
        }
    }
}

/// Length in characters of the block that [`wrap`] would make for a key of `key_length` bytes.
pub fn wrapped_length(
    header: &Header<'_>,
    key_length: usize,
    masking: Masking,
) -> Result<usize, KeyBlockError> {
    let blocks = header.blocks.aligned(header.version.alignment())?;
    let masked = masking.length(header.attributes.algorithm, key_length);
    Ok(draft(header, &blocks).lengths(masked)?.0)
}

fn draft<'a>(header: &'a Header<'_>, blocks: &'a OptionalBlocks<'_>) -> Draft<'a> {
    Draft {
        version: header.version.letter(),
        scheme: header.version.scheme(),
        attributes: &header.attributes,
        tail: [header.context, header.reserved],
        blocks,
    }
}

/// Makes the block of `key` under `kbpk`: the header's optional blocks are kept as they are, and PB is added
/// or made new where they do not end at a cipher block. `policy` says which versions may be made and judges
/// the key as on unwrap; `random` fills the padding. Gives the block's text.
pub async fn wrap<C: Cipher>(
    cipher: &C,
    kbpk: &Kbpk<C::Key>,
    header: &Header<'_>,
    key: &[u8],
    masking: Masking,
    policy: &Policy,
    random: &mut (impl Random + ?Sized),
) -> Result<Vec<u8>, KeyBlockError> {
    policy.judge_text(header, policy.export)?;
    if !kbpk.serves(header.version) {
        return Err(KeyBlockError::new(ErrorKind::KbpkAlgorithm, field::KBPK, 0));
    }
    check_length(header.attributes.algorithm, key.len())?;
    policy.judge_key(header, kbpk.strength_bits, key)?;
    if policy.check_values {
        check_kp(header, kbpk)?;
        check_kc(cipher, header, key).await?;
    }
    let blocks = header.blocks.aligned(header.version.alignment())?;
    let masked = masking.length(header.attributes.algorithm, key.len());
    let mut out = Vec::new();
    draft(header, &blocks).seal(cipher, &kbpk.keys, key, masked, random, &mut out).await?;
    Ok(out)
}
