//! The messages of M0 and M2: flags, key, initial value and data, enciphered or deciphered.

use super::cfb::cfb;
use super::data_keys::{self, BDK_BOTH, BDK_EACH, DATA, Types};
use super::dukpt::KsnField;
use super::keys::{KeyRule, Use};
use crate::wire::{BlockText, Data, DataFormat, LengthUnit, Message, Step, Untagged, Wire, block_digits};
use crate::{Code, Cx};
use cardcrypto::dukpt::{aes, tdes};
use hsm::{Key, KeyToken};
use paytypes::{Cipher, CipherKind, Direction};

/// Longest data field of a reply, in characters: with all that stands around it a reply fits the buffer of
/// 32 KiB that NO reports.
const REPLY_MAX: usize = 32_000;

const ENCRYPT_TYPES: Types = &[b"00A", b"00B", b"30B", b"10A", b"009", b"609", b"FFF"];
const DECRYPT_TYPES: Types = &[b"00A", b"00B", b"30B", b"20A", b"009", b"609", b"FFF"];

/// What a key field names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    /// A data key.
    DataKey,
    /// A base key whose data keys serve both directions.
    BaseBoth,
    /// A base key with a data key for each direction.
    BaseEach,
}

/// Request; `ENCRYPT` is M0, else M2.
#[derive(Debug, Default)]
pub struct Request<const ENCRYPT: bool> {
    /// `00` ECB, `01` CBC, `02` CFB8, `03` CFB64.
    pub mode: [u8; 2],
    /// Input format: `0` binary, `1` hexadecimal, M0 also `2` text.
    pub input: [u8; 1],
    /// Output format: `0` binary, `1` hexadecimal, M2 also `2` text.
    pub output: [u8; 1],
    /// Key type.
    pub key_type: [u8; 3],
    /// Data key or base derivation key.
    pub key: KeyToken,
    /// KSN, behind a base derivation key.
    pub ksn: KsnField,
    /// Initial value, all modes but ECB.
    pub iv: BlockText,
    /// The data.
    pub data: Data,
}

impl<const ENCRYPT: bool> Message for Request<ENCRYPT> {
    // Cipher text is never text: a port that converts would change it.
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        const CIPHER_TEXT: &[&[u8; 1]] = &[b"0", b"1"];
        const CLEAR: &[&[u8; 1]] = &[b"0", b"1", b"2"];
        let (input, output, types) =
            if ENCRYPT { (CLEAR, CIPHER_TEXT, ENCRYPT_TYPES) } else { (CIPHER_TEXT, CLEAR, DECRYPT_TYPES) };
        wire.choice("mode", &mut self.mode, &[b"00", b"01", b"02", b"03"], Code::ALGORITHM_LENGTH)?;
        wire.choice("input format", &mut self.input, input, Code::COUNT)?;
        wire.choice("output format", &mut self.output, output, Code::KEY_TYPE_CODE)?;
        data_keys::walk_type(wire, types, &mut self.key_type)?;
        wire.key("data key", Untagged::Single, &mut self.key)?;
        if self.named() != Named::DataKey {
            self.ksn.walk(wire, &self.key)?;
        }
        if self.mode != *b"00" {
            self.iv.walk(wire, "IV", block_digits(&self.key))?;
        }
        let format = DataFormat::from_code(self.input[0]).ok_or(Code::COUNT)?;
        self.data.walk(wire, format, LengthUnit::Either)
    }
}

impl<const ENCRYPT: bool> Request<ENCRYPT> {
    const WAY: Direction = if ENCRYPT { Direction::Encrypt } else { Direction::Decrypt };

    // A key block tells its usage before it is opened; the usage is judged when it is.
    fn named(&self) -> Named {
        match &self.key_type {
            b"009" => Named::BaseBoth,
            b"609" => Named::BaseEach,
            b"FFF" => match self.key.text().get(5..7) {
                Some(b"B0" | b"41") => Named::BaseBoth,
                Some(b"42") => Named::BaseEach,
                _ => Named::DataKey,
            },
            _ => Named::DataKey,
        }
    }

