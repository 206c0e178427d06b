//! The OpenAPI document against what is sent: every path answers what its schema says, after a life of a centre with
//! persons, nodes, zones, campaigns, ceremonies and alarms.

use crate::ceremony::{CUSTODIANS, formed, zmk_set};
use crate::house::Centre;
use crate::nodes;
use crate::raw::ask;
use crate::revoked::until;
use crate::rotation::{enrolled, rotate, wishes};
use jsonschema::Validator;
use keymgr::api::{ROUTES, Watched};
use keymgr::client::{ClientProblem, plan_zone};
use keymgr::core::action::{Act, KeyRef};
use keymgr::core::campaign::Phase;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn schema(document: &Value, path: &str, method: &str, place: &str) -> Option<Validator> {
    let operation = &document["paths"][format!("/api/v1{path}")][method];
    let content = match place {
        "body" => &operation["requestBody"]["content"],
        "default" => &operation["responses"]["default"]["content"],
        _ => &operation["responses"]["200"]["content"],
    };
    let kind = content.as_object()?.keys().find(|kind| kind.contains("json"))?;
    let mut schema = content[kind]["schema"].clone();
    schema["components"] = document["components"].clone();
    Some(jsonschema::draft202012::new(&schema).unwrap())
}

fn judge(document: &Value, (method, path): (&str, &str), place: &str, value: &Value) {
    let Some(schema) = schema(document, path, method, place) else {
        panic!("{method} {path} has no {place}")
    };
    let wrong: Vec<String> =
        schema.iter_errors(value).map(|e| format!("{} at {}", e, e.instance_path())).collect();
    assert!(wrong.is_empty(), "{method} {path} {place}: {wrong:?}\n{value:.600}");
}

