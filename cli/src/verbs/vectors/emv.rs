//! EMV issuer cryptography.

use super::input::{Input, Out, Refused, hex_of, one, ready};
use cardcrypto::emv::{
    self, AcPadding, IccMasterKey, MasterKeyOption, PanSequence, ScriptCipher, Seed, SessionKey, Tree,
};
use paytypes::soft::Soft;
use paytypes::{CipherKind, ClearKey};

fn session(key: &SessionKey) -> Out {
    Ok(hex_of("sk", key.expose().expose()))
}

fn master(given: &Input<'_>, name: &str, algorithm: &str) -> Result<IccMasterKey, Refused> {
    let kind = if algorithm == "A" { CipherKind::Aes } else { CipherKind::Tdes };
    let clear = given.hex(name, "key_size")?;
    let clear = ClearKey::new(&clear).map_err(|e| Refused::new("key_size", e))?;
    Ok(IccMasterKey::from_clear(kind, clear)?)
}

fn counter(given: &Input<'_>) -> Result<u16, Refused> {
    given.array("atc", "counter").map(u16::from_be_bytes)
}

pub fn master_key(given: &Input<'_>) -> Out {
    let (option, algorithm) = match given.text("option")? {
        "A" => (MasterKeyOption::A, "T"),
        "B" => (MasterKeyOption::B, "T"),
        "C" => (MasterKeyOption::C, "A"),
        _ => return Err(Refused::input("option: A, B or C")),
    };
    let (pan, sequence) = (given.pan()?, PanSequence::new(given.text("psn")?.as_bytes())?);
    let imk = given.key("imk", algorithm)?;
    let made = ready(IccMasterKey::derive(&Soft, &imk, option, &pan, sequence))?;
    Ok(hex_of("mk", made.expose().expose()))
}

pub fn common_session(given: &Input<'_>) -> Out {
    let seed = Seed::new(&given.hex("r", "block_length")?)?;
    session(&ready(master(given, "mk", given.algorithm()?)?.common_session(&Soft, &seed))?)
}

pub fn visa_session(given: &Input<'_>) -> Out {
    session(&master(given, "mk", "T")?.visa_session(counter(given)?)?)
}

pub fn tree_session(given: &Input<'_>) -> Out {
    let small =
        |name| u8::try_from(given.number(name)?).map_err(|_| Refused::input(format!("{name}: too large")));
    let tree = Tree::new(small("branch")?, small("height")?, given.array("iv", "block_length")?)?;
    let master = master(given, "mk", "T")?;
    session(&ready(master.tree_session(&Soft, counter(given)?, &tree))?)
}

fn make(given: &Input<'_>, algorithm: &str, padding: AcPadding) -> Out {
    let (key, data) = (given.key("sk", algorithm)?, given.hex("data", "bad_char")?);
    Ok(hex_of("ac", &ready(emv::application_cryptogram(&Soft, &key, padding, &data))?))
}

pub fn cryptogram(given: &Input<'_>) -> Out {
    let padding = match given.text("padding")? {
        "emv" => AcPadding::Emv,
        "visa" => AcPadding::Visa,
        _ => return Err(Refused::input("padding: emv or visa")),
    };
    make(given, "T", padding)
}

pub fn cryptogram_aes(given: &Input<'_>) -> Out {
    make(given, "A", AcPadding::Emv)
}

pub fn arpc_1(given: &Input<'_>) -> Out {
    let (arqc, code) = (given.array("arqc", "block_length")?, given.array("arc", "block_length")?);
    Ok(hex_of("arpc", &ready(emv::arpc_1(&Soft, &given.key("sk", "T")?, &arqc, code))?))
}

pub fn arpc_2(given: &Input<'_>) -> Out {
    let (arqc, update) = (given.array("arqc", "block_length")?, given.array("csu", "block_length")?);
    let (key, more) = (given.key("sk", given.algorithm()?)?, given.hex("pad_data", "block_length")?);
    Ok(hex_of("arpc", &ready(emv::arpc_2(&Soft, &key, &arqc, update, &more))?))
}

pub fn script_mac(given: &Input<'_>) -> Out {
    let (key, command) = (given.key("sk", given.algorithm()?)?, given.hex("command", "bad_char")?);
    Ok(hex_of("mac", ready(emv::script_mac(&Soft, &key, &command))?.bytes(8)?))
}

pub fn script_encrypt(given: &Input<'_>) -> Out {
    let scheme = match given.text("scheme")? {
        "VISA" => ScriptCipher::Visa,
        "MASTERCARD" => ScriptCipher::Mastercard,
        "EMV" => ScriptCipher::Emv,
        _ => return Err(Refused::input("scheme: VISA, MASTERCARD or EMV")),
    };
    let (key, data) = (given.key("sk", given.algorithm()?)?, given.hex("data", "bad_char")?);
    Ok(hex_of("data", &ready(emv::encrypt_script_data(&Soft, &key, scheme, &data))?))
}

pub fn vis_pin_block(given: &Input<'_>) -> Out {
    let (card, new) = (master(given, "mk_ac", "T")?, given.pin("pin")?);
    let current = match given.optional("current_pin")? {
        Some(_) => Some(given.pin("current_pin")?),
        None => None,
    };
    let block = pinblock::visa_change(&new, current.as_ref(), card.pin_change_part()?)?;
    Ok(hex_of("block", block.expose()))
}

pub fn cvc3(given: &Input<'_>) -> Out {
    let (key, track) = (given.key("mk", "T")?, given.hex("track", "bad_char")?);
    let number = given.array("un", "block_length")?;
    let made = ready(emv::cvc3(&Soft, &key, &track, counter(given)?, number))?;
    Ok(one("cvc3", String::from_utf8_lossy(&made)))
}
