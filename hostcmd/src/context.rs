//! What a handler may know besides its request: the backend's queue, the LMK, the settings of the listener
//! and the state of the unit. Nothing here reads a clock; the time of the batch is given.

use crate::command::{Activity, Authorised};
use crate::key_table::Keys;
use crate::{Code, Role, Settings};
use core::cell::{Cell, RefCell};
use hsm::{Hsm, LmkId, LmkInfo, LmkScheme};
use std::rc::Rc;

/// A listener, as commands see it.
#[derive(Clone, Debug)]
pub struct Port {
    /// LMK of frames without a selector.
    pub lmk: LmkId,
    /// Length of the message header, 0 to 255 bytes.
    pub header_length: usize,
    /// Text fields come and go in EBCDIC.
    pub ebcdic: bool,
    /// What the listener is for.
    pub role: Role,
    /// What commands accept.
    pub settings: Settings,
    /// Replies to commands with key references end with the generations that were used.
    pub generation_trailer: bool,
}

impl Port {
    /// A listener with every role and a header of four characters.
    pub const fn new(lmk: LmkId, settings: Settings) -> Self {
        Self { lmk, header_length: 4, ebcdic: false, role: Role::Any, settings, generation_trailer: false }
    }
}

/// A decimal moment of the unit: `YYMMDD` and `HHMMSS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Date, ASCII `YYMMDD`.
    pub date: [u8; 6],
    /// Time, ASCII `HHMMSS`.
    pub time: [u8; 6],
}

impl Default for Moment {
    fn default() -> Self {
        Self { date: *b"000101", time: *b"000000" }
    }
}

/// How often limits on failed PIN verifications were exceeded since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PinLimits {
    /// Failures within a minute.
    pub minute: u64,
    /// Failures within an hour.
    pub hour: u64,
    /// Attacks: failures since the limit was last reset.
    pub attacks: u64,
}

/// State of the unit that status commands report; kept by the owner of the engine, read once per batch.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Serial number, 12 characters.
    pub serial: [u8; 12],
    /// Firmware number, `nnnn-nnnn`.
    pub firmware: [u8; 9],
    /// Sockets that a client may open.
    pub sockets: u32,
    /// When this process started.
    pub started: Moment,
    /// Time of the batch.
    pub now: Moment,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// Commands by code since the start.
    pub volumes: Vec<([u8; 2], u64)>,
    /// Share of busy seconds per load band, see J2.
    pub load: [u64; 10],
    /// Limits on failed PIN verifications.
    pub pin_limits: PinLimits,
    /// What is authorised now.
    pub authorised: Authorised,
    /// Clear decimalisation tables that strict listeners take as they stand.
    pub decimalisation_tables: Vec<[u8; 16]>,
}

impl Default for Unit {
    fn default() -> Self {
        Self {
            serial: *b"PAYHSM000001",
            firmware: *b"0000-0001",
            sockets: 64,
            started: Moment::default(),
            now: Moment::default(),
            uptime_s: 0,
            volumes: Vec::new(),
            load: [0; 10],
            pin_limits: PinLimits::default(),
            authorised: Authorised::NONE,
            decimalisation_tables: Vec::new(),
        }
    }
}

/// Shared by all commands of an engine.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) lmks: Vec<LmkInfo>,
    pub(crate) unit: RefCell<Unit>,
    pub(crate) authorised: Cell<Authorised>,
    pub(crate) keys: RefCell<Keys>,
}

/// What a handler gets besides its request.
#[derive(Clone)]
pub struct Cx {
    /// The backend's operations.
    pub hsm: Hsm,
    /// LMK of this command.
    pub lmk: LmkId,
    /// Its scheme.
    pub scheme: LmkScheme,
    pub(crate) shared: Rc<Shared>,
    pub(crate) port: Rc<Port>,
}

impl Cx {
    /// For the commands of a listener.
    pub(crate) fn new(hsm: &Hsm, shared: &Rc<Shared>, port: &Rc<Port>) -> Self {
        let (shared, port) = (Rc::clone(shared), Rc::clone(port));
        Self { hsm: hsm.clone(), lmk: port.lmk, scheme: LmkScheme::Variant, shared, port }
    }

    /// Settings of the listener.
    pub fn settings(&self) -> &Settings {
        &self.port.settings
    }

    /// Role of the listener.
    pub fn role(&self) -> Role {
        self.port.role
    }

    /// Refuses with 17 unless the activity is authorised.
    pub fn require(&self, activity: Activity) -> Result<(), Code> {
        if self.shared.authorised.get().allows(activity) { Ok(()) } else { Err(Code::NOT_AUTHORISED) }
    }

    /// All LMKs that are loaded.
    pub fn lmks(&self) -> &[LmkInfo] {
        &self.shared.lmks
    }

    /// The LMK of this command.
    pub fn lmk_info(&self) -> Result<&LmkInfo, Code> {
        self.shared.lmks.iter().find(|l| l.id == self.lmk).ok_or(Code::LMK_ID)
    }

    /// Looks at the state of the unit.
    pub fn with_unit<T>(&self, look: impl FnOnce(&Unit) -> T) -> T {
        look(&self.shared.unit.borrow())
    }
}
