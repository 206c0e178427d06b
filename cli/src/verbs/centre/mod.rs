//! The verbs of the key management centre: `kmc` runs it, the others are people's programs. A person's verb
//! opens that person's home folder, speaks to the manager as that person, and signs with that person's key.

pub mod approve;
pub mod campaign;
pub mod ceremony;
pub mod key;
pub mod kmc;
mod master;
mod names;
pub mod node;
mod package;
pub mod person;
mod place;
pub mod policy;
mod reaffirm;
pub mod report;
pub mod root;
pub mod rotate;
mod signing;
mod token_key;
pub mod zone;

use crate::exit::{Exit, Failure};
use keymgr::client::{Client, Proposed};
use keymgr::core::action::Act;
use place::{Place, block_on, show, table};
use serde_json::json;

/// Asks for actions that belong together, all or none, and says what they wait for.
fn ask(place: &Place, client: &Client, acts: &[Act]) -> Exit {
    let mut asked = Vec::new();
    for act in acts {
        match block_on(client.propose(act)) {
            Ok(proposed) => asked.push((act.word().to_owned(), act.clone(), proposed)),
            Err(failure) => return Err(take_back(client, &asked, failure)),
        }
    }
    self::asked(place, &asked)
}

// An action that needs those before it was refused: they are of no use alone.
fn take_back(client: &Client, asked: &[(String, Act, Proposed)], failure: Failure) -> Failure {
    let mut text = failure.message;
    for (word, _, proposed) in asked.iter().rev() {
        let id = proposed.action;
        text += &match block_on(client.withdraw(id)) {
            Ok(_) => format!("\n{word} {id}, asked for before it, is taken back"),
            Err(problem) => {
                format!("\n{word} {id}, asked for before it, could not be taken back: {}", problem.message)
            }
        };
    }
    Failure { message: text, ..failure }
}

/// Says what was asked for, each by a word, and what it waits for.
fn asked(place: &Place, asked: &[(String, Act, Proposed)]) -> Exit {
    let report: Vec<_> = asked
        .iter()
        .map(|(word, act, p)| {
            json!({
                "word": word, "action": p.action, "hash": p.hash, "quorum": p.quorum, "needed": p.needed(act),
                "expires": p.expires,
            })
        })
        .collect();
    show(place.json, &report, |_| {
        let row = |(word, act, p): &(String, Act, Proposed)| {
            vec![word.clone(), p.action.to_string(), p.needed(act).to_string(), p.hash.to_string()]
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

/// A span for people, in the longest unit that leaves nothing over.
fn span(ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = units.iter().find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
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
