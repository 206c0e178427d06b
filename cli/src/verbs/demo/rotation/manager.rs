//! The manager as a process of its own: `payhsm kmc serve` of the same executable, killed by its number.

use super::unit::own_program;
use crate::exit::Failure;
use keymgr::client::ManagerAddress;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};

/// Passphrase of the folders of a run: everything in them is gone after it.
pub const PASSPHRASE: &str = "for one demonstration";

/// A running manager. Killed when dropped.
pub struct Manager {
    folder: PathBuf,
    child: Child,
    _out: BufReader<ChildStdout>,
    /// Where it is.
    pub address: ManagerAddress,
}

impl Manager {
    /// Starts one over `folder/kmc`. To be called on the main thread: the child ends with the thread that began it.
    pub fn start(folder: &Path) -> Result<Self, Failure> {
        let pass = folder.join("passphrase");
        std::fs::write(&pass, PASSPHRASE).map_err(Failure::environment)?;
        let log = File::options().create(true).append(true).open(folder.join("manager.log"));
        let mut child = own_program()?
            .args(["kmc", "serve", "--insecure-test-lmk", "--end-with-parent", "--kmc"])
            .arg(folder.join("kmc"))
            .arg("--kmc-passphrase-file")
            .arg(&pass)
            .env("PAYHSM_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.map_err(Failure::environment)?)
            .spawn()
            .map_err(Failure::environment)?;
        let out = child.stdout.take().ok_or_else(|| Failure::environment("the manager has no output"))?;
        let mut out = BufReader::new(out);
        let address = loop {
            let mut line = String::new();
            let read = out.read_line(&mut line).map_err(Failure::environment)?;
            if read == 0 {
                let _ = child.kill();
                let _ = child.wait();
                let log = std::fs::read_to_string(folder.join("manager.log")).unwrap_or_default();
                let last = log.lines().last().unwrap_or("it says nothing").to_owned();
                return Err(Failure::environment(format!("the manager does not start: {last}")));
            }
            if let Some(text) = line.strip_prefix("manager ") {
                break text.trim().parse().map_err(Failure::environment)?;
            }
        };
        Ok(Self { folder: folder.to_owned(), child, _out: out, address })
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// After a SIGKILL by its number; returns when it is gone.
    pub fn reap(&mut self) -> Result<(), Failure> {
        self.child.wait().map(drop).map_err(Failure::environment)
    }

    /// Another process over the same folder.
    pub fn again(&mut self) -> Result<(), Failure> {
        *self = Self::start(&self.folder)?;
        Ok(())
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
