//! What a key shall be that a command makes: length and cipher, and how it goes under the LMK.

use crate::service::attributes::{self, Header, fits_lmk};
use crate::service::seal::{LmkForm, lmk_scheme};
use crate::wire::BlockGroup;
use crate::{Code, Cx};
use hsm::KeyType;
use paytypes::{CipherKind, KeyShape};

/// A key to be made.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Cipher and length.
    pub shape: KeyShape,
    /// Form under the LMK.
    pub form: LmkForm,
}

impl Plan {
    /// Header of the key block; `None` under a variant LMK.
    pub const fn header(&self) -> Option<&Header> {
        match &self.form {
            LmkForm::Block(header) => Some(header),
            LmkForm::Variant { .. } => None,
        }
    }
}

/// Under a variant LMK the scheme tells the length and there is no `#` group; under a key-block LMK the group
/// tells everything.
pub fn plan(cx: &Cx, key_type: KeyType, scheme: [u8; 1], group: &BlockGroup) -> Result<Plan, Code> {
    let scheme = lmk_scheme(cx, scheme)?;
    if group.present != cx.scheme.is_block() {
        return Err(Code::INPUT);
    }
    let Some(length) = scheme.key_length() else { return plan_block(cx, group) };
    let kind = if length == 8 { CipherKind::Des } else { CipherKind::Tdes };
    Ok(Plan { shape: KeyShape { kind, length }, form: LmkForm::Variant { scheme, key_type } })
}

fn plan_block(cx: &Cx, group: &BlockGroup) -> Result<Plan, Code> {
    let attributes = attributes::from_group(group)?;
    // The usage is judged before the algorithm, whose letters mean nothing with an unknown usage.
    if tr31::sblock::usage_name(attributes.usage).is_none() {
        return Err(Code::BLOCK_USAGE);
    }
    let shape = shape(cx, group.algorithm)?;
    attributes::judge(&attributes, shape.kind)?;
    fits_lmk(cx.scheme, shape.kind)?;
    Ok(Plan { shape, form: LmkForm::Block(Header { attributes, optional: group.optional.clone() }) })
}

// host-commands.md section 5: cipher and number of lengths. D1 is single DES.
fn shape(cx: &Cx, algorithm: [u8; 2]) -> Result<KeyShape, Code> {
    let (kind, length) = match &algorithm {
        b"T2" => (CipherKind::Tdes, 16),
        b"T3" => (CipherKind::Tdes, 24),
        b"A1" => (CipherKind::Aes, 16),
        b"A2" => (CipherKind::Aes, 24),
        b"A3" => (CipherKind::Aes, 32),
        b"D1" if cx.settings().single_des => (CipherKind::Des, 8),
        _ => return Err(Code::BLOCK_ALGORITHM),
    };
    Ok(KeyShape { kind, length })
}
