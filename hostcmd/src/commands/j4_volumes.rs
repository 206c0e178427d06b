//! J4: how often each command came since the start of the unit.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::figures::Measured;
use crate::wire::{Count, Message, Step, Wire};

/// Digits of code and count on the wire.
const VOLUME_LENGTH: usize = 14;

/// Command volumes.
#[derive(Debug)]
pub struct Volumes;

/// One command.
#[derive(Clone, Copy, Debug, Default)]
pub struct Volume {
    /// Request code.
    pub code: [u8; 2],
    /// How often it came.
    pub count: Count<12>,
}

/// Period and volumes.
#[derive(Debug, Default)]
pub struct Reply {
    /// Unit, period and its length.
    pub measured: Measured,
    /// Commands that came at least once.
    pub volumes: Vec<Volume>,
}

impl Message for Reply {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        self.measured.walk(wire)?;
        if wire.reading() {
            let count = wire.ahead().len().checked_div(VOLUME_LENGTH).unwrap_or_default();
            self.volumes = vec![Volume::default(); count];
        }
        self.volumes.iter_mut().try_for_each(|volume| {
            wire.text("command code", &mut volume.code)?;
            volume.count.walk(wire, "commands")
        })
    }
}

impl Command for Volumes {
    const ABOUT: About =
        About { code: *b"J4", title: "Command volumes", audience: Audience::Everyone, class: Class::Status };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 1,
            request: b"J4",
            expect: Expect::Reply(b"J500PAYHSM0000010001010000000001010000000001010000000000000000"),
            source: "own, from host-commands.md 8.1 (confidence M): a unit that has not begun to count",
        },
        Example { lmk: 1, request: b"J4x", expect: Expect::Code(b"15"), source: "own: the request is empty" },
    ];
    const READS_COUNTS: bool = true;
    type Request = ();
    type Reply = Reply;

    async fn run(cx: Cx, (): ()) -> Answer<Reply> {
        let reply = cx.with_unit(|unit| {
            let volumes =
                unit.volumes.iter().map(|(code, count)| Volume { code: *code, count: Count(*count) });
            Reply { measured: Measured::of(unit), volumes: volumes.collect() }
        });
        Ok(reply.into())
    }
}
