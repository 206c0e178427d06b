//! GC: ZPK from encryption under the LMK to encryption under a ZMK.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::legacy::{self, Checked, Pair};
use hsm::KeyType;

/// Export a ZPK.
#[derive(Debug)]
pub struct ExportZpk;

impl Command for ExportZpk {
    const ABOUT: About =
        About { code: *b"GC", title: "Export a ZPK", audience: Audience::Officer, class: Class::Keys };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"GCU5E457F4EBCCCE439B59003476C323271X19E1D7C055693C2B5EEB7F88959327A4;U01",
            expect: Expect::Reply(b"GD00UF0A1AA34094E98D38D3C68FF2A54E4A00206B4"),
            source: "wire-examples GC-0-00093",
        },
        Example {
            lmk: 0,
            request: b"GCU5E457F4EBCCCE439B59003476C323271X19E1D7C055693C2B5EEB7F88959327A4;S01",
            expect: Expect::Code(b"26"),
            source: "own: key blocks are made by A8",
        },
        Example {
            lmk: 1,
            request: b"GCU1EE1CA54FBC8E08D3D3C9755CC5F5B09UE495850DB00AD68A685522EF57D852DA",
            expect: Expect::Code(b"A1"),
            source: "own: key-block LMKs have A6 and A8 instead",
        },
    ];
    type Request = Pair;
    type Reply = Checked;

    async fn run(cx: Cx, request: Pair) -> Answer<Checked> {
        legacy::export(&cx, &request, KeyType::ZPK).await.map(Into::into)
    }
}
