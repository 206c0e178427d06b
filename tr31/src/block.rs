//! Reading a TR-31 / X9.143 / ISO 20038 block: parse without a key, then unwrap under a protection key and a
//! policy.

use crate::binding::{inner_key, open};
use crate::block_id::BlockId;
use crate::content::CheckValue;
use crate::error::{ErrorKind, KeyBlockError, field};
use crate::front::{self, Front};
use crate::header::Header;
use crate::kbpk::Kbpk;
use crate::kcv::{KcvMethod, kcv_cmac, kcv_legacy};
use crate::policy::Policy;
use crate::scheme::{BlockKeys, Scheme};
use crate::text;
use crate::version::Version;
use crate::work::Work;
use paytypes::{Algorithm, Cipher, CipherKind, ClearBytes};

/// Length in characters that the start of a block declares, to cut the block out of a longer text. `None`
/// when the text does not begin with a version letter and four digits.
pub fn declared_length(text: &[u8]) -> Option<usize> {
    Version::from_letter(*text.first()?)?;
    front::declared(text)
}

/// A parsed block. Nothing is proved yet.
pub struct KeyBlock<'a> {
    header: Header<'a>,
    text: &'a [u8],
    header_length: usize,
    payload: &'a [u8],
    mac: &'a [u8],
}

/// An opened block.
#[derive(Debug)]
pub struct Key<'a> {
    /// Header, now proved.
    pub header: Header<'a>,
    /// The clear key: raw bytes of a symmetric key, DER of an asymmetric one.
    pub material: ClearBytes,
    /// Length in bits, as stated inside.
    pub bits: u16,
}

impl<'a> KeyBlock<'a> {
    /// Reads the whole text of a block; nothing may be left over. Checks in this order: size, printable,
    /// version, length, fields, optional blocks, key data. Does not allocate.
    pub fn parse(text: &'a [u8]) -> Result<Self, KeyBlockError> {
        let letter = front::version_letter(text)?;
        let version =
            Version::from_letter(letter).ok_or(KeyBlockError::new(ErrorKind::Version, field::VERSION, 0))?;
        let front = Front::parse(text, version.scheme())?;
        let [context, reserved] = front.tail;
        for (name, at, c) in [(field::CONTEXT, 14, context), (field::RESERVED, 15, reserved)] {
            if !c.is_ascii_alphanumeric() {
                return Err(KeyBlockError::new(ErrorKind::HeaderField, name, at));
            }
        }
        Ok(Self {
            header: Header { version, attributes: front.attributes, context, reserved, blocks: front.blocks },
            text,
            header_length: front.header,
            payload: front.payload,
            mac: front.mac,
        })
    }

    /// The header.
    pub const fn header(&self) -> &Header<'a> {
        &self.header
    }

    /// The text that was parsed.
    pub const fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Length of the encrypted key data in bytes: 2 bytes of length, key, padding. Tells how long the key
    /// can be at most, which is all that can be known without the protection key.
    pub const fn payload_length(&self) -> usize {
        self.payload.len() >> 1
    }

    /// Proves the block under `kbpk` and judges it by `policy`. The first check that fails is reported, in
    /// this order: profile of the header, protection key, KP, MAC and inner length (one answer), length for
    /// the algorithm, content of optional blocks, attributes, strength, weak keys, KC.
    pub async fn unwrap<C: Cipher>(
        &self,
        cipher: &C,
        kbpk: &Kbpk<C::Key>,
        policy: &Policy,
    ) -> Result<Key<'a>, KeyBlockError> {
        self.judge_encoding(policy)?;
        policy.judge_text(&self.header, policy.import)?;
        if !kbpk.serves(self.header.version) {
            return Err(KeyBlockError::new(ErrorKind::KbpkAlgorithm, field::KBPK, 0));
        }
        if policy.check_values {
            check_kp(&self.header, kbpk)?;
        }
        let mut work = self.work();
        open_text(cipher, &kbpk.keys, kbpk.scheme, self.text, self.header_length, &mut work).await?;
        let key = inner_key(work.after(self.header_length)).map_err(|e| e.at(self.mac_offset()))?;
        check_length(self.header.attributes.algorithm, key.len())?;
        policy.judge_key(&self.header, kbpk.strength_bits, key)?;
        if policy.check_values {
            check_kc(cipher, &self.header, key).await?;
        }
        let bits = u16::try_from(key.len().saturating_mul(8)).unwrap_or_default();
        Ok(Key { header: self.header.clone(), material: ClearBytes::new(key.to_vec()), bits })
    }

    fn judge_encoding(&self, policy: &Policy) -> Result<(), KeyBlockError> {
        match front::lower_case(self.payload, self.mac) {
            Some(at) if !policy.lower_case => Err(KeyBlockError::new(
                ErrorKind::PayloadEncoding,
                field::PAYLOAD,
                self.header_length.saturating_add(at),
            )),
            _ => Ok(()),
        }
    }

    fn mac_offset(&self) -> usize {
        self.text.len().saturating_sub(self.mac.len())
    }

    fn work(&self) -> Work {
        Work::zeroed(self.header_length, self.payload_length())
    }
}

