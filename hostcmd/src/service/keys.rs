//! Opening the keys that a command names, and judging whether they may do what it asks.

use super::validity;
use crate::{Code, Cx, key_table};
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use hsm::{AskedKey, Binding, Found, Hsm, Hygiene, Key, KeyToken, KeyType, Opening, Scheme};
use paytypes::parity::Weakness;
use paytypes::{CipherKind, KeyUsage, ModeOfUse};

/// What a command does with a key, and so which modes of use allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Encrypts or wraps.
    Encrypt,
    /// Decrypts or unwraps.
    Decrypt,
    /// Generates a MAC, card value, offset or PVV.
    Generate,
    /// Verifies one.
    Verify,
    /// Derives other keys.
    Derive,
    /// Nothing that a mode could forbid: check value, change of scheme, being exported.
    Any,
}

impl Use {
    fn allowed_by(self, mode: ModeOfUse) -> bool {
        let modes: &[ModeOfUse] = match self {
            Self::Encrypt => &[ModeOfUse::BOTH, ModeOfUse::ENCRYPT, ModeOfUse::ANY],
            Self::Decrypt => &[ModeOfUse::BOTH, ModeOfUse::DECRYPT, ModeOfUse::ANY],
            Self::Generate => &[ModeOfUse::GENERATE_VERIFY, ModeOfUse::GENERATE, ModeOfUse::ANY],
            Self::Verify => &[ModeOfUse::GENERATE_VERIFY, ModeOfUse::VERIFY, ModeOfUse::ANY],
            Self::Derive => &[ModeOfUse::DERIVE, ModeOfUse::ANY],
            Self::Any => return true,
        };
        modes.contains(&mode)
    }
}

/// Ciphers that a rule admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ciphers {
    /// DES family only.
    Tdes,
    /// AES only.
    Aes,
    /// Either.
    Any,
}

/// What a key field takes: the type under a variant LMK, the usages in a key block.
#[derive(Clone, Copy, Debug)]
pub struct KeyRule {
    /// The field's name for the key.
    pub name: &'static str,
    /// Type under a variant LMK.
    pub key_type: KeyType,
    /// Usages in a key block; empty takes any.
    pub usages: &'static [KeyUsage],
    /// Ciphers.
    pub ciphers: Ciphers,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $key_type:ident, [$($usage:literal),*], $ciphers:ident;)*) => {
        $($(#[$doc])* pub const $name: KeyRule = KeyRule {
            name: $text,
            key_type: KeyType::$key_type,
            usages: &[$(KeyUsage(*$usage)),*],
            ciphers: Ciphers::$ciphers,
        };)*
    };
}

// Usages of host-commands.md section 5: the X9.143 code and the proprietary one of the same key.
rules! {
    /// Zone PIN key.
    ZPK = "ZPK", ZPK, [b"P0", b"72"], Any;
    /// Terminal PIN key.
    TPK = "TPK", PVK, [b"P0", b"71"], Any;
    /// PIN verification key of the Visa method.
    PVK_VISA = "PVK (Visa)", PVK, [b"V2", b"V0"], Tdes;
    /// PIN verification key of the IBM method.
    PVK_IBM = "PVK (IBM)", PVK, [b"V1", b"V0"], Tdes;
    /// Card verification key.
    CVK = "CVK", CVK, [b"C0", b"12", b"13"], Tdes;
    /// Base derivation key.
    BDK = "BDK", BDK1, [b"B0", b"41", b"42", b"43", b"44"], Any;
    /// Zone master key.
    ZMK = "ZMK", ZMK, [b"K0", b"K1", b"52", b"54"], Any;
    /// Terminal master key.
    TMK = "TMK", PVK, [b"K0", b"51"], Any;
    /// Terminal authentication key.
    TAK = "TAK", TAK, [b"M0", b"M1", b"M3", b"M5", b"M6"], Any;
}

/// Which parity code a key answers with: source 10, destination 11.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// First or source key.
    Source,
    /// Second or destination key.
    Destination,
}

impl Place {
    /// The code for bad parity, a weak key or an all-zero key.
    pub const fn parity_code(self) -> Code {
        match self {
            Self::Source => Code::SOURCE_PARITY,
            Self::Destination => Code::DESTINATION_PARITY,
        }
    }
}

/// Opens one key and judges it. The backend is asked at once, and the token is not needed any longer.
#[inline]
pub fn open<'r>(cx: &Cx, token: &KeyToken, rule: &'r KeyRule, how: Use, place: Place) -> OpeningKey<'r> {
    open_as(cx, token, rule, rule.key_type, how, place)
}

