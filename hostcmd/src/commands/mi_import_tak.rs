//! MI: TAK from encryption under a ZMK to encryption under the LMK.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::legacy::{self, Checked, Pair};
use hsm::KeyType;

/// Import a TAK.
#[derive(Debug)]
pub struct ImportTak;

impl Command for ImportTak {
    const ABOUT: About =
        About { code: *b"MI", title: "Import a TAK", audience: Audience::Officer, class: Class::Keys };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"MIU48846D2E4550C3C862084A04B6120071X4E8E8FA47516DD230FFB48A03B2F0640;0X1%00",
            expect: Expect::Reply(b"MJ01X8EA93C01C65FE37DA5C93CCC878F250AE68A18"),
            source: "wire-examples MI-0-00147: parity was forced",
        },
        Example {
            lmk: 0,
            request: b"MIU48846D2E4550C3C862084A04B6120071X4E8E8FA47516DD230FFB48A03B2F0640;0X2",
            expect: Expect::Code(b"82"),
            source: "own: no such check value",
        },
        Example {
            lmk: 1,
            request: b"MIU1EE1CA54FBC8E08D3D3C9755CC5F5B09UE495850DB00AD68A685522EF57D852DA",
            expect: Expect::Code(b"A1"),
            source: "own: key-block LMKs have A6 and A8 instead",
        },
    ];
    type Request = Pair;
    type Reply = Checked;

    async fn run(cx: Cx, request: Pair) -> Answer<Checked> {
        legacy::import(&cx, &request, KeyType::TAK).await
    }
}
