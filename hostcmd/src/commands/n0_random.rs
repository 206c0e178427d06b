//! N0: random bytes from the backend.

use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::wire::{Alphabet, Message, Number, Show, Step, Wire};
use crate::{Code, Cx};
use zeroize::Zeroizing;

/// Longest value, in bytes.
const LENGTH_MAX: usize = 256;

/// Random bytes.
#[derive(Debug)]
pub struct Random;

/// How many.
#[derive(Debug, Default)]
pub struct Request {
    /// 1 to 256 bytes.
    pub length: Number<3>,
}

impl Message for Request {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.number("length", &mut self.length)
    }
}

/// The value.
#[derive(Debug, Default)]
pub struct Reply {
    /// Random bytes; a host may make a key of them.
    pub value: Zeroizing<Vec<u8>>,
}

impl Message for Reply {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        let length = wire.ahead().len();
        wire.sized("random value", Alphabet::Binary, Show::Length, length, &mut self.value)
    }
}

impl Command for Random {
    const ABOUT: About =
        About { code: *b"N0", title: "Random value", audience: Audience::Everyone, class: Class::Status };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"N0008",
            expect: Expect::Like(b"N100........"),
            source: "wire-examples N0-1-00151",
        },
        Example {
            lmk: 2,
            request: b"N0001",
            expect: Expect::Like(b"N100."),
            source: "wire-examples N0-2-00152",
        },
        Example {
            lmk: 1,
            request: b"N0000",
            expect: Expect::Code(b"01"),
            source: "wire-examples N0-1-00310",
        },
        Example {
            lmk: 0,
            request: b"N0257",
            expect: Expect::Code(b"01"),
            source: "own: above the range of current units (confidence M)",
        },
    ];
    type Request = Request;
    type Reply = Reply;

    async fn run(cx: Cx, request: Request) -> Answer<Reply> {
        let length = request.length.size();
        if !(1..=LENGTH_MAX).contains(&length) {
            return Err(Code::VERIFICATION);
        }
        let mut value = Zeroizing::new(vec![0; length]);
        cx.hsm.random(&mut value).await?;
        Ok(Reply { value }.into())
    }
}
