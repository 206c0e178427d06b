//! NC: diagnostics. The hello of this language: check value of the LMK, and the firmware number.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::wire::{Message, Step, Wire};

/// Diagnostics.
#[derive(Debug)]
pub struct Diagnostics;

/// Check value and firmware.
#[derive(Debug, Default)]
pub struct Reply {
    /// Check value of the LMK: six hexadecimal digits, then zeros, as units send it.
    pub check: [u8; 16],
    /// Firmware number, `nnnn-nnnn`.
    pub firmware: [u8; 9],
}

impl Message for Reply {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.hex("LMK check value", &mut self.check)?;
        wire.text("firmware number", &mut self.firmware)
    }
}

impl Command for Diagnostics {
    const ABOUT: About =
        About { code: *b"NC", title: "Diagnostics", audience: Audience::Everyone, class: Class::Status };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"NC",
            expect: Expect::Like(b"ND00397B0B0000000000....-...."),
            source: "wire-examples NC-0-00153; the check value of a variant set is of our own formula (confidence L)",
        },
        Example {
            lmk: 0,
            request: b"NC%01\x19Ay9 9yCA8zy",
            expect: Expect::Like(b"ND008E0EC00000000000....-....\x19Ay9 9yCA8zy"),
            source: "wire-examples NC-1-00154; check value of host-commands.md section 4",
        },
        Example {
            lmk: 2,
            request: b"NC",
            expect: Expect::Like(b"ND00DB3FB60000000000....-...."),
            source: "wire-examples NC-2-00155; check value of host-commands.md section 4",
        },
        Example {
            lmk: 2,
            request: b"NC%88",
            expect: Expect::Code(b"13"),
            source: "wire-examples NC-2-00336",
        },
    ];
    type Request = ();
    type Reply = Reply;

    async fn run(cx: Cx, (): ()) -> Answer<Reply> {
        let mut check = [b'0'; 16];
        for (to, from) in check.iter_mut().zip(cx.lmk_info()?.check) {
            *to = from;
        }
        Ok(Reply { check, firmware: cx.with_unit(|unit| unit.firmware) }.into())
    }
}
