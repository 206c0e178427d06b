//! The text of a block from its first to its last character, in the order of checks that makes results
//! comparable: size, printable, version, length, fields, optional blocks, key data. Both families share it.

use crate::blocks::OptionalBlocks;
use crate::error::{ErrorKind, KeyBlockError, field};
use crate::header::Attributes;
use crate::scheme::{Order, Scheme};
use crate::text;
use paytypes::hex;
use paytypes::{Algorithm, Exportability, KeyUsage, KeyVersion, ModeOfUse};

/// Characters of the fixed header.
pub(crate) const FIXED: usize = 16;
/// Longest block that the length field can say.
pub(crate) const LENGTH_MAX: usize = 9999;

/// A block's text in its parts.
pub(crate) struct Front<'a> {
    pub attributes: Attributes,
    pub tail: [u8; 2],
    pub blocks: OptionalBlocks<'a>,
    /// Length of the header with its optional blocks.
    pub header: usize,
    /// Key data in hex.
    pub payload: &'a [u8],
    /// Authenticator in hex.
    pub mac: &'a [u8],
    /// Nothing of both is in lower case.
    pub upper: bool,
}

/// Size and alphabet; gives the version letter.
pub(crate) fn version_letter(text: &[u8]) -> Result<u8, KeyBlockError> {
    let first = match text {
        [first, ..] if text.len() >= FIXED => *first,
        _ => return Err(KeyBlockError::new(ErrorKind::TooShort, field::BLOCK, text.len())),
    };
    match text::unprintable(text) {
        Some(at) => Err(KeyBlockError::new(ErrorKind::BadChar, field::BLOCK, at)),
        None => Ok(first),
    }
}

/// The length that the first five characters of a block declare; `None` when they are not there or not
/// digits.
pub(crate) fn declared(text: &[u8]) -> Option<usize> {
    decimal(text.get(1..5)?)
}

