//! Units that answer wrongly, refuse, die or hang do not pass.

use crate::units::{dying, frame, give, liar, unit};
use crate::{bench, json, payhsm};
use serde_json::Value;
use std::time::Duration;

#[test]
fn wrong_replies_end_with_1_and_codes_are_counted() {
    let address = liar(Duration::ZERO);
    let document = json(&bench(&["echo", "--target", &address, "--json"]), 1);
    let result = &document["result"];
    let count = |value: &Value| value.as_u64().unwrap();
    assert!(count(&result["wrong"]) > 0 && count(&result["codes"]["92"]) > 0, "{document}");
    assert_eq!(result["errors"], result["codes"]["92"]);
    let unseen = bench(&["echo", "--target", &address, "--json", "--verify-every", "0"]);
    assert_eq!(json(&unseen, 0)["result"]["verified"], 0);
    let errors = ["echo", "--target", &address, "--json", "--verify-every", "0", "--assert", "errors=0"];
    json(&bench(&errors), 1);
}

#[test]
fn a_unit_that_dies_or_hangs_does_not_pass() {
    for (hangs, why) in [(false, "onnection"), (true, "nothing came for 200ms")] {
        let address = dying(50, hangs);
        let words =
            ["bench", "echo", "--target", &address, "--conns", "2", "--warmup", "0", "--timeout", "0.2"];
        let asked = ["--duration", "1", "--json", "--assert", "errors=0"];
        let closed = payhsm(&[&words[..], &asked].concat());
        let document = json(&closed, 1);
        let (result, told) = (&document["result"], String::from_utf8(closed.stderr).unwrap());
        assert!(told.contains("requests got no reply, 2 connections broke"), "{told}");
        assert!(told.contains("the run ended early") && told.contains(why), "{told}");
        assert!(result["lost"].as_u64() > Some(0) && result["elapsed_s"].as_f64() >= Some(1.0), "{document}");
        assert!(result["rate"].as_f64() <= Some(100.0) && result["broken"] == 2, "{document}");
        // An open loop: what is due while nobody answers waits to the end.
        let open = [&words[..], &asked, &["--rate", "1k", "--assert", "p50<100ms", "--assert", "lost<1000"]];
        let document = json(&payhsm(&open.concat()), 1);
        assert!(document["result"]["latency_us"]["p50"].as_u64() > Some(200_000), "{document}");
        assert_eq!(document["assertions"][1]["holds"], false);
        // Who says how many may be lost is taken at his word.
        json(&payhsm(&[&words[..], &asked, &["--assert", "lost<1000"]].concat()), 0);
    }
}

#[test]
fn a_unit_that_refuses_everything_does_not_pass() {
    let address = unit(|_, mut stream| {
        while let Some(request) = frame(&mut stream) {
            if !give(&mut stream, &[&request[..4], b"B317"].concat()) {
                return;
            }
        }
    });
    let words = ["echo", "--target", &address, "--verify-every", "0"];
    let refused = bench(&words);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8(refused.stdout).unwrap().contains("100.0 % of the replies are refusals"));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("every reply was a refusal"));
    assert_eq!(bench(&[&words[..], &["--assert", "errors>0"]].concat()).status.code(), Some(0));
}
