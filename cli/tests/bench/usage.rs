//! How a run ends: by its conditions, by wrong words, by a unit that is not there.

use crate::{bench, json, payhsm};
use serde_json::Value;
use std::net::TcpListener;

#[test]
fn conditions_decide_how_it_ends() {
    let broken = bench(&["echo", "--json", "--assert", "rate>1", "--assert", "p50<1us"]);
    let document = json(&broken, 1);
    let holds: Vec<_> = document["assertions"].as_array().unwrap().iter().map(|a| &a["holds"]).collect();
    assert_eq!(holds, [&Value::from(true), &Value::from(false)]);
    assert!(String::from_utf8(broken.stderr).unwrap().contains("p50<1us does not hold"));
}

#[test]
fn wrong_usage_ends_with_2_and_a_missing_unit_with_3() {
    let refused: [&[&str]; 31] = [
        &[],
        &["mix", "--mix", "cc=0"],
        &["echo", "--ramp", "1k"],
        &["echo", "--ramp", "1k..2k", "--rate", "5"],
        &["echo", "--sweep", "2k..1k"],
        &["echo", "--limit", "p99<1ms"],
        &["echo", "--sweep", "1k..2k", "--limit", "knee>1"],
        &["echo", "--assert", "knee>1k"],
        &["echo", "--keys", "keys.toml"],
        &["echo", "--tls"],
        &["echo", "--target", "127.0.0.1:1", "--tls"],
        &["echo", "--target", "127.0.0.1:1", "--ca", "ca.pem"],
        &["echo", "--progress", "soon"],
        &["compare", "a.json", "b.json", "--max-worse", "much"],
        &["echo", "--mix", "cc=1"],
        &["echo", "--assert", "p99<5"],
        &["echo", "--rate", "0"],
        &["echo", "--rate", "101M"],
        &["echo", "--ramp", "1k..1000000M"],
        &["echo", "--header-len", "1", "--depth", "37"],
        &["mix", "--mix", "cc=1,cy=1,cc=2"],
        &["echo", "--duration", "0"],
        &["echo", "--timeout", "0"],
        &["echo", "--target", "127.0.0.1"],
        &["echo", "--target", "127.0.0.1:"],
        &["echo", "--target", ":1500"],
        &["echo", "--hdr", "/tmp/payhsm-same", "--html", "/tmp/payhsm-same"],
        &["echo", "--hdr", "payhsm-same", "--html", "./payhsm-same"],
        &["compare", "a.json", "b.json", "--max-worse", "-1"],
        &["echo", "--conns", "1", "--threads", "2"],
        &["nothing"],
    ];
    for words in refused {
        assert_eq!(payhsm(&[&["bench"], words].concat()).status.code(), Some(2), "{words:?}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    assert_eq!(bench(&["echo", "--target", &nobody]).status.code(), Some(3));
}
