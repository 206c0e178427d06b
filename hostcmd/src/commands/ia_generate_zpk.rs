//! IA: generate a ZPK, under a ZMK for the partner and under the LMK for this unit.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::exchange::Master;
use crate::service::legacy::{self, Both, Generate};
use crate::wire::{CheckValue, Message, Step, Wire};
use hsm::KeyType;

/// Generate a ZPK.
#[derive(Debug)]
pub struct GenerateZpk;

/// The key in both forms, and its check value.
#[derive(Debug, Default)]
pub struct Reply {
    /// Under the ZMK and under the LMK.
    pub keys: Both,
    /// Check value.
    pub check: CheckValue,
}

impl Message for Reply {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        self.keys.walk(wire)?;
        self.check.walk(wire)
    }
}

impl Command for GenerateZpk {
    const ABOUT: About =
        About { code: *b"IA", title: "Generate a ZPK", audience: Audience::Officer, class: Class::Keys };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"IAU51D5BF3061432BF3FDA0A4E9D19DD4BB;UU1",
            expect: Expect::Like(
                b"IB00U................................U......................................",
            ),
            source: "wire-examples IA-0-00110",
        },
        Example {
            lmk: 0,
            request: b"IAU51D5BF3061432BF3FDA0A4E9D19DD4BB;UT1",
            expect: Expect::Code(b"26"),
            source: "own: two schemes of one length",
        },
        Example {
            lmk: 0,
            request: b"IAU51D5BF3061432BF3FDA0A4E9D19DD4BB;TT1",
            expect: Expect::Code(b"BB"),
            source: "security.md 1.2: the ZMK is at least as strong",
        },
        Example {
            lmk: 1,
            request: b"IAU51D5BF3061432BF3FDA0A4E9D19DD4BB;UU1",
            expect: Expect::Code(b"A1"),
            source: "own: key-block LMKs have A0 instead",
        },
    ];
    type Request = Generate;
    type Reply = Reply;

    async fn run(cx: Cx, request: Generate) -> Answer<Reply> {
        let digits = legacy::check_digits(&cx, &request.group)?;
        let (key, keys) = legacy::generate(&cx, &request, Master::Zmk, KeyType::ZPK).await?;
        Ok(Reply { keys, check: legacy::check_value(&cx, &key, digits).await? }.into())
    }
}