/// As [`open`], with another type under a variant LMK than the rule's first choice.
#[inline]
pub fn open_as<'r>(
    cx: &Cx,
    token: &KeyToken,
    rule: &'r KeyRule,
    key_type: KeyType,
    how: Use,
    place: Place,
) -> OpeningKey<'r> {
    let single_des = cx.settings().single_des;
    let opening = judge_token(token, how, single_des).map(|()| cx.hsm.open(cx.lmk, key_type, token));
    OpeningKey { opening, rule, how, place, single_des, valid: validity::judge(cx, token) }
}

// What is refused before a key is opened.
#[inline]
fn judge_token(token: &KeyToken, how: Use, single_des: bool) -> Result<(), Code> {
    if matches!(how, Use::Encrypt | Use::Generate) {
        key_table::may_protect(token)?;
    }
    if token.scheme == Scheme::Single && !single_des { Err(Code::KEY_LENGTH) } else { Ok(()) }
}

/// A key that is being opened, and is judged then.
#[must_use = "the key is there when this is awaited"]
pub struct OpeningKey<'r> {
    opening: Result<Opening, Code>,
    rule: &'r KeyRule,
    how: Use,
    place: Place,
    single_des: bool,
    valid: Result<(), Code>,
}

impl Future for OpeningKey<'_> {
    type Output = Result<Key, Code>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let opening = match &mut self.opening {
            Ok(opening) => opening,
            Err(code) => return Poll::Ready(Err(*code)),
        };
        let key = ready!(Pin::new(opening).poll(cx))?;
        Poll::Ready(judge(&key, self.rule, self.how, self.place, self.single_des, self.valid).map(|()| key))
    }
}

#[inline]
fn judge(
    key: &Key,
    rule: &KeyRule,
    how: Use,
    place: Place,
    single_des: bool,
    valid: Result<(), Code>,
) -> Result<(), Code> {
    if key.attributes().shape.kind == CipherKind::Des && !single_des {
        return Err(Code::KEY_LENGTH);
    }
    judge_binding(key, rule, how)?;
    valid?;
    judge_parts(&key.attributes().hygiene, single_des, place)
}

/// A key field for [`open_two`].
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'t, 'r> {
    /// The token.
    pub token: &'t KeyToken,
    /// What it must be.
    pub rule: &'r KeyRule,
    /// What it is for.
    pub how: Use,
}

/// Opens source and destination in the same batch; the first refusal in field order counts.
#[inline]
pub fn open_two<'r>(cx: &Cx, source: Wanted<'_, 'r>, destination: Wanted<'_, 'r>) -> OpeningTwo<'r> {
    OpeningTwo {
        source: open(cx, source.token, source.rule, source.how, Place::Source),
        destination: open(cx, destination.token, destination.rule, destination.how, Place::Destination),
        opened: None,
    }
}

/// What [`open_two`] gives without a run of the backend: both keys when they were opened before, or a refusal;
/// `None` when the backend would have to be asked, which it is not.
#[inline(always)]
pub fn two_seen(
    cx: &Cx,
    source: &Wanted<'_, '_>,
    destination: &Wanted<'_, '_>,
) -> Option<Result<(Key, Key), Code>> {
    let source = seen(cx, source, Place::Source)?;
    let destination = seen(cx, destination, Place::Destination)?;
    Some(both(source, destination))
}

#[inline(always)]
fn seen(cx: &Cx, Wanted { token, rule, how }: &Wanted<'_, '_>, place: Place) -> Option<Result<Key, Code>> {
    let single_des = cx.settings().single_des;
    if let Err(code) = judge_token(token, *how, single_des) {
        return Some(Err(code));
    }
    let key = cx.hsm.seen(cx.lmk, rule.key_type, token)?;
    Some(judge(&key, rule, *how, place, single_des, validity::judge(cx, token)).map(|()| key))
}

/// As [`open_two`], for whoever waits without a future: both keys when they were opened before, or a refusal. `None`
/// when the backend was asked for one of them; then `asked` gives both. Each is looked for once.
#[inline(always)]
pub fn look_for_two(
    cx: &Cx,
    source: &Wanted<'_, 'static>,
    destination: &Wanted<'_, 'static>,
    asked: &mut Option<AskedTwo>,
) -> Option<Result<(Key, Key), Code>> {
    match (look(cx, source, Place::Source), look(cx, destination, Place::Destination)) {
        (Sought::There(source), Sought::There(destination)) => Some(both(source, destination)),
        (first, second) => {
            *asked = Some(AskedTwo {
                sought: [first, second],
                rules: [source.rule, destination.rule],
                how: [source.how, destination.how],
                valid: [source, destination].map(|wanted| validity::judge(cx, wanted.token)),
                single_des: cx.settings().single_des,
            });
            None
        }
    }
}

// The first refusal in field order counts.
#[inline(always)]
fn both(source: Result<Key, Code>, destination: Result<Key, Code>) -> Result<(Key, Key), Code> {
    source.and_then(|source| Ok((source, destination?)))
}

