//! What the status replies J2, J4 and J8 begin with: the unit, and the period of their figures. It runs from
//! the start of the process to the time of the batch.

use crate::wire::{Count, Step, Wire};
use crate::{Moment, Unit};

/// Serial number and three moments.
#[derive(Clone, Copy, Debug, Default)]
pub struct Period {
    /// Serial number of the unit.
    pub serial: [u8; 12],
    /// Begin of the figures.
    pub start: Moment,
    /// End of the figures.
    pub end: Moment,
    /// Time of the unit.
    pub current: Moment,
}

impl Period {
    /// Of a unit that still counts.
    pub const fn of(unit: &Unit) -> Self {
        Self { serial: unit.serial, start: unit.started, end: unit.now, current: unit.now }
    }

    /// Walks all fields.
    pub fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.text("serial number", &mut self.serial)?;
        wire.digits("start date", &mut self.start.date)?;
        wire.digits("start time", &mut self.start.time)?;
        wire.digits("end date", &mut self.end.date)?;
        wire.digits("end time", &mut self.end.time)?;
        wire.digits("current date", &mut self.current.date)?;
        wire.digits("current time", &mut self.current.time)
    }
}

/// A period and its length.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    /// When.
    pub period: Period,
    /// Length of the period in seconds.
    pub seconds: Count<10>,
}

impl Measured {
    /// Of a unit that still counts.
    pub const fn of(unit: &Unit) -> Self {
        Self { period: Period::of(unit), seconds: Count(unit.uptime_s) }
    }

    /// Walks all fields.
    pub fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        self.period.walk(wire)?;
        self.seconds.walk(wire, "seconds")
    }
}
