//! Where a store is.

use std::path::PathBuf;
use std::str::FromStr;

/// Where a store is: a file, or a database.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// The embedded store in this file.
    Sqlite(PathBuf),
    /// The shared store at this address (`postgres://…`).
    Postgres(String),
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_owned()));
        }
        let path = text.strip_prefix("sqlite:").unwrap_or(text);
        if path.is_empty() || path.contains("://") {
            return Err("a store is postgres://…, sqlite:FILE or FILE".to_owned());
        }
        Ok(Self::Sqlite(path.into()))
    }
}

/// Without the password of a database.
impl std::fmt::Debug for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// Without the password of a database.
impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres(url) => f.write_str(&without_password(url)),
        }
    }
}

// Both places where a password may stand: before the host, and among the parameters.
pub(super) fn without_password(url: &str) -> String {
    let (place, parameters) = url.split_once('?').unwrap_or((url, ""));
    let (scheme, rest) = place.split_once("://").unwrap_or(("postgres", place));
    let (user, host) = rest.rsplit_once('@').map_or(("", rest), |(user, host)| (user, host));
    let user = user.split_once(':').map_or(user, |(name, _)| name);
    let at = if user.is_empty() { "" } else { "@" };
    let kept: Vec<&str> = parameters.split('&').filter(|one| !one.starts_with("password=")).collect();
    let mark = if kept.concat().is_empty() { "" } else { "?" };
    format!("{scheme}://{user}{at}{host}{mark}{}", kept.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_an_address_or_a_file() {
        assert_eq!("kmc.db".parse(), Ok(Location::Sqlite("kmc.db".into())));
        assert_eq!("sqlite:/a/b".parse(), Ok(Location::Sqlite("/a/b".into())));
        assert!(matches!("postgres://h/d".parse(), Ok(Location::Postgres(_))));
        assert!("mysql://h/d".parse::<Location>().is_err());
    }

    #[test]
    fn a_password_is_never_shown() {
        let shown = |url: &str| Location::Postgres(url.to_owned()).to_string();
        assert_eq!(shown("postgres://kmc:s3cret@db/kmc"), "postgres://kmc@db/kmc");
        assert_eq!(shown("postgres:///kmc?password=s3cret&host=/tmp"), "postgres:///kmc?host=/tmp");
        assert_eq!(shown("postgres://db/kmc"), "postgres://db/kmc");
    }
}
