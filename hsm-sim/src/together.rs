//! Opening `S` blocks of version 1 up to eight at a time, so that the processor works on all of them while each step
//! of a proof waits for the one before it.

use crate::made;
use crate::sealed::{PAYLOAD_MAX, Sealed};
use hsm::{BlockFault, HsmError, OpBatch};
use paytypes::soft::SoftKey;
use paytypes::{CipherError, Direction, hex};
use std::rc::Rc;
use zeroize::{Zeroize, Zeroizing};

/// Blocks that are opened together.
pub(crate) const TOGETHER: usize = 8;
/// Most cipher blocks of key data.
const DATA_MAX: usize = PAYLOAD_MAX / 16;

/// The keys of an AES key-block LMK.
#[derive(Debug)]
pub(crate) struct AesKeys {
    encryption: SoftKey,
    authentication: SoftKey,
    /// Of CMAC, for messages of whole blocks (NIST SP 800-38B 6.1).
    subkey: Zeroizing<[u8; 16]>,
}

impl AesKeys {
    pub(crate) fn new(encryption: &SoftKey, authentication: &SoftKey) -> Result<Self, HsmError> {
        let copy = |key: &SoftKey| SoftKey::new(key.shape().kind, key.expose().expose());
        let mut subkey = Zeroizing::new([0; 16]);
        authentication.ecb(Direction::Encrypt, subkey.as_mut_slice())?;
        let value = u128::from_be_bytes(*subkey);
        *subkey = ((value << 1) ^ (0x87 & (value >> 127).wrapping_neg())).to_be_bytes();
        Ok(Self { encryption: copy(encryption)?, authentication: copy(authentication)?, subkey })
    }
}

/// A block taken apart: cipher blocks of its header as text, of its key data as bytes, enciphered.
#[derive(Clone, Copy)]
struct Parts<'t> {
    header: &'t [[u8; 16]],
    data: [[u8; 16]; DATA_MAX],
}

impl<'t> Parts<'t> {
    const NONE: Self = Self { header: &[], data: [[0; 16]; DATA_MAX] };

    #[inline]
    fn read(&mut self, block: &Sealed, text: &'t [u8]) {
        let (header, digits) = text.split_at_checked(block.cut.header).unwrap_or_default();
        self.header = header.as_chunks().0;
        let (digits, _) = digits.get(..block.cut.payload).unwrap_or_default().as_chunks::<16>();
        for (half, digits) in self.data.as_flattened_mut().as_chunks_mut::<8>().0.iter_mut().zip(digits) {
            // The text was parsed.
            *half = hex::word_of(digits).to_be_bytes();
        }
    }

    /// The cipher block at `index`, in the order in which they are authenticated.
    #[inline]
    fn at(&self, index: usize) -> &[u8; 16] {
        let in_data = || self.data.get(index.saturating_sub(self.header.len()));
        self.header.get(index).or_else(in_data).unwrap_or(&[0; 16])
    }
}

/// Key data in the clear. Wiped as a whole, where an array would be wiped byte by byte.
struct Clear([[u8; 16]; TOGETHER * DATA_MAX]);

impl Drop for Clear {
    fn drop(&mut self) {
        self.0.as_flattened_mut().zeroize();
    }
}

/// Opens and answers up to [`TOGETHER`] blocks of one LMK whose parts are equally long.
pub(crate) fn open_together(keys: &AesKeys, blocks: &[(Sealed, Rc<AesKeys>)], ops: &mut OpBatch) {
    let Some((first, _)) = blocks.first() else { return };
    let mut parts = [Parts::NONE; TOGETHER];
    for (parts, (block, _)) in parts.iter_mut().zip(blocks) {
        parts.read(block, token_text(ops, block));
    }
    let parts = parts.get(..blocks.len()).unwrap_or_default();
    let mut good = [false; TOGETHER];
    let mut clear = Clear([[0; 16]; TOGETHER * DATA_MAX]);
    let each = first.payload::<16>();
    let opened = macs(keys, first.count::<16>(), parts).and_then(|macs| {
        for ((good, (block, _)), made) in good.iter_mut().zip(blocks).zip(&macs) {
            *good = block.is_proved(token_text(ops, block), made);
        }
        let proved = parts.iter().zip(good).filter(|(_, good)| *good).map(|(parts, _)| parts);
        decrypt(keys, each, proved, &mut clear)
    });
    let mut all = clear.0.chunks(each.max(1));
    for ((block, _), good) in blocks.iter().zip(good) {
        let key = match opened {
            Err(error) => Err(error.into()),
            Ok(()) if !good => Err(BlockFault::Authentication.into()),
            Ok(()) => made::key_of_block(block, all.next().unwrap_or_default().as_flattened()),
        };
        ops.answer_token(block.token, key);
    }
}

#[inline]
fn token_text<'o>(ops: &'o OpBatch, block: &Sealed) -> &'o [u8] {
    ops.token(block.token).map(|token| token.text).unwrap_or_default()
}

#[inline]
fn xor(block: &mut [u8; 16], mask: &[u8; 16]) {
    *block = (u128::from_ne_bytes(*block) ^ u128::from_ne_bytes(*mask)).to_ne_bytes();
}

// Of so many cipher blocks in each.
fn macs(keys: &AesKeys, count: usize, parts: &[Parts<'_>]) -> Result<[[u8; 16]; TOGETHER], CipherError> {
    let mut links = [[0; 16]; TOGETHER];
    for index in 0..count {
        let last = index.saturating_add(1) == count;
        for (link, parts) in links.iter_mut().zip(parts) {
            xor(link, parts.at(index));
            if last {
                xor(link, &keys.subkey);
            }
        }
        let links = links.get_mut(..parts.len()).unwrap_or_default();
        keys.authentication.ecb(Direction::Encrypt, links.as_flattened_mut())?;
    }
    Ok(links)
}

// Decrypts the key data, of `each` cipher blocks, of blocks that are proved, one behind the other.
fn decrypt<'p>(
    keys: &AesKeys,
    each: usize,
    proved: impl Iterator<Item = &'p Parts<'p>> + Clone,
    clear: &mut Clear,
) -> Result<(), CipherError> {
    let mut filled = 0usize;
    for (room, parts) in clear.0.chunks_mut(each.max(1)).zip(proved.clone()) {
        room.iter_mut().zip(&parts.data).for_each(|(room, block)| *room = *block);
        filled = filled.saturating_add(each);
    }
    let all = clear.0.get_mut(..filled).unwrap_or_default();
    keys.encryption.ecb(Direction::Decrypt, all.as_flattened_mut())?;
    for (blocks, parts) in all.chunks_mut(each.max(1)).zip(proved) {
        // The initial value is the first block of the header.
        let before = core::iter::once(parts.at(0)).chain(&parts.data);
        blocks.iter_mut().zip(before).for_each(|(block, before)| xor(block, before));
    }
    Ok(())
}
