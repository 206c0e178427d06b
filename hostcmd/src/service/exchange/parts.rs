//! Keys whose 8-byte parts are enciphered one by one: variant method (`U`, `T`) and ANSI X9.17 (`X`, `Y`).

use crate::{Code, Cx};
use hsm::{Key, Scheme, join};
use paytypes::secret::KEY_LENGTH_MAX;
use paytypes::{Cipher, CipherKind, Direction};

// XORed into byte 8 of the exchange key for each part: its right half, or the middle part of a triple one.
const DOUBLE: [u8; 3] = [0xA6, 0x5A, 0x00];
const TRIPLE: [u8; 3] = [0x6A, 0xDE, 0x2B];

/// Enciphers or deciphers a key in place. An AES key has no such forms (BB); a single-length one has no
/// right half for the variant (26).
pub(super) async fn apply(
    cx: &Cx,
    master: &Key,
    scheme: Scheme,
    way: Direction,
    key: &mut [u8],
) -> Result<(), Code> {
    let shape = master.attributes().shape;
    if shape.kind == CipherKind::Aes {
        return Err(Code::WRAPPING_KEY);
    }
    let [a, b, c] = match scheme {
        Scheme::U => DOUBLE,
        Scheme::T => TRIPLE,
        _ => return Ok(cx.hsm.ecb(master, way, key).await?),
    };
    if shape.kind == CipherKind::Des {
        return Err(Code::SCHEME);
    }
    let (first, rest) = key.split_at_mut_checked(8).ok_or(Code::KEY_LENGTH)?;
    let (second, third) = rest.split_at_mut_checked(8).ok_or(Code::KEY_LENGTH)?;
    let rest = join(part(cx, master, b, way, second), part(cx, master, c, way, third));
    let (first, (second, third)) = join(part(cx, master, a, way, first), rest).await;
    first.and(second).and(third)
}

async fn part(cx: &Cx, master: &Key, byte: u8, way: Direction, data: &mut [u8]) -> Result<(), Code> {
    if data.is_empty() {
        return Ok(());
    }
    let mut mask = [0; KEY_LENGTH_MAX];
    if let Some(right_half) = mask.get_mut(8) {
        *right_half = byte;
    }
    let mask = mask.get(..master.attributes().shape.length).unwrap_or_default();
    let variant = cx.hsm.variant(master, mask).await?;
    Ok(cx.hsm.ecb(&variant, way, data).await?)
}
