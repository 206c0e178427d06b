//! Why an exchange gave no reply.

use std::sync::Arc;

/// Why an exchange gave no reply.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No connection could be made.
    #[error("cannot connect to {address}")]
    Connect {
        /// Where to.
        address: String,
        /// Cause.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// The connection went while the reply was awaited. The command may have been done: nothing is sent a
    /// second time.
    #[error("connection lost while a reply was awaited")]
    Lost,
    /// No reply in time.
    #[error("no reply in time")]
    Timeout,
    /// The message is longer than a frame can be, or shorter than its header and code.
    #[error("message of {0} bytes does not fit a frame")]
    Length(usize),
    /// A reply with a header that nobody waits for, with another code than the request calls for, or with a
    /// body that does not follow the layout of its command.
    #[error("reply does not belong to the request or is malformed")]
    Reply,
    /// A request that its own layout refuses to write.
    #[error("request cannot be written: code {0}")]
    Request(hostcmd::Code),
    /// Certificates could not be read.
    #[error("TLS material is not usable")]
    Tls(#[source] Arc<dyn std::error::Error + Send + Sync>),
}

impl Error {
    pub(crate) fn tls(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Tls(Arc::new(source))
    }
}
