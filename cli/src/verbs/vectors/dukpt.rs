//! DUKPT keys.

use super::input::{Input, Out, Refused, hex_of, ready};
use cardcrypto::dukpt::{aes, tdes};
use paytypes::Drawn;
use paytypes::soft::Soft;
use pinblock::{Format, encipher};

pub fn tdes_initial(given: &Input<'_>) -> Out {
    let initial = ready(tdes::InitialKey::derive(&Soft, &given.key("bdk", "T")?, &given.ksn()?))?;
    Ok(hex_of("ik", initial.expose().expose()))
}

const PURPOSES: [(&str, tdes::Purpose); 5] = [
    ("pin", tdes::Purpose::Pin),
    ("mac_req", tdes::Purpose::MacRequest),
    ("mac_rsp", tdes::Purpose::MacResponse),
    ("data_req", tdes::Purpose::DataRequest),
    ("data_rsp", tdes::Purpose::DataResponse),
];

pub fn tdes_keys(given: &Input<'_>) -> Out {
    let (bdk, ksn) = (given.key("bdk", "T")?, given.ksn()?);
    let initial = ready(tdes::InitialKey::derive(&Soft, &bdk, &ksn))?;
    let transaction = ready(initial.transaction_key(&Soft, ksn.counter()))?;
    let mut out = hex_of("ik", initial.expose().expose());
    out.append(&mut hex_of("txn", transaction.expose().expose()));
    for (name, purpose) in PURPOSES {
        let clear = ready(transaction.working_clear(&Soft, purpose))?;
        out.append(&mut hex_of(name, clear.expose()));
    }
    Ok(out)
}

pub fn tdes_pin(given: &Input<'_>) -> Out {
    let (bdk, ksn) = (given.key("bdk", "T")?, given.ksn()?);
    let (pin, account) = (given.pin("pin")?, given.account()?);
    let transaction = ready(tdes::TransactionKey::derive(&Soft, &bdk, &ksn))?;
    let key = ready(transaction.working_key(&Soft, tdes::Purpose::Pin))?;
    let mut unused = Drawn::new(&[]); // format 0 has no random fill
    let made = ready(encipher::encode_under(&Soft, &key, Format::Iso0, &pin, &account, &mut unused))?;
    Ok(hex_of("block", made.as_bytes()))
}

fn initial(given: &Input<'_>) -> Result<aes::InitialKey, Refused> {
    let identifier = given.array("ikid", "bad_char")?;
    ready(aes::InitialKey::derive(&Soft, &given.key("bdk", "A")?, identifier))
}

fn transaction(given: &Input<'_>) -> Result<aes::TransactionKey, Refused> {
    ready(aes::TransactionKey::derive(&Soft, &given.key("bdk", "A")?, &given.ksn()?))
}

pub fn aes_initial(given: &Input<'_>) -> Out {
    Ok(hex_of("ik", initial(given)?.expose().expose()))
}

pub fn aes_transaction(given: &Input<'_>) -> Out {
    Ok(hex_of("txn", transaction(given)?.expose().expose()))
}

fn usage(given: &Input<'_>) -> Result<aes::Usage, Refused> {
    Ok(match given.text("use")? {
        "kek" => aes::Usage::KeyEncryption,
        "pin" => aes::Usage::Pin,
        "mac_gen" => aes::Usage::MacGenerate,
        "mac_ver" => aes::Usage::MacVerify,
        "mac_both" => aes::Usage::MacBoth,
        "data_enc" => aes::Usage::DataEncrypt,
        "data_dec" => aes::Usage::DataDecrypt,
        "data_both" => aes::Usage::DataBoth,
        _ => return Err(Refused::input("use: kek, pin, mac_gen … data_both")),
    })
}

fn key_type(given: &Input<'_>) -> Result<aes::KeyType, Refused> {
    Ok(match given.text("type")? {
        "TDES2" => aes::KeyType::Tdes2,
        "TDES3" => aes::KeyType::Tdes3,
        "AES128" => aes::KeyType::Aes128,
        "AES192" => aes::KeyType::Aes192,
        "AES256" => aes::KeyType::Aes256,
        "HMAC128" => aes::KeyType::Hmac128,
        "HMAC192" => aes::KeyType::Hmac192,
        "HMAC256" => aes::KeyType::Hmac256,
        _ => return Err(Refused::input("type: TDES2, TDES3, AES128 … HMAC256")),
    })
}

pub fn aes_working(given: &Input<'_>) -> Out {
    let clear = ready(transaction(given)?.working_clear(&Soft, usage(given)?, key_type(given)?))?;
    Ok(hex_of("key", clear.expose()))
}

pub fn aes_update(given: &Input<'_>) -> Out {
    let clear = ready(initial(given)?.update_key(&Soft, key_type(given)?))?;
    Ok(hex_of("key", clear.expose()))
}
