//! Every verb of the officers' side can be driven by a program: asked of the parser itself, so that no verb is forgotten.

use crate::Program;
use clap::{Command, CommandFactory as _};

/// Verbs of the gateway's operation and of tools around the host command language. Whatever is not named here is the
/// officers' side.
const OTHERS: &[&str] = &[
    "serve", "config", "demo", "bench", "send", "decode", "explain", "lmk", "dectab", "calc", "vectors",
    "token", "doctor", "worker",
];

// Verbs without verbs below them, by their whole name.
fn leaves<'a>(command: &'a Command, name: &str, found: &mut Vec<(String, &'a Command)>) {
    if command.get_subcommands().next().is_none() {
        found.push((name.to_owned(), command));
    }
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        leaves(below, &format!("{name} {}", below.get_name()), found);
    }
}

fn is_flag(command: &Command, long: &str) -> bool {
    let found = command.get_arguments().find(|argument| argument.get_long() == Some(long));
    found.is_some_and(|argument| !argument.get_action().takes_values() && !argument.is_hide_set())
}

#[test]
fn every_verb_of_the_officers_side_speaks_json() {
    let program = Program::command();
    for other in OTHERS {
        assert!(program.find_subcommand(other).is_some(), "{other} is no verb any more");
    }
    let mut verbs = Vec::new();
    for command in program.get_subcommands().filter(|verb| !OTHERS.contains(&verb.get_name())) {
        leaves(command, command.get_name(), &mut verbs);
    }
    let silent: Vec<&str> =
        verbs.iter().filter(|(_, verb)| !is_flag(verb, "json")).map(|(name, _)| name.as_str()).collect();
    assert!(silent.is_empty(), "without --json: {silent:?}");
    assert!(verbs.len() > 60, "the tree was walked: {}", verbs.len());
    // What the walk would find.
    let lacking = Command::new("x").subcommand(Command::new("y"));
    let mut found = Vec::new();
    leaves(&lacking, "x", &mut found);
    assert!(found.len() == 1 && found[0].0 == "x y" && !is_flag(found[0].1, "json"));
}
