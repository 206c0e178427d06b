//! What an optional block holds (X9.143:2021 6.3.6.1 to 6.3.6.15, tables 8 to 23): each standard block as a
//! value that can be read and written, so that no caller puts hex together by hand.
//!
//! ```
//! use tr31::{Content, Hash, OptionalBlocks};
//!
//! # fn main() -> Result<(), tr31::KeyBlockError> {
//! let mut blocks = OptionalBlocks::none();
//! blocks.push_content(&Content::Hash(Hash::SHA_256))?;
//! blocks.push_content(&Content::Label("zone 7"))?;
//! assert_eq!(blocks.text(), b"HM0621LB0Azone 7");
//! let found: Result<Vec<_>, _> = blocks.iter().map(|block| block.content()).collect();
//! assert_eq!(found?, [Content::Hash(Hash::SHA_256), Content::Label("zone 7")]);
//! # Ok(())
//! # }
//! ```

mod certificates;
mod codes;
mod derivations;
mod judge;
mod values;

pub use certificates::{CertificateFormat, Certificates};
pub use codes::{Hash, KeyLife, Pedigree};
pub use derivations::{Derivation, Derivations};
pub use values::{BaseKeyId, CheckValue, InitialKsn};

pub(crate) use judge::judge;

use crate::block_id::BlockId;
use crate::blocks::OptionalBlocks;
use crate::error::KeyBlockError;
use paytypes::hex;

