//! Unwrapping a key that another unit sent.

use super::block_code;
use super::blocks;
use super::parts;
use crate::service::attributes::Header;
use crate::service::key_types::has_parity;
use crate::service::keys::{self, Place};
use crate::service::seal::allow_single;
use crate::{Code, Cx};
use hsm::{BlockAttributes, Hygiene, Key, KeyToken, KeyType, Scheme};
use paytypes::parity::{is_odd, make_odd};
use paytypes::{Algorithm, Cipher, CipherKind, ClearKey, Direction, hex};
use tr31::sblock::{self, SBlock, SKeys};
use tr31::{Attributes, Kbpk, KeyBlock, Policy, Version, Versions, strength_of};

/// A key that came in.
#[derive(Debug)]
pub struct Imported {
    /// The key, judged.
    pub key: Key,
    /// What its block said; `None` for a form without one.
    pub header: Option<Header>,
    /// Its parity was not odd and was forced: the host gets advice code 01 with the body.
    pub forced: bool,
}

/// Unwraps and judges: the exchange key is at least as strong (BB), and the key is not weak or zero (11), not
/// a shorter one in disguise (75), not of single length where that is refused (27). `parity`: the key is one
/// that has odd parity. A block is authentic, so its parity is judged; what came without one may have been
/// sent with any, so its parity is forced.
pub async fn unwrap(cx: &Cx, master: &Key, token: &KeyToken, parity: bool) -> Result<Imported, Code> {
    allow_single(cx, token.scheme)?;
    let (mut clear, kind, header) = match token.scheme {
        Scheme::S => unwrap_own(cx, master, token).await?,
        Scheme::R => unwrap_tr31(cx, master, token).await?,
        _ => unwrap_parts(cx, master, token).await?,
    };
    let usage = header.as_ref().map(|header| header.attributes.usage);
    let parity = parity && kind != CipherKind::Aes && has_parity(KeyType::FROM_BLOCK, usage);
    let forced = parity && header.is_none() && !is_odd(clear.expose());
    if forced {
        make_odd(clear.expose_mut());
    }
    if clear.expose().iter().fold(0, |all, byte| all | byte) == 0 {
        return Err(Code::DESTINATION_PARITY);
    }
    let key = cx.hsm.load(kind, clear.expose()).await?;
    let found = key.attributes();
    if strength_of(found.shape) > strength_of(master.attributes().shape) {
        return Err(Code::WRAPPING_KEY);
    }
    if kind == CipherKind::Des {
        allow_single(cx, Scheme::Single)?;
    }
    let hygiene = Hygiene { odd_parity: found.hygiene.odd_parity || !parity, ..found.hygiene };
    keys::judge_hygiene(&hygiene, cx, Place::Destination)?;
    Ok(Imported { key, header, forced })
}

type Opened = (ClearKey, CipherKind, Option<Header>);

async fn unwrap_parts(cx: &Cx, master: &Key, token: &KeyToken) -> Result<Opened, Code> {
    let length = token.scheme.key_length().ok_or(Code::SCHEME)?;
    if length > 24 || token.text().len() != length.saturating_mul(2) {
        return Err(Code::INPUT);
    }
    let cryptogram = hex::decode_vec(token.text()).map_err(|_| Code::INPUT)?;
    let mut key = ClearKey::new(&cryptogram).map_err(|_| Code::KEY_LENGTH)?;
    parts::apply(cx, master, token.scheme, Direction::Decrypt, key.expose_mut()).await?;
    let kind = if length == 8 { CipherKind::Des } else { CipherKind::Tdes };
    Ok((key, kind, None))
}

async fn unwrap_own(cx: &Cx, master: &Key, token: &KeyToken) -> Result<Opened, Code> {
    let block = SBlock::parse(token.text()).map_err(block_code)?;
    let head = block.header();
    if head.lmk != sblock::LmkId::EXCHANGE {
        return Err(Code::BLOCK_LMK_ID);
    }
    let keys = SKeys::new(&cx.hsm, master).await.map_err(block_code)?;
    let key = sblock::open(&cx.hsm, &keys, &block).await.map_err(block_code)?;
    let kind = cipher_of(head.attributes.algorithm, key.len())?;
    Ok((key, kind, Some(header(&head.attributes, &head.blocks)?)))
}

async fn unwrap_tr31(cx: &Cx, master: &Key, token: &KeyToken) -> Result<Opened, Code> {
    let block = KeyBlock::parse(token.text()).map_err(block_code)?;
    let head = block.header();
    let algorithm = head.attributes.algorithm;
    if !matches!(algorithm, Algorithm::AES | Algorithm::TDES | Algorithm::DES) {
        return Err(Code::BLOCK_ALGORITHM);
    }
    let kbpk = Kbpk::new(&cx.hsm, master, head.version).await.map_err(block_code)?;
    let opened = block.unwrap(&cx.hsm, &kbpk, &policy(cx)).await.map_err(block_code)?;
    let key = ClearKey::new(opened.material.expose()).map_err(|_| Code::BLOCK_ALGORITHM)?;
    let kind = cipher_of(algorithm, key.len())?;
    Ok((key, kind, Some(header(&opened.header.attributes, &opened.header.blocks)?)))
}

// Versions A and C can be forged with 2^32 tries and are taken where the other weak exchange form is: in
// the legacy profile (security.md 2 row 13). Context `1` says that a block is for storage only. Weak keys are
// judged with those of other forms.
fn policy(cx: &Cx) -> Policy {
    let old = cx.settings().x_export;
    let import = if old { Versions::ALL } else { Versions::of(&[Version::B, Version::D, Version::E]) };
    let single_des = cx.settings().single_des;
    Policy {
        import,
        contexts: b"02",
        proprietary: true,
        weak_keys: false,
        single_des,
        ..Policy::X9_143_STRICT
    }
}

fn header(attributes: &Attributes, optional: &tr31::OptionalBlocks<'_>) -> Result<Header, Code> {
    let Attributes { usage, mode, key_version: version, exportability, .. } = *attributes;
    let optional = blocks::to_field(&blocks::carried(optional)?);
    Ok(Header { attributes: BlockAttributes { usage, mode, version, exportability }, optional })
}

// A partner may name any DES key `D`.
fn cipher_of(algorithm: Algorithm, length: usize) -> Result<CipherKind, Code> {
    let algorithm = if algorithm == Algorithm::DES { Algorithm::TDES } else { algorithm };
    CipherKind::of_block(algorithm, length).ok_or(Code::BLOCK_ALGORITHM)
}
