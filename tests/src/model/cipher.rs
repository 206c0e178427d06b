//! Ciphers and MACs over the cipher crates.

use super::{Alg, Key, exclusive_or};
use aes::{Aes128, Aes192, Aes256};
use cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use cmac::{Cmac, Mac};
use des::TdesEde3;

fn ecb<C: KeyInit + BlockCipherEncrypt + BlockCipherDecrypt>(
    key: &[u8],
    encrypt: bool,
    data: &[u8],
) -> Vec<u8> {
    let cipher = C::new_from_slice(key).expect("key length");
    let size = C::block_size();
    assert!(data.len().is_multiple_of(size), "whole blocks");
    let block = |bytes: &[u8]| {
        let mut block = Array::try_from(bytes).expect("a block");
        if encrypt {
            cipher.encrypt_block(&mut block)
        } else {
            cipher.decrypt_block(&mut block)
        }
        block.to_vec()
    };
    data.chunks(size).flat_map(block).collect()
}

// A DES key three times is DES, a double-length key K1 K2 K1 is two-key TDES.
fn triple(key: &[u8]) -> Key {
    match key.len() {
        8 => [key, key, key].concat(),
        16 => [key, &key[..8]].concat(),
        _ => key.to_vec(),
    }
}

/// DES or TDES, electronic code book.
pub fn tdes_ecb(key: &[u8], encrypt: bool, data: &[u8]) -> Vec<u8> {
    ecb::<TdesEde3>(&triple(key), encrypt, data)
}

/// AES, electronic code book.
pub fn aes_ecb(key: &[u8], encrypt: bool, data: &[u8]) -> Vec<u8> {
    match key.len() {
        16 => ecb::<Aes128>(key, encrypt, data),
        24 => ecb::<Aes192>(key, encrypt, data),
        _ => ecb::<Aes256>(key, encrypt, data),
    }
}

pub(super) fn cbc_decrypt(alg: Alg, key: &[u8], iv: &[u8], data: &[u8]) -> Vec<u8> {
    let clear = if alg == 'A' { aes_ecb(key, false, data) } else { tdes_ecb(key, false, data) };
    let mask = [iv, data].concat();
    exclusive_or(&clear, &mask)
}

/// TDES CBC-MAC, whole blocks, initial value zero: the last block.
pub fn tdes_cbc_mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    data.chunks(8).fold(vec![0; 8], |mac, block| tdes_ecb(key, true, &exclusive_or(&mac, block)))
}

/// AES CMAC (NIST SP 800-38B).
pub fn aes_cmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    match key.len() {
        16 => Cmac::<Aes128>::new_from_slice(key)
            .expect("key")
            .chain_update(data)
            .finalize()
            .into_bytes()
            .to_vec(),
        24 => Cmac::<Aes192>::new_from_slice(key)
            .expect("key")
            .chain_update(data)
            .finalize()
            .into_bytes()
            .to_vec(),
        _ => Cmac::<Aes256>::new_from_slice(key)
            .expect("key")
            .chain_update(data)
            .finalize()
            .into_bytes()
            .to_vec(),
    }
}

/// TDES CMAC.
pub(super) fn tdes_cmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let cmac = Cmac::<TdesEde3>::new_from_slice(&triple(key)).expect("key");
    cmac.chain_update(data).finalize().into_bytes().to_vec()
}

/// Check value: TDES encrypts a zero block, AES is the CMAC of one (host-commands.md section 9).
pub fn check_value(alg: Alg, key: &[u8], digits: usize) -> String {
    let value = if alg == 'A' { aes_cmac(key, &[0; 16]) } else { tdes_ecb(key, true, &[0; 8]) };
    crate::hex::encode(&value)[..digits].to_owned()
}
