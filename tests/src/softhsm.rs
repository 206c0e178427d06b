//! A SoftHSM token of a test's own, and the choice of the backend that a test runs against.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// User PIN of the tokens that tests make.
pub const PIN: &str = "48151623";
const LABEL: &str = "payhsm-test";
const MODULES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];

/// Backends that a test can run against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The simulator with all three test LMKs.
    Simulator,
    /// A SoftHSM token with the key-block test LMKs 01 and 02; a variant set has no place on a token.
    SoftHsm,
}

impl Backend {
    /// The LMKs that it serves.
    pub const fn lmks(self) -> &'static [u8] {
        match self {
            Self::Simulator => &[0, 1, 2],
            Self::SoftHsm => &[1, 2],
        }
    }
}

/// A token in a folder that goes with it.
#[derive(Debug)]
pub struct TempToken {
    folder: TempDir,
    module: &'static str,
}

impl TempToken {
    /// Makes one. `None`, and a line that says so, where SoftHSM is not installed; under `CI=true` that is a
    /// failure.
    #[allow(clippy::print_stdout)] // whoever reads the log must see what was not tested
    pub fn new() -> Option<Self> {
        let module = MODULES.into_iter().find(|path| Path::new(path).exists());
        let Some(module) = module.filter(|_| has_tool()) else {
            println!("SKIP what needs a PKCS#11 token (apt package softhsm2)");
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "softhsm2 must be installed for CI");
            return None;
        };
        let token = Self { folder: TempDir::new().expect("folder"), module };
        token.initialise();
        Some(token)
    }

    fn initialise(&self) {
        let folder = self.folder.path();
        std::fs::create_dir(folder.join("tokens")).expect("folder");
        let text = format!(
            "directories.tokendir = {}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n",
            folder.display()
        );
        std::fs::write(self.configuration(), text).expect("written");
        std::fs::write(self.pin_file(), PIN).expect("written");
        let output = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", LABEL, "--so-pin", "31415926", "--pin", PIN])
            .env("SOFTHSM2_CONF", self.configuration())
            .output()
            .expect("softhsm2-util runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Its folder, which is gone with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// For the variable `SOFTHSM2_CONF`.
    pub fn configuration(&self) -> PathBuf {
        self.folder.path().join("softhsm2.conf")
    }

    /// Path of its module.
    pub const fn module(&self) -> &'static str {
        self.module
    }

    /// Its URI.
    pub fn uri(&self) -> String {
        format!("pkcs11:token={LABEL}?module-path={}", self.module)
    }

    /// A file with its PIN.
    pub fn pin_file(&self) -> String {
        self.folder.path().join("pin").display().to_string()
    }

    /// Runs one test of the running test program again, in a process whose module sees this token: a module
    /// reads its environment once. The inner test is `#[ignore]`d and found by its exact name.
    pub fn run_inside(&self, test: &str) {
        let output = Command::new(std::env::current_exe().expect("own path"))
            .args([test, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .env("SOFTHSM2_CONF", self.configuration())
            .env("PAYHSM_TEST_TOKEN", self.uri())
            .stdin(Stdio::null())
            .output()
            .expect("the test program runs");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && out.contains("1 passed"), "{test}:\n{out}{err}");
    }
}

fn has_tool() -> bool {
    let asked = Command::new("softhsm2-util").arg("--version").stdout(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// True in a process that [`TempToken::run_inside`] started.
pub fn has_inner_token() -> bool {
    std::env::var_os("PAYHSM_TEST_TOKEN").is_some()
}

/// URI of the token that [`TempToken::run_inside`] gave this process.
pub fn inner_uri() -> String {
    std::env::var("PAYHSM_TEST_TOKEN").expect("started by run_inside")
}
