//! Figures of the key management centre for the record: one row for each figure and store, the newest run wins.

use super::{Figure, Settings};
use crate::host::Host;
use crate::ratios::grouped;
use crate::record::{folder, read, write};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

/// One figure with where it comes from.
#[derive(Debug, Serialize, Deserialize)]
pub struct Recorded {
    #[serde(flatten)]
    figure: Figure,
    /// Engine and version.
    store: String,
    /// What durability rested on.
    settings: Settings,
    /// How to measure it again.
    command: String,
    host: Host,
}

fn file() -> PathBuf {
    folder().join("centre.json")
}

/// Keeps figures in place of those of earlier runs.
pub fn keep(figures: &[Figure], settings: &Settings, host: &Host) -> io::Result<()> {
    let mut rows: Vec<Recorded> = if file().exists() { read(&file())? } else { Vec::new() };
    let engine = settings.iter().find(|(name, _)| name == "engine").map(|(_, value)| value.clone());
    let store = engine.unwrap_or_default();
    let kind = |store: &str| store.split(' ').next().unwrap_or_default().to_owned();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--record").collect();
    let command = format!("cargo run --release -p benches -- {}", arguments.join(" "));
    for figure in figures {
        rows.retain(|row| row.figure.what != figure.what || kind(&row.store) != kind(&store));
        rows.push(Recorded {
            figure: figure.clone(),
            store: store.clone(),
            settings: settings.clone(),
            command: command.clone(),
            host: host.clone(),
        });
    }
    rows.sort_by(|a, b| (&a.figure.what, &b.store).cmp(&(&b.figure.what, &a.store)));
    write(&file(), &rows)
}

/// The table for the document; none when nothing was recorded.
pub fn table() -> io::Result<Option<String>> {
    if !file().exists() {
        return Ok(None);
    }
    let rows: Vec<Recorded> = read(&file())?;
    let mut out = String::from("| figure | store | measured | must | command |\n|---|---|---|---|---|\n");
    for Recorded { figure, store, command, .. } in &rows {
        let (sign, mark) = (if figure.more { "≥" } else { "≤" }, if figure.holds() { "yes" } else { "NO" });
        let short = command.strip_prefix("cargo run --release -p benches -- ").unwrap_or(command);
        let _never_fails = writeln!(
            out,
            "| {} | {store} | {} {} | {sign} {} {} {mark} | `{short}` |",
            figure.what,
            grouped(figure.value),
            figure.unit,
            grouped(figure.goal),
            figure.unit
        );
    }
    for Recorded { store, settings, host, .. } in latest(&rows) {
        let settings: Vec<String> =
            settings.iter().skip(1).map(|(name, value)| format!("{name} = {value}")).collect();
        let _never_fails = writeln!(
            out,
            "\n{store}: {}. {}, {} processors, Linux {}, commit {}, load average {:.2} before, {}.",
            settings.join(", "),
            host.cpu,
            host.cores,
            host.kernel,
            host.commit,
            host.load_average,
            host.day
        );
    }
    Ok(Some(out))
}

// The last row of each store.
fn latest(rows: &[Recorded]) -> Vec<&Recorded> {
    let mut last: Vec<&Recorded> = Vec::new();
    for row in rows {
        last.retain(|other| other.store != row.store);
        last.push(row);
    }
    last
}
