//! `payhsm bench` as a process: presets against a gateway of its own, conditions, open loop, wrong replies.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

const SHORT: [&str; 4] = ["--duration", "0.1", "--warmup", "0.05"];

fn payhsm(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_payhsm")).args(words).stdin(Stdio::null()).output().unwrap()
}

// One run of a tenth of a second.
fn bench(words: &[&str]) -> Output {
    payhsm(&[&["bench"], words, &SHORT].concat())
}

#[track_caller]
fn json(output: &Output, code: i32) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

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

#[test]
fn compare_prints_ratios_and_what_makes_them_doubtful() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (a, b, log) = (file("a.json"), file("b.json"), file("run.hlog"));
    std::fs::write(&a, bench(&["echo", "--json", "--hdr", &log]).stdout).unwrap();
    std::fs::write(&b, bench(&["echo", "--json", "--depth", "2"]).stdout).unwrap();
    assert!(std::fs::read_to_string(&log).unwrap().contains("Tag=latency,"));
    let document = json(&payhsm(&["bench", "compare", &a, &b, "--json"]), 0);
    assert_eq!(document["figures"][0]["figure"], "rate /s");
    assert!(document["figures"][0]["ratio"].as_f64() > Some(0.0), "{document}");
    assert_eq!(document["doubts"][0], "other connections or depth");
    let text = String::from_utf8(payhsm(&["bench", "compare", &a, &a]).stdout).unwrap();
    assert!(
        text.contains("b/a") && text.contains("1.000") && !text.contains("connections or depth"),
        "{text}"
    );
    assert_eq!(payhsm(&["bench", "compare", &a, &file("none")]).status.code(), Some(3));
    assert_eq!(payhsm(&["bench", "compare", &a, &log]).status.code(), Some(2));
}

struct Serving(Child, String);

impl Serving {
    fn start() -> Self {
        Self::start_with(&["--listen", "127.0.0.1:0/00"])
    }

    fn start_with(words: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_payhsm"));
        command.args(["serve", "--insecure-test-lmk", "--authorised"]).args(words);
        command.args(["--config", "/dev/null"]).stdin(Stdio::null()).stderr(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_whitespace().find_map(|word| word.strip_prefix("listen="));
        Self(child, address.unwrap().to_owned())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

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

// A unit that echoes. Of data that ends in 7 it changes a byte, and of data that ends in 5 it says 92; before
// data that ends in 020 it takes a break.
fn liar(breaks: Duration) -> String {
    unit(move |_, stream| lie(stream, breaks))
}

// A unit that serves every connection like this; the first has number 0, and is the one that makes keys.
fn unit(serve: impl Fn(usize, TcpStream) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let serve = serve.clone();
            thread::spawn(move || serve(number, stream.unwrap()));
        }
    });
    address
}

fn frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut frame = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut frame).ok().map(|()| frame)
}

fn give(stream: &mut TcpStream, frame: &[u8]) -> bool {
    let length = u16::try_from(frame.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length[..], frame].concat()).is_ok()
}

// Echoes so many requests of a connection, and then closes it or says nothing any more.
fn dying(after: usize, hangs: bool) -> String {
    unit(move |_, mut stream| {
        let mut count = 0;
        while let Some(request) = frame(&mut stream) {
            count += 1;
            let good = [&request[..4], b"B300", &request[10..]].concat();
            if count <= after && !give(&mut stream, &good) || count > after && !hangs {
                return;
            }
        }
    })
}

fn lie(mut stream: TcpStream, breaks: Duration) {
    let mut length = [0; 2];
    while stream.read_exact(&mut length).is_ok() {
        let mut frame = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut frame).unwrap();
        let (header, data) = (&frame[..4], &frame[10..]);
        if data.ends_with(b"020") {
            thread::sleep(breaks);
        }
        let body = match data.last() {
            Some(b'5') => b"B392".to_vec(),
            Some(b'7') => [b"B300", &data[..data.len() - 1], b"8"].concat(),
            _ => [b"B300", data].concat(),
        };
        let reply = [header, &body].concat();
        let whole = [&u16::try_from(reply.len()).unwrap().to_be_bytes()[..], &reply].concat();
        if stream.write_all(&whole).is_err() {
            return;
        }
    }
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

