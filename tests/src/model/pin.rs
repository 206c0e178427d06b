//! PIN blocks (ISO 9564-1, host-commands.md section 6).

use super::cipher::{aes_ecb, tdes_ecb};
use super::{Alg, exclusive_or};
use crate::hex;

/// The PIN of an encrypted block. `account` is the account field of the command.
pub fn pin_of(alg: Alg, key: &[u8], format: &str, account: &str, block: &str) -> Result<String, String> {
    let block = hex::decode(block)?;
    match (alg, format) {
        ('T', "01") => with_account(&tdes_ecb(key, false, &block), account, '0', |c| c == 'F'),
        ('T', "47") => {
            with_account(&tdes_ecb(key, false, &block), account, '3', |c| ('A'..='F').contains(&c))
        }
        ('T', "05") => field(&hex::encode(&tdes_ecb(key, false, &block)), '1', |_| true),
        ('T', "34") => field(&hex::encode(&tdes_ecb(key, false, &block)), '2', |c| c == 'F'),
        ('T', "03") => Ok(hex::encode(&tdes_ecb(key, false, &block)).trim_end_matches('F').to_owned()),
        ('A', "48") => format_4(key, account, &block),
        _ => Err(format!("no model of format {format} under {alg}")),
    }
}

// Formats 0 and 3: exclusive or with four zeros and the twelve digits of the account field.
fn with_account(
    clear: &[u8],
    account: &str,
    control: char,
    fill: impl Fn(char) -> bool,
) -> Result<String, String> {
    let account = hex::decode(&format!("0000{account}"))?;
    field(&hex::encode(&exclusive_or(clear, &account)), control, fill)
}

// Control digit, length, PIN, fill.
fn field(text: &str, control: char, fill: impl Fn(char) -> bool) -> Result<String, String> {
    let digit = text.chars().nth(1).and_then(|c| c.to_digit(16)).unwrap_or(0);
    let length = usize::try_from(digit).unwrap_or(0);
    let whole = text.starts_with(control) && (4..=12).contains(&length);
    let (pin, rest) = text[2..].split_at(length.min(14));
    if !whole || !pin.bytes().all(|c| c.is_ascii_digit()) || !rest.chars().all(fill) {
        return Err(format!("no PIN field of control {control}: length {length}"));
    }
    Ok(pin.to_owned())
}

// Format 4: two passes of AES with the account block between them. The account field of a command is the
// account number without check digit, or a whole PAN.
fn format_4(key: &[u8], account: &str, block: &[u8]) -> Result<String, String> {
    let longer = account.len().checked_sub(12).ok_or("account field")?;
    let account = format!("{longer}{account:0<31}");
    let inner = exclusive_or(&aes_ecb(key, false, block), &hex::decode(&account)?);
    let text = hex::encode(&aes_ecb(key, false, &inner));
    field(&text[..16], '4', |c| c == 'A')
}
