//! What comes over the nodes' paths and is not what it should be: replayed, of another node, of another connection,
//! forged, out of order, over its time, and two histories under one key.

use crate::house::Centre;
use crate::nodes;
use crate::rotation::{enrolled, rotate, wishes};
use gateway::node::{Answer, HttpsTransport, Identity, Opening, Sending, Transport, TransportError};
use keylink::endpoint::Endpoint;
use keylink::envelope::{bytes_of, strict};
use keylink::message::{Hello, Mail, Parcel, Pull, Receipt};
use keylink::wire::U64;
use keylink::{Signed, SoftSigner};
use keymgr::api::{HolderView, NodeView, Problem};
use keymgr::client::plan_zone;
use keymgr::core::alarm::{Alarm, AlarmKind};
use keymgr::core::campaign::{Delivery, Phase};
use std::sync::{Arc, Mutex};

pub type Heard = Arc<Mutex<Vec<(Endpoint, Vec<u8>, Vec<u8>)>>>;

/// A node's own way to the manager that remembers what went over it, and on which somebody may answer instead.
pub struct Tap {
    pub inner: HttpsTransport,
    pub heard: Heard,
    pub lie: Lie,
}

pub type Lie = Arc<Mutex<Option<Vec<u8>>>>;

impl Transport for Tap {
    fn session(&self) -> Opening<'_> {
        self.inner.session()
    }

    fn post(&self, endpoint: Endpoint, body: Vec<u8>) -> Sending<'_> {
        Box::pin(async move {
            let lie = if endpoint == Endpoint::Pull { self.lie.lock().unwrap().take() } else { None };
            if let Some(lie) = lie {
                return Ok(Answer::Taken(lie));
            }
            let answer = self.inner.post(endpoint, body.clone()).await;
            if let Ok(Answer::Taken(mail)) = &answer {
                self.heard.lock().unwrap().push((endpoint, body, mail.clone()));
            }
            answer
        })
    }
}

pub fn way(identity: &Identity) -> HttpsTransport {
    HttpsTransport::new(&identity.url, &identity.tls()).unwrap()
}

pub fn refused(answer: Result<Answer, TransportError>) -> (u16, String) {
    match answer.unwrap_err() {
        TransportError::Refused(status, text) => {
            (status, serde_json::from_str::<Problem>(&text).unwrap().code)
        }
        other => panic!("{other:?}"),
    }
}

pub fn said(heard: &Heard, wanted: Endpoint) -> Vec<Vec<u8>> {
    heard.lock().unwrap().iter().filter(|(at, ..)| *at == wanted).map(|(_, body, _)| body.clone()).collect()
}

async fn quarantined(centre: &Centre, name: &str) -> bool {
    let nodes: Vec<NodeView> = centre.operator.all("/nodes").await.unwrap();
    nodes.iter().find(|node| node.name == name).unwrap().quarantined.is_some()
}

struct Fleet {
    centre: Centre,
    identities: Vec<Identity>,
    heard: Vec<Heard>,
    lies: Vec<Lie>,
    campaign: keymgr::core::campaign::Campaign,
}

// Three nodes, two of them in a zone whose key was rotated in.
async fn fleet() -> Fleet {
    let centre = Centre::begin().await;
    let asking = enrolled(&centre, &["n1", "n2", "n3"]).await;
    let (_, acts) = plan_zone(&centre.operator, &wishes("east", &asking[..2])).await.unwrap();
    centre.ask(&acts).await;
    let (mut identities, mut heard, mut lies) = (Vec::new(), Vec::new(), Vec::new());
    for one in &asking {
        let identity = one.once().await.unwrap();
        let (log, lie) = (Heard::default(), Lie::default());
        let tap = Tap { inner: way(&identity), heard: log.clone(), lie: lie.clone() };
        nodes::start_over(&identity, &one.store, Arc::new(tap)).await;
        identities.push(identity);
        heard.push(log);
        lies.push(lie);
    }
    let campaign = rotate(&centre, "east").await;
    assert_eq!(campaign.phase, Phase::Completed);
    Fleet { centre, identities, heard, lies, campaign }
}

pub fn changed<B: keylink::Body>(bytes: &[u8], by: &SoftSigner, change: impl Fn(&mut B)) -> Vec<u8> {
    let mut body: B = Signed::parse(bytes).unwrap().peek().unwrap();
    change(&mut body);
    Signed::seal(&body, by).to_bytes()
}

