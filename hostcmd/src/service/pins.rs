//! PIN blocks under working keys: translation, and reading a PIN to verify or to store it.

use super::translation::Translation;
use crate::command::Answer;
use crate::managed::possession::refuse_reserved;
use crate::wire::{Account, Number, PinBlockText};
use crate::{Code, Cx, Role};
use core::future::poll_fn;
use hsm::Key;
use paytypes::pan::ACCOUNT_LENGTH;
use paytypes::{Drawn, Pan, Pin};
use pinblock::{AccountRelation, ClearBlock, Format, PinBlockError, encipher, rules};

/// From its two digits; unknown formats answer 23.
pub fn format(code: [u8; 2]) -> Result<Format, Code> {
    Format::from_code(code).ok_or(Code::PIN_FORMAT)
}

/// The account field as PIN blocks take it.
pub fn account(field: &Account) -> Result<pinblock::Account, Code> {
    let mut account = pinblock::Account::NONE;
    account_into(field, &mut account)?;
    Ok(account)
}

/// The same, written where it stays.
#[inline(always)]
pub fn account_into(field: &Account, account: &mut pinblock::Account) -> Result<(), Code> {
    if let Some(digits) = field.twelve() {
        *account = pinblock::Account::from_field(digits).map_err(|_| Code::ACCOUNT)?;
    } else {
        *account = any_account(field)?;
    }
    Ok(())
}

#[inline(never)]
fn any_account(field: &Account) -> Result<pinblock::Account, Code> {
    let digits = field.digits();
    let account = match digits.len() {
        18 if !field.is_pan() => pinblock::Account::from_token(digits),
        _ => Pan::new(digits).map(pinblock::Account::from_pan),
    };
    account.map_err(|_| Code::ACCOUNT)
}

/// Format and account of a block. Commands keep the result until their keys are judged, since what is wrong
/// with a key is answered first.
pub fn terms(code: [u8; 2], field: &Account) -> Result<(Format, pinblock::Account), Code> {
    Ok((format(code)?, account(field)?))
}

/// The same for a block that came and one to make, of one account.
pub fn two_terms(
    from: [u8; 2],
    to: [u8; 2],
    field: &Account,
) -> Result<(Format, Format, pinblock::Account), Code> {
    let (from, (to, account)) = (format(from)?, terms(to, field)?);
    Ok((from, to, account))
}

/// The host code of what is wrong with a PIN block.
pub fn code(error: PinBlockError) -> Code {
    match error {
        PinBlockError::PanLength => Code::ACCOUNT,
        PinBlockError::Format => Code::FORMAT_DISABLED,
        PinBlockError::KeySize | PinBlockError::BlockLength => Code::PIN_FORMAT,
        PinBlockError::PinLength => Code::PIN_LENGTH,
        PinBlockError::Cipher(inner) => inner.into(),
        _ => Code::PIN_BLOCK,
    }
}

/// One side of a translation.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// The key, opened and judged.
    pub key: &'a Key,
    /// Format of the block.
    pub format: Format,
    /// Account that the block is bound to.
    pub account: &'a pinblock::Account,
}

/// Translates a block between two keys that are open; see [`Translation`].
pub async fn translate(
    cx: &Cx,
    from: Side<'_>,
    block: &PinBlockText,
    to: Side<'_>,
) -> Result<(u8, PinBlockText), Code> {
    let mut translation = Translation::opened(cx, from, block, to)?;
    let mut made = PinBlockText::default();
    let length = poll_fn(|_| translation.go_on(&cx.hsm, &mut made)).await?;
    Ok((length, made))
}

/// What a listener allows of the table of security.md 1.1.
#[inline]
pub fn setting(cx: &Cx) -> rules::Setting {
    rules::Setting {
        legacy: cx.settings().legacy_translate,
        issuer: matches!(cx.role(), Role::Issuer | Role::Any),
        ..rules::Setting::default()
    }
}

// Applies that table to one account.
fn judge(cx: &Cx, from: Format, to: Format) -> Result<(), Code> {
    rules::translation(from, to, AccountRelation::Same, setting(cx)).map_err(|_| Code::PIN_FORMAT)
}

