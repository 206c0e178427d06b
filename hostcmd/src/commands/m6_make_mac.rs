//! M6: make a MAC, over a message in one piece or in parts.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::data_keys::Types;
use crate::service::keys::Use;
use crate::service::mac_message::MacMessage;
use crate::wire::{BlockText, Message, Step, Wire};

// TAK and ZAK, and those with which an AS2805 node sends.
const TYPES: Types = &[b"003", b"008", b"103", b"108", b"FFF"];

/// MAC generation.
#[derive(Debug)]
pub struct MakeMac;

/// Flags, key, data.
#[derive(Debug, Default)]
pub struct Request {
    /// All fields.
    pub message: MacMessage,
}

impl Message for Request {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        self.message.walk(wire, TYPES)
    }
}

/// MAC, or the chaining value for the part that follows.
#[derive(Debug, Default)]
pub struct Reply {
    /// 8 or 16 digits of the MAC; a whole block of the chaining value.
    pub value: BlockText,
}

impl Message for Reply {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        self.value.walk_rest(wire, "MAC or IV")
    }
}

impl Command for MakeMac {
    const ABOUT: About =
        About { code: *b"M6", title: "Make a MAC", audience: Audience::Traffic, class: Class::Data };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"M601132008U42520B1791939539DF22BBA1B037A74F0012708C1EEF0102914622",
            expect: Expect::Reply(b"M700044010FF8791B917"),
            source: "wire-examples M6-0-00137",
        },
        Example {
            lmk: 1,
            request: b"M600031FFFS00072M3TC00E0001C2FFCC53B51BBCB52B7F88F040DA0E12E7A587F2582E0DDC46D0D878\
                0007\xE5M\xFEA\x97s\x18",
            expect: Expect::Reply(b"M700AD58151B"),
            source: "wire-examples M6-1-00138",
        },
        Example {
            lmk: 2,
            request: b"M602010FFFS10096M1TC00E0002441C13190B5779900F3AAD63EA2FA7994AA7207F67640DB60CDF814E\
                F3EA7D88C6695A2355997892004070082452215267669922400968882231794226792368610548932870172\
                75985",
            expect: Expect::Reply(b"M700BECF7A6B"),
            source: "wire-examples M6-2-00139",
        },
        Example {
            lmk: 0,
            request: b"M691031003UB50CB15A908F18D51552E4D69906BEB20010095A30EA10F8D8A9",
            expect: Expect::Code(b"02"),
            source: "wire-examples M6-0-00302",
        },
        Example {
            lmk: 2,
            request: b"M601731FFFS10096M3TC00E0002717DD1C7FF4174375120666AD1C0FEBE4473E477F962F3C7C9569806F\
                0861C36CC4D224EFBC29B6D00106E8A9A9F6C09F80A",
            expect: Expect::Code(b"04"),
            source: "wire-examples M6-2-00304",
        },
        Example {
            lmk: 1,
            request: b"M600061FFFS00072M3TC00E0001C2FFCC53B51BBCB52B7F88F040DA0E12E7A587F2582E0DDC46D0D878\
                0007\xE5M\xFEA\x97s\x18",
            expect: Expect::Code(b"A6"),
            source: "own: an algorithm 3 key makes no CMAC",
        },
        Example {
            lmk: 0,
            request: b"M601132001U42520B1791939539DF22BBA1B037A74F0012708C1EEF0102914622",
            expect: Expect::Code(b"05"),
            source: "own: a ZPK makes no MAC",
        },
    ];
    type Request = Request;
    type Reply = Reply;

    async fn run(cx: Cx, request: Request) -> Answer<Reply> {
        let message = request.message;
        let key = message.open(&cx, Use::Generate).await?;
        let value = message.compute(&cx, &key).await?;
        let whole = value.as_bytes();
        let shown = if message.ends() { whole.get(..message.mac_length()).unwrap_or(whole) } else { whole };
        Ok(Reply { value: BlockText::new(shown) }.into())
    }
}
