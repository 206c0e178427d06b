//! One run held against another.

use crate::units::liar;
use crate::{bench, json, payhsm};
use serde_json::Value;
use std::time::Duration;

#[test]
fn compare_prints_ratios_and_what_makes_them_doubtful() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (a, b, log) = (file("a.json"), file("b.json"), file("run.hlog"));
    std::fs::write(&a, bench(&["echo", "--json", "--hdr", &log]).stdout).unwrap();
    std::fs::write(&b, bench(&["echo", "--json", "--depth", "2"]).stdout).unwrap();
    assert!(std::fs::read_to_string(&log).unwrap().contains("Tag=latency,"));
    let document = json(&payhsm(&["bench", "compare", &a, &b, "--json"]), 0);
    assert_eq!(document["figures"][0]["figure"], "rate /s");
    assert!(document["figures"][0]["ratio"].as_f64() > Some(0.0), "{document}");
    assert_eq!(document["doubts"][0], "other connections or depth");
    let text = String::from_utf8(payhsm(&["bench", "compare", &a, &a]).stdout).unwrap();
    assert!(
        text.contains("b/a") && text.contains("1.000") && !text.contains("connections or depth"),
        "{text}"
    );
    assert_eq!(payhsm(&["bench", "compare", &a, &file("none")]).status.code(), Some(3));
    assert_eq!(payhsm(&["bench", "compare", &a, &log]).status.code(), Some(2));
}

#[test]
fn a_run_that_is_worse_than_another_can_end_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (a, b) = (file("a.json"), file("b.json"));
    let run = |breaks: &str| {
        let address = liar(Duration::from_millis(breaks.parse().unwrap()));
        let words = ["bench", "echo", "--target", &address, "--conns", "1", "--depth", "1", "--json"];
        let rest = ["--duration", "1", "--warmup", "0.1", "--verify-every", "0"];
        payhsm(&[&words[..], &rest].concat()).stdout
    };
    std::fs::write(&a, run("0")).unwrap();
    std::fs::write(&b, run("300")).unwrap();
    let compare = |a: &str, b: &str| payhsm(&["bench", "compare", a, b, "--max-worse", "10"]);
    let worse = compare(&a, &b);
    assert_eq!(worse.status.code(), Some(1));
    assert!(String::from_utf8(worse.stderr).unwrap().contains("rate /s is worse"));
    assert_eq!(compare(&a, &a).status.code(), Some(0));
}

#[test]
fn a_dead_or_wrong_run_is_worse_whatever_its_noise() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (a, b) = (file("a.json"), file("b.json"));
    let good = json(&bench(&["echo", "--json"]), 0);
    std::fs::write(&a, good.to_string()).unwrap();
    let compare = |change: &dyn Fn(&mut Value)| {
        let mut other = good.clone();
        change(&mut other);
        std::fs::write(&b, other.to_string()).unwrap();
        let output = payhsm(&["bench", "compare", &a, &b, "--max-worse", "5"]);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let result = |name: &'static str, value: Value| move |d: &mut Value| d["result"][name] = value.clone();
    assert_eq!(compare(&|_| ()), (Some(0), String::new()));
    for (name, value, says) in [
        ("replies", Value::from(0), "no reply"),
        ("elapsed_s", 0.01.into(), "did not last its time"),
        ("wrong", 1.into(), "more wrong: 1"),
        ("lost", 1.into(), "more lost: 1"),
        ("errors", 7.into(), "more errors: 7"),
        ("dropped", 700.into(), "more dropped: 700"),
        ("rate", 1.0.into(), "rate /s is worse"),
    ] {
        let (code, told) = compare(&result(name, value));
        assert!(code == Some(1) && told.contains(says), "{name}: {code:?} {told}");
    }
    for (name, value, says) in [
        ("preset", Value::from("mix"), "preset"),
        ("mix", serde_json::json!({ "CC": 1 }), "mix"),
        ("depth", 3.into(), "connections or depth"),
        ("rate", 1000.0.into(), "wanted rate"),
        ("tls", true.into(), "TLS"),
    ] {
        let (code, told) = compare(&|d: &mut Value| d["run"][name] = value.clone());
        assert!(code == Some(2) && told.contains(says), "{name}: {code:?} {told}");
    }
}
