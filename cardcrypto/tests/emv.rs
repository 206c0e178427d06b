//! EMV vectors of `tests/vectors/`. The PIN change block itself is made in `pinblock`; here its key part.

mod common;

use cardcrypto::emv::{
    AcPadding, IccMasterKey, MasterKeyOption, PanSequence, ScriptCipher, Seed, Tree, application_cryptogram,
    arpc_1, arpc_2, cvc3, encrypt_script_data, script_mac,
};
use common::{Answer, array, bytes, check, key, text};
use paytypes::soft::Soft;
use paytypes::{CipherKind, ClearKey, Pan, hex, now};
use serde_json::Value;

fn one(name: &'static str, value: &[u8]) -> Answer {
    Ok(vec![(name, hex::encode(value))])
}

fn master(given: &Value, kind: CipherKind) -> IccMasterKey {
    IccMasterKey::from_clear(kind, ClearKey::new(&bytes(given, "mk")).unwrap()).unwrap()
}

fn counter(given: &Value) -> u16 {
    u16::from_be_bytes(array(given, "atc"))
}

fn run_master_key(given: &Value) -> Answer {
    let (option, algorithm) = match text(given, "option") {
        "A" => (MasterKeyOption::A, "T"),
        "B" => (MasterKeyOption::B, "T"),
        _ => (MasterKeyOption::C, "A"),
    };
    let pan = Pan::new(text(given, "pan").as_bytes()).unwrap();
    let sequence = PanSequence::new(text(given, "psn").as_bytes())?;
    let made = now(IccMasterKey::derive(&Soft, &key(given, "imk", algorithm), option, &pan, sequence));
    one("mk", made.unwrap()?.expose().expose())
}

fn run_common(given: &Value) -> Answer {
    let kind = if text(given, "alg") == "A" { CipherKind::Aes } else { CipherKind::Tdes };
    let seed = Seed::new(&bytes(given, "r"))?;
    let made = now(master(given, kind).common_session(&Soft, &seed)).unwrap()?;
    one("sk", made.expose().expose())
}

fn run_tree(given: &Value) -> Answer {
    let number = |name: &str| u8::try_from(given[name].as_u64().unwrap()).unwrap();
    let tree = Tree::new(number("branch"), number("height"), array(given, "iv"))?;
    let master = master(given, CipherKind::Tdes);
    let made = now(master.tree_session(&Soft, counter(given), &tree)).unwrap()?;
    one("sk", made.expose().expose())
}

fn run_cryptogram(given: &Value, algorithm: &str) -> Answer {
    let padding = if text(given, "padding") == "visa" { AcPadding::Visa } else { AcPadding::Emv };
    let session = key(given, "sk", algorithm);
    one("ac", &now(application_cryptogram(&Soft, &session, padding, &bytes(given, "data"))).unwrap()?)
}

fn run_script(given: &Value) -> Answer {
    let scheme = match text(given, "scheme") {
        "VISA" => ScriptCipher::Visa,
        "MASTERCARD" => ScriptCipher::Mastercard,
        _ => ScriptCipher::Emv,
    };
    let session = key(given, "sk", "T");
    one("data", &now(encrypt_script_data(&Soft, &session, scheme, &bytes(given, "data"))).unwrap()?)
}

fn run_cvc3(given: &Value) -> Answer {
    let card_key = key(given, "mk", "T");
    let made = now(cvc3(&Soft, &card_key, &bytes(given, "track"), counter(given), array(given, "un")));
    Ok(vec![("cvc3", String::from_utf8_lossy(&made.unwrap()?).into_owned())])
}

fn run(function: &str, given: &Value) -> Option<Answer> {
    Some(match function {
        "emv.icc_mk" => run_master_key(given),
        "emv.csk" => run_common(given),
        "emv.visa_sm_sk" => master(given, CipherKind::Tdes)
            .visa_session(counter(given))
            .and_then(|made| one("sk", made.expose().expose())),
        "emv.tree_sk" => run_tree(given),
        "emv.ac" => run_cryptogram(given, "T"),
        "emv.ac.aes" => run_cryptogram(given, "A"),
        "emv.arpc1" => {
            let (session, arqc) = (key(given, "sk", "T"), array(given, "arqc"));
            now(arpc_1(&Soft, &session, &arqc, array(given, "arc")))
                .unwrap()
                .and_then(|made| one("arpc", &made))
        }
        "emv.arpc2" => {
            let (session, arqc, pad) =
                (key(given, "sk", "T"), array(given, "arqc"), bytes(given, "pad_data"));
            let made = arpc_2(&Soft, &session, &arqc, array(given, "csu"), &pad);
            now(made).unwrap().and_then(|made| one("arpc", &made))
        }
        "emv.script_mac" => now(script_mac(&Soft, &key(given, "sk", "T"), &bytes(given, "command")))
            .unwrap()
            .and_then(|made| one("mac", made.bytes(8)?)),
        "emv.script_encrypt" => run_script(given),
        "emv.cvc3" => run_cvc3(given),
        _ => return None,
    })
}

#[test]
fn emv() {
    check("emv", 43, run);
}

#[test]
fn one_of_each() {
    check("one-of-each", 22, run);
}

// Visa CVN 18 from the issuer's key to the script: figures of the documentation of pyemv.
#[test]
fn a_whole_transaction() {
    let pan = Pan::new(b"1234567890123456").unwrap();
    let card = |fill: u8| {
        let imk = paytypes::soft::SoftKey::new(CipherKind::Tdes, &[fill; 16]).unwrap();
        now(IccMasterKey::derive(&Soft, &imk, MasterKeyOption::A, &pan, PanSequence::NONE)).unwrap().unwrap()
    };
    let load = |key: &cardcrypto::emv::SessionKey| now(key.load(&Soft)).unwrap().unwrap();
    let session = now(card(0xAA).common_session(&Soft, &Seed::of_counter(0x0FFF))).unwrap().unwrap();
    let data = hex::decode_vec(
        b"00000000999900000000000008408000048000084099123101\
          52BF458518000FFF06011203A0B800",
    )
    .unwrap();
    let arqc = now(application_cryptogram(&Soft, &load(&session), AcPadding::Emv, &data)).unwrap().unwrap();
    assert_eq!(hex::encode(&arqc), "769577B5ABE9FE62");
    let arpc = now(arpc_2(&Soft, &load(&session), &arqc, [0; 4], &[])).unwrap().unwrap();
    assert_eq!(hex::encode(&arpc), "76503F48");
    let integrity = card(0xBB).visa_session(0x0FFF).unwrap();
    let command = [&[0x84, 0x18, 0, 0, 8, 0x0F, 0xFF], &arqc[..]].concat();
    let mac = now(script_mac(&Soft, &load(&integrity), &command)).unwrap().unwrap();
    assert_eq!(hex::encode(mac.bytes(8).unwrap()), "B5CB29759F9C3919");
}
