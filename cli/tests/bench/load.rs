//! How much is asked when: open loop, stalls, ramps, sweeps.

use crate::units::liar;
use crate::{json, payhsm};
use serde_json::Value;
use std::time::Duration;

#[test]
fn an_open_loop_counts_what_was_due() {
    let words = ["echo", "--conns", "600", "--rate", "2k", "--duration", "0.5", "--warmup", "0.1", "--json"];
    let document = json(&payhsm(&[&["bench"], &words[..]].concat()), 0);
    let count = |name: &str| document["result"][name].as_u64().unwrap();
    let due = count("sent") + count("dropped");
    assert!((999..=1001).contains(&due), "{document}");
    assert_eq!((count("replies"), count("lost")), (count("sent"), 0));
    assert_eq!(document["run"]["rate"], 2000.0);
}

// Request 20 of 100 waits for 200 ms, and 40 that were due meanwhile with it: a tester that only times what it
// sends would see one slow reply of 61.
#[test]
fn a_stall_shows_in_the_latency_of_all_that_it_delayed() {
    let address = liar(Duration::from_millis(200));
    let words = ["echo", "--target", &address, "--conns", "1", "--depth", "1", "--rate", "200", "--json"];
    let rest = ["--duration", "0.5", "--warmup", "0", "--verify-every", "0"];
    let document = json(&payhsm(&[&["bench"], &words[..], &rest].concat()), 0);
    let p90 = |times: &str| document["result"][times]["p90"].as_u64().unwrap();
    assert!(p90("latency_us") > 100_000 && p90("service_us") < 50_000, "{document}");
    assert!(document["result"]["late"].as_u64() >= Some(35), "{document}");
}

#[test]
fn a_ramp_goes_from_rate_to_rate() {
    let words = ["echo", "--ramp", "500..1500", "--duration", "1", "--warmup", "0.1", "--json"];
    let document = json(&payhsm(&[&["bench"], &words[..]].concat()), 0);
    let count = |name: &str| document["result"][name].as_u64().unwrap();
    assert!((990..=1010).contains(&(count("sent") + count("dropped"))), "{document}");
    assert_eq!((&document["run"]["rate"], &document["run"]["ramp_to"]), (&500.0.into(), &1500.0.into()));
    let replies: Vec<u64> =
        document["timeline"].as_array().unwrap().iter().map(|i| i["replies"].as_u64().unwrap()).collect();
    let (first, second) = replies.split_at(replies.len() / 2);
    assert!(first.iter().sum::<u64>() < second.iter().sum(), "{replies:?}");
}

#[test]
fn a_unit_that_refuses_has_no_knee() {
    let address = liar(Duration::ZERO);
    let common = ["--target", &address, "--conns", "1", "--depth", "8", "--warmup", "0.05", "--json"];
    let sweep =
        ["echo", "--sweep", "200..1M", "--limit", "p50<20ms", "--duration", "0.3", "--verify-every", "0"];
    let output = payhsm(&[&["bench"], &sweep[..], &common].concat());
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let steps = document["sweep"]["steps"].as_array().unwrap();
    // Data that ends in 5 is refused by this unit: every step breaks, and the lowest rate says so.
    assert_eq!((output.status.code(), steps.len()), (Some(1), 1), "{document}");
    assert!(steps[0]["broken"].as_str().unwrap().contains("refused"), "{document}");
    assert!(document["sweep"]["knee"].is_null());
}

#[test]
fn a_sweep_of_a_gateway_ends_between_two_rates_or_at_the_highest() {
    let short = ["--duration", "0.2", "--warmup", "0.05", "--json", "--assert", "knee>=1k"];
    let document = json(
        &payhsm(&[&["bench", "echo", "--sweep", "1k..2k", "--limit", "p50<1s"], &short[..]].concat()),
        0,
    );
    let (sweep, knee) = (&document["sweep"], document["result"]["knee"].as_f64().unwrap());
    assert!((1_000.0..=2_000.0).contains(&knee), "{document}");
    assert_eq!((&sweep["limit"], sweep["knee"].as_f64()), (&"p50<1s".into(), Some(knee)));
    let text = payhsm(&["bench", "echo", "--sweep", "1k..1k", "--limit", "1us", "--duration", "0.1"]);
    assert_eq!(text.status.code(), Some(1));
    assert!(String::from_utf8(text.stdout).unwrap().contains("below the lowest rate"));
}
