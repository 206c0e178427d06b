//! The old commands that name one kind of key each: generation, import and export under a variant LMK, with
//! the `;` group. A key-block LMK has A0, A6 and A8 instead: these commands answer A1 there.
//!
//! A check value has 16 digits unless the group asks for 6, as on old units. Sixteen digits tell more of a key
//! than 6, so they need the authorised state here as everywhere (ARCHITECTURE.md, roles and states).

use crate::command::{Activity, Done};
use crate::service::exchange::{self, Form, Imported, Master, open_master};
use crate::service::keys::{Place, Use};
use crate::service::seal::{LmkForm, allow_single, lmk_scheme, natural_scheme, open_any, seal};
use crate::wire::{AtallaVariant, CheckValue, LegacyGroup, Message, Step, Untagged, Wire};
use crate::{Code, Cx};
use hsm::{Key, KeyToken, KeyType, Scheme, join};
use paytypes::{CipherKind, KeyShape};

/// Exchange key, key, options: the request of an import or an export.
#[derive(Debug, Default)]
pub struct Pair {
    /// ZMK or TMK, under the LMK.
    pub master: KeyToken,
    /// The key: under the ZMK on import, under the LMK on export.
    pub key: KeyToken,
    /// Variant of the ZMK.
    pub atalla: AtallaVariant,
    /// Options.
    pub group: LegacyGroup,
}

impl Message for Pair {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.key("ZMK or TMK", Untagged::Pair, &mut self.master)?;
        wire.key("key", Untagged::Single, &mut self.key)?;
        self.atalla.walk(wire)?;
        self.group.walk(wire)
    }
}

/// Exchange key and options: the request of a generation.
#[derive(Debug, Default)]
pub struct Generate {
    /// ZMK or TMK, under the LMK.
    pub master: KeyToken,
    /// Variant of the ZMK.
    pub atalla: AtallaVariant,
    /// Options.
    pub group: LegacyGroup,
}

impl Message for Generate {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.key("ZMK or TMK", Untagged::Pair, &mut self.master)?;
        self.atalla.walk(wire)?;
        self.group.walk(wire)
    }
}

/// A key and its check value.
#[derive(Debug, Default)]
pub struct Checked {
    /// The key: under the LMK after import, under the ZMK after export.
    pub key: KeyToken,
    /// Its check value.
    pub check: CheckValue,
}

impl Message for Checked {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.key("key", Untagged::Single, &mut self.key)?;
        self.check.walk(wire)
    }
}

/// A key in both forms.
#[derive(Debug, Default)]
pub struct Both {
    /// Under the ZMK or TMK.
    pub sent: KeyToken,
    /// Under the LMK.
    pub kept: KeyToken,
}

impl Message for Both {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.key("key under ZMK or TMK", Untagged::Single, &mut self.sent)?;
        wire.key("key under LMK", Untagged::Single, &mut self.kept)
    }
}

/// Refuses a key-block LMK.
pub fn variant_only(cx: &Cx) -> Result<(), Code> {
    if cx.scheme.is_block() { Err(Code::LMK_SCHEMES_DIFFER) } else { Ok(()) }
}

/// The flag of the commands for two kinds of key: `0` ZEK, `1` ZAK.
pub fn zek_or_zak(flag: [u8; 1]) -> Result<KeyType, Code> {
    match flag {
        [b'0'] => Ok(KeyType::ZEK),
        [b'1'] => Ok(KeyType::ZAK),
        _ => Err(Code::INPUT),
    }
}

/// From encryption under the ZMK to encryption under the LMK.
pub async fn import(cx: &Cx, request: &Pair, key_type: KeyType) -> Result<Done<Checked>, Code> {
    variant_only(cx)?;
    let digits = check_digits(cx, &request.group)?;
    request.atalla.refuse()?;
    if matches!(request.key.scheme, Scheme::S | Scheme::R | Scheme::K) {
        return Err(Code::SCHEME);
    }
    let length = request.key.scheme.key_length().unwrap_or_default();
    let scheme = kept_scheme(cx, request.group.lmk_scheme, length)?;
    let zmk = open_master(cx, &request.master, Master::Zmk, Use::Decrypt).await?;
    let Imported { key, forced, .. } = exchange::unwrap(cx, &zmk, &request.key, true).await?;
    let form = LmkForm::Variant { scheme, key_type };
    let (sealed, check) = join(seal(cx, &key, form), check_value(cx, &key, digits)).await;
    let reply = Checked { key: sealed?, check: check? };
    Ok(if forced { Done::advice(Code::VERIFICATION, reply) } else { reply.into() })
}

