//! FA: ZPK from encryption under a ZMK to encryption under the LMK.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::legacy::{self, Checked, Pair};
use hsm::KeyType;

/// Import a ZPK.
#[derive(Debug)]
pub struct ImportZpk;

impl Command for ImportZpk {
    const ABOUT: About =
        About { code: *b"FA", title: "Import a ZPK", audience: Audience::Officer, class: Class::Keys };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"FAU1EE1CA54FBC8E08D3D3C9755CC5F5B09UE495850DB00AD68A685522EF57D852DA;0X0%00",
            expect: Expect::Reply(b"FB00XCA535A8320F744AEC1536E27CEBBAD57A771E6658ADC94D5"),
            source: "wire-examples FA-0-00081",
        },
        Example {
            lmk: 0,
            request: b"FAU1EE1CA54FBC8E08D3D3C9755CC5F5B09UE495850DB00AD68A685522EF57D852DA;0T1",
            expect: Expect::Code(b"26"),
            source: "own: the scheme is of another length",
        },
        Example {
            lmk: 1,
            request: b"FAU1EE1CA54FBC8E08D3D3C9755CC5F5B09UE495850DB00AD68A685522EF57D852DA",
            expect: Expect::Code(b"A1"),
            source: "own: key-block LMKs have A6 and A8 instead",
        },
    ];
    type Request = Pair;
    type Reply = Checked;

    async fn run(cx: Cx, request: Pair) -> Answer<Checked> {
        legacy::import(&cx, &request, KeyType::ZPK).await
    }
}
