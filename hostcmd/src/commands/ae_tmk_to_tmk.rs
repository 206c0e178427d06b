//! AE: TMK, TPK or PVK from encryption under the LMK to encryption under a TMK. The reply has no check value.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::exchange::Master;
use crate::service::legacy::{self, Pair};
use crate::wire::{Message, Step, Untagged, Wire};
use hsm::{KeyToken, KeyType};

/// Export a TMK, TPK or PVK under a TMK.
#[derive(Debug)]
pub struct ExportUnderTmk;

/// The key.
#[derive(Debug, Default)]
pub struct Reply {
    /// Under the TMK.
    pub key: KeyToken,
}

impl Message for Reply {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.key("key under TMK", Untagged::Single, &mut self.key)
    }
}

impl Command for ExportUnderTmk {
    const ABOUT: About = About {
        code: *b"AE",
        title: "Export a TMK, TPK or PVK under a TMK",
        audience: Audience::Officer,
        class: Class::Keys,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"AEU5DCE7F123A3C730F1B557C24A7DA7C66U3F9612963C42A7264CD9431157F671F2",
            expect: Expect::Reply(b"AF00U5CE335B689454E2FF1A367861C554CE6"),
            source: "wire-examples AE-0-00012",
        },
        Example {
            lmk: 0,
            request: b"AEU5DCE7F123A3C730F1B557C24A7DA7C66U3F9612963C42A7264CD9431157F671F2;Q00",
            expect: Expect::Code(b"26"),
            source: "own: no such scheme",
        },
        Example {
            lmk: 1,
            request: b"AEU1EE1CA54FBC8E08D3D3C9755CC5F5B09UE495850DB00AD68A685522EF57D852DA",
            expect: Expect::Code(b"A1"),
            source: "own: key-block LMKs have A6 and A8 instead",
        },
    ];
    type Request = Pair;
    type Reply = Reply;

    async fn run(cx: Cx, request: Pair) -> Answer<Reply> {
        legacy::variant_only(&cx)?;
        let (_, key) = legacy::export_key(&cx, &request, Master::Tmk, KeyType::PVK).await?;
        Ok(Reply { key }.into())
    }
}
