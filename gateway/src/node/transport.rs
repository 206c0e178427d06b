//! How bytes get to the manager: one small trait, so that thousands of node sides in one process, tests and files use
//! the same machine.

use keylink::endpoint::Endpoint;
use std::pin::Pin;

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Taken, with this body.
    Taken(Vec<u8>),
    /// Not decided yet: officers have to approve. Ask again later.
    Waiting,
}

/// Why nothing came back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// Nobody is there, or the connection broke: try again.
    #[error("manager not reached: {0}")]
    Unreachable(String),
    /// The manager wants to be left alone for so many seconds.
    #[error("manager is not to be asked for {0} s")]
    Busy(u64),
    /// The manager does not want this.
    #[error("manager answers {0}: {1}")]
    Refused(u16, String),
}

/// A future in a box: transports are used behind `dyn`.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Result<Answer, TransportError>> + Send + 'a>>;

/// A connection for a hello is being made; gives its exporter value.
pub type Opening<'a> = Pin<Box<dyn Future<Output = Option<[u8; 32]>> + Send + 'a>>;

/// A way to the manager.
pub trait Transport: Send + Sync {
    /// Makes the connection over which the next hello goes; gives the exporter value that binds it. `None`: there is
    /// no such value on this way, or nobody was reached, which the hello will find too.
    fn session(&self) -> Opening<'_> {
        Box::pin(core::future::ready(None))
    }

    /// Sends a body to one of its paths.
    fn post(&self, endpoint: Endpoint, body: Vec<u8>) -> Sending<'_>;
}