#[tokio::test]
async fn what_nodes_say_counts_once_and_for_themselves_only() {
    let mut fleet = fleet().await;
    let centre = &fleet.centre;
    let [n1, n2] = [&fleet.identities[0], &fleet.identities[1]];
    let (own, others) = (way(n1), way(n2));
    let signer = nodes::signer_of(n1);
    let hello = said(&fleet.heard[0], Endpoint::Hello).remove(0);
    let pull = said(&fleet.heard[0], Endpoint::Pull).remove(0);
    let parcels = said(&fleet.heard[0], Endpoint::Receipts);
    assert!(parcels.len() >= 3, "proven, accepting, activated");
    let parsed: Hello = Signed::parse(&hello).unwrap().peek().unwrap();
    assert!(parsed.exporter.is_some(), "bound to its connection");

    // Replayed by the node itself, over its own new connection.
    assert_eq!(refused(own.post(Endpoint::Hello, hello.clone()).await), (403, "other_session".to_owned()));
    assert_eq!(refused(own.post(Endpoint::Pull, pull.clone()).await), (409, "message_replayed".to_owned()));
    // For no connection, new and otherwise sound.
    let unbound = |hello: &mut Hello| (hello.head.seq, hello.exporter) = (U64(1 << 40), None);
    let unbound = changed::<Hello>(&hello, &signer, unbound);
    assert_eq!(refused(own.post(Endpoint::Hello, unbound).await), (403, "other_session".to_owned()));
    // Over another node's connection.
    for (endpoint, body) in
        [(Endpoint::Hello, &hello), (Endpoint::Pull, &pull), (Endpoint::Receipts, &parcels[0])]
    {
        assert_eq!(refused(others.post(endpoint, body.clone()).await), (403, "other_node".to_owned()));
    }
    // Signed by another key, of another centre, over its time, of another kind.
    let foreign = SoftSigner::new(&[9; 32]);
    let post = async |bytes: Vec<u8>| refused(own.post(Endpoint::Pull, bytes).await).1;
    assert_eq!(
        post(changed::<Pull>(&pull, &foreign, |pull| pull.head.seq = U64(1 << 40))).await,
        "message_signature"
    );
    let elsewhere = |pull: &mut Pull| {
        (pull.head.seq, pull.head.kmc) = (U64(1 << 40), keylink::KmcId([1; 32]));
    };
    assert_eq!(post(changed::<Pull>(&pull, &signer, elsewhere)).await, "message_head");
    let late = |pull: &mut Pull| {
        (pull.head.seq, pull.head.not_after) = (U64(1 << 40), U64(1));
    };
    assert_eq!(post(changed::<Pull>(&pull, &signer, late)).await, "message_head");
    assert_eq!(post(hello.clone()).await, "message");
    assert_eq!(post(b"{\"type\":1}".to_vec()).await, "message");
    assert_eq!(refused(own.post(Endpoint::Beat, pull.clone()).await).1, "message");

    // Receipts: again, in another order, forged. Nothing is counted that was not.
    let before = counted(centre, &fleet.campaign).await;
    for body in &parcels {
        let answer = own.post(Endpoint::Receipts, body.clone()).await.unwrap();
        let Answer::Taken(mail) = answer else { panic!("waits") };
        assert!(
            strict::<Mail>(&mail).unwrap().messages.iter().all(|message| message.kind == "counter-receipt")
        );
    }
    let receipts: Vec<Signed> = parcels
        .iter()
        .flat_map(|body| strict::<Parcel>(body).unwrap().messages)
        .filter(|one| one.kind == "receipt")
        .collect();
    let last: Receipt = receipts.last().unwrap().peek().unwrap();
    let mut ahead = last.clone();
    ahead.head.seq = U64(last.head.seq.0 + 5);
    let forged =
        |receipt: &Receipt, by: &SoftSigner| bytes_of(&Parcel { messages: vec![Signed::seal(receipt, by)] });
    let reordered = bytes_of(&Parcel { messages: receipts.iter().rev().cloned().collect() });
    for body in [forged(&ahead, &signer), forged(&ahead, &foreign), reordered] {
        let answer = own.post(Endpoint::Receipts, body).await.unwrap();
        let Answer::Taken(mail) = answer else { panic!("waits") };
        let counter = strict::<Mail>(&mail).unwrap().messages;
        assert!(counter.len() <= 1, "at most the last one that was counted before");
    }
    assert_eq!(counted(centre, &fleet.campaign).await, before);
    // What was counted before is not written again: the log holds each receipt of the node once.
    let export = centre.auditor.bytes("/audit/export").await.unwrap();
    let text = String::from_utf8_lossy(&export);
    let lines = text.lines().skip_while(|line| !line.contains("node.said"));
    let mut known = std::collections::BTreeSet::new();
    for receipt in &receipts {
        let name = receipt.hash().to_string();
        let times = lines.clone().filter(|line| line.contains("node.said") && line.contains(&name)).count();
        assert!(!known.insert(name) || times == 1, "{times} entries for one receipt");
    }
    assert!(!quarantined(centre, "n1").await && !quarantined(centre, "n2").await);

    // Another receipt under a number that was used: two histories under one key.
    let mut fork = last.clone();
    fork.utc_ms = U64(last.utc_ms.0 + 1);
    let _ = own.post(Endpoint::Receipts, forged(&fork, &signer)).await;
    assert!(quarantined(centre, "n1").await && !quarantined(centre, "n2").await);
    fleet.centre.end().await;
}

