//! Connections: TLS 1.3 between ends that know each other's key. Nobody is trusted for having a certificate
//! of some authority: a certificate only carries a public key, which the other end has on record, or a person's
//! approval key has certified it.
//!
//! This module refuses to know requests and who may do what: it tells whose key the other end proved.

mod client;
mod pinned;
mod places;
mod server;
mod shown;
mod stall;

pub use client::{ClientError, client, client_tls, is_of_node, node_client};
pub use places::Share;
pub use server::{Known, ListenerKey, Peer, Room, ServerKey, Tls, node_tls, serve, server_tls};
pub use shown::Shown;

/// The one provider of primitives that this program uses.
pub(crate) fn provider() -> std::sync::Arc<rustls::crypto::CryptoProvider> {
    std::sync::Arc::new(rustls::crypto::ring::default_provider())
}
