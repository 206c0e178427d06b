//! What others could do for one CC: two blocks under two double-length keys whose schedules are ready.

use cipher::{Block, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use des::TdesEde2;
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

// Processor time of this thread: what others take of it is not of the code.
fn spent() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let part = |n: i64| u64::try_from(n).unwrap_or_default();
    Duration::from_secs(part(now.tv_sec)) + Duration::from_nanos(part(now.tv_nsec))
}

/// Nanoseconds of processor time of the `des` crate.
pub fn des_crate_ns(duration: Duration) -> f64 {
    let keys: Vec<TdesEde2> =
        (0..64u8).map(|n| TdesEde2::new(&[n.wrapping_mul(37) | 1; 16].into())).collect();
    let mut block = Block::<TdesEde2>::default();
    let start = spent();
    let mut done = 0u64;
    while spent() - start < duration {
        for pair in keys.chunks_exact(2) {
            pair[0].decrypt_block(&mut block);
            pair[1].encrypt_block(black_box(&mut block));
            done += 1;
        }
    }
    (spent() - start).as_secs_f64() * 1e9 / done as f64
}

/// OpenSSL's low-level functions, in a program of its own.
pub struct OpenSsl {
    program: PathBuf,
    // Holds the program.
    _folder: tempfile::TempDir,
}

impl OpenSsl {
    /// Compiles it; what is missing otherwise.
    pub fn compile() -> Result<Self, String> {
        let missing = |what: &dyn std::fmt::Display| {
            format!("needs a C compiler and libssl-dev (Debian packages gcc, libssl-dev): {what}")
        };
        let folder = tempfile::tempdir().map_err(|error| missing(&error))?;
        let program = folder.path().join("limit");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/openssl/limit.c");
        let compiled =
            Command::new("cc").args(["-O2", "-o"]).arg(&program).args([source, "-lcrypto"]).output();
        let compiled = compiled.map_err(|error| missing(&error))?;
        if compiled.status.success() {
            Ok(Self { program, _folder: folder })
        } else {
            let errors = String::from_utf8_lossy(&compiled.stderr);
            Err(missing(&errors.lines().next().unwrap_or_default()))
        }
    }

    /// Nanoseconds of its processor time.
    pub fn ns(&self, duration: Duration) -> std::io::Result<f64> {
        let ran = Command::new(&self.program).arg(duration.as_secs_f64().to_string()).output()?;
        let ns = String::from_utf8_lossy(&ran.stdout).trim().parse();
        ns.map_err(|_| std::io::Error::other("OpenSSL's limit was not measured"))
    }
}