/// The content of an optional block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// AL: whether an asymmetric key is for one use.
    KeyLife(KeyLife),
    /// BI: identifier of a base derivation key.
    BaseKeyId(BaseKeyId),
    /// CT: certificate of a public key, or a chain.
    Certificates(Certificates<'a>),
    /// DA: what may be derived from the key.
    Derivations(Derivations<'a>),
    /// HM: hash of an HMAC key.
    Hash(Hash),
    /// IK: initial key identifier of AES DUKPT.
    InitialKeyId([u8; 8]),
    /// KC: check value of the wrapped key.
    KeyCheck(CheckValue),
    /// KP: check value of the protection key.
    KbpkCheck(CheckValue),
    /// PK: check value of the protection key under which the key was exported.
    ExportKbpkCheck(CheckValue),
    /// KS: key serial number of an initial TDES DUKPT key.
    InitialKsn(InitialKsn),
    /// KV: four characters that say what the field values mean; not in use by the standard.
    Values([u8; 4]),
    /// LB: text of the owner.
    Label(&'a str),
    /// PB: padding of so many characters.
    Padding(usize),
    /// TC: time of creation, ISO 8601 in UTC.
    Created(&'a str),
    /// TS: time stamp, ISO 8601 in UTC.
    Stamped(&'a str),
    /// WP: by what the key was wrapped before.
    Pedigree(Pedigree),
    /// A block of another id, as it is.
    Other(BlockId, &'a [u8]),
}

impl<'a> Content<'a> {
    /// Reads a block; `None` when a standard one has not its form. `data` is printable ASCII in a parsed
    /// header.
    pub fn decode(id: BlockId, data: &'a [u8]) -> Option<Self> {
        Some(match id {
            BlockId::AL => Self::KeyLife(KeyLife::decode(data)?),
            BlockId::BI => Self::BaseKeyId(BaseKeyId::decode(data)?),
            BlockId::CT => Self::Certificates(Certificates::decode(data)?),
            BlockId::DA => Self::Derivations(Derivations::decode(data)?),
            BlockId::HM => Self::Hash(Hash::decode(data)?),
            BlockId::IK => Self::InitialKeyId(hex::decode(data).ok()?),
            BlockId::KC => Self::KeyCheck(CheckValue::decode(data)?),
            BlockId::KP => Self::KbpkCheck(CheckValue::decode(data)?),
            BlockId::PK => Self::ExportKbpkCheck(CheckValue::decode(data)?),
            BlockId::KS => Self::InitialKsn(InitialKsn::decode(data)?),
            BlockId::KV => {
                let values: [u8; 4] = data.try_into().ok()?;
                Self::Values(values.iter().all(u8::is_ascii_alphanumeric).then_some(values)?)
            }
            BlockId::LB => Self::Label(core::str::from_utf8(data).ok()?),
            BlockId::PB => Self::Padding(data.len()),
            BlockId::TC => Self::Created(time(data)?),
            BlockId::TS => Self::Stamped(time(data)?),
            BlockId::WP => Self::Pedigree(Pedigree::decode(data)?),
            _ => Self::Other(id, data),
        })
    }

    /// Id of the block.
    pub const fn id(&self) -> BlockId {
        match self {
            Self::KeyLife(_) => BlockId::AL,
            Self::BaseKeyId(_) => BlockId::BI,
            Self::Certificates(_) => BlockId::CT,
            Self::Derivations(_) => BlockId::DA,
            Self::Hash(_) => BlockId::HM,
            Self::InitialKeyId(_) => BlockId::IK,
            Self::KeyCheck(_) => BlockId::KC,
            Self::KbpkCheck(_) => BlockId::KP,
            Self::ExportKbpkCheck(_) => BlockId::PK,
            Self::InitialKsn(_) => BlockId::KS,
            Self::Values(_) => BlockId::KV,
            Self::Label(_) => BlockId::LB,
            Self::Padding(_) => BlockId::PB,
            Self::Created(_) => BlockId::TC,
            Self::Stamped(_) => BlockId::TS,
            Self::Pedigree(_) => BlockId::WP,
            Self::Other(id, _) => *id,
        }
    }

    /// Data of the block as it is written, hex in upper case.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::KeyLife(life) => life.code().to_vec(),
            Self::BaseKeyId(id) => id.encode(),
            Self::Certificates(certificates) => certificates.text().to_vec(),
            Self::Derivations(derivations) => derivations.text().to_vec(),
            Self::Hash(hash) => hash.code().to_vec(),
            Self::InitialKeyId(id) => hex::encode(id).into_bytes(),
            Self::KeyCheck(value) | Self::KbpkCheck(value) | Self::ExportKbpkCheck(value) => value.encode(),
            Self::InitialKsn(ksn) => hex::encode(ksn.bytes()).into_bytes(),
            Self::Values(values) => values.to_vec(),
            Self::Label(text) | Self::Created(text) | Self::Stamped(text) => text.as_bytes().to_vec(),
            Self::Padding(length) => vec![b'0'; *length],
            Self::Pedigree(pedigree) => pedigree.code().to_vec(),
            Self::Other(_, data) => data.to_vec(),
        }
    }
}

impl OptionalBlocks<'_> {
    /// Appends a block with typed content; see [`OptionalBlocks::push`] for what is refused. Content that a
    /// reader would refuse (a time that is none) is refused here.
    pub fn push_content(&mut self, content: &Content<'_>) -> Result<(), KeyBlockError> {
        let (id, data) = (content.id(), content.encode());
        if Content::decode(id, &data).is_none() {
            return Err(self.malformed(id));
        }
        self.push(id, &data)
    }
}

// ISO 8601, always in UTC, basic or extended form, with or without hundredths; `9` stands for a digit.
const TIMES: [&[u8]; 4] =
    [b"99999999999999Z", b"9999999999999999Z", b"9999-99-99T99:99:99Z", b"9999-99-99T99:99:99.99Z"];

fn time(data: &[u8]) -> Option<&str> {
    let form = TIMES.iter().any(|form| fits(form, data)) && in_calendar(data);
    core::str::from_utf8(data).ok().filter(|_| form)
}

// Month, day, hour, minute and second of a text whose form is right; a leap second passes.
fn in_calendar(data: &[u8]) -> bool {
    let mut digits = data.iter().filter(|c| c.is_ascii_digit()).map(|c| c & 0x0F).skip(4);
    let mut next = || {
        digits.next().zip(digits.next()).map_or(0, |(tens, ones)| tens.wrapping_mul(10).wrapping_add(ones))
    };
    let (month, day, hour, minute, second) = (next(), next(), next(), next(), next());
    (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60
}

/// True when `data` has the form of `pattern`, in which `9` stands for any decimal digit.
pub(crate) fn fits(pattern: &[u8], data: &[u8]) -> bool {
    pattern.len() == data.len()
        && pattern.iter().zip(data).all(|(p, c)| if *p == b'9' { c.is_ascii_digit() } else { p == c })
}

#[cfg(test)]
mod tests;