/// From encryption under the LMK to encryption under the ZMK.
pub async fn export(cx: &Cx, request: &Pair, key_type: KeyType) -> Result<Checked, Code> {
    variant_only(cx)?;
    let digits = check_digits(cx, &request.group)?;
    let (key, sent) = export_key(cx, request, Master::Zmk, key_type).await?;
    Ok(Checked { key: sent, check: check_value(cx, &key, digits).await? })
}

/// As [`export`], under any exchange key and without a check value.
pub async fn export_key(
    cx: &Cx,
    request: &Pair,
    master: Master,
    key_type: KeyType,
) -> Result<(Key, KeyToken), Code> {
    request.atalla.refuse()?;
    let length = request.key.scheme.key_length().ok_or(Code::SCHEME)?;
    let form = Form::parts(cx, sent_scheme(request.group.exchange_scheme, length)?)?;
    let (master, key) = join(
        open_master(cx, &request.master, master, Use::Encrypt),
        open_any(cx, &request.key, key_type, Place::Destination),
    )
    .await;
    let (master, key) = (master?, key?);
    let sent = exchange::wrap(cx, &master, &key, form, None).await?;
    Ok((key, sent))
}

/// A new key in both forms. Without options it has single length, as on old units.
pub async fn generate(
    cx: &Cx,
    request: &Generate,
    master: Master,
    key_type: KeyType,
) -> Result<(Key, Both), Code> {
    variant_only(cx)?;
    request.atalla.refuse()?;
    let scheme = kept_scheme(cx, request.group.lmk_scheme, 8)?;
    let length = scheme.key_length().ok_or(Code::SCHEME)?;
    let sent = sent_scheme(request.group.exchange_scheme, 8)?;
    if sent.key_length() != Some(length) {
        return Err(Code::SCHEME);
    }
    let form = Form::parts(cx, sent)?;
    let kind = if length == 8 { CipherKind::Des } else { CipherKind::Tdes };
    let shape = KeyShape { kind, length };
    let (master, key) =
        join(open_master(cx, &request.master, master, Use::Encrypt), cx.hsm.generate(shape)).await;
    let (master, key) = (master?, key?);
    let (sent, kept) = join(
        exchange::wrap(cx, &master, &key, form, None),
        seal(cx, &key, LmkForm::Variant { scheme, key_type }),
    )
    .await;
    Ok((key, Both { sent: sent?, kept: kept? }))
}

/// Number of digits of the check value, and whether the unit may show so many.
pub fn check_digits(cx: &Cx, group: &LegacyGroup) -> Result<usize, Code> {
    let digits = group.check_value_digits()?;
    if digits > 6 {
        cx.require(Activity::LongCheckValue)?;
    }
    Ok(digits)
}

/// A check value of so many digits.
pub async fn check_value(cx: &Cx, key: &Key, digits: usize) -> Result<CheckValue, Code> {
    let value = tr31::kcv(&cx.hsm, key).await?;
    Ok(if digits > 6 { CheckValue::sixteen(&value) } else { CheckValue::six(&value) })
}

// A position that is not used holds 0: the scheme is then that of the key's length.
const fn is_unused(letter: [u8; 1]) -> bool {
    matches!(letter, [b'0' | 0])
}

fn kept_scheme(cx: &Cx, letter: [u8; 1], length: usize) -> Result<Scheme, Code> {
    if !is_unused(letter) {
        return lmk_scheme(cx, letter);
    }
    let scheme = natural_scheme(length)?;
    allow_single(cx, scheme)?;
    Ok(scheme)
}

fn sent_scheme(letter: [u8; 1], length: usize) -> Result<Scheme, Code> {
    let [tag] = letter;
    if is_unused(letter) {
        return natural_scheme(length);
    }
    Scheme::from_tag(tag).filter(|s| !matches!(s, Scheme::S | Scheme::R)).ok_or(Code::SCHEME)
}
