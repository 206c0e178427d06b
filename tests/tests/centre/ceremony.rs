//! A ZMK from two custodians' components, then a key out and in again under it; nothing clear is found afterwards.

use crate::house::{Centre, PASSPHRASE};
use crate::raw::ask;
use keylink::message::{KeyKind, Shape};
use keylink::{CredentialId, Digest, Generation, Signed};
use keymgr::api::{KeyView, Problem};
use keymgr::ceremony::{CeremonyView, ComponentEntry, Transcript, make};
use keymgr::client::{Client, ClientProblem, plan_zone};
use keymgr::core::action::{Act, KeyRef};
use keymgr::core::input::Outcome;
use keymgr::core::key::{Holders, KeySet};
use keymgr::core::people::{CredentialKind, NewCredential, NewPerson, Role};
use keymgr::person::Home;
use keymgr::vault::ComponentKey;
use paytypes::{CipherKind, ClearKey};
use serde_json::{Value, json};

/// Components of two custodians.
pub const CUSTODIANS: [[u8; 32]; 2] = [FIRST, SECOND];
pub const FIRST: [u8; 32] = *b"canary component of custodian 1.";
pub const SECOND: [u8; 32] = *b"CANARY COMPONENT OF CUSTODIAN 2!";

fn code(problem: ClientProblem) -> String {
    match problem {
        ClientProblem::Refused(Problem { code, .. }) => code,
        other => panic!("{other}"),
    }
}

pub async fn part(client: &Client, open: &CeremonyView, number: u8, clear: &[u8]) -> ComponentEntry {
    let (me, kmc) = (client.me().await.unwrap(), client.kmc().await.unwrap());
    let component = ClearKey::new(clear).unwrap();
    let name = (kmc, open.ceremony, number);
    let to = ComponentKey(open.key.0.clone());
    make(&to, name, (me.person, me.credential), CipherKind::Aes, &component, client.identity()).unwrap()
}

#[tokio::test]
async fn a_zmk_is_formed_and_used() {
    let mut centre = Centre::begin().await;
    let zmk = zmk_set(&centre, "exchange", Shape::Aes256).await;
    let [cora, carl] = [&centre.custodians[0], &centre.custodians[1]];
    let persons = vec![cora.me().await.unwrap().person, carl.me().await.unwrap().person];
    let act = Act::FormKey { key_set: zmk, custodians: persons };
    let asked = centre.operator.propose(&act).await.unwrap();
    let path = format!("/ceremonies/{}", asked.action);
    assert!(cora.get::<CeremonyView>(&path).await.is_err(), "not before it is approved");
    centre.approve_all().await;
    let open: CeremonyView = cora.get(&path).await.unwrap();
    assert_eq!(open.fingerprint, Digest::of(&open.key.0));
    let again: CeremonyView = carl.get(&path).await.unwrap();
    assert_eq!(open, again, "every console sees one key");
    let components = format!("{path}/components");
    let hand_in =
        async |by: &Client, entry: &ComponentEntry| by.post::<CeremonyView>(&components, entry).await;
    let first = part(cora, &open, 1, &FIRST).await;
    // Somebody else's number, somebody else's message, and another check value.
    let wrong = part(cora, &open, 2, &FIRST).await;
    assert_eq!(code(hand_in(cora, &wrong).await.unwrap_err()), "component");
    assert_eq!(code(hand_in(carl, &first).await.unwrap_err()), "component");
    let mut body: keymgr::ceremony::ComponentMessage = first.signed.peek().unwrap();
    body.check = "0000000000".to_owned();
    let lying = ComponentEntry { signed: Signed::seal(&body, cora.identity()), ..first.clone() };
    assert_eq!(code(hand_in(cora, &lying).await.unwrap_err()), "check_value");
    // A box that the signature does not name.
    let swapped = ComponentEntry { signed: first.signed.clone(), ..wrong.clone() };
    assert_eq!(code(hand_in(cora, &swapped).await.unwrap_err()), "component");
    hand_in(cora, &first).await.unwrap();
    let finish = format!("{path}/finish");
    let early = centre.operator.post::<Signed>(&finish, &json!({})).await;
    assert_eq!(code(early.unwrap_err()), "components_missing");
    // The same component twice would cancel out.
    let same = part(carl, &open, 2, &FIRST).await;
    hand_in(carl, &same).await.unwrap();
    assert_eq!(code(centre.operator.post::<Signed>(&finish, &json!({})).await.unwrap_err()), "components");
    hand_in(carl, &part(carl, &open, 2, &SECOND).await).await.unwrap();
    let signed: Signed = centre.operator.post(&finish, &json!({})).await.unwrap();
    let transcript: Transcript = signed.peek().unwrap();
    assert_eq!(transcript.parts.len(), 2);
    // An answer that was lost can be had again, and by everybody.
    let again: Signed = centre.operator.post(&finish, &json!({})).await.unwrap();
    let kept: Signed = centre.auditor.get(&format!("{path}/transcript")).await.unwrap();
    assert_eq!((&again, &kept), (&signed, &signed));
    let clear: Vec<u8> = FIRST.iter().zip(&SECOND).map(|(a, b)| a ^ b).collect();
    let right = keymgr::ceremony::check_of(CipherKind::Aes, &ClearKey::new(&clear).unwrap()).unwrap();
    assert_eq!(transcript.kcv, right, "the combined key is the XOR of the components");
    exchange(&centre, KeyRef { key_set: zmk, generation: Generation(1) }).await;
    let export = centre.auditor.bytes("/audit/export").await.unwrap();
    assert!(String::from_utf8_lossy(&export).contains(&signed.hash().to_string()), "its hash is in the log");
    let options = keymgr::audit::Options { signatures: true, ..Default::default() };
    let report = keymgr::audit::verify_export(&mut export.as_slice(), options).unwrap();
    assert!(report.holds, "{:?}", report.findings);
    let counts = report.signatures.unwrap();
    assert_eq!(counts.ceremonies, 2, "the ZMK and the partner's key");
    assert_eq!(counts.components, 5, "two for each, and one that was replaced");
    who_did_it(&centre, &export).await;
    assert!(!String::from_utf8_lossy(&export).contains("encapsulated"), "no box is kept");
    centre.end().await;
    nothing_clear(&centre, &[&FIRST, &SECOND, &clear]);
}

