//! MG: TAK from encryption under the LMK to encryption under a ZMK.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::legacy::{self, Checked, Pair};
use hsm::KeyType;

/// Export a TAK.
#[derive(Debug)]
pub struct ExportTak;

impl Command for ExportTak {
    const ABOUT: About =
        About { code: *b"MG", title: "Export a TAK", audience: Audience::Officer, class: Class::Keys };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"MGU9BE2D116AFBD200EB02983A101F987BDU5CDA5714790C22C020411848496213BF;X00",
            expect: Expect::Legacy(b"MH00XBC1BF6A8F1221C7A032B16A247A8E9A370F5A0DB64EEC40A"),
            source: "wire-examples MG-0-00146; strict refuses the form",
        },
        Example {
            lmk: 0,
            request: b"MGU9BE2D116AFBD200EB02983A101F987BDU5CDA5714790C22C020411848496213BF;U01",
            expect: Expect::Like(b"MH00U................................70F5A0"),
            source: "wire-examples MG-0-00146 in another form",
        },
        Example {
            lmk: 0,
            request: b"MGU9BE2D116AFBD200EB02983A101F987BDU5CDA5714790C22C020411848496213BF;T01",
            expect: Expect::Code(b"26"),
            source: "own: the scheme is of another length",
        },
        Example {
            lmk: 1,
            request: b"MGU1EE1CA54FBC8E08D3D3C9755CC5F5B09UE495850DB00AD68A685522EF57D852DA",
            expect: Expect::Code(b"A1"),
            source: "own: key-block LMKs have A6 and A8 instead",
        },
    ];
    type Request = Pair;
    type Reply = Checked;

    async fn run(cx: Cx, request: Pair) -> Answer<Checked> {
        legacy::export(&cx, &request, KeyType::TAK).await.map(Into::into)
    }
}
