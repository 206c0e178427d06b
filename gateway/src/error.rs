//! Why a gateway does not start.

use hsm::LmkId;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Off loopback, and everybody could connect.
    #[error("listener {0} is off loopback and has no allow-list")]
    NoAllowList(SocketAddr),
    /// Off loopback with TLS, and every client could connect.
    #[error("TLS listener {0} is off loopback and no client CA is configured")]
    NoClientCa(SocketAddr),
    /// A listener without a role serves every command.
    #[error("listener {0} has no role and LMK {1} is not a test LMK")]
    NoRole(SocketAddr, LmkId),
    /// The backend has no such LMK.
    #[error("listener {0} names LMK {1}, which is not loaded")]
    NoSuchLmk(SocketAddr, LmkId),
    /// The backend has no LMK at all.
    #[error("no LMK is loaded")]
    NoLmk,
    /// Two listeners would share a port.
    #[error("two listeners overlap: {0} and {1}")]
    Overlap(SocketAddr, SocketAddr),
    /// Base port and LMK identifier are more than a port can be.
    #[error("listener {0} has no port for LMK {1}")]
    PortRange(SocketAddr, LmkId),
    /// Everything authorised without a test LMK.
    #[error("LMK {0} is not a test LMK: nothing may be authorised from the start")]
    Authorised(LmkId),
    /// A TLS listener without certificate and key.
    #[error("listener {0} needs a TLS certificate and key")]
    NoCertificate(SocketAddr),
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
        Some(match self {
            Self::NoAllowList(_) => {
                "give the clients' networks: `--allow 10.0.0.0/8`, or `allow` in the file"
            }
            Self::NoClientCa(_) => {
                "give `--tls-client-ca FILE`, or `client_ca` in the `[tls]` table of the file"
            }
            Self::NoRole(..) => "name one: `--listen acquirer@ADDR`, issuer@ or officer@",
            Self::Overlap(..) => {
                "an address without `/LMK` takes one port for every LMK from its base port on"
            }
            Self::NoCertificate(_) => {
                "give `--tls-cert FILE --tls-key FILE`, or the `[tls]` table of the file"
            }
            Self::NoSuchLmk(..) => "`payhsm lmk show` lists the LMKs that are loaded",
            Self::Authorised(_) => "authorise activities with two officers: `payhsm authorise`",
            _ => return None,
        })
    }
}
