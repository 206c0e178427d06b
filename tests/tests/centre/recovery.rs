//! Recovery keys replace officers: the document waits three days, at the centre and at its nodes, and then its officers
//! decide and nobody else.

use crate::house::{Centre, PASSPHRASE, recovery_keys};
use crate::nodes::{self, Asking};
use crate::rotation::enrolled;
use keylink::node::NodeState;
use keylink::root::{Officer, RECOVERY_DELAY_MS, RootDocument, SignedRoot};
use keylink::{CredentialId, PersonId, ZoneId};
use keymgr::client::{Client, ClientProblem, fresh_id, sign, utc_ms};
use keymgr::core::action::Act;
use keymgr::core::alarm::{Alarm, AlarmKind};
use keymgr::core::approval::ActionState;
use keymgr::core::input::Outcome;
use keymgr::person::Home;
use keymgr::service::Clock;
use std::time::Duration;

// Ada stays; Dora and Emil come.
async fn document(centre: &Centre) -> (RootDocument, Vec<Client>) {
    let draft: RootDocument = centre.operator.get("/root/next").await.unwrap();
    let me = centre.officers[0].me().await.unwrap();
    let ada = Officer {
        person: me.person,
        credential: me.credential,
        key: centre.officers[0].identity().public_key(),
    };
    let mut officers = vec![ada];
    let mut clients = Vec::new();
    for name in ["Dora", "Emil"] {
        let identity = Home::at(centre.folder.path().join(name)).create(name, PASSPHRASE).unwrap();
        let ((time, person), (_, credential)) = (fresh_id().unwrap(), fresh_id().unwrap());
        let (person, credential) = (PersonId::new(time, person), CredentialId::new(time, credential));
        officers.push(Officer { person, credential, key: identity.public_key() });
        clients.push(Client::new(&centre.address, identity).unwrap());
    }
    (RootDocument { officers, ..draft }, clients)
}

fn signed(document: &RootDocument, centre: &Centre, new: &[Client]) -> SignedRoot {
    let mut root = SignedRoot::new(document);
    recovery_keys().iter().for_each(|key| root.sign(key));
    root.sign(centre.officers[0].identity());
    new.iter().for_each(|client| root.sign(client.identity()));
    root
}

async fn lasting(centre: &Centre) -> Vec<AlarmKind> {
    let all: Vec<Alarm> = centre.auditor.all("/alarms").await.unwrap();
    all.iter().filter(|alarm| alarm.ended_utc_ms.is_none()).map(|alarm| alarm.kind).collect()
}

#[tokio::test]
async fn a_recovery_takes_effect_at_a_running_centre() {
    let mut centre = Centre::begin().await;
    let asking: Vec<Asking> = enrolled(&centre, &["n1"]).await;
    centre.approve_all().await;
    let identity = asking[0].once().await.unwrap();
    let (document, new) = document(&centre).await;
    // With Ada under other ids it could never take effect, and is refused now.
    let mut other = document.clone();
    other.officers[0].person = PersonId::new(7, [7; 10]);
    let refused = centre.operator.post::<Outcome>("/root", &signed(&other, &centre, &new)).await;
    assert!(matches!(&refused, Err(ClientProblem::Refused(p)) if p.code == "exists"), "{refused:?}");
    let root = signed(&document, &centre, &new);
    let _: Outcome = centre.operator.post("/root", &root).await.unwrap();
    assert!(lasting(&centre).await.contains(&AlarmKind::Recovery));
    // A node is told at once, and waits by itself.
    let store = &asking[0].store;
    let node = nodes::start(&identity, store).await;
    let waits = || {
        let state = serde_json::from_slice::<NodeState>(&store.load(identity.node()).unwrap()?).unwrap();
        state.recovery.map(|(waiting, _)| waiting.hash())
    };
    for _ in 0..100 {
        if waits().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(waits(), Some(root.hash()));
    node.abort();
    centre.end().await;
    let clock = Clock::ahead(Duration::from_millis(RECOVERY_DELAY_MS + 1_000));
    centre.again_by(clock).await;
    let all = async || centre.auditor.get::<Vec<SignedRoot>>("/root").await.unwrap();
    for _ in 0..100 {
        if all().await.len() > 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(all().await.last().map(SignedRoot::hash), Some(root.hash()));
    let alarms = lasting(&centre).await;
    let over = [AlarmKind::Recovery, AlarmKind::RootBehind, AlarmKind::Stuck];
    assert!(over.iter().all(|kind| !alarms.contains(kind)), "{alarms:?}");
    // Those who went are nobody; those who came, and she who stayed, decide.
    assert!(centre.officers[1].me().await.is_err());
    let (time, random) = fresh_id().unwrap();
    let zone = Act::CreateZone { id: ZoneId::new(time, random), alias: "late".to_owned(), live: false };
    let asked = centre.operator.propose(&zone).await.unwrap();
    let mut last = None;
    for officer in [&centre.officers[0], &new[0]] {
        let view = officer.action(asked.action).await.unwrap();
        let (kmc, me) = (officer.kmc().await.unwrap(), officer.me().await.unwrap());
        let then = utc_ms() + RECOVERY_DELAY_MS;
        let approval = sign(&view, kmc, (me.person, me.credential), officer.identity(), then).unwrap();
        let path = format!("/actions/{}/approvals", asked.action);
        last = Some(officer.post::<Outcome>(&path, &approval).await.unwrap());
    }
    assert!(matches!(last, Some(Outcome::Approved { state: ActionState::Done, .. })), "{last:?}");
    centre.end().await;
}
