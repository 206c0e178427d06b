use super::*;

fn suite(file: &str) -> Vec<Value> {
    let path = format!("{}/../tests/vectors/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let suite: Value = serde_json::from_str(&text).unwrap();
    suite["cases"].as_array().unwrap().clone()
}

// Members of `out` that the vector names; ours may have more (all keys of a DUKPT transaction).
fn agrees(case: &Value, reply: &Value) -> bool {
    match case["out"].as_object() {
        Some(wanted) => wanted.iter().all(|(name, value)| &reply["out"][name] == value),
        None => reply["error"] == case["error"],
    }
}

#[test]
fn every_case_of_every_file() {
    let mut count = 0;
    for file in ["tr31", "dukpt_tdes", "dukpt_aes", "pinblock", "card_pin_kcv", "mac", "emv", "one-of-each"] {
        for case in suite(file) {
            let reply = answer(&case, false);
            assert_eq!(reply["id"], case["id"]);
            assert!(agrees(&case, &reply), "{file} {}: {reply}", case["id"]);
            count += 1;
        }
    }
    assert_eq!(count, 536 + 80);
}

// The mistaken example of X9.143 8.2: proved by anyone, refused by a strict profile.
#[test]
fn strict_profiles_refuse_what_lenient_ones_accept() {
    let cases = suite("tr31");
    let case = cases.iter().find(|c| c["id"] == "x9.143-8.2").unwrap();
    for (policy, wanted) in [
        (json!("X9_143_STRICT"), Some("opt_data")),
        (json!("lenient"), None),
        (json!(["opt_data"]), Some("opt_data")),
        (json!({ "profile": "lenient", "opt_data": true }), Some("opt_data")),
        (json!([]), None),
        (json!("unheard-of"), Some(Refused::INPUT)),
    ] {
        let mut case = case.clone();
        case["in"]["policy"] = policy;
        assert_eq!(answer(&case, false)["error"].as_str(), wanted, "{case}");
    }
}

// The table is the schema, name for name.
#[test]
fn the_schema_has_the_same_functions() {
    let path = format!("{}/../tests/vectors/schema.json", env!("CARGO_MANIFEST_DIR"));
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let names: Vec<_> = schema["functions"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
    assert_eq!(names, FUNCTIONS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
}

fn class(function: &str, given: Value) -> String {
    compute(function, &given).unwrap_err().class.to_owned()
}

#[test]
fn inputs_have_the_class_of_their_kind() {
    let block =
        "B0096I0TDc1N00007E4AE6340503292AA8CB1F7AF54DE34E43988A8BCE2F73C9150A728B2D8100C8E110BF7E89F5E12D";
    let kbpk = |key: &str| json!({ "kbpk": key, "key_block": block });
    assert_eq!(class("tr31.unwrap", kbpk("0102")), "kbpk_length");
    assert_eq!(class("tr31.unwrap", kbpk(&"01".repeat(32))), "kbpk_length");
    assert_eq!(class("tr31.unwrap", kbpk(&"01".repeat(24))), "mac_mismatch");
    let stated = json!({ "kbpk": "01".repeat(24), "kbpk_alg": "A", "key_block": block });
    assert_eq!(class("tr31.unwrap", stated), "kbpk_algorithm");
    let card = |pan: &str, expiry: &str, service: &str| {
        let cvk = "0123456789ABCDEFFEDCBA9876543210";
        json!({ "cvk": cvk, "pan": pan, "expiry": expiry, "service_code": service })
    };
    assert_eq!(class("cvv", card("41234567890123456789", "8701", "101")), "pan_length");
    assert_eq!(class("cvv", card("41234567890A2345", "8701", "101")), "pan_digit");
    assert_eq!(class("cvv", card("4123456789012345", "870", "101")), "expiry");
    assert_eq!(class("cvv", card("4123456789012345", "8701", "1O1")), "service_code");
    assert_eq!(class("cvv", json!({})), Refused::INPUT);
    assert_eq!(class("no.such", json!({})), Refused::INPUT);
}

#[test]
fn random_padding_differs_and_opens() {
    let header = json!({ "version": "D", "usage": "P0", "algorithm": "T", "mode": "B", "version_num": "00",
        "exportability": "E", "blocks": [] });
    let kbpk = "88E1AB2A2E3DD38C1FA039A536500CC8A87AB9D62DC92C01058FA79F44657DE6";
    let key = "F039121BEC83D26B169BDCD5B22AAF8F";
    let make = || compute("tr31.wrap", &json!({ "kbpk": kbpk, "header": header, "key": key })).unwrap();
    let (one, other) = (make(), make());
    assert_ne!(one["key_block"], other["key_block"]);
    let opened = compute("tr31.unwrap", &json!({ "kbpk": kbpk, "key_block": one["key_block"] })).unwrap();
    assert_eq!(opened["key"], key);
}

#[test]
fn lines_are_answered_in_order_and_broken_ones_named() {
    let input = b"{\"id\":1,\"fn\":\"key.odd_parity\",\"in\":{\"key\":\"00\"}}\n\nnot json\n\
        {\"id\":\"x\",\"fn\":\"key.odd_parity\",\"in\":{\"key\":\"0\"}}";
    let mut out = Vec::new();
    serve(BufReader::new(&input[..]), &mut out, false).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            r#"{"id":1,"out":{"key":"01"}}"#,
            r#"{"error":"input","id":null}"#,
            r#"{"error":"key_size","id":"x"}"#
        ]
    );
    let mut out = Vec::new();
    serve(BufReader::new(&b"{\"fn\":\"x\"}"[..]), &mut out, true).unwrap();
    assert!(String::from_utf8(out).unwrap().contains("no such function"));
}
