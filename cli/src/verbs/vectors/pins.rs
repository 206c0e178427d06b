//! PIN blocks. `pin.translate` is arithmetic: the rule table is the business of commands.

use super::cards::digits;
use super::input::{Input, Out, Refused, hex_of, one, ready};
use paytypes::soft::{Soft, SoftKey};
use paytypes::{Drawn, hex};
use pinblock::{ClearBlock, Format, encipher as under};

// Names of the vectors, beside the host codes.
const NAMES: [(&str, Format); 13] = [
    ("iso0", Format::Iso0),
    ("iso1", Format::Iso1),
    ("iso2", Format::Iso2),
    ("iso3", Format::Iso3),
    ("iso4", Format::Iso4),
    ("docutel", Format::Docutel),
    ("diebold", Format::Diebold),
    ("plus", Format::Plus),
    ("mastercard", Format::Mastercard),
    ("visa2", Format::Visa2),
    ("visa3", Format::Visa3),
    ("eci2", Format::Eci2),
    ("eci3", Format::Eci3),
];

/// A format by its name, or by the two-digit code of host commands.
pub fn format_of(name: &str) -> Result<Format, Refused> {
    if let Some((_, format)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(*format);
    }
    let code = name.as_bytes().try_into().ok().and_then(Format::from_code);
    code.ok_or_else(|| Refused::input("format: not known"))
}

fn format(given: &Input<'_>) -> Result<Format, Refused> {
    format_of(given.text("format")?)
}

// Half-bytes that stand in for the random source; an odd one is filled up with a value that is not reached.
// Without them the operating system is asked.
fn fill(given: &Input<'_>, name: &str) -> Result<Vec<u8>, Refused> {
    let Some(text) = given.optional(name)? else {
        let mut drawn = vec![0; pinblock::RANDOM_LENGTH];
        getrandom::fill(&mut drawn).map_err(Refused::input)?;
        return Ok(drawn);
    };
    let even = if text.len().is_multiple_of(2) { text.to_owned() } else { format!("{text}0") };
    hex::decode_vec(even.as_bytes()).map_err(|_| Refused::new("bad_char", format!("{name}: not hex")))
}

pub fn encode(given: &Input<'_>) -> Out {
    let (format, pin, account) = (format(given)?, given.pin("pin")?, given.account()?);
    let block = pinblock::encode(format, &pin, &account, &mut Drawn::new(&fill(given, "fill")?))?;
    Ok(hex_of("block", block.expose()))
}

pub fn decode(given: &Input<'_>) -> Out {
    let block = ClearBlock::new(&given.hex("block", "block_length")?)?;
    let pin = pinblock::decode(format(given)?, &block, &given.account()?)?;
    Ok(one("pin", digits(pin.expose())))
}

pub fn encipher(given: &Input<'_>) -> Out {
    enciphered(given, Format::Iso4, "random")
}

pub fn decipher(given: &Input<'_>) -> Out {
    deciphered(given, Format::Iso4)
}

/// A PIN block of any format under `key`, AES for format 4 and DES or TDES for the others; the member
/// `random` stands in for the random source.
pub fn enciphered(given: &Input<'_>, format: Format, random: &str) -> Out {
    let (key, pin, account) = (key_for(given, format)?, given.pin("pin")?, given.account()?);
    let random = fill(given, random)?;
    let made = ready(under::encode_under(&Soft, &key, format, &pin, &account, &mut Drawn::new(&random)))?;
    Ok(hex_of("block", made.as_bytes()))
}

/// The PIN of an enciphered block of any format.
pub fn deciphered(given: &Input<'_>, format: Format) -> Out {
    let (key, account) = (key_for(given, format)?, given.account()?);
    let block = given.hex("block", "block_length")?;
    let pin = ready(under::decode_under(&Soft, &key, format, &block, &account))?;
    Ok(one("pin", digits(pin.expose())))
}

fn key_for(given: &Input<'_>, format: Format) -> Result<SoftKey, Refused> {
    given.key("key", if format == Format::Iso4 { "A" } else { "T" })
}

pub fn translate(given: &Input<'_>) -> Out {
    let (src, dst) = (given.within("src"), given.within("dst"));
    let (from, to) = (format(&src)?, format(&dst)?);
    let (source, target) = (src.account()?, dst.account()?);
    let (source_key, target_key) = (key_for(&src, from)?, key_for(&dst, to)?);
    let block = src.hex("block", "block_length")?;
    let clear = ready(under::decipher(&Soft, &source_key, from, &block, &source))?;
    let random = fill(&dst, if to == Format::Iso4 { "random" } else { "fill" })?;
    let moved = pinblock::reformat(from, to, &clear, &source, &target, &mut Drawn::new(&random), true)?;
    let made = ready(under::encipher(&Soft, &target_key, to, &moved.block, &target))?;
    Ok(hex_of("block", made.as_bytes()))
}
