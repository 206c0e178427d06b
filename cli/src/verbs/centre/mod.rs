//! The verbs of the key management centre: `kmc` runs it, the others are people's programs. A person's verb
//! opens that person's home folder, speaks to the manager as that person, and signs with that person's key.

pub mod approve;
pub mod campaign;
pub mod ceremony;
pub mod key;
pub mod kmc;
mod master;
pub mod node;
mod package;
pub mod person;
mod place;
mod reaffirm;
pub mod report;
pub mod root;
pub mod rotate;
mod token_key;
pub mod zone;

use crate::exit::Exit;
use keymgr::client::{Client, Proposed};
use keymgr::core::action::Act;
use place::{Place, block_on, show, table};
use serde_json::json;

/// Asks for actions and says what they wait for.
fn ask(place: &Place, client: &Client, acts: &[Act]) -> Exit {
    let asked: Vec<(String, Proposed)> = block_on(async {
        let mut asked = Vec::new();
        for act in acts {
            asked.push((act.word().to_owned(), client.propose(act).await?));
        }
        Ok(asked)
    })?;
    self::asked(place, asked)
}

/// Says what was asked for, each by a word, and what it waits for.
fn asked(place: &Place, asked: Vec<(String, Proposed)>) -> Exit {
    let report: Vec<_> = asked
        .iter()
        .map(|(word, p)| json!({ "word": word, "action": p.action, "hash": p.hash, "quorum": p.quorum, "expires": p.expires }))
        .collect();
    show(place.json, &report, |_| {
        let row = |(word, p): &(String, Proposed)| {
            vec![word.clone(), p.action.to_string(), p.quorum.persons().to_string(), p.hash.to_string()]
        };
        let rows: Vec<_> = asked.iter().map(row).collect();
        format!(
            "{}Officers approve: payhsm approve sign --all",
            table(&["asked for", "action", "needs", "hash"], &rows)
        )
    })
}

/// When something is, for people: UTC to the second.
fn when(utc_ms: u64) -> String {
    use time::{OffsetDateTime, format_description::well_known::Rfc3339};
    let seconds = i64::try_from(utc_ms / 1000).unwrap_or_default();
    let moment = OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(|t| t.format(&Rfc3339).ok());
    moment.unwrap_or_else(|| utc_ms.to_string())
}

/// A span such as `10s`, `5m`, `2h`, `3d`, in milliseconds.
fn span_ms(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| "a span is a number with ms, s, m, h or d".to_owned())?;
    let factor = match unit {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("a span is a number with ms, s, m, h or d".to_owned()),
    };
    number.checked_mul(factor).ok_or_else(|| "too long".to_owned())
}
