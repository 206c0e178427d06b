//! The state of the unit on its way to a worker. What is authorised travels with each frame instead.

use super::wire::Malformed;
use hostcmd::{Moment, PinLimits, Unit};

/// Appends the fields.
pub(crate) fn write_unit(unit: &Unit, out: &mut Vec<u8>) {
    // Every field by name: one that is added must be thought of here.
    let Unit {
        serial,
        firmware,
        sockets,
        started,
        now,
        uptime_s,
        volumes,
        load,
        pin_limits,
        authorised: _,
        decimalisation_tables,
    } = unit;
    out.extend_from_slice(serial);
    out.extend_from_slice(firmware);
    out.extend_from_slice(&sockets.to_le_bytes());
    for moment in [started, now] {
        out.extend_from_slice(&moment.date);
        out.extend_from_slice(&moment.time);
    }
    let PinLimits { minute, hour, attacks } = pin_limits;
    let numbers = [uptime_s, minute, hour, attacks].into_iter().chain(load);
    numbers.for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
    out.extend_from_slice(&count(volumes.len()));
    for (code, volume) in volumes {
        out.extend_from_slice(code);
        out.extend_from_slice(&volume.to_le_bytes());
    }
    out.extend_from_slice(&count(decimalisation_tables.len()));
    decimalisation_tables.iter().for_each(|table| out.extend_from_slice(table));
}

fn count(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes()
}

/// Takes the fields into a unit; what is authorised stays as it is.
pub(super) fn read_unit(mut bytes: &[u8], unit: &mut Unit) -> Result<(), Malformed> {
    let from = &mut bytes;
    unit.serial = chunk(from)?;
    unit.firmware = chunk(from)?;
    unit.sockets = u32::from_le_bytes(chunk(from)?);
    for moment in [&mut unit.started, &mut unit.now] {
        *moment = Moment { date: chunk(from)?, time: chunk(from)? };
    }
    unit.uptime_s = number(from)?;
    unit.pin_limits = PinLimits { minute: number(from)?, hour: number(from)?, attacks: number(from)? };
    for share in &mut unit.load {
        *share = number(from)?;
    }
    unit.volumes.clear();
    for _ in 0..u16::from_le_bytes(chunk(from)?) {
        unit.volumes.push((chunk(from)?, number(from)?));
    }
    unit.decimalisation_tables.clear();
    for _ in 0..u16::from_le_bytes(chunk(from)?) {
        unit.decimalisation_tables.push(chunk(from)?);
    }
    if from.is_empty() { Ok(()) } else { Err(Malformed) }
}

fn chunk<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (chunk, rest) = bytes.split_first_chunk().ok_or(Malformed)?;
    *bytes = rest;
    Ok(*chunk)
}

fn number(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    chunk(bytes).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_comes_back_as_it_went() {
        let unit = Unit {
            serial: *b"SERIAL000042",
            sockets: 7,
            now: Moment { date: *b"261125", time: *b"235959" },
            uptime_s: 99,
            volumes: vec![(*b"CC", 5), (*b"NC", u64::MAX)],
            load: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
            pin_limits: PinLimits { minute: 1, hour: 2, attacks: 3 },
            decimalisation_tables: vec![*b"0123456789012345", *b"1234567890123456"],
            ..Unit::default()
        };
        let mut bytes = Vec::new();
        write_unit(&unit, &mut bytes);
        let mut back = Unit::default();
        read_unit(&bytes, &mut back).unwrap();
        assert_eq!(format!("{back:?}"), format!("{unit:?}"));
        for end in 0..bytes.len() {
            assert_eq!(read_unit(&bytes[..end], &mut back), Err(Malformed), "{end}");
        }
        bytes.push(0);
        assert_eq!(read_unit(&bytes, &mut back), Err(Malformed));
    }
}
