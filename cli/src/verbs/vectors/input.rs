//! Named inputs of a case, and the class of what is wrong with one.

use cardcrypto::CardError;
use paytypes::soft::SoftKey;
use paytypes::{CipherError, CipherKind, Expiry, Ksn, Pan, Pin, ServiceCode, ValueError, hex};
use pinblock::{Account, PinBlockError};
use serde_json::{Map, Value};
use tr31::KeyBlockError;

/// What a function gives: named outputs, or why not.
pub type Out = Result<Map<String, Value>, Refused>;

/// Why a case has no output: class of the schema, and a message for people. Neither holds a secret.
#[derive(Debug)]
pub struct Refused {
    /// Class of the schema, or [`Refused::INPUT`].
    pub class: &'static str,
    /// For people.
    pub message: String,
}

impl Refused {
    /// Class of a line that is no case.
    pub const INPUT: &'static str = "input";

    /// A check of the schema.
    pub fn new(class: &'static str, message: impl ToString) -> Self {
        Self { class, message: message.to_string() }
    }

    /// The case itself is wrong.
    pub fn input(message: impl ToString) -> Self {
        Self::new(Self::INPUT, message)
    }
}

impl From<KeyBlockError> for Refused {
    fn from(error: KeyBlockError) -> Self {
        Self::new(error.kind.class(), error)
    }
}

impl From<PinBlockError> for Refused {
    fn from(error: PinBlockError) -> Self {
        Self::new(error.class(), error)
    }
}

impl From<CardError> for Refused {
    fn from(error: CardError) -> Self {
        Self::new(error.class(), error)
    }
}

impl From<CipherError> for Refused {
    fn from(error: CipherError) -> Self {
        Self::new("key_size", error)
    }
}

/// The inputs of one case.
pub struct Input<'a>(&'a Value);

impl<'a> Input<'a> {
    /// Over the object `in`.
    pub const fn new(given: &'a Value) -> Self {
        Self(given)
    }

    /// The object.
    pub const fn value(&self) -> &'a Value {
        self.0
    }

    /// The inputs that stand in a member of their own.
    pub fn within(&self, name: &str) -> Self {
        Self(&self.0[name])
    }

    /// The raw member, null when there is none.
    pub fn raw(&self, name: &str) -> &'a Value {
        &self.0[name]
    }

    /// A text.
    pub fn text(&self, name: &str) -> Result<&'a str, Refused> {
        self.0[name].as_str().ok_or_else(|| Refused::input(format!("{name}: a text is missing")))
    }

    /// A text, or nothing when it is absent or null.
    pub fn optional(&self, name: &str) -> Result<Option<&'a str>, Refused> {
        if self.0[name].is_null() { Ok(None) } else { self.text(name).map(Some) }
    }

    /// A number of 0 to 65,535.
    pub fn number(&self, name: &str) -> Result<usize, Refused> {
        let number = self.0[name].as_u64().filter(|n| *n <= 0xFFFF);
        number
            .and_then(|n| usize::try_from(n).ok())
            .ok_or_else(|| Refused::input(format!("{name}: a number is missing")))
    }

    /// Hex; `class` when its length is odd, `bad_char` when it is no hex.
    pub fn hex(&self, name: &str, class: &'static str) -> Result<Vec<u8>, Refused> {
        let refused = |error| match error {
            ValueError::Length => Refused::new(class, format!("{name}: odd number of hex digits")),
            ValueError::Digit => Refused::new("bad_char", format!("{name}: not hex")),
        };
        hex::decode_vec(self.text(name)?.as_bytes()).map_err(refused)
    }

    /// Hex of `N` bytes; `class` for another length.
    pub fn array<const N: usize>(&self, name: &str, class: &'static str) -> Result<[u8; N], Refused> {
        let bytes = self.hex(name, class)?;
        bytes.try_into().map_err(|_| Refused::new(class, format!("{name}: not {N} bytes")))
    }

    /// A key in hex. `T` is DES or TDES by its length, `A` is AES.
    pub fn key(&self, name: &str, algorithm: &str) -> Result<SoftKey, Refused> {
        let clear = self.hex(name, "key_size")?;
        let kind = match (algorithm, clear.len()) {
            ("A", _) => CipherKind::Aes,
            (_, 8) => CipherKind::Des,
            _ => CipherKind::Tdes,
        };
        SoftKey::new(kind, &clear).map_err(|_| Refused::new("key_size", format!("{name}: length of the key")))
    }

    /// The cipher letter of `alg`, `T` when it is absent.
    pub fn algorithm(&self) -> Result<&'a str, Refused> {
        match self.optional("alg")? {
            None | Some("T") => Ok("T"),
            Some("A") => Ok("A"),
            Some(_) => Err(Refused::input("alg: T or A")),
        }
    }

    /// A PIN.
    pub fn pin(&self, name: &str) -> Result<Pin, Refused> {
        Pin::from_ascii(self.text(name)?.as_bytes()).map_err(|error| match error {
            ValueError::Length => PinBlockError::PinLength.into(),
            ValueError::Digit => PinBlockError::PinDigit.into(),
        })
    }

    /// A PAN.
    pub fn pan(&self) -> Result<Pan, Refused> {
        Pan::new(self.text("pan")?.as_bytes()).map_err(|error| match error {
            ValueError::Length => PinBlockError::PanLength.into(),
            ValueError::Digit => PinBlockError::PanDigit.into(),
        })
    }

    /// The account of a PIN block: the PAN, or none.
    pub fn account(&self) -> Result<Account, Refused> {
        match self.optional("pan")? {
            Some(_) => self.pan().map(Account::from_pan),
            None => Ok(Account::NONE),
        }
    }

    /// Expiry, four digits in the order given.
    pub fn expiry(&self) -> Result<Expiry, Refused> {
        Expiry::new(self.text("expiry")?.as_bytes()).map_err(|e| Refused::new("expiry", e))
    }

    /// Service code, three digits.
    pub fn service_code(&self) -> Result<ServiceCode, Refused> {
        ServiceCode::new(self.text("service_code")?.as_bytes()).map_err(|e| Refused::new("service_code", e))
    }

    /// A KSN in hex.
    pub fn ksn(&self) -> Result<Ksn, Refused> {
        Ksn::new(&self.hex("ksn", CardError::Ksn.class())?).map_err(|_| CardError::Ksn.into())
    }
}

/// One named output.
pub fn one(name: &str, value: impl Into<Value>) -> Map<String, Value> {
    Map::from_iter([(name.to_owned(), value.into())])
}

/// One output of bytes, in hex.
pub fn hex_of(name: &str, value: &[u8]) -> Map<String, Value> {
    one(name, hex::encode(value))
}

/// Software is ready at once; a pending future would be a defect of the program.
pub fn ready<T, E>(future: impl Future<Output = Result<T, E>>) -> Result<T, Refused>
where
    Refused: From<E>,
{
    paytypes::now(future)
        .ok_or_else(|| Refused::input("software cipher did not answer"))?
        .map_err(Refused::from)
}
