//! The real program, started for a test and gone with it.

use crate::softhsm::{Backend, TempToken};
use crate::wire::Wire;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

const TEST_LMK: &[&str] = &["--insecure-test-lmk"];
const START_LIMIT: Duration = Duration::from_secs(30);

/// `payhsm serve` under the public test LMKs.
pub struct Server {
    child: Child,
    ports: BTreeMap<u8, SocketAddr>,
    log: Arc<Mutex<String>>,
    // Gone when the server is.
    _token: Option<TempToken>,
}

impl Server {
    /// Starts it on free ports, one for each test LMK, and waits until it is ready.
    pub fn start(options: &[&str]) -> Self {
        let listen = ["--listen", "127.0.0.1:0"];
        Self::start_with(&[&listen, options].concat(), &[0, 1, 2])
    }

    /// Starts it over a backend, on a token with its key-block test LMKs only. `None` when there is no such
    /// backend here, which is said.
    pub fn start_on(backend: Backend, options: &[&str]) -> Option<Self> {
        let token = match backend {
            Backend::Simulator => return Some(Self::start(options)),
            Backend::SoftHsm => TempToken::new()?,
        };
        let uri = token.uri();
        Some(Self::start_token(token, &uri, backend.lmks(), options, &[]))
    }

    /// Starts it over a token that is named by a URI, with more variables in its environment.
    pub fn start_token(
        token: TempToken,
        uri: &str,
        lmks: &[u8],
        options: &[&str],
        variables: &[(&str, PathBuf)],
    ) -> Self {
        let pin_file = token.pin_file();
        let own = ["--listen", "127.0.0.1:0", "--backend", "pkcs11", "--token", uri, "--pin-file", &pin_file];
        let environment = [&[("SOFTHSM2_CONF", token.configuration())], variables].concat();
        let mut server = Self::spawn(TEST_LMK, &[&own, options].concat(), lmks, &environment);
        server._token = Some(token);
        server
    }

    /// Starts it with a configuration file, and waits for listeners of the LMKs named.
    pub fn configured(file: &Path, lmks: &[u8]) -> Self {
        Self::start_with(&["--config", file.to_str().expect("path")], lmks)
    }

    /// Starts it with listeners of the caller's choice, and waits for those of the LMKs named.
    pub fn start_with(options: &[&str], lmks: &[u8]) -> Self {
        Self::spawn(TEST_LMK, options, lmks, &[])
    }

    /// Starts it under LMKs of the test's own, which options name; every listener needs a role there.
    pub fn start_own(options: &[&str], lmks: &[u8], environment: &[(&str, PathBuf)]) -> Self {
        Self::spawn(&[], options, lmks, environment)
    }

    fn spawn(first: &[&str], options: &[&str], lmks: &[u8], environment: &[(&str, PathBuf)]) -> Self {
        let mut command = Command::new(program());
        // Variables of this prefix configure the program; those of the test run are none of its business.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PAYHSM_"))
        {
            command.env_remove(name);
        }
        let mut child = command
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .args(["serve", "--admin", "127.0.0.1:0"])
            .args(first)
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let log = Arc::new(Mutex::new(String::new()));
        let lines = lines_of(child.stdout.take().expect("piped"), Arc::clone(&log));
        let _stderr = lines_of(child.stderr.take().expect("piped"), Arc::clone(&log));
        let mut server = Self { child, ports: BTreeMap::new(), log, _token: None };
        server.wait_ready(&lines, lmks, &options.join(" "));
        server
    }

    fn wait_ready(&mut self, lines: &Receiver<String>, lmks: &[u8], options: &str) {
        let end = Instant::now() + START_LIMIT;
        while !lmks.iter().all(|lmk| self.ports.contains_key(lmk)) {
            match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => self.ports.extend(ready(&line)),
                Err(RecvTimeoutError::Timeout) => panic!("not ready in time: {options}\n{}", self.log()),
                Err(RecvTimeoutError::Disconnected) => panic!("ended: {options}\n{}", self.log()),
            }
        }
    }

    /// Address of the port of an LMK.
    pub fn address(&self, lmk: u8) -> SocketAddr {
        self.ports[&lmk]
    }

    /// A connection to the port of an LMK.
    pub fn connect(&self, lmk: u8) -> Wire {
        Wire::connect(self.address(lmk)).expect("the server takes connections")
    }

    /// Everything that it wrote to standard output and standard error.
    pub fn log(&self) -> String {
        self.log.lock().expect("not poisoned").clone()
    }

    /// True while the process runs.
    pub fn is_up(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }

    /// Process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _status = self.child.wait();
    }
}