#[tokio::test]
async fn every_answer_is_as_the_document_says() {
    let mut centre = Centre::begin().await;
    let document: Value = centre.auditor.get("/openapi.json").await.unwrap();
    // Each write is judged, body and answer.
    let post = async |by: &keymgr::client::Client, template: &str, id: &str, body: Value| -> Value {
        judge(&document, ("post", template), "body", &body);
        let answer: Value = by.post(&template.replace("{id}", id), &body).await.unwrap();
        judge(&document, ("post", template), "200", &answer);
        answer
    };
    post(&centre.operator, "/enrolment-tokens", "", json!({ "count": 1 })).await;
    let asking = enrolled(&centre, &["n1", "n2"]).await;
    let waiting: Value = centre.operator.get("/enrolments").await.unwrap();
    assert_eq!(waiting["items"].as_array().unwrap().len(), 2);
    judge(&document, ("get", "/enrolments"), "200", &waiting);
    let (_, acts) = plan_zone(&centre.operator, &wishes("east", &asking)).await.unwrap();
    for act in &acts {
        let asked = post(&centre.operator, "/actions", "", json!(act)).await;
        let id = asked["proposed"]["action"].as_str().unwrap().to_owned();
        let view: Value = centre.operator.get(&format!("/actions/{id}")).await.unwrap();
        judge(&document, ("get", "/actions/{id}"), "200", &view);
    }
    centre.approve_all().await;
    let mut identities = Vec::new();
    for one in &asking {
        let identity = one.once().await.unwrap();
        nodes::start(&identity, &one.store).await;
        identities.push(identity);
    }
    let campaign = rotate(&centre, "east").await;
    assert_eq!(campaign.phase, Phase::Completed);
    let zmk = zmk_set(&centre, "exchange", keylink::message::Shape::Aes256).await;
    let transcript = formed(&centre, zmk, [&CUSTODIANS[0], &CUSTODIANS[1]]).await;
    let custodians = vec![
        centre.custodians[0].me().await.unwrap().person,
        centre.custodians[1].me().await.unwrap().person,
    ];
    let open = centre.operator.propose(&Act::FormKey { key_set: zmk, custodians }).await.unwrap();
    centre.approve_all().await;
    let key = KeyRef { key_set: zmk, generation: transcript.generation };
    let pending = centre.operator.propose(&Act::ActivateKey(key)).await.unwrap();
    let node = identities[0].node().to_string();
    post(&centre.operator, "/nodes/{id}/traffic", &node, json!({ "to": "drained" })).await;
    post(&centre.operator, "/nodes/{id}/quarantine", &node, json!({ "reason": "a test" })).await;

    let token: Value = post(&centre.operator, "/enrolment-tokens", "", json!({ "count": 1 })).await;
    let token = serde_json::from_value(token[0].clone()).unwrap();
    nodes::Asking::ask(&token, "n3", centre.folder.path()).await;

    let mut judged = BTreeSet::new();
    for route in ROUTES.iter().filter(|route| route.method == "get") {
        let id = match route.path.split('/').nth(1).unwrap() {
            "nodes" => node.clone(),
            "campaigns" | "reports" => campaign.id.to_string(),
            "key-sets" => campaign.plan.key_set.to_string(),
            "actions" => pending.action.to_string(),
            "ceremonies" if route.path.ends_with("transcript") => transcript.ceremony.to_string(),
            "ceremonies" => open.action.to_string(),
            "audit" => "1".to_owned(),
            _ => String::new(),
        };
        let days = match route.path {
            "/audit/consistency" => "?from=1",
            path if path.ends_with("/expiring") => "?days=4000",
            _ => "",
        };
        let path = format!("{}{days}", route.path.replace("{id}", &id));
        if ["/openapi.json", "/audit/export", "/campaigns/{id}/events"].contains(&route.path) {
            continue;
        }
        let answer: Value = centre.officers[0].get(&path).await.unwrap();
        judge(&document, ("get", route.path), "200", &answer);
        if let Some(items) = answer.get("items") {
            assert!(!items.as_array().unwrap().is_empty(), "{path} shows something");
        }
        if let Some(rows) = answer.get("rows") {
            assert!(!rows.as_array().unwrap().is_empty(), "{path} shows something");
        }
        judged.insert(route.path);
    }
    assert!(judged.len() > 20);
    // A refusal is as every operation says.
    let refusal =
        ask(&centre.address, &centre.auditor, "DELETE /api/v1/actions/none", "idempotency-key: k\r\n", b"")
            .await;
    assert_eq!(refusal.code(), "role");
    judge(&document, ("delete", "/actions/{id}"), "default", &serde_json::from_slice(&refusal.body).unwrap());
    // What a schema does not allow is refused: a second judge agrees with the first.
    let body = schema(&document, "/nodes/{id}/traffic", "post", "body").unwrap();
    for bad in [json!({}), json!({ "to": "gone" }), json!({ "to": "drained", "more": 1 })] {
        assert!(!body.is_valid(&bad));
        assert!(centre.operator.post::<Value>(&format!("/nodes/{node}/traffic"), &bad).await.is_err());
    }
    // A stream of events ends with the campaign, and says what a poll says.
    let mut states = Vec::new();
    let last =
        centre.operator.follow(campaign.id, |now: &Watched| states.push(now.seen.clone())).await.unwrap();
    assert_eq!((states.len(), last.unwrap().campaign.phase), (1, Phase::Completed));
    let polled: Watched = centre.operator.get(&format!("/campaigns/{}/watch", campaign.id)).await.unwrap();
    assert_eq!(polled.seen, states[0]);
    centre.end().await;
}

