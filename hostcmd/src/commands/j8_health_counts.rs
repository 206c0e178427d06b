//! J8: counts of events that concern the health of the unit.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::figures::Period;
use crate::wire::{Count, Message, Step, Wire};

/// Health counts.
#[derive(Debug)]
pub struct HealthCounts;

/// Period and counts.
#[derive(Debug, Default)]
pub struct Reply {
    /// Unit and period.
    pub period: Period,
    /// Restarts within the period; it begins with the start of the process, so there are none.
    pub reboots: Count<10>,
    /// Tampers; a software unit has no sensor that could count one.
    pub tampers: Count<10>,
    /// How often the limit of failed PIN verifications in a minute was exceeded.
    pub pin_minute: Count<7>,
    /// How often that of an hour was exceeded.
    pub pin_hour: Count<5>,
    /// PIN attacks.
    pub pin_attacks: Count<8>,
}

impl Message for Reply {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        self.period.walk(wire)?;
        self.reboots.walk(wire, "reboots")?;
        self.tampers.walk(wire, "tampers")?;
        self.pin_minute.walk(wire, "PIN failure limit per minute")?;
        self.pin_hour.walk(wire, "PIN failure limit per hour")?;
        self.pin_attacks.walk(wire, "PIN attacks")
    }
}

impl Command for HealthCounts {
    const ABOUT: About =
        About { code: *b"J8", title: "Health counts", audience: Audience::Everyone, class: Class::Status };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 2,
            request: b"J8",
            expect: Expect::Reply(
                b"J900PAYHSM000001000101000000000101000000000101000000\
                0000000000000000000000000000000000000000",
            ),
            source: "own, from host-commands.md 8.1 (confidence M): a unit that has not begun to count",
        },
        Example { lmk: 2, request: b"J8%4", expect: Expect::Code(b"15"), source: "own: malformed selector" },
    ];
    const READS_COUNTS: bool = true;
    type Request = ();
    type Reply = Reply;

    async fn run(cx: Cx, (): ()) -> Answer<Reply> {
        let (period, limits) = cx.with_unit(|unit| (Period::of(unit), unit.pin_limits));
        let reply = Reply {
            period,
            reboots: Count(0),
            tampers: Count(0),
            pin_minute: Count(limits.minute),
            pin_hour: Count(limits.hour),
            pin_attacks: Count(limits.attacks),
        };
        Ok(reply.into())
    }
}
