//! What gateway and worker say to each other: records with a length, a kind and fields of fixed size. Both sides
//! are of one build, so there is a version and no negotiation.
//!
//! A frame carries all that its engine must know of the listener; the state of the unit goes ahead of it when it
//! changed. Sequence numbers rise; a worker answers each of them once, as they are done.

use hostcmd::{Activity, Authorised, Code, PinLength, Port, Role, Settings};
use hsm::{BackendClass, LmkId, LmkInfo, LmkScheme};
use paytypes::bytes::grow;

/// Of both sides.
pub const VERSION: u8 = 2;
/// Bytes of the length field, which counts what follows it.
pub const LENGTH: usize = 4;
/// Longest record behind its length field. A reply may be longer than a request, but no longer than a frame.
pub const RECORD_MAX: usize = 65_535 + 64;

/// What a listener tells of a frame: LMK, header, flags, role, PIN length, what is authorised.
pub const FACTS: usize = 6;

const FRAME: u8 = 1;
const UNIT: u8 = 2;
const TABLE: u8 = 3;
const HELLO: u8 = 16;
const REFUSED: u8 = 17;
const REPLY: u8 = 18;
const CLOSE: u8 = 19;
const TABLE_DONE: u8 = 20;
const BUSY: u8 = 21;

const ROLES: [Role; 4] = [Role::Acquirer, Role::Issuer, Role::Officer, Role::Any];
const SCHEMES: [LmkScheme; 3] = [LmkScheme::Variant, LmkScheme::TdesBlock, LmkScheme::AesBlock];
const CLASSES: [BackendClass; 3] = [BackendClass::A, BackendClass::B, BackendClass::C];

/// Why a worker does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The token refused the PIN. Every further try may lock it.
    Login,
    /// No token, or it cannot be used now; may change by itself.
    Token,
    /// What was asked for cannot be: module, file, configuration.
    Setup,
}

const REFUSALS: [Refusal; 3] = [Refusal::Login, Refusal::Token, Refusal::Setup];

/// A record from the gateway.
#[derive(Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// A frame with its sequence number and the facts of its listener.
    Frame(u64, [u8; FACTS], &'a [u8]),
    /// The state of the unit, see `unit`.
    Unit(&'a [u8]),
    /// A decimalisation table to be encrypted under an LMK.
    Table(LmkId, [u8; 16]),
}

/// A record from a worker.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// It serves: class and LMKs follow, see [`hello`].
    Hello(&'a [u8]),
    /// It does not, and why.
    Refused(Refusal, &'a str),
    /// The reply to a frame, with its code.
    Reply(u64, Code, &'a [u8]),
    /// No reply can be made to a frame: its connection is to be closed.
    Close(u64),
    /// A table was encrypted, or why not.
    Table(Result<&'a [u8], &'a str>),
    /// It is at work, and has nothing to answer yet.
    Busy,
}

/// What is on the wire is no record of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a record of this version")]
pub struct Malformed;

/// Takes a record off the front of `bytes`, without its length field; `None` when more bytes are needed.
pub fn take<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
    let Some((field, rest)) = bytes.split_first_chunk::<LENGTH>() else { return Ok(None) };
    let length = usize::try_from(u32::from_le_bytes(*field)).unwrap_or(usize::MAX);
    if length > RECORD_MAX {
        return Err(Malformed);
    }
    let Some((record, rest)) = rest.split_at_checked(length) else { return Ok(None) };
    *bytes = rest;
    Ok(Some(record))
}

fn put(out: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    let length = parts.iter().fold(1_usize, |sum, part| sum.saturating_add(part.len()));
    grow(out, length.saturating_add(LENGTH));
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    out.push(kind);
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

impl Request<'_> {
    /// Appends the record.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Frame(number, facts, frame) => put(out, FRAME, &[&number.to_le_bytes(), facts, frame]),
            Self::Unit(unit) => put(out, UNIT, &[unit]),
            Self::Table(lmk, table) => put(out, TABLE, &[&[lmk.0], table]),
        }
    }
}

impl<'a> Request<'a> {
    /// Reads a record.
    pub fn read(record: &'a [u8]) -> Result<Self, Malformed> {
        let (kind, body) = record.split_first().ok_or(Malformed)?;
        match *kind {
            FRAME => {
                let (number, rest) = number(body)?;
                let (facts, frame) = rest.split_first_chunk().ok_or(Malformed)?;
                Ok(Self::Frame(number, *facts, frame))
            }
            UNIT => Ok(Self::Unit(body)),
            TABLE => {
                let (lmk, table) = body.split_first().ok_or(Malformed)?;
                Ok(Self::Table(LmkId(*lmk), table.try_into().map_err(|_| Malformed)?))
            }
            _ => Err(Malformed),
        }
    }
}