// What lies in the store alone: the log's entries, and what nodes signed, whole and by pages.
#[tokio::test]
async fn entries_receipts_and_ceremonies_by_pages() {
    let mut centre = Centre::begin().await;
    let asking = enrolled(&centre, &["n1"]).await;
    let (_, acts) = plan_zone(&centre.operator, &wishes("east", &asking)).await.unwrap();
    centre.ask(&acts).await;
    let identity = asking[0].once().await.unwrap();
    nodes::start(&identity, &asking[0].store).await;
    let campaign = rotate(&centre, "east").await;
    let zmk = zmk_set(&centre, "exchange", keylink::message::Shape::Aes256).await;
    let transcript = formed(&centre, zmk, [&CUSTODIANS[0], &CUSTODIANS[1]]).await;
    let pages = async |path: &str, limit: usize| -> Vec<Value> {
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let sign = if path.contains('?') { '&' } else { '?' };
            let page: Value = centre.auditor.get(&format!("{path}{sign}limit={limit}{after}")).await.unwrap();
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= limit);
            found.extend(items.iter().cloned());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return found,
            }
        }
    };
    let entries = pages("/audit/entries", 7).await;
    let numbers: Vec<u64> =
        entries.iter().map(|entry| entry["seq"].as_str().unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
    assert!(entries.iter().any(|entry| entry["action"] == "centre.found"));
    assert!(entries.iter().any(|entry| entry["action"] == "action.approve" && entry["actor"] != ""));
    assert_eq!(pages("/audit/entries?from=5", 1000).await[0], entries[5]);
    assert!(pages("/audit/entries?from=1000000", 10).await.is_empty());

    proofs(&centre, &entries, &pages("/audit/checkpoints", 1).await).await;

    let receipted = async || -> BTreeSet<String> {
        let told = pages("/receipts", 100).await;
        let message = |one: &Value| {
            let signed: keylink::Signed = serde_json::from_value(one["signed"].clone()).unwrap();
            signed.peek::<keylink::message::Receipt>().unwrap().message.to_string()
        };
        told.iter().map(message).collect()
    };
    // The exact bytes: their hash is what the node has receipted. Of two that wait for it, it takes the newer only; and the
    // newest may be on its way.
    let manifests = pages(&format!("/nodes/{}/manifests", identity.node()), 1).await;
    let hash = |one: &Value| {
        let signed: keylink::Signed = serde_json::from_value(one["signed"].clone()).unwrap();
        assert_eq!(one["hash"], signed.hash().to_string());
        signed.hash().to_string()
    };
    let hashes: Vec<String> = manifests.iter().map(hash).collect();
    let newest = hashes.last().unwrap();
    until("the newest is receipted", async || receipted().await.contains(newest)).await;
    let known = receipted().await;
    let taken = hashes.iter().filter(|hash| known.contains(*hash)).count();
    assert!(taken >= 3, "{taken} of {}", hashes.len());
    assert!(pages(&format!("/nodes/{}/manifests", "0".repeat(64)), 5).await.is_empty());

    let receipts = pages("/receipts", 2).await;
    assert!(receipts.len() >= 4, "{}", receipts.len());
    let node = identity.node();
    assert!(pages(&format!("/receipts?node={node}"), 3).await.starts_with(&receipts));
    let about = pages(&format!("/receipts?campaign={}", campaign.id), 100).await;
    assert!(!about.is_empty() && about.len() < receipts.len());
    assert!(about.iter().all(|one| one["campaign"] == campaign.id.to_string()));
    assert!(pages(&format!("/receipts?node={}", "0".repeat(64)), 5).await.is_empty());
    // The bytes are those that the node signed.
    for (number, one) in receipts.iter().enumerate() {
        let signed: keylink::Signed = serde_json::from_value(one["signed"].clone()).unwrap();
        let key = identity.who().key;
        key.verify(&keylink::envelope::pae(&signed.kind, &signed.payload), &signed.signature).unwrap();
        assert_eq!(one["seq"], (number + 1).to_string());
    }

    let done = pages("/ceremonies?done=true", 1).await;
    assert_eq!(done[0]["ceremony"], transcript.ceremony.to_string());
    assert!(pages("/ceremonies?done=false", 1).await.is_empty());
    // Custodians see their own.
    let people = async |name: usize| -> Value { centre.custodians[name].get("/ceremonies").await.unwrap() };
    assert_eq!(people(0).await["items"].as_array().unwrap().len(), 1);
    centre.end().await;
}

