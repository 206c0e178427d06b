//! Failed logins, kept between processes: a service that is restarted again and again over a wrong PIN file must
//! not lock the token. Nothing of the PIN is written; what was refused is known by the file's time of change.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Least seconds between two failures, and failures after which nothing is tried until the file changes.
const PAUSE_S: u64 = 5;
const FAILURES_MAX: u32 = 2;

/// The record of one token, locked against other processes while it is held.
pub(crate) struct Ledger {
    file: File,
    failures: u32,
    last: u64,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Ledger {
    /// Opens the record of a token in a folder, for a PIN file that changed at `stamp`. `None` where no file
    /// can be had: then this process alone counts.
    pub(crate) fn open(folder: &Path, serial: &str, stamp: u128) -> Option<Self> {
        let mut file = options().open(path(folder, serial)).ok()?;
        file.lock().ok()?;
        let mut text = String::new();
        Read::by_ref(&mut file).take(256).read_to_string(&mut text).ok()?;
        let mut words = text.split_whitespace();
        let mut next = || words.next()?.parse::<u128>().ok();
        let known = next().zip(next()).zip(next());
        let (failures, last) = match known {
            // Another PIN than the one that was refused.
            Some((_, of)) if of != stamp => (0, 0),
            Some(((failures, last), _)) => {
                (u32::try_from(failures).unwrap_or(u32::MAX), u64::try_from(last).unwrap_or_default())
            }
            None => (0, 0),
        };
        Some(Self { file, failures, last })
    }

    /// Failures with this PIN file.
    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether another failure could be borne. A clock that was set counts as time that went by.
    pub(crate) fn may_try(&self) -> bool {
        let rested = now().abs_diff(self.last) >= PAUSE_S;
        self.failures == 0 || (self.failures < FAILURES_MAX && rested)
    }

    /// Writes down a failure.
    pub(crate) fn failed(mut self, stamp: u128) {
        let failures = self.failures.saturating_add(1);
        // A record that cannot be written leaves the count of this process.
        let _ = self.write(&format!("{failures} {} {stamp}\n", now()));
    }

    /// Forgets the failures.
    pub(crate) fn succeeded(mut self) {
        if self.failures > 0 {
            let _ = self.write("");
        }
    }

    fn write(&mut self, text: &str) -> std::io::Result<()> {
        self.file.rewind()?;
        self.file.set_len(0)?;
        self.file.write_all(text.as_bytes())?;
        self.file.sync_all()
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn path(folder: &Path, serial: &str) -> PathBuf {
    let name: String = serial.chars().filter(char::is_ascii_alphanumeric).collect();
    folder.join(format!("login-{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_outlive_the_process_until_the_pin_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let open = |stamp| Ledger::open(folder.path(), "ab/cd", stamp).unwrap();
        assert!(open(1).may_try());
        open(1).failed(1);
        let known = open(1);
        assert_eq!((known.failures(), known.may_try()), (1, false), "five seconds are not over");
        drop(known);
        let rested = Ledger { last: now() - 5, ..open(1) };
        assert!(rested.may_try());
        rested.failed(1);
        assert!(!Ledger { last: 0, ..open(1) }.may_try(), "no third");
        let changed = open(2);
        assert_eq!((changed.failures(), changed.may_try()), (0, true));
        drop(changed);
        open(1).succeeded();
        assert!(open(1).may_try());
    }

    #[test]
    fn without_a_folder_there_is_none_and_rubbish_is_no_record() {
        assert!(Ledger::open(Path::new("/nowhere/at/all"), "1", 1).is_none());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(path(folder.path(), "1"), "rubbish 1\n").unwrap();
        assert!(Ledger::open(folder.path(), "1", 1).unwrap().may_try());
    }
}
