//! Making an `S` block.

use crate::block::check_length;
use crate::blocks::OptionalBlocks;
use crate::error::{ErrorKind, KeyBlockError, field};
use crate::sblock::header::SHeader;
use crate::sblock::open::SKeys;
use crate::wrap::Draft;
use paytypes::{Cipher, Random};

fn draft<'a>(header: &'a SHeader<'_>, blocks: &'a OptionalBlocks<'_>) -> Draft<'a> {
    Draft {
        version: header.version.letter(),
        scheme: header.version.scheme(),
        attributes: &header.attributes,
        tail: header.lmk.0,
        blocks,
    }
}

/// Length in characters of the block that [`seal`] would make, without the tag.
pub fn sealed_length(header: &SHeader<'_>, key_length: usize) -> Result<usize, KeyBlockError> {
    let blocks = header.blocks.aligned(header.version.kind().block_length())?;
    Ok(draft(header, &blocks).lengths(key_length)?.0)
}

/// Appends the block of `clear` to `out`, without the tag. Optional blocks are kept, PB is added or made new
/// where they do not end at a cipher block; `random` fills key data up to a cipher block, as physical units
/// do: the key's length shows. Refuses a header of the other version and a length that does not fit the
/// algorithm; `out` is unchanged then.
pub async fn seal<C: Cipher>(
    cipher: &C,
    keys: &SKeys<C::Key>,
    header: &SHeader<'_>,
    clear: &[u8],
    random: &mut (impl Random + ?Sized),
    out: &mut Vec<u8>,
) -> Result<(), KeyBlockError> {
    if keys.version != header.version {
        return Err(KeyBlockError::new(ErrorKind::KbpkAlgorithm, field::KBPK, 0));
    }
    check_length(header.attributes.algorithm, clear.len())?;
    let blocks = header.blocks.aligned(header.version.kind().block_length())?;
    draft(header, &blocks).seal(cipher, &keys.keys, clear, clear.len(), random, out).await
}