// An auditor reads in the log who entered components, formed, brought in and took out: person and credential.
async fn who_did_it(centre: &Centre, export: &[u8]) {
    let text = String::from_utf8_lossy(export);
    let mut found = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("v1 ")) {
        let fields: Vec<&str> = line.split(' ').collect();
        if ["ceremony.component", "key.form", "key.import", "key.export"].contains(&fields[6]) {
            found.push((fields[6].to_owned(), fields[4].to_owned(), fields[5].to_owned()));
        }
    }
    let mut expected = Vec::new();
    let [cora, carl] = [&centre.custodians[0], &centre.custodians[1]];
    let done = [
        ("ceremony.component", cora),
        ("ceremony.component", carl),
        ("ceremony.component", carl),
        ("key.form", &centre.operator),
        ("ceremony.component", cora),
        ("ceremony.component", carl),
        ("key.form", &centre.operator),
        ("key.export", &centre.officers[2]),
        ("key.import", &centre.operator),
    ];
    for (word, by) in done {
        let me = by.me().await.unwrap();
        expected.push((word.to_owned(), me.person.to_string(), me.credential.to_string()));
    }
    assert_eq!(found, expected);
}

/// A zone with a key set whose keys stay at the centre and wrap others.
pub async fn zmk_set(centre: &Centre, alias: &str, shape: Shape) -> keylink::KeySetId {
    let mut wishes = crate::rotation::wishes(alias, &[]);
    (wishes.kind, wishes.shape) = (KeyKind::Zmk, shape);
    let (_, acts) = plan_zone(&centre.operator, &wishes).await.unwrap();
    centre.ask(&acts).await;
    let sets: Vec<KeySet> = centre.operator.all("/key-sets").await.unwrap();
    let own = |set: &&KeySet| set.holders == Holders::Centre && set.definition.name.starts_with(alias);
    sets.iter().find(own).unwrap().id()
}

