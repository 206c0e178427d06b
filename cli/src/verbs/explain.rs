//! `payhsm explain`: what an error code says, and what it means for a command.

use super::decode::{View, print_fields, usage, view};
use clap::Args as ClapArgs;
use hostcmd::command::{Audience, Example, Expect};
use hostcmd::decode::{Decoded, Decoder, LmkId, Way, find};
use hostcmd::table::Row;
use hostcmd::{Code, Port, Settings};
use serde::Serialize;
use std::io::{self, Write};
use std::process::ExitCode;

const EXIT_DOES_NOT_HOLD: u8 = 1;

/// Explains an error code, and what it means for a command.
///
/// Ends with 0 when the code has a meaning here, and with 1 when it has none.
#[derive(ClapArgs, Debug)]
pub struct Args {
    /// Two-character error code, such as 15 or A6.
    #[arg(required_unless_present = "commands_page")]
    code: Option<String>,
    /// Two-character command code, such as CC.
    command: Option<String>,
    /// One JSON document instead of text.
    #[arg(long)]
    json: bool,
    /// Prints the page of all commands, docs/commands.md.
    #[arg(long, exclusive = true)]
    commands_page: bool,
}

/// Runs the verb.
pub fn run(args: &Args) -> ExitCode {
    if args.commands_page {
        print!("{}", hostcmd::docs::commands_page());
        return ExitCode::SUCCESS;
    }
    let code = args.code.as_deref().unwrap_or_default().to_uppercase();
    let Ok(code) = <[u8; 2]>::try_from(code.as_bytes()) else {
        return usage("an error code has two characters");
    };
    let row = match args.command.as_deref().map(row) {
        None => None,
        Some(Some(row)) => Some(row),
        Some(None) => return usage("no such command in the table"),
    };
    let explanation = Explanation::of(Code(code), row);
    let printed = if args.json { explanation.json() } else { explanation.text() };
    match printed {
        Ok(()) if explanation.code.explain().is_some() => ExitCode::SUCCESS,
        _ => ExitCode::from(EXIT_DOES_NOT_HOLD),
    }
}

fn row(command: &str) -> Option<&'static Row> {
    let code = <[u8; 2]>::try_from(command.to_uppercase().as_bytes()).ok()?;
    find(Way::Request, code)
}

struct Explanation {
    code: Code,
    command: Option<About>,
}

struct About {
    row: &'static Row,
    layout: Option<Decoded>,
    cases: Vec<Case>,
}

/// An example that gets the code.
struct Case {
    decoded: Decoded,
    source: &'static str,
}

impl Explanation {
    fn of(code: Code, row: Option<&'static Row>) -> Self {
        Self { code, command: row.map(|row| About::of(row, code)) }
    }

    fn text(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match self.code.explain() {
            Some(text) => writeln!(out, "{}: {text}", self.code)?,
            None => writeln!(out, "{}: no meaning in this program", self.code)?,
        }
        match &self.command {
            Some(about) => about.text(self.code, &mut out),
            None => Ok(()),
        }
    }

    fn json(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let document = Document {
            code: self.code.to_string(),
            meaning: self.code.explain(),
            command: self.command.as_ref().map(About::json),
        };
        serde_json::to_writer_pretty(&mut out, &document)?;
        writeln!(out)
    }
}

impl About {
    fn of(row: &'static Row, code: Code) -> Self {
        let good = row.examples.iter().find(|e| !matches!(e.expect, Expect::Code(_)));
        let hits = row.examples.iter().filter(|e| answers(e, code));
        Self {
            row,
            layout: good.or(row.examples.first()).map(decode),
            cases: hits.map(|e| Case { decoded: decode(e), source: e.source }).collect(),
        }
    }

    fn text(&self, code: Code, out: &mut impl Write) -> io::Result<()> {
        let about = self.row.about;
        writeln!(out)?;
        writeln!(out, "{} {}; for {}", about.code_text(), about.title, audience(about.audience))?;
        if let Some(layout) = &self.layout {
            writeln!(out, "An example of a request, field by field:")?;
            print_fields(layout, out)?;
        }
        writeln!(out)?;
        if self.cases.is_empty() {
            return writeln!(out, "No example of {} answers {code}.", about.code_text());
        }
        writeln!(out, "Requests that {} answers with {code}:", about.code_text())?;
        for case in &self.cases {
            writeln!(out, "({})", case.source)?;
            print_fields(&case.decoded, out)?;
        }
        Ok(())
    }

    fn json(&self) -> CommandDocument<'_> {
        CommandDocument {
            code: self.row.about.code_text(),
            title: self.row.about.title,
            audience: audience(self.row.about.audience),
            layout: self.layout.as_ref().map(view),
            cases: self
                .cases
                .iter()
                .map(|c| CaseDocument { source: c.source, request: view(&c.decoded) })
                .collect(),
        }
    }
}

// Replies of examples begin with the reply code and the error code.
fn answers(example: &Example, code: Code) -> bool {
    match example.expect {
        Expect::Code(expected) => *expected == code.0,
        Expect::Reply(reply) | Expect::Like(reply) | Expect::Legacy(reply) => {
            reply.get(2..4) == Some(code.0.as_slice())
        }
    }
}

fn decode(example: &Example) -> Decoded {
    let settings = match example.expect {
        Expect::Legacy(_) => Settings::LEGACY,
        _ => Settings::STRICT,
    };
    let mut port = Port::new(LmkId(example.lmk), settings);
    port.header_length = 0;
    Decoder { port: &port, reveal: false }.request(example.request)
}

const fn audience(audience: Audience) -> &'static str {
    match audience {
        Audience::Everyone => "every listener",
        Audience::Traffic => "acquirer and issuer listeners",
        Audience::Issuer => "issuer listeners",
        Audience::Officer => "officer listeners",
        Audience::OfficerAndTraffic => "officer, acquirer and issuer listeners",
    }
}

#[derive(Serialize)]
struct Document<'a> {
    code: String,
    meaning: Option<&'static str>,
    command: Option<CommandDocument<'a>>,
}

#[derive(Serialize)]
struct CommandDocument<'a> {
    code: &'a str,
    title: &'a str,
    audience: &'static str,
    layout: Option<View<'a>>,
    cases: Vec<CaseDocument<'a>>,
}

#[derive(Serialize)]
struct CaseDocument<'a> {
    source: &'static str,
    request: View<'a>,
}
