//! `payhsm audit` as an auditor runs it.

use ed25519_dalek::SigningKey;
use keymgr::log::{CheckpointKey, Entry, Ledger};
use keymgr::store::{Change, Location, Store, Table};
use std::fs;
use std::process::{Command, Output};
use tempfile::TempDir;

fn make(folder: &TempDir, zones: u8) {
    let key = CheckpointKey::new("kmc.test/log", SigningKey::from_bytes(&[5; 32])).unwrap();
    let location = Location::Sqlite(folder.path().join("kmc.db"));
    let mut ledger = Ledger::lead(Store::lead(&location).unwrap(), key, "manager", 1).unwrap();
    let entry = Entry { actor: "anna".into(), action: "zone.make".into(), ..Entry::default() };
    let batch = (0..zones)
        .map(|n| (entry.clone(), vec![Change::raw(Table::Zones, vec![b'a' + n], &[], b"{}".to_vec())]));
    ledger.commit(batch.collect(), 2, false).unwrap();
    ledger.checkpoint().unwrap();
}

fn audit(folder: &TempDir, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_payhsm"));
    command.arg("audit").args(words).current_dir(folder.path()).output().unwrap()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn an_auditor_exports_keeps_a_head_and_verifies() {
    let folder = TempDir::new().unwrap();
    make(&folder, 3);
    let head = audit(&folder, &["head", "--store", "kmc.db"]);
    assert_eq!(code(&head), Some(0));
    fs::write(folder.path().join("head"), &head.stdout).unwrap();
    make(&folder, 2);
    assert_eq!(code(&audit(&folder, &["export", "out", "--store", "kmc.db"])), Some(0));
    assert_eq!(
        code(&audit(&folder, &["export", "out", "--store", "kmc.db"])),
        Some(3),
        "a file is not overwritten"
    );

    let plain = audit(&folder, &["verify", "out"]);
    assert_eq!(code(&plain), Some(0));
    assert!(text(&plain).contains("anchored     false"), "{}", text(&plain));
    assert_eq!(code(&audit(&folder, &["verify", "out", "--require-head"])), Some(1));
    let anchored =
        audit(&folder, &["verify", "out", "--head", "head", "--require-head", "--signatures", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&anchored.stdout).unwrap();
    assert_eq!(
        (code(&anchored), &report["anchored"], &report["holds"]),
        (Some(0), &true.into(), &true.into())
    );
    assert_eq!(
        code(&audit(&folder, &["verify", "--store", "kmc.db", "--head", "out", "--require-head"])),
        Some(0)
    );
    let shown = audit(&folder, &["show", "out", "--from", "1"]);
    let first: serde_json::Value = serde_json::from_str(text(&shown).lines().next().unwrap()).unwrap();
    assert_eq!((&first["seq"], &first["actor"]), (&1.into(), &"anna".into()));
}

#[test]
fn what_does_not_hold_is_named_with_exit_code_1() {
    let folder = TempDir::new().unwrap();
    make(&folder, 3);
    audit(&folder, &["export", "out", "--store", "kmc.db"]);
    let export = fs::read_to_string(folder.path().join("out")).unwrap();
    fs::write(folder.path().join("edited"), export.replacen("row zones 62 ", "row zones 63 ", 1)).unwrap();
    let edited = audit(&folder, &["verify", "edited"]);
    assert_eq!(code(&edited), Some(1));
    assert!(text(&edited).contains("zones/b"), "{}", text(&edited));
    let cut: Vec<&str> = export.lines().filter(|line| !line.starts_with("v1 3 ")).collect();
    fs::write(folder.path().join("cut"), cut.join("\n")).unwrap();
    let cut = audit(&folder, &["verify", "cut", "--head", "out", "--json"]);
    assert!(code(&cut) == Some(1) && text(&cut).contains("rolled_back"), "{}", text(&cut));
    fs::write(folder.path().join("none"), "nothing").unwrap();
    assert_eq!(code(&audit(&folder, &["verify", "none"])), Some(1));
}

#[test]
fn usage_and_environment_have_their_codes() {
    let folder = TempDir::new().unwrap();
    // The default store is not there.
    assert_eq!(code(&audit(&folder, &["verify"])), Some(3));
    assert_eq!(code(&audit(&folder, &["verify", "out", "--store", "kmc.db"])), Some(2));
    assert_eq!(code(&audit(&folder, &["verify", "out", "--key", "nonsense"])), Some(2));
    assert_eq!(code(&audit(&folder, &["verify", "absent"])), Some(3));
    assert_eq!(code(&audit(&folder, &["verify", "--store", "absent.db"])), Some(3));
    assert_eq!(code(&audit(&folder, &["head", "--store", "absent.db"])), Some(3));
    assert_eq!(code(&audit(&folder, &["export", "out", "--store", "mysql://h/d"])), Some(2));
    fs::write(folder.path().join("head"), "no head").unwrap();
    fs::write(folder.path().join("out"), "").unwrap();
    assert_eq!(code(&audit(&folder, &["verify", "out", "--head", "head"])), Some(3));
}
