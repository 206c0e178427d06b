//! Wrapping a key for another unit.

use super::block_code;
use super::blocks;
use super::parts;
use crate::command::Activity;
use crate::service::attributes::{self, Header};
use crate::service::key_types;
use crate::service::seal::allow_single;
use crate::wire::{BlockVersion, ExportGroup};
use crate::{Code, Cx};
use hsm::{Binding, Key, KeyToken, KeyType, Scheme, join};
use paytypes::{CipherKind, Direction, Drawn, Exportability, hex};
use tr31::sblock::{self, SBlock, SHeader, SKeys};
use tr31::{Kbpk, Masking, Policy, Version, strength_of};

/// In which form a key leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Part by part.
    Parts(Scheme),
    /// `S` block.
    Own,
    /// TR-31 block; without a version the exchange key decides: B under TDES, D under AES.
    Tr31(Option<Version>),
}

impl Form {
    /// From the key scheme field and the `!` group. Judges at once what the listener and the state of the
    /// unit allow: versions A and C are never made (security.md 2 row 13), and E only by others.
    pub fn read(cx: &Cx, letter: [u8; 1], version: &BlockVersion) -> Result<Self, Code> {
        let [letter] = letter;
        let scheme = Scheme::from_tag(letter).ok_or(Code::SCHEME)?;
        if version.present && scheme != Scheme::R {
            return Err(Code::INPUT);
        }
        match scheme {
            Scheme::S => Ok(Self::Own),
            Scheme::R => Ok(Self::Tr31(wanted_version(version)?)),
            scheme => Self::parts(cx, scheme),
        }
    }

    /// A form without a block.
    pub fn parts(cx: &Cx, scheme: Scheme) -> Result<Self, Code> {
        allow_single(cx, scheme)?;
        if matches!(scheme, Scheme::X | Scheme::Y) && !cx.settings().x_export {
            return Err(Code::NOT_PERMITTED);
        }
        cx.require(Activity::WeakExport)?;
        Ok(Self::Parts(scheme))
    }

    /// True for a key block, which tells the use of the key.
    pub const fn is_block(self) -> bool {
        !matches!(self, Self::Parts(_))
    }

    /// AA unless the exportability lets the key leave in this form.
    pub fn permits(self, exportability: Exportability) -> Result<(), Code> {
        if tr31::attributes::may_leave(exportability, self.is_block()) {
            Ok(())
        } else {
            Err(Code::EXPORTABILITY)
        }
    }
}

fn wanted_version(group: &BlockVersion) -> Result<Option<Version>, Code> {
    let [letter] = group.letter;
    if !group.present {
        return Ok(None);
    }
    match Version::from_letter(letter).ok_or(Code::BLOCK_FORMAT)? {
        version @ (Version::B | Version::D) => Ok(Some(version)),
        _ => Err(Code::NOT_PERMITTED),
    }
}

/// Header of the block that leaves, for a key under a key-block LMK: as the key's own, whose exportability
/// the `&` group may only restrict. Judges whether the key may leave at all. `None` for a form without one.
pub fn header_of_token(
    form: Form,
    key: &Key,
    token: &KeyToken,
    group: &ExportGroup,
) -> Result<Option<Header>, Code> {
    let Binding::Block(own) = key.attributes().binding else { return Err(Code::LMK_SCHEMES_DIFFER) };
    form.permits(own.exportability)?;
    if !form.is_block() {
        return no_group(group);
    }
    let block = SBlock::parse(token.text()).map_err(block_code)?;
    let optional = blocks::to_field(&blocks::carried(&block.header().blocks)?);
    restricted(Header { attributes: own, optional }, group).map(Some)
}

/// The same for a key that the command makes, from the header of its block.
pub fn header_of_new(form: Form, header: &Header, group: &ExportGroup) -> Result<Option<Header>, Code> {
    form.permits(header.attributes.exportability)?;
    if form.is_block() { restricted(header.clone(), group).map(Some) } else { no_group(group) }
}

fn restricted(header: Header, group: &ExportGroup) -> Result<Header, Code> {
    let Header { mut attributes, optional } = header;
    if group.present {
        if group.full {
            return Err(Code::INPUT);
        }
        let [letter] = group.exportability;
        attributes::restrict_exportability(attributes.exportability, Exportability(letter))?;
        attributes.exportability = Exportability(letter);
    }
    Ok(Header { attributes, optional })
}

