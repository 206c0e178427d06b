//! PINs under the LMK, as hosts keep them.
//!
//! Variant and 3DES LMK: decimal digits. The algorithm of physical units is not public, so this one is
//! ours: the first digit is the PIN's length less four, in clear, as the length is everywhere else in this
//! language; the rest is the PIN under a keyed permutation of decimal strings, a Feistel network of ten
//! rounds in the shape of NIST SP 800-38G (FF1), whose round function is an ISO 9797-1 MAC with the
//! LMK's PIN key. The account is the tweak: a stored PIN cannot be moved to another account.
//!
//! AES LMK: `J` and an ISO 9564-1 format 4 block under the LMK's PIN key, bound to the account.

use super::pins;
use crate::wire::{Account, StoredPin};
use crate::{Code, Cx, PinLength};
use hsm::{Key, LmkPurpose, LmkScheme};
use paytypes::{Cipher, Drawn, MacAlgorithm, Pin, bytes, hex};
use pinblock::{Format, PinBlockError, encipher};
use zeroize::Zeroizing;

const ROUNDS: u8 = 10;
const WIDTH_MAX: usize = 12;

/// Stores a PIN for an account.
pub async fn store(cx: &Cx, pin: &Pin, account: &Account) -> Result<StoredPin, Code> {
    let key = cx.hsm.lmk_key(cx.lmk, LmkPurpose::PinStorage).await?;
    if cx.scheme == LmkScheme::AesBlock {
        return store_aes(cx, &key, pin, account).await;
    }
    let width = width(cx, pin.len())?;
    let mut digits = Zeroizing::new([0u8; WIDTH_MAX]);
    for (d, p) in digits.iter_mut().zip(pin.expose()) {
        *d = *p;
    }
    let room = digits.get_mut(..width).ok_or(Code::PIN_LENGTH)?;
    permute(cx, &key, Way::Forward, pin.len(), account, room).await?;
    let mut text = Zeroizing::new([b'0'; WIDTH_MAX.saturating_add(1)]);
    let length = u8::try_from(pin.len().saturating_sub(4)).unwrap_or_default();
    for (t, d) in text.iter_mut().zip(core::iter::once(&length).chain(room.iter())) {
        *t = d | 0x30;
    }
    Ok(StoredPin::new(text.get(..width.saturating_add(1)).unwrap_or_default()))
}

/// Opens a stored PIN. What is not one for this account and LMK answers 14.
pub async fn open(cx: &Cx, stored: &StoredPin, account: &Account) -> Result<Pin, Code> {
    let key = cx.hsm.lmk_key(cx.lmk, LmkPurpose::PinStorage).await?;
    match (stored.text(), cx.scheme) {
        ([b'J', text @ ..], LmkScheme::AesBlock) => open_aes(cx, &key, text, account).await,
        ([first @ b'0'..=b'8', text @ ..], LmkScheme::Variant | LmkScheme::TdesBlock) => {
            let length = usize::from(first & 0x0F).saturating_add(4);
            open_decimal(cx, &key, length, text, account).await
        }
        _ => Err(Code::PIN_UNDER_LMK),
    }
}

async fn open_decimal(
    cx: &Cx,
    key: &Key,
    length: usize,
    text: &[u8],
    account: &Account,
) -> Result<Pin, Code> {
    let width = width(cx, length).map_err(|_| Code::PIN_UNDER_LMK)?;
    let mut digits = Zeroizing::new([0u8; WIDTH_MAX]);
    let room = digits.get_mut(..width).filter(|room| room.len() == text.len());
    let room = room.ok_or(Code::PIN_UNDER_LMK)?;
    for (d, t) in room.iter_mut().zip(text) {
        *d = t & 0x0F;
    }
    permute(cx, key, Way::Back, length, account, room).await?;
    let (pin, fill) = room.split_at_checked(length).ok_or(Code::PIN_UNDER_LMK)?;
    if fill.iter().any(|d| *d != 0) {
        return Err(Code::PIN_UNDER_LMK);
    }
    Pin::from_values(pin).map_err(|_| Code::PIN_UNDER_LMK)
}

