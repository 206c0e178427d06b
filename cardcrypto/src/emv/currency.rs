//! Number of decimal places of a currency.

// ISO 4217 list one: numeric codes of currencies whose minor unit is not a hundredth.
const PLACES: [(u16, u8); 26] = [
    (48, 3),
    (108, 0),
    (152, 0),
    (174, 0),
    (262, 0),
    (324, 0),
    (352, 0),
    (368, 3),
    (392, 0),
    (400, 3),
    (410, 0),
    (414, 3),
    (434, 3),
    (512, 3),
    (548, 0),
    (600, 0),
    (646, 0),
    (704, 0),
    (788, 3),
    (800, 0),
    (927, 4),
    (940, 0),
    (950, 0),
    (952, 0),
    (953, 0),
    (990, 4),
];

// Funds, metals and test codes, for which the list says that there is no minor unit.
const NONE: [u16; 13] = [955, 956, 957, 958, 959, 960, 961, 962, 963, 964, 965, 994, 999];

/// Decimal places of the currency with this ISO 4217 numeric code; `None` for codes that are no money (metals,
/// test code, funds units) and above 999. A code that the table does not name has two.
pub fn exponent(numeric: u16) -> Option<u8> {
    if numeric == 0 || numeric > 999 || NONE.contains(&numeric) {
        return None;
    }
    let row = PLACES.iter().find(|(code, _)| *code == numeric);
    Some(row.map_or(2, |(_, places)| *places))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (code, places) in [(978, 2), (840, 2), (392, 0), (414, 3), (990, 4), (927, 4)] {
            assert_eq!(exponent(code), Some(places));
        }
        for code in [0, 959, 999, 1000] {
            assert_eq!(exponent(code), None);
        }
        assert!(PLACES.windows(2).all(|w| w[0].0 < w[1].0));
    }
}
