//! An officer whose approval key is in a PKCS#11 token: made there, used there, registered as such; and what happens
//! when the token is away or holds another key.
#![allow(clippy::print_stdout)] // what could not be tested here

use tests::house::House;
use tests::softhsm::TempToken;

#[test]
fn an_officer_signs_with_a_token() {
    let Some(token) = TempToken::new() else { return };
    let mut house = House::found(&["ada", "ben", "cleo", "otto"], &["--operator", "otto.person"]);
    house.set("SOFTHSM2_CONF", &token.configuration());
    let (uri, pin) = (token.uri(), token.pin_file());
    let made = house.attempt("tess", &["person", "new", "tess", "--token", &uri, "--pin-file", &pin]);
    if made.code != 0 && made.err.contains("CKM_EDDSA") {
        // A clear refusal, and nothing left behind.
        assert!(!house.path("tess").exists() && !house.path("tess.person").exists());
        println!("SKIP approval keys in tokens: this SoftHSM has no Ed25519");
        return;
    }
    assert_eq!(made.code, 0, "{}", made.err);
    let names: Vec<String> = house.files("tess").into_iter().map(|(name, _)| name).collect();
    assert!(
        names.contains(&"approval.token".to_owned()) && !names.contains(&"approval.pem".to_owned()),
        "{names:?}"
    );
    // One home, one key: neither is made twice.
    assert_eq!(
        house.attempt("tess", &["person", "new", "tess", "--token", &uri, "--pin-file", &pin]).code,
        2
    );
    let again = house.attempt("tess2", &["person", "new", "tess", "--token", &uri, "--pin-file", &pin]);
    assert!(again.code != 0 && again.err.contains("already"), "{}", again.err);

    let _manager = house.serve(&[]);
    house.approved("otto", &["person", "enrol", "tess.person", "--role", "officer"]);
    house.run("otto", &["zone", "new", "east"]);
    house.run("tess", &["approve", "sign", "--all", "--yes"]);
    house.run("ada", &["approve", "sign", "--all", "--yes"]);
    assert_eq!(
        house.json("otto", &["zone", "list"]).as_array().unwrap().len(),
        1,
        "the token's signature counts"
    );
    assert!(house.run("otto", &["kmc", "verify"]).contains("signatures checked"));
    // The token is away, its PIN is wrong, or it is another token.
    std::fs::write(house.path("wrong-pin"), "00000000").unwrap();
    let note = house.path("tess/approval.token");
    let right = std::fs::read_to_string(&note).unwrap();
    std::fs::write(&note, right.replace("payhsm-test", "nowhere")).unwrap();
    let away = house.attempt("tess", &["approve", "list"]);
    assert!(away.code != 0 && away.err.contains("no token"), "{}", away.err);
    std::fs::write(&note, right.replace("payhsm/approval/tess", "payhsm/approval/other")).unwrap();
    let other = house.attempt("tess", &["approve", "list"]);
    assert!(other.code != 0 && other.err.contains("no signing key"), "{}", other.err);
    std::fs::write(&note, &right).unwrap();
    assert_eq!(house.attempt("tess", &["approve", "list"]).code, 0);
}
