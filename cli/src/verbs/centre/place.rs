//! Whose program this is and which manager it speaks to: options that all verbs of people share.

use super::token_key::TokenKey;
use crate::exit::Failure;
use crate::private::{open_line, secret_line};
use clap::Args;
use keymgr::FolderError;
use keymgr::client::{Client, ClientProblem, ManagerAddress};
use keymgr::person::{Home, HomeError, Identity, KeyFileError};
use serde::Serialize;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use zeroize::Zeroizing;

const MANAGER_NOTE: &str = "manager";

/// Person and manager.
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// Home folder of the person whose program this is.
    #[arg(long, env = "PAYHSM_HOME", value_name = "DIR", global = true)]
    home: Option<PathBuf>,
    /// File with the passphrase of the home folder; asked for when missing.
    #[arg(long, env = "PAYHSM_PASSPHRASE_FILE", value_name = "FILE", global = true)]
    passphrase_file: Option<PathBuf>,
    /// The manager, `https://HOST:PORT#KEY` as `payhsm kmc serve` prints it; remembered in the home folder.
    #[arg(long, env = "PAYHSM_MANAGER", value_name = "URL#KEY", global = true)]
    manager: Option<ManagerAddress>,
    /// JSON on standard output.
    #[arg(long, global = true)]
    pub json: bool,
}

impl Place {
    /// The home folder.
    pub fn home(&self) -> Result<Home, Failure> {
        let normal = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".payhsm"));
        let path = self.home.clone().or_else(normal);
        path.map(Home::at).ok_or_else(|| Failure::usage("whose? give --home DIR or PAYHSM_HOME"))
    }

    /// The passphrase of the home folder.
    pub fn passphrase(&self) -> Result<Zeroizing<String>, Failure> {
        passphrase(self.passphrase_file.as_deref(), "passphrase of the home folder: ")
    }

    /// The person's keys, opened.
    pub fn identity(&self) -> Result<Identity, Failure> {
        let home = self.home()?;
        match home.token().map_err(home_failure)? {
            None => home.open(self.passphrase()?.as_bytes()).map_err(home_failure),
            Some(note) => {
                let place: TokenKey = serde_json::from_str(&note)
                    .map_err(|_| Failure::environment("the home folder does not say where its token is"))?;
                home.open_with(self.passphrase()?.as_bytes(), place.open()?).map_err(home_failure)
            }
        }
    }

    /// The connection of this person to the manager.
    pub fn client(&self) -> Result<Client, Failure> {
        let home = self.home()?;
        let known = home.note(MANAGER_NOTE).map_err(home_failure)?;
        let remembered = || {
            let text = known.clone().and_then(|note| String::from_utf8(note).ok())?;
            text.parse::<ManagerAddress>().ok()
        };
        let manager = self.manager.clone().or_else(remembered).ok_or_else(|| {
            Failure::usage(
                "which manager? give --manager https://HOST:PORT#KEY, as `payhsm kmc serve` prints it",
            )
        })?;
        let client = Client::new(&manager, self.identity()?).map_err(failure)?;
        let text = manager.to_string();
        if known.as_deref() != Some(text.as_bytes()) {
            home.keep(MANAGER_NOTE, text.as_bytes()).map_err(home_failure)?;
        }
        Ok(client)
    }
}

/// A passphrase from a file, or from the terminal.
pub fn passphrase(file: Option<&Path>, prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let text = match file {
        Some(path) => Zeroizing::new(
            std::fs::read_to_string(path)
                .map_err(|error| Failure::environment(format!("{}: {error}", path.display())))?,
        ),
        None => secret_line(prompt)?,
    };
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// What a home folder that cannot be used ends a verb with.
pub fn home_failure(error: HomeError) -> Failure {
    match &error {
        HomeError::Taken(_) | HomeError::Name(_) => Failure::usage(error),
        HomeError::Folder(FolderError::Key { source: KeyFileError::Passphrase, .. }) => Failure::usage(error),
        HomeError::Folder(FolderError::Key { .. }) => Failure::check(error),
        _ => Failure::environment(error),
    }
}

/// What a call without an answer ends a verb with: refused 1, wrong wishes 2, no manager 3.
pub fn failure(problem: ClientProblem) -> Failure {
    match &problem {
        ClientProblem::Refused(refused) => match next_step(&refused.code) {
            Some(step) => Failure::check(format!("{problem}; {step}")),
            None => Failure::check(problem),
        },
        ClientProblem::Unsound(_) => Failure::check(problem),
        ClientProblem::Missing { .. } | ClientProblem::Wish(_) => Failure::usage(problem),
        ClientProblem::Unreachable(_) => Failure::environment(format!(
            "{problem}; next: is `payhsm kmc serve` running, and is --manager its address and key?"
        )),
        ClientProblem::Answer(_) => Failure::environment(problem),
    }
}

// What a person does next, by the stable code of a refusal.
fn next_step(code: &str) -> Option<&'static str> {
    Some(match code {
        "caller" => "next: somebody who is registered asks with `payhsm person enrol FILE --role ROLE`",
        "role" | "forbidden" => "next: ask a person with that role; `payhsm person list` shows who has it",
        "approval_requester" => "next: other officers approve; who asks does not count",
        "approval_twice" => "next: another officer approves; `payhsm approve list` shows what waits",
        "approval_role" => "next: a security officer approves",
        "approval_expired" | "approval_not_pending" => {
            "next: see `payhsm approve show ACTION`; ask again if it is over"
        }
        "approval_other_content" => "next: the action was edited: look at it again and sign what it says now",
        "not_approved" => "next: officers approve first, `payhsm approve sign --all`",
        "exists" => "next: choose another name, or use what is there",
        "too_few_officers" => "next: name who comes instead, `payhsm person revoke NAME --replacement FILE`",
        "campaign_lives" | "zone_locked" => {
            "next: wait for it, `payhsm campaign watch`, or end it, `payhsm campaign abort`"
        }
        "in_traffic" => {
            "next: stop the node and say so, `payhsm node traffic NODE drained`, or wait for it; `payhsm node show NODE` \
             tells what it says of itself"
        }
        "not_ready" => "next: the node must hold the zone's keys first, `payhsm campaign watch`",
        "components_missing" => "next: custodians enter theirs, `payhsm ceremony component ID`",
        "components" => "next: the custodians look for the slip and enter their components again",
        "check_value" => "next: compare the check values with the sender, digit by digit",
        "strength" => "next: use a wrapping key that is at least as strong",
        "stored_key" => "next: verify the store, `payhsm kmc verify`: a key block is not where it belongs",
        "backend" => {
            "next: try again; `payhsm kmc status` says when the backend with the master key is ready"
        }
        "not_offered" => "next: use a cipher that the manager's token offers, `payhsm doctor --token URI`",
        "not_leading" | "outcome_unknown" => {
            "next: try again; another manager may lead, or the store is away"
        }
        "full" => "next: make room for the store; reading goes on",
        _ => return None,
    })
}

