//! What every report says about where it comes from.

use super::Fact;
use super::words::when;
use crate::api::{SigningKeyView, StatusView};

/// The facts of a report that is made now, for this person.
pub fn facts(status: &StatusView, made_by: &str) -> Vec<Fact> {
    let centre = status.counts.kmc.map_or_else(|| "-".to_owned(), |kmc| kmc.to_string());
    let master = format!("LMK {:02}, check value {}", status.master_key_lmk, status.master_key_check_value);
    [
        ("centre", centre),
        ("made", when(status.utc_ms)),
        ("made by", made_by.to_owned()),
        ("backend class", status.backend_class.clone()),
        ("master key in", status.master_key_place.clone()),
        ("master key", master),
        ("manifest, checkpoint and transport keys in", status.signing_keys_place.clone()),
        ("test master key", status.test_master_key.to_string()),
        ("log entries", status.log_size.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into_iter()
    .chain(status.signing_keys.iter().map(signing_key))
    .collect()
}

// Which key signs, since when, and what is taking its place.
fn signing_key(key: &SigningKeyView) -> Fact {
    let since = format!("{} since {}, in {}", key.public, when(key.since_ms.0), key.place);
    let change = key.change.as_ref().map(|change| format!(", is being changed to {}", change.new));
    (format!("{} key", key.key), since + &change.unwrap_or_default())
}