// A double-length key as ZMK under the public variant test LMKs: pair 04-05, scheme U.
fn zmk_token(key: &[u8; 16]) -> String {
    use des::cipher::{Block, BlockCipherEncrypt, KeyInit};
    let half = |half: &[u8], scheme: u8| {
        let mut pair = [[0x40; 8], [0x51; 8]].concat();
        pair[8] ^= scheme;
        let mut block = Block::<des::TdesEde2>::try_from(half).unwrap();
        des::TdesEde2::new_from_slice(&pair).unwrap().encrypt_block(&mut block);
        hex::encode_upper(block)
    };
    format!("U{}{}", half(&key[..8], 0xA6), half(&key[8..], 0x5A))
}

#[test]
fn one_zmk_with_its_clear_value_is_enough_to_verify_all() {
    let (serving, folder) = (Serving::start(), tempfile::tempdir().unwrap());
    let path = folder.path().join("keys.toml");
    let key = [[0x23; 8], [0xC1; 8]].concat();
    let token = zmk_token(key.as_slice().try_into().unwrap());
    let file = format!("[[zmk]]\nkey = \"{token}\"\nclear = \"{}\"\n", hex::encode_upper(&key));
    std::fs::write(&path, file).unwrap();
    let path = path.to_str().unwrap();
    for preset in ["pin-translate", "pin-verify", "cvv", "mac", "tr31", "dukpt", "mix"] {
        let words = [preset, "--target", &serving.1, "--keys", path, "--json", "--assert", "errors=0"];
        let document = json(&bench(&words), 0);
        assert_eq!((&document["result"]["wrong"], &document["result"]["lost"]), (&0.into(), &0.into()));
        let verification = document["run"]["verification"].as_str().unwrap();
        assert!(verification.starts_with("worked out by this program's own"), "{preset}: {verification}");
        assert!(!document.to_string().contains(&hex::encode_upper(&key)));
    }
    // A clear value that is not that of the token: every key is refused, or every answer is wrong.
    let file = format!("[[zmk]]\nkey = \"{token}\"\nclear = \"{}\"\n", "45".repeat(16));
    std::fs::write(path, file).unwrap();
    let words = ["tr31", "--target", &serving.1, "--keys", path, "--json"];
    assert!(matches!(bench(&words).status.code(), Some(1 | 3)));
}

