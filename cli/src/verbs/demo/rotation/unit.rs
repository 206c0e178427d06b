//! A node that is a process of its own: `payhsm serve` of the same executable, enrolled by a token, with a host port
//! and a data folder. One of them is told to stop for ever right after it has stored a proof (`PAYHSM_TEST_HOLD`),
//! and is killed there.

use crate::exit::Failure;
use gateway::node::{Store, store_file};
use keylink::message::EnrolmentToken;
use keylink::node::NodeState;
use keylink::{Digest, NodeId};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The process of a node.
#[derive(Debug)]
pub struct Unit {
    data: PathBuf,
    child: Child,
    /// Where hosts reach it.
    pub address: SocketAddr,
    /// Its id and the hash of its certificate request, as it has printed them when it asked to be known.
    pub fingerprints: (NodeId, Digest),
}

fn held_file(data: &Path) -> PathBuf {
    data.join("node.held")
}

impl Unit {
    /// Starts one that asks with a token. On the main thread: the child ends with the thread that began it. With
    /// `holds` it will stop after a proof, once that is [armed](Self::arm).
    pub fn start(folder: &Path, name: &str, token: &EnrolmentToken, holds: bool) -> Result<Self, Failure> {
        let data = folder.join(name);
        std::fs::create_dir(&data).map_err(Failure::environment)?;
        // The port stays the same through restarts.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.map_err(Failure::environment)?;
        let config = format!("[[listener]]\nlisten = \"{address}/00\"\ngeneration_trailer = true\n");
        let put =
            |file: &str, text: &str| std::fs::write(data.join(file), text).map_err(Failure::environment);
        put("payhsm.toml", &config)?;
        put("token", &token.to_line())?;
        // As if it had stopped before: it does so once.
        put("node.held", "")?;
        let (child, line) = run(&data, name, holds)?;
        let word = |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name));
        let id = word("id=").and_then(|id| id.parse().ok());
        let request = word("request=").and_then(|request| request.parse().ok());
        let fingerprints =
            id.zip(request).ok_or_else(|| Failure::environment(format!("{name} does not say who it is")))?;
        Ok(Self { data, child, address, fingerprints })
    }

    /// From now on it stops after it has stored a proof.
    pub fn arm(&self) -> Result<(), Failure> {
        std::fs::remove_file(held_file(&self.data)).map_err(Failure::environment)
    }

    /// Number of the receipt that it has stored and not sent, when it has stopped there.
    pub fn held(&self) -> Option<u64> {
        std::fs::read_to_string(held_file(&self.data)).ok()?.parse().ok()
    }

    /// Number of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL; returns when it is gone.
    pub fn kill(&mut self) -> Result<(), Failure> {
        self.child.kill().map_err(Failure::environment)?;
        self.child.wait().map(drop).map_err(Failure::environment)
    }

    /// Another process over the same folder; returns when it takes connections.
    pub fn again(&mut self, name: &str) -> Result<(), Failure> {
        self.child = run(&self.data, name, false)?.0;
        Ok(())
    }

    /// SIGTERM; returns what it has stored last.
    pub fn end(&mut self) -> Result<NodeState, Failure> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).map_err(Failure::environment)?;
        self.child.wait().map_err(Failure::environment)?;
        let store = Store::open(&store_file(&self.data)).map_err(Failure::environment)?;
        let stored = store.load(self.fingerprints.0).map_err(Failure::environment)?;
        let stored = stored.ok_or_else(|| Failure::environment("a node has stored nothing"))?;
        keylink::wire::read(&stored).map_err(Failure::environment)
    }
}

/// This executable, with nothing of the caller's settings.
pub fn own_program() -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe().map_err(Failure::environment)?);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PAYHSM_")) {
        command.env_remove(name);
    }
    Ok(command)
}

// Returns with its last line of greeting: who it is, while it asks; else where it listens.
fn run(data: &Path, name: &str, holds: bool) -> Result<(Child, String), Failure> {
    let log =
        File::options().create(true).append(true).open(data.join("log")).map_err(Failure::environment)?;
    let mut command = own_program()?;
    command
        .args(["serve", "--insecure-test-lmk", "--end-with-parent", "--cores", "1", "--node-name", name])
        .arg("--config")
        .arg(data.join("payhsm.toml"))
        .arg("--data")
        .arg(data)
        .arg("--enrol")
        .arg(data.join("token"))
        .env("PAYHSM_LOG", "warn");
    if holds {
        command.env("PAYHSM_TEST_HOLD", "proven");
    }
    let asks = !gateway::node::identity_file(data).exists();
    let child = command.current_dir(data).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn();
    let mut child = child.map_err(Failure::environment)?;
    let out = child.stdout.take().ok_or_else(|| Failure::environment("a node has no output"))?;
    for line in BufReader::new(out).lines() {
        let line = line.map_err(Failure::environment)?;
        if line.starts_with(if asks { "node " } else { "ready " }) {
            return Ok((child, line));
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    let log = std::fs::read_to_string(data.join("log")).unwrap_or_default();
    let last: Vec<&str> = log.lines().rev().take(5).map(str::trim).collect();
    let last = last.into_iter().rev().collect::<Vec<_>>().join("; ");
    Err(Failure::environment(format!("{name} does not start: {last}")))
}

impl Drop for Unit {
    fn drop(&mut self) {
        // Only a run that failed leaves it running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
