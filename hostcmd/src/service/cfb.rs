//! Cipher feedback (NIST SP 800-38A 6.3) over the block cipher of the seam, with segments shorter than a
//! block: CFB8 and CFB64.

use paytypes::bytes::xor_into;
use paytypes::{Cipher, CipherError, Direction};
use zeroize::Zeroizing;

/// Segments that are deciphered in one operation: bounds the copy that they need.
const TOGETHER: usize = 256;

/// Enciphers or deciphers in place. `data` is whole segments, `register` one block; it is left as the
/// register for data that follows.
pub async fn cfb<C: Cipher>(
    cipher: &C,
    key: &C::Key,
    way: Direction,
    segment: usize,
    register: &mut [u8],
    data: &mut [u8],
) -> Result<(), CipherError> {
    let block = cipher.shape(key).kind.block_length();
    let fits = register.len() == block && (1..=block).contains(&segment);
    if !fits || data.len().checked_rem(segment) != Some(0) {
        return Err(CipherError::DataLength);
    }
    match way {
        Direction::Encrypt => encipher(cipher, key, segment, register, data).await,
        Direction::Decrypt => {
            for part in data.chunks_mut(segment.saturating_mul(TOGETHER)) {
                decipher(cipher, key, segment, register, part).await?;
            }
            Ok(())
        }
    }
}

// Each register needs the segment before it, so there is no more than one block at a time.
async fn encipher<C: Cipher>(
    cipher: &C,
    key: &C::Key,
    segment: usize,
    register: &mut [u8],
    data: &mut [u8],
) -> Result<(), CipherError> {
    let mut room = Zeroizing::new([0u8; 16]);
    for part in data.chunks_mut(segment) {
        let stream = room.get_mut(..register.len()).unwrap_or_default();
        stream.copy_from_slice(register);
        cipher.ecb(key, Direction::Encrypt, stream).await?;
        xor_into(part, stream);
        shift(register, part);
    }
    Ok(())
}

// All registers are known before anything is deciphered, so all of them are ciphered together.
async fn decipher<C: Cipher>(
    cipher: &C,
    key: &C::Key,
    segment: usize,
    register: &mut [u8],
    data: &mut [u8],
) -> Result<(), CipherError> {
    let segments = data.len().checked_div(segment).unwrap_or_default();
    let mut stream = Zeroizing::new(Vec::with_capacity(segments.saturating_mul(register.len())));
    for part in data.chunks(segment) {
        stream.extend_from_slice(register);
        shift(register, part);
    }
    cipher.ecb(key, Direction::Encrypt, &mut stream).await?;
    for (part, stream) in data.chunks_mut(segment).zip(stream.chunks(register.len())) {
        xor_into(part, stream);
    }
    Ok(())
}

// Cipher text goes into the register from the right.
fn shift(register: &mut [u8], part: &[u8]) {
    register.rotate_left(part.len().min(register.len()));
    let start = register.len().saturating_sub(part.len());
    if let Some(end) = register.get_mut(start..) {
        end.copy_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paytypes::soft::{Soft, SoftKey};
    use paytypes::{CipherKind, hex, now};

    fn run(key: &SoftKey, way: Direction, segment: usize, iv: &[u8], data: &mut [u8]) -> Vec<u8> {
        let mut register = iv.to_vec();
        now(cfb(&Soft, key, way, segment, &mut register, data)).unwrap().unwrap();
        register
    }

    // NIST SP 800-38A F.3.7: CFB8 with AES-128.
    #[test]
    fn published_cfb8() {
        let key =
            SoftKey::new(CipherKind::Aes, &hex::decode::<16>(b"2B7E151628AED2A6ABF7158809CF4F3C").unwrap());
        let iv = hex::decode::<16>(b"000102030405060708090A0B0C0D0E0F").unwrap();
        let clear = hex::decode::<18>(b"6BC1BEE22E409F96E93D7E117393172AAE2D").unwrap();
        let mut data = clear;
        run(key.as_ref().unwrap(), Direction::Encrypt, 1, &iv, &mut data);
        assert_eq!(hex::encode(&data), "3B79424C9C0DD436BACE9E0ED4586A4F32B9");
        run(key.as_ref().unwrap(), Direction::Decrypt, 1, &iv, &mut data);
        assert_eq!(data, clear);
    }

    #[test]
    fn parts_equal_the_whole_in_both_directions() {
        for (kind, length) in [(CipherKind::Tdes, 16), (CipherKind::Tdes, 24), (CipherKind::Aes, 32)] {
            let bytes: Vec<u8> = (1..=length).collect();
            let key = SoftKey::new(kind, &bytes).unwrap();
            let iv = vec![0x5A; kind.block_length()];
            for segment in [1, 8] {
                let clear: Vec<u8> = (0..=255u8).cycle().take(3000).collect();
                let mut whole = clear.clone();
                let last = run(&key, Direction::Encrypt, segment, &iv, &mut whole);
                let mut parts = clear.clone();
                let (a, b) = parts.split_at_mut(1200);
                let between = run(&key, Direction::Encrypt, segment, &iv, a);
                assert_eq!(run(&key, Direction::Encrypt, segment, &between, b), last);
                assert_eq!(parts, whole);
                assert_eq!(run(&key, Direction::Decrypt, segment, &iv, &mut whole), last);
                assert_eq!(whole, clear);
            }
        }
    }

    #[test]
    fn refusals() {
        let key = SoftKey::new(CipherKind::Tdes, &[1; 16]).unwrap();
        let attempt = |segment, register: &mut [u8], data: &mut [u8]| {
            now(cfb(&Soft, &key, Direction::Encrypt, segment, register, data)).unwrap()
        };
        assert_eq!(attempt(8, &mut [0; 8], &mut [0; 12]), Err(CipherError::DataLength));
        assert_eq!(attempt(8, &mut [0; 16], &mut [0; 16]), Err(CipherError::DataLength));
        assert_eq!(attempt(0, &mut [0; 8], &mut [0; 8]), Err(CipherError::DataLength));
        assert_eq!(attempt(9, &mut [0; 8], &mut [0; 9]), Err(CipherError::DataLength));
    }
}
