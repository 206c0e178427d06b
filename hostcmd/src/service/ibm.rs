//! IBM 3624: the fields that its commands share, and verification with an offset.

use super::dectab::{self, TableField};
use super::keys::{self, PVK_IBM, Place, Use, Wanted};
use super::pin_keys::PinKey;
use super::pins::{self, Side};
use crate::command::Answer;
use crate::wire::{Account, Alphabet, Message, Number, PinBlockText, Show, Step, Untagged, Wire};
use crate::{Code, Cx};
use core::fmt;
use core::marker::PhantomData;
use hsm::{Key, KeyToken, join};
use paytypes::pan::ACCOUNT_LENGTH;
use paytypes::pin::{PIN_LENGTH_MAX, PIN_LENGTH_MIN};
use pinblock::PinBlockError;
use pinblock::ibm3624::{self, DecimalisationTable, NaturalPin, Offset, ValidationData};

const VALIDATION_MAX: usize = 17;

/// PIN validation data: 12 characters with `N` where account digits go, or `P` and 16.
#[derive(Clone, Copy)]
pub struct ValidationField {
    text: [u8; VALIDATION_MAX],
    len: u8,
}

impl Default for ValidationField {
    fn default() -> Self {
        Self { text: [b'0'; VALIDATION_MAX], len: 0 }
    }
}

impl fmt::Debug for ValidationField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ValidationField({} characters)", self.len)
    }
}

impl ValidationField {
    /// From its text.
    pub fn new(text: &[u8]) -> Self {
        let len = u8::try_from(text.len().min(VALIDATION_MAX)).unwrap_or_default();
        Self { text: paytypes::bytes::left(text), len }
    }

    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        if wire.reading() {
            self.len = if wire.ahead().first() == Some(&b'P') { 17 } else { 12 };
        }
        let text = self.text.get_mut(..usize::from(self.len)).unwrap_or_default();
        wire.fixed("PIN validation data", Alphabet::Printable, Show::Length, text)
    }
}

/// What the natural PIN is made of, but for the PVK.
#[derive(Debug, Default)]
pub struct IbmFields {
    /// Digits that are compared, from the left.
    pub check_length: Number<2>,
    /// Account.
    pub account: Account,
    /// Decimalisation table.
    pub table: TableField,
    /// PIN validation data.
    pub validation: ValidationField,
}

/// The same, judged as far as that goes without a key.
#[derive(Debug)]
pub struct IbmTerms {
    /// Digits that are compared, 4 to 12.
    pub check_length: u8,
    // What is wrong with the account is answered behind what is wrong with the keys.
    account: Result<pinblock::Account, Code>,
    /// The block whose encryption is the natural PIN.
    pub validation: ValidationData,
}

impl IbmFields {
    /// Walks check length, account, table and validation data. `formats` are those of the PIN blocks in
    /// the command, on which the account field depends.
    pub fn walk<W: Wire>(&mut self, wire: &mut W, formats: &[[u8; 2]]) -> Step {
        wire.number("check length", &mut self.check_length)?;
        wire.account("account", formats, &mut self.account)?;
        self.table.walk(wire)?;
        self.validation.walk(wire)
    }

    /// Judges all but the table, which may need the LMK, and the account, which [`IbmTerms::account`] answers for
    /// when the keys are judged.
    pub fn judge(&self) -> Result<IbmTerms, Code> {
        let check_length = u8::try_from(self.check_length.0).unwrap_or_default();
        if !(PIN_LENGTH_MIN..=PIN_LENGTH_MAX).contains(&usize::from(check_length)) {
            return Err(Code::INPUT);
        }
        let judged = pins::account(&self.account)
            .and_then(|account| pins::twelve_digits(&account).map(|digits| (account, digits)));
        let (account, digits) = match judged {
            Ok((account, digits)) => (Ok(account), digits),
            // The form of the validation data is judged all the same.
            Err(code) => (Err(code), [b'0'; ACCOUNT_LENGTH]),
        };
        let text = self.validation.text.get(..usize::from(self.validation.len)).unwrap_or_default();
        let validation = ValidationData::from_host(text, &digits).map_err(code)?;
        Ok(IbmTerms { check_length, account, validation })
    }
}

impl IbmTerms {
    /// The account, for a PIN block; 22 when there is none. To be asked when the keys are judged.
    pub fn account(&self) -> Result<&pinblock::Account, Code> {
        self.account.as_ref().map_err(|code| *code)
    }