// A custodian is shown what concerns that custodian: actions, ceremonies and transcripts of others are refused.
#[tokio::test]
async fn custodians_see_their_own_only() {
    let mut centre = Centre::begin().await;
    let zmk = zmk_set(&centre, "exchange", Shape::Aes256).await;
    let third = Home::at(centre.folder.path().join("Dora")).create("Dora", PASSPHRASE).unwrap();
    let (time, random) = keymgr::client::fresh_id().unwrap();
    let (stranger, stranger_key) = (keylink::PersonId::new(time, random), CredentialId::new(time, random));
    centre
        .ask(&[Act::EnrolPerson(NewPerson {
            id: stranger,
            name: "Dora".to_owned(),
            line: None,
            roles: [Role::Custodian].into(),
            credential: NewCredential {
                id: stranger_key,
                kind: CredentialKind::File,
                key: third.public_key(),
            },
        })])
        .await;
    let stranger_client = Client::new(&centre.address, third).unwrap();
    let [cora, carl] = [&centre.custodians[0], &centre.custodians[1]];
    let custodians = vec![cora.me().await.unwrap().person, carl.me().await.unwrap().person];
    let entrust = Act::Entrust { person: custodians[0], key_set: zmk, component: 1 };
    let entrusted = centre.operator.propose(&entrust).await.unwrap().action;
    let asked = centre.operator.propose(&Act::FormKey { key_set: zmk, custodians }).await.unwrap().action;
    let listed = async |by: &Client, path: &str| -> Vec<Value> { by.all(path).await.unwrap() };
    let ids = async |by: &Client| -> Vec<Value> {
        listed(by, "/actions").await.iter().map(|view| view["id"].clone()).collect()
    };

    // Waiting: each sees what names them, and of nobody else. Pages of one hold as well.
    assert_eq!(ids(cora).await.len(), 2);
    assert_eq!(ids(carl).await, [json!(asked)]);
    assert_eq!(listed(carl, "/actions?state=approved").await.len(), 0);
    let enrolled = listed(&stranger_client, "/actions").await;
    assert!(enrolled.len() == 1 && enrolled[0]["word"] == "person.enrol", "{enrolled:?}");
    for by in [&centre.operator, &centre.auditor, &centre.officers[0]] {
        assert!(ids(by).await.len() > 5, "readers see all");
    }
    let page: Value = carl.get("/actions?limit=1").await.unwrap();
    assert!(page["items"].as_array().unwrap().len() == 1 && page["next"].is_null(), "{page}");
    let refused = async |by: &Client, path: String| code(by.get::<Value>(&path).await.unwrap_err());
    assert_eq!(refused(carl, format!("/actions/{entrusted}")).await, "not_yours");
    assert_eq!(refused(&stranger_client, format!("/actions/{asked}")).await, "not_yours");
    assert!(carl.action(asked).await.is_ok() && cora.action(entrusted).await.is_ok());
    let nothing = "01998877-6655-7fff-bfff-000000000000";
    assert_eq!(refused(carl, format!("/actions/{nothing}")).await, "unknown");

    // Open, then done.
    centre.approve_all().await;
    let path = format!("/ceremonies/{asked}");
    assert_eq!(refused(&stranger_client, path.clone()).await, "not_yours");
    assert_eq!(refused(&stranger_client, format!("/ceremonies/{nothing}")).await, "unknown");
    assert_eq!(listed(&stranger_client, "/ceremonies").await.len(), 0);
    assert_eq!(listed(carl, "/ceremonies").await.len(), 1);
    for (by, number, clear) in [(cora, 1, &FIRST), (carl, 2, &SECOND)] {
        let open: CeremonyView = by.get(&path).await.unwrap();
        let entry = part(by, &open, number, clear).await;
        let foreign = stranger_client.post::<CeremonyView>(&format!("{path}/components"), &entry).await;
        assert_eq!(code(foreign.unwrap_err()), "component");
        by.post::<CeremonyView>(&format!("{path}/components"), &entry).await.unwrap();
    }
    let signed: Signed = centre.operator.post(&format!("{path}/finish"), &json!({})).await.unwrap();
    assert_eq!(refused(&stranger_client, format!("{path}/transcript")).await, "not_yours");
    assert_eq!(refused(&stranger_client, format!("/ceremonies/{entrusted}/transcript")).await, "not_yours");
    assert_eq!(carl.get::<Signed>(&format!("{path}/transcript")).await.unwrap(), signed);

    // What is about a custodian's own standing and credentials is that custodian's.
    let key = centre.operator.propose(&Act::RevokeCredential { credential: stranger_key }).await.unwrap();
    let gone =
        centre.operator.propose(&Act::RevokePerson { person: stranger, replacement: None }).await.unwrap();
    for action in [key.action, gone.action] {
        assert!(stranger_client.action(action).await.is_ok());
        assert_eq!(refused(cora, format!("/actions/{action}")).await, "not_yours");
    }
    centre.end().await;
}

