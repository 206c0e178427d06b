//! What the interface refuses: who may call what, and approvals that do not count.

use crate::house::{Centre, PASSPHRASE};
use keylink::action::Approval;
use keylink::message::KeyKind;
use keylink::wire::{Hex, U64};
use keylink::{Signed, ZoneId};
use keymgr::api::{ActionView, Problem, ROUTES};
use keymgr::client::{Client, ClientProblem, ManagerAddress, fresh_id, sign, utc_ms};
use keymgr::core::action::Act;
use keymgr::core::approval::ActionState;
use keymgr::core::input::Outcome;
use keymgr::core::people::Role;
use keymgr::person::Home;
use reqwest::Method;
use serde_json::{Value, json};

fn code(problem: ClientProblem) -> String {
    match problem {
        ClientProblem::Refused(Problem { code, .. }) => code,
        other => panic!("{other}"),
    }
}

fn zone(alias: &str) -> Act {
    let (time, random) = fresh_id().unwrap();
    Act::CreateZone { id: ZoneId::new(time, random), alias: alias.to_owned(), live: false }
}

async fn hand_in(client: &Client, view: &ActionView, signed: &Signed) -> Result<Outcome, ClientProblem> {
    client.post(&format!("/actions/{}/approvals", view.action.id), signed).await
}

#[tokio::test]
async fn approvals_that_do_not_count() {
    let mut centre = Centre::begin().await;
    let (ada, ben, otto) = (&centre.officers[0], &centre.officers[1], &centre.operator);
    let kmc = ada.kmc().await.unwrap();
    let me = ada.me().await.unwrap();
    let ids = (me.person, me.credential);
    let asked = otto.propose(&zone("east")).await.unwrap();
    let view = ada.action(asked.action).await.unwrap();
    let good = sign(&view, kmc, ids, ada.identity(), utc_ms()).unwrap();
    // Signed by somebody else's key in the officer's name.
    let forged = sign(&view, kmc, ids, otto.identity(), utc_ms()).unwrap();
    assert_eq!(code(hand_in(otto, &view, &forged).await.unwrap_err()), "approval_credential");
    // The requester, and persons without the role, whoever hands it in.
    assert_eq!(code(otto.approve(&view).await.unwrap_err()), "approval_requester");
    for other in [&centre.auditor, &centre.custodians[0]] {
        assert_eq!(code(other.approve(&view).await.unwrap_err()), "role");
        let (person, credential) = (other.me().await.unwrap().person, other.me().await.unwrap().credential);
        let signed = sign(&view, kmc, (person, credential), other.identity(), utc_ms()).unwrap();
        assert_eq!(code(hand_in(ada, &view, &signed).await.unwrap_err()), "approval_role");
    }
    // An officer who asks does not count either.
    let hers = ada.propose(&zone("hers")).await.unwrap();
    let own = ada.action(hers.action).await.unwrap();
    assert_eq!(code(ada.approve(&own).await.unwrap_err()), "approval_requester");
    // What was signed for one action is not for another, at whatever path it is handed in.
    assert_eq!(code(hand_in(ada, &own, &good).await.unwrap_err()), "approval_other_content");
    // A class of three counts nobody twice and nobody out of thin air.
    let stranger =
        sign(&view, kmc, (me.person, keylink::CredentialId([7; 16])), ada.identity(), utc_ms()).unwrap();
    assert_eq!(code(hand_in(ada, &view, &stranger).await.unwrap_err()), "approval_credential");
    // Of another nonce, over its time, of another centre.
    let body: Approval = good.peek().unwrap();
    let late = utc_ms() - 1;
    for bad in [
        Approval { nonce: Hex([1; 16]), ..body },
        Approval { not_after: U64(late), signed_ms: U64(late - 1), ..body },
        Approval { kmc: keylink::KmcId([1; 32]), ..body },
    ] {
        let signed = Signed::seal(&bad, ada.identity());
        assert!(code(hand_in(ada, &view, &signed).await.unwrap_err()).starts_with("approval"));
    }
    hand_in(ada, &view, &good).await.unwrap();
    // The same officer twice, whatever bytes.
    assert!(code(hand_in(ada, &view, &good).await.unwrap_err()).starts_with("approval"));
    let second = sign(&view, kmc, ids, ada.identity(), utc_ms() + 1).unwrap();
    assert!(code(hand_in(ada, &view, &second).await.unwrap_err()).starts_with("approval"));
    // After an edit nothing counts that was given before, and nothing of it can be handed in again.
    let path = format!("/actions/{}", asked.action);
    let _: Outcome = otto.write(Method::PUT, &path, &zone("west")).await.unwrap();
    let edited = ada.action(asked.action).await.unwrap();
    assert!(edited.action.approvals.is_empty());
    assert_eq!(code(hand_in(ada, &edited, &good).await.unwrap_err()), "approval_other_content");
    // Somebody else does not edit it.
    assert!(ben.write::<Outcome>(Method::PUT, &path, &zone("north")).await.is_err());
    ada.approve(&edited).await.unwrap();
    let outcome = ben.approve(&edited).await.unwrap();
    assert!(matches!(outcome, Outcome::Approved { state: ActionState::Done, .. }));
    // Done is done.
    assert!(centre.officers[2].approve(&edited).await.is_err());
    centre.end().await;
}