    /// The natural PIN. [`IbmTerms::account`] is asked before.
    pub async fn natural_pin(
        &self,
        cx: &Cx,
        pvk: &Key,
        table: &DecimalisationTable,
    ) -> Result<NaturalPin, Code> {
        ibm3624::natural_pin(&cx.hsm, pvk, &self.validation, table).await.map_err(code)
    }

    /// An offset field of at least as many digits as are compared; anything else answers 15.
    pub fn offset(&self, field: &[u8; PIN_LENGTH_MAX]) -> Result<Offset, Code> {
        let offset = Offset::from_host(field).map_err(code)?;
        if offset.digits().len() < usize::from(self.check_length) { Err(Code::INPUT) } else { Ok(offset) }
    }

    /// The offset of a PIN; 81 when the PIN has fewer digits than are compared.
    pub fn offset_of(&self, pin: &paytypes::Pin, natural: &NaturalPin) -> Result<[u8; 12], Code> {
        match ibm3624::offset(pin, natural, self.check_length) {
            Ok(offset) => Ok(offset.to_host()),
            Err(PinBlockError::PinLength) => Err(Code::PIN_MISMATCH),
            Err(error) => Err(code(error)),
        }
    }
}

/// Opens PVK and table together.
pub async fn open_pvk(
    cx: &Cx,
    pvk: &KeyToken,
    how: Use,
    place: Place,
    table: &TableField,
) -> Result<(Key, DecimalisationTable), Code> {
    let (pvk, table) = join(keys::open(cx, pvk, &PVK_IBM, how, place), dectab::open(cx, table)).await;
    Ok((pvk?, table?))
}

/// The host code of what the method refuses.
pub fn code(error: PinBlockError) -> Code {
    match error {
        PinBlockError::Table => Code::DECIMALISATION,
        PinBlockError::KeySize => Code::BLOCK_ALGORITHM,
        PinBlockError::Offset | PinBlockError::ValidationData | PinBlockError::CheckLength => Code::INPUT,
        other => pins::code(other),
    }
}

/// A reply that is an offset.
#[derive(Debug, Default)]
pub struct OffsetReply {
    /// Offset, digits on the left, then F.
    pub offset: [u8; 12],
}

impl Message for OffsetReply {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.hex("offset", &mut self.offset)
    }
}

/// Request of a verification with offset.
#[derive(Debug, Default)]
pub struct VerifyRequest<K> {
    /// Key of the block.
    pub key: KeyToken,
    /// PVK of the IBM method.
    pub pvk: KeyToken,
    /// Always `12`.
    pub maximum_pin_length: Number<2>,
    /// The block.
    pub block: PinBlockText,
    /// Its format.
    pub format: [u8; 2],
    /// Check length, account, table, validation data.
    pub ibm: IbmFields,
    /// Offset, digits on the left, then F.
    pub offset: [u8; 12],
    /// Which key it is.
    pub kind: PhantomData<K>,
}

impl<K: PinKey> Message for VerifyRequest<K> {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.key(K::RULE.name, Untagged::Single, &mut self.key)?;
        wire.key("PVK", Untagged::Single, &mut self.pvk)?;
        wire.number("maximum PIN length", &mut self.maximum_pin_length)?;
        wire.pin_block("PIN block", &self.key, &mut self.block)?;
        wire.digits("format", &mut self.format)?;
        self.ibm.walk(wire, &[self.format])?;
        wire.hex("offset", &mut self.offset)
    }
}

/// Verifies a PIN; a block with a bad digit answers 01 as a wrong PIN does, see [`pins::read_to_verify`].
pub async fn verify<K: PinKey>(cx: Cx, request: VerifyRequest<K>) -> Answer<()> {
    let r = request;
    let terms = r.ibm.judge()?;
    let offset = terms.offset(&r.offset)?;
    let key = Wanted { token: &r.key, rule: &K::RULE, how: Use::Decrypt };
    let pvk = Wanted { token: &r.pvk, rule: &PVK_IBM, how: Use::Verify };
    let (opened, table) = join(keys::open_two(&cx, key, pvk), dectab::open(&cx, &r.ibm.table)).await;
    let (key, pvk) = opened?;
    let (format, account) = (pins::format(r.format)?, terms.account()?);
    pins::judge_maximum(r.maximum_pin_length)?;
    let table = table?;
    let side = Side { key: &key, format, account };
    let (pin, natural) =
        join(pins::read_to_verify(&cx, side, &r.block), terms.natural_pin(&cx, &pvk, &table)).await;
    let ((pin, counts), natural) = (pins::or_decoy(pin?)?, natural?);
    let same = ibm3624::verify(&pin, &natural, &offset, terms.check_length).map_err(code)?;
    pins::verdict(same & counts)
}