pub async fn formed(centre: &Centre, key_set: keylink::KeySetId, parts: [&[u8]; 2]) -> Transcript {
    let mut custodians = Vec::new();
    for one in &centre.custodians {
        custodians.push(one.me().await.unwrap().person);
    }
    let asked = centre.operator.propose(&Act::FormKey { key_set, custodians }).await.unwrap();
    centre.approve_all().await;
    let path = format!("/ceremonies/{}", asked.action);
    for (at, clear) in parts.iter().enumerate() {
        let by = &centre.custodians[at];
        let open: CeremonyView = by.get(&path).await.unwrap();
        let signed = part(by, &open, u8::try_from(at + 1).unwrap(), clear).await;
        by.post::<CeremonyView>(&format!("{path}/components"), &signed).await.unwrap();
    }
    centre.operator.post::<Signed>(&format!("{path}/finish"), &json!({})).await.unwrap().peek().unwrap()
}

// A key goes out under the ZMK, and comes in again as the next generation of another key set.
async fn exchange(centre: &Centre, zmk: KeyRef) {
    for alias in ["partner a", "partner b"] {
        zmk_set(centre, alias, Shape::Aes128).await;
    }
    let sets: Vec<KeySet> = centre.operator.all("/key-sets").await.unwrap();
    let set = |name: &str| sets.iter().find(|set| set.definition.name.starts_with(name)).unwrap().id();
    let transcript = formed(centre, set("partner a"), [&FIRST[..16], &SECOND[..16]]).await;
    let key = KeyRef { key_set: transcript.key_set.unwrap(), generation: transcript.generation };
    let idle = centre.operator.propose(&Act::ExportKey { key, under: zmk }).await;
    assert!(idle.is_err(), "a ZMK that is not in use wraps nothing");
    centre.ask(&[Act::ActivateKey(zmk), Act::ActivateKey(key)]).await;
    let weaker = centre.operator.propose(&Act::ExportKey { key: zmk, under: key }).await;
    assert_eq!(code(weaker.unwrap_err()), "strength");
    let itself = centre.operator.propose(&Act::ExportKey { key: zmk, under: zmk }).await;
    assert_eq!(code(itself.unwrap_err()), "not_exportable");
    let asked = centre.operator.propose(&Act::ExportKey { key, under: zmk }).await.unwrap();
    let path = format!("/actions/{}/export", asked.action);
    let early = centre.operator.post::<Value>(&path, &json!({})).await;
    assert_eq!(code(early.unwrap_err()), "not_approved");
    centre.approve_all().await;
    // Another officer than the one who asked: the log names the one to whom it was given.
    let out: Value = centre.officers[2].post(&path, &json!({})).await.unwrap();
    let block = out["block"].as_str().unwrap().to_owned();
    assert!(block.starts_with('D'), "TR-31 version D under an AES key");
    assert_eq!(out["kcv"], transcript.kcv.as_str());
    assert!(centre.operator.post::<Value>(&path, &json!({})).await.is_err(), "one approval, one export");
    import(centre, set("partner b"), zmk, &block, &transcript.kcv).await;
    let keys: Vec<KeyView> = centre.operator.all("/keys").await.unwrap();
    let imported = keys.iter().find(|key| key.key_set == set("partner b")).unwrap();
    assert_eq!(imported.kcv.as_deref(), Some(transcript.kcv.as_str()));
}

