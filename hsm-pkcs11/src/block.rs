//! `S` blocks under an LMK of the token: authenticated and decrypted by its objects. The clear key is in this
//! process's memory for a moment, since no token unwraps these blocks.

use crate::fault::block_fault;
use crate::link::Link;
use crate::lmk::{Pair, TokenLmk};
use crate::mac::{CmacKey, chain, cmac};
use hsm::{BlockAttributes, BlockFault, HsmError, KeyToken, LmkId, Scheme};
use paytypes::{
    Algorithm, Cipher, CipherError, CipherKind, ClearKey, Direction, KeyShape, MacAlgorithm, MacValue, now,
};
use std::cell::RefCell;
use tr31::sblock::{self, SBlock, SHeader, SKeys, SVersion};
use tr31::{Attributes, KeyBlockError, OptionalBlocks};

// The formulas of key blocks over the objects of an LMK; every call is ready at once.
struct OverToken<'l>(RefCell<&'l mut Link>);

#[derive(Clone, Copy)]
enum BlockKey {
    Kbek(KeyShape, Pair),
    Kbak(KeyShape, CmacKey),
}

impl Cipher for OverToken<'_> {
    type Key = BlockKey;

    fn shape(&self, key: &BlockKey) -> KeyShape {
        match key {
            BlockKey::Kbek(shape, _) | BlockKey::Kbak(shape, _) => *shape,
        }
    }

    async fn load(&self, _: CipherKind, _: &[u8]) -> Result<BlockKey, CipherError> {
        Err(CipherError::Unsupported)
    }

    async fn variant(&self, _: &BlockKey, _: &[u8]) -> Result<BlockKey, CipherError> {
        Err(CipherError::Unsupported)
    }

    async fn ecb(&self, _: &BlockKey, _: Direction, _: &mut [u8]) -> Result<(), CipherError> {
        Err(CipherError::Unsupported)
    }

    async fn cbc(
        &self,
        key: &BlockKey,
        way: Direction,
        iv: &[u8],
        data: &mut [u8],
    ) -> Result<(), CipherError> {
        let BlockKey::Kbek(shape, pair) = key else { return Err(CipherError::Unsupported) };
        self.0.borrow_mut().cbc(way, shape.kind, pair.of(way), iv, data).map_err(|_| CipherError::Backend)
    }

    async fn mac(
        &self,
        key: &BlockKey,
        algorithm: MacAlgorithm,
        iv: &[u8],
        data: &[u8],
    ) -> Result<MacValue, CipherError> {
        let link = &mut **self.0.borrow_mut();
        let made = match (key, algorithm) {
            (BlockKey::Kbak(shape, key), MacAlgorithm::Cmac) => cmac(link, shape.kind, *key, iv, data),
            (BlockKey::Kbak(shape, CmacKey::Encrypt(key)), MacAlgorithm::Iso1) => {
                chain(link, shape.kind, *key, iv, data)
            }
            _ => return Err(CipherError::Unsupported),
        };
        made.map_err(|_| CipherError::Backend)
    }
}

fn keys_of(lmk: &TokenLmk) -> SKeys<BlockKey> {
    let (version, length) = match lmk.kind {
        CipherKind::Aes => (SVersion::Aes, 32),
        _ => (SVersion::Tdes, 24),
    };
    let shape = KeyShape { kind: lmk.kind, length };
    SKeys::from_parts(version, BlockKey::Kbek(shape, lmk.kbek), BlockKey::Kbak(shape, lmk.kbak))
}

// The token answers at once, so a future of these formulas is ready at its first poll.
fn ready<T>(future: impl Future<Output = Result<T, KeyBlockError>>) -> Result<T, HsmError> {
    now(future).unwrap_or(Err(KeyBlockError::from(CipherError::Backend))).map_err(block_fault)
}

/// What a block holds.
pub(crate) struct Opened {
    pub(crate) clear: ClearKey,
    pub(crate) kind: CipherKind,
    pub(crate) attributes: BlockAttributes,
}

/// Opens a block (text without tag) under an LMK.
pub(crate) fn open(link: &mut Link, lmk: &TokenLmk, text: &[u8]) -> Result<Opened, HsmError> {
    let block = SBlock::parse(text).map_err(block_fault)?;
    let header = block.header();
    let keys = keys_of(lmk);
    if header.version != keys.version() {
        return Err(BlockFault::Authentication.into());
    }
    if header.lmk.index() != Some(lmk.info.id.0) {
        return Err(BlockFault::LmkId.into());
    }
    let a = header.attributes;
    let clear = ready(sblock::open(&OverToken(RefCell::new(link)), &keys, &block))?;
    let kind = cipher_of(a.algorithm, clear.len())?;
    let attributes = BlockAttributes {
        usage: a.usage,
        mode: a.mode,
        version: a.key_version,
        exportability: a.exportability,
    };
    Ok(Opened { clear, kind, attributes })
}

/// What is to be in a block beside the key.
pub(crate) struct Form<'a> {
    pub(crate) attributes: &'a BlockAttributes,
    pub(crate) optional_count: u8,
    pub(crate) optional: &'a [u8],
}

/// Makes a block of a clear key under an LMK.
pub(crate) fn seal(
    link: &mut Link,
    lmk: &TokenLmk,
    kind: CipherKind,
    clear: &ClearKey,
    form: &Form<'_>,
) -> Result<KeyToken, HsmError> {
    let keys = keys_of(lmk);
    let attributes = Attributes {
        usage: form.attributes.usage,
        algorithm: kind.algorithm(),
        mode: form.attributes.mode,
        key_version: form.attributes.version,
        exportability: form.attributes.exportability,
    };
    // Alignment 1: padding to the cipher block is added when the block is made.
    let blocks = OptionalBlocks::parse(form.optional, form.optional_count, 1).map_err(block_fault)?;
    let id = lmk_id(lmk.info.id)?;
    let header = SHeader { blocks, ..SHeader::new(keys.version(), attributes, id) };
    header.check_blocks().map_err(block_fault)?;
    let mut pad = [0; 64];
    link.random(&mut pad)?;
    let mut text = Vec::with_capacity(128);
    let mut drawn = paytypes::Drawn::new(&pad);
    {
        let cipher = OverToken(RefCell::new(&mut *link));
        ready(sblock::seal(&cipher, &keys, &header, clear.expose(), &mut drawn, &mut text))?;
    }
    // A block that does not open again would be a lost key.
    let opened = open(link, lmk, &text);
    if !opened.is_ok_and(|opened| opened.kind == kind && opened.clear.same_as(clear)) {
        return Err(HsmError::Backend);
    }
    Ok(KeyToken::new(Scheme::S, &text))
}

fn lmk_id(id: LmkId) -> Result<sblock::LmkId, HsmError> {
    sblock::LmkId::new(id.0).ok_or(HsmError::NoSuchLmk)
}

fn cipher_of(algorithm: Algorithm, length: usize) -> Result<CipherKind, HsmError> {
    CipherKind::of_block(algorithm, length).ok_or_else(|| BlockFault::Algorithm.into())
}
