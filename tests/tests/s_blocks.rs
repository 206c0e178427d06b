//! Key blocks and traffic of physical units under the public test LMKs: the model opens every block, the
//! program takes every block, and answers every exchange as the unit did.

use serde_json::Value;
use tests::server::Server;
use tests::softhsm::Backend;
use tests::{hex, model, wire};

fn cases() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/s-blocks.json");
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("file")).expect("JSON");
    file["cases"].as_array().expect("cases").clone()
}

fn case(id: &str) -> Value {
    cases().into_iter().find(|case| case["id"] == id).expect("case")
}

fn field<'c>(case: &'c Value, name: &str) -> &'c str {
    case[name].as_str().unwrap_or_else(|| panic!("{} has no {name}", case["id"]))
}

fn lmk_of(block: &str) -> Vec<u8> {
    let lmk = if block.starts_with('0') { model::TDES_BLOCK_LMK } else { model::AES_BLOCK_LMK };
    hex::decode(lmk).expect("hex")
}

// Block behind its tag, header and clear key.
fn open(token: &str) -> Result<(model::Header, model::Key), String> {
    let block = token.strip_prefix('S').expect("S block");
    model::open_s(&lmk_of(block), block)
}

#[test]
fn the_model_opens_what_physical_units_made_and_nothing_altered() {
    let mut opened = 0;
    for case in cases().iter().filter(|case| case["header"].is_string()) {
        let (header, key) = open(field(case, "block")).expect("opens");
        assert_eq!(hex::encode(&key), field(case, "key"));
        assert_eq!(header.usage, "B0");
        opened += 1;
    }
    assert_eq!(opened, 3);
    assert!(open(field(&case("tkb-neg-1"), "block")).is_err());
    let variant = case("var-MKSMI");
    let key = model::open_variant(field(&variant, "keytype"), field(&variant, "wrapped")).expect("opens");
    assert_eq!(hex::encode(&key), field(&variant, "key"));
}

#[test]
fn initial_keys_of_aes_dukpt_are_those_of_the_unit() {
    for id in ["aes-A0-00", "aes-A0-01"] {
        let case = case(id);
        let request = field(&case, "request_text").strip_prefix("HEADA0BFFFS02").expect("request");
        let (bdk, rest) = request.split_at(97);
        let (initial_key_id, kek) = rest.split_at(16);
        let kek = &kek[..129];
        let expected =
            model::aes_initial_key(&open(bdk).expect("BDK").1, &hex::decode(initial_key_id).unwrap());

        let response = field(&case, "response_text").strip_prefix("HEADA100").expect("response");
        let (under_lmk, rest) = response.split_at(97);
        let (exported, check_value) = rest.split_at(rest.len() - 6);
        let (header, key) = open(under_lmk).expect("initial key");
        assert_eq!((hex::encode(&key), header.usage.as_str()), (hex::encode(&expected), "B1"));
        let exported = exported.strip_prefix('R').expect("TR-31");
        let (header, key) = model::open_tr31(&open(kek).expect("KEK").1, exported).expect("TR-31 opens");
        assert_eq!((hex::encode(&key), header.version.as_str()), (hex::encode(&expected), "D"));
        assert_eq!(check_value, model::check_value('A', &expected, 6));
    }
}

fn the_program_takes_every_block(backend: Backend) {
    let Some(server) = Server::start_on(backend, &["--authorised"]) else { return };
    for id in ["tkb-1-T", "tkb-1-A", "tkb-0-T", "tkb-neg-1"] {
        let case = case(id);
        let block = field(&case, "block");
        // The block names LMK 02 whatever its version; the 3DES test LMK of this program is 01, so a block of
        // version 0 is refused for its LMK identifier, and opened by the model above.
        let slot = if block.starts_with("S0") { 1 } else { 2 };
        let reply = server.connect(slot).exchange(format!("BUFFF{block}").as_bytes()).expect("reply");
        let expected = match (id, slot) {
            ("tkb-neg-1", _) => "BVA3|BVA4".to_owned(),
            (_, 1) => "BVA3".to_owned(),
            _ => {
                let (header, key) = open(block).expect("opens");
                let alg = header.algorithm.chars().next().expect("algorithm");
                format!("BV00{}|BV00{}", model::check_value(alg, &key, 6), model::check_value(alg, &key, 16))
            }
        };
        let reply = wire::text(&reply);
        assert!(expected.split('|').any(|e| e == reply), "{id}: {reply}, expected {expected}");
    }
    if !backend.lmks().contains(&0) {
        return;
    }
    let variant = case("var-MKSMI");
    let request = format!("BUFF1{};209;001", field(&variant, "wrapped"));
    let reply = server.connect(0).exchange(request.as_bytes()).expect("reply");
    assert_eq!(wire::text(&reply), format!("BV00{}", field(&variant, "kcv")));
}

fn the_program_answers_as_the_units_did(backend: Backend) {
    let Some(server) = Server::start_on(backend, &["--authorised", "--profile", "legacy"]) else { return };
    for id in ["kb-CW", "kb-CC", "kb-DC", "kb-EC"] {
        let case = case(id);
        let (request, response) = (field(&case, "request"), field(&case, "response"));
        let reply = server.connect(1).exchange(request.as_bytes()).expect("reply");
        assert_eq!(wire::text(&reply), response, "{id}");
    }
}

fn components_combine_to_the_key_of_the_unit(backend: Backend) {
    let case = case("kb-A4");
    let Some(server) = Server::start_on(backend, &["--authorised"]) else { return };
    let reply = server.connect(1).exchange(field(&case, "request").as_bytes()).expect("reply");
    let reply = wire::text(&reply);
    // The padding inside a block is random: what it holds is compared.
    let inside = |text: &str| {
        let (block, check_value) = text.strip_prefix("A500").expect("A500").split_at(73);
        let (header, key) = open(block).expect("opens");
        (header, key, check_value.to_owned())
    };
    assert_eq!(inside(&reply), inside(field(&case, "response")), "{reply}");
}

fn requests_for_initial_keys_are_judged_by_their_lmk(backend: Backend) {
    let Some(server) = Server::start_on(backend, &["--authorised"]) else { return };
    let mut wire = server.connect(2);
    // The unit had its AES LMK in slot 01 and the blocks say so; here it is 02.
    for (id, expected) in [("aes-A0-00", "A1A3"), ("aes-A0-01", "A1A3"), ("aes-A0-03", "A115")] {
        let case = case(id);
        let request = field(&case, "request_text").strip_prefix("HEAD").expect("header");
        let reply = wire.exchange(request.as_bytes()).expect("reply");
        assert_eq!(wire::text(&reply), expected, "{id}");
    }
}

macro_rules! on_every_backend {
    ($($name:ident),* $(,)?) => {
        mod on_the_simulator {
            $(#[test] fn $name() { super::$name(super::Backend::Simulator); })*
        }
        mod on_a_token {
            $(#[test] fn $name() { super::$name(super::Backend::SoftHsm); })*
        }
    };
}

on_every_backend! {
    the_program_takes_every_block,
    the_program_answers_as_the_units_did,
    components_combine_to_the_key_of_the_unit,
    requests_for_initial_keys_are_judged_by_their_lmk,
}