impl Answer<'_> {
    /// Appends the record.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello(body) => put(out, HELLO, &[body]),
            Self::Refused(why, text) => put(out, REFUSED, &[&[place(&REFUSALS, *why)], text.as_bytes()]),
            Self::Reply(number, code, reply) => put(out, REPLY, &[&number.to_le_bytes(), &code.0, reply]),
            Self::Close(number) => put(out, CLOSE, &[&number.to_le_bytes()]),
            Self::Table(Ok(field)) => put(out, TABLE_DONE, &[&[1], field]),
            Self::Table(Err(why)) => put(out, TABLE_DONE, &[&[0], why.as_bytes()]),
            Self::Busy => put(out, BUSY, &[]),
        }
    }
}

impl<'a> Answer<'a> {
    /// Reads a record.
    pub fn read(record: &'a [u8]) -> Result<Self, Malformed> {
        let (kind, body) = record.split_first().ok_or(Malformed)?;
        let text = |bytes| core::str::from_utf8(bytes).map_err(|_| Malformed);
        match *kind {
            HELLO => Ok(Self::Hello(body)),
            REFUSED => {
                let (why, rest) = body.split_first().ok_or(Malformed)?;
                Ok(Self::Refused(at(&REFUSALS, *why)?, text(rest)?))
            }
            REPLY => {
                let (number, rest) = number(body)?;
                let (code, reply) = rest.split_first_chunk().ok_or(Malformed)?;
                Ok(Self::Reply(number, Code(*code), reply))
            }
            CLOSE => match number(body)? {
                (number, []) => Ok(Self::Close(number)),
                _ => Err(Malformed),
            },
            BUSY if body.is_empty() => Ok(Self::Busy),
            TABLE_DONE => match body.split_first().ok_or(Malformed)? {
                (1, field) => Ok(Self::Table(Ok(field))),
                (_, why) => Ok(Self::Table(Err(text(why)?))),
            },
            _ => Err(Malformed),
        }
    }
}

fn number(body: &[u8]) -> Result<(u64, &[u8]), Malformed> {
    let (number, rest) = body.split_first_chunk().ok_or(Malformed)?;
    Ok((u64::from_le_bytes(*number), rest))
}

fn place<T: PartialEq>(all: &[T], one: T) -> u8 {
    all.iter().position(|other| *other == one).and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
}

fn at<T: Copy>(all: &[T], place: u8) -> Result<T, Malformed> {
    all.get(usize::from(place)).copied().ok_or(Malformed)
}

/// What a frame's engine must know of its listener and of the moment.
pub fn facts(port: &Port, authorised: Authorised) -> [u8; FACTS] {
    let Port { lmk, header_length, ebcdic, role, settings, generation_trailer } = port;
    let Settings { clear_dectab, digit_check, single_des, x_export, legacy_translate, pin_length } = settings;
    let flags =
        [ebcdic, clear_dectab, digit_check, single_des, x_export, legacy_translate, generation_trailer];
    let flags = flags.into_iter().rev().fold(0_u8, |bits, flag| bits << 1 | u8::from(*flag));
    let pin_length = match pin_length {
        PinLength::Own => 0,
        PinLength::Fixed(length) => *length,
    };
    let allowed = Activity::ALL.into_iter().rev();
    let allowed = allowed.fold(0_u8, |bits, activity| bits << 1 | u8::from(authorised.allows(activity)));
    let header_length = u8::try_from(*header_length).unwrap_or(u8::MAX);
    [lmk.0, header_length, flags, place(&ROLES, *role), pin_length, allowed]
}

/// The listener and the moment again.
pub fn from_facts(facts: [u8; FACTS]) -> Result<(Port, Authorised), Malformed> {
    let [lmk, header_length, flags, role, pin_length, allowed] = facts;
    let flag = |bit: u8| flags >> bit & 1 == 1;
    let settings = Settings {
        clear_dectab: flag(1),
        digit_check: flag(2),
        single_des: flag(3),
        x_export: flag(4),
        legacy_translate: flag(5),
        pin_length: if pin_length == 0 { PinLength::Own } else { PinLength::Fixed(pin_length) },
    };
    let port = Port {
        lmk: LmkId(lmk),
        header_length: usize::from(header_length),
        ebcdic: flag(0),
        role: at(&ROLES, role)?,
        settings,
        generation_trailer: flag(6),
    };
    let activities = Activity::ALL.into_iter().zip(0_u8..).filter(|(_, bit)| allowed >> bit & 1 == 1);
    Ok((port, activities.fold(Authorised::NONE, |all, (activity, _)| all.with(activity))))
}

/// The body of a hello: version, class, LMKs.
pub fn hello(class: BackendClass, lmks: &[LmkInfo]) -> Vec<u8> {
    let mut body = vec![VERSION, place(&CLASSES, class), u8::try_from(lmks.len()).unwrap_or(u8::MAX)];
    for lmk in lmks {
        body.extend_from_slice(&[lmk.id.0, place(&SCHEMES, lmk.scheme), u8::from(lmk.test)]);
        body.extend_from_slice(&lmk.check);
        let comment = lmk.comment.as_bytes();
        let comment = comment.get(..comment.len().min(255)).unwrap_or_default();
        body.push(u8::try_from(comment.len()).unwrap_or_default());
        body.extend_from_slice(comment);
    }
    body
}

