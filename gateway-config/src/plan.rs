//! From what was asked for to the ports that are taken: one line per port, and every refusal that can be
//! made before a socket is opened.

use crate::{Config, ListenerConfig, PortMap};
use hostcmd::{Authorised, Role};
use hsm::{LmkId, LmkInfo};
use std::net::{IpAddr, SocketAddr};

/// What cannot be listened to as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
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
}

impl PlanError {
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

/// One port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Address; with the port that was taken once the gateway runs.
    pub address: SocketAddr,
    /// LMK of frames without a selector.
    pub lmk: LmkId,
    /// What it is for.
    pub role: Role,
    /// TLS.
    pub tls: bool,
    /// Name for labels and logs.
    pub name: String,
    /// Which of the configured listeners it belongs to.
    pub config: usize,
}

/// All ports of a configuration under a set of LMKs, or why it is refused.
pub fn check(config: &Config, lmks: &[LmkInfo]) -> Result<Vec<Listener>, PlanError> {
    let first = lmks.first().ok_or(PlanError::NoLmk)?;
    if config.authorised != Authorised::NONE
        && let Some(lmk) = lmks.iter().find(|lmk| !lmk.test)
    {
        return Err(PlanError::Authorised(lmk.id));
    }
    let mut all: Vec<Listener> = Vec::new();
    for (index, listener) in config.listeners.iter().enumerate() {
        check_reach(config, listener)?;
        for (lmk, port) in ports(listener, lmks, first.id, config.port_map)? {
            let info = lmks.iter().find(|info| info.id == lmk);
            let info = info.ok_or(PlanError::NoSuchLmk(listener.spec.address, lmk))?;
            if listener.spec.role == Role::Any && !info.test {
                return Err(PlanError::NoRole(listener.spec.address, lmk));
            }
            let address = SocketAddr::new(listener.spec.address.ip(), port);
            if let Some(other) = all.iter().find(|other| overlap(other.address, address)) {
                return Err(PlanError::Overlap(other.address, address));
            }
            let name = name(listener, lmk, address);
            all.push(Listener {
                address,
                lmk,
                role: listener.spec.role,
                tls: listener.spec.tls,
                name,
                config: index,
            });
        }
    }
    Ok(all)
}

fn check_reach(config: &Config, listener: &ListenerConfig) -> Result<(), PlanError> {
    let spec = &listener.spec;
    let outside = !spec.address.ip().to_canonical().is_loopback();
    if outside && listener.allow.is_empty() {
        return Err(PlanError::NoAllowList(spec.address));
    }
    match &config.tls {
        None if spec.tls => Err(PlanError::NoCertificate(spec.address)),
        Some(tls) if spec.tls && outside && tls.client_ca.is_none() => {
            Err(PlanError::NoClientCa(spec.address))
        }
        _ => Ok(()),
    }
}

fn ports(
    listener: &ListenerConfig,
    lmks: &[LmkInfo],
    default: LmkId,
    map: PortMap,
) -> Result<Vec<(LmkId, u16)>, PlanError> {
    let (address, base) = (listener.spec.address, listener.spec.address.port());
    if let Some(lmk) = listener.spec.lmk {
        return Ok(vec![(lmk, base)]);
    }
    let up = |lmk: LmkId, steps: u8| match base {
        0 => Ok((lmk, 0)),
        _ => base
            .checked_add(u16::from(steps))
            .map(|port| (lmk, port))
            .ok_or(PlanError::PortRange(address, lmk)),
    };
    let each = lmks.iter().map(|info| info.id);
    match map {
        PortMap::Direct => each.map(|id| up(id, id.0)).collect(),
        PortMap::Unit => {
            let mut all = vec![(default, base)];
            for id in each {
                all.push(up(id, id.0.saturating_add(1))?);
            }
            Ok(all)
        }
    }
}

// The wildcard of a family covers every address of it. Sockets of IPv6 take no IPv4 traffic here.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |x: IpAddr, y: IpAddr| x == y || (x.is_unspecified() && x.is_ipv4() == y.is_ipv4());
    a.port() != 0 && a.port() == b.port() && (covers(a.ip(), b.ip()) || covers(b.ip(), a.ip()))
}