async fn counted(centre: &Centre, campaign: &keymgr::core::campaign::Campaign) -> Vec<Delivery> {
    centre.operator.all(&format!("/campaigns/{}/deliveries", campaign.id)).await.unwrap()
}

#[tokio::test]
async fn a_key_reaches_members_only_and_never_clear() {
    let mut fleet = fleet().await;
    let centre = &fleet.centre;
    let holders: Vec<HolderView> = centre.operator.all("/holders").await.unwrap();
    let of = |at: usize| holders.iter().filter(|holder| holder.node == fleet.identities[at].node()).count();
    assert_eq!((of(0), of(1), of(2)), (1, 1, 0));
    let blocks = |at: usize| -> usize {
        let heard = fleet.heard[at].lock().unwrap();
        let mails = heard.iter().filter_map(|(_, _, mail)| strict::<Mail>(mail).ok());
        mails
            .flat_map(|mail| mail.messages)
            .filter(|message| {
                message.kind == "manifest"
                    && String::from_utf8_lossy(&message.payload).contains("\"block\":\"D")
            })
            .count()
    };
    assert!(blocks(0) > 0 && blocks(1) > 0);
    assert_eq!(blocks(2), 0, "who is no member gets no block");
    // A rotation that would name a node that is no member is not asked for.
    let wishes =
        keymgr::client::RotateWishes { excepted: [fleet.identities[2].node()].into(), ..Default::default() };
    let plan = keymgr::client::plan_rotation(&centre.operator, "east", &wishes).await.unwrap();
    assert!(centre.operator.propose(&plan.act).await.is_err());
    fleet.centre.end().await;
}

