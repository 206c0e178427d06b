//! What is wrong with a configuration, with the place in the file.

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A file that was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    name: Arc<str>,
    text: Arc<str>,
}

impl Source {
    pub(crate) fn new(name: &str, text: &str) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    pub(crate) fn problem(&self, message: impl Into<String>, at: Option<Range<usize>>) -> Problem {
        // What came from the command line stands at 0..0.
        let place = at.filter(|at| at.end > 0 && self.text.get(at.clone()).is_some());
        let file = NamedSource::new(&*self.name, self.text.to_string()).with_language("TOML");
        Problem(Box::new(Parts { message: message.into(), help: None, place, file }))
    }
}

/// One thing that is wrong.
#[derive(Debug)]
pub struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    message: String,
    help: Option<String>,
    place: Option<Range<usize>>,
    file: NamedSource<String>,
}

impl Problem {
    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// What is wrong, in one line.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do about it.
    pub fn advice(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// Bytes of the file that it is about.
    pub fn span(&self) -> Option<Range<usize>> {
        self.0.place.clone()
    }

    /// Line and column of its begin, from 1.
    pub fn line_and_column(&self) -> Option<(usize, usize)> {
        let before = self.0.file.inner().get(..self.0.place.as_ref()?.start)?;
        let line = before.matches('\n').count().saturating_add(1);
        let column = before.chars().rev().take_while(|c| *c != '\n').count().saturating_add(1);
        Some((line, column))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.0.place.is_some().then_some(&self.0.file as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.0.place.clone()?;
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(Some("here".to_owned()), place))))
    }
}

/// The known name that is nearest to a misspelt one, if one is near.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = |other: &str| distance(&name.to_lowercase().replace('-', "_"), other);
    let best = known.map(|other| (near(other), other)).min()?;
    (best.0 <= name.len().div_ceil(3)).then_some(best.1)
}

// Edit distance (Levenshtein), one row at a time.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i.saturating_add(1);
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (y, cell) in b.chars().zip(row.iter_mut().skip(1)) {
            let changed = diagonal.saturating_add(usize::from(x != y));
            diagonal = *cell;
            *cell = changed.min(diagonal.saturating_add(1)).min(left.saturating_add(1));
            left = *cell;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_of_known_pairs() {
        for (a, b, d) in [("", "", 0), ("kitten", "sitting", 3), ("abc", "", 3), ("idle", "idel", 2)] {
            assert_eq!(distance(a, b), d, "{a} {b}");
            assert_eq!(distance(b, a), d, "{b} {a}");
        }
    }

    #[test]
    fn only_near_names_are_proposed() {
        let known = ["header_len", "listener", "limits"];
        assert_eq!(nearest("header-length", known.into_iter()), Some("header_len"));
        assert_eq!(nearest("Listner", known.into_iter()), Some("listener"));
        assert_eq!(nearest("colour", known.into_iter()), None);
    }

    #[test]
    fn lines_and_columns_count_from_one() {
        let source = Source::new("f", "a = 1\nbé = 2\n");
        assert_eq!(source.problem("x", Some(0..1)).line_and_column(), Some((1, 1)));
        assert_eq!(source.problem("x", Some(12..13)).line_and_column(), Some((2, 6)));
        assert_eq!(source.problem("x", Some(50..51)).line_and_column(), None);
    }
}
