//! Known-answer vectors of `tests/vectors/`, see the README there.

mod common;

use cardcrypto::dukpt::{aes, tdes};
use cardcrypto::mac::{self, Algorithm, HmacHash, Padding, Part};
use cardcrypto::{CardError, cvv};
use common::{Answer, bytes, cases, check, key, text};
use paytypes::soft::Soft;
use paytypes::{Direction, Expiry, Ksn, Pan, ServiceCode, hex, now};
use serde_json::Value;

fn ksn(given: &Value) -> Ksn {
    Ksn::new(&bytes(given, "ksn")).unwrap()
}

fn run_cvv(given: &Value) -> Answer {
    let pan = Pan::new(text(given, "pan").as_bytes()).unwrap();
    let expiry = Expiry::new(text(given, "expiry").as_bytes()).unwrap();
    let service = ServiceCode::new(text(given, "service_code").as_bytes()).unwrap();
    let value = now(cvv::cvv(&Soft, &key(given, "cvk", "T"), &pan, expiry, service)).unwrap()?;
    Ok(vec![("cvv", String::from_utf8_lossy(&value).into_owned())])
}

fn padding(given: &Value) -> Padding {
    match given["pad"].as_u64().unwrap() {
        1 => Padding::Zeros,
        2 => Padding::Bit,
        _ => Padding::Length,
    }
}

fn run_mac(given: &Value, algorithm: Algorithm, padding: Padding) -> Answer {
    let (key, data) = (key(given, "key", text(given, "alg")), bytes(given, "data"));
    let value = now(mac::mac(&Soft, &key, algorithm, padding, Part::Only, &data)).unwrap()?;
    let sent = value.as_bytes();
    assert!(now(mac::verify(&Soft, &key, algorithm, padding, Part::Only, &data, sent)).unwrap()?);
    Ok(vec![("mac", hex::encode(value.as_bytes()))])
}

fn run_hmac(given: &Value) -> Answer {
    let hash = match text(given, "hash") {
        "sha1" => HmacHash::Sha1,
        "sha224" => HmacHash::Sha224,
        "sha256" => HmacHash::Sha256,
        "sha384" => HmacHash::Sha384,
        "sha512" => HmacHash::Sha512,
        other => panic!("{other}"),
    };
    let value = mac::hmac(hash, &bytes(given, "key"), &bytes(given, "data"))?;
    Ok(vec![("mac", hex::encode(value.as_bytes()))])
}

fn run_tdes_initial(given: &Value) -> Answer {
    let initial = now(tdes::InitialKey::derive(&Soft, &key(given, "bdk", "T"), &ksn(given))).unwrap()?;
    Ok(vec![("ik", hex::encode(initial.expose().expose()))])
}

fn run_tdes_keys(given: &Value) -> Answer {
    use tdes::Purpose;
    let mut out = run_tdes_initial(given)?;
    let bdk = key(given, "bdk", "T");
    let transaction = now(tdes::TransactionKey::derive(&Soft, &bdk, &ksn(given))).unwrap()?;
    out.push(("txn", hex::encode(transaction.expose().expose())));
    for (name, purpose) in [
        ("pin", Purpose::Pin),
        ("mac_req", Purpose::MacRequest),
        ("mac_rsp", Purpose::MacResponse),
        ("data_req", Purpose::DataRequest),
        ("data_rsp", Purpose::DataResponse),
    ] {
        let clear = now(transaction.working_clear(&Soft, purpose)).unwrap()?;
        out.push((name, hex::encode(clear.expose())));
    }
    Ok(out)
}

// ISO 0 by hand: the format itself is tested in `pinblock`.
fn clear_block(pin: &str, pan: &str) -> Vec<u8> {
    let account = Pan::new(pan.as_bytes()).unwrap().account();
    let pin_field = format!("0{:X}{pin:F<14}", pin.len());
    let account_field = format!("0000{}", String::from_utf8_lossy(&account));
    let mut block = hex::decode_vec(pin_field.as_bytes()).unwrap();
    paytypes::bytes::xor_into(&mut block, &hex::decode_vec(account_field.as_bytes()).unwrap());
    block
}

fn run_tdes_pin(given: &Value) -> Answer {
    let bdk = key(given, "bdk", "T");
    let transaction = now(tdes::TransactionKey::derive(&Soft, &bdk, &ksn(given))).unwrap()?;
    let pin_key = now(transaction.working_key(&Soft, tdes::Purpose::Pin)).unwrap()?;
    let mut block = clear_block(text(given, "pin"), text(given, "pan"));
    pin_key.ecb(Direction::Encrypt, &mut block).unwrap();
    Ok(vec![("block", hex::encode(&block))])
}

fn usage(given: &Value) -> aes::Usage {
    match text(given, "use") {
        "kek" => aes::Usage::KeyEncryption,
        "pin" => aes::Usage::Pin,
        "mac_gen" => aes::Usage::MacGenerate,
        "mac_ver" => aes::Usage::MacVerify,
        "mac_both" => aes::Usage::MacBoth,
        "data_enc" => aes::Usage::DataEncrypt,
        "data_dec" => aes::Usage::DataDecrypt,
        "data_both" => aes::Usage::DataBoth,
        other => panic!("{other}"),
    }
}

