//! FK: ZEK or ZAK from encryption under a ZMK to encryption under the LMK.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::legacy::{self, Checked, Pair, zek_or_zak};
use crate::wire::{Message, Step, Wire};

/// Import a ZEK or ZAK.
#[derive(Debug)]
pub struct ImportZekZak;

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

impl Command for ImportZekZak {
    const ABOUT: About =
        About { code: *b"FK", title: "Import a ZEK or ZAK", audience: Audience::Officer, class: Class::Keys };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"FK0UA393FFFA93BC15C60A9A468045EA2C82U7D4D282AEC7CFBE2FBAA9BF31FC6F75C;0X0",
            expect: Expect::Reply(b"FL01XB7EC6D0695AF059DB8323E71AC42CEFB64C4191CE66B127E"),
            source: "wire-examples FK-0-00085: parity was forced",
        },
        Example {
            lmk: 0,
            request: b"FK2UA393FFFA93BC15C60A9A468045EA2C82U7D4D282AEC7CFBE2FBAA9BF31FC6F75C;0X0",
            expect: Expect::Code(b"15"),
            source: "own: no such flag",
        },
        Example {
            lmk: 1,
            request: b"FK0U1EE1CA54FBC8E08D3D3C9755CC5F5B09UE495850DB00AD68A685522EF57D852DA",
            expect: Expect::Code(b"A1"),
            source: "own: key-block LMKs have A6 and A8 instead",
        },
    ];
    type Request = Request;
    type Reply = Checked;

    async fn run(cx: Cx, request: Request) -> Answer<Checked> {
        legacy::import(&cx, &request.pair, zek_or_zak(request.flag)?).await
    }
}
