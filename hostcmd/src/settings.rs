//! Settings of a listener that change what commands accept: the strict profile, the legacy profile, and
//! the six points in which they differ (docs/security.md), each a setting of its own.

/// Length of a PIN stored under an LMK in decimal form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinLength {
    /// The stored PIN tells its own length: one digit more than the PIN has.
    Own,
    /// Fixed, as on old units: PINs up to this many digits are stored in one digit more.
    Fixed(u8),
}

/// What commands accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A clear decimalisation table is taken as it stands; else only registered or encrypted ones.
    pub clear_dectab: bool,
    /// Translation refuses PIN blocks with digits above 9: an oracle, kept for byte compatibility.
    pub digit_check: bool,
    /// Single-length DES keys are taken, and double-length keys with equal halves.
    pub single_des: bool,
    /// Keys leave under a ZMK in the X9.17 form, whose parts are not bound together.
    pub x_export: bool,
    /// Translation between PIN block formats that strict rules refuse.
    pub legacy_translate: bool,
    /// Length of stored PINs.
    pub pin_length: PinLength,
}

impl Settings {
    /// Everything that opens a known attack is off.
    pub const STRICT: Self = Self {
        clear_dectab: false,
        digit_check: false,
        single_des: false,
        x_export: false,
        legacy_translate: false,
        pin_length: PinLength::Own,
    };

    /// Byte-compatible with old units.
    pub const LEGACY: Self = Self {
        clear_dectab: true,
        digit_check: true,
        single_des: true,
        x_export: true,
        legacy_translate: true,
        pin_length: PinLength::Fixed(4),
    };
}