fn name(listener: &ListenerConfig, lmk: LmkId, address: SocketAddr) -> String {
    match &listener.name {
        Some(name) if listener.spec.lmk.is_some() => name.clone(),
        Some(name) => format!("{name}/{lmk}"),
        None => format!("{address}/{lmk}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TlsFiles;
    use hsm::LmkScheme;

    fn lmks(test: bool) -> Vec<LmkInfo> {
        let info =
            |id, scheme| LmkInfo { id: LmkId(id), scheme, test, check: *b"000000", comment: "".into() };
        vec![info(0, LmkScheme::Variant), info(1, LmkScheme::TdesBlock), info(2, LmkScheme::AesBlock)]
    }

    fn config(specs: &[&str]) -> Config {
        let listeners = specs.iter().map(|s| ListenerConfig::new(s.parse().unwrap())).collect();
        Config { listeners, ..Config::default() }
    }

    fn ports_of(config: &Config) -> Vec<(u16, u8)> {
        check(config, &lmks(true)).unwrap().iter().map(|l| (l.address.port(), l.lmk.0)).collect()
    }

    #[test]
    fn one_port_per_lmk_from_the_base_on() {
        assert_eq!(ports_of(&config(&["127.0.0.1:1500"])), [(1500, 0), (1501, 1), (1502, 2)]);
        assert_eq!(ports_of(&config(&["127.0.0.1:0"])), [(0, 0), (0, 1), (0, 2)]);
        assert_eq!(ports_of(&config(&["127.0.0.1:1500/02"])), [(1500, 2)]);
        let unit = Config { port_map: PortMap::Unit, ..config(&["[::1]:1500"]) };
        assert_eq!(ports_of(&unit), [(1500, 0), (1501, 0), (1502, 1), (1503, 2)]);
    }

    #[test]
    fn overlaps_are_refused_also_through_wildcards() {
        let refused = |specs: &[&str]| {
            let mut config = config(specs);
            config.listeners.iter_mut().for_each(|l| l.allow = vec!["10.0.0.0/8".parse().unwrap()]);
            matches!(check(&config, &lmks(true)), Err(PlanError::Overlap(..)))
        };
        assert!(refused(&["127.0.0.1:1500", "127.0.0.1:1501"]));
        assert!(refused(&["127.0.0.1:1500/00", "127.0.0.1:1500/01"]));
        assert!(refused(&["127.0.0.1:1500/00", "0.0.0.0:1500/00"]));
        assert!(refused(&["[::]:1500/00", "[::1]:1500/00"]));
        assert!(!refused(&["[::]:1500/00", "127.0.0.1:1500/00"]));
        assert!(!refused(&["127.0.0.1:1500", "127.0.0.1:1503", "127.0.0.2:1500"]));
        assert!(!refused(&["127.0.0.1:0", "127.0.0.1:0"]));
    }

    #[test]
    fn off_loopback_needs_an_allow_list_and_tls_needs_its_files() {
        let mut open = config(&["0.0.0.0:1500"]);
        assert!(matches!(check(&open, &lmks(true)), Err(PlanError::NoAllowList(_))));
        open.listeners[0].allow = vec!["10.0.0.0/8".parse().unwrap()];
        assert!(check(&open, &lmks(true)).is_ok());

        let mut tls = config(&["tls:127.0.0.1"]);
        assert!(matches!(check(&tls, &lmks(true)), Err(PlanError::NoCertificate(_))));
        tls.tls = Some(TlsFiles::new("cert.pem", "key.pem"));
        assert!(check(&tls, &lmks(true)).is_ok());
        tls.listeners[0].spec.address = "10.0.0.1:2500".parse().unwrap();
        tls.listeners[0].allow = vec!["10.0.0.0/8".parse().unwrap()];
        assert!(matches!(check(&tls, &lmks(true)), Err(PlanError::NoClientCa(_))));
    }

    #[test]
    fn outside_the_test_lmks_a_role_is_needed_and_nothing_starts_authorised() {
        let plain = config(&["127.0.0.1:1500"]);
        assert!(matches!(check(&plain, &lmks(false)), Err(PlanError::NoRole(..))));
        assert!(check(&config(&["issuer@127.0.0.1:1500"]), &lmks(false)).is_ok());
        let authorised = Config { authorised: Authorised::ALL, ..config(&["issuer@127.0.0.1"]) };
        assert!(matches!(check(&authorised, &lmks(false)), Err(PlanError::Authorised(_))));
        assert!(check(&authorised, &lmks(true)).is_ok());
    }

    #[test]
    fn lmks_that_are_not_there_and_ports_that_cannot_be() {
        assert!(matches!(check(&config(&["127.0.0.1/07"]), &lmks(true)), Err(PlanError::NoSuchLmk(..))));
        let high = config(&["127.0.0.1:65534"]);
        assert!(matches!(check(&high, &lmks(true)), Err(PlanError::PortRange(..))));
        assert!(matches!(check(&high, &[]), Err(PlanError::NoLmk)));
    }
}
