//! The control socket's language: a line of JSON each way, then the connection ends.

use super::officers::{Officers, PASSPHRASE_MAX};
use crate::exit::Failure;
use crate::private::{open_line, secret_line};
use core::fmt;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// Longest request with its line end, in bytes: two officers with passphrases of which every byte is escaped.
pub const REQUEST_MAX: usize = 8 * PASSPHRASE_MAX * 2;
const REPLY_MAX: u64 = 64 * 1024;
/// Longer than a server needs to stretch two passphrases while others wait in front.
const PATIENCE: Duration = Duration::from_secs(60);

/// A passphrase on its way: wiped, and without content in `Debug`.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Its bytes, to be judged.
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

/// An officer who agrees.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// Name.
    pub name: String,
    /// Passphrase.
    pub passphrase: Secret,
}

/// What is asked of the server.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// What is authorised?
    Show {},
    /// Authorise an activity, or all, for so many seconds.
    Authorise { activity: String, seconds: u64, officers: [Consent; 2] },
    /// End it.
    Revoke { activity: String, officer: Consent },
    /// Register a clear table.
    DectabAdd { table: String, officers: [Consent; 2] },
    /// Encrypt a table under an LMK.
    DectabEncrypt { table: String, lmk: u8, officers: [Consent; 2] },
}

/// An activity that is authorised.
#[derive(Debug, Serialize, Deserialize)]
pub struct Standing {
    /// Name.
    pub activity: String,
    /// Seconds that are left; none until the end of the server.
    pub seconds: Option<u64>,
}

/// What the server says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// It is done.
    Done,
    /// What is authorised.
    Standing(Vec<Standing>),
    /// The cryptogram of a table.
    Table(String),
    /// It was not done.
    Refused(String),
}

/// Where the socket of a data folder is.
pub fn socket(folder: &Path) -> PathBuf {
    folder.join("control.sock")
}

/// The data folder of a running server.
#[derive(Debug, clap::Args)]
pub struct DataFolder {
    /// Data folder of the server.
    #[arg(long, env = "PAYHSM_DATA", value_name = "DIR", default_value = "payhsm-data")]
    pub data: PathBuf,
}

/// Asks for one officer, when there is a server to take it.
pub fn one_consent(folder: &Path) -> Result<Consent, Failure> {
    connect(folder)?;
    consent("officer")
}

/// Asks for two different officers, when there is a server to take it.
pub fn two_consents(folder: &Path) -> Result<[Consent; 2], Failure> {
    connect(folder)?;
    let first = consent("first officer")?;
    let second = consent("second officer")?;
    Ok([first, second])
}

fn consent(who: &str) -> Result<Consent, Failure> {
    let name = open_line(&format!("{who}: "))?;
    Ok(Consent { passphrase: passphrase(&format!("passphrase of {name}: "))?, name })
}

/// Asks for a passphrase, without its line end.
pub fn passphrase(prompt: &str) -> Result<Secret, Failure> {
    let line = secret_line(prompt)?;
    let text = line.trim_end_matches(['\r', '\n']);
    if text.len() > PASSPHRASE_MAX {
        return Err(Failure::usage(format!("a passphrase has at most {PASSPHRASE_MAX} bytes")));
    }
    Ok(Secret(Zeroizing::new(text.to_owned())))
}

fn connect(folder: &Path) -> Result<UnixStream, Failure> {
    UnixStream::connect(socket(folder)).map_err(|error| {
        let folder = folder.display();
        Failure::environment(format!("no server with `--data {folder}` answers: {error}"))
    })
}

/// Sends a request to the server of a data folder; what it refuses is a failure.
pub fn call(folder: &Path, request: &Request) -> Result<Reply, Failure> {
    let socket = socket(folder);
    let failure = |error: &dyn fmt::Display| Failure::environment(format!("{}: {error}", socket.display()));
    let mut stream = connect(folder)?;
    let mut line = Zeroizing::new(Vec::with_capacity(REQUEST_MAX));
    serde_json::to_writer(&mut *line, request).map_err(|error| failure(&error))?;
    line.push(b'\n');
    let ask = |stream: &mut UnixStream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&line)?;
        let mut reply = String::new();
        stream.take(REPLY_MAX).read_to_string(&mut reply)?;
        Ok(reply)
    };
    let reply = ask(&mut stream).map_err(|error: std::io::Error| failure(&error))?;
    match serde_json::from_str(&reply).map_err(|error| failure(&error))? {
        Reply::Refused(why) => Err(Failure::check(why)),
        reply => Ok(reply),
    }
}

/// How a name may stand in a log: as it is when it is an officer's, since what else is typed there may be a
/// passphrase.
pub fn logged<'n>(officers: &Officers, name: &'n str) -> &'n str {
    if officers.knows(name) { name } else { "(unknown)" }
}