// `ready listen=127.0.0.1:41001 lmk=00 role=any`
fn ready(line: &str) -> Option<(u8, SocketAddr)> {
    let words = line.strip_prefix("ready ")?.split_whitespace();
    let value = |name: &str| words.clone().find_map(|word| word.strip_prefix(name));
    Some((value("lmk=")?.parse().ok()?, value("listen=")?.parse().ok()?))
}

fn lines_of(pipe: impl Read + Send + 'static, log: Arc<Mutex<String>>) -> Receiver<String> {
    let (lines, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            {
                let mut log = log.lock().expect("not poisoned");
                log.push_str(&line);
                log.push('\n');
            }
            let _test_is_over = lines.send(line);
        }
    });
    receiver
}

/// Path of the program, never older than its sources: `cargo test --workspace` has made it for the tests of the command
/// line, else it is built here. `PAYHSM_BIN` names another one.
pub fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| std::env::var_os("PAYHSM_BIN").map_or_else(build, PathBuf::from))
}

fn build() -> PathBuf {
    built("cli", &format!("payhsm{}", std::env::consts::EXE_SUFFIX))
}

/// The fault-injecting PKCS#11 module, built likewise.
pub fn shim() -> &'static PathBuf {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| built("p11-shim", "libp11_shim.so"))
}

fn built(package: &str, file: &str) -> PathBuf {
    // target/<profile>/deps/<test>
    let test = std::env::current_exe().expect("own path");
    let folder = test.ancestors().nth(2).expect("target folder").to_path_buf();
    let path = folder.join(file);
    let Some(cargo) = std::env::var_os("CARGO") else {
        assert!(path.exists(), "{} is missing: build it, or run cargo test", path.display());
        return path;
    };
    if is_fresh(&path).unwrap_or(false) {
        return path;
    }
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        None | Some("debug") => "dev",
        Some(name) => name,
    };
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--package", package, "--profile", profile, "--target-dir"])
        .arg(folder.parent().expect("target folder"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .status()
        .expect("cargo runs");
    assert!(status.success(), "{package} does not build");
    path
}

// Whether no source in the repository is younger. To ask cargo costs minutes: for this package alone it takes other features
// than for the whole workspace, and compiles half of it anew. (Its own list of sources beside the program is not written
// by `cargo test`.)
fn is_fresh(path: &Path) -> io::Result<bool> {
    let made = path.metadata()?.modified()?;
    Ok(!has_younger(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")), made)?)
}

// Folders of which nothing is in the program; `fuzz` is a workspace of its own, and grows while it runs.
const OF_NO_PROGRAM: [&str; 5] = ["target", "tests", "benches", "fuzz", "docs"];

// A folder is as young as what was last put into it or taken from it; the root is not looked at, where `target` is made.
fn has_younger(folder: &Path, made: SystemTime) -> io::Result<bool> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') || OF_NO_PROGRAM.contains(&&*name) {
            continue;
        }
        let metadata = entry.metadata()?;
        if metadata.modified()? > made || (metadata.is_dir() && has_younger(&entry.path(), made)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::{has_younger, ready};
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    #[test]
    fn a_program_is_fresh_until_a_source_is_younger_or_gone() {
        let place = tempfile::TempDir::new().unwrap();
        let [sources, target] = ["src", "target"].map(|name| place.path().join(name));
        [&sources, &target].into_iter().for_each(|folder| std::fs::create_dir(folder).unwrap());
        let [one, other] = ["one.rs", "other.rs"].map(|name| sources.join(name));
        [&one, &other].into_iter().for_each(|file| std::fs::write(file, "").unwrap());
        let set = |path: &Path, s| {
            let at = SystemTime::now() + Duration::from_secs(s);
            std::fs::File::open(path).unwrap().set_modified(at).unwrap();
        };
        let made = SystemTime::now() + Duration::from_secs(5);
        set(&target, 9);
        assert!(!has_younger(place.path(), made).unwrap());
        set(&one, 9);
        assert!(has_younger(place.path(), made).unwrap());
        set(&one, 0);
        assert!(!has_younger(place.path(), made).unwrap());
        std::fs::remove_file(other).unwrap();
        set(&sources, 9);
        assert!(has_younger(place.path(), made).unwrap());
        assert!(has_younger(&place.path().join("nowhere"), made).is_err());
    }

    #[test]
    fn ready_lines() {
        let line = "ready listen=127.0.0.1:41001 lmk=02 role=any";
        assert_eq!(ready(line), Some((2, "127.0.0.1:41001".parse().unwrap())));
        assert_eq!(ready("ready listen=? lmk=00"), None);
        assert_eq!(ready("listening"), None);
    }
}
