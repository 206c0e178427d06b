//! J2: load of the unit, as the number of seconds that it spent in each of ten bands of busy time.

use crate::Cx;
use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::figures::Measured;
use crate::wire::{Count, Message, Number, Step, Wire};

/// Load.
#[derive(Debug)]
pub struct Load;

/// A band of load.
#[derive(Clone, Copy, Debug, Default)]
pub struct Band {
    /// From this share of busy time, in per cent.
    pub from: Number<3>,
    /// To this share.
    pub to: Number<3>,
    /// Seconds with such a load.
    pub periods: Count<10>,
}

/// Period and bands.
#[derive(Debug, Default)]
pub struct Reply {
    /// Unit, period and its length.
    pub measured: Measured,
    /// Ten bands of ten per cent.
    pub bands: [Band; 10],
}

impl Message for Reply {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        self.measured.walk(wire)?;
        self.bands.iter_mut().try_for_each(|band| {
            wire.number("from per cent", &mut band.from)?;
            wire.number("to per cent", &mut band.to)?;
            band.periods.walk(wire, "seconds in the band")
        })
    }
}

impl Command for Load {
    const ABOUT: About =
        About { code: *b"J2", title: "Load of the unit", audience: Audience::Everyone, class: Class::Status };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"J2",
            expect: Expect::Reply(
                b"J300PAYHSM0000010001010000000001010000000001010000000000000000\
                0000100000000000010020000000000002003000000000000300400000000000\
                0400500000000000050060000000000006007000000000000700800000000000\
                08009000000000000901000000000000",
            ),
            source: "own, from host-commands.md 8.1 (confidence M): a unit that has not begun to count",
        },
        Example { lmk: 2, request: b"J2%40", expect: Expect::Code(b"13"), source: "own: no such LMK" },
    ];
    const READS_COUNTS: bool = true;
    type Request = ();
    type Reply = Reply;

    async fn run(cx: Cx, (): ()) -> Answer<Reply> {
        let (measured, load) = cx.with_unit(|unit| (Measured::of(unit), unit.load));
        let mut bands = [Band::default(); 10];
        for ((band, seconds), from) in bands.iter_mut().zip(load).zip((0u32..).step_by(10)) {
            *band = Band { from: Number(from), to: Number(from.saturating_add(10)), periods: Count(seconds) };
        }
        Ok(Reply { measured, bands }.into())
    }
}
