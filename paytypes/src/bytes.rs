//! Small byte helpers that cannot panic, so that formulas stay readable under the strict lints.

use zeroize::Zeroize;

/// XORs `mask` into `target`, over the shorter of the two lengths.
pub fn xor_into(target: &mut [u8], mask: &[u8]) {
    for (t, m) in target.iter_mut().zip(mask) {
        *t ^= m;
    }
}

/// Makes room for `more` bytes. A vector that grows by itself leaves what it held in memory that nobody wipes; this
/// one wipes the memory that it moves out of.
#[inline]
pub fn grow(bytes: &mut Vec<u8>, more: usize) {
    if more > bytes.capacity().wrapping_sub(bytes.len()) {
        move_out(bytes, more);
    }
}

#[cold]
#[inline(never)]
fn move_out(bytes: &mut Vec<u8>, more: usize) {
    let wanted = bytes.len().saturating_add(more);
    let mut larger = Vec::with_capacity(wanted.checked_next_power_of_two().unwrap_or(wanted).max(4096));
    larger.extend_from_slice(bytes);
    bytes.zeroize();
    *bytes = larger;
}

/// The first `N` bytes of `from`, zero filled on the right when there are fewer.
#[inline]
pub fn left<const N: usize>(from: &[u8]) -> [u8; N] {
    if let Some(whole) = from.first_chunk() {
        return *whole;
    }
    let mut out = [0; N];
    for (o, b) in out.iter_mut().zip(from) {
        *o = *b;
    }
    out
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = ONES << 7;

/// True when all characters are printable ASCII. All are looked at, whatever they are, eight together: without its
/// high bit no character reaches the next one by a sum.
#[inline]
pub fn is_printable(text: &[u8]) -> bool {
    const fn bad(x: u64) -> u64 {
        let low = x & !HIGH_BITS;
        // From 0x20, a blank, the first sum reaches the high bit; from 0x7F, behind the tilde, the second.
        let below = !low.wrapping_add(ONES.wrapping_mul(0x60));
        let beyond = low.wrapping_add(ONES);
        (x | below | beyond) & HIGH_BITS
    }
    let (eights, rest) = text.as_chunks::<8>();
    let found = eights.iter().fold(0, |found, eight| found | bad(u64::from_le_bytes(*eight)));
    found == 0 && rest.iter().all(|c| matches!(c, b' '..=b'~'))
}

/// The last `N` bytes of `from`, zero filled on the left when there are fewer.
pub fn right<const N: usize>(from: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    for (o, b) in out.iter_mut().rev().zip(from.iter().rev()) {
        *o = *b;
    }
    out
}

/// The half-byte at `index`, counted from the left; 0 outside the slice.
pub fn nibble(bytes: &[u8], index: usize) -> u8 {
    let byte = bytes.get(index >> 1).copied().unwrap_or_default();
    if index & 1 == 0 { byte >> 4 } else { byte & 0x0F }
}

/// Sets the half-byte at `index`, counted from the left; nothing happens outside the slice.
pub fn set_nibble(bytes: &mut [u8], index: usize, value: u8) {
    if let Some(byte) = bytes.get_mut(index >> 1) {
        *byte = if index & 1 == 0 { (*byte & 0x0F) | (value << 4) } else { (*byte & 0xF0) | (value & 0x0F) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_judged_wherever_they_stand() {
        for length in 1..=20 {
            for (at, c) in (0..length).flat_map(|at| (0..=255u8).map(move |c| (at, c))) {
                for fill in [b' ', b'A', b'~'] {
                    let mut text = vec![fill; length];
                    text[at] = c;
                    assert_eq!(is_printable(&text), matches!(c, b' '..=b'~'), "{c:02X} at {at} of {length}");
                }
            }
        }
        assert!(is_printable(b""));
    }

    #[test]
    fn nibbles_round_trip_and_stay_inside() {
        let mut block = [0u8; 2];
        for i in 0..6 {
            set_nibble(&mut block, i, u8::try_from(i).unwrap() + 1);
        }
        assert_eq!(block, [0x12, 0x34]);
        assert_eq!(nibble(&block, 3), 4);
        assert_eq!(nibble(&block, 4), 0);
    }

    #[test]
    fn left_and_right_fill_with_zero() {
        assert_eq!(left::<3>(&[1, 2]), [1, 2, 0]);
        assert_eq!(right::<3>(&[1, 2]), [0, 1, 2]);
        assert_eq!(right::<2>(&[1, 2, 3]), [2, 3]);
    }
}
