//! Units elsewhere: under the LMK that is asked for, and over TLS.

use crate::units::Serving;
use crate::{bench, json};

#[test]
fn a_target_is_measured_under_the_lmk_that_is_asked_for() {
    let serving = Serving::start();
    for (preset, lmk) in [
        ("pin-translate", "00"),
        ("pin-verify", "00"),
        ("mac", "01"),
        ("tr31", "00"),
        ("tr31", "01"),
        ("tr31", "02"),
        ("dukpt", "02"),
        ("mix", "00"),
        ("mix", "02"),
    ] {
        let document = json(&bench(&[preset, "--target", &serving.1, "--lmk", lmk, "--json"]), 0);
        let verification = document["run"]["verification"].as_str().unwrap();
        assert!(verification.starts_with("made by another command of the unit"), "{verification}");
        assert_eq!((&document["result"]["wrong"], &document["result"]["lost"]), (&0.into(), &0.into()));
        assert_eq!((&document["run"]["lmk"], &document["result"]["errors"]), (&lmk.into(), &0.into()));
        assert!(document["result"]["server_cpu_us"].is_null());
    }
    for lmk in ["00", "01"] {
        let mix = ["mix", "--mix", "ca=1,a0=1", "--target", &serving.1, "--lmk", lmk, "--json"];
        let document = json(&bench(&mix), 0);
        assert_eq!((&document["result"]["wrong"], &document["result"]["errors"]), (&0.into(), &0.into()));
        assert!(document["run"]["verification"].as_str().unwrap().contains("A0 made only the form"));
    }
    let unknown = bench(&["cvv", "--target", &serving.1, "--lmk", "77"]);
    assert_eq!(unknown.status.code(), Some(3));
    assert!(String::from_utf8(unknown.stderr).unwrap().contains("A0 answered 13"));
}

#[test]
fn a_unit_is_measured_over_tls_and_its_certificate_is_verified() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key, stranger) = (file("own.pem"), file("own.key"), file("stranger.pem"));
    std::fs::write(&cert, own.cert.pem()).unwrap();
    std::fs::write(&key, own.signing_key.serialize_pem()).unwrap();
    std::fs::write(&stranger, other.cert.pem()).unwrap();
    let serving =
        Serving::start_with(&["--listen", "tls:127.0.0.1:0/00", "--tls-cert", &cert, "--tls-key", &key]);
    let words =
        |ca| ["cvv", "--target", &serving.1, "--tls", "--ca", ca, "--server-name", "localhost", "--json"];
    let document = json(&bench(&words(&cert)), 0);
    assert_eq!((&document["run"]["tls"], &document["result"]["wrong"]), (&true.into(), &0.into()));
    assert_eq!(bench(&words(&stranger)).status.code(), Some(3));
}
