//! The suite as a process, as short as it goes: rows are measured, and say what they must reach.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use std::process::{Command, Output};

fn benches(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_benches")).args(words).output().unwrap()
}

#[test]
fn rows_are_measured_and_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("record.json");
    let short = ["--pairs", "1", "--seconds", "0.05", "--record", file.to_str().unwrap(), "--json"];
    let rows = ["--rows", "cc-1x1,cc-aes-8x64,openssl,g0,second-core,open-half,peer-slow,rotation"];
    let output = benches(&[&["ratios"], &rows[..], &short].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let recorded: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(document, recorded);
    assert!(document["host"]["commit"].is_string() && document["host"]["cores"].as_u64() > Some(0));
    let rows = document["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 9);
    // None where the machine has one processor.
    let through = rows[8]["sides"][1]["name"].as_str().unwrap_or("through some");
    assert!(
        through.starts_with("through ") && !through.contains(" 0 "),
        "keys were rotated meanwhile: {through}"
    );
    for row in rows.iter().filter(|row| row["skipped"].is_null()) {
        assert!(row["figure"]["median"].as_f64() > Some(0.0), "{row}");
        assert_eq!(row["must"].is_null(), row["must_reached"].is_null(), "{row}");
        assert_eq!(row["sides"].as_array().unwrap().len(), 2, "{row}");
    }
}

#[test]
fn the_table_names_goals_and_method() {
    let output = benches(&["ratios", "--rows", "cc-1x1", "--pairs", "1", "--seconds", "0.05"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["cc-1x1", "≥ 0.85", "≥ 0.95", "Method: 1 interleaved pairs", "musts missed:", "commit"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(benches(&["ratios", "--rows", "nothing"]).status.code(), Some(3));
    let names = String::from_utf8(benches(&["ratios", "--list"]).stdout).unwrap();
    assert!(names.lines().count() > 20 && names.contains("memory-keys"));
}
