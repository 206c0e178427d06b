//! A key changes its protection key: rotation of a zone key, or a move to a newer version.

use crate::block::KeyBlock;
use crate::block_id::BlockId;
use crate::blocks::OptionalBlocks;
use crate::content::{CheckValue, Content};
use crate::error::KeyBlockError;
use crate::header::Header;
use crate::kbpk::Kbpk;
use crate::policy::Policy;
use crate::version::Version;
use crate::wrap::{Masking, wrap};
use paytypes::{Cipher, Random};

/// Opens `block` under `from` and makes it again under `to`, for blocks of `version`. The clear key does not
/// leave this function. Header and optional blocks are kept in their order, but for two: KP, where there is
/// one, names the new protection key, and PB is made new. `policy` judges both ways.
///
/// ```
/// use paytypes::soft::{Soft, SoftKey};
/// use paytypes::{Algorithm, CipherKind, Exportability, KeyUsage, KeyVersion, ModeOfUse, now};
/// use tr31::{Attributes, Header, Kbpk, KeyBlock, Masking, Policy, Version, rewrap, wrap};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut random = |out: &mut [u8]| out.fill(0x5A); // production: the system's or the token's source
/// # let attributes = Attributes { usage: KeyUsage(*b"P0"), algorithm: Algorithm::TDES,
/// #     mode: ModeOfUse::BOTH, key_version: KeyVersion::UNUSED, exportability: Exportability::EXPORTABLE };
/// let text = now(async {
///     let (old, new) = (SoftKey::new(CipherKind::Aes, &[3; 32])?, SoftKey::new(CipherKind::Aes, &[4; 32])?);
///     let from = Kbpk::new(&Soft, &old, Version::D).await?;
///     let to = Kbpk::new(&Soft, &new, Version::D).await?;
///     let (header, policy) = (Header::new(Version::D, attributes), Policy::X9_143_STRICT);
///     let made =
///         wrap(&Soft, &from, &header, b"an example key!!", Masking::Standard, &policy, &mut random).await?;
///     let block = KeyBlock::parse(&made)?;
///     rewrap(&Soft, &block, &from, &to, Version::D, Masking::Standard, &policy, &mut random).await
/// });
/// assert!(text.ok_or("software is ready at once")??.starts_with(b"D0112P0TB00E0000"));
/// # Ok(())
/// # }
/// ```
#[allow(clippy::too_many_arguments)] // two keys, two judgements, one source: each of them is needed
pub async fn rewrap<C: Cipher>(
    cipher: &C,
    block: &KeyBlock<'_>,
    from: &Kbpk<C::Key>,
    to: &Kbpk<C::Key>,
    version: Version,
    masking: Masking,
    policy: &Policy,
    random: &mut (impl Random + ?Sized),
) -> Result<Vec<u8>, KeyBlockError> {
    let key = block.unwrap(cipher, from, policy).await?;
    let header = Header { version, blocks: renamed(&key.header.blocks, to)?, ..key.header.clone() };
    wrap(cipher, to, &header, key.material.expose(), masking, policy, random).await
}

fn renamed<K>(blocks: &OptionalBlocks<'_>, to: &Kbpk<K>) -> Result<OptionalBlocks<'static>, KeyBlockError> {
    let mut kept = OptionalBlocks::none();
    for block in blocks.iter().filter(|block| block.id != BlockId::PB) {
        match (block.id, CheckValue::decode(block.data)) {
            (BlockId::KP, Some(old)) => {
                let value = CheckValue::new(old.method(), to.check_value(old.method()));
                kept.push_content(&Content::KbpkCheck(value))?;
            }
            _ => kept.push(block.id, block.data)?,
        }
    }
    Ok(kept)
}
