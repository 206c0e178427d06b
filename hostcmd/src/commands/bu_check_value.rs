//! BU: check value of a key. Components have one too: their holders compare it.
//!
//! Sixteen digits need the authorised state (17); they are also what a request without a type of check value
//! gets, as on old units. Other lengths answer 82.

use crate::command::{About, Activity, Answer, Audience, Class, Command, Example, Expect};
use crate::service::key_types;
use crate::service::keys::Place;
use crate::service::legacy::check_value;
use crate::service::seal::open_to_check;
use crate::wire::{CheckValue, Message, Step, Untagged, Wire};
use crate::{Code, Cx};
use hsm::{KeyToken, KeyType};

/// Check value of a key.
#[derive(Debug)]
pub struct KeyCheckValue;

/// Type, length, key, kind of check value.
#[derive(Debug, Default)]
pub struct Request {
    /// Variant digit and pair code, `FF` when the whole type follows or the key block tells it.
    pub type_code: [u8; 2],
    /// `0` single, `1` double, `2` triple length; `F` under a key-block LMK.
    pub length: [u8; 1],
    /// The key.
    pub key: KeyToken,
    /// The whole type is there.
    pub typed: bool,
    /// The whole type.
    pub key_type: [u8; 3],
    /// The last group is there.
    pub options: bool,
    /// Two reserved zeros.
    pub reserved: [u8; 2],
    /// `0` for 16 digits, `1` for six.
    pub check_type: [u8; 1],
}

impl Message for Request {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.text("key type code", &mut self.type_code)?;
        wire.text("key length flag", &mut self.length)?;
        let single = self.length == *b"0";
        let untagged = if single { Untagged::Single } else { Untagged::Pair };
        wire.key("key", untagged, &mut self.key)?;
        if self.type_code == *b"FF" {
            wire.mark("delimiter", b';', &mut self.typed)?;
            if self.typed {
                wire.text("key type", &mut self.key_type)?;
            }
        }
        wire.mark("delimiter", b';', &mut self.options)?;
        if self.options {
            wire.text("reserved", &mut self.reserved)?;
            wire.text("check value type", &mut self.check_type)?;
        }
        Ok(())
    }
}

/// The check value.
#[derive(Debug, Default)]
pub struct Reply {
    /// 6 or 16 digits.
    pub check: CheckValue,
}

impl Message for Reply {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        self.check.walk(wire)
    }
}

impl Command for KeyCheckValue {
    const ABOUT: About = About {
        code: *b"BU",
        title: "Check value of a key",
        audience: Audience::OfficerAndTraffic,
        class: Class::Keys,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"BUFF2TB356A1650DC2385A8963608AF139D44589E7CDAAB093D6D7;109;001%00",
            expect: Expect::Reply(b"BV00CB1C37"),
            source: "wire-examples BU-0-00033",
        },
        Example {
            lmk: 1,
            request: b"BUFFFS00072M3TC00E0001FAED17433907A13CB4B7390669ADBD1B4223449C82586D52D2666530;FFF;001",
            expect: Expect::Reply(b"BV00A975D4"),
            source: "wire-examples BU-1-00034",
        },
        Example {
            lmk: 2,
            request: b"BUFFFS10096M3TC00E000256C1AF30666E09003A6C94D2E79ADB8401C9C21851491C5A8384FBE6DC6762ABD2E88BDF\
                281E8954;FFF;001",
            expect: Expect::Reply(b"BV0096A044"),
            source: "wire-examples BU-2-00035",
        },
        Example {
            lmk: 0,
            request: b"BUFF1U5178C9D3D1052B15BF6AEC458B4A4564;209",
            expect: Expect::Like(b"BV008357D9.........."),
            source: "s-blocks var-MKSMI; sixteen digits by default",
        },
        Example {
            lmk: 0,
            request: b"BU019U9D1861105CF019C1BAF399A683F5FB0D",
            expect: Expect::Code(b"05"),
            source: "wire-examples BU-0-00198",
        },
        Example {
            lmk: 0,
            request: b"BU0F1U42BAB5859847A1386A087AB953A8A00A",
            expect: Expect::Code(b"04"),
            source: "wire-examples BU-0-00199",
        },
        Example {
            lmk: 0,
            request: b"BUFF1U5178C9D3D1052B15BF6AEC458B4A4564;209;008",
            expect: Expect::Code(b"82"),
            source: "host-commands.md 8.2: eight digits are not a check value",
        },
    ];
    type Request = Request;
    type Reply = Reply;

    async fn run(cx: Cx, r: Request) -> Answer<Reply> {
        let key_type = key_type(&cx, &r)?;
        judge_length(&cx, &r)?;
        let digits = digits(&cx, &r)?;
        let key = open_to_check(&cx, &r.key, key_type, Place::Source).await?;
        Ok(Reply { check: check_value(&cx, &key, digits).await? }.into())
    }
}

fn key_type(cx: &Cx, r: &Request) -> Result<KeyType, Code> {
    match (&r.type_code, r.typed) {
        (b"FF", true) => key_types::read(cx, r.key_type),
        (b"FF", false) if cx.scheme.is_block() => Ok(KeyType::FROM_BLOCK),
        (b"FF", false) => Err(Code::KEY_TYPE_CODE),
        (short, _) => key_types::read_short(cx, *short),
    }
}

fn judge_length(cx: &Cx, r: &Request) -> Result<(), Code> {
    let fits = match (r.length, r.key.scheme.key_length()) {
        ([b'F'], _) => cx.scheme.is_block(),
        ([b'0'], Some(8)) | ([b'1'], Some(16)) | ([b'2'], Some(24)) => true,
        _ => false,
    };
    if fits { Ok(()) } else { Err(Code::LENGTH_FLAG) }
}

fn digits(cx: &Cx, r: &Request) -> Result<usize, Code> {
    match (r.options, r.reserved, r.check_type) {
        (true, [b'0', b'0'], [b'1']) => Ok(6),
        (false, _, _) | (true, [b'0', b'0'], [b'0']) => cx.require(Activity::LongCheckValue).map(|()| 16),
        (true, [b'0', b'0'], _) => Err(Code::CHECK_VALUE_LENGTH),
        _ => Err(Code::INPUT),
    }
}