async fn import(centre: &Centre, key_set: keylink::KeySetId, zmk: KeyRef, block: &str, kcv: &str) {
    let hash = Digest::of(block.as_bytes());
    let act = |kcv: &str| Act::ImportKey { key_set, under: zmk, block: hash, kcv: kcv.to_owned() };
    let wrong = centre.operator.propose(&act("000000")).await.unwrap();
    centre.approve_all().await;
    let path = format!("/actions/{}/import", wrong.action);
    let body = json!({ "block": block });
    assert_eq!(code(centre.operator.post::<Outcome>(&path, &body).await.unwrap_err()), "check_value");
    let other = json!({ "block": format!("{block}0") });
    assert_eq!(code(centre.operator.post::<Outcome>(&path, &other).await.unwrap_err()), "other_block");
    let right = centre.operator.propose(&act(kcv)).await.unwrap();
    centre.approve_all().await;
    let path = format!("/actions/{}/import", right.action);
    centre.operator.post::<Outcome>(&path, &body).await.unwrap();
}

// Neither in bytes nor in hexadecimal, in any file of the centre: store, its log files, settings.
fn nothing_clear(centre: &Centre, secrets: &[&[u8]]) {
    let mut files = 0;
    for file in std::fs::read_dir(centre.folder.path().join("kmc")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        files += 1;
        for secret in secrets {
            let digits = hex::encode(secret);
            for needle in [secret.to_vec(), digits.clone().into_bytes(), digits.to_uppercase().into_bytes()] {
                assert!(!bytes.windows(needle.len()).any(|window| window == needle));
            }
        }
    }
    assert!(files > 5);
}

// What a ceremony refuses: one custodian for two components, officers, all-zero and weak results, and everything after
// it was given up.
#[tokio::test]
async fn refusals_of_ceremonies() {
    let mut centre = Centre::begin().await;
    let set = zmk_set(&centre, "exchange", Shape::Aes128).await;
    let [cora, carl] = [&centre.custodians[0], &centre.custodians[1]];
    let (one, two) = (cora.me().await.unwrap().person, carl.me().await.unwrap().person);
    let officer = centre.officers[0].me().await.unwrap().person;
    let form =
        |custodians: &[keylink::PersonId]| Act::FormKey { key_set: set, custodians: custodians.to_vec() };
    for custodians in [&[one, one][..], &[one], &[], &[one, officer], &[one, two, one]] {
        assert!(centre.operator.propose(&form(custodians)).await.is_err(), "{custodians:?}");
    }
    let asked = centre.operator.propose(&form(&[one, two])).await.unwrap();
    centre.approve_all().await;
    let path = format!("/ceremonies/{}", asked.action);
    let hand_in = async |by: &Client, number: u8, clear: &[u8]| {
        let open: CeremonyView = by.get(&path).await.unwrap();
        let signed = part(by, &open, number, clear).await;
        by.post::<CeremonyView>(&format!("{path}/components"), &signed).await
    };
    let finish = async || centre.operator.post::<Signed>(&format!("{path}/finish"), &json!({})).await;
    // Components of another length, and ones that cancel out.
    assert!(hand_in(cora, 1, &FIRST).await.is_err(), "32 bytes for a key of 16");
    hand_in(cora, 1, &FIRST[..16]).await.unwrap();
    hand_in(carl, 2, &FIRST[..16]).await.unwrap();
    assert_eq!(code(finish().await.unwrap_err()), "components");
    // An all-zero component would leave the other custodian alone with the key.
    hand_in(carl, 2, &[0; 16]).await.map_or_else(
        |refused| assert_eq!(code(refused), "components"),
        |_| panic!("an all-zero component is taken"),
    );
    // Given up: authenticated, in the log, and nothing of it is left.
    let before = cora.get::<CeremonyView>(&path).await.unwrap();
    let abandon = Act::Abandon { action: asked.action };
    assert_eq!(code(carl.propose(&abandon).await.unwrap_err()), "role");
    centre.operator.propose(&abandon).await.unwrap();
    assert!(cora.get::<CeremonyView>(&path).await.is_ok(), "one person alone does not end it");
    centre.approve_all().await;
    assert_eq!(code(finish().await.unwrap_err()), "unknown");
    assert_eq!(code(cora.get::<CeremonyView>(&path).await.unwrap_err()), "unknown");
    let late = part(cora, &before, 1, &FIRST[..16]).await;
    let late = cora.post::<CeremonyView>(&format!("{path}/components"), &late).await;
    assert_eq!(code(late.unwrap_err()), "unknown");
    assert!(centre.operator.propose(&abandon).await.is_err(), "once");
    let actions: Vec<keymgr::api::ActionView> = centre.auditor.all("/actions").await.unwrap();
    assert!(actions.iter().any(|view| view.word.as_deref() == Some("action.abandon")));
    // A ceremony that the manager's end has cut begins anew: another key, every component again.
    let asked = centre.operator.propose(&form(&[one, two])).await.unwrap();
    centre.approve_all().await;
    let path = format!("/ceremonies/{}", asked.action);
    let before: CeremonyView = centre.custodians[0].get(&path).await.unwrap();
    let signed = part(&centre.custodians[0], &before, 1, &FIRST[..16]).await;
    let components = format!("{path}/components");
    centre.custodians[0].post::<CeremonyView>(&components, &signed).await.unwrap();
    centre.end().await;
    centre.again().await;
    let after: CeremonyView = centre.custodians[0].get(&path).await.unwrap();
    assert_ne!(after.fingerprint, before.fingerprint);
    assert!(after.parts.iter().all(|part| part.check.is_none()));
    let old = centre.custodians[0].post::<CeremonyView>(&components, &signed).await;
    assert_eq!(code(old.unwrap_err()), "component", "sealed to a key that is gone");
    centre.end().await;
}

