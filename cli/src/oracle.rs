//! Cryptography of the demo and of the load tester, straight over the `des`, `aes` and `cmac` crates. It shares
//! no line with the server that it checks: what both get right is right for two reasons.

pub mod dukpt;
pub mod sblock;

use cmac::{Cmac, Mac};
use des::cipher::{Block, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use des::{Des, TdesEde2};

/// A double-length key.
pub type Key = [u8; 16];

/// Public test LMK pair 04-05, which wraps ZMKs.
pub const TEST_ZMK_PAIR: Key =
    [0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x51, 0x51, 0x51, 0x51, 0x51, 0x51, 0x51, 0x51];

fn keyed<C: KeyInit>(key: &[u8]) -> C {
    C::new_from_slice(key).unwrap_or_else(|_| unreachable!("key length is fixed by its type"))
}

fn one<C: BlockCipherEncrypt>(cipher: &C, block: [u8; 8]) -> [u8; 8] {
    let mut b = Block::<C>::try_from(&block[..]).unwrap_or_else(|_| unreachable!("8-byte block cipher"));
    cipher.encrypt_block(&mut b);
    bytes8(&b)
}

fn back<C: BlockCipherDecrypt>(cipher: &C, block: [u8; 8]) -> [u8; 8] {
    let mut b = Block::<C>::try_from(&block[..]).unwrap_or_else(|_| unreachable!("8-byte block cipher"));
    cipher.decrypt_block(&mut b);
    bytes8(&b)
}

fn bytes8(b: &[u8]) -> [u8; 8] {
    b.first_chunk().copied().unwrap_or_default()
}

/// Two-key TDES of one block.
pub fn encrypt(key: &Key, block: [u8; 8]) -> [u8; 8] {
    one(&keyed::<TdesEde2>(key), block)
}

/// Its inverse.
pub fn decrypt(key: &Key, block: [u8; 8]) -> [u8; 8] {
    back(&keyed::<TdesEde2>(key), block)
}

/// Upper-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02X}")).collect()
}

/// From hex; `None` for anything else.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|p| u8::from_str_radix(core::str::from_utf8(p).ok()?, 16).ok()).collect()
}

/// Forces odd parity.
pub fn odd(mut key: Key) -> Key {
    for b in &mut key {
        *b = (*b & 0xFE) | u8::from((*b >> 1).count_ones() % 2 == 0);
    }
    key
}

/// Check value: six digits of the encrypted zero block.
pub fn kcv(key: &Key) -> String {
    hex(&encrypt(key, [0; 8])[..3])
}

/// A key under the public variant test LMK, scheme `U`: `pair` is the LMK pair, `variant` its XOR byte.
pub fn under_test_lmk(pair: Key, variant: u8, key: &Key) -> String {
    let mut out = String::from("U");
    for (part, scheme) in key.chunks(8).zip([0xA6, 0x5A]) {
        let mut lmk = pair;
        lmk[0] ^= variant;
        lmk[8] ^= scheme;
        out += &hex(&encrypt(&lmk, bytes8(part)));
    }
    out
}

fn cbc(key: &Key, iv: [u8; 8], data: &[u8], decrypting: bool) -> Vec<u8> {
    let mut chain = iv;
    let mut out = Vec::new();
    for block in data.chunks(8).map(bytes8) {
        let made = if decrypting {
            let clear = xor(decrypt(key, block), chain);
            chain = block;
            clear
        } else {
            chain = encrypt(key, xor(block, chain));
            chain
        };
        out.extend(made);
    }
    out
}

fn xor(a: [u8; 8], b: [u8; 8]) -> [u8; 8] {
    (u64::from_be_bytes(a) ^ u64::from_be_bytes(b)).to_be_bytes()
}

fn tdes_cmac(key: &Key, data: &[u8]) -> [u8; 8] {
    let mut mac = keyed::<Cmac<TdesEde2>>(key);
    mac.update(data);
    bytes8(&mac.finalize().into_bytes())
}

// X9.143 version B: two keys of two CMAC blocks each.
fn derived(kbpk: &Key, usage: u8) -> Key {
    let mut key = [0; 16];
    for (half, counter) in key.chunks_mut(8).zip(1..) {
        half.copy_from_slice(&tdes_cmac(kbpk, &[counter, 0, usage, 0, 0, 0, 0, 0x80]));
    }
    key
}

/// A TR-31 block of version B without optional blocks, tagged `R`.
pub fn tr31_wrap(kbpk: &Key, attributes: &str, key: &Key, pad: [u8; 6]) -> String {
    let header = format!("B0080{attributes}0000");
    let payload = [&[0x00, 0x80], &key[..], &pad[..]].concat();
    let mac = tdes_cmac(&derived(kbpk, 1), &[header.as_bytes(), &payload].concat());
    format!("R{header}{}{}", hex(&cbc(&derived(kbpk, 0), mac, &payload, false)), hex(&mac))
}