/// Applies the same table to a block whose PIN is to be stored. A stored PIN is bound to its account, so
/// that storing a PIN and taking it out again is no way around the table.
pub fn may_be_stored(cx: &Cx, from: Format) -> Result<(), Code> {
    judge(cx, from, Format::Iso0)
}

/// Applies the same table to a block that is to be made of a stored PIN.
pub fn may_leave_storage(cx: &Cx, to: Format) -> Result<(), Code> {
    judge(cx, Format::Iso0, to)
}

/// The twelve digits of an account, in whatever form it came: what PVV, validation data and stored PINs
/// are bound to. The check digit is not one of them.
pub fn twelve_digits(account: &pinblock::Account) -> Result<[u8; ACCOUNT_LENGTH], Code> {
    account.right12().map_err(|_| Code::ACCOUNT)
}

/// The account under which the PIN of a block is stored.
pub fn owner(account: &pinblock::Account) -> Result<Account, Code> {
    twelve_digits(account).map(|digits| Account::fixed(&digits))
}

/// Format and account of a block whose PIN is also stored, and the account under which it is.
pub fn stored_terms(code: [u8; 2], field: &Account) -> Result<(Format, pinblock::Account, Account), Code> {
    let (format, account) = terms(code, field)?;
    Ok((format, account, owner(&account)?))
}

/// The maximum PIN length of the older commands, which is always 12.
pub fn judge_maximum(length: Number<2>) -> Result<(), Code> {
    if length == Number(12) { Ok(()) } else { Err(Code::PIN_LENGTH) }
}

async fn decipher(cx: &Cx, side: Side<'_>, block: &PinBlockText) -> Result<ClearBlock, Code> {
    refuse_reserved(cx, side.account)?;
    encipher::decipher(&cx.hsm, side.key, side.format, block.as_bytes(), side.account).await.map_err(code)
}

/// True for formats whose filler is random: for others nothing is drawn.
pub const fn has_random_fill(format: Format) -> bool {
    !matches!(format, Format::Iso0 | Format::Iso2 | Format::Plus | Format::Mastercard | Format::Diebold)
}

/// Reads the PIN of a block in order to store it or to make something of it: every position is judged, and
/// what is wrong answers 20 (24 for the length).
pub async fn read(cx: &Cx, side: Side<'_>, block: &PinBlockText) -> Result<Pin, Code> {
    let clear = decipher(cx, side, block).await?;
    pinblock::decode(side.format, &clear, side.account).map_err(code)
}

/// Reads the PIN of a block in order to verify it. Control field, length and filler, none of which depends
/// on the digits of the PIN, answer 20; a bad digit gives `None`, which the command answers with 01 like a
/// wrong PIN, since another code would tell digits of the PIN (security.md 0 row 2). In format 03 they do depend
/// on them, and whatever is wrong gives `None`.
pub async fn read_to_verify(cx: &Cx, side: Side<'_>, block: &PinBlockText) -> Result<Option<Pin>, Code> {
    let clear = decipher(cx, side, block).await?;
    pinblock::decode_to_verify(side.format, &clear, side.account).map_err(|error| match error {
        PinBlockError::PinLength => Code::PIN_BLOCK,
        error => code(error),
    })
}

/// The PIN to compare with, and whether it counts: an unreadable block gets a PIN that never counts, so that
/// it costs the same work, and so the same time, as a wrong PIN.
pub fn or_decoy(pin: Option<Pin>) -> Result<(Pin, bool), Code> {
    match pin {
        Some(pin) => Ok((pin, true)),
        None => Ok((Pin::from_values(&[0; 4]).map_err(|_| Code::INTERNAL)?, false)),
    }
}

/// The answer of a verification.
pub fn verdict(same: bool) -> Answer<()> {
    if same { Ok(().into()) } else { Err(Code::VERIFICATION) }
}

/// Makes a PIN block.
pub async fn write(cx: &Cx, side: Side<'_>, pin: &Pin) -> Result<PinBlockText, Code> {
    refuse_reserved(cx, side.account)?;
    let mut random = [0; pinblock::RANDOM_LENGTH];
    if has_random_fill(side.format) {
        cx.hsm.random(&mut random).await?;
    }
    let mut source = Drawn::new(&random);
    let made = encipher::encode_under(&cx.hsm, side.key, side.format, pin, side.account, &mut source).await;
    Ok(PinBlockText::from_block(made.map_err(code)?.as_bytes()))
}
