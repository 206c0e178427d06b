//! Why a call has no answer.

use crate::api::Problem;
use crate::with_causes;
use thiserror::Error;

/// Why a call has no answer.
#[derive(Debug, Error)]
pub enum ClientProblem {
    /// The manager refuses, with a stable code.
    #[error("{} ({})", .0.detail, .0.code)]
    Refused(Problem),
    /// The manager was not reached, or is another than was told.
    #[error("manager not reached: {0}")]
    Unreachable(String),
    /// The manager answers what cannot be read.
    #[error("the manager's answer cannot be read: {0}")]
    Answer(String),
    /// The action is not what it says, so it is not signed.
    #[error("not signed: {0}")]
    Unsound(&'static str),
    /// No such thing at the manager.
    #[error("no {what} {name}")]
    Missing {
        /// Kind of thing.
        what: &'static str,
        /// As it was asked for.
        name: String,
    },
    /// What is wanted does not fit together.
    #[error("{0}")]
    Wish(String),
}

impl From<reqwest::Error> for ClientProblem {
    fn from(error: reqwest::Error) -> Self {
        Self::Unreachable(with_causes(&error.without_url()))
    }
}
