//! What tests of logins and restarts look at: who started, logged in and ended.

use cryptoki_sys::CK_RV;
use std::io::Write;
use std::path::PathBuf;
use std::sync::OnceLock;

const TRACED: [&str; 3] = ["C_Initialize", "C_Login", "C_Finalize"];

static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();

pub(crate) fn call(function: &str, answer: CK_RV) {
    let Some(path) = FILE.get_or_init(|| std::env::var_os("P11_SHIM_TRACE").map(PathBuf::from)) else {
        return;
    };
    if !TRACED.contains(&function) {
        return;
    }
    let line = format!("{} {function} 0x{answer:X}\n", std::process::id());
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
    // A trace that cannot be written fails the test that reads it.
    let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
}
