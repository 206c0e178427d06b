//! Requests that are not as they should be: each has its code, tells nothing of the inside, and leaves the manager
//! serving.

use crate::house::Centre;
use crate::raw::{self, ask};
use keymgr::api::StatusView;
use keymgr::core::input::Outcome;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

const JSON: &str = "content-type: application/json\r\nidempotency-key: k1\r\n";
const ZONE: &str =
    r#"{"create_zone":{"id":"01998877-6655-7fff-bfff-ffffffffffff","alias":"east","live":false}}"#;
const NOBODY: &str = "01998877-6655-7fff-bfff-000000000000";

#[tokio::test]
async fn every_malformed_request_has_its_code() {
    let mut centre = Centre::begin().await;
    let twice = r#"{"create_zone":{"id":"01998877-6655-7fff-bfff-ffffffffffff","alias":"a","alias":"b","live":false}}"#;
    let more =
        r#"{"create_zone":{"id":"01998877-6655-7fff-bfff-ffffffffffff","alias":"a","live":false,"x":1}}"#;
    let long = format!("idempotency-key: {}\r\ncontent-type: application/json\r\n", "k".repeat(65));
    let huge = format!("{{\"reason\":\"{}\"}}", "x".repeat(2 << 20));
    let node = "0".repeat(64);
    // A reason is a sentence.
    let quarantine = format!("POST /api/v1/nodes/{node}/quarantine");
    let essay = format!("{{\"reason\":\"{}\"}}", "x".repeat(257));
    let reason = "x".repeat(900_000);
    let book = format!("{{\"suspend_node\":{{\"node\":\"{node}\",\"reason\":\"{reason}\"}}}}");
    let lines = [
        ("POST /api/v1/actions", "content-type: application/json\r\n", ZONE, 400, "malformed"),
        ("POST /api/v1/actions", long.as_str(), ZONE, 400, "malformed"),
        (
            "POST /api/v1/actions",
            "content-type: application/json\r\nidempotency-key: \r\n",
            ZONE,
            400,
            "malformed",
        ),
        (
            "POST /api/v1/actions",
            "content-type: application/json\r\nidempotency-key: a\r\nidempotency-key: b\r\n",
            ZONE,
            400,
            "malformed",
        ),
        (
            "POST /api/v1/actions",
            "content-type: text/plain\r\nidempotency-key: k\r\n",
            ZONE,
            415,
            "content_type",
        ),
        ("POST /api/v1/actions", "idempotency-key: k\r\n", ZONE, 415, "content_type"),
        ("POST /api/v1/actions", JSON, "", 400, "malformed"),
        ("POST /api/v1/actions", JSON, "{", 400, "malformed"),
        ("POST /api/v1/actions", JSON, "[]", 400, "malformed"),
        ("POST /api/v1/actions", JSON, "\"create_zone\"", 400, "malformed"),
        ("POST /api/v1/actions", JSON, "{} {}", 400, "malformed"),
        ("POST /api/v1/actions", JSON, r#"{"open_the_vault":{}}"#, 400, "malformed"),
        ("POST /api/v1/actions", JSON, twice, 400, "malformed"),
        ("POST /api/v1/actions", JSON, more, 400, "malformed"),
        (
            "POST /api/v1/actions",
            JSON,
            r#"{"export_key":{"key":{"key_set":"a","generation":1}}}"#,
            400,
            "malformed",
        ),
        ("POST /api/v1/actions", JSON, huge.as_str(), 413, "too_large"),
        ("POST /api/v1/root", JSON, "{}", 400, "malformed"),
        ("POST /api/v1/enrolment-tokens", JSON, r#"{"count":0}"#, 400, "value"),
        ("POST /api/v1/enrolment-tokens", JSON, r#"{"count":-1}"#, 400, "malformed"),
        ("POST /api/v1/actions", JSON, book.as_str(), 400, "value"),
        (quarantine.as_str(), JSON, essay.as_str(), 400, "value"),
        ("GET /api/v1/actions/none", "", "", 400, "malformed"),
        ("GET /api/v1/actions/01998877-6655-7fff-bfff-000000000000", "", "", 404, "unknown"),
        ("GET /api/v1/nodes/01998877-6655-7fff-bfff-000000000000", "", "", 400, "malformed"),
        ("GET /api/v1/campaigns/..%2f..%2fstatus", "", "", 400, "malformed"),
        ("GET /api/v1/ceremonies/01998877-6655-7fff-bfff-000000000000", "", "", 404, "unknown"),
        ("GET /api/v1/ceremonies/01998877-6655-7fff-bfff-000000000000/transcript", "", "", 404, "unknown"),
        ("GET /api/v1/keys?colour=red", "", "", 400, "malformed"),
        ("GET /api/v1/keys?limit=all", "", "", 400, "malformed"),
        ("GET /api/v1/keys?after=%00%00", "", "", 400, "malformed"),
        ("GET /api/v1/keys?after=MTIz", "", "", 400, "malformed"),
        ("GET /api/v1/keys?state=gone", "", "", 400, "malformed"),
        ("GET /api/v1/nodes?zone=1'%20OR%20'1'='1", "", "", 400, "malformed"),
        ("POST /api/v1/status", JSON, "{}", 405, "method"),
        ("PATCH /api/v1/actions", JSON, "{}", 405, "method"),
        ("OPTIONS /api/v1/actions", "", "", 405, "method"),
        ("TRACE /api/v1/actions", "", "", 405, "method"),
        ("GET /api/v1/", "", "", 404, "no_path"),
        ("GET /", "", "", 404, "no_path"),
        ("GET /api/v2/status", "", "", 404, "no_path"),
        ("GET /api/v1/../../etc/passwd", "", "", 404, "no_path"),
        ("GET /link/v1/pull", "", "", 404, "no_path"),
    ];
    for (line, headers, body, status, code) in lines {
        let answer = ask(&centre.address, &centre.operator, line, headers, body.as_bytes()).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{line} {headers} {body:.80}");
    }
    let absent = [
        (format!("POST /api/v1/campaigns/{NOBODY}/pause"), "{}"),
        (format!("POST /api/v1/nodes/{node}/quarantine"), r#"{"reason":"x"}"#),
        (format!("POST /api/v1/nodes/{node}/traffic"), r#"{"to":"drained"}"#),
        (format!("POST /api/v1/actions/{NOBODY}/export"), "{}"),
        (format!("POST /api/v1/actions/{NOBODY}/import"), r#"{"block":"D"}"#),
        (format!("DELETE /api/v1/actions/{NOBODY}"), "{}"),
    ];
    for (line, body) in &absent {
        let answer = ask(&centre.address, &centre.operator, line, JSON, body.as_bytes()).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "unknown"), "{line}");
    }
    let answer = ask(&centre.address, &centre.operator, "HEAD /api/v1/status", "", b"").await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    let chunked = "transfer-encoding: chunked\r\ncontent-type: application/json\r\nidempotency-key: k\r\n";
    let mut body = b"200000\r\n".to_vec();
    body.extend(vec![b' '; 0x20_0000]);
    body.extend(b"\r\n0\r\n\r\n");
    let answer = ask(&centre.address, &centre.operator, "POST /api/v1/actions", chunked, &body).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "too_large"));
    centre.end().await;
}

#[tokio::test]
async fn a_request_under_a_used_key_is_not_done_again() {
    let mut centre = Centre::begin().await;
    let send = async |by, body: &str| {
        let answer = ask(&centre.address, by, "POST /api/v1/actions", JSON, body.as_bytes()).await;
        (answer.status, answer.body.clone(), answer)
    };
    let (first, again) = (send(&centre.operator, ZONE).await, send(&centre.operator, ZONE).await);
    assert_eq!((first.0, &first.1), (200, &again.1), "the same answer");
    let other = ZONE.replace("east", "west");
    assert_eq!(send(&centre.operator, &other).await.2.code(), "key_reused");
    // Another person's key of the same text is another key.
    let hers = send(&centre.officers[0], &other).await;
    assert_eq!(hers.0, 200);
    assert_eq!(centre.operator.pending().await.unwrap().len(), 2);
    // And through a restart.
    centre.end().await;
    centre.again().await;
    let after = ask(&centre.address, &centre.operator, "POST /api/v1/actions", JSON, ZONE.as_bytes()).await;
    assert_eq!(after.body, first.1);
    centre.end().await;
}

#[tokio::test]
async fn slow_ones_are_cut_and_others_served() {
    let mut centre = Centre::begin().await;
    let mut stream = raw::connect(&centre.address, centre.operator.identity()).await.unwrap();
    let head = "POST /api/v1/actions HTTP/1.1\r\nhost: kmc\r\nconnection: close\r\ncontent-length: 90\r\n";
    let began = Instant::now();
    let slow = tokio::spawn(async move {
        raw::send(&mut stream, format!("{head}{JSON}\r\n{{").as_bytes()).await.map(|a| (a.status, a.code()))
    });
    let mut halves = Vec::new();
    for _ in 0..20 {
        let mut half = raw::connect(&centre.address, centre.operator.identity()).await.unwrap();
        half.write_all(b"GET /api/v1/status HTTP/1.1\r\nhost").await.unwrap();
        halves
            .push(tokio::spawn(async move { raw::send(&mut half, b": ").await.map(|answer| answer.status) }));
    }
    let _: StatusView = centre.operator.get("/status").await.unwrap();
    assert_eq!(slow.await.unwrap(), Some((408, "slow".to_owned())));
    for half in halves {
        // Closed, with or without a word.
        assert!(matches!(half.await.unwrap(), None | Some(400 | 408)));
    }
    assert!(began.elapsed() < Duration::from_secs(30));
    centre.end().await;
}

#[tokio::test]
async fn ten_thousand_bad_requests_change_nothing() {
    let mut centre = Centre::begin().await;
    let before: StatusView = centre.operator.get("/status").await.unwrap();
    let lines = [
        "GET /api/v1/actions/none HTTP/1.1\r\nhost: k\r\n\r\n",
        "POST /api/v1/actions HTTP/1.1\r\nhost: k\r\ncontent-length: 1\r\ncontent-type: application/json\r\nidempotency-key: k\r\n\r\n{",
        "PUT /api/v1/zones HTTP/1.1\r\nhost: k\r\ncontent-length: 0\r\n\r\n",
        "GET /api/v1/keys?x=1 HTTP/1.1\r\nhost: k\r\n\r\n",
    ];
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let mut stream = raw::connect(&centre.address, centre.operator.identity()).await.unwrap();
        tasks.push(tokio::spawn(async move {
            // In flights, so that the end of the connection is the only thing waited for.
            let mut all = lines.concat().repeat(2_500 / lines.len()).into_bytes();
            all.extend(b"GET /api/v1/none HTTP/1.1\r\nhost: k\r\nconnection: close\r\n\r\n");
            let (mut reads, mut writes) = tokio::io::split(&mut stream);
            let mut got = Vec::new();
            let sent = async { writes.write_all(&all).await.and(writes.flush().await) };
            let (sent, _) = tokio::join!(sent, tokio::io::AsyncReadExt::read_to_end(&mut reads, &mut got));
            sent.unwrap();
            got.windows(12).filter(|text| text.starts_with(b"HTTP/1.1 4")).count()
        }));
    }
    for task in tasks {
        assert_eq!(task.await.unwrap(), 2_501);
    }
    // Bytes that are not TLS, and connections that say nothing.
    for at in 0..200_u32 {
        let mut plain =
            tokio::net::TcpStream::connect(centre.address.url.trim_start_matches("https://")).await.unwrap();
        if at % 2 == 0 {
            plain.write_all(&[0x16, 3, 1, 0xFF, 0xFF, (at % 256) as u8, 1]).await.unwrap();
        }
    }
    let after: StatusView = centre.operator.get("/status").await.unwrap();
    assert_eq!(after.log_size, before.log_size, "what is refused is not written");
    let asked: Outcome = centre
        .operator
        .post("/actions", &serde_json::from_str::<serde_json::Value>(ZONE).unwrap())
        .await
        .unwrap();
    assert!(matches!(asked, Outcome::Proposed { .. }));
    let _: serde_json::Value = centre.officers[0].get("/me").await.unwrap();
    centre.end().await;
}
