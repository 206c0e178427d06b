//! Option groups behind a mark: `;` of the legacy key commands, `#` and `&` of key blocks.

use super::{Alphabet, Number, Show, Step, Wire};
use crate::Code;

/// `;`, key scheme under the ZMK or TMK, key scheme under the LMK, check value type. A position that a
/// command does not use holds `0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LegacyGroup {
    /// The group is there.
    pub present: bool,
    /// Scheme under the ZMK or TMK.
    pub exchange_scheme: [u8; 1],
    /// Scheme under the LMK.
    pub lmk_scheme: [u8; 1],
    /// `0` for 16 hexadecimal digits, `1` for six.
    pub check_value: [u8; 1],
}

impl LegacyGroup {
    /// Walks the group when it is there.
    pub fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.mark("delimiter", b';', &mut self.present)?;
        if self.present {
            wire.text("key scheme (ZMK/TMK)", &mut self.exchange_scheme)?;
            wire.text("key scheme (LMK)", &mut self.lmk_scheme)?;
            wire.text("check value type", &mut self.check_value)?;
        }
        Ok(())
    }

    /// Number of digits of the check value that the host asked for: 16 unless it said `1`.
    pub fn check_value_digits(&self) -> Result<usize, Code> {
        match (self.present, self.check_value) {
            (false, _) | (true, [b'0']) => Ok(16),
            (true, [b'1']) => Ok(6),
            _ => Err(Code::CHECK_VALUE_LENGTH),
        }
    }
}

/// Optional blocks of a key block header as a host writes them: a count of two digits, then the blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OptionalBlocks {
    /// How many.
    pub count: Number<2>,
    /// Identifier, length and data of each, as they will stand in the header.
    pub text: Vec<u8>,
}

impl OptionalBlocks {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.number("number of optional blocks", &mut self.count)?;
        if !wire.reading() {
            return wire.sized("optional blocks", Alphabet::Printable, Show::All, 0, &mut self.text);
        }
        for _ in 0..self.count.0 {
            let length = wire.ahead().get(2..4).ok_or(Code::INPUT)?;
            let length = <[u8; 2]>::try_from(length).map_err(|_| Code::INPUT)?;
            let [length] = paytypes::hex::decode::<1>(&length).map_err(|_| Code::OPTIONAL_HEADER)?;
            // An extended length (00) has no use in a command: no key block of this size fits a header.
            if length < 4 {
                return Err(Code::OPTIONAL_HEADER);
            }
            wire.sized(
                "optional block",
                Alphabet::Printable,
                Show::All,
                usize::from(length),
                &mut self.text,
            )?;
        }
        Ok(())
    }
}

/// `#`: attributes of the key block that the command makes under the LMK.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockGroup {
    /// The group is there.
    pub present: bool,
    /// Key usage.
    pub usage: [u8; 2],
    /// Algorithm and length, such as `T2` or `A3` (A0 only).
    pub algorithm: [u8; 2],
    /// Mode of use.
    pub mode: [u8; 1],
    /// Key version number.
    pub version: [u8; 2],
    /// Exportability.
    pub exportability: [u8; 1],
    /// Optional blocks.
    pub optional: OptionalBlocks,
}

impl BlockGroup {
    /// Walks the group of A0, with usage and algorithm.
    pub fn walk_with_algorithm<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.mark("key block attributes", b'#', &mut self.present)?;
        if !self.present {
            return Ok(());
        }
        wire.text("key usage", &mut self.usage)?;
        wire.text("algorithm", &mut self.algorithm)?;
        self.walk_rest(wire)
    }

    /// Walks the group of A6, BW, GI, with usage.
    pub fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.mark("key block attributes", b'#', &mut self.present)?;
        if !self.present {
            return Ok(());
        }
        wire.text("key usage", &mut self.usage)?;
        self.walk_rest(wire)
    }

    /// Walks the group of A4: version and optional blocks.
    pub fn walk_version<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.mark("key block attributes", b'#', &mut self.present)?;
        if !self.present {
            return Ok(());
        }
        wire.text("key version number", &mut self.version)?;
        self.optional.walk(wire)
    }

    fn walk_rest<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.text("mode of use", &mut self.mode)?;
        wire.text("key version number", &mut self.version)?;
        wire.text("exportability", &mut self.exportability)?;
        self.optional.walk(wire)
    }
}

/// `&`: what the exported block says. Under a key-block LMK only the exportability; under a variant LMK,
/// which knows no attributes, all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportGroup {
    /// The group is there.
    pub present: bool,
    /// Usage, mode and version are there as well.
    pub full: bool,
    /// Key usage.
    pub usage: [u8; 2],
    /// Mode of use.
    pub mode: [u8; 1],
    /// Key version number.
    pub version: [u8; 2],
    /// Exportability.
    pub exportability: [u8; 1],
    /// Optional blocks.
    pub optional: OptionalBlocks,
}

impl ExportGroup {
    /// Walks the group when it is there. One letter is an exportability; more is the full form.
    pub fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.mark("export attributes", b'&', &mut self.present)?;
        if !self.present {
            return Ok(());
        }
        if wire.reading() {
            self.full = wire.ahead().get(1).is_some_and(u8::is_ascii_alphanumeric);
        }
        if self.full {
            wire.text("key usage", &mut self.usage)?;
            wire.text("mode of use", &mut self.mode)?;
            wire.text("key version number", &mut self.version)?;
        }
        wire.text("exportability", &mut self.exportability)?;
        if self.full { self.optional.walk(wire) } else { Ok(()) }
    }

    /// Walks the `&` group of A6, which fills in what a TR-31 block cannot say: usage and optional blocks.
    pub fn walk_import<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.mark("import attributes", b'&', &mut self.present)?;
        if !self.present {
            return Ok(());
        }
        wire.text("key usage", &mut self.usage)?;
        self.optional.walk(wire)
    }
}