// Number of permuted digits: the PIN's own, or the fixed number of the setting.
fn width(cx: &Cx, length: usize) -> Result<usize, Code> {
    match cx.settings().pin_length {
        PinLength::Own => Ok(length),
        PinLength::Fixed(clear) if length <= usize::from(clear) => Ok(usize::from(clear)),
        PinLength::Fixed(_) => Err(Code::PIN_LENGTH),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Forward,
    Back,
}

const fn power_of_ten(exponent: usize) -> u64 {
    match exponent {
        0 => 1,
        1 => 10,
        2 => 100,
        3 => 1_000,
        4 => 10_000,
        5 => 100_000,
        _ => 1_000_000,
    }
}

fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |n: u64, d| n.wrapping_mul(10).wrapping_add(u64::from(*d)))
}

fn spread(mut n: u64, digits: &mut [u8]) {
    for d in digits.iter_mut().rev() {
        *d = u8::try_from(n % 10).unwrap_or_default();
        n /= 10;
    }
}

// Unbalanced Feistel over two halves of at most six digits; each round adds to one half what the MAC of the
// other gives, modulo the half's size.
async fn permute(
    cx: &Cx,
    key: &Key,
    way: Way,
    length: usize,
    account: &Account,
    digits: &mut [u8],
) -> Result<(), Code> {
    let (left, right) = digits.split_at_mut(digits.len() >> 1);
    for step in 0..ROUNDS {
        let round = if way == Way::Forward { step } else { ROUNDS.wrapping_sub(1).wrapping_sub(step) };
        let (target, other) = if round & 1 == 0 { (&mut *left, &*right) } else { (&mut *right, &*left) };
        let size = power_of_ten(target.len());
        let added = round_value(cx, key, round, length, account, other).await?.checked_rem(size);
        let added = added.unwrap_or_default();
        let moved = if way == Way::Forward { added } else { size.wrapping_sub(added) };
        let value = number(target).wrapping_add(moved).checked_rem(size).unwrap_or_default();
        spread(value, target);
    }
    Ok(())
}

async fn round_value(
    cx: &Cx,
    key: &Key,
    round: u8,
    length: usize,
    account: &Account,
    half: &[u8],
) -> Result<u64, Code> {
    let mut data = Zeroizing::new([0u8; 32]);
    let length = u8::try_from(length).unwrap_or_default();
    let front = [round, length].into_iter().chain(half.iter().copied());
    let tweak = account.digits().iter().copied();
    for (d, s) in data.iter_mut().zip(front.chain([0xFF]).chain(tweak)) {
        *d = s;
    }
    let mac = cx.hsm.mac(key, MacAlgorithm::Iso1, &[0; 8], data.as_slice()).await?;
    Ok(u64::from_be_bytes(bytes::left(mac.as_bytes())))
}

async fn store_aes(cx: &Cx, key: &Key, pin: &Pin, account: &Account) -> Result<StoredPin, Code> {
    let account = pins::account(account)?;
    let mut random = [0; pinblock::RANDOM_LENGTH];
    cx.hsm.random(&mut random).await?;
    let mut source = Drawn::new(&random);
    let block = encipher::encode_under(&cx.hsm, key, Format::Iso4, pin, &account, &mut source).await;
    let block = block.map_err(pins::code)?;
    let mut text = [b'J'; 33];
    if let Some(room) = text.get_mut(1..) {
        for (pair, byte) in room.chunks_exact_mut(2).zip(block.as_bytes()) {
            pair.copy_from_slice(&[hex::letter(byte >> 4), hex::letter(*byte)]);
        }
    }
    Ok(StoredPin::new(&text))
}

async fn open_aes(cx: &Cx, key: &Key, text: &[u8], account: &Account) -> Result<Pin, Code> {
    let block = hex::decode::<16>(text).map_err(|_| Code::PIN_UNDER_LMK)?;
    let account = pins::account(account)?;
    let pin = encipher::decode_under(&cx.hsm, key, Format::Iso4, &block, &account).await;
    pin.map_err(|error| match error {
        PinBlockError::Cipher(inner) => inner.into(),
        _ => Code::PIN_UNDER_LMK,
    })
}
