//! The user PIN of a token: quiet, wiped, and read from a file only.

use cryptoki::types::AuthPin;
use std::io::{self, Read};
use std::path::Path;
use zeroize::{Zeroize, Zeroizing};

/// Longest PIN in bytes; more is no PIN file.
const LONGEST: u64 = 256;

/// A user PIN. Not shown, not compared, wiped when it goes.
pub struct Pin {
    text: Zeroizing<String>,
    exposed: bool,
    /// When its file changed, in nanoseconds; 0 for what was typed.
    stamp: u128,
}

impl core::fmt::Debug for Pin {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Pin")
    }
}

impl Pin {
    /// From what was typed at a prompt.
    pub fn new(text: Zeroizing<String>) -> Self {
        Self { text, exposed: false, stamp: 0 }
    }

    /// From a file (also a credential of systemd): its first line. Refuses an empty one, one that is too
    /// long for a PIN, and one that others may write.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut file = std::fs::File::open(path)?;
        let facts = file.metadata()?;
        let mode = mode_of(&facts);
        let changed = facts.modified()?.duration_since(std::time::UNIX_EPOCH);
        if mode & 0o022 != 0 {
            return Err(io::Error::other("others than its owner may write the PIN file: chmod 600"));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(512));
        file.by_ref().take(LONGEST.saturating_add(1)).read_to_end(&mut bytes)?;
        let line = bytes.split(|b| matches!(b, b'\n' | b'\r')).next().unwrap_or_default();
        if line.is_empty() || u64::try_from(line.len()).unwrap_or(u64::MAX) > LONGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file holds no PIN"));
        }
        let text = core::str::from_utf8(line)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the PIN is not UTF-8"))?;
        let stamp = changed.map_or(1, |since| since.as_nanos().max(1));
        Ok(Self { text: Zeroizing::new(text.to_owned()), exposed: mode & 0o044 != 0, stamp })
    }

    /// True when both are the same; takes a time that tells nothing but lengths.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        use subtle::ConstantTimeEq;
        bool::from(self.text.as_bytes().ct_eq(other.text.as_bytes()))
    }

    /// Length in bytes.
    pub(crate) fn length(&self) -> usize {
        self.text.len()
    }

    /// True when others than its owner may read the file it came from: worth a warning.
    pub const fn is_exposed(&self) -> bool {
        self.exposed
    }

    /// When the file it came from was changed last; `None` for what was typed.
    pub(crate) const fn stamp(&self) -> Option<u128> {
        if self.stamp == 0 { None } else { Some(self.stamp) }
    }

    // The binding's type wipes itself too.
    pub(crate) fn for_module(&self) -> AuthPin {
        let mut copy = self.text.as_str().to_owned();
        let pin = AuthPin::new(copy.as_str().into());
        copy.zeroize();
        pin
    }
}

#[cfg(unix)]
fn mode_of(facts: &std::fs::Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&facts.permissions())
}

#[cfg(not(unix))]
fn mode_of(_: &std::fs::Metadata) -> u32 {
    0o600
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    fn file(text: &[u8], mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pin");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn the_first_line_is_the_pin() {
        let (_folder, path) = file(b"4815\r\nsecond\n", 0o600);
        let pin = Pin::read(&path).unwrap();
        assert_eq!((pin.text.as_str(), pin.is_exposed()), ("4815", false));
        assert_eq!(format!("{pin:?}"), "Pin");
        let (_folder, path) = file(b"4815", 0o644);
        assert!(Pin::read(&path).unwrap().is_exposed());
    }

    #[test]
    fn refusals() {
        for (text, mode) in [(&b"4815"[..], 0o660), (b"", 0o600), (b"\n4815", 0o600), (b"\xFF", 0o600)] {
            let (_folder, path) = file(text, mode);
            let error = Pin::read(&path).unwrap_err();
            assert!(!error.to_string().contains("4815"));
        }
        let (_folder, path) = file(&[b'1'; 300], 0o600);
        assert!(Pin::read(&path).is_err());
        assert!(Pin::read(Path::new("/nowhere/at/all")).is_err());
    }
}
