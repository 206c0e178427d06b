//! TDES DUKPT (ANSI X9.24-1): from a BDK and a KSN to the key of a PIN.

use super::{Key, bytes8, encrypt, keyed, one, xor};
use des::Des;

/// Bits of the last three bytes of a KSN that count transactions.
const COUNTER: u64 = 0x1F_FFFF;
const HALF_MASK: u64 = 0xC0C0_C0C0_0000_0000;

fn halves(key: &Key) -> [u64; 2] {
    let (left, right) = key.split_at(8);
    [u64::from_be_bytes(bytes8(left)), u64::from_be_bytes(bytes8(right))]
}

fn joined([left, right]: [u64; 2]) -> Key {
    (u128::from(left) << 64 | u128::from(right)).to_be_bytes()
}

fn masked(key: &Key, mask: u64) -> Key {
    joined(halves(key).map(|half| half ^ mask))
}

// The first key of a device: of the eight bytes of its KSN that do not count.
fn initial(bdk: &Key, ksn: &[u8; 10]) -> Key {
    let device = (u64::from_be_bytes(bytes8(ksn)) & !(COUNTER >> 16)).to_be_bytes();
    let half = |key: &Key| u64::from_be_bytes(encrypt(key, device));
    joined([half(bdk), half(&masked(bdk, HALF_MASK))])
}

// The step that cannot be undone: one half under the key, the other under the key with the mask.
fn onward(key: &Key, register: u64) -> Key {
    let half = |key: &Key| {
        let [left, right] = halves(key);
        let single = keyed::<Des>(&left.to_be_bytes());
        let right = right.to_be_bytes();
        u64::from_be_bytes(xor(one(&single, xor(register.to_be_bytes(), right)), right))
    };
    joined([half(&masked(key, HALF_MASK)), half(key)])
}

/// The key of the PIN of one transaction.
pub fn pin_key(bdk: &Key, ksn: &[u8; 10]) -> Key {
    let last = u64::from_be_bytes(bytes8(&ksn[2..]));
    let mut register = last & !COUNTER;
    let mut key = initial(bdk, ksn);
    for bit in (0..21).rev().map(|shift| 1 << shift).filter(|bit| last & bit != 0) {
        register |= bit;
        key = onward(&key, register);
    }
    masked(&key, 0xFF)
}

#[cfg(test)]
mod tests {
    use super::super::{hex, iso0, unhex};
    use super::*;

    // Sample data of ANSI X9.24-1, annex A: PIN 1234, account 401234567890.
    #[test]
    fn samples_of_the_standard() {
        let bdk = unhex("0123456789ABCDEFFEDCBA9876543210").and_then(|k| k.first_chunk().copied()).unwrap();
        for (counter, block) in [(1, "1B9C1845EB993A7A"), (2, "10A01C8D02C69107"), (3, "18DC07B94797B466")] {
            let ksn = unhex(&format!("FFFF9876543210E{counter:05X}")).unwrap();
            let key = pin_key(&bdk, ksn.first_chunk().unwrap());
            assert_eq!(hex(&encrypt(&key, iso0("1234", "401234567890"))), block);
        }
    }
}