/// Class and LMKs of a hello.
pub fn from_hello(body: &[u8]) -> Result<(BackendClass, Vec<LmkInfo>), Malformed> {
    let ([version, class, count], mut rest) = body.split_first_chunk().ok_or(Malformed)?;
    if *version != VERSION {
        return Err(Malformed);
    }
    let mut lmks = Vec::new();
    for _ in 0..*count {
        let ([id, scheme, test], tail) = rest.split_first_chunk().ok_or(Malformed)?;
        let (check, tail) = tail.split_first_chunk().ok_or(Malformed)?;
        let (length, tail) = tail.split_first().ok_or(Malformed)?;
        let (comment, tail) = tail.split_at_checked(usize::from(*length)).ok_or(Malformed)?;
        rest = tail;
        lmks.push(LmkInfo {
            id: LmkId(*id),
            scheme: at(&SCHEMES, *scheme)?,
            test: *test == 1,
            check: *check,
            comment: String::from_utf8_lossy(comment).into_owned(),
        });
    }
    if rest.is_empty() { Ok((at(&CLASSES, *class)?, lmks)) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_as_they_went() {
        let requests = [
            Request::Frame(7, [1, 2, 3, 0, 5, 6], b"HEADNC"),
            Request::Unit(b"state"),
            Request::Table(LmkId(2), *b"0123456789012345"),
        ];
        let answers = [
            Answer::Hello(b"x"),
            Answer::Refused(Refusal::Token, "no token"),
            Answer::Reply(u64::MAX, Code::OK, b"HEADND00"),
            Answer::Close(9),
            Answer::Table(Ok(b"0011")),
            Answer::Table(Err("refused")),
            Answer::Busy,
        ];
        let mut out = Vec::new();
        requests.iter().for_each(|request| request.write(&mut out));
        let cut = out.len();
        answers.iter().for_each(|answer| answer.write(&mut out));
        let mut bytes = &out[..cut];
        for request in &requests {
            let record = take(&mut bytes).unwrap().unwrap();
            assert_eq!(&Request::read(record).unwrap(), request);
        }
        let mut bytes = &out[cut..];
        for answer in &answers {
            let record = take(&mut bytes).unwrap().unwrap();
            assert_eq!(&Answer::read(record).unwrap(), answer);
        }
        assert_eq!(take(&mut bytes), Ok(None));
    }

    #[test]
    fn what_is_cut_waits_and_what_is_wrong_is_refused() {
        let mut out = Vec::new();
        Request::Frame(1, [0; FACTS], b"HEADNC").write(&mut out);
        for end in 0..out.len() {
            assert_eq!(take(&mut &out[..end]), Ok(None), "{end}");
        }
        assert_eq!(take(&mut &[0xFF; 8][..]), Err(Malformed));
        for record in [&b""[..], b"\x01", b"\x01123456789", b"\x03", b"\x03\x0012", b"\x63"] {
            assert_eq!(Request::read(record), Err(Malformed), "{record:?}");
        }
        for record in [&b""[..], b"\x11", b"\x11\x09", b"\x12\x00", b"\x13\x00", b"\x14", b"\x15x", b"\x01"] {
            assert_eq!(Answer::read(record), Err(Malformed), "{record:?}");
        }
    }

    #[test]
    fn facts_hold_everything_of_a_listener() {
        for role in ROLES {
            for (bit, settings) in [(0, Settings::STRICT), (1, Settings::LEGACY)] {
                let mut port = Port::new(LmkId(bit), settings);
                (port.role, port.header_length, port.ebcdic) = (role, 255, bit == 1);
                for authorised in
                    [Authorised::NONE, Authorised::ALL, Authorised::NONE.with(Activity::WeakExport)]
                {
                    let (back, allowed) = from_facts(facts(&port, authorised)).unwrap();
                    assert_eq!(format!("{back:?}"), format!("{port:?}"));
                    assert_eq!(allowed, authorised);
                }
            }
        }
        assert!(from_facts([0, 4, 0, 4, 0, 0]).is_err(), "no such role");
    }

    #[test]
    fn hello_tells_class_and_lmks() {
        let lmk = |id, scheme, test| LmkInfo {
            id: LmkId(id),
            scheme,
            test,
            check: *b"08D7B4",
            comment: "Zürich".to_owned(),
        };
        let lmks = [lmk(0, LmkScheme::Variant, true), lmk(3, LmkScheme::AesBlock, false)];
        let body = hello(BackendClass::B, &lmks);
        let (class, back) = from_hello(&body).unwrap();
        assert_eq!((class, format!("{back:?}")), (BackendClass::B, format!("{lmks:?}")));
        for end in 0..body.len() {
            assert!(from_hello(&body[..end]).is_err(), "{end}");
        }
        assert!(from_hello(&[&body[..], b"x"].concat()).is_err());
    }
}
