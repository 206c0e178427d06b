//! M8: verify a MAC, over a message in one piece or in parts.

use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::data_keys::Types;
use crate::service::keys::Use;
use crate::service::mac_message::MacMessage;
use crate::wire::{BlockText, Message, Step, Wire};
use crate::{Code, Cx};

// TAK and ZAK, and those with which an AS2805 node receives.
const TYPES: Types = &[b"003", b"008", b"203", b"208", b"FFF"];

/// MAC verification.
#[derive(Debug)]
pub struct VerifyMac;

/// Flags, key, data, MAC.
#[derive(Debug, Default)]
pub struct Request {
    /// All fields up to the data.
    pub message: MacMessage,
    /// The MAC to verify, when the message ends here.
    pub mac: BlockText,
}

impl Message for Request {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        self.message.walk(wire, TYPES)?;
        if !self.message.ends() {
            return Ok(());
        }
        self.mac.walk(wire, "MAC", self.message.mac_length().saturating_mul(2))
    }
}

/// The chaining value for the part that follows; nothing when the MAC was verified.
#[derive(Debug, Default)]
pub struct Reply {
    /// One block.
    pub iv: BlockText,
}

impl Message for Reply {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        self.iv.walk_rest(wire, "IV")
    }
}

impl Command for VerifyMac {
    const ABOUT: About =
        About { code: *b"M8", title: "Verify a MAC", audience: Audience::Traffic, class: Class::Data };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"M802131003U5BECA2E0BF5C2C4D048B87850439FE2D000E03188367494168BD86482C9332B354",
            expect: Expect::Reply(b"M900"),
            source: "wire-examples M8-0-00140",
        },
        Example {
            lmk: 1,
            request: b"M802060FFFS00072M6TC00E0001BC105FEDD517C9C19CB4DF83C6228CC42AEF89A9023A0137FFE894EB\
                002377979177583830473305481516389889984DA5F571C",
            expect: Expect::Reply(b"M900"),
            source: "wire-examples M8-1-00141",
        },
        Example {
            lmk: 2,
            request: b"M802160FFFS10096M6AC00E0002E1EC3132E7686E188DB33D4A3E45A18101CB652DD641E6BA5D4B0A6B2\
                35A55B79FCE1F29615F939C00359533573029308715379704750253965495154513503055242833828E45BF2B\
                0467EAB",
            expect: Expect::Reply(b"M900"),
            source: "wire-examples M8-2-00142",
        },
        Example {
            lmk: 1,
            request: b"M801132FFFS00072M3TN00E0001A2626118D9D29F3235967DEFE068806A771C9D01923F5B59D6D09C99\
                0010792C1F4AC05BD2860FD6A051EB149E21",
            expect: Expect::Code(b"01"),
            source: "wire-examples M8-1-00306",
        },
        Example {
            lmk: 0,
            request: b"M802137003U5BECA2E0BF5C2C4D048B87850439FE2D000E03188367494168BD86482C9332B354",
            expect: Expect::Code(b"09"),
            source: "own: no such padding",
        },
    ];
    type Request = Request;
    type Reply = Reply;

    async fn run(cx: Cx, request: Request) -> Answer<Reply> {
        let message = request.message;
        let key = message.open(&cx, Use::Verify).await?;
        if !message.ends() {
            let iv = message.compute(&cx, &key).await?;
            return Ok(Reply { iv: BlockText::new(iv.as_bytes()) }.into());
        }
        if !message.verify(&cx, &key, &request.mac).await? {
            return Err(Code::VERIFICATION);
        }
        Ok(Reply::default().into())
    }
}
