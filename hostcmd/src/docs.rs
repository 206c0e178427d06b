//! The documentation page of the commands, made from the table, so that it cannot lag behind the code.

use crate::Port;
use crate::Settings;
use crate::command::{Audience, Expect};
use crate::decode::Decoder;
use crate::table::{Row, TABLE};
use core::fmt::{self, Write};
use hsm::LmkId;

const fn audience(audience: Audience) -> &'static str {
    match audience {
        Audience::Everyone => "acquirer, issuer, officer",
        Audience::Traffic => "acquirer, issuer",
        Audience::Issuer => "issuer",
        Audience::Officer => "officer",
        Audience::OfficerAndTraffic => "officer, acquirer, issuer",
    }
}

/// `docs/commands.md`: a table of all commands, then the layout of each by its first example.
pub fn commands_page() -> String {
    let mut page = String::new();
    // Writing into a string cannot fail.
    let _ = write_page(&mut page);
    page
}

fn write_page(page: &mut String) -> fmt::Result {
    writeln!(page, "# Commands\n")?;
    writeln!(page, "Made from the command table by `just docs`; do not edit. {} commands.\n", TABLE.len())?;
    writeln!(page, "| Code | Purpose | Roles | Kind |\n|---|---|---|---|")?;
    for row in TABLE {
        let about = row.about;
        let (code, title, class) = (about.code_text(), about.title, about.class);
        writeln!(
            page,
            "| [{code}](#{}) | {title} | {} | {class:?} |",
            code.to_lowercase(),
            audience(about.audience)
        )?;
    }
    TABLE.iter().try_for_each(|row| write_command(page, row))
}

fn write_command(page: &mut String, row: &Row) -> fmt::Result {
    let about = row.about;
    writeln!(page, "\n## {}\n\n{}.\n", about.code_text(), about.title)?;
    let example = row.examples.iter().find(|e| !matches!(e.expect, Expect::Code(_)));
    let Some(example) = example else { return Ok(()) };
    let port = Port { header_length: 0, ..Port::new(LmkId(example.lmk), Settings::LEGACY) };
    let decoded = Decoder { port: &port, reveal: false }.request(example.request);
    writeln!(page, "| Field | Offset | Length | Example |\n|---|---|---|---|")?;
    for field in &decoded.fields {
        let text = field.text.replace('|', "\\|");
        writeln!(page, "| {} | {} | {} | `{text}` |", field.name, field.start, field.length)?;
    }
    let refusals = row.examples.iter().filter_map(|e| match e.expect {
        Expect::Code(code) => Some((crate::Code(*code), e.source)),
        _ => None,
    });
    for (code, source) in refusals {
        let text = code.explain().unwrap_or("no meaning in this program");
        writeln!(page, "\nAnswers {code} ({text}): {source}.")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_every_command() {
        let page = commands_page();
        assert!(TABLE.iter().all(|row| page.contains(&format!("\n## {}\n", row.about.code_text()))));
    }
}
