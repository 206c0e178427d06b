//! An error in one line, with all that lies below it: the causes say what was wrong.

use std::error::Error;

/// The error, and each cause after a colon.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        text = format!("{text}: {error}");
        below = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Layer>>);

    #[test]
    fn every_cause_is_named_once_the_outermost_first() {
        let error = Layer("no session", Some(Layer("no socket", Some(Layer("refused", None).into())).into()));
        assert_eq!(with_causes(&error), "no session: no socket: refused");
        assert_eq!(with_causes(&Layer("alone", None)), "alone");
    }
}
