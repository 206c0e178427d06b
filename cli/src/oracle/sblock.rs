//! Key blocks of scheme `S` under the public test LMKs, version 0 (3DES) and 1 (AES), without optional blocks
//! (docs/host-commands.md section 5).

use super::{Key, bytes8, hex, keyed, unhex};
use aes::Aes256;
use cmac::{Cmac, Mac};
use des::TdesEde3;
use des::cipher::{Block, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};

/// A public test LMK for key blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestLmk {
    /// LMK 01: 3DES, blocks of version 0.
    Tdes,
    /// LMK 02: AES, blocks of version 1.
    Aes,
}

const TDES: &str = "0123456789ABCDEF8080808080808080FEDCBA9876543210";
const AES: &str = "9B71333A13F9FAE72F9D0E2DAB4AD6784718012F9244033F3F26A2DE0C8AA11A";
const HEADER: usize = 16;

// Keys for content and authenticator, and how they are used: the rest is the same in both versions.
struct Form {
    bound: Vec<u8>,
    block: usize,
    mac: usize,
    crypt: fn(&[u8], &mut [u8], bool),
    authenticate: fn(&[u8], &[u8]) -> Vec<u8>,
    key: Vec<u8>,
}

fn form(lmk: TestLmk) -> Form {
    let known = |text| unhex(text).unwrap_or_default();
    match lmk {
        TestLmk::Tdes => {
            let (lmk, masked) = (known(TDES), |lmk: &[u8], mask| lmk.iter().map(|b| b ^ mask).collect());
            let (key, bound) = (masked(&lmk, 0x45), masked(&lmk, 0x4D));
            Form { key, bound, block: 8, mac: 4, crypt: tdes_block, authenticate: tdes_cbc_mac }
        }
        TestLmk::Aes => {
            let lmk = known(AES);
            let derived = |usage| {
                let part = |n| aes_cmac(&lmk, &[n, 0, usage, 0, 0, 4, 1, 0]);
                [part(1), part(2)].concat()
            };
            let (key, bound) = (derived(0), derived(1));
            Form { key, bound, block: 16, mac: 8, crypt: aes_block, authenticate: aes_cmac }
        }
    }
}

fn aes_cmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = keyed::<Cmac<Aes256>>(key);
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

fn tdes_cbc_mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let cipher = keyed::<TdesEde3>(key);
    let chain =
        data.chunks(8).map(bytes8).fold([0; 8], |chain, block| super::one(&cipher, super::xor(chain, block)));
    chain.to_vec()
}

fn crypt<C: KeyInit + BlockCipherEncrypt + BlockCipherDecrypt>(key: &[u8], bytes: &mut [u8], back: bool) {
    let cipher = keyed::<C>(key);
    let Ok(mut block) = Block::<C>::try_from(&*bytes) else { return };
    if back {
        cipher.decrypt_block(&mut block)
    } else {
        cipher.encrypt_block(&mut block)
    }
    bytes.copy_from_slice(&block);
}

fn tdes_block(key: &[u8], bytes: &mut [u8], back: bool) {
    crypt::<TdesEde3>(key, bytes, back);
}

fn aes_block(key: &[u8], bytes: &mut [u8], back: bool) {
    crypt::<Aes256>(key, bytes, back);
}

fn mix(bytes: &mut [u8], chain: &[u8]) {
    bytes.iter_mut().zip(chain).for_each(|(b, c)| *b ^= c);
}

/// A double-length TDES key in a block with these attributes (usage to exportability, `P0TB00E`), for the LMK
/// of this identifier; `pad` fills it up.
pub fn wrap(lmk: TestLmk, attributes: &str, id: &str, key: &Key, pad: u8) -> String {
    let form = form(lmk);
    let mut content = [&[0x00, 0x80], &key[..]].concat();
    content.resize(content.len().next_multiple_of(form.block), pad);
    let length = HEADER + 2 * (content.len() + form.mac);
    let version = if lmk == TestLmk::Tdes { '0' } else { '1' };
    let header = format!("{version}{length:04}{attributes}00{id}");
    let mut chain = header.as_bytes()[..form.block].to_vec();
    for block in content.chunks_mut(form.block) {
        mix(block, &chain);
        (form.crypt)(&form.key, block, false);
        chain = block.to_vec();
    }
    let mac = (form.authenticate)(&form.bound, &[header.as_bytes(), &content].concat());
    format!("S{header}{}{}", hex(&content), hex(&mac[..form.mac]))
}

/// The double-length key in a block, which begins with its tag; `None` when it does not authenticate or holds
/// something else.
pub fn open(lmk: TestLmk, block: &str) -> Option<Key> {
    let form = form(lmk);
    let (header, rest) = block.strip_prefix('S')?.split_at_checked(HEADER)?;
    let (content, mac) = rest.split_at_checked(rest.len().checked_sub(2 * form.mac)?)?;
    let (mut content, mac) = (unhex(content)?, unhex(mac)?);
    let made = (form.authenticate)(&form.bound, &[header.as_bytes(), &content].concat());
    if made.get(..form.mac) != Some(&mac[..]) || content.len() % form.block != 0 {
        return None;
    }
    let mut chain = header.as_bytes().get(..form.block)?.to_vec();
    for block in content.chunks_mut(form.block) {
        let next = block.to_vec();
        (form.crypt)(&form.key, block, true);
        mix(block, &chain);
        chain = next;
    }
    let double = content.get(..2) == Some(&[0x00, 0x80]);
    content.get(2..18).filter(|_| double).and_then(|key| key.first_chunk().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Blocks of other units under these LMKs (tests/vectors/wire-examples.json, A6-1-00007 and A6-2-00008).
    const TDES_BLOCK: &str = "S00072K0TB00E0001D79D825EF9076DC227EABCF53CC7FF71C96B1155075981C5E5BE0C97";
    const AES_BLOCK: &str = "S10096K0TN00E00025AA37BD1F0830B7918D2377DCC6A8F60147520928341DD551C643BD4D4D53B6C\
                             D11A8BFCE7369473";

    #[test]
    fn blocks_of_others_open_and_changed_ones_do_not() {
        for (lmk, block) in [(TestLmk::Tdes, TDES_BLOCK), (TestLmk::Aes, AES_BLOCK)] {
            assert!(open(lmk, block).is_some(), "{block}");
            assert_eq!(open(lmk, &block.replace("K0T", "P0T")), None);
            assert_eq!(open(lmk, &block[..block.len() - 2]), None);
        }
        assert_eq!(open(TestLmk::Tdes, "S"), None);
    }

    #[test]
    fn what_is_wrapped_opens_again() {
        for lmk in [TestLmk::Tdes, TestLmk::Aes] {
            let block = wrap(lmk, "K0TN00E", "02", &[7; 16], 9);
            assert_eq!(open(lmk, &block), Some([7; 16]), "{block}");
        }
        assert_eq!(wrap(TestLmk::Tdes, "K0TN00E", "01", &[7; 16], 9).len(), 73);
        assert_eq!(wrap(TestLmk::Aes, "K0TN00E", "02", &[7; 16], 9).len(), 97);
    }
}
