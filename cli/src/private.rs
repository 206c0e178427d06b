//! What only its owner may see: lines that are not echoed, files and folders of mode 0600 and 0700.

use crate::exit::Failure;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;
use zeroize::Zeroizing;

/// A line that is not echoed on a terminal; from a pipe it is read as it comes.
pub fn secret_line(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    if io::stdin().is_terminal() {
        return rpassword::prompt_password(prompt)
            .map(Zeroizing::new)
            .map_err(|error| Failure::environment(format!("terminal: {error}")));
    }
    piped_line()
}

/// A line that may be seen: the prompt goes to standard error, and only on a terminal.
pub fn open_line(prompt: &str) -> Result<String, Failure> {
    if io::stdin().is_terminal() {
        // A prompt that nobody can see is no reason to stop.
        let _ = write!(io::stderr(), "{prompt}");
    }
    piped_line().map(|line| line.trim().to_owned())
}

fn piped_line() -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(String::with_capacity(256));
    io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| Failure::environment(format!("standard input: {error}")))?;
    if line.is_empty() { Err(Failure::usage("standard input ended early")) } else { Ok(line) }
}

/// Writes a file for the owner only, whole or not at all.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".payhsm-").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()
}

/// Makes a folder for the owner only, unless it is there.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// The text of a file of the data folder; `None` when there is none. What others than its owner may write is
/// not believed.
pub fn read_private(path: &Path) -> io::Result<Option<String>> {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(facts) if facts.permissions().mode() & 0o022 != 0 => {
            Err(io::Error::other("others than its owner may write it: chmod 600"))
        }
        Ok(_) => std::fs::read_to_string(path).map(Some),
    }
}
