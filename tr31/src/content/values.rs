//! Blocks that hold an identifier or a check value.

use crate::kcv::{Kcv, KcvMethod};
use core::fmt;
use paytypes::{Ksn, hex};

/// BI (table 9): which base key an initial key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseKeyId {
    /// TDES DUKPT: key set identifier, 5 bytes.
    Tdes([u8; 5]),
    /// AES DUKPT: base derivation key identifier, 4 bytes.
    Aes([u8; 4]),
}

impl BaseKeyId {
    pub(super) fn decode(data: &[u8]) -> Option<Self> {
        match data.split_first_chunk::<2>()? {
            (b"00", id) => hex::decode(id).ok().map(Self::Tdes),
            (b"01", id) => hex::decode(id).ok().map(Self::Aes),
            _ => None,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let (code, id) = match self {
            Self::Tdes(id) => (b"00", id.as_slice()),
            Self::Aes(id) => (b"01", id.as_slice()),
        };
        let mut out = code.to_vec();
        hex::encode_into(id, &mut out);
        out
    }

    /// The identifier.
    pub const fn bytes(&self) -> &[u8] {
        match self {
            Self::Tdes(id) => id,
            Self::Aes(id) => id,
        }
    }
}

/// KS (table 16): key serial number of an initial TDES DUKPT key, 8 or 10 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct InitialKsn {
    bytes: [u8; 10],
    len: u8,
}

impl InitialKsn {
    /// A whole number of ten bytes.
    pub const fn new(bytes: [u8; 10]) -> Self {
        Self { bytes, len: 10 }
    }

    pub(super) fn decode(data: &[u8]) -> Option<Self> {
        let len = match data.len() {
            16 => 8,
            20 => 10,
            _ => return None,
        };
        let mut bytes = [0; 10];
        hex::decode_into(data, bytes.get_mut(..usize::from(len))?).ok()?;
        Some(Self { bytes, len })
    }

    /// As it was written: 8 or 10 bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// As DUKPT takes it, filled with FF on the left.
    pub fn ksn(&self) -> Option<Ksn> {
        Ksn::new(self.bytes()).ok()
    }
}

impl fmt::Debug for InitialKsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.bytes()))
    }
}

/// KC, KP and PK (table 15): method, then 2 to 3 bytes of a legacy check value or 2 to 5 of a CMAC.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CheckValue {
    method: KcvMethod,
    bytes: [u8; 5],
    len: u8,
}

impl CheckValue {
    /// As many bytes of a check value as X9.143 writes.
    pub fn new(method: KcvMethod, value: &Kcv) -> Self {
        let len = if method == KcvMethod::Legacy { 3 } else { 5 };
        let mut bytes = [0; 5];
        for (b, v) in bytes.iter_mut().zip(value.bytes(usize::from(len))) {
            *b = *v;
        }
        Self { method, bytes, len }
    }

    pub(crate) fn decode(data: &[u8]) -> Option<Self> {
        let (code, digits) = data.split_first_chunk::<2>()?;
        let method = [KcvMethod::Legacy, KcvMethod::Cmac].into_iter().find(|m| m.code() == *code)?;
        let length = digits.len() >> 1;
        let mut bytes = [0; 5];
        if !(2..=method.length()).contains(&length) {
            return None;
        }
        hex::decode_into(digits, bytes.get_mut(..length)?).ok()?;
        Some(Self { method, bytes, len: u8::try_from(length).ok()? })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = self.method.code().to_vec();
        hex::encode_into(self.bytes(), &mut out);
        out
    }

    /// How it was made.
    pub const fn method(&self) -> KcvMethod {
        self.method
    }

    /// The bytes that were written.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Constant-time comparison with the check value of a key, made by the same method.
    pub fn names(&self, value: &Kcv) -> bool {
        value.matches(self.bytes())
    }
}

impl fmt::Debug for CheckValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", hex::encode(self.bytes()), self.method)
    }
}
