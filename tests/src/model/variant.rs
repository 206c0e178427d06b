//! Keys under the public variant test LMK set, and keys under a ZMK in the older forms.

use super::cipher::tdes_ecb;
use super::{Key, exclusive_or};
use crate::hex;

/// Public test LMK pairs 00-01 to 38-39, a double-length key each (host-commands.md section 4).
const PAIRS: [&str; 20] = [
    "01010101010101017902CD1FD36EF8BA",
    "20202020202020203131313131313131",
    "40404040404040405151515151515151",
    "61616161616161617070707070707070",
    "80808080808080809191919191919191",
    "A1A1A1A1A1A1A1A1B0B0B0B0B0B0B0B0",
    "C1C1010101010101D0D0010101010101",
    "E0E0010101010101F1F1010101010101",
    "1C587F1C13924FEF0101010101010101",
    "01010101010101010101010101010101",
    "02020202020202020404040404040404",
    "07070707070707071010101010101010",
    "13131313131313131515151515151515",
    "16161616161616161919191919191919",
    "1A1A1A1A1A1A1A1A1C1C1C1C1C1C1C1C",
    "23232323232323232525252525252525",
    "26262626262626262929292929292929",
    "2A2A2A2A2A2A2A2A2C2C2C2C2C2C2C2C",
    "2F2F2F2F2F2F2F2F3131313131313131",
    "01010101010101010101010101010101",
];

const VARIANTS: [u8; 10] = [0x00, 0xA6, 0x5A, 0x6A, 0xDE, 0x2B, 0x50, 0x74, 0x9C, 0xFA];
const DOUBLE: [u8; 2] = [0xA6, 0x5A];
const TRIPLE: [u8; 3] = [0x6A, 0xDE, 0x2B];

// Codes 00, 01 select pairs 04-05, 06-07; 02 to 0E the pairs from 14-15 on.
fn pair_of(code: &str) -> Result<usize, String> {
    let n = usize::from_str_radix(code, 16).map_err(|e| format!("type {code}: {e}"))?;
    Ok(if n < 2 { n + 2 } else { n + 5 })
}

/// The clear key of a token under the variant LMK; `key_type` is a variant digit and a pair code.
pub fn open_variant(key_type: &str, token: &str) -> Result<Key, String> {
    let variant = key_type.get(..1).and_then(|d| d.parse::<usize>().ok()).ok_or("key type")?;
    let pair = pair_of(key_type.get(1..).ok_or("key type")?)?;
    let mut lmk = hex::decode(PAIRS.get(pair).ok_or("no such pair")?)?;
    lmk[0] ^= VARIANTS[variant];
    open_parts(&lmk, token)
}

/// The clear key of a token under a double-length ZMK: `U` and `T` by the same bytes as under the LMK,
/// `X`, `Y` and untagged keys part by part (ANSI X9.17).
pub fn open_x917(zmk: &[u8], token: &str) -> Result<Key, String> {
    open_parts(zmk, token)
}

fn open_parts(wrapping: &[u8], token: &str) -> Result<Key, String> {
    let (schemes, cryptogram): (&[u8], &str) = match token.chars().next() {
        Some('U') => (&DOUBLE, &token[1..]),
        Some('T') => (&TRIPLE, &token[1..]),
        Some('X' | 'Y') => (&[], &token[1..]),
        _ => (&[], token),
    };
    let cryptogram = hex::decode(cryptogram)?;
    let mut clear = Vec::new();
    for (index, part) in cryptogram.chunks(8).enumerate() {
        let mut mask = vec![0; wrapping.len()];
        // The scheme byte goes to the first byte of the second 8-byte part.
        mask[8] = schemes.get(index).copied().unwrap_or_default();
        clear.extend(tdes_ecb(&exclusive_or(wrapping, &mask), false, part));
    }
    Ok(clear)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_example_of_type_209_opens() {
        let key = open_variant("209", "U5178C9D3D1052B15BF6AEC458B4A4564").unwrap();
        assert_eq!(hex::encode(&key), "F1F1F1F1F1F1F1F1C1C1C1C1C1C1C1C1");
        assert_eq!(super::super::check_value('T', &key, 6), "8357D9");
    }
}
