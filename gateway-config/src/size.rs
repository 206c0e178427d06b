//! Sizes of memory as they are written: `16MiB`, `512KiB`, `1GiB`, bytes without a unit; `off` is none.

const UNITS: [(&str, usize); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// The bytes of a size; `None` of anything else.
pub(super) fn cache_bytes(text: &str) -> Option<usize> {
    if text == "off" {
        return Some(0);
    }
    let unit = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
    let (digits, unit) = unit.unwrap_or((text, 1));
    if !digits.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    digits.parse::<usize>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::cache_bytes;

    #[test]
    fn sizes_have_units_and_nothing_else_is_one() {
        for (text, bytes) in [("off", 0), ("16MiB", 16 << 20), ("64KiB", 65_536), ("1GiB", 1 << 30), ("7", 7)]
        {
            assert_eq!(cache_bytes(text), Some(bytes));
        }
        for text in ["", "on", "MiB", "16MB", "-1", "+1", "1.5MiB", "16 MiB", "99999999999999999999", "Off"] {
            assert_eq!(cache_bytes(text), None, "{text}");
        }
    }
}
