//! Putting keys under the LMK of the command, and opening keys whose use is not the question.

use crate::service::attributes::{Header, fits_lmk};
use crate::service::exchange::parse_optional;
use crate::service::key_types::key_has_parity;
use crate::service::keys::{self, Ciphers, KeyRule, Place, Use};
use crate::service::validity;
use crate::{Code, Cx, key_table};
use hsm::{Binding, Hygiene, Key, KeyToken, KeyType, Scheme, SealAs};

/// In which form a key goes under the LMK.
#[derive(Clone, Debug)]
pub enum LmkForm {
    /// Under a variant LMK.
    Variant {
        /// `U`, `T`, `X`, `Y` or untagged single length.
        scheme: Scheme,
        /// Key type.
        key_type: KeyType,
    },
    /// Under a key-block LMK.
    Block(Header),
}

/// The key scheme field for a key under the LMK of the command: `S` under a key-block LMK, one of the others
/// under a variant LMK, single length (`Z`) only where single DES is taken.
pub fn lmk_scheme(cx: &Cx, letter: [u8; 1]) -> Result<Scheme, Code> {
    let [letter] = letter;
    let scheme = Scheme::from_tag(letter).ok_or(Code::SCHEME)?;
    let fits = match scheme {
        Scheme::S => cx.scheme.is_block(),
        Scheme::R => false,
        _ => !cx.scheme.is_block(),
    };
    if !fits {
        return Err(Code::SCHEME);
    }
    allow_single(cx, scheme)?;
    Ok(scheme)
}

/// Refuses single-length keys with 27 unless the listener takes them.
pub fn allow_single(cx: &Cx, scheme: Scheme) -> Result<(), Code> {
    if scheme == Scheme::Single && !cx.settings().single_des { Err(Code::KEY_LENGTH) } else { Ok(()) }
}

/// The variant scheme for a key of this many bytes.
pub fn natural_scheme(length: usize) -> Result<Scheme, Code> {
    match length {
        8 => Ok(Scheme::Single),
        16 => Ok(Scheme::U),
        24 => Ok(Scheme::T),
        _ => Err(Code::KEY_LENGTH),
    }
}

/// Puts a key under the LMK. Refuses a scheme of another length (26) and a key that the LMK must not hold.
pub async fn seal(cx: &Cx, key: &Key, form: LmkForm) -> Result<KeyToken, Code> {
    let shape = key.attributes().shape;
    fits_lmk(cx.scheme, shape.kind)?;
    if let LmkForm::Block(header) = &form {
        parse_optional(&header.optional)?;
    }
    let form = match form {
        LmkForm::Variant { scheme, .. } if scheme.key_length() != Some(shape.length) => {
            return Err(Code::SCHEME);
        }
        LmkForm::Variant { scheme, key_type } => SealAs::Variant { scheme, key_type },
        LmkForm::Block(Header { attributes, optional }) => SealAs::Block {
            attributes,
            optional_count: u8::try_from(optional.count.0).map_err(|_| Code::OPTIONAL_COUNT)?,
            optional: optional.text,
        },
    };
    Ok(cx.hsm.seal(cx.lmk, key, form).await?)
}

/// Opens a key of any use, to export it, to change its scheme or to replace it. Components are refused.
pub async fn open_any(cx: &Cx, token: &KeyToken, key_type: KeyType, place: Place) -> Result<Key, Code> {
    let rule = KeyRule { name: "key", key_type, usages: &[], ciphers: Ciphers::Any };
    let key = open_part(cx, token, key_type, place).await?;
    keys::judge_binding(&key, &rule, Use::Any)?;
    Ok(key)
}

/// As [`open_any`], components included.
pub async fn open_part(cx: &Cx, token: &KeyToken, key_type: KeyType, place: Place) -> Result<Key, Code> {
    key_table::may_leave(token)?;
    allow_single(cx, token.scheme)?;
    let key = cx.hsm.open(cx.lmk, key_type, token).await?;
    validity::judge(cx, token)?;
    judge_hygiene(cx, &key, place)?;
    Ok(key)
}

/// As [`open_part`], to show the check value: the MAC of a key block proves its key, so that parity, which
/// units of other makers do not always set in key blocks, is judged when the key is used and not here; and so is
/// whether it may be used now, since the check value says which key it is.
pub async fn open_to_check(cx: &Cx, token: &KeyToken, key_type: KeyType, place: Place) -> Result<Key, Code> {
    allow_single(cx, token.scheme)?;
    let key = cx.hsm.open(cx.lmk, key_type, token).await?;
    let found = key.attributes().hygiene;
    let proven = matches!(key.attributes().binding, Binding::Block(_));
    keys::judge_hygiene(
        &Hygiene { odd_parity: found.odd_parity || proven || !key_has_parity(&key), ..found },
        cx,
        place,
    )?;
    Ok(key)
}

fn judge_hygiene(cx: &Cx, key: &Key, place: Place) -> Result<(), Code> {
    let found = key.attributes().hygiene;
    let hygiene = Hygiene { odd_parity: found.odd_parity || !key_has_parity(key), ..found };
    keys::judge_hygiene(&hygiene, cx, place)
}
