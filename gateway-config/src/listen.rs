//! The text that names a listener: `[ROLE@][tls:]ADDR[/LMK]`.

use hostcmd::Role;
use hsm::LmkId;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// Base port of plain listeners, as on physical units.
pub const PLAIN_PORT: u16 = 1500;
/// Base port of TLS listeners.
pub const TLS_PORT: u16 = 2500;

/// Why a listener could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The part before `@`.
    #[error("`{0}` is no role: use acquirer, issuer or officer")]
    Role(String),
    /// The part behind `/`.
    #[error("`{0}` is no LMK identifier: use two digits, 00 to 19")]
    Lmk(String),
    /// The address.
    #[error("`{0}` is no address: use IP:PORT, [IPV6]:PORT or an IP alone")]
    Address(String),
}

/// A listener as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenSpec {
    /// What it is for; `Any` when no role was named.
    pub role: Role,
    /// TLS.
    pub tls: bool,
    /// Address and base port.
    pub address: SocketAddr,
    /// The one LMK that it serves; every LMK on ports of its own when not named.
    pub lmk: Option<LmkId>,
}

impl Default for ListenSpec {
    fn default() -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PLAIN_PORT));
        Self { role: Role::Any, tls: false, address, lmk: None }
    }
}

impl FromStr for ListenSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let (role, rest) = match text.split_once('@') {
            Some((role, rest)) => (read_role(role)?, rest),
            None => (Role::Any, text),
        };
        let (tls, rest) = match rest.strip_prefix("tls:") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let (address, lmk) = match rest.split_once('/') {
            Some((address, lmk)) => (address, Some(read_lmk(lmk)?)),
            None => (rest, None),
        };
        let address = read_address(address, if tls { TLS_PORT } else { PLAIN_PORT })?;
        Ok(Self { role, tls, address, lmk })
    }
}

fn read_role(text: &str) -> Result<Role, SpecError> {
    Role::from_name(text).ok_or_else(|| SpecError::Role(text.to_owned()))
}

fn read_lmk(text: &str) -> Result<LmkId, SpecError> {
    let digits = <[u8; 2]>::try_from(text.as_bytes()).ok();
    let id = digits.and_then(LmkId::from_digits).filter(|id| id.0 < 20);
    id.ok_or_else(|| SpecError::Lmk(text.to_owned()))
}

fn read_address(text: &str, port: u16) -> Result<SocketAddr, SpecError> {
    let named = text.strip_prefix("localhost").map(|rest| format!("127.0.0.1{rest}"));
    let text = named.as_deref().unwrap_or(text);
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    text.parse()
        .or_else(|_| bare.parse::<IpAddr>().map(|ip| SocketAddr::from((ip, port))))
        .map_err(|_| SpecError::Address(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ListenSpec, SpecError> {
        text.parse()
    }

    #[test]
    fn all_parts_and_all_defaults() {
        let full = read("acquirer@tls:10.1.2.3:2600/02").unwrap();
        let address = "10.1.2.3:2600".parse().unwrap();
        assert_eq!(full, ListenSpec { role: Role::Acquirer, tls: true, address, lmk: Some(LmkId(2)) });
        assert_eq!(read("127.0.0.1:1500").unwrap(), ListenSpec::default());
        assert_eq!(read("localhost").unwrap(), ListenSpec::default());
        assert_eq!(read("tls:[::1]").unwrap().address, "[::1]:2500".parse().unwrap());
        assert_eq!(read("::1").unwrap().address, "[::1]:1500".parse().unwrap());
        assert_eq!(read("officer@[::]:0/00").unwrap().address, "[::]:0".parse().unwrap());
    }

    #[test]
    fn refusals_name_the_part() {
        assert_eq!(read("admin@127.0.0.1"), Err(SpecError::Role("admin".into())));
        for lmk in ["", "1", "20", "001", "ab"] {
            assert_eq!(read(&format!("127.0.0.1:1/{lmk}")), Err(SpecError::Lmk(lmk.into())));
        }
        for address in ["", "example:1500", "127.0.0.1:99999", "ssl:127.0.0.1", "127.0.0.1:"] {
            assert!(matches!(read(address), Err(SpecError::Address(_))), "{address}");
        }
    }
}
