//! Keys under a key-block LMK: `S` blocks of version 0 (3DES) and 1 (AES).

use crate::material::Material;
use crate::random::RandomSource;
use crate::sealed::{LaneKeys, PAYLOAD_MAX, Sealed};
use crate::together::AesKeys;
use hsm::{BlockAttributes, BlockFault, HsmError, KeyToken, LmkId, LmkPurpose, Scheme};
use paytypes::soft::{Soft, SoftKey};
use paytypes::{Algorithm, CipherKind, ClearKey, now};
use std::rc::Rc;
use tr31::sblock::{self, SBlock, SHeader, SKeys, SVersion};
use tr31::{Attributes, ErrorKind, KeyBlockError, OptionalBlocks, field};

/// A loaded key-block LMK: what is derived from it once, and the LMK for the rest.
#[derive(Debug)]
pub(crate) struct BlockLmk {
    id: LmkId,
    keys: SKeys<SoftKey>,
    pub(crate) many: ForMany,
    clear: SoftKey,
}

/// The derived keys for many blocks side by side, by the version of the blocks.
#[derive(Debug)]
pub(crate) enum ForMany {
    Tdes(Rc<LaneKeys>),
    Aes(Rc<AesKeys>),
}

/// A key that came out of a block: the cipher that it is for, and its header fields.
pub(crate) type FromBlock = (ClearKey, CipherKind, BlockAttributes);

impl BlockLmk {
    pub(crate) fn new(id: LmkId, kind: CipherKind, clear: &[u8]) -> Result<Self, HsmError> {
        let clear = SoftKey::new(kind, clear)?;
        let keys = ready(SKeys::new(&Soft, &clear))?;
        let version = keys.version();
        let (encryption, authentication) = keys.into_parts();
        let many = match version {
            SVersion::Tdes => ForMany::Tdes(Rc::new(LaneKeys::new(&encryption, &authentication)?)),
            SVersion::Aes => ForMany::Aes(Rc::new(AesKeys::new(&encryption, &authentication)?)),
        };
        Ok(Self { id, keys: SKeys::from_parts(version, encryption, authentication), many, clear })
    }

    fn parse<'t>(&self, text: &'t [u8]) -> Result<SBlock<'t>, HsmError> {
        let block = SBlock::parse(text).map_err(fault)?;
        let header = block.header();
        if header.version != self.keys.version() {
            return Err(BlockFault::Authentication.into());
        }
        if header.lmk.index() != Some(self.id.0) {
            return Err(BlockFault::LmkId.into());
        }
        Ok(block)
    }

    /// Looks at the block of a token that is to be opened beside others; `None` when it is too long for that and
    /// must be opened alone.
    pub(crate) fn look(&self, token: usize, text: &[u8]) -> Result<Option<Sealed>, HsmError> {
        let block = self.parse(text)?;
        let (cut, of) = (block.cut(), block.header().attributes);
        let fits = cut.payload >> 1 <= PAYLOAD_MAX;
        let optional = block.header().check_blocks().map_err(fault);
        Ok(fits.then_some(Sealed {
            token,
            cut,
            algorithm: of.algorithm,
            attributes: attributes(&of),
            optional,
        }))
    }

    /// Opens a block alone.
    pub(crate) fn open(&self, text: &[u8]) -> Result<FromBlock, HsmError> {
        let block = self.parse(text)?;
        let of = block.header().attributes;
        let clear = ready(sblock::open(&Soft, &self.keys, &block))?;
        let kind = cipher_of(of.algorithm, clear.len())?;
        Ok((clear, kind, attributes(&of)))
    }

    /// Makes a block under this LMK.
    pub(crate) fn seal(
        &self,
        key: Material<'_>,
        attributes: &BlockAttributes,
        optional_count: u8,
        optional: &[u8],
        random: &mut RandomSource,
    ) -> Result<KeyToken, HsmError> {
        let version = self.keys.version();
        let attributes = Attributes {
            usage: attributes.usage,
            algorithm: key.shape().kind.algorithm(),
            mode: attributes.mode,
            key_version: attributes.version,
            exportability: attributes.exportability,
        };
        // Alignment 1: padding to the cipher block is added when the block is made.
        let blocks = OptionalBlocks::parse(optional, optional_count, 1).map_err(fault)?;
        let lmk = sblock::LmkId::new(self.id.0).ok_or(HsmError::NoSuchLmk)?;
        let header = SHeader { blocks, ..SHeader::new(version, attributes, lmk) };
        header.check_blocks().map_err(fault)?;
        let clear = key.expose()?;
        let mut pad = [0; 64];
        random.fill(&mut pad)?;
        let mut text = Vec::with_capacity(128);
        let mut drawn = paytypes::Drawn::new(&pad);
        ready(sblock::seal(&Soft, &self.keys, &header, clear.expose(), &mut drawn, &mut text))?;
        Ok(KeyToken::new(Scheme::S, &text))
    }

    /// A key of the LMK for other things than keys.
    pub(crate) fn working_key(&self, purpose: LmkPurpose) -> Result<(CipherKind, ClearKey), HsmError> {
        let made = now(hsm::lmk_working_key(&Soft, &self.clear, purpose));
        let key = made.unwrap_or(Err(paytypes::CipherError::Backend))?;
        Ok((key.shape().kind, key.expose().duplicate()))
    }
}