impl core::fmt::Debug for KeyBlock<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "KeyBlock({:?}, {} bytes of key data)", self.header, self.payload_length())
    }
}

/// Decodes and opens key data and MAC of a parsed text; `work`, made for it, then holds the header's text and
/// clear key data. It is the caller's so that nothing moves.
pub(crate) async fn open_text<C: Cipher>(
    cipher: &C,
    keys: &BlockKeys<C::Key>,
    scheme: &Scheme,
    text: &[u8],
    header: usize,
    work: &mut Work,
) -> Result<(), KeyBlockError> {
    let mac_at = text.len().saturating_sub(scheme.mac_length.saturating_mul(2));
    let (front, mac_hex) = text.split_at_checked(mac_at).unwrap_or_default();
    let (head, payload) = front.split_at_checked(header).unwrap_or_default();
    if let Some((room, data)) = work.bytes_mut().split_at_mut_checked(header) {
        room.copy_from_slice(head);
        decode(payload, data, header)?;
    }
    let mut mac = [0; 16];
    let mac = mac.get_mut(..scheme.mac_length).unwrap_or_default();
    decode(mac_hex, mac, mac_at)?;
    open(cipher, keys, scheme, header, work, mac).await.map_err(|error| error.at(mac_at))
}

// The text was parsed, so this cannot fail; were it to, it is named like the check of the parser.
fn decode(text: &[u8], out: &mut [u8], at: usize) -> Result<(), KeyBlockError> {
    if text::decode(text, out) {
        Ok(())
    } else {
        Err(KeyBlockError::new(ErrorKind::PayloadEncoding, field::PAYLOAD, at))
    }
}

/// Key length for the algorithm. Asymmetric keys and HMAC keys have any length but none.
pub(crate) fn check_length(algorithm: Algorithm, length: usize) -> Result<(), KeyBlockError> {
    let fits = match algorithm {
        Algorithm::AES => matches!(length, 16 | 24 | 32),
        Algorithm::DES | Algorithm::TDES => matches!(length, 8 | 16 | 24),
        _ => length > 0,
    };
    if fits { Ok(()) } else { Err(KeyBlockError::new(ErrorKind::KeyLength, field::KEY, 0)) }
}

/// KP, when there is one, names this protection key.
pub(crate) fn check_kp<K>(header: &Header<'_>, kbpk: &Kbpk<K>) -> Result<(), KeyBlockError> {
    let claimed = |method| kbpk.check_value(method);
    match claim(header, BlockId::KP)? {
        Some(claim) if !claim.names(claimed(claim.method())) => {
            Err(KeyBlockError::new(ErrorKind::KpMismatch, BlockId::KP.name(), offset(header, BlockId::KP)))
        }
        _ => Ok(()),
    }
}

/// KC, when there is one, names this key. Keys other than DES, TDES and AES have no check value.
pub(crate) async fn check_kc<C: Cipher>(
    cipher: &C,
    header: &Header<'_>,
    key: &[u8],
) -> Result<(), KeyBlockError> {
    let kind = match header.attributes.algorithm {
        Algorithm::AES => CipherKind::Aes,
        Algorithm::DES | Algorithm::TDES if key.len() == 8 => CipherKind::Des,
        Algorithm::DES | Algorithm::TDES => CipherKind::Tdes,
        _ => return Ok(()),
    };
    let Some(claim) = claim(header, BlockId::KC)? else { return Ok(()) };
    let loaded = cipher.load(kind, key).await?;
    let value = match claim.method() {
        KcvMethod::Legacy => kcv_legacy(cipher, &loaded).await?,
        KcvMethod::Cmac => kcv_cmac(cipher, &loaded).await?,
    };
    if claim.names(&value) {
        Ok(())
    } else {
        Err(KeyBlockError::new(ErrorKind::KcMismatch, BlockId::KC.name(), offset(header, BlockId::KC)))
    }
}

fn claim(header: &Header<'_>, id: BlockId) -> Result<Option<CheckValue>, KeyBlockError> {
    if header.blocks.is_empty() {
        return Ok(None);
    }
    match header.blocks.get(id) {
        None => Ok(None),
        Some(data) => match CheckValue::decode(data) {
            Some(claim) => Ok(Some(claim)),
            None => Err(KeyBlockError::new(ErrorKind::OptData, id.name(), offset(header, id))),
        },
    }
}

fn offset(header: &Header<'_>, id: BlockId) -> usize {
    let at = header.blocks.iter().find(|block| block.id == id).map(|block| block.offset);
    at.unwrap_or_default().saturating_add(front::FIXED)
}