// Each checkpoint is signed, holds what came before it, and is the beginning of the newest.
async fn proofs(centre: &Centre, entries: &[Value], checkpoints: &[Value]) {
    use keylink::{Digest, merkle};
    let number = |value: &Value| -> usize { value.as_str().unwrap().parse().unwrap() };
    let digest = |value: &Value| -> Digest { value.as_str().unwrap().parse().unwrap() };
    let digests = |value: &Value| -> Vec<Digest> { value.as_array().unwrap().iter().map(digest).collect() };
    let sizes: Vec<usize> = checkpoints.iter().map(|one| number(&one["size"])).collect();
    assert!(sizes.is_sorted() && !sizes.is_empty());
    let get = async |path: &str| -> Value { centre.auditor.get(path).await.unwrap() };
    for seq in [0, 1, entries.len() / 2] {
        let proof = get(&format!("/audit/entries/{seq}/inclusion")).await;
        let size = number(&proof["log"]["size"]);
        let (leaf, path) = (proof["entry"].as_str().unwrap(), digests(&proof["path"]));
        assert!(leaf.starts_with(&format!("v1 {seq} ")));
        let root = digest(&proof["log"]["root"]);
        assert!(merkle::holds(&root, size, seq, leaf.as_bytes(), &path));
        assert!(!merkle::holds(&root, size, seq + 1, leaf.as_bytes(), &path));
        let note = proof["log"]["note"].as_str().unwrap();
        assert!(note.contains(&format!("\n{size}\n")));
        // Against an older state.
        let older = get(&format!("/audit/entries/{seq}/inclusion?size={}", seq + 2)).await;
        let root = digest(&older["log"]["root"]);
        assert!(merkle::holds(&root, seq + 2, seq, leaf.as_bytes(), &digests(&older["path"])));
    }
    for from in [1, 2, 7, entries.len() / 2] {
        let proof = get(&format!("/audit/consistency?from={from}")).await;
        let to = number(&proof["to"]["size"]);
        let roots = (digest(&proof["from"]["root"]), digest(&proof["to"]["root"]));
        assert!(grows(from, to, roots, &digests(&proof["path"])), "{from} to {to}");
        assert!(!grows(from, to, (roots.1, roots.1), &digests(&proof["path"])));
    }
    for (path, code) in [
        ("/audit/consistency", "malformed"),
        ("/audit/consistency?from=0", "malformed"),
        ("/audit/consistency?from=9&to=5", "malformed"),
        ("/audit/consistency?from=1&to=99999999", "unknown"),
        ("/audit/entries/99999999/inclusion", "unknown"),
        ("/audit/entries/0/inclusion?size=99999999", "unknown"),
        ("/audit/entries/none/inclusion", "malformed"),
    ] {
        let refused = centre.auditor.get::<Value>(path).await.unwrap_err();
        assert!(
            matches!(&refused, ClientProblem::Refused(problem) if problem.code == code),
            "{path}: {refused}"
        );
    }
}

// RFC 9162 section 2.1.4.2.
fn grows(
    from: usize,
    to: usize,
    roots: (keylink::Digest, keylink::Digest),
    path: &[keylink::Digest],
) -> bool {
    let node = |left: &keylink::Digest, right: &keylink::Digest| {
        keylink::Digest::of(&[&[1][..], &left.0, &right.0].concat())
    };
    let mut path = path.to_vec();
    if from.is_power_of_two() {
        path.insert(0, roots.0);
    }
    if from == to {
        return roots.0 == roots.1;
    }
    let (mut low, mut high) = (from - 1, to - 1);
    while low & 1 == 1 {
        (low, high) = (low >> 1, high >> 1);
    }
    let (mut old, mut new) = (path[0], path[0]);
    for one in &path[1..] {
        if high == 0 {
            return false;
        }
        if low & 1 == 1 || low == high {
            (old, new) = (node(one, &old), node(one, &new));
            while low & 1 == 0 && low != 0 {
                (low, high) = (low >> 1, high >> 1);
            }
        } else {
            new = node(&new, one);
        }
        (low, high) = (low >> 1, high >> 1);
    }
    old == roots.0 && new == roots.1 && high == 0
}

// Pages add up to the whole, whatever their size, and filters narrow.
#[tokio::test]
async fn lists_by_pages_and_filters() {
    let mut centre = Centre::begin().await;
    let all: Value = centre.auditor.get("/persons").await.unwrap();
    let whole = all["items"].as_array().unwrap().clone();
    assert_eq!((whole.len(), &all["next"]), (7, &Value::Null));
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page: Value = centre.auditor.get(&format!("/persons?limit=2{after}")).await.unwrap();
        found.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(found, whole);
    let count = async |query: &str| -> usize {
        let page: Value = centre.auditor.get(query).await.unwrap();
        page["items"].as_array().unwrap().len()
    };
    assert_eq!(count("/persons?role=security_officer").await, 3);
    assert_eq!(count("/persons?role=custodian&limit=1").await, 1);
    assert_eq!(count("/persons?state=revoked").await, 0);
    assert_eq!(count("/actions?state=pending").await, 0);
    assert_eq!(count("/alarms?state=all").await, count("/alarms").await + count("/alarms?state=ended").await);
    assert_eq!(count("/campaigns?live=true").await, 0);
    centre.end().await;
}