/// Opens one; `None` when it does not authenticate or does not hold a double-length key.
pub fn tr31_unwrap(kbpk: &Key, block: &str) -> Option<Key> {
    let block = block.strip_prefix("RB")?;
    let (header, rest) = (format!("B{}", block.get(..15)?), block.get(15..)?);
    let (payload, mac) = rest.split_at_checked(rest.len().checked_sub(16)?)?;
    let mac = bytes8(&unhex(mac)?);
    let payload = cbc(&derived(kbpk, 0), mac, &unhex(payload)?, true);
    let authentic = tdes_cmac(&derived(kbpk, 1), &[header.as_bytes(), &payload].concat()) == mac;
    (authentic && payload.get(..2) == Some(&[0x00, 0x80]))
        .then(|| payload.get(2..18).and_then(|k| k.first_chunk().copied()))
        .flatten()
}

fn digits_block(text: &str) -> [u8; 8] {
    bytes8(&unhex(text).unwrap_or_default())
}

/// A clear ISO format 0 block.
pub fn iso0(pin: &str, account: &str) -> [u8; 8] {
    let field = digits_block(&format!("{:02}{pin:F<14}", pin.len()));
    xor(field, digits_block(&format!("0000{account}")))
}

// Digits first, then letters less ten, as the Visa methods decimalise.
fn decimal(block: [u8; 8], count: usize) -> String {
    let text = hex(&block);
    let digits = text.chars().filter(char::is_ascii_digit);
    let letters = text.chars().filter(|c| !c.is_ascii_digit()).map(|c| char::from(c as u8 - b'A' + b'0'));
    digits.chain(letters).take(count).collect()
}

/// Card verification value of a 16-digit PAN.
pub fn cvv(key: &Key, pan: &str, expiry: &str, service: &str) -> String {
    let data = format!("{:0<32}", format!("{pan}{expiry}{service}"));
    let (left, right) = (digits_block(&data[..16]), digits_block(&data[16..]));
    let single = keyed::<Des>(&key[..8]);
    let chained = xor(one(&single, left), right);
    decimal(encrypt(key, chained), 3)
}

/// Visa PIN verification value.
pub fn pvv(key: &Key, pin: &str, account: &str, index: &str) -> String {
    decimal(encrypt(key, digits_block(&format!("{}{index}{}", &account[1..], &pin[..4]))), 4)
}

/// IBM 3624 offset over the plain decimalisation table 0123456789012345.
pub fn ibm_offset(key: &Key, pin: &str, validation: &str) -> String {
    let natural = hex(&encrypt(key, digits_block(validation)));
    let natural = natural.bytes().map(|c| if c.is_ascii_digit() { c - b'0' } else { c - b'A' });
    pin.bytes().zip(natural).map(|(p, n)| char::from(b'0' + (p - b'0' + 10 - n) % 10)).collect()
}

/// Retail MAC (ISO 9797-1 algorithm 3) over whole blocks.
pub fn retail_mac(key: &Key, data: &[u8]) -> [u8; 8] {
    let (left, right) = (keyed::<Des>(&key[..8]), keyed::<Des>(&key[8..]));
    let chain = data.chunks(8).map(bytes8).fold([0; 8], |chain, block| one(&left, xor(chain, block)));
    one(&left, back(&right, chain))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Published examples, so that the oracle itself is checked: X9.143 wraps round trip, the CVV and PVV of
    // the vendor examples in tests/vectors.
    #[test]
    fn tr31_round_trip_and_tamper() {
        let kbpk = odd([0x3B; 16]);
        let block = tr31_wrap(&kbpk, "P0TB00E", &[7; 16], [9; 6]);
        assert_eq!(block.len(), 81);
        assert_eq!(tr31_unwrap(&kbpk, &block), Some([7; 16]));
        assert_eq!(tr31_unwrap(&kbpk, &block.replace("P0TB", "P0TE")), None);
    }

    #[test]
    fn variant_example_of_a_physical_unit() {
        let pair = core::array::from_fn(|i| if i < 8 { 0x1A } else { 0x1C });
        let key = core::array::from_fn(|i| if i < 8 { 0xF1 } else { 0xC1 });
        assert_eq!(under_test_lmk(pair, 0x5A, &key), "U5178C9D3D1052B15BF6AEC458B4A4564");
        assert_eq!(kcv(&key), "8357D9");
    }

    #[test]
    fn card_values() {
        let key = unhex("0123456789ABCDEFFEDCBA9876543210").and_then(|k| k.first_chunk().copied()).unwrap();
        assert_eq!(cvv(&key, "4123456789012345", "8701", "101"), "561");
        assert_eq!(iso0("1234", "400000123456"), [0x04, 0x12, 0x74, 0xFF, 0xFF, 0xED, 0xCB, 0xA9]);
    }
}
