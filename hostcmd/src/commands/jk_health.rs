//! JK: health of the unit now: its ports, its LMKs and what is authorised.

use crate::command::{About, Activity, Answer, Audience, Class, Command, Example, Expect};
use crate::wire::{Alphabet, Message, Number, Show, Step, Wire};
use crate::{Authorised, Code, Cx, Moment};
use hsm::{LmkInfo, LmkScheme};

const END_OF_LMK: u8 = 0x14;
const END_OF_LMKS: u8 = 0x15;

/// Health.
#[derive(Debug)]
pub struct Health;

/// State of a part of the unit, one digit each: `0` unknown, `1` running, `2` not running, `3` not there.
#[derive(Debug, Default)]
pub struct Parts {
    /// Console.
    pub console: [u8; 1],
    /// Management by a browser.
    pub manager: [u8; 1],
    /// First host port.
    pub host_1: [u8; 1],
    /// Second host port.
    pub host_2: [u8; 1],
    /// Always zeros.
    pub reserved: [u8; 2],
}

impl Parts {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.digits("console", &mut self.console)?;
        wire.digits("manager", &mut self.manager)?;
        wire.digits("host port 1", &mut self.host_1)?;
        wire.digits("host port 2", &mut self.host_2)?;
        wire.digits("reserved", &mut self.reserved)
    }
}

/// Tamper state.
#[derive(Debug, Default)]
pub struct Tamper {
    /// `0` unknown, `1` not tampered, `2` tampered.
    pub state: [u8; 1],
    /// Cause, when tampered.
    pub cause: [u8; 2],
    /// Moment, when tampered.
    pub moment: Moment,
}

impl Tamper {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.digits("tamper state", &mut self.state)?;
        if self.state != *b"2" {
            return Ok(());
        }
        wire.digits("tamper cause", &mut self.cause)?;
        wire.digits("tamper date", &mut self.moment.date)?;
        wire.digits("tamper time", &mut self.moment.time)
    }
}

/// One LMK.
#[derive(Clone, Debug, Default)]
pub struct Lmk {
    /// Identifier.
    pub id: [u8; 2],
    /// `1` when anything is authorised.
    pub authorised: [u8; 1],
    /// How many activities are authorised.
    pub activities: Number<2>,
    /// `V` variant, `K` key block.
    pub scheme: [u8; 1],
    /// `0` two-key 3DES, `1` three-key 3DES, `2` AES-256.
    pub algorithm: [u8; 1],
    /// `L` live, `T` test.
    pub status: [u8; 1],
    /// Free text.
    pub comment: Vec<u8>,
}

impl Lmk {
    fn of(info: &LmkInfo, authorised: Authorised) -> Self {
        let activities = Activity::ALL.iter().filter(|a| authorised.allows(**a)).count();
        let (scheme, algorithm) = match info.scheme {
            LmkScheme::Variant => (b'V', b'0'),
            LmkScheme::TdesBlock => (b'K', b'1'),
            LmkScheme::AesBlock => (b'K', b'2'),
        };
        // A control character in the comment would end the entry early.
        let comment = info.comment.bytes().map(|c| if matches!(c, b' '..=b'~') { c } else { b'?' });
        Self {
            id: info.id.digits(),
            authorised: [if activities > 0 { b'1' } else { b'0' }],
            activities: Number(u32::try_from(activities).unwrap_or_default()),
            scheme: [scheme],
            algorithm: [algorithm],
            status: [if info.test { b'T' } else { b'L' }],
            comment: comment.collect(),
        }
    }

    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.digits("LMK identifier", &mut self.id)?;
        wire.digits("authorised", &mut self.authorised)?;
        wire.number("authorised activities", &mut self.activities)?;
        wire.text("LMK scheme", &mut self.scheme)?;
        wire.digits("LMK algorithm", &mut self.algorithm)?;
        wire.text("LMK status", &mut self.status)?;
        let length = wire.ahead().iter().position(|c| *c == END_OF_LMK).unwrap_or_default();
        wire.sized("LMK comment", Alphabet::Printable, Show::All, length, &mut self.comment)?;
        end(wire, "end of LMK", END_OF_LMK)
    }
}

