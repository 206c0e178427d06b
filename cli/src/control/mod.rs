//! What officers do to a running server: a Unix socket in its data folder, the authorised state, registered
//! decimalisation tables.
//!
//! It has threads of its own and reaches the cores by [`Switches`] only, so that neither a slow client nor a
//! passphrase that is being stretched holds up a frame. Nothing that is authorised outlives the process.

mod authority;
mod grants;
pub mod officers;
mod server;
mod table_maker;
pub mod tables;
mod tries;
pub mod wire;

use crate::exit::Failure;
use authority::Authority;
use gateway::Switches;
use hostcmd::{Activity, Authorised};
use server::Server;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
pub use table_maker::TableMaker;

/// Name of all activities together.
pub const ALL: &str = "all";
/// Longest time of an authorisation, in seconds.
pub const SECONDS_MAX: u64 = 12 * 60 * 60;

/// The activities that a name stands for.
pub fn activities(name: &str) -> Option<Vec<Activity>> {
    if name == ALL {
        return Some(Activity::ALL.to_vec());
    }
    Activity::ALL.into_iter().find(|activity| activity.name() == name).map(|activity| vec![activity])
}

/// The control socket of a server. It is removed when this is dropped.
#[derive(Debug)]
pub struct Control {
    socket: PathBuf,
}

impl Control {
    /// Serves the socket of a data folder. `authorised` stands from the start and until it is revoked; the
    /// tables `built_in` are taken besides those of the folder.
    pub fn start(
        folder: &Path,
        switches: Switches,
        maker: TableMaker,
        authorised: Authorised,
        built_in: Vec<[u8; 16]>,
    ) -> Result<Self, Failure> {
        let socket = wire::socket(folder);
        let failure = |error: io::Error| Failure::environment(format!("{}: {error}", socket.display()));
        let listener = bind(folder, &socket).map_err(failure)?;
        let control = Self { socket: socket.clone() };
        let authority = Arc::new(Authority::new(switches.clone(), authorised));
        let server = Server::new(folder.to_owned(), Arc::clone(&authority), switches, maker, built_in)?;
        // Neither has an end of its own: both stand still unless an officer or the clock has something to say.
        let watch = move || authority.watch();
        thread::Builder::new().name("authority".to_owned()).spawn(watch).map_err(failure)?;
        let serve = move || server.serve(&listener);
        thread::Builder::new().name("control".to_owned()).spawn(serve).map_err(failure)?;
        Ok(control)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.socket) {
            tracing::warn!(%error, "the control socket cannot be removed");
        }
    }
}

// A socket takes its mode after it was made. It is made in a folder that nobody else can enter, and put in
// its place when it has its mode; what a server that was killed left there is replaced.
fn bind(folder: &Path, socket: &Path) -> io::Result<UnixListener> {
    // Whoever may write there can put other officers and another socket in the place of ours.
    if std::fs::metadata(folder)?.permissions().mode() & 0o022 != 0 {
        return Err(io::Error::other("others than its owner may write its folder: chmod 700"));
    }
    if UnixStream::connect(socket).is_ok() {
        return Err(io::Error::other("another server uses this folder"));
    }
    let private = tempfile::Builder::new().prefix(".c").tempdir_in(folder)?;
    let made = private.path().join("s");
    let listener = UnixListener::bind(&made)?;
    std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&made, socket)?;
    Ok(listener)
}
