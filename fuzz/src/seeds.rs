//! Inputs to begin from: the examples of the command table, the wire examples and the key and PIN block
//! vectors of the tests.

use hostcmd::command::Expect;
use hostcmd::table::TABLE;
use serde_json::Value;

const CONFIGURATIONS: [&str; 4] = [
    "insecure_test_lmk = true\nauthorised = true\nprofile = \"legacy\"\nheader_len = 4\n",
    "lmk_file = \"lmk.json\"\ndata = \"data\"\ncores = 2\nadmin = \"127.0.0.1:9400\"\nport_map = \"unit\"\n",
    "[limits]\nconnections = 100\nidle_s = 60\n[settings]\nclear_dectab = true\npin_length = 4\n",
    "[tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n[[listener]]\nlisten = \"acquirer@tls:10.1.2.3:2500/02\"\n\
     allow = [\"10.0.0.0/8\"]\nprofile = \"strict\"\nebcdic = true\n",
];

/// Seeds of a target.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "engine" => requests(),
        "decode" => requests().into_iter().chain(replies()).collect(),
        "keyblock" => texts("tr31.json", "key_block").into_iter().chain(s_blocks()).collect(),
        "pinblock" => pin_blocks(),
        "config" => CONFIGURATIONS.map(|text| text.as_bytes().to_vec()).to_vec(),
        _ => Vec::new(),
    }
}

fn vectors(file: &str) -> Value {
    let path = format!("{}/../tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(&path).expect("vectors")).expect("JSON")
}

fn framed(choice: u8, message: &[u8]) -> Vec<u8> {
    [&[choice], b"HEAD".as_slice(), message].concat()
}

fn bytes(text: &str) -> Vec<u8> {
    text.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

fn requests() -> Vec<Vec<u8>> {
    let examples = TABLE.iter().flat_map(|row| row.examples);
    let mut seeds: Vec<Vec<u8>> = examples
        .flat_map(|example| [0, 4].map(|profile| framed(example.lmk | profile, example.request)))
        .collect();
    for case in vectors("wire-examples.json")["cases"].as_array().expect("cases") {
        let slot = case["slot"].as_u64().and_then(|slot| u8::try_from(slot).ok()).unwrap_or(0);
        for step in case["steps"].as_array().expect("steps") {
            let request = step["req"].as_str().expect("request").replace("${pinl}", "01234");
            seeds.push(framed(slot | 4, &bytes(&request)));
        }
    }
    seeds
}

fn replies() -> Vec<Vec<u8>> {
    let examples = TABLE.iter().flat_map(|row| row.examples);
    examples
        .filter_map(|example| match &example.expect {
            Expect::Reply(reply) | Expect::Like(reply) | Expect::Legacy(reply) => Some(framed(0, reply)),
            _ => None,
        })
        .collect()
}

// Every text of this name in a file of vectors, however deep.
fn texts(file: &str, name: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    collect(&vectors(file), name, &mut found);
    found
}

fn collect(value: &Value, name: &str, found: &mut Vec<Vec<u8>>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str() {
                    Some(text) if key == name => found.push(text.as_bytes().to_vec()),
                    _ => collect(value, name, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, name, found)),
        _ => {}
    }
}

fn s_blocks() -> Vec<Vec<u8>> {
    let tagged = texts("s-blocks.json", "block");
    tagged.into_iter().filter_map(|block| block.strip_prefix(b"S").map(<[u8]>::to_vec)).collect()
}

// Fields of formats 0 to 3 with and without an account, and one of format 4.
fn pin_blocks() -> Vec<Vec<u8>> {
    let account = b"000012345678".map(|c| c & 0x0F);
    let of = |block: &[u8]| [block, &account].concat();
    vec![
        of(&[0x04, 0x12, 0x34, 0xFF, 0xFF ^ 0x12, 0xFF ^ 0x34, 0xFF ^ 0x56, 0xFF ^ 0x78]),
        of(&[0x16, 0x12, 0x34, 0x56, 0x01, 0x02, 0x03, 0x04]),
        of(&[0x24, 0x12, 0x34, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
        of(&[0x34, 0x12, 0x34, 0xAB, 0xCD ^ 0x12, 0xEF ^ 0x34, 0xAB ^ 0x56, 0xCD ^ 0x78]),
        of(&[0x12, 0x34, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
        of(&[0x44, 0x12, 0x34, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 1, 2, 3, 4, 5, 6, 7, 8]),
    ]
}
