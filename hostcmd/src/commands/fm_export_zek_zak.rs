//! FM: ZEK or ZAK from encryption under the LMK to encryption under a ZMK.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::legacy::{self, Checked, Pair, zek_or_zak};
use crate::wire::{Message, Step, Wire};

/// Export a ZEK or ZAK.
#[derive(Debug)]
pub struct ExportZekZak;

/// Flag, ZMK, key, options.
#[derive(Debug, Default)]
pub struct Request {
    /// `0` ZEK, `1` ZAK.
    pub flag: [u8; 1],
    /// ZMK, key, options.
    pub pair: Pair,
}

impl Message for Request {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.digits("ZEK/ZAK flag", &mut self.flag)?;
        self.pair.walk(wire)
    }
}

impl Command for ExportZekZak {
    const ABOUT: About =
        About { code: *b"FM", title: "Export a ZEK or ZAK", audience: Audience::Officer, class: Class::Keys };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"FM1U087765645A6E18F322ECE6093417335FU246FCDB94FF4797EB4B2FD2ABA7BC9E9;U00",
            expect: Expect::Reply(b"FN00UF0725D5C730AC96B94A960A79071AFB766C611CDC393D498"),
            source: "wire-examples FM-0-00086",
        },
        Example {
            lmk: 0,
            request: b"FM0U1B20E3FE01509C39F01270FC40ABB8EFU918651AB7B490462F392D198EE976422;U0",
            expect: Expect::Code(b"15"),
            source: "wire-examples FM-0-00332",
        },
        Example {
            lmk: 1,
            request: b"FM0U1EE1CA54FBC8E08D3D3C9755CC5F5B09UE495850DB00AD68A685522EF57D852DA",
            expect: Expect::Code(b"A1"),
            source: "own: key-block LMKs have A6 and A8 instead",
        },
    ];
    type Request = Request;
    type Reply = Checked;

    async fn run(cx: Cx, request: Request) -> Answer<Checked> {
        legacy::export(&cx, &request.pair, zek_or_zak(request.flag)?).await.map(Into::into)
    }
}
