//! A ZMK from three consoles: check values of each component and of the key, what is refused, and the transcript.

use serde_json::Value;
use tests::house::House;

const ONE: &str = "0123456789ABCDEFFEDCBA98765432100011223344556677";
const TWO: &str = "89ABCDEF0123456776543210FEDCBA988899AABBCCDDEEFF";
const THREE: &str = "13579BDF02468ACE0F1E2D3C4B5A69788796A5B4C3D2E1F0";

fn entered(house: &House, who: &str, ceremony: &str, typed: &str) -> (i32, String) {
    let ended = house.try_typed(who, &["ceremony", "component", ceremony], typed);
    (ended.code, ended.err)
}

#[test]
fn a_zmk_from_three_consoles() {
    let persons = ["ada", "ben", "cleo", "otto", "cora", "carl", "cyd"];
    let options = [
        ["--operator", "otto.person"],
        ["--custodian", "cora.person"],
        ["--custodian", "carl.person"],
        ["--custodian", "cyd.person"],
    ];
    let mut house = House::found(&persons, options.as_flattened());
    let _manager = house.serve(&[]);
    house.approved("otto", &["zone", "new", "bank", "--kind", "zmk", "--shape", "AES-192"]);
    // The same custodian twice, and an officer as custodian.
    for custodians in [["cora", "cora", "cyd"], ["cora", "ada", "cyd"]] {
        let ended = house.attempt("otto", &[&["ceremony", "new", "bank ZMK"][..], &custodians].concat());
        assert_eq!(ended.code, 1, "{}", ended.err);
        assert!(ended.err.contains("(separation)") || ended.err.contains("(value)"), "{}", ended.err);
    }
    let id = house.approved("otto", &["ceremony", "new", "bank ZMK", "cora", "carl", "cyd"]);
    // Every console shows the same key; one that was read out otherwise is not sealed to.
    let prints: Vec<Value> = ["cora", "carl", "cyd"]
        .iter()
        .map(|who| house.json(who, &["ceremony", "show", &id])["fingerprint"].clone())
        .collect();
    assert!(prints.iter().all(|print| *print == prints[0]));
    let wrong = ["ceremony", "component", &id, "--fingerprint", "00000000000000000000"];
    assert_eq!(house.try_typed("cora", &wrong, &format!("{ONE}\n{ONE}\n")).code, 1);
    // Typed differently, too short, no digits, all zero; and somebody whose turn it is not.
    let zero = "0".repeat(48);
    for (typed, code, text) in [
        (format!("{ONE}\n{TWO}\n"), 1, "differ"),
        ("0123\n0123\n".to_owned(), 2, "hexadecimal digits"),
        ("not a component\n\n".to_owned(), 2, "hexadecimal"),
        (format!("{zero}\n{zero}\n"), 1, "all zero"),
    ] {
        let (ended, said) = entered(&house, "cora", &id, &typed);
        assert!(ended == code && said.contains(text), "{ended} {said}");
    }
    let (code, said) = entered(&house, "otto", &id, &format!("{ONE}\n{ONE}\n"));
    assert!(code == 1 && said.contains("no component of this ceremony is yours"), "{said}");
    // Each enters the own one; the check value is said to the custodian and shown to all.
    let mut checks = Vec::new();
    for (who, component) in [("cora", ONE), ("carl", TWO), ("cyd", THREE)] {
        let early = house.attempt("otto", &["ceremony", "finish", &id]);
        assert!(early.code == 1 && early.err.contains("components_missing"), "{}", early.err);
        // In groups, as it is written on paper.
        let grouped: Vec<String> =
            component.as_bytes().chunks(8).map(|g| String::from_utf8_lossy(g).into_owned()).collect();
        let line = grouped.join(" ");
        let said = house.typed(who, &["ceremony", "component", &id, "--json"], &format!("{line}\n{line}\n"));
        let said: Value = serde_json::from_str(&said).unwrap();
        checks.push(said["check"].as_str().unwrap().to_owned());
    }
    let shown = house.json("cyd", &["ceremony", "show", &id]);
    let seen: Vec<_> =
        shown["parts"].as_array().unwrap().iter().map(|part| part["check"].as_str().unwrap()).collect();
    assert_eq!(seen, checks);
    // All three together make an equal pair impossible to hide: one entered again as another's is refused.
    house.typed("cyd", &["ceremony", "component", &id], &format!("{TWO}\n{TWO}\n"));
    let same = house.attempt("otto", &["ceremony", "finish", &id]);
    assert!(
        same.code == 1 && same.err.contains("(components)") && same.err.contains("next:"),
        "{}",
        same.err
    );
    house.typed("cyd", &["ceremony", "component", &id], &format!("{THREE}\n{THREE}\n"));
    let done = house.json("otto", &["ceremony", "finish", &id, "--to", "transcript.json"]);
    // As another program computes it: CMAC over zeros under the XOR of the three.
    assert_eq!(done["kcv"], "2A8914FDEF");
    let parts: Vec<_> =
        done["parts"].as_array().unwrap().iter().map(|part| part["check"].as_str().unwrap()).collect();
    assert_eq!(parts, checks);
    // Whoever was not there can have the transcript, signed by the centre.
    let kept = house.json("ada", &["ceremony", "transcript", &id, "--to", "again.json"]);
    assert_eq!(kept, done);
    assert_eq!(
        std::fs::read(house.path("again.json")).unwrap(),
        std::fs::read(house.path("transcript.json")).unwrap()
    );
    let keys = house.json("ada", &["key", "list"]);
    assert_eq!(keys[0]["kcv"], done["kcv"]);
    // A custodian who has held a component of this key set gets no other one, in no later ceremony.
    let turned = house.attempt("otto", &["ceremony", "new", "bank ZMK", "carl", "cora", "cyd"]);
    assert!(turned.code == 1 && turned.err.contains("(separation)"), "{}", turned.err);
    // Given up: what was entered counts for nothing.
    let id = house.approved("otto", &["ceremony", "new", "bank ZMK", "cora", "carl", "cyd"]);
    house.typed("cora", &["ceremony", "component", &id], &format!("{ONE}\n{ONE}\n"));
    assert_eq!(house.attempt("cora", &["ceremony", "abandon", &id]).code, 1, "a custodian does not end it");
    house.approved("otto", &["ceremony", "abandon", &id]);
    assert_eq!(entered(&house, "carl", &id, &format!("{TWO}\n{TWO}\n")).0, 1);
    let verified = house.run("ada", &["kmc", "verify"]);
    assert!(verified.contains("signatures checked"), "{verified}");
}
