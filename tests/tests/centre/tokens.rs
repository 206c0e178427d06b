//! Enrolment tokens: one node, one request, also through a restart of the manager.

use crate::house::Centre;
use crate::nodes::Asking;
use crate::raw::ask;
use gateway::node::{EnrolError, Enrolment, HttpsTransport, TlsIdentity, Transport, TransportError};
use keylink::NodeId;
use keylink::endpoint::Endpoint;
use keylink::message::EnrolmentToken;
use keymgr::api::{AskingView, Problem, TokenState, TokenView};
use keymgr::client::ClientProblem;
use keymgr::core::action::Act;
use keymgr::core::node::{BackendClass, NewNode};
use serde_json::{Value, json};
use std::collections::BTreeSet;

async fn token(centre: &Centre) -> EnrolmentToken {
    let all: Vec<EnrolmentToken> =
        centre.operator.post("/enrolment-tokens", &json!({ "count": 1 })).await.unwrap();
    all.into_iter().next().unwrap()
}

// What a second node is answered that came with the same token.
async fn another(token: &EnrolmentToken) -> String {
    let enrolment = Enrolment::new(token.clone()).unwrap();
    let anonymous = TlsIdentity { certificate: String::new(), ..enrolment.identity().tls() };
    let transport = HttpsTransport::new(&token.url, &anonymous).unwrap();
    let request = enrolment.request("other", "C", keymgr::client::utc_ms()).unwrap();
    match transport.post(Endpoint::Enrol, request.to_bytes()).await {
        Err(TransportError::Refused(403, text)) => serde_json::from_str::<Problem>(&text).unwrap().detail,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_serves_one_node_and_a_restart_changes_nothing() {
    let mut centre = Centre::begin().await;
    let first = token(&centre).await;
    let asking = Asking::ask(&first, "n1", centre.folder.path()).await;
    centre.end().await;
    centre.again().await;
    // The same node asks again and waits on.
    assert!(matches!(asking.once().await, Err(EnrolError::Waiting)));
    // Another one voids the token for both.
    assert!(another(&first).await.contains("void"));
    assert!(matches!(asking.once().await, Err(EnrolError::Transport(TransportError::Refused(403, _)))));
    let waiting: Vec<AskingView> = centre.operator.all("/enrolments").await.unwrap();
    assert!(waiting.is_empty(), "nobody waits by a void token");
    centre.end().await;
    centre.again().await;
    assert!(another(&first).await.contains("void"), "void for good");
    // A token of another secret, and one that was altered.
    let mut forged = token(&centre).await;
    forged.secret.0[0] ^= 1;
    assert!(another(&forged).await.contains("not valid"));
    let mut aged = token(&centre).await;
    aged.token.0[..6].copy_from_slice(&[0; 6]);
    assert!(another(&aged).await.contains("not valid"));
    let export = centre.auditor.bytes("/audit/export").await.unwrap();
    let text = String::from_utf8_lossy(&export);
    assert!(text.contains("enrolment.ask") && text.contains("enrolment.void"), "both are in the log");
    centre.end().await;
}

// Tokens are listed without their secrets, and can be voided; a node that asks can be turned away. Both are in the log.
#[tokio::test]
async fn a_token_is_voided_and_a_node_turned_away() {
    let mut centre = Centre::begin().await;
    let (first, second, third) = (token(&centre).await, token(&centre).await, token(&centre).await);
    let states = async || {
        let all: Vec<TokenView> = centre.auditor.all("/enrolment-tokens").await.unwrap();
        assert!(!serde_json::to_string(&all).unwrap().contains(&first.secret.to_string()));
        let state = |token: &EnrolmentToken| all.iter().find(|one| one.token == token.token).unwrap().state;
        [state(&first), state(&second), state(&third)]
    };
    assert_eq!(states().await, [TokenState::Open; 3]);
    let open: Vec<TokenView> = centre.auditor.all("/enrolment-tokens?state=open").await.unwrap();
    let operator = centre.operator.me().await.unwrap().person;
    assert!(open.len() == 3 && open.iter().all(|one| one.by == Some(operator)));
    let asking = Asking::ask(&second, "n2", centre.folder.path()).await;
    let _: Value =
        centre.operator.post(&format!("/enrolment-tokens/{}/void", first.token), &json!({})).await.unwrap();
    assert!(another(&first).await.contains("withdrawn"));
    let asks: Vec<AskingView> = centre.operator.all("/enrolments").await.unwrap();
    let path = format!("/enrolments/{}/turn-away", asks[0].node);
    let _: Value = centre.operator.post(&path, &json!({ "reason": "not ours" })).await.unwrap();
    assert_eq!(states().await, [TokenState::Void, TokenState::Void, TokenState::Open]);
    let waiting: Vec<AskingView> = centre.operator.all("/enrolments").await.unwrap();
    assert!(waiting.is_empty());
    let turned_away = async || match asking.once().await {
        Err(EnrolError::Transport(TransportError::Refused(403, text))) => {
            text.contains("turned this node away")
        }
        _ => false,
    };
    assert!(turned_away().await);
    assert!(another(&second).await.contains("turned this node away"), "nor does another come by it");
    // For good, also after a restart; and whoever does not ask is not turned away.
    centre.end().await;
    centre.again().await;
    assert!(turned_away().await && another(&first).await.contains("withdrawn"));
    let refused = centre.operator.post::<Value>(&path, &json!({ "reason": "not ours" })).await.unwrap_err();
    assert!(matches!(&refused, ClientProblem::Refused(problem) if problem.code == "unknown"), "{refused}");
    let export = centre.auditor.bytes("/audit/export").await.unwrap();
    let text = String::from_utf8_lossy(&export);
    assert!(text.contains("enrolment.turn_away") && text.contains("enrolment.void_token"));
    assert!(text.contains("not%20ours"), "with the reason");
    centre.end().await;
}

// A node that starts again while officers think shows what they have approved, and its token stays good.
#[tokio::test]
async fn a_node_that_starts_again_asks_with_the_same_request() {
    let mut centre = Centre::begin().await;
    let token = token(&centre).await;
    let kept = centre.folder.path().join("node-pending.json");
    let first = Asking::by(Enrolment::kept(&kept, token.clone()).unwrap(), "n1", centre.folder.path());
    assert!(matches!(first.once().await, Err(EnrolError::Waiting)));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&kept).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let shown = first.enrolment.fingerprints();
    drop(first);
    let again = Asking::by(Enrolment::kept(&kept, token.clone()).unwrap(), "n1", centre.folder.path());
    assert!(matches!(again.once().await, Err(EnrolError::Waiting)));
    assert_eq!(again.enrolment.fingerprints(), shown);
    let asks: Vec<AskingView> = centre.operator.all("/enrolments").await.unwrap();
    let new = NewNode { key: asks[0].key, csr: asks[0].csr, name: "n1".into(), class: BackendClass::C };
    assert_eq!((NodeId::of(&new.key), new.csr), shown);
    centre.ask(&[Act::EnrolNodes(vec![new])]).await;
    drop(again);
    // What was approved is what it comes with, also after another start.
    let last = Asking::by(Enrolment::kept(&kept, token).unwrap(), "n1", centre.folder.path());
    assert_eq!(last.once().await.unwrap().node(), shown.0);
    // A file that is there and does not read is not written over: the request in it may have been approved.
    std::fs::write(&kept, "{}").unwrap();
    let spoilt = Enrolment::kept(&kept, self::token(&centre).await);
    assert!(matches!(spoilt, Err(EnrolError::Kept { .. })), "{spoilt:?}");
    centre.end().await;
}

#[tokio::test]
async fn one_idempotency_key_is_one_set_of_tokens() {
    let centre = Centre::begin().await;
    let post = async |key: &str, body: &str| {
        let head = format!("content-type: application/json\r\nidempotency-key: {key}\r\n");
        let line = "POST /api/v1/enrolment-tokens";
        ask(&centre.address, &centre.operator, line, &head, body.as_bytes()).await
    };
    let first = post("k1", r#"{"count":3}"#).await;
    assert_eq!(first.status, 200);
    let tokens: Vec<EnrolmentToken> = serde_json::from_slice(&first.body).unwrap();
    assert_eq!(tokens.iter().map(|one| one.token).collect::<BTreeSet<_>>().len(), 3);
    // An answer that was lost can be had again; another request under the same key is none.
    assert_eq!(post("k1", r#"{"count":3}"#).await.body, first.body);
    let other = post("k1", r#"{"count":2}"#).await;
    assert_eq!((other.status, other.code().as_str()), (409, "key_reused"));
    let next: Vec<EnrolmentToken> = serde_json::from_slice(&post("k2", r#"{"count":3}"#).await.body).unwrap();
    assert!(next.iter().all(|new| tokens.iter().all(|old| old.token != new.token)));
    // A token of the repeated answer works; the log has the tokens' names and nothing of their secrets.
    let asking = Asking::ask(&tokens[2], "n1", centre.folder.path()).await;
    assert!(matches!(asking.once().await, Err(EnrolError::Waiting)));
    let export = centre.auditor.bytes("/audit/export").await.unwrap();
    let text = String::from_utf8_lossy(&export);
    assert!(text.contains("enrolment.tokens") && text.contains(&tokens[1].token.to_string()));
    let secret = serde_json::to_value(&tokens[1]).unwrap()["secret"].as_str().unwrap().to_owned();
    assert!(!text.contains(&secret));
}
