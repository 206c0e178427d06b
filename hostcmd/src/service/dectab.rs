//! Decimalisation tables, clear or under the LMK.
//!
//! A table of the caller's choice gives PINs away (Bond and Zielinski, UCAM-CL-TR-560), and the rule of
//! eight different digits does not stop it. So a strict listener takes a clear table only when it is
//! registered with the unit, and everything else must be a table that was encrypted beforehand.

use crate::wire::{Alphabet, Show, Step, Wire};
use crate::{Code, Cx};
use core::fmt;
use hsm::{Key, LmkPurpose, LmkScheme};
use paytypes::bytes::nibble;
use paytypes::{Cipher, Direction, hex};
use pinblock::ibm3624::DecimalisationTable;
use zeroize::Zeroizing;

const DIGITS: usize = 16;
const TEXT_MAX: usize = 33;

/// The field: 16 characters, clear digits or the cryptogram under a variant or 3DES LMK; `L` and 32
/// hexadecimal digits under an AES LMK; `K` and the index of a stored table.
#[derive(Clone, Copy)]
pub struct TableField {
    text: [u8; TEXT_MAX],
    len: u8,
}

impl Default for TableField {
    fn default() -> Self {
        Self { text: [b'0'; TEXT_MAX], len: 0 }
    }
}

impl fmt::Debug for TableField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TableField({} characters)", self.len)
    }
}

impl TableField {
    /// The text.
    pub fn text(&self) -> &[u8] {
        self.text.get(..usize::from(self.len)).unwrap_or_default()
    }

    fn of(tag: Option<u8>, block: &[u8]) -> Self {
        let mut field = Self::default();
        let letters = block.iter().flat_map(|byte| [hex::letter(byte >> 4), hex::letter(*byte)]);
        for (place, letter) in field.text.iter_mut().zip(tag.into_iter().chain(letters)) {
            *place = letter;
            field.len = field.len.saturating_add(1);
        }
        field
    }

    /// Walks the field; the first character tells its length.
    pub fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        if wire.reading() {
            self.len = match wire.ahead().first() {
                Some(b'K') => 4,
                Some(b'L') => 33,
                _ => 16,
            };
        }
        let text = self.text.get_mut(..usize::from(self.len)).unwrap_or_default();
        let tagged = usize::from(text.len() != DIGITS);
        let (tag, digits) = text.split_at_mut_checked(tagged).unwrap_or_default();
        wire.fixed("kind of decimalisation table", Alphabet::Printable, Show::All, tag)?;
        wire.fixed("decimalisation table", Alphabet::Hex, Show::Length, digits)
    }
}

/// The table of the field. What the listener does not take, and what is not a table, answers 25.
pub async fn open(cx: &Cx, field: &TableField) -> Result<DecimalisationTable, Code> {
    match (field.text(), cx.scheme) {
        ([b'K', ..], _) => Err(Code::STORAGE_EMPTY),
        ([b'L', text @ ..], LmkScheme::AesBlock) => {
            let mut block = Zeroizing::new(hex::decode::<DIGITS>(text).map_err(|_| Code::INPUT)?);
            run(cx, Direction::Decrypt, block.as_mut_slice()).await?;
            table(block.as_slice())
        }
        ([b'L', ..], _) => Err(Code::DECIMALISATION),
        (text, scheme) => match clear(cx, text) {
            Some(table) => Ok(table),
            None if scheme == LmkScheme::AesBlock => Err(Code::DECIMALISATION),
            None => open_packed(cx, text).await,
        },
    }
}

/// Encrypts a table under the LMK of the command, for the field of later commands.
pub async fn encrypt(cx: &Cx, digits: &[u8; DIGITS]) -> Result<TableField, Code> {
    table(digits)?;
    if cx.scheme == LmkScheme::AesBlock {
        let mut block = Zeroizing::new(*digits);
        run(cx, Direction::Encrypt, block.as_mut_slice()).await?;
        return Ok(TableField::of(Some(b'L'), block.as_slice()));
    }
    let mut block = Zeroizing::new(hex::decode::<8>(digits).map_err(|_| Code::DECIMALISATION)?);
    run(cx, Direction::Encrypt, block.as_mut_slice()).await?;
    Ok(TableField::of(None, block.as_slice()))
}

// The table as it stands, where the listener takes it so.
fn clear(cx: &Cx, text: &[u8]) -> Option<DecimalisationTable> {
    let taken = cx.settings().clear_dectab
        || cx.with_unit(|unit| unit.decimalisation_tables.iter().any(|known| known == text));
    if taken { table(text).ok() } else { None }
}

// One TDES block of sixteen packed digits.
async fn open_packed(cx: &Cx, text: &[u8]) -> Result<DecimalisationTable, Code> {
    let mut block = Zeroizing::new(hex::decode::<8>(text).map_err(|_| Code::INPUT)?);
    run(cx, Direction::Decrypt, block.as_mut_slice()).await?;
    let mut digits = Zeroizing::new([0u8; DIGITS]);
    for (i, digit) in digits.iter_mut().enumerate() {
        *digit = hex::letter(nibble(block.as_slice(), i));
    }
    table(digits.as_slice())
}

fn table(digits: &[u8]) -> Result<DecimalisationTable, Code> {
    DecimalisationTable::new(digits).map_err(|_| Code::DECIMALISATION)
}

async fn run(cx: &Cx, way: Direction, block: &mut [u8]) -> Result<(), Code> {
    let key: Key = cx.hsm.lmk_key(cx.lmk, LmkPurpose::DecimalisationTable).await?;
    Ok(cx.hsm.ecb(&key, way, block).await?)
}
