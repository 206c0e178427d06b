//! What is asked: presets and mixes against a gateway of the program's own.

use crate::{bench, json};

#[test]
fn every_preset_runs_and_every_reply_is_right() {
    for (preset, lmk) in [
        ("pin-translate", "00"),
        ("pin-translate", "01"),
        ("pin-translate", "02"),
        ("pin-verify", "00"),
        ("pin-verify", "01"),
        ("cvv", "02"),
        ("mac", "01"),
        ("tr31", "00"),
        ("tr31", "01"),
        ("tr31", "02"),
        ("dukpt", "00"),
        ("dukpt", "02"),
        ("mix", "00"),
        ("mix", "02"),
        ("echo", "00"),
    ] {
        let document = json(&bench(&[preset, "--lmk", lmk, "--json", "--assert", "errors=0"]), 0);
        let result = &document["result"];
        assert_eq!((&document["schema"], &document["run"]["preset"]), (&1.into(), &preset.into()));
        assert!(result["replies"].as_u64() > Some(0), "{preset}: {document}");
        assert_eq!(result["verified"], result["replies"], "{preset}: {document}");
        assert_eq!((&result["wrong"], &result["lost"]), (&0.into(), &0.into()), "{preset}");
        assert!(document["method"].as_str().unwrap().contains("Latency runs from"));
        let verification = document["run"]["verification"].as_str().unwrap();
        assert_eq!(verification, "worked out by this program's own cryptography from clear keys", "{preset}");
    }
}

#[test]
fn every_command_can_be_in_a_mix() {
    let mix = "cc=1,ca=1,dc=1,ec=1,cw=1,cy=1,m6=1,m8=1,g0=1,a0=1,a6=1,a8=1,nc=1,b2=1";
    for lmk in ["00", "01", "02"] {
        let document =
            json(&bench(&["mix", "--mix", mix, "--lmk", lmk, "--json", "--assert", "errors=0"]), 0);
        assert_eq!(document["run"]["mix"].as_object().unwrap().len(), 14);
        assert_eq!((&document["result"]["wrong"], &document["result"]["lost"]), (&0.into(), &0.into()));
    }
}

#[test]
fn a_mix_follows_its_weights_and_the_table_names_the_method() {
    let output = bench(&["mix", "--mix", "cc=7,cy=2,m6=1", "--conns", "2", "--threads", "2"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains("(CC=7,CY=2,M6=1)") && text.contains("p99.9") && text.contains("Method: "),
        "{text}"
    );
}
