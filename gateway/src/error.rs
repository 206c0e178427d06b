//! Why a gateway does not start.

use gateway_config::PlanError;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What it was told does not hold together.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The TLS files are not a usable set.
    #[error("TLS set-up: {0}")]
    Tls(String),
    /// A file could not be read.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A port could not be taken.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A thread or its event loop could not be started.
    #[error("cannot start a worker thread")]
    Thread(#[source] std::io::Error),
    /// A worker did not come up.
    #[error("no crypto worker: {0}")]
    Worker(#[from] crate::worker::WorkerError),
    /// A thread ended while it was starting.
    #[error("a worker thread ended while the backend was made")]
    Backend,
}

impl StartError {
    /// Exit code of a program that reports this: 2 for what was asked, 3 for what was found.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::File { .. } | Self::Bind { .. } | Self::Thread(_) | Self::Worker(_) | Self::Backend => 3,
            _ => 2,
        }
    }

    /// What to do about it.
    pub const fn help(&self) -> Option<&'static str> {
        match self {
            Self::Plan(error) => error.help(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_and_cannot_be_is_usage_with_advice() {
        let error = StartError::from(PlanError::NoAllowList(([0, 0, 0, 0], 1500).into()));
        assert_eq!((error.exit_code(), error.help().is_some()), (2, true));
        assert_eq!(StartError::Backend.exit_code(), 3);
    }
}
