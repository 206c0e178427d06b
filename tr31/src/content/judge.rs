//! Which optional blocks a policy accepts: the form of each standard one, and the ones that go with the
//! algorithm of the key. A proprietary block is the owner's.

use super::Content;
use crate::block_id::BlockId;
use crate::blocks::{OptionalBlock, OptionalBlocks};
use crate::error::{ErrorKind, KeyBlockError};
use paytypes::Algorithm;

/// Judges all blocks of a header that is 16 characters long before them. `hash` asks for HM with an HMAC
/// key.
pub(crate) fn judge(
    blocks: &OptionalBlocks<'_>,
    algorithm: Algorithm,
    hash: bool,
) -> Result<(), KeyBlockError> {
    for block in blocks.iter() {
        let refuse = |reason| Err(refusal(&block).because(reason));
        block.content()?;
        let hmac = matches!(algorithm.0, b'H' | b'I' | b'J');
        match (block.id, algorithm) {
            (BlockId::KS, Algorithm::AES) => return refuse("KS is for TDES DUKPT; an AES key has IK or BI"),
            (BlockId::IK, Algorithm::TDES) => return refuse("IK is for AES DUKPT; a TDES key has KS"),
            (BlockId::HM, _) if !hmac => return refuse("HM is for HMAC keys"),
            _ => {}
        }
    }
    if hash && algorithm == Algorithm::HMAC && blocks.get(BlockId::HM).is_none() {
        return Err(KeyBlockError::new(ErrorKind::OptData, BlockId::HM.name(), 16)
            .because("an HMAC key names its hash in HM"));
    }
    Ok(())
}

fn refusal(block: &OptionalBlock<'_>) -> KeyBlockError {
    KeyBlockError::new(ErrorKind::OptData, block.id.name(), block.offset.saturating_add(16))
}

impl<'a> OptionalBlock<'a> {
    /// What the block holds. [`ErrorKind::OptData`] when it has not the form that its id asks for.
    pub fn content(&self) -> Result<Content<'a>, KeyBlockError> {
        Content::decode(self.id, self.data).ok_or(refusal(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_go_with_their_algorithm() {
        let mut blocks = OptionalBlocks::none();
        blocks.push(BlockId::KS, b"00604B120F9292800000").unwrap();
        assert!(judge(&blocks, Algorithm::TDES, true).is_ok());
        assert_eq!(judge(&blocks, Algorithm::AES, true).unwrap_err().field, "KS");
        let mut blocks = OptionalBlocks::none();
        blocks.push(BlockId::IK, b"0123456789ABCDEF").unwrap();
        assert!(judge(&blocks, Algorithm::AES, true).is_ok());
        assert_eq!(judge(&blocks, Algorithm::TDES, true).unwrap_err().field, "IK");
        let mut blocks = OptionalBlocks::none();
        blocks.push(BlockId::HM, b"21").unwrap();
        assert!(judge(&blocks, Algorithm::HMAC, true).is_ok());
        assert_eq!(judge(&blocks, Algorithm::AES, true).unwrap_err().field, "HM");
        assert!(judge(&OptionalBlocks::none(), Algorithm::HMAC, true).is_err());
        assert!(judge(&OptionalBlocks::none(), Algorithm::HMAC, false).is_ok());
    }
}
