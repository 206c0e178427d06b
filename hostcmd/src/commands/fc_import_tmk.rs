//! FC: TMK, TPK or PVK from encryption under a ZMK to encryption under the LMK.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::legacy::{self, Checked, Pair};
use hsm::KeyType;

/// Import a TMK, TPK or PVK.
#[derive(Debug)]
pub struct ImportTmk;

impl Command for ImportTmk {
    const ABOUT: About = About {
        code: *b"FC",
        title: "Import a TMK, TPK or PVK",
        audience: Audience::Officer,
        class: Class::Keys,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"FCUF806264B3564A4353AE3286F1565F411UA69990A283B5D091D30C9A827524DEB9;0U1",
            expect: Expect::Reply(b"FD00U5DF270F334FC91E805E4C41CC453835FB90238"),
            source: "wire-examples FC-0-00082",
        },
        Example {
            lmk: 0,
            request: b"FCUF806264B3564A4353AE3286F1565F411UA69990A283B5D091D30C9A827524DEB9;0Q1",
            expect: Expect::Code(b"26"),
            source: "own: no such scheme",
        },
        Example {
            lmk: 1,
            request: b"FCU1EE1CA54FBC8E08D3D3C9755CC5F5B09UE495850DB00AD68A685522EF57D852DA",
            expect: Expect::Code(b"A1"),
            source: "own: key-block LMKs have A6 and A8 instead",
        },
    ];
    type Request = Pair;
    type Reply = Checked;

    async fn run(cx: Cx, request: Pair) -> Answer<Checked> {
        legacy::import(&cx, &request, KeyType::PVK).await
    }
}
