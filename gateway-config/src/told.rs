//! All that a gateway is told, once it is resolved.

use crate::{Limits, ListenSpec};
use hostcmd::{Authorised, Settings, Unit};
use ipnet::IpNet;
use std::net::SocketAddr;
use std::path::PathBuf;

/// How LMKs and ports belong together when a listener names no LMK.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PortMap {
    /// Base port + LMK identifier.
    #[default]
    Direct,
    /// As on physical units: base port for the default LMK, base + 1 + identifier for each.
    Unit,
}

/// A listener.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// Name for labels and logs; made from the address when there is none.
    pub name: Option<String>,
    /// Role, TLS, address, LMK.
    pub spec: ListenSpec,
    /// What its commands accept.
    pub settings: Settings,
    /// Text fields in EBCDIC.
    pub ebcdic: bool,
    /// Networks that may connect; empty means everybody, on loopback only.
    pub allow: Vec<IpNet>,
    /// Replies to commands with key references end with the generations that were used.
    pub generation_trailer: bool,
}

impl ListenerConfig {
    /// A strict ASCII listener without an allow-list.
    pub const fn new(spec: ListenSpec) -> Self {
        Self {
            name: None,
            spec,
            settings: Settings::STRICT,
            ebcdic: false,
            allow: Vec::new(),
            generation_trailer: false,
        }
    }
}

/// All that a gateway is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Listeners.
    pub listeners: Vec<ListenerConfig>,
    /// How their ports are counted.
    pub port_map: PortMap,
    /// Worker threads, one engine each; 0 means one per available core.
    pub cores: usize,
    /// Length of the message header, 0 to 255 bytes.
    pub header_length: usize,
    /// Limits.
    pub limits: Limits,
    /// Certificate, key and client CA of TLS listeners.
    pub tls: Option<TlsFiles>,
    /// Where `/metrics`, `/healthz` and `/readyz` are served.
    pub admin: Option<SocketAddr>,
    /// What is authorised from the start; under test LMKs only.
    pub authorised: Authorised,
    /// Serial, firmware, registered decimalisation tables; the gateway keeps time and counts itself.
    pub unit: Unit,
    /// For benches: every frame gets header, reply code, `00` and filler up to this many bytes, and no
    /// engine sees it. All the rest is the same loop.
    pub echo: Option<usize>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listeners: vec![ListenerConfig::new(ListenSpec::default())],
            port_map: PortMap::Direct,
            cores: 0,
            header_length: 4,
            limits: Limits::default(),
            tls: None,
            admin: None,
            authorised: Authorised::NONE,
            unit: Unit::default(),
            echo: None,
        }
    }
}

/// Where certificate, key and client CA are (PEM), and which versions are spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain of the server.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// CA of the clients. When given, a client without a certificate of it is refused.
    pub client_ca: Option<PathBuf>,
    /// TLS 1.2 is spoken as well as 1.3.
    pub tls12: bool,
}

impl TlsFiles {
    /// Server authentication only, TLS 1.3.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { certificate: certificate.into(), key: key.into(), client_ca: None, tls12: false }
    }
}
