//! FE: TMK, TPK or PVK from encryption under the LMK to encryption under a ZMK.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::legacy::{self, Checked, Pair};
use hsm::KeyType;

/// Export a TMK, TPK or PVK.
#[derive(Debug)]
pub struct ExportTmk;

impl Command for ExportTmk {
    const ABOUT: About = About {
        code: *b"FE",
        title: "Export a TMK, TPK or PVK",
        audience: Audience::Officer,
        class: Class::Keys,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"FEU844CDBC0C5AA064690E7685B0BE9F2F9UC8B7C36F676450B81B2B23676A12BB1E;U00%00",
            expect: Expect::Reply(b"FF00UA6DB4DFF2EEC7732B8E88BCF094F4B15AE83CD0A1C760236"),
            source: "wire-examples FE-0-00083",
        },
        Example {
            lmk: 0,
            request: b"FEU1EF8CC6FC84F9A7F69CED238D6F8E055U5AF358ECAC18CEF7C515EB11FAA28A00;U0",
            expect: Expect::Code(b"15"),
            source: "wire-examples FE-0-00318",
        },
        Example {
            lmk: 1,
            request: b"FEU1EE1CA54FBC8E08D3D3C9755CC5F5B09UE495850DB00AD68A685522EF57D852DA",
            expect: Expect::Code(b"A1"),
            source: "own: key-block LMKs have A6 and A8 instead",
        },
    ];
    type Request = Pair;
    type Reply = Checked;

    async fn run(cx: Cx, request: Pair) -> Answer<Checked> {
        legacy::export(&cx, &request, KeyType::PVK).await.map(Into::into)
    }
}