// An officer's program signs what it has judged, not what it was shown.
#[tokio::test]
async fn what_is_shown_is_what_is_signed() {
    let mut centre = Centre::begin().await;
    let ada = &centre.officers[0];
    let (kmc, me) = (ada.kmc().await.unwrap(), ada.me().await.unwrap());
    let asked = centre.operator.propose(&zone("east")).await.unwrap();
    let view = ada.action(asked.action).await.unwrap();
    let refused = |view: &ActionView| {
        let signed = sign(view, kmc, (me.person, me.credential), ada.identity(), utc_ms());
        assert!(matches!(signed, Err(ClientProblem::Unsound(_))));
    };
    let mut other = view.clone();
    other.action.content.0 = serde_json::to_vec(&zone("west")).unwrap();
    refused(&other);
    let mut other = view.clone();
    other.action.requester = me.person;
    refused(&other);
    let mut other = view.clone();
    other.action.grants.push(keylink::action::Grant::KcvOnly(keylink::NodeId([1; 32])));
    refused(&other);
    let stranger = keylink::KmcId([1; 32]);
    assert!(sign(&view, stranger, (me.person, me.credential), ada.identity(), utc_ms()).is_err());
    centre.end().await;
}

// Every path of the OpenAPI document with every role: let in or refused as `x-roles` says.
#[tokio::test]
async fn every_route_with_every_role() {
    let mut centre = Centre::begin().await;
    let document: Value = centre.auditor.get("/openapi.json").await.unwrap();
    let callers = [
        (Role::SecurityOfficer, &centre.officers[0]),
        (Role::Operator, &centre.operator),
        (Role::Auditor, &centre.auditor),
        (Role::Custodian, &centre.custodians[0]),
    ];
    let mut tried = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if !["get", "post", "put", "delete"].contains(&method.as_str()) {
                continue;
            }
            let roles: Vec<Role> = serde_json::from_value(operation["x-roles"].clone()).unwrap();
            let below = path.strip_prefix("/api/v1").unwrap().replace("{id}", "none");
            for (role, client) in &callers {
                let done: Result<Value, ClientProblem> = match method.as_str() {
                    "get" => client.bytes(&below).await.map(|_| Value::Null),
                    _ => {
                        let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                        client.write(method, &below, &json!({})).await
                    }
                };
                let kept_out = matches!(&done, Err(ClientProblem::Refused(p)) if p.code == "role");
                assert_eq!(kept_out, !roles.contains(role), "{method} {path} by {role:?}: {done:?}");
                tried += 1;
            }
        }
    }
    assert_eq!(tried, ROUTES.len() * callers.len(), "the document has every route");
    centre.end().await;
}

#[tokio::test]
async fn strangers_and_wrong_servers() {
    let mut centre = Centre::begin().await;
    let home = Home::at(centre.folder.path().join("Mallory"));
    let identity = home.create("Mallory", PASSPHRASE).unwrap();
    let stranger = Client::new(&centre.address, identity).unwrap();
    assert_eq!(code(stranger.me().await.unwrap_err()), "caller");
    let other = ManagerAddress { key: keylink::Digest([1; 32]), ..centre.address.clone() };
    let client = Client::new(&other, home.open(PASSPHRASE).unwrap()).unwrap();
    assert!(matches!(client.me().await, Err(ClientProblem::Unreachable(_))), "another server key");
    centre.end().await;
}

// A double-length TDES key wraps nothing, and a key set of the centre is not distributed.
#[tokio::test]
async fn keys_that_are_too_weak_or_stay() {
    let mut centre = Centre::begin().await;
    let mut wishes = crate::rotation::wishes("exchange", &[]);
    wishes.kind = KeyKind::Zmk;
    let (_, acts) = keymgr::client::plan_zone(&centre.operator, &wishes).await.unwrap();
    let mut refused = 0;
    for act in &acts {
        refused += usize::from(centre.operator.propose(act).await.is_err());
    }
    assert!(refused > 0, "a ZMK of two TDES keys is not defined");
    centre.end().await;
}