fn decimal(digits: &[u8]) -> Option<usize> {
    digits.iter().try_fold(0usize, |value, c| {
        let digit = c.is_ascii_digit().then(|| usize::from(c & 0x0F))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

impl<'a> Front<'a> {
    /// Reads everything behind the version letter.
    pub(crate) fn parse(text: &'a [u8], scheme: &Scheme) -> Result<Self, KeyBlockError> {
        if declared(text) != Some(text.len()) {
            return Err(KeyBlockError::new(ErrorKind::LengthField, field::LENGTH, 1));
        }
        let too_short = KeyBlockError::new(ErrorKind::TooShort, field::BLOCK, text.len());
        let (fixed, behind) = text.split_first_chunk().ok_or(too_short)?;
        let attributes = attributes(fixed)?;
        let [.., tens, ones, first, second] = *fixed;
        let count = decimal(&[tens, ones]).and_then(|n| u8::try_from(n).ok());
        let count = count.ok_or(KeyBlockError::new(ErrorKind::OptCount, field::OPT_COUNT, 12))?;
        let tail = [first, second];
        let blocks = OptionalBlocks::parse(behind, count, scheme.block())?;
        let header = FIXED.saturating_add(blocks.text().len());
        let hex_text = text.get(header..).unwrap_or_default();
        // Nearly every block is, and has no other character then.
        let upper = hex::is_upper_hex(hex_text);
        if !upper && let Some(at) = text::no_hex(hex_text) {
            let at = header.saturating_add(at);
            return Err(KeyBlockError::new(ErrorKind::PayloadEncoding, field::PAYLOAD, at));
        }
        let (payload, mac) = split(hex_text, header, scheme)?;
        Ok(Self { attributes, tail, blocks, header, payload, mac, upper })
    }
}

fn attributes(fixed: &[u8; FIXED]) -> Result<Attributes, KeyBlockError> {
    let [_, _, _, _, _, usage, code, algorithm, mode, version, number, exportability, ..] = *fixed;
    let bad = |name, offset| move |_| KeyBlockError::new(ErrorKind::HeaderField, name, offset);
    Ok(Attributes {
        usage: KeyUsage::new(&[usage, code]).map_err(bad(field::USAGE, 5))?,
        algorithm: Algorithm::new(algorithm).map_err(bad(field::ALGORITHM, 7))?,
        mode: ModeOfUse::new(mode).map_err(bad(field::MODE, 8))?,
        key_version: KeyVersion::new(&[version, number]).map_err(bad(field::KEY_VERSION, 9))?,
        exportability: Exportability::new(exportability).map_err(bad(field::EXPORTABILITY, 11))?,
    })
}

fn split<'a>(
    hex_text: &'a [u8],
    header: usize,
    scheme: &Scheme,
) -> Result<(&'a [u8], &'a [u8]), KeyBlockError> {
    let wrong = KeyBlockError::new(ErrorKind::PayloadLength, field::PAYLOAD, header);
    let mac = scheme.mac_length.saturating_mul(2);
    let (payload, mac) =
        hex_text.len().checked_sub(mac).and_then(|at| hex_text.split_at_checked(at)).ok_or(wrong)?;
    // Two bytes of length and at least one of key.
    let whole = match scheme.order {
        Order::MacThenCtr => payload.len().is_multiple_of(2) && payload.len() >= 6,
        _ => payload.len().is_multiple_of(scheme.block().saturating_mul(2)) && !payload.is_empty(),
    };
    if whole { Ok((payload, mac)) } else { Err(wrong) }
}

/// Position of the first lower-case hex digit, which only a lenient reader accepts.
pub(crate) fn lower_case(payload: &[u8], mac: &[u8]) -> Option<usize> {
    let in_mac = || text::lower_case(mac).map(|at| payload.len().saturating_add(at));
    text::lower_case(payload).or_else(in_mac)
}

/// Refuses header characters that a parser would refuse, before a block is made with them.
pub(crate) fn check_written(attributes: &Attributes, tail: [u8; 2]) -> Result<(), KeyBlockError> {
    let Attributes { usage, algorithm, mode, key_version, exportability } = attributes;
    let bad = |code: &[u8]| !code.iter().all(u8::is_ascii_alphanumeric);
    let (name, at) = if bad(&usage.0) {
        (field::USAGE, 5)
    } else if bad(&[algorithm.0]) {
        (field::ALGORITHM, 7)
    } else if bad(&[mode.0]) {
        (field::MODE, 8)
    } else if bad(&key_version.0) {
        (field::KEY_VERSION, 9)
    } else if bad(&[exportability.0]) {
        (field::EXPORTABILITY, 11)
    } else if bad(&tail) {
        (field::CONTEXT, 14)
    } else {
        return Ok(());
    };
    Err(KeyBlockError::new(ErrorKind::HeaderField, name, at))
}

/// Writes version, length, attributes, count, tail and optional blocks. `total` is at most [`LENGTH_MAX`].
pub(crate) fn write(
    version: u8,
    total: usize,
    attributes: &Attributes,
    tail: [u8; 2],
    blocks: &OptionalBlocks<'_>,
    out: &mut Vec<u8>,
) {
    let Attributes { usage, algorithm, mode, key_version, exportability } = attributes;
    let [thousands, hundreds, tens, ones] =
        [1000, 100, 10, 1usize].map(|unit| digit(total.checked_div(unit).unwrap_or_default()));
    let count = usize::from(blocks.count());
    let (count_tens, count_ones) = (digit(count.checked_div(10).unwrap_or_default()), digit(count));
    let ([u, v], [n, m], [x, y]) = (usage.0, key_version.0, tail);
    let (a, o, e) = (algorithm.0, mode.0, exportability.0);
    let fixed = [version, thousands, hundreds, tens, ones, u, v, a, o, n, m, e, count_tens, count_ones, x, y];
    out.extend_from_slice(&fixed);
    out.extend_from_slice(blocks.text());
}

fn digit(value: usize) -> u8 {
    u8::try_from(value % 10).unwrap_or_default() | b'0'
}
