//! What a column holds: the four kinds that both stores keep byte for byte alike.

/// One column of one row. Times are integers of UTC milliseconds; truth values are 0 and 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// No value. A column that was added by a later schema is null in old rows.
    Null,
    /// A number.
    Int(i64),
    /// Text without the character NUL, which one of the stores cannot hold.
    Text(String),
    /// Bytes: ids, hashes.
    Bytes(Vec<u8>),
}

/// The same, where it lies in the database's own memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueRef<'a> {
    /// No value.
    Null,
    /// A number.
    Int(i64),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
}

impl ValueRef<'_> {
    /// The value, to keep.
    pub fn to_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Int(number) => Value::Int(number),
            Self::Text(text) => Value::Text(text.to_owned()),
            Self::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
        }
    }
}

/// The kind of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 64 bit, signed.
    Int,
    /// UTF-8, compared byte by byte.
    Text,
    /// Compared byte by byte.
    Bytes,
}

impl Value {
    /// The value where it is.
    pub fn by_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Int(*number),
            Self::Text(text) => ValueRef::Text(text),
            Self::Bytes(bytes) => ValueRef::Bytes(bytes),
        }
    }

    /// Whether a column of this kind may hold it.
    pub fn fits(&self, kind: Kind) -> bool {
        match (self, kind) {
            (Self::Null, _) | (Self::Int(_), Kind::Int) | (Self::Bytes(_), Kind::Bytes) => true,
            (Self::Text(text), Kind::Text) => !text.contains('\0'),
            _ => false,
        }
    }

    /// The number, if it is one.
    pub fn int(&self) -> Option<i64> {
        if let Self::Int(number) = self { Some(*number) } else { None }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The bytes, if there are any.
    pub fn bytes(&self) -> Option<&[u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }
}

/// Times and counters: a value above the signed range is kept as the largest.
impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_fits_its_kind_only() {
        assert!(Value::Null.fits(Kind::Int) && Value::from(7u64).fits(Kind::Int));
        assert!(!Value::from("7").fits(Kind::Int) && !Value::from(7u64).fits(Kind::Bytes));
        assert!(!Value::from("a\0b").fits(Kind::Text));
        assert_eq!(Value::from(u64::MAX), Value::Int(i64::MAX));
    }
}
