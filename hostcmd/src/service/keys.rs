//! Opening the keys that a command names, and judging whether they may do what it asks.

use crate::{Code, Cx, key_table};
use hsm::{Binding, Hygiene, Key, KeyToken, KeyType, Scheme, join};
use paytypes::parity::Weakness;
use paytypes::{CipherKind, KeyUsage, ModeOfUse};

/// What a command does with a key, and so which modes of use allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Encrypts or wraps.
    Encrypt,
    /// Decrypts or unwraps.
    Decrypt,
    /// Generates a MAC, card value, offset or PVV.
    Generate,
    /// Verifies one.
    Verify,
    /// Derives other keys.
    Derive,
    /// Nothing that a mode could forbid: check value, change of scheme, being exported.
    Any,
}

impl Use {
    fn allowed_by(self, mode: ModeOfUse) -> bool {
        let modes: &[ModeOfUse] = match self {
            Self::Encrypt => &[ModeOfUse::BOTH, ModeOfUse::ENCRYPT, ModeOfUse::ANY],
            Self::Decrypt => &[ModeOfUse::BOTH, ModeOfUse::DECRYPT, ModeOfUse::ANY],
            Self::Generate => &[ModeOfUse::GENERATE_VERIFY, ModeOfUse::GENERATE, ModeOfUse::ANY],
            Self::Verify => &[ModeOfUse::GENERATE_VERIFY, ModeOfUse::VERIFY, ModeOfUse::ANY],
            Self::Derive => &[ModeOfUse::DERIVE, ModeOfUse::ANY],
            Self::Any => return true,
        };
        modes.contains(&mode)
    }
}

/// Ciphers that a rule admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ciphers {
    /// DES family only.
    Tdes,
    /// AES only.
    Aes,
    /// Either.
    Any,
}

/// What a key field takes: the type under a variant LMK, the usages in a key block.
#[derive(Clone, Copy, Debug)]
pub struct KeyRule {
    /// The field's name for the key.
    pub name: &'static str,
    /// Type under a variant LMK.
    pub key_type: KeyType,
    /// Usages in a key block; empty takes any.
    pub usages: &'static [KeyUsage],
    /// Ciphers.
    pub ciphers: Ciphers,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $key_type:ident, [$($usage:literal),*], $ciphers:ident;)*) => {
        $($(#[$doc])* pub const $name: KeyRule = KeyRule {
            name: $text,
            key_type: KeyType::$key_type,
            usages: &[$(KeyUsage(*$usage)),*],
            ciphers: Ciphers::$ciphers,
        };)*
    };
}

// Usages of host-commands.md section 5: the X9.143 code and the proprietary one of the same key.
rules! {
    /// Zone PIN key.
    ZPK = "ZPK", ZPK, [b"P0", b"72"], Any;
    /// Terminal PIN key.
    TPK = "TPK", PVK, [b"P0", b"71"], Any;
    /// PIN verification key of the Visa method.
    PVK_VISA = "PVK (Visa)", PVK, [b"V2", b"V0"], Tdes;
    /// PIN verification key of the IBM method.
    PVK_IBM = "PVK (IBM)", PVK, [b"V1", b"V0"], Tdes;
    /// Card verification key.
    CVK = "CVK", CVK, [b"C0", b"12", b"13"], Tdes;
    /// Base derivation key.
    BDK = "BDK", BDK1, [b"B0", b"41", b"42", b"43", b"44"], Any;
    /// Zone master key.
    ZMK = "ZMK", ZMK, [b"K0", b"K1", b"52", b"54"], Any;
    /// Terminal master key.
    TMK = "TMK", PVK, [b"K0", b"51"], Any;
    /// Terminal authentication key.
    TAK = "TAK", TAK, [b"M0", b"M1", b"M3", b"M5", b"M6"], Any;
}

/// Which parity code a key answers with: source 10, destination 11.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// First or source key.
    Source,
    /// Second or destination key.
    Destination,
}

impl Place {
    /// The code for bad parity, a weak key or an all-zero key.
    pub const fn parity_code(self) -> Code {
        match self {
            Self::Source => Code::SOURCE_PARITY,
            Self::Destination => Code::DESTINATION_PARITY,
        }
    }
}

/// Opens one key and judges it.
pub fn open(
    cx: &Cx,
    token: &KeyToken,
    rule: &KeyRule,
    how: Use,
    place: Place,
) -> impl Future<Output = Result<Key, Code>> {
    open_as(cx, token, rule, rule.key_type, how, place)
}

/// As [`open`], with another type under a variant LMK than the rule's first choice.
pub async fn open_as(
    cx: &Cx,
    token: &KeyToken,
    rule: &KeyRule,
    key_type: KeyType,
    how: Use,
    place: Place,
) -> Result<Key, Code> {
    if matches!(how, Use::Encrypt | Use::Generate) {
        key_table::may_protect(token)?;
    }
    if token.scheme == Scheme::Single && !cx.settings().single_des {
        return Err(Code::KEY_LENGTH);
    }
    let key = cx.hsm.open(cx.lmk, key_type, token).await?;
    if key.attributes().shape.kind == CipherKind::Des && !cx.settings().single_des {
        return Err(Code::KEY_LENGTH);
    }
    judge_binding(&key, rule, how)?;
    judge_hygiene(&key.attributes().hygiene, cx, place)?;
    Ok(key)
}

/// A key field for [`open_two`].
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The token.
    pub token: &'a KeyToken,
    /// What it must be.
    pub rule: &'a KeyRule,
    /// What it is for.
    pub how: Use,
}

/// Opens source and destination in the same batch; the first refusal in field order counts.
pub async fn open_two(cx: &Cx, source: Wanted<'_>, destination: Wanted<'_>) -> Result<(Key, Key), Code> {
    let (a, b) = join(
        open(cx, source.token, source.rule, source.how, Place::Source),
        open(cx, destination.token, destination.rule, destination.how, Place::Destination),
    )
    .await;
    Ok((a?, b?))
}

/// Judges usage, algorithm and mode of a key block. Under a variant LMK the type has judged already.
pub fn judge_binding(key: &Key, rule: &KeyRule, how: Use) -> Result<(), Code> {
    let attributes = key.attributes();
    if let Binding::Block(block) = attributes.binding {
        if !rule.usages.is_empty() && !rule.usages.contains(&block.usage) {
            return Err(Code::BLOCK_USAGE);
        }
        // A component is a part of a key, not a key.
        if block.version.is_component() {
            return Err(Code::BLOCK_VERSION);
        }
        if !how.allowed_by(block.mode) {
            return Err(Code::BLOCK_MODE);
        }
    }
    let fits = match rule.ciphers {
        Ciphers::Any => true,
        Ciphers::Tdes => attributes.shape.kind != CipherKind::Aes,
        Ciphers::Aes => attributes.shape.kind == CipherKind::Aes,
    };
    if fits { Ok(()) } else { Err(Code::BLOCK_ALGORITHM) }
}

/// Judges parity and weakness. Equal halves pass where single-length keys do: they are the same thing.
pub fn judge_hygiene(hygiene: &Hygiene, cx: &Cx, place: Place) -> Result<(), Code> {
    match hygiene.weakness {
        Weakness::Weak => Err(place.parity_code()),
        Weakness::EqualParts if !cx.settings().single_des => Err(Code::MASQUERADE),
        _ if !hygiene.odd_parity => Err(place.parity_code()),
        _ => Ok(()),
    }
}