// Mail that a node did not get from its manager, or had before: none is obeyed, each is refused in a signed message, and
// the centre is alarmed about a node to which somebody else speaks.
#[tokio::test]
async fn mail_that_is_not_the_nodes_own_or_not_new_changes_nothing() {
    let mut fleet = fleet().await;
    let centre = &fleet.centre;
    let mails = |at: usize| -> Vec<Vec<u8>> {
        let heard = fleet.heard[at].lock().unwrap();
        let with = |mail: &Vec<u8>| {
            strict::<Mail>(mail)
                .is_ok_and(|mail| mail.messages.iter().any(|message| message.kind == "manifest"))
        };
        heard.iter().map(|(_, _, mail)| mail.clone()).filter(with).collect()
    };
    let (own, others) = (mails(1), mails(0));
    assert!(own.len() >= 3, "stage, accept, protect");
    let manifest = |mail: &[u8]| -> Signed {
        let mail: Mail = strict(mail).unwrap();
        mail.messages.into_iter().find(|message| message.kind == "manifest").unwrap()
    };
    let alone = |signed: Signed| bytes_of(&Mail { roots: vec![], messages: vec![signed] });
    let newest = manifest(own.last().unwrap());
    let mut altered = newest.clone();
    *altered.payload.last_mut().unwrap() = b' ';
    // A later number under a key that is not the centre's.
    let mut forged: keylink::message::Manifest = newest.peek().unwrap();
    forged.head.seq = U64(forged.head.seq.0 + 1);
    let forged = Signed::seal(&forged, &SoftSigner::new(&[7; 32]));
    let before = held(centre).await;
    let lies = [
        ("of another node", alone(manifest(&others[0]))),
        ("replayed", alone(manifest(&own[0]))),
        ("rolled back", alone(manifest(&own[1]))),
        ("altered", alone(altered)),
        ("forged", alone(forged)),
        ("no mail", b"not a mail".to_vec()),
    ];
    for (what, mail) in lies {
        let refusals = || {
            let sent = said(&fleet.heard[1], Endpoint::Receipts);
            let parcels = sent.iter().map(|body| strict::<Parcel>(body).unwrap());
            parcels.flat_map(|parcel| parcel.messages).filter(|message| message.kind == "refused").count()
        };
        let count = refusals();
        *fleet.lies[1].lock().unwrap() = Some(mail);
        let began = std::time::Instant::now();
        while refusals() == count {
            assert!(began.elapsed() < std::time::Duration::from_secs(60), "{what}: no signed refusal");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert_eq!(held(centre).await, before, "{what}");
    }
    let alarms: Vec<Alarm> = centre.operator.all("/alarms?state=all").await.unwrap();
    let node = fleet.identities[1].node().to_string();
    let told = |alarms: &[Alarm]| {
        let foreign = |alarm: &Alarm| {
            alarm.kind == AlarmKind::ForeignMail && alarm.subject == node && alarm.ended_utc_ms.is_none()
        };
        alarms.iter().any(foreign)
    };
    assert!(told(&alarms), "whatever else it reports: {alarms:?}");
    // What comes from its manager is obeyed as before.
    let second = rotate(centre, "east").await;
    assert_eq!((second.phase, second.new_generation().0), (Phase::Completed, 2));
    let alarms: Vec<Alarm> = centre.operator.all("/alarms?state=all").await.unwrap();
    assert!(!told(&alarms), "it does what we say: {alarms:?}");
    fleet.centre.end().await;
}

async fn held(centre: &Centre) -> Vec<String> {
    let all: Vec<HolderView> = centre.operator.all("/holders").await.unwrap();
    all.iter().map(|one| format!("{} {} {:?}", one.node, one.generation, one.progress)).collect()
}

// A node identity in wrong hands pulls without a pause: most of it is turned away before the log, other nodes are served
// as before, and the node itself is heard again when it has waited.
#[tokio::test]
async fn who_asks_without_a_pause_is_turned_away_before_the_log() {
    let mut fleet = fleet().await;
    let centre = &fleet.centre;
    let (own, signer) = (way(&fleet.identities[0]), nodes::signer_of(&fleet.identities[0]));
    let pull = said(&fleet.heard[0], Endpoint::Pull).pop().unwrap();
    let pull = |number: u64| {
        let next = |pull: &mut Pull| (pull.head.seq, pull.wait_s) = (U64((1 << 40) + number), 0);
        changed::<Pull>(&pull, &signer, next)
    };
    let size = async || centre.auditor.get::<keymgr::api::HeadView>("/audit/head").await.unwrap().size.0;
    let before = size().await;
    let (mut heard, mut wait) = (0_u64, None);
    for number in 0..400 {
        match own.post(Endpoint::Pull, pull(number)).await {
            Ok(_) => heard += 1,
            Err(TransportError::Busy(seconds)) => wait = Some(seconds),
            Err(other) => panic!("{other}"),
        }
    }
    let wait = wait.expect("turned away");
    assert!((100..400).contains(&heard), "{heard} of 400 heard");
    assert!((1..=2).contains(&wait), "{wait} s");
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let written = size().await - before;
    assert!(written < heard + 60, "{written} entries for {heard} that were heard");
    let other = changed::<Pull>(
        &said(&fleet.heard[1], Endpoint::Pull).remove(0),
        &nodes::signer_of(&fleet.identities[1]),
        |pull| (pull.head.seq, pull.wait_s) = (U64(1 << 40), 0),
    );
    assert!(way(&fleet.identities[1]).post(Endpoint::Pull, other).await.is_ok());
    tokio::time::sleep(std::time::Duration::from_secs(wait)).await;
    assert!(own.post(Endpoint::Pull, pull(400)).await.is_ok());
    fleet.centre.end().await;
}

// Exports come from connections of their own, one after the other, while everything else is served; a reader that goes
// away in the middle leaves the turn to the next.
#[tokio::test]
async fn exports_take_turns_and_stop_nobody() {
    let mut fleet = fleet().await;
    let centre = &fleet.centre;
    let line = b"GET /api/v1/audit/export HTTP/1.1\r\nhost: kmc\r\n\r\n";
    let mut gone = crate::raw::connect(&centre.address, centre.auditor.identity()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut gone, line).await.unwrap();
    drop(gone);
    let read = async || centre.auditor.bytes("/audit/export").await.unwrap();
    let (one, two, status) =
        tokio::join!(read(), read(), centre.operator.get::<keymgr::api::StatusView>("/status"));
    assert!(status.is_ok());
    for export in [one, two] {
        let report = keymgr::audit::verify_export(&mut export.as_slice(), Default::default()).unwrap();
        assert!(report.holds, "{:?}", report.findings);
        assert_eq!(report.covered, report.entries, "a checkpoint covers all of it");
    }
    fleet.centre.end().await;
}
