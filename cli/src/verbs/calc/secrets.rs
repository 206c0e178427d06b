//! Where secrets come from: a file, a pipe, or a person who is asked.

use crate::exit::Failure;
use std::fs;
use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Secrets in the order in which a verb names them.
pub struct Secrets {
    file: Option<PathBuf>,
    lines: Option<std::vec::IntoIter<Zeroizing<String>>>,
}

impl Secrets {
    /// Reads nothing yet.
    pub const fn new(file: Option<PathBuf>) -> Self {
        Self { file, lines: None }
    }

    /// Over lines that a test gives.
    #[cfg(test)]
    pub fn of(lines: &[&str]) -> Self {
        let lines: Vec<_> = lines.iter().map(|line| Zeroizing::new((*line).to_owned())).collect();
        Self { file: None, lines: Some(lines.into_iter()) }
    }

    /// The next secret without its blanks; `what` says which one is asked for.
    pub fn next(&mut self, what: &str) -> Result<Zeroizing<String>, Failure> {
        let missing = || Failure::usage(format!("{what}: a line is missing"));
        Ok(plain(&self.line(what)?.ok_or_else(missing)?))
    }

    /// As [`Secrets::next`], or nothing when there are no more, or a person enters nothing.
    pub fn optional(&mut self, what: &str) -> Result<Option<Zeroizing<String>>, Failure> {
        Ok(self.line(what)?.map(|line| plain(&line)).filter(|line| !line.is_empty()))
    }

    fn line(&mut self, what: &str) -> Result<Option<Zeroizing<String>>, Failure> {
        if self.lines.is_none() {
            if self.file.is_none() && io::stdin().is_terminal() {
                let entered =
                    rpassword::prompt_password(format!("{what}: ")).map_err(Failure::environment)?;
                return Ok(Some(Zeroizing::new(entered)));
            }
            self.lines = Some(self.read()?.into_iter());
        }
        Ok(self.lines.as_mut().and_then(Iterator::next))
    }

    fn read(&self) -> Result<Vec<Zeroizing<String>>, Failure> {
        let text = match &self.file {
            Some(path) => Zeroizing::new(
                fs::read_to_string(path)
                    .map_err(|e| Failure::environment(format!("{}: {e}", path.display())))?,
            ),
            None => {
                let mut text = Zeroizing::new(String::new());
                let mut input = io::stdin().lock();
                while input.read_line(&mut text).map_err(Failure::environment)? > 0 {}
                text
            }
        };
        Ok(text.lines().map(|line| Zeroizing::new(line.to_owned())).collect())
    }
}

fn plain(line: &str) -> Zeroizing<String> {
    Zeroizing::new(line.chars().filter(|c| !c.is_whitespace()).collect())
}
