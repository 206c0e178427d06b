//! HC: generate a TMK, TPK or PVK, under the current TMK of a terminal and under the LMK. The reply has no
//! check value.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::exchange::Master;
use crate::service::legacy::{self, Both, Generate};
use hsm::KeyType;

/// Generate a TMK, TPK or PVK.
#[derive(Debug)]
pub struct GenerateTmk;

impl Command for GenerateTmk {
    const ABOUT: About = About {
        code: *b"HC",
        title: "Generate a TMK, TPK or PVK",
        audience: Audience::Officer,
        class: Class::Keys,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"HCU6CD668584E8AA8EE82B462B94AEC0573;UU1",
            expect: Expect::Like(b"HD00U................................U................................"),
            source: "wire-examples HC-0-00109",
        },
        Example {
            lmk: 0,
            request: b"HCU6CD668584E8AA8EE82B462B94AEC0573;UQ1",
            expect: Expect::Code(b"26"),
            source: "own: no such scheme",
        },
        Example {
            lmk: 2,
            request: b"HCU6CD668584E8AA8EE82B462B94AEC0573;UU1",
            expect: Expect::Code(b"A1"),
            source: "own: key-block LMKs have A0 instead",
        },
    ];
    type Request = Generate;
    type Reply = Both;

    async fn run(cx: Cx, request: Generate) -> Answer<Both> {
        let (_, keys) = legacy::generate(&cx, &request, Master::Tmk, KeyType::PVK).await?;
        Ok(keys.into())
    }
}
