//! Arrows between crates point one way (docs/ARCHITECTURE.md section 1), and crates of the data plane carry
//! the strict lints. What Cargo knows is compared with the list here.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crates and what they may depend on. `paytypes` holds words only, and every crate may use them.
const ARROWS: &[(&str, &[&str])] = &[
    ("paytypes", &[]),
    ("tdes-lanes", &[]),
    ("pinblock", &[]),
    ("tr31", &[]),
    ("cardcrypto", &[]),
    ("hsm", &[]),
    ("hsm-sim", &["hsm", "tdes-lanes", "tr31"]),
    ("hsm-pkcs11", &["hsm", "tr31"]),
    ("hostcmd", &["hsm", "tr31", "pinblock", "cardcrypto"]),
    ("keylink", &["tr31"]),
    ("hostclient", &["hostcmd"]),
    ("gateway-config", &["hostcmd", "hsm"]),
    ("gateway", &["gateway-config", "hostcmd", "keylink", "hsm"]),
    ("keymgr-core", &["keylink"]),
    ("keymgr", &["keymgr-core", "keylink", "hostcmd", "hostclient", "tr31", "hsm"]),
    (
        "cli",
        &[
            "gateway",
            "keymgr",
            "hostclient",
            "hsm-sim",
            "hsm-pkcs11",
            "hostcmd",
            "hsm",
            "pinblock",
            "tr31",
            "cardcrypto",
            "tdes-lanes",
            "keylink",
        ],
    ),
];

/// What tests inside a crate may use besides: the bundled backend, and their own crate with its failpoints.
const TEST_ARROWS: &[(&str, &[&str])] =
    &[("hostcmd", &["hsm-sim"]), ("gateway", &["hsm-sim"]), ("keymgr", &["hsm-sim", "keymgr"])];

/// Unpublished members: they may depend on anything, and nothing depends on them.
const FREE: &[&str] = &["tests", "benches", "p11-shim"];

const DATA_PLANE: &[&str] = &[
    "paytypes",
    "pinblock",
    "tr31",
    "cardcrypto",
    "tdes-lanes",
    "hsm",
    "hsm-sim",
    "hsm-pkcs11",
    "hostcmd",
    "gateway-config",
    "gateway",
];

const STRICT: &[&str] = &[
    "clippy::unwrap_used",
    "clippy::expect_used",
    "clippy::panic",
    "clippy::indexing_slicing",
    "clippy::arithmetic_side_effects",
];

struct Member {
    root: PathBuf,
    needs: BTreeSet<String>,
    /// Every crate that it names, also from outside.
    uses: BTreeSet<String>,
    tests_need: BTreeSet<String>,
}

fn members() -> BTreeMap<String, Member> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let names: BTreeSet<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    packages
        .iter()
        .map(|package| {
            let needs = |dev: bool| {
                let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
                dependencies
                    .filter(|d| (d["kind"] == "dev") == dev)
                    .filter_map(|d| d["name"].as_str())
                    .map(str::to_owned)
                    .collect::<BTreeSet<_>>()
            };
            let ours =
                |all: &BTreeSet<String>| all.iter().filter(|n| names.contains(n.as_str())).cloned().collect();
            let manifest = Path::new(package["manifest_path"].as_str().expect("path"));
            let root = manifest.parent().expect("folder").join("src/lib.rs");
            let name = package["name"].as_str().expect("name").to_owned();
            let uses = needs(false);
            (name, Member { root, needs: ours(&uses), tests_need: ours(&needs(true)), uses })
        })
        .collect()
}

fn listed<'l>(list: &'l [(&str, &'l [&'l str])], name: &str) -> Option<&'l [&'l str]> {
    list.iter().find(|(from, _)| *from == name).map(|(_, to)| *to)
}

#[test]
fn arrows_are_those_of_the_architecture() {
    let mut wrong = Vec::new();
    for (name, member) in members() {
        let forbidden = |to: &&String| FREE.contains(&to.as_str());
        wrong.extend(member.needs.iter().filter(forbidden).map(|to| format!("{name} -> {to}")));
        if FREE.contains(&name.as_str()) {
            continue;
        }
        let Some(allowed) = listed(ARROWS, &name) else {
            wrong.push(format!("{name} is not in the list"));
            continue;
        };
        let in_tests = listed(TEST_ARROWS, &name).unwrap_or_default();
        let may = |to: &str| to == "paytypes" || allowed.contains(&to);
        wrong.extend(member.needs.iter().filter(|to| !may(to)).map(|to| format!("{name} -> {to}")));
        let test_may = |to: &str| may(to) || in_tests.contains(&to);
        let extra = member.tests_need.iter().filter(|to| !test_may(to));
        wrong.extend(extra.map(|to| format!("{name} -> {to} (in its tests)")));
    }
    assert!(wrong.is_empty(), "arrows that the architecture does not have: {wrong:#?}");
}

#[test]
fn paytypes_knows_nobody_and_gateway_and_keymgr_never_meet() {
    let members = members();
    assert!(members["paytypes"].needs.is_empty());
    let needs = |from: &str, to: &str| members.get(from).is_some_and(|m| m.needs.contains(to));
    assert!(!needs("gateway", "keymgr") && !needs("keymgr", "gateway"));
    assert!(!needs("gateway", "hsm-sim"), "the gateway knows no backend");
}

#[test]
fn the_core_of_the_centre_has_nothing_to_read_the_world_with() {
    let pure = [
        "keylink",
        "hex",
        "memchr",
        "schemars",
        "serde",
        "serde_json",
        "sha2",
        "smallvec",
        "thiserror",
        "time",
    ];
    let strange: Vec<_> =
        members()["keymgr-core"].uses.iter().filter(|name| !pure.contains(&name.as_str())).cloned().collect();
    assert!(strange.is_empty(), "is {strange:?} without I/O, clock and randomness?");
}

#[test]
fn the_independent_side_uses_none_of_our_crates() {
    assert!(members()["tests"].needs.is_empty());
}

#[test]
fn data_plane_crates_carry_the_strict_lints() {
    let members = members();
    let mut missing = Vec::new();
    for name in DATA_PLANE.iter().filter(|name| members.contains_key(**name)) {
        let text = std::fs::read_to_string(&members[*name].root).expect("crate root");
        let denied: String =
            text.split("#![deny(").skip(1).filter_map(|rest| rest.split(")]").next()).collect();
        missing.extend(
            STRICT.iter().filter(|lint| !denied.contains(**lint)).map(|lint| format!("{name}: {lint}")),
        );
    }
    assert!(missing.is_empty(), "crate roots without strict lints: {missing:#?}");
}
