//! The keys of a key-block LMK that serve other things than wrapping keys, derived from it: never one that
//! wraps blocks. Every backend derives the same ones, so that what a host stored under one opens under another.

use crate::LmkPurpose;
use paytypes::bytes::xor_into;
use paytypes::{Cipher, CipherError, CipherKind, MacAlgorithm};
use zeroize::Zeroizing;

/// The working key of a key-block LMK for a purpose.
///
/// 3DES: the LMK with a mask of its own, as KBEK and KBAK are (0x45, 0x4D); the masks here are ours.
/// AES: CMAC in counter mode over a label of ours, as in SP 800-108, 256 bits.
pub async fn lmk_working_key<C: Cipher>(
    cipher: &C,
    lmk: &C::Key,
    purpose: LmkPurpose,
) -> Result<C::Key, CipherError> {
    let label = match purpose {
        LmkPurpose::PinStorage => b'P',
        LmkPurpose::DecimalisationTable => b'T',
    };
    let shape = cipher.shape(lmk);
    if shape.kind != CipherKind::Aes {
        let mask = [label; 24];
        return cipher.variant(lmk, mask.get(..shape.length).unwrap_or_default()).await;
    }
    let mut clear = Zeroizing::new([0u8; 32]);
    for (counter, half) in (1u8..).zip(clear.chunks_exact_mut(16)) {
        let data = [counter, b'L', b'M', b'K', label, 0, 0x01, 0x00];
        let made = cipher.mac(lmk, MacAlgorithm::Cmac, &[0; 16], &data).await?;
        half.fill(0);
        xor_into(half, made.as_bytes());
    }
    cipher.load(CipherKind::Aes, clear.as_slice()).await
}