/// Header of the block that leaves, for a key of a type under a variant LMK: the `&` group says all of it,
/// and its usage must say the same as the type.
pub fn header_of_variant(
    form: Form,
    key_type: KeyType,
    kind: CipherKind,
    group: &ExportGroup,
) -> Result<Option<Header>, Code> {
    if !form.is_block() {
        return no_group(group);
    }
    if !group.full {
        return Err(Code::INPUT);
    }
    let attributes = attributes::from_text(group.usage, group.mode, group.version, group.exportability)?;
    if !key_types::agree(key_type, attributes.usage) {
        return Err(Code::BLOCK_USAGE);
    }
    attributes::judge(&attributes, kind)?;
    Ok(Some(Header { attributes, optional: group.optional.clone() }))
}

fn no_group(group: &ExportGroup) -> Result<Option<Header>, Code> {
    if group.present { Err(Code::INPUT) } else { Ok(None) }
}

/// Wraps `key` under `master`, which must be at least as strong (BB). `header` is there for a key block.
pub async fn wrap(
    cx: &Cx,
    master: &Key,
    key: &Key,
    form: Form,
    header: Option<&Header>,
) -> Result<KeyToken, Code> {
    if strength_of(key.attributes().shape) > strength_of(master.attributes().shape) {
        return Err(Code::WRAPPING_KEY);
    }
    match (form, header) {
        (Form::Parts(scheme), _) => wrap_parts(cx, master, key, scheme).await,
        (Form::Own, Some(header)) => wrap_own(cx, master, key, header).await,
        (Form::Tr31(version), Some(header)) => wrap_tr31(cx, master, key, version, header).await,
        (_, None) => Err(Code::INTERNAL),
    }
}

async fn wrap_parts(cx: &Cx, master: &Key, key: &Key, scheme: Scheme) -> Result<KeyToken, Code> {
    let mut clear = cx.hsm.reveal(key).await?;
    if scheme.key_length() != Some(clear.len()) {
        return Err(Code::SCHEME);
    }
    parts::apply(cx, master, scheme, Direction::Encrypt, clear.expose_mut()).await?;
    Ok(KeyToken::new(scheme, hex::encode(clear.expose()).as_bytes()))
}

// Enough for two cipher blocks of padding, in whatever block.
async fn padding(cx: &Cx) -> Result<[u8; 32], Code> {
    let mut bytes = [0; 32];
    cx.hsm.random(&mut bytes).await?;
    Ok(bytes)
}

async fn wrap_own(cx: &Cx, master: &Key, key: &Key, header: &Header) -> Result<KeyToken, Code> {
    let (keys, (clear, pad)) = join(SKeys::new(&cx.hsm, master), join(cx.hsm.reveal(key), padding(cx))).await;
    let (keys, clear, pad) = (keys.map_err(block_code)?, clear?, pad?);
    let own = &header.attributes;
    let all = attributes::whole(own, own.usage, key.attributes().shape.kind);
    let blocks = blocks::parse(&header.optional)?;
    let header = SHeader { blocks, ..SHeader::new(keys.version(), all, sblock::LmkId::EXCHANGE) };
    header.check_blocks().map_err(block_code)?;
    let mut text = Vec::new();
    sblock::seal(&cx.hsm, &keys, &header, clear.expose(), &mut Drawn::new(&pad), &mut text)
        .await
        .map_err(block_code)?;
    Ok(KeyToken::new(Scheme::S, &text))
}

async fn wrap_tr31(
    cx: &Cx,
    master: &Key,
    key: &Key,
    version: Option<Version>,
    header: &Header,
) -> Result<KeyToken, Code> {
    let shape = key.attributes().shape;
    let natural = if master.attributes().shape.kind == CipherKind::Aes { Version::D } else { Version::B };
    let version = version.unwrap_or(natural);
    let usage = sblock::x9143_usage(header.attributes.usage).ok_or(Code::BLOCK_USAGE)?;
    let all = attributes::whole(&header.attributes, usage, shape.kind);
    let optional = blocks::for_exchange(&header.optional)?;
    let head = tr31::Header { blocks: optional, ..tr31::Header::new(version, all) };
    let (kbpk, (clear, pad)) =
        join(Kbpk::new(&cx.hsm, master, version), join(cx.hsm.reveal(key), padding(cx))).await;
    let (kbpk, clear, pad) = (kbpk.map_err(block_code)?, clear?, pad?);
    let single_des = cx.settings().single_des;
    let policy = Policy { single_des, weak_keys: !single_des, ..Policy::X9_143_STRICT };
    // The key's length is hidden, as X9.143 asks (ANSI X9.143: masked by default).
    let (masking, mut pad) = (Masking::Standard, Drawn::new(&pad));
    let text = tr31::wrap(&cx.hsm, &kbpk, &head, clear.expose(), masking, &policy, &mut pad);
    Ok(KeyToken::new(Scheme::R, &text.await.map_err(block_code)?))
}
