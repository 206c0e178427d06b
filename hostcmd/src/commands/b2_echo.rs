//! B2: echo. Hosts test a connection with it; the data may be binary.

use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::wire::{Alphabet, Message, Number, Show, Step, Wire};
use crate::{Code, Cx};

/// Echo.
#[derive(Debug)]
pub struct Echo;

/// Data and its length.
#[derive(Debug, Default)]
pub struct Request {
    /// Length of the data in bytes.
    pub length: Number<4>,
    /// The data.
    pub data: Vec<u8>,
}

impl Message for Request {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.hex_number("data length", &mut self.length)?;
        if wire.reading() && wire.ahead().len() < self.length.size() {
            return Err(Code::DATA_LENGTH);
        }
        wire.sized("data", Alphabet::Binary, Show::Length, self.length.size(), &mut self.data)
    }
}

/// The data again.
#[derive(Debug, Default)]
pub struct Reply {
    /// The data.
    pub data: Vec<u8>,
}

impl Message for Reply {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        let length = wire.ahead().len();
        wire.sized("data", Alphabet::Binary, Show::Length, length, &mut self.data)
    }
}

impl Command for Echo {
    const ABOUT: About =
        About { code: *b"B2", title: "Echo", audience: Audience::Everyone, class: Class::Status };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"B20005\x00\x19%Az",
            expect: Expect::Reply(b"B300\x00\x19%Az"),
            source: "host-commands.md 8.1",
        },
        Example {
            lmk: 0,
            request: b"B200100945771765",
            expect: Expect::Code(b"80"),
            source: "wire-examples B2",
        },
        Example {
            lmk: 0,
            request: b"B200042736572590",
            expect: Expect::Code(b"15"),
            source: "wire-examples B2",
        },
    ];
    type Request = Request;
    type Reply = Reply;

    async fn run(_: Cx, request: Request) -> Answer<Reply> {
        Ok(Reply { data: request.data }.into())
    }
}