/// Runs a person's call to its end.
pub fn block_on<T>(call: impl Future<Output = Result<T, ClientProblem>>) -> Result<T, Failure> {
    let mut answer = None;
    run(pin!(async { answer = Some(call.await) }))?;
    answer.unwrap_or_else(|| unreachable!("it has ended")).map_err(failure)
}

// A runtime is compiled once, not for every verb and every kind of answer.
fn run(call: Pin<&mut dyn Future<Output = ()>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Failure::environment)?.block_on(call);
    Ok(())
}

/// Prints a value as JSON, or what `text` makes of it.
pub fn show<T: Serialize>(json: bool, value: &T, text: impl FnOnce(&T) -> String) -> Result<(), Failure> {
    if json {
        println!("{}", serde_json::to_string_pretty(value).map_err(Failure::environment)?);
    } else {
        println!("{}", text(value).trim_end());
    }
    Ok(())
}

/// The one that a text means: by its id, else by its name, which must be the name of one alone.
pub fn named<T>(
    all: impl IntoIterator<Item = T>,
    what: &str,
    text: &str,
    names: impl Fn(&T) -> (&str, String),
) -> Result<T, Failure> {
    let (by_id, others): (Vec<T>, Vec<T>) = all.into_iter().partition(|one| names(one).1 == text);
    if let Some(one) = by_id.into_iter().next() {
        return Ok(one);
    }
    let mut found: Vec<T> = others.into_iter().filter(|one| names(one).0 == text).collect();
    match found.pop() {
        Some(one) if found.is_empty() => Ok(one),
        Some(one) => {
            let ids: Vec<String> = found.iter().chain([&one]).map(|one| names(one).1).collect();
            Err(Failure::usage(format!("more than one {what} {text}: give the id, {}", ids.join(" or "))))
        }
        None => Err(Failure::usage(format!("no {what} {text}"))),
    }
}

// What would move the cursor, or turn the direction of what follows, is shown by its number.
pub(super) fn visible(cell: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let one =
        |c: char| if c.is_control() || turns(c) { c.escape_unicode().to_string() } else { c.to_string() };
    cell.chars().map(one).collect()
}

/// Lines in columns; a cell is one line, whatever is in it.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| visible(cell)).collect()).collect();
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        cells.chain(head.get(at).map(|cell| cell.chars().count())).max().unwrap_or_default()
    };
    let line = |cells: &[String]| -> String {
        let padded = cells.iter().enumerate().map(|(at, cell)| format!("{cell:<w$}", w = width(at)));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    std::iter::once(line(&head)).chain(rows.iter().map(|row| line(row))).collect()
}

/// Asks before something is done. Without a terminal `--yes` must have said so.
pub fn confirmed(yes: bool, question: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("no terminal to ask at: give --yes"));
    }
    match open_line(&format!("{question} [y/N] "))?.as_str() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::check("not done")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_means_one_thing_or_none() {
        let all = [("n1", 1), ("n2", 2), ("n2", 3), ("1", 4)];
        let find = |text: &str| named(all, "node", text, |one| (one.0, one.1.to_string())).map(|one| one.1);
        assert_eq!(find("n1").ok(), Some(1));
        assert_eq!(find("1").ok(), Some(1), "an id is an id, whoever is named so");
        assert_eq!(find("3").ok(), Some(3));
        for (text, says) in [("n2", "more than one node n2: give the id, 2 or 3"), ("n", "no node n")] {
            assert_eq!(find(text).expect_err("refused").message, says);
        }
    }

    #[test]
    fn a_cell_does_not_leave_its_line() {
        let text = table(&["name"], &[vec!["n1\n\u{1b}[1A\u{202e}x é".to_owned()]]);
        assert_eq!(text, "name\nn1\\u{a}\\u{1b}[1A\\u{202e}x é\n");
    }
}