/// The key inside the key data of a block that was opened beside others, and the cipher that it is for.
pub(crate) fn key_inside<'d>(sealed: &Sealed, data: &'d [u8]) -> Result<(&'d [u8], CipherKind), HsmError> {
    let data = data.get(..sealed.cut.payload >> 1).unwrap_or_default();
    let key = sblock::key_inside(sealed.algorithm, data).map_err(fault)?;
    sealed.optional?;
    Ok((key, cipher_of(sealed.algorithm, key.len())?))
}

fn attributes(of: &Attributes) -> BlockAttributes {
    let Attributes { usage, mode, key_version: version, exportability, .. } = *of;
    BlockAttributes { usage, mode, version, exportability }
}

// Software ciphers are ready at the first poll.
fn ready<T>(future: impl Future<Output = Result<T, KeyBlockError>>) -> Result<T, HsmError> {
    now(future).unwrap_or(Err(KeyBlockError::from(paytypes::CipherError::Backend))).map_err(fault)
}

fn cipher_of(algorithm: Algorithm, length: usize) -> Result<CipherKind, HsmError> {
    CipherKind::of_block(algorithm, length).ok_or_else(|| BlockFault::Algorithm.into())
}

/// What a host may know of a key block's fault.
fn fault(error: KeyBlockError) -> HsmError {
    use ErrorKind as Kind;
    HsmError::Block(match error.kind {
        Kind::HeaderField => match error.field {
            field::USAGE => BlockFault::Usage,
            field::ALGORITHM => BlockFault::Algorithm,
            field::MODE => BlockFault::Mode,
            field::KEY_VERSION => BlockFault::Version,
            field::EXPORTABILITY => BlockFault::Exportability,
            field::LMK => BlockFault::LmkId,
            _ => BlockFault::Format,
        },
        Kind::TooShort | Kind::LengthField | Kind::PayloadLength => BlockFault::Length,
        Kind::OptCount => BlockFault::OptionalCount,
        Kind::OptId | Kind::OptLength | Kind::OptDuplicate | Kind::OptPadding => BlockFault::OptionalHeader,
        Kind::OptData => match error.field {
            field::STATUS => BlockFault::Status,
            field::START => BlockFault::StartDate,
            field::END => BlockFault::EndDate,
            _ => BlockFault::OptionalData,
        },
        // A character that is no hex digit is one more way to alter a block, not another class of fault.
        Kind::MacMismatch | Kind::PayloadEncoding => BlockFault::Authentication,
        Kind::KeyLength => BlockFault::Algorithm,
        Kind::Backend => return HsmError::Backend,
        _ => BlockFault::Format,
    })
}
