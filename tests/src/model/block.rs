//! Key blocks: `S` of versions 0 and 1 (host-commands.md section 5), TR-31 of versions B and D
//! (ANSI X9.143).

use super::cipher::{aes_cmac, cbc_decrypt, tdes_cbc_mac, tdes_cmac};
use super::{Alg, Key};
use crate::hex;

/// Header fields of a key block.
#[derive(Debug, PartialEq, Eq)]
pub struct Header {
    /// Version id.
    pub version: String,
    /// Key usage.
    pub usage: String,
    /// Algorithm.
    pub algorithm: String,
    /// Mode of use.
    pub mode: String,
    /// Key version number.
    pub number: String,
    /// Exportability.
    pub exportability: String,
    /// Two reserved characters of TR-31, the LMK identifier of an `S` block.
    pub lmk: String,
}

impl Header {
    /// A field by the name that the file of wire examples gives it.
    pub fn field(&self, name: &str) -> Option<&str> {
        Some(match name {
            "ver" => &self.version,
            "usage" => &self.usage,
            "alg" => &self.algorithm,
            "mode" => &self.mode,
            "vnum" => &self.number,
            "exp" => &self.exportability,
            "lmkid" => &self.lmk,
            _ => return None,
        })
    }
}

struct Parts<'a> {
    header: Header,
    // Header and optional blocks as they stand.
    front: &'a str,
    cryptogram: Vec<u8>,
    mac: Vec<u8>,
}

fn parts(block: &str, mac_digits: usize) -> Result<Parts<'_>, String> {
    let header = block.get(..16).ok_or("block shorter than its header")?;
    if header[1..5].parse() != Ok(block.len()) {
        return Err(format!("length field of {block}"));
    }
    let mut front = 16;
    for _ in 0..header[12..14].parse::<usize>().map_err(|e| e.to_string())? {
        let length = block.get(front + 2..front + 4).ok_or("optional block")?;
        front += usize::from_str_radix(length, 16).map_err(|e| e.to_string())?;
    }
    let end = block.len().checked_sub(mac_digits).ok_or("no MAC")?;
    let field = |from: usize, to: usize| header[from..to].to_owned();
    Ok(Parts {
        header: Header {
            version: field(0, 1),
            usage: field(5, 7),
            algorithm: field(7, 8),
            mode: field(8, 9),
            number: field(9, 11),
            exportability: field(11, 12),
            lmk: field(14, 16),
        },
        front: &block[..front],
        cryptogram: hex::decode(block.get(front..end).ok_or("no key")?)?,
        mac: hex::decode(&block[end..])?,
    })
}

// Bit length, key, padding.
fn inner_key(clear: &[u8]) -> Result<Key, String> {
    let bits =
        clear.first_chunk::<2>().map(|b| usize::from(u16::from_be_bytes(*b))).ok_or("no key length")?;
    clear[2..].get(..bits / 8).map(<[u8]>::to_vec).ok_or(format!("key of {bits} bits does not fit"))
}

// Derivation by CMAC in counter mode: counter, usage, separator, algorithm, length in bits.
fn derive(alg: Alg, kbpk: &[u8], usage: u8) -> Key {
    let (algorithm, size) = match (alg, kbpk.len()) {
        ('A', 16) => (2, 16),
        ('A', 24) => (3, 16),
        ('A', _) => (4, 16),
        (_, 16) => (0, 8),
        _ => (1, 8),
    };
    let bits = u16::try_from(kbpk.len() * 8).expect("short").to_be_bytes();
    let mut key = Vec::new();
    for counter in 1u8.. {
        let data = [counter, 0, usage, 0, 0, algorithm, bits[0], bits[1]];
        key.extend(if size == 16 { aes_cmac(kbpk, &data) } else { tdes_cmac(kbpk, &data) });
        if key.len() >= kbpk.len() {
            break;
        }
    }
    key.truncate(kbpk.len());
    key
}

/// Header and clear key of an `S` block, without its tag, under a key-block LMK.
pub fn open_s(lmk: &[u8], block: &str) -> Result<(Header, Key), String> {
    let version_1 = block.starts_with('1');
    let parts = parts(block, if version_1 { 16 } else { 8 })?;
    let authenticated = [parts.front.as_bytes(), &parts.cryptogram].concat();
    let (mac, clear) = if version_1 {
        let mac = aes_cmac(&derive('A', lmk, 1), &authenticated);
        (mac, cbc_decrypt('A', &derive('A', lmk, 0), &parts.front.as_bytes()[..16], &parts.cryptogram))
    } else {
        let masked = |mask: u8| lmk.iter().map(|b| b ^ mask).collect::<Key>();
        let mac = tdes_cbc_mac(&masked(0x4D), &authenticated);
        (mac, cbc_decrypt('T', &masked(0x45), &parts.front.as_bytes()[..8], &parts.cryptogram))
    };
    if mac[..parts.mac.len()] != parts.mac {
        return Err(format!("MAC of {block}"));
    }
    Ok((parts.header, inner_key(&clear)?))
}

/// Header and clear key of a TR-31 block of version B or D, without vendor prefix.
pub fn open_tr31(kbpk: &[u8], block: &str) -> Result<(Header, Key), String> {
    let (alg, mac_digits) = match block.chars().next() {
        Some('B') => ('T', 16),
        Some('D') => ('A', 32),
        other => return Err(format!("TR-31 version {other:?}")),
    };
    let parts = parts(block, mac_digits)?;
    let clear = cbc_decrypt(alg, &derive(alg, kbpk, 0), &parts.mac, &parts.cryptogram);
    let authenticated = [parts.front.as_bytes(), &clear].concat();
    let mac_key = derive(alg, kbpk, 1);
    let mac =
        if alg == 'A' { aes_cmac(&mac_key, &authenticated) } else { tdes_cmac(&mac_key, &authenticated) };
    if mac != parts.mac {
        return Err(format!("MAC of {block}"));
    }
    Ok((parts.header, inner_key(&clear)?))
}
