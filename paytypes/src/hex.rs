//! Hexadecimal text, upper case on the way out. Allocation-free forms for the hot path.

use crate::ValueError;

/// The value of one upper- or lower-case hex digit.
pub const fn digit(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c ^ 0x30),
        b'A'..=b'F' => Some(c.wrapping_sub(b'A').wrapping_add(10)),
        b'a'..=b'f' => Some(c.wrapping_sub(b'a').wrapping_add(10)),
        _ => None,
    }
}

/// The upper-case hex digit of the low half-byte.
pub const fn letter(nibble: u8) -> u8 {
    let n = nibble & 0x0F;
    if n < 10 { n | 0x30 } else { n.wrapping_add(b'A' - 10) }
}

/// Decodes `text` into `out`; the text must be exactly twice as long.
pub fn decode_into(text: &[u8], out: &mut [u8]) -> Result<(), ValueError> {
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != out.len() {
        return Err(ValueError::Length);
    }
    for (o, [high, low]) in out.iter_mut().zip(pairs) {
        let high = digit(*high).ok_or(ValueError::Digit)?;
        let low = digit(*low).ok_or(ValueError::Digit)?;
        *o = (high << 4) | low;
    }
    Ok(())
}

/// Decodes exactly `N` bytes.
pub fn decode<const N: usize>(text: &[u8]) -> Result<[u8; N], ValueError> {
    let mut out = [0; N];
    decode_into(text, &mut out)?;
    Ok(out)
}

/// Decodes text of any even length.
pub fn decode_vec(text: &[u8]) -> Result<Vec<u8>, ValueError> {
    let mut out = vec![0; text.len() >> 1];
    decode_into(text, &mut out)?;
    Ok(out)
}

/// Appends the upper-case hex text of `bytes` to `out`.
pub fn encode_into(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend(bytes.iter().flat_map(|b| [letter(b >> 4), letter(*b)]));
}

/// Upper-case hex text of `bytes`.
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|b| [letter(b >> 4), letter(*b)]).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_of_every_byte() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode_vec(encode(&all).as_bytes()).unwrap(), all);
        assert_eq!(decode_vec(encode(&all).to_lowercase().as_bytes()).unwrap(), all);
    }

    #[test]
    fn refuses_odd_length_and_other_letters() {
        assert_eq!(decode::<1>(b"1"), Err(ValueError::Length));
        assert_eq!(decode::<1>(b"1G"), Err(ValueError::Digit));
        assert_eq!(decode::<2>(b"12"), Err(ValueError::Length));
    }
}
