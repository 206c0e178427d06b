//! `payhsm bench` as a process: presets against a gateway of its own, conditions, open loop, wrong replies.
#![allow(clippy::unwrap_used)]

mod compare;
mod keys;
mod load;
mod presets;
mod shown;
mod targets;
mod units;
mod usage;
mod wrong;

use serde_json::Value;
use std::process::{Command, Output, Stdio};

const SHORT: [&str; 4] = ["--duration", "0.1", "--warmup", "0.05"];

fn payhsm(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_payhsm")).args(words).stdin(Stdio::null()).output().unwrap()
}

// One run of a tenth of a second.
fn bench(words: &[&str]) -> Output {
    payhsm(&[&["bench"], words, &SHORT].concat())
}

#[track_caller]
fn json(output: &Output, code: i32) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}
