//! `payhsm config check`: judges a configuration file without starting anything.

use crate::exit::{Exit, Failure};
use clap::{Args, Subcommand};
use gateway::config::{File, Problem};
use std::path::{Path, PathBuf};

/// The file that is read when none is named.
pub const NORMAL_FILE: &str = "payhsm.toml";

/// Verbs on the configuration file.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Judges a file: ends with 0 when `serve` would take it, and with 1 when not.
    Check(Check),
}

/// Arguments of `config check`.
#[derive(Debug, Args)]
pub struct Check {
    /// The file.
    #[arg(default_value = NORMAL_FILE)]
    file: PathBuf,
    /// One JSON document on standard output.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(verb: &Config) -> Exit {
    let Config::Check(args) = verb;
    let problem = judge(&args.file)?.err();
    if args.json {
        println!("{}", document(&args.file, problem.as_ref()));
    }
    match problem {
        None => {
            if !args.json {
                println!("{}: good", args.file.display());
            }
            Ok(())
        }
        Some(_) if args.json => Err(Failure::check("")),
        Some(problem) => Err(Failure { code: 1, message: picture(problem) }),
    }
}

fn judge(file: &Path) -> Result<Result<(), Problem>, Failure> {
    let text = read(file)?;
    let judged = File::parse(&file.display().to_string(), &text).and_then(|mut file| {
        file.overlay(std::env::vars())?;
        file.resolve().map(|_| ())
    });
    Ok(judged)
}

/// Reads a configuration file as text.
pub fn read(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file)
        .map_err(|error| Failure::environment(format!("{}: {error}", file.display())))
}

/// A problem as people see it: with the lines of the file around it.
pub fn picture(problem: Problem) -> String {
    if problem.span().is_some() {
        return format!("{:?}", miette::Report::new(problem));
    }
    match problem.advice() {
        Some(advice) => format!("{problem}: {advice}"),
        None => problem.to_string(),
    }
}

fn document(file: &Path, problem: Option<&Problem>) -> serde_json::Value {
    let problem = problem.map(|problem| {
        let (line, column) = problem.line_and_column().unzip();
        serde_json::json!({
            "message": problem.message(),
            "help": problem.advice(),
            "line": line,
            "column": column,
        })
    });
    serde_json::json!({ "file": file.display().to_string(), "good": problem.is_none(), "problem": problem })
}
