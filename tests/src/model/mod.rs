//! An independent model of what the server computes, over the cipher crates alone: how keys are wrapped
//! under an LMK or ZMK, check values, PIN blocks and the initial key of AES DUKPT. Written from
//! host-commands.md sections 4 to 6, ANSI X9.143, ISO 9564-1 and ANSI X9.24-3.

mod block;
mod cipher;
mod pin;
mod variant;

pub use block::{Header, open_s, open_tr31};
pub use cipher::{aes_cmac, aes_ecb, check_value, tdes_cbc_mac, tdes_ecb};
pub use pin::pin_of;
pub use variant::{open_variant, open_x917};

/// A clear key.
pub type Key = Vec<u8>;

/// Cipher of a key: `T` for DES and TDES, `A` for AES.
pub type Alg = char;

/// Public key-block test LMK of version 0 (host-commands.md section 4).
pub const TDES_BLOCK_LMK: &str = "0123456789ABCDEF8080808080808080FEDCBA9876543210";

/// Public key-block test LMK of version 1 (host-commands.md section 4).
pub const AES_BLOCK_LMK: &str = "9B71333A13F9FAE72F9D0E2DAB4AD6784718012F9244033F3F26A2DE0C8AA11A";

/// Initial key of an AES DUKPT terminal (ANSI X9.24-3, derivation data of an AES-128 initial key).
pub fn aes_initial_key(bdk: &[u8], initial_key_id: &[u8]) -> Key {
    // Version 1, counter 1, usage 8001 (initial key), algorithm AES-128, 128 bits, initial key identifier.
    let mut data = vec![0x01, 0x01, 0x80, 0x01, 0x00, 0x02, 0x00, 0x80];
    data.extend_from_slice(initial_key_id);
    aes_ecb(bdk, true, &data)
}

fn exclusive_or(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}