#[inline(always)]
fn look(cx: &Cx, Wanted { token, rule, how }: &Wanted<'_, '_>, place: Place) -> Sought {
    let single_des = cx.settings().single_des;
    if let Err(code) = judge_token(token, *how, single_des) {
        return Sought::There(Err(code));
    }
    match cx.hsm.look(cx.lmk, rule.key_type, token) {
        Found::Seen(key) => {
            let valid = validity::judge(cx, token);
            Sought::There(judge(&key, rule, *how, place, single_des, valid).map(|()| key))
        }
        Found::Asked(asked) => Sought::Asked(asked),
    }
}

/// A key that was looked for.
enum Sought {
    /// It is there and judged, or refused.
    There(Result<Key, Code>),
    /// The backend was asked.
    Asked(AskedKey),
}

/// Source and destination, of which one or both are being opened. What was asked for waits in the queue already,
/// so that one run answers both.
#[must_use = "the keys have to be fetched"]
pub struct AskedTwo {
    sought: [Sought; 2],
    rules: [&'static KeyRule; 2],
    how: [Use; 2],
    valid: [Result<(), Code>; 2],
    single_des: bool,
}

impl AskedTwo {
    /// Both keys, when the run that they wait for is over.
    #[inline(always)]
    pub fn answer(&self, hsm: &Hsm) -> Poll<Result<(Key, Key), Code>> {
        let ([source, destination], [of_source, of_destination]) = (&self.sought, self.rules);
        let ([from, to], [from_valid, to_valid]) = (self.how, self.valid);
        let source = ready!(self.one(hsm, source, of_source, (from, from_valid), Place::Source));
        let destination =
            ready!(self.one(hsm, destination, of_destination, (to, to_valid), Place::Destination));
        Poll::Ready(both(source, destination))
    }

    #[inline(always)]
    fn one(
        &self,
        hsm: &Hsm,
        sought: &Sought,
        rule: &KeyRule,
        (how, valid): (Use, Result<(), Code>),
        place: Place,
    ) -> Poll<Result<Key, Code>> {
        Poll::Ready(match sought {
            Sought::There(found) => found.as_ref().map(Key::share).map_err(|code| *code),
            Sought::Asked(asked) => match ready!(hsm.answer_opened(asked)) {
                Ok(key) => judge(&key, rule, how, place, self.single_des, valid).map(|()| key),
                Err(error) => Err(error.into()),
            },
        })
    }
}

/// Two keys that are being opened. Both wait in the queue already, so that one run answers both.
#[must_use = "the keys are there when this is awaited"]
pub struct OpeningTwo<'r> {
    source: OpeningKey<'r>,
    destination: OpeningKey<'r>,
    /// The source, when it was there and the destination was not.
    opened: Option<Result<Key, Code>>,
}

impl Future for OpeningTwo<'_> {
    type Output = Result<(Key, Key), Code>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let two = &mut *self;
        let source = match two.opened.take() {
            Some(source) => source,
            None => ready!(Pin::new(&mut two.source).poll(cx)),
        };
        match Pin::new(&mut two.destination).poll(cx) {
            Poll::Ready(destination) => Poll::Ready(both(source, destination)),
            Poll::Pending => {
                two.opened = Some(source);
                Poll::Pending
            }
        }
    }
}

/// Judges usage, algorithm and mode of a key block. Under a variant LMK the type has judged already.
#[inline]
pub fn judge_binding(key: &Key, rule: &KeyRule, how: Use) -> Result<(), Code> {
    let attributes = key.attributes();
    if let Binding::Block(block) = attributes.binding {
        if !rule.usages.is_empty() && !rule.usages.contains(&block.usage) {
            return Err(Code::BLOCK_USAGE);
        }
        // A component is a part of a key, not a key.
        if block.version.is_component() {
            return Err(Code::BLOCK_VERSION);
        }
        if !how.allowed_by(block.mode) {
            return Err(Code::BLOCK_MODE);
        }
    }
    let fits = match rule.ciphers {
        Ciphers::Any => true,
        Ciphers::Tdes => attributes.shape.kind != CipherKind::Aes,
        Ciphers::Aes => attributes.shape.kind == CipherKind::Aes,
    };
    if fits { Ok(()) } else { Err(Code::BLOCK_ALGORITHM) }
}

/// Judges parity and weakness. Equal halves pass where single-length keys do: they are the same thing.
pub fn judge_hygiene(hygiene: &Hygiene, cx: &Cx, place: Place) -> Result<(), Code> {
    judge_parts(hygiene, cx.settings().single_des, place)
}

#[inline]
fn judge_parts(hygiene: &Hygiene, single_des: bool, place: Place) -> Result<(), Code> {
    match hygiene.weakness {
        Weakness::Weak => Err(place.parity_code()),
        Weakness::EqualParts if !single_des => Err(Code::MASQUERADE),
        _ if !hygiene.odd_parity => Err(place.parity_code()),
        _ => Ok(()),
    }
}
