//! Key blocks for exchange.
//!
//! `in.policy` is a name (`x9.143-strict`, `tr31-2018`, `iso-20038`, `lenient`, `none`; case and separators do
//! not count), a list of classes to check beside the proof (`policy`, `kbpk_strength`, `weak_key`,
//! `kp_mismatch`, `kc_mismatch`, `opt_data`), or an object of both: `{"profile": NAME, CLASS: true|false}`.

use super::input::{Input, Out, Refused, hex_of, one, ready};
use paytypes::soft::{Soft, SoftKey};
use paytypes::{Algorithm, Drawn, Exportability, KeyUsage, KeyVersion, ModeOfUse};
use serde_json::{Map, Value, json};
use tr31::{Attributes, BlockId, Header, Kbpk, KeyBlock, Masking, OptionalBlocks, Policy, Version};

fn code(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The header as the vectors show it.
pub fn describe(header: &Header<'_>) -> Value {
    let attributes = &header.attributes;
    let blocks: Vec<_> = header.blocks.iter().map(|b| json!([code(&b.id.0), code(b.data)])).collect();
    json!({
        "version": code(&[header.version.letter()]),
        "usage": code(&attributes.usage.0),
        "algorithm": code(&[attributes.algorithm.0]),
        "mode": code(&[attributes.mode.0]),
        "version_num": code(&attributes.key_version.0),
        "exportability": code(&[attributes.exportability.0]),
        "context": code(&[header.context]),
        "blocks": blocks,
    })
}

fn chars<const N: usize>(given: &Input<'_>, name: &str, class: &'static str) -> Result<[u8; N], Refused> {
    let text = given.text(name)?.as_bytes();
    text.try_into().map_err(|_| Refused::new(class, format!("{name}: {N} characters")))
}

fn header(given: &Input<'_>) -> Result<Header<'static>, Refused> {
    let [letter] = chars(given, "version", "version")?;
    let version = Version::from_letter(letter).ok_or_else(|| Refused::new("version", "version: A to E"))?;
    let one_char = |name| chars::<1>(given, name, "header_field").map(|[c]| c);
    let attributes = Attributes {
        usage: KeyUsage(chars(given, "usage", "header_field")?),
        algorithm: Algorithm(one_char("algorithm")?),
        mode: ModeOfUse(one_char("mode")?),
        key_version: KeyVersion(chars(given, "version_num", "header_field")?),
        exportability: Exportability(one_char("exportability")?),
    };
    let mut header = Header::new(version, attributes);
    if given.optional("context")?.is_some() {
        header.context = one_char("context")?;
    }
    header.blocks = blocks(given.raw("blocks"))?;
    Ok(header)
}

fn blocks(list: &Value) -> Result<OptionalBlocks<'static>, Refused> {
    let mut blocks = OptionalBlocks::none();
    for entry in list.as_array().map(Vec::as_slice).unwrap_or_default() {
        let (Some(id), Some(data)) = (entry[0].as_str(), entry[1].as_str()) else {
            return Err(Refused::input("blocks: pairs of id and data"));
        };
        let id = id.as_bytes().try_into().map_err(|_| Refused::new("opt_id", "id of two characters"))?;
        blocks.push(BlockId(id), data.as_bytes())?;
    }
    Ok(blocks)
}

/// The protection key. A key of the vectors states no cipher: it is taken for the one of the version, unless
/// `kbpk_alg` says else.
pub fn kbpk(given: &Input<'_>, version: Version) -> Result<Kbpk<SoftKey>, Refused> {
    let letter = match version.kind() {
        paytypes::CipherKind::Aes => "A",
        _ => "T",
    };
    if given.optional("kbpk_alg")?.is_some_and(|stated| stated != letter) {
        return Err(Refused::new(
            "kbpk_algorithm",
            format!("version {version:?} takes a key of cipher {letter}"),
        ));
    }
    let clear = given.hex("kbpk", "kbpk_length")?;
    let length = |_| Refused::new("kbpk_length", "TDES 16 or 24 bytes, AES 16, 24 or 32 bytes");
    let key = SoftKey::new(version.kind(), &clear).map_err(length)?;
    ready(Kbpk::new(&Soft, &key, version))
}

/// A profile by name; separators and case do not count.
fn profile(name: &str) -> Result<Policy, Refused> {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    match plain.to_ascii_lowercase().as_str() {
        "none" | "" => Ok(Policy::NONE),
        "strict" | "x9143strict" | "x9143" => Ok(Policy::X9_143_STRICT),
        "tr312018" => Ok(Policy::TR31_2018),
        "iso20038" => Ok(Policy::ISO_20038),
        "lenient" => Ok(Policy::lenient("lenient")),
        _ => Err(Refused::input("policy: x9.143-strict, tr31-2018, iso-20038, lenient or none")),
    }
}

fn set(policy: &mut Policy, class: &str, on: bool) -> Result<(), Refused> {
    match class {
        "policy" => policy.matrix = on,
        "kbpk_strength" => policy.strength = on,
        "weak_key" => policy.weak_keys = on,
        "kp_mismatch" | "kc_mismatch" => policy.check_values = on,
        "opt_data" => policy.block_content = on,
        _ => return Err(Refused::input("policy: class not known")),
    }
    Ok(())
}

/// What the case asks for beyond the proof.
pub fn parse_policy(given: &Value) -> Result<Policy, Refused> {
    match given {
        Value::Null => Ok(Policy::NONE),
        Value::String(name) => profile(name),
        Value::Array(classes) => {
            let mut policy = Policy::NONE;
            for class in classes {
                set(&mut policy, class.as_str().unwrap_or_default(), true)?;
            }
            Ok(policy)
        }
        Value::Object(members) => {
            let mut policy = profile(members.get("profile").and_then(Value::as_str).unwrap_or("none"))?;
            for (class, on) in members.iter().filter(|(name, _)| *name != "profile") {
                let on = on.as_bool().ok_or_else(|| Refused::input("policy: true or false"))?;
                set(&mut policy, class, on)?;
            }
            Ok(policy)
        }
        _ => Err(Refused::input("policy: a name, a list or an object")),
    }
}

pub fn parse(given: &Input<'_>) -> Out {
    let block = KeyBlock::parse(given.text("key_block")?.as_bytes())?;
    Ok(one("header", describe(block.header())))
}

pub fn unwrap(given: &Input<'_>) -> Out {
    let policy = parse_policy(given.raw("policy"))?;
    let block = KeyBlock::parse(given.text("key_block")?.as_bytes())?;
    let kbpk = kbpk(given, block.header().version)?;
    let key = ready(block.unwrap(&Soft, &kbpk, &policy))?;
    let mut out = hex_of("key", key.material.expose());
    out.append(&mut one("header", describe(&key.header)));
    Ok(out)
}

fn masking(given: &Input<'_>) -> Result<Masking, Refused> {
    if given.raw("mask_len").is_null() {
        return Ok(Masking::Standard);
    }
    Ok(match given.number("mask_len")? {
        0 => Masking::None,
        length => Masking::Length(length),
    })
}

pub fn wrap(given: &Input<'_>) -> Out {
    let policy = parse_policy(given.raw("policy"))?;
    let header = header(&given.within("header"))?;
    let kbpk = kbpk(given, header.version)?;
    let key = given.hex("key", "key_length")?;
    let mask = masking(given)?;
    let mut broken = false;
    let made = match given.optional("pad")? {
        Some(_) => {
            let pad = given.hex("pad", "bad_char")?;
            ready(tr31::wrap(&Soft, &kbpk, &header, &key, mask, &policy, &mut Drawn::new(&pad)))?
        }
        None => {
            let mut system = |out: &mut [u8]| broken |= getrandom::fill(out).is_err();
            ready(tr31::wrap(&Soft, &kbpk, &header, &key, mask, &policy, &mut system))?
        }
    };
    if broken {
        return Err(Refused::input("the operating system gave no random bytes"));
    }
    Ok(one("key_block", code(&made)))
}

pub fn length(given: &Input<'_>) -> Out {
    let header = header(&given.within("header"))?;
    let length = tr31::wrapped_length(&header, given.number("key_len")?, masking(given)?)?;
    Ok(Map::from_iter([("length".to_owned(), json!(length))]))
}