    /// Runs the command: the same for both directions.
    pub async fn run(mut self, cx: &Cx) -> Result<Reply, Code> {
        let format = DataFormat::from_code(self.output[0]).ok_or(Code::KEY_TYPE_CODE)?;
        if self.data.as_bytes().is_empty() {
            return Err(Code::PADDING);
        }
        if format.characters(self.data.as_bytes().len()) > REPLY_MAX {
            return Err(Code::DATA_LENGTH);
        }
        let key = self.open(cx).await?;
        let mut iv = self.iv.to_bytes()?;
        let data = self.data.as_bytes_mut();
        match &self.mode {
            b"00" => cx.hsm.ecb(&key, Self::WAY, whole_blocks(&key, data)?).await?,
            b"01" => cbc(cx, &key, Self::WAY, &mut iv, whole_blocks(&key, data)?).await?,
            b"02" => cfb(&cx.hsm, &key, Self::WAY, 1, &mut iv, data).await?,
            _ => cfb(&cx.hsm, &key, Self::WAY, 8, &mut iv, data).await?,
        }
        Ok(Reply { iv: BlockText::new(&iv), format, data: self.data })
    }

    async fn open(&self, cx: &Cx) -> Result<Key, Code> {
        let how = if ENCRYPT { Use::Encrypt } else { Use::Decrypt };
        let open = async |rule: &KeyRule, how| data_keys::open(cx, self.key_type, &self.key, rule, how).await;
        match self.named() {
            Named::DataKey => open(&DATA, how).await,
            Named::BaseBoth => self.derive(cx, &open(&BDK_BOTH, Use::Derive).await?, false).await,
            Named::BaseEach => self.derive(cx, &open(&BDK_EACH, Use::Derive).await?, true).await,
        }
    }

    // The device sends requests, which this unit deciphers, and takes responses, which it enciphers.
    async fn derive(&self, cx: &Cx, base: &Key, each: bool) -> Result<Key, Code> {
        let ksn = self.ksn.read()?;
        let shape = base.attributes().shape;
        if shape.kind != CipherKind::Aes {
            let purpose =
                if each && ENCRYPT { tdes::Purpose::DataResponse } else { tdes::Purpose::DataRequest };
            return Ok(tdes::working_key(&cx.hsm, base, &ksn, purpose).await?);
        }
        let usage = match (each, ENCRYPT) {
            (false, _) => aes::Usage::DataBoth,
            (true, true) => aes::Usage::DataDecrypt,
            (true, false) => aes::Usage::DataEncrypt,
        };
        let kind = aes::KeyType::aes(shape.length).ok_or(Code::KEY_LENGTH)?;
        let transaction = aes::TransactionKey::derive(&cx.hsm, base, &ksn).await?;
        Ok(transaction.working_key(&cx.hsm, usage, kind).await?)
    }
}

fn whole_blocks<'a>(key: &Key, data: &'a mut [u8]) -> Result<&'a mut [u8], Code> {
    let block = key.attributes().shape.kind.block_length();
    if data.len().checked_rem(block) == Some(0) { Ok(data) } else { Err(Code::DATA_LENGTH) }
}

// Leaves the last block of cipher text in `iv`, for data that follows.
async fn cbc(cx: &Cx, key: &Key, way: Direction, iv: &mut [u8], data: &mut [u8]) -> Result<(), Code> {
    let mut next = [0u8; 16];
    let next = next.get_mut(..iv.len()).unwrap_or_default();
    let keep = |data: &[u8], next: &mut [u8]| {
        let last = data.get(data.len().saturating_sub(next.len())..).unwrap_or_default();
        next.copy_from_slice(last);
    };
    if way == Direction::Decrypt {
        keep(data, next);
    }
    cx.hsm.cbc(key, way, iv, data).await?;
    if way == Direction::Encrypt {
        keep(data, next);
    }
    iv.copy_from_slice(next);
    Ok(())
}

/// Initial value for data that follows, and the data.
#[derive(Debug, Default)]
pub struct Reply {
    /// All modes but ECB.
    pub iv: BlockText,
    /// How the data is written. A reply does not tell it: a reader takes the data as it is.
    pub format: DataFormat,
    /// The data.
    pub data: Data,
}

impl Message for Reply {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        if wire.reading() {
            let digits = initial_value(wire.ahead()).ok_or(Code::INPUT)?;
            if digits > 0 {
                self.iv.walk(wire, "IV", digits)?;
            }
        } else if !self.iv.is_empty() {
            self.iv.walk(wire, "IV", 0)?;
        }
        self.data.walk(wire, self.format, LengthUnit::Characters)
    }
}

// A reply does not tell whether it begins with an initial value: its length field does, which must reach to
// the end of the body.
fn initial_value(body: &[u8]) -> Option<usize> {
    [0usize, 16, 32].into_iter().find(|digits| {
        let rest = body.get(*digits..).unwrap_or_default();
        let length = rest.first_chunk::<4>().and_then(|text| paytypes::hex::decode::<2>(text).ok());
        let end = length.map(|length| usize::from(u16::from_be_bytes(length)).saturating_add(4));
        end.is_some_and(|end| rest.len() == end || rest.get(end) == Some(&0x19))
    })
}