// A request whose answer was lost, sent again under its key as it was: export and import, before and after a restart.
#[tokio::test]
async fn a_lost_answer_can_be_had_again() {
    let mut centre = Centre::begin().await;
    let (zmk, key) = exchange_keys(&centre).await;
    let out = centre.operator.propose(&Act::ExportKey { key, under: zmk }).await.unwrap();
    centre.approve_all().await;
    let export = format!("POST /api/v1/actions/{}/export", out.action);
    let headers = "content-type: application/json\r\nidempotency-key: once\r\n";
    let send = async |line: &str, body: &str| {
        ask(&centre.address, &centre.operator, line, headers, body.as_bytes()).await
    };
    // Twice at the same time: one is done, both get the block that the log names.
    let (first, twin) = tokio::join!(send(&export, "{}"), send(&export, "{}"));
    assert_eq!((first.status, &first.body), (200, &twin.body), "{}", String::from_utf8_lossy(&twin.body));
    let again = send(&export, "{}").await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    // Other content, another path, another key, another person: none of them is the same request.
    assert_eq!(send(&export, "{} ").await.code(), "key_reused");
    let value: Value = serde_json::from_slice(&first.body).unwrap();
    let block = value["block"].as_str().unwrap();
    let target = zmk_set(&centre, "partner b", Shape::Aes128).await;
    let kcv = value["kcv"].as_str().unwrap().to_owned();
    let act = Act::ImportKey { key_set: target, under: zmk, block: Digest::of(block.as_bytes()), kcv };
    let wanted = centre.operator.propose(&act).await.unwrap();
    centre.approve_all().await;
    let import = format!("POST /api/v1/actions/{}/import", wanted.action);
    let body = json!({ "block": block }).to_string();
    assert_eq!(send(&import, &body).await.code(), "key_reused");
    let other = "content-type: application/json\r\nidempotency-key: other\r\n";
    let done = ask(&centre.address, &centre.operator, &export, other, b"{}").await;
    assert_eq!(done.code(), "not_approved");
    let hers = ask(&centre.address, &centre.officers[0], &export, headers, b"{}").await;
    assert_eq!(hers.code(), "not_approved");
    let took = ask(&centre.address, &centre.operator, &import, other, body.as_bytes()).await;
    let twice = ask(&centre.address, &centre.operator, &import, other, body.as_bytes()).await;
    assert_eq!((took.status, &took.body), (200, &twice.body));
    centre.end().await;
    centre.again().await;
    let after = ask(&centre.address, &centre.operator, &export, headers, b"{}").await;
    assert_eq!((after.status, &after.body), (200, &first.body));
    let after = ask(&centre.address, &centre.operator, &import, other, body.as_bytes()).await;
    assert_eq!((after.status, &after.body), (200, &took.body));
    // It left once, and what was given out is what the log names.
    let text = centre.auditor.bytes("/audit/export").await.unwrap();
    let text = String::from_utf8_lossy(&text);
    let left: Vec<&str> = text.lines().filter(|line| line.contains(" key.export ")).collect();
    assert_eq!(left.len(), 1);
    assert!(left[0].contains(&Digest::of(block.as_bytes()).to_string()));
    assert_eq!(text.lines().filter(|line| line.contains(" key.import ")).count(), 1);
    centre.end().await;
}