fn key_type(given: &Value) -> aes::KeyType {
    match text(given, "type") {
        "TDES2" => aes::KeyType::Tdes2,
        "TDES3" => aes::KeyType::Tdes3,
        "AES128" => aes::KeyType::Aes128,
        "AES192" => aes::KeyType::Aes192,
        "AES256" => aes::KeyType::Aes256,
        "HMAC128" => aes::KeyType::Hmac128,
        "HMAC192" => aes::KeyType::Hmac192,
        "HMAC256" => aes::KeyType::Hmac256,
        other => panic!("{other}"),
    }
}

fn aes_initial(given: &Value) -> Result<aes::InitialKey, CardError> {
    let identifier = bytes(given, "ikid").try_into().unwrap();
    now(aes::InitialKey::derive(&Soft, &key(given, "bdk", "A"), identifier)).unwrap()
}

fn aes_transaction(given: &Value) -> Result<aes::TransactionKey, CardError> {
    now(aes::TransactionKey::derive(&Soft, &key(given, "bdk", "A"), &ksn(given))).unwrap()
}

fn run_aes_working(given: &Value) -> Answer {
    let transaction = aes_transaction(given)?;
    let clear = now(transaction.working_clear(&Soft, usage(given), key_type(given))).unwrap()?;
    if key_type(given).cipher_kind().is_some() {
        let loaded = now(transaction.working_key(&Soft, usage(given), key_type(given))).unwrap()?;
        assert!(loaded.expose().same_as(&clear));
    }
    Ok(vec![("key", hex::encode(clear.expose()))])
}

/// Runs one case: `None` for a function of another crate.
fn run(function: &str, given: &Value) -> Option<Answer> {
    Some(match function {
        "cvv" => run_cvv(given),
        "mac.iso9797.alg1" => run_mac(given, Algorithm::Cbc, padding(given)),
        "mac.iso9797.alg3" => run_mac(given, Algorithm::Retail, padding(given)),
        "mac.cmac" => run_mac(given, Algorithm::Cmac, Padding::None),
        "mac.hmac" => run_hmac(given),
        "dukpt.tdes.ik" => run_tdes_initial(given),
        "dukpt.tdes.key" => run_tdes_keys(given),
        "dukpt.tdes.pin_encrypt" => run_tdes_pin(given),
        "dukpt.aes.ik" => aes_initial(given).map(|ik| vec![("ik", hex::encode(ik.expose().expose()))]),
        "dukpt.aes.txn" => {
            aes_transaction(given).map(|txn| vec![("txn", hex::encode(txn.expose().expose()))])
        }
        "dukpt.aes.working" => run_aes_working(given),
        "dukpt.aes.update" => aes_initial(given)
            .and_then(|initial| now(initial.update_key(&Soft, key_type(given))).unwrap())
            .map(|clear| vec![("key", hex::encode(clear.expose()))]),
        _ => return None,
    })
}

#[test]
fn card_values() {
    check("card_pin_kcv", 16, run);
}

#[test]
fn macs() {
    check("mac", 41, run);
}

#[test]
fn tdes_dukpt() {
    check("dukpt_tdes", 29, run);
}

#[test]
fn aes_dukpt() {
    check("dukpt_aes", 263, run);
}

#[test]
fn one_of_each() {
    check("one-of-each", 22, run);
}

// `use` of the TDES cases: PIN block, MACs and data that the standard prints for the same transactions.
#[test]
fn tdes_dukpt_keys_in_use() {
    use tdes::Purpose;
    let mut count = 0;
    for case in cases("dukpt_tdes") {
        let shown = &case["use"];
        if shown.is_null() {
            continue;
        }
        count += 1;
        let given = &case["in"];
        let bdk = key(given, "bdk", "T");
        let transaction = now(tdes::TransactionKey::derive(&Soft, &bdk, &ksn(given))).unwrap().unwrap();
        let working = |purpose| now(transaction.working_key(&Soft, purpose)).unwrap().unwrap();
        let mut block = clear_block(text(shown, "pin"), text(shown, "pan"));
        assert_eq!(hex::encode(&block), text(shown, "clear_pin_block"));
        working(Purpose::Pin).ecb(Direction::Encrypt, &mut block).unwrap();
        assert_eq!(hex::encode(&block), text(shown, "encrypted_pin_block"));
        for (name, purpose) in [("mac_request", Purpose::MacRequest), ("mac_response", Purpose::MacResponse)]
        {
            let message = text(shown, "message_ascii").as_bytes();
            let key = working(purpose);
            let made = mac::mac(&Soft, &key, Algorithm::Retail, Padding::Zeros, Part::Only, message);
            assert_eq!(hex::encode(now(made).unwrap().unwrap().as_bytes()), text(shown, name));
        }
        for (name, purpose) in
            [("data_request_cbc_iv0", Purpose::DataRequest), ("data_response_cbc_iv0", Purpose::DataResponse)]
        {
            let mut data = bytes(shown, "data_zero_padded");
            working(purpose).cbc(Direction::Encrypt, &[0; 8], &mut data).unwrap();
            assert_eq!(hex::encode(&data), text(shown, name));
        }
    }
    assert_eq!(count, 24);
}