#[test]
fn working_keys_of_a_file_are_used_as_they_are() {
    let (serving, folder) = (Serving::start(), tempfile::tempdir().unwrap());
    let path = folder.path().join("keys.toml");
    let zpk = |_| {
        let reply = payhsm(&["send", "A00001U", "--target", &serving.1, "--json"]).stdout;
        let reply: Value = serde_json::from_slice(&reply).unwrap();
        reply["reply"].as_str().unwrap()[8..41].to_owned()
    };
    let zpks: Vec<String> = (0..2).map(zpk).collect();
    let file = format!("[[zpk]]\nkey = '{}'\n[[zpk]]\nkey = '{}'\n", zpks[0], zpks[1]);
    std::fs::write(&path, &file).unwrap();
    let path = path.to_str().unwrap();
    let document = json(&bench(&["pin-translate", "--target", &serving.1, "--keys", path, "--json"]), 0);
    assert_eq!((&document["result"]["wrong"], &document["result"]["errors"]), (&0.into(), &0.into()));
    // What the file has not is made by the unit, a TPK too: one ZPK is enough.
    std::fs::write(path, format!("[[zpk]]\nkey = '{}'\n", zpks[0])).unwrap();
    let mix = ["mix", "--mix", "cc=1,ca=1", "--target", &serving.1, "--keys", path, "--json"];
    assert_eq!(json(&bench(&mix), 0)["result"]["errors"], 0);
    // What cannot be done without a clear value is said.
    std::fs::write(path, file.replace("zpk", "tpk")).unwrap();
    let refused = bench(&["pin-verify", "--target", &serving.1, "--keys", path]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("needs the clear value of the tpk"));
    std::fs::write(path, "[[zpk]]\nkey = 'nonsense'\n").unwrap();
    assert_eq!(bench(&["cvv", "--target", &serving.1, "--keys", path]).status.code(), Some(2));
    assert_eq!(bench(&["cvv", "--target", &serving.1, "--keys", "/nowhere"]).status.code(), Some(3));
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

// Every tag is closed in the order in which it was opened, but those that HTML leaves open.
fn well_formed(page: &str) {
    let (mut open, mut rest) = (Vec::new(), page);
    while let Some(at) = rest.find('<') {
        let end = at + rest[at..].find('>').unwrap();
        let tag = &rest[at + 1..end];
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else if !tag.starts_with('!') && !tag.ends_with('/') && name != "meta" {
            open.push(name);
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn the_report_is_one_page_that_needs_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (plain, sweep) = (file("plain<&.html"), file("sweep.html"));
    let run = bench(&["echo", "--rate", "500", "--html", &plain, "--assert", "p50<1us"]);
    assert_eq!(run.status.code(), Some(1));
    let words = ["echo", "--sweep", "500..1k", "--limit", "p50<1s", "--html", &sweep];
    assert_eq!(bench(&words).status.code(), Some(0));
    for (path, plots) in [(&plain, 3), (&sweep, 4)] {
        let page = std::fs::read_to_string(path).unwrap();
        well_formed(&page);
        assert_eq!(page.matches("<svg ").count(), plots, "{path}");
        for foreign in ["http:", "https:", "<script", "<link", "<img", "url(", "@import", "src=", "href="] {
            assert!(!page.contains(foreign), "{path}: {foreign}");
        }
        assert!(page.contains("Method: ") && page.contains("Latency by percentile"), "{path}");
    }
    let page = std::fs::read_to_string(&plain).unwrap();
    assert!(page.contains("p50&lt;1us does not hold") && page.contains("plain&lt;&amp;.html"));
}

#[test]
fn progress_is_told_when_it_is_asked_for() {
    let words =
        ["bench", "echo", "--rate", "200", "--duration", "0.5", "--warmup", "0.3", "--progress", "0.1"];
    let output = payhsm(&words);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("warming up, ") && told.contains("measuring, ") && told.contains("/s"), "{told}");
    let quiet = bench(&["echo"]);
    assert!(quiet.stderr.is_empty(), "{}", String::from_utf8_lossy(&quiet.stderr));
}

#[test]
fn a_run_that_is_worse_than_another_can_end_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (a, b) = (file("a.json"), file("b.json"));
    let run = |breaks: &str| {
        let address = liar(Duration::from_millis(breaks.parse().unwrap()));
        let words = ["bench", "echo", "--target", &address, "--conns", "1", "--depth", "1", "--json"];
        let rest = ["--duration", "1", "--warmup", "0.1", "--verify-every", "0"];
        payhsm(&[&words[..], &rest].concat()).stdout
    };
    std::fs::write(&a, run("0")).unwrap();
    std::fs::write(&b, run("300")).unwrap();
    let compare = |a: &str, b: &str| payhsm(&["bench", "compare", a, b, "--max-worse", "10"]);
    let worse = compare(&a, &b);
    assert_eq!(worse.status.code(), Some(1));
    assert!(String::from_utf8(worse.stderr).unwrap().contains("rate /s is worse"));
    assert_eq!(compare(&a, &a).status.code(), Some(0));
}

// The file of keys that the documentation shows is one, and works under the public test LMK.
#[test]
fn the_example_of_the_documentation_works() {
    let page = include_str!("../../docs/performance.md");
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let (serving, folder) = (Serving::start(), tempfile::tempdir().unwrap());
    let path = folder.path().join("keys.toml");
    std::fs::write(&path, example).unwrap();
    let words =
        ["mix", "--mix", "g0=1,a6=1", "--target", &serving.1, "--keys", path.to_str().unwrap(), "--json"];
    let document = json(&bench(&words), 0);
    assert_eq!((&document["result"]["wrong"], &document["result"]["lost"]), (&0.into(), &0.into()));
}

// Passes everything on; replies with this code are spoilt, but on the connection that makes keys.
fn spoiling(upstream: &str, code: &'static [u8; 2]) -> String {
    let upstream = upstream.to_owned();
    unit(move |number, mut near| {
        let mut far = TcpStream::connect(&upstream).unwrap();
        let (mut up_from, mut up_to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        thread::spawn(move || {
            let _ = std::io::copy(&mut up_from, &mut up_to);
            let _ = up_to.shutdown(std::net::Shutdown::Both);
        });
        while let Some(mut reply) = frame(&mut far) {
            if number > 0 && reply[4..6] == *code {
                reply.push(b'X');
            }
            if !give(&mut near, &reply) {
                break;
            }
        }
        let _ = near.shutdown(std::net::Shutdown::Both);
    })
}

#[test]
fn replies_of_every_command_of_a_mix_are_verified() {
    let (serving, folder) = (Serving::start(), tempfile::tempdir().unwrap());
    let path = folder.path().join("keys.toml");
    let key = [[0x23; 8], [0xC1; 8]].concat();
    let token = zmk_token(key.as_slice().try_into().unwrap());
    let file = format!("[[zmk]]\nkey = \"{token}\"\nclear = \"{}\"\n", hex::encode_upper(&key));
    std::fs::write(&path, file).unwrap();
    for code in [b"CB", b"DD", b"CZ", b"M7", b"G1"] {
        let address = spoiling(&serving.1, code);
        for every in ["10", "100"] {
            let mix = ["bench", "mix", "--mix", "ca=1,dc=1,cy=1,m6=1,g0=1", "--target", &address, "--json"];
            let rest = ["--keys", path.to_str().unwrap(), "--verify-every", every];
            let time = ["--duration", "0.5", "--warmup", "0", "--conns", "2", "--depth", "128"];
            let document = json(&payhsm(&[&mix[..], &rest, &time].concat()), 1);
            assert!(document["result"]["wrong"].as_u64() > Some(0), "1 of {every}: {document}");
        }
    }
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

#[test]
fn a_result_is_shown_and_files_are_opened_before_the_run() {
    let long = ["bench", "echo", "--duration", "60", "--warmup", "0"];
    for option in ["--hdr", "--html"] {
        let output = payhsm(&[&long[..], &[option, "/nowhere/at/all"]].concat());
        assert_eq!(output.status.code(), Some(3), "{option}");
        assert!(
            output.stdout.is_empty() && String::from_utf8(output.stderr).unwrap().contains("/nowhere/at/all")
        );
    }
    let full = bench(&["echo", "--html", "/dev/full"]);
    assert_eq!(full.status.code(), Some(3));
    assert!(String::from_utf8(full.stdout).unwrap().contains("Method: "));
}

// Whoever reads the progress may stop.
#[test]
fn a_closed_standard_error_does_not_end_a_run() {
    let words = ["bench", "echo", "--progress", "0.05", "--duration", "0.5", "--warmup", "0"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_payhsm"));
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stderr.take());
    let mut table = String::new();
    child.stdout.take().unwrap().read_to_string(&mut table).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(table.contains("Method: "), "{table}");
    let mut page = Command::new(env!("CARGO_BIN_EXE_payhsm"))
        .arg("explain")
        .arg("--commands-page")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(page.stdout.take());
    let ended = page.wait_with_output().unwrap();
    assert!(!String::from_utf8_lossy(&ended.stderr).contains("panicked"));
}

#[test]
fn a_dead_or_wrong_run_is_worse_whatever_its_noise() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (a, b) = (file("a.json"), file("b.json"));
    let good = json(&bench(&["echo", "--json"]), 0);
    std::fs::write(&a, good.to_string()).unwrap();
    let compare = |change: &dyn Fn(&mut Value)| {
        let mut other = good.clone();
        change(&mut other);
        std::fs::write(&b, other.to_string()).unwrap();
        let output = payhsm(&["bench", "compare", &a, &b, "--max-worse", "5"]);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let result = |name: &'static str, value: Value| move |d: &mut Value| d["result"][name] = value.clone();
    assert_eq!(compare(&|_| ()), (Some(0), String::new()));
    for (name, value, says) in [
        ("replies", Value::from(0), "no reply"),
        ("elapsed_s", 0.01.into(), "did not last its time"),
        ("wrong", 1.into(), "more wrong: 1"),
        ("lost", 1.into(), "more lost: 1"),
        ("errors", 7.into(), "more errors: 7"),
        ("dropped", 700.into(), "more dropped: 700"),
        ("rate", 1.0.into(), "rate /s is worse"),
    ] {
        let (code, told) = compare(&result(name, value));
        assert!(code == Some(1) && told.contains(says), "{name}: {code:?} {told}");
    }
    for (name, value, says) in [
        ("preset", Value::from("mix"), "preset"),
        ("mix", serde_json::json!({ "CC": 1 }), "mix"),
        ("depth", 3.into(), "connections or depth"),
        ("rate", 1000.0.into(), "wanted rate"),
        ("tls", true.into(), "TLS"),
    ] {
        let (code, told) = compare(&|d: &mut Value| d["run"][name] = value.clone());
        assert!(code == Some(2) && told.contains(says), "{name}: {code:?} {told}");
    }
}
