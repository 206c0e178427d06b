//! Check values, parity and message authentication.

use super::input::{Input, Out, Refused, hex_of, ready};
use cardcrypto::mac::{self, Algorithm, HmacHash, Padding, Part};
use paytypes::soft::Soft;
use paytypes::{CipherKind, parity};
use tr31::{Kcv, kcv_cmac as cmac_value, kcv_legacy as legacy_value};

fn shown(given: &Input<'_>, value: &Kcv) -> Out {
    match given.number("n")? {
        n @ 1..=8 => Ok(hex_of("kcv", value.bytes(n))),
        _ => Err(Refused::new("block_length", "n: 1 to 8 bytes of check value")),
    }
}

pub fn kcv_legacy(given: &Input<'_>) -> Out {
    let key = given.key("key", given.algorithm()?)?;
    shown(given, &ready(legacy_value(&Soft, &key))?)
}

pub fn kcv_cmac(given: &Input<'_>) -> Out {
    let key = given.key("key", given.algorithm()?)?;
    shown(given, &ready(cmac_value(&Soft, &key))?)
}

pub fn odd_parity(given: &Input<'_>) -> Out {
    let mut key = given.hex("key", "key_size")?;
    parity::make_odd(&mut key);
    Ok(hex_of("key", &key))
}

fn block_mac(given: &Input<'_>, algorithm: Algorithm, padding: Padding) -> Out {
    let (key, data) = (given.key("key", given.algorithm()?)?, given.hex("data", "bad_char")?);
    let made = ready(mac::mac(&Soft, &key, algorithm, padding, Part::Only, &data))?;
    Ok(hex_of("mac", made.as_bytes()))
}

fn padding(given: &Input<'_>) -> Result<Padding, Refused> {
    match given.number("pad")? {
        0 => Ok(Padding::None),
        1 => Ok(Padding::Zeros),
        2 => Ok(Padding::Bit),
        3 => Ok(Padding::Length),
        _ => Err(Refused::input("pad: 0 to 3")),
    }
}

pub fn iso9797_1(given: &Input<'_>) -> Out {
    block_mac(given, Algorithm::Cbc, padding(given)?)
}

pub fn iso9797_3(given: &Input<'_>) -> Out {
    if given.key("key", given.algorithm()?)?.shape().kind != CipherKind::Tdes {
        return Err(Refused::new("key_size", "algorithm 3 takes a TDES key"));
    }
    block_mac(given, Algorithm::Retail, padding(given)?)
}

pub fn cmac(given: &Input<'_>) -> Out {
    block_mac(given, Algorithm::Cmac, Padding::None)
}

pub fn hmac(given: &Input<'_>) -> Out {
    let hash = match given.text("hash")? {
        "sha1" => HmacHash::Sha1,
        "sha224" => HmacHash::Sha224,
        "sha256" => HmacHash::Sha256,
        "sha384" => HmacHash::Sha384,
        "sha512" => HmacHash::Sha512,
        _ => return Err(Refused::input("hash: sha1, sha224, sha256, sha384 or sha512")),
    };
    let made = mac::hmac(hash, &given.hex("key", "key_size")?, &given.hex("data", "bad_char")?)?;
    Ok(hex_of("mac", made.as_bytes()))
}
