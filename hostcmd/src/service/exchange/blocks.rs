//! Optional blocks of a key on its way from one kind of block to another.

use crate::Code;
use crate::service::exchange::block_code;
use crate::wire::{Number, OptionalBlocks};
use tr31::BlockId;

/// Blocks that speak of the wrapping, not of the key: check values of key and protection key, padding.
const OF_THE_WRAPPING: [BlockId; 4] = [BlockId::KC, BlockId::KP, BlockId::PK, BlockId::PB];

/// What goes on with the key.
pub(super) fn carried(blocks: &tr31::OptionalBlocks<'_>) -> Result<tr31::OptionalBlocks<'static>, Code> {
    let mut kept = tr31::OptionalBlocks::none();
    for block in blocks.iter().filter(|block| !OF_THE_WRAPPING.contains(&block.id)) {
        kept.push(block.id, block.data).map_err(block_code)?;
    }
    Ok(kept)
}

/// As [`carried`], for a block of X9.143: blocks with numeric ids are the unit's own and stay at home.
pub(super) fn for_exchange(field: &OptionalBlocks) -> Result<tr31::OptionalBlocks<'static>, Code> {
    let mut kept = tr31::OptionalBlocks::none();
    for block in parse(field)?.iter() {
        let own = block.id.0.iter().all(u8::is_ascii_digit);
        if !own && !OF_THE_WRAPPING.contains(&block.id) {
            kept.push(block.id, block.data).map_err(block_code)?;
        }
    }
    Ok(kept)
}

/// As they stand in a command. The number of blocks was walked, so nothing is left over. Refuses what no header
/// holds: a bad id or length (AC), a repeated block (BC).
pub fn parse(field: &OptionalBlocks) -> Result<tr31::OptionalBlocks<'_>, Code> {
    let count = u8::try_from(field.count.0).map_err(|_| Code::OPTIONAL_COUNT)?;
    // Alignment 1: padding to the cipher block is added when a block is made.
    tr31::OptionalBlocks::parse(&field.text, count, 1).map_err(block_code)
}

pub(super) fn to_field(blocks: &tr31::OptionalBlocks<'_>) -> OptionalBlocks {
    OptionalBlocks { count: Number(blocks.count().into()), text: blocks.text().to_vec() }
}