// A ZMK in use, and a key that may leave under it.
async fn exchange_keys(centre: &Centre) -> (KeyRef, KeyRef) {
    let mut keys = Vec::new();
    for (alias, shape, length) in [("exchange", Shape::Aes256, 32), ("partner a", Shape::Aes128, 16)] {
        let set = zmk_set(centre, alias, shape).await;
        let made = formed(centre, set, [&FIRST[..length], &SECOND[..length]]).await;
        keys.push(KeyRef { key_set: made.key_set.unwrap(), generation: made.generation });
    }
    centre.ask(&[Act::ActivateKey(keys[0]), Act::ActivateKey(keys[1])]).await;
    (keys[0], keys[1])
}

// Several keys come to one key set at the same time: each is sealed for the number that it gets, and opens.
#[tokio::test]
async fn keys_that_come_at_once_all_open() {
    let mut centre = Centre::begin().await;
    let (zmk, key) = exchange_keys(&centre).await;
    let out = centre.operator.propose(&Act::ExportKey { key, under: zmk }).await.unwrap();
    centre.approve_all().await;
    let path = format!("/actions/{}/export", out.action);
    let out: Value = centre.operator.post(&path, &json!({})).await.unwrap();
    let (block, kcv) = (out["block"].as_str().unwrap(), out["kcv"].as_str().unwrap());
    let key_set = zmk_set(&centre, "partner b", Shape::Aes128).await;
    let mut imports = Vec::new();
    for _ in 0..3 {
        let (block, kcv) = (Digest::of(block.as_bytes()), kcv.to_owned());
        let act = Act::ImportKey { key_set, under: zmk, block, kcv };
        imports.push(centre.operator.propose(&act).await.unwrap().action);
    }
    let mut custodians = Vec::new();
    for one in &centre.custodians {
        custodians.push(one.me().await.unwrap().person);
    }
    let ceremony = centre.operator.propose(&Act::FormKey { key_set, custodians }).await.unwrap().action;
    centre.approve_all().await;
    let path = format!("/ceremonies/{ceremony}");
    for (at, clear) in CUSTODIANS.iter().enumerate() {
        let by = &centre.custodians[at];
        let open: CeremonyView = by.get(&path).await.unwrap();
        let entry = part(by, &open, u8::try_from(at + 1).unwrap(), &clear[..16]).await;
        by.post::<CeremonyView>(&format!("{path}/components"), &entry).await.unwrap();
    }
    let body = json!({ "block": block });
    let import = async |at: usize| {
        let path = format!("/actions/{}/import", imports[at]);
        centre.operator.post::<Outcome>(&path, &body).await.unwrap()
    };
    let finish = async |by: &Client| by.post::<Signed>(&format!("{path}/finish"), &json!({})).await.unwrap();
    let (_, _, _, one, two) =
        tokio::join!(import(0), import(1), import(2), finish(&centre.operator), finish(&centre.officers[0]));
    assert_eq!(one, two, "two consoles get the one transcript that is kept");
    let transcript: Transcript = one.peek().unwrap();
    let keys: Vec<KeyView> = centre.operator.all(&format!("/keys?key_set={key_set}")).await.unwrap();
    let mut numbers: Vec<_> = keys.iter().map(|key| key.generation.0).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4]);
    // Going out again opens the block under its label.
    for number in numbers {
        let key = KeyRef { key_set, generation: Generation(number) };
        let out = centre.operator.propose(&Act::ExportKey { key, under: zmk }).await.unwrap();
        centre.approve_all().await;
        let path = format!("/actions/{}/export", out.action);
        let out: Value = centre.operator.post(&path, &json!({})).await.unwrap();
        let own = if key.generation == transcript.generation { transcript.kcv.as_str() } else { kcv };
        assert_eq!(out["kcv"], own);
    }
    centre.end().await;
}