fn end<W: Wire>(wire: &mut W, name: &'static str, mark: u8) -> Step {
    let mut present = true;
    wire.mark(name, mark, &mut present)?;
    if present { Ok(()) } else { Err(Code::INPUT) }
}

/// All of it.
#[derive(Debug, Default)]
pub struct Reply {
    /// Serial number of the unit.
    pub serial: [u8; 12],
    /// Time of the unit.
    pub now: Moment,
    /// Its parts.
    pub parts: Parts,
    /// Tamper state.
    pub tamper: Tamper,
    /// LMKs that are loaded.
    pub loaded: Number<2>,
    /// How many of them are test LMKs.
    pub test: Number<2>,
    /// LMKs kept for the change of LMK.
    pub old: Number<2>,
    /// One entry for each that is loaded.
    pub lmks: Vec<Lmk>,
    /// `1` when a limit of failed PIN verifications was exceeded.
    pub fraud: [u8; 1],
    /// `1` when the limit of PIN attacks was exceeded.
    pub pin_attack: [u8; 1],
}

impl Message for Reply {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.text("serial number", &mut self.serial)?;
        wire.digits("date", &mut self.now.date)?;
        wire.digits("time", &mut self.now.time)?;
        self.parts.walk(wire)?;
        self.tamper.walk(wire)?;
        wire.number("LMKs loaded", &mut self.loaded)?;
        wire.number("test LMKs", &mut self.test)?;
        wire.number("old LMKs", &mut self.old)?;
        if wire.reading() {
            self.lmks = vec![Lmk::default(); self.loaded.size()];
        }
        self.lmks.iter_mut().try_for_each(|lmk| lmk.walk(wire))?;
        end(wire, "end of LMKs", END_OF_LMKS)?;
        wire.digits("fraud detection", &mut self.fraud)?;
        wire.digits("PIN attack", &mut self.pin_attack)
    }
}

impl Command for Health {
    const ABOUT: About =
        About { code: *b"JK", title: "Health now", audience: Audience::Everyone, class: Class::Status };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"JK",
            expect: Expect::Reply(
                b"JL00PAYHSM000001000101000000221300003030000104V0Tpublic variant test set\x14\
                01104K1Tpublic 3DES key-block test LMK\x1402104K2Tpublic AES key-block test LMK\x14\x1500",
            ),
            source: "own, from host-commands.md 8.1: everything authorised, the public test LMKs",
        },
        Example { lmk: 0, request: b"JK%19", expect: Expect::Code(b"13"), source: "own: no such LMK" },
    ];
    const READS_COUNTS: bool = true;
    type Request = ();
    type Reply = Reply;

    async fn run(cx: Cx, (): ()) -> Answer<Reply> {
        let lmks = cx.lmks();
        let count = |n: usize| Number(u32::try_from(n).unwrap_or(u32::MAX));
        let reply = cx.with_unit(|unit| Reply {
            serial: unit.serial,
            now: unit.now,
            // Neither console nor browser management: the unit is managed by its files and by the key
            // management centre. All listeners are one host port.
            parts: Parts { console: *b"2", manager: *b"2", host_1: *b"1", host_2: *b"3", reserved: *b"00" },
            // A software unit has no sensor.
            tamper: Tamper { state: *b"0", ..Tamper::default() },
            loaded: count(lmks.len()),
            test: count(lmks.iter().filter(|l| l.test).count()),
            old: Number(0),
            lmks: lmks.iter().map(|info| Lmk::of(info, unit.authorised)).collect(),
            fraud: flag(unit.pin_limits.minute > 0 || unit.pin_limits.hour > 0),
            pin_attack: flag(unit.pin_limits.attacks > 0),
        });
        Ok(reply.into())
    }
}

const fn flag(set: bool) -> [u8; 1] {
    if set { *b"1" } else { *b"0" }
}
