//! One transport authority follows another: what nodes and manager show each other in between, and what counts no more
//! afterwards.

use crate::certificates::{Place, ask, carry_to, code, listen, renewal, start, until, way};
use crate::packages::{fetch, hand_in};
use crate::pushes::push_to;
use gateway::node::{Answer, HttpsTransport, Identity, RenewError, TlsIdentity, TransportError};
use keylink::message::{Renew, Renewed};
use keylink::wire::Blob;
use keylink::{PublicKey, Signed};
use keymgr::api::{SigningKeyView, SuccessorView};
use keymgr::client::utc_ms;
use keymgr::core::signing::KeyPhase;
use keymgr::house::certificate_issuer;
use keymgr::service::Fate;
use serde_json::{Value, json};
use std::path::Path;

async fn key(place: &Place) -> SigningKeyView {
    let all: Vec<SigningKeyView> = place.centre.operator.get("/signing-keys").await.unwrap();
    all.into_iter().find(|one| one.key.word() == "transport").unwrap()
}

// Officers have approved another; gives the one that goes and the one that comes.
async fn follow(place: &Place) -> (PublicKey, PublicKey) {
    let path = "/signing-keys/transport/successor";
    let seen: SuccessorView = place.centre.operator.post(path, &json!({})).await.unwrap();
    let ends = (seen.old, seen.new);
    place.centre.ask(&[seen.act]).await;
    ends
}

async fn traffic(place: &Place, n: usize, to: &str) {
    let path = format!("/nodes/{}/traffic", place.identities[n].node());
    let _: Value = place.centre.operator.post(&path, &json!({ "to": to })).await.unwrap();
}

// The old one goes, and the node, which hears of it after the centre, knows the new one alone.
async fn followed(place: &Place, path: &Path, after: PublicKey) {
    until("the old one goes", async || {
        let now = key(place).await;
        now.change.is_none() && now.public == after
    })
    .await;
    until("the node knows the new one alone", async || {
        Identity::load(path).is_ok_and(|own| own.tls().authorities == [after])
    })
    .await;
}

fn early(answer: Result<Answer, TransportError>) {
    assert_eq!(code(answer), (409, "not_due".to_owned()));
}

#[tokio::test]
async fn an_authority_is_followed_by_nodes_that_run_and_counts_no_more() {
    let mut place = Place::begin(&["n1", "n2"]).await;
    let old = [place.identities[0].clone(), place.identities[1].clone()];
    traffic(&place, 1, "offline").await;
    let path = place.file("n1.json");
    old[0].save(&path).unwrap();
    // Open from before, and open all the time.
    let kept = way(&old[0]);
    let request = renewal(&old[0], &place.file("kept.json"), &kept).request(utc_ms()).unwrap();
    early(ask(&kept, &request).await);
    let (before, after) = follow(&place).await;
    // Nobody is there who could learn it: the old one issues, and is shown to who knows no other.
    until("it is named", async || {
        key(&place).await.change.is_some_and(|change| change.phase == KeyPhase::Learning)
    })
    .await;
    assert_eq!(key(&place).await.public, before);
    early(ask(&way(&old[0]), &request).await);
    let side = start(&place, 0, &old[0], &path).await;
    followed(&place, &path, after).await;
    assert_eq!(place.view(0).await.certificate_by, Some(after));
    assert_eq!(place.view(1).await.certificate_by, Some(before));
    // On the connection that was open, and on others: nothing is taken from it.
    assert_eq!(code(ask(&kept, &request).await), (401, "certificate".to_owned()));
    for identity in &old {
        assert!(matches!(ask(&way(identity), &request).await, Err(TransportError::Unreachable(_))));
    }
    // Whoever knows the new authority and shows a certificate of the old is not let in either.
    let mut mixed = old[0].tls();
    mixed.authorities = vec![after];
    let mixed = HttpsTransport::new(&old[0].url, &mixed).unwrap();
    assert!(matches!(ask(&mixed, &request).await, Err(TransportError::Unreachable(_))));
    // The node is there before and after a start of the manager.
    place.centre.end().await;
    place.centre.again().await;
    let began = utc_ms();
    until("is back", async || place.view(0).await.seen_utc_ms > began).await;
    side.abort();

    // The way back: a request by the node's own key, brought by anybody.
    let (path, node) = (place.file("n2.json"), old[1].node());
    old[1].save(&path).unwrap();
    let back = carry_to(&place, 1, &path, &fetch(&place.centre, node).await).await;
    let verdicts = hand_in(&place.centre, node, &back).await.unwrap();
    assert_eq!(verdicts.iter().find(|one| one.kind == "renew").unwrap().fate, Fate::Taken);
    let back = carry_to(&place, 1, &path, &fetch(&place.centre, node).await).await;
    hand_in(&place.centre, node, &back).await.unwrap();
    assert_eq!(place.view(1).await.certificate_by, Some(after));
    let fresh = Identity::load(&path).unwrap();
    let request = renewal(&fresh, &place.file("other.json"), &way(&fresh)).request(utc_ms()).unwrap();
    early(ask(&way(&fresh), &request).await);
    place.centre.end().await;
}

#[tokio::test]
async fn an_authority_is_followed_by_a_node_that_is_pushed_to() {
    let mut place = Place::begin(&["n1"]).await;
    let path = place.file("n1.json");
    place.identities[0].save(&path).unwrap();
    let (address, tasks) = listen(&place, 0, &path).await;
    push_to(&place.centre, place.identities[0].node(), Some(&address)).await.unwrap();
    until("is heard", async || place.view(0).await.seen_utc_ms > 0).await;
    let issued = place.issued().await;
    let (_, after) = follow(&place).await;
    followed(&place, &path, after).await;
    assert_eq!(place.view(0).await.certificate_by, Some(after));
    // Once, or once more where the answer took longer than the first pause; not with each push.
    let made = place.issued().await - issued;
    assert!((1..=3).contains(&made), "{made}");
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    place.centre.end().await;
}

#[tokio::test]
async fn whoever_knows_one_of_two_authorities_is_shown_a_certificate_of_that_one() {
    let mut place = Place::begin(&["n1"]).await;
    let own = place.identities[0].clone();
    // It learns what the root document says, and asks for no certificate: the change waits for it.
    let side = crate::nodes::start(&own, &place.asking[0].store).await;
    let (before, after) = follow(&place).await;
    until("the new one issues", async || {
        key(&place).await.change.is_some_and(|change| change.phase == KeyPhase::Signing)
    })
    .await;
    let knows = |authorities: &[PublicKey]| {
        let tls = TlsIdentity { authorities: authorities.to_vec(), ..own.tls() };
        HttpsTransport::new(&own.url, &tls).unwrap()
    };
    let request = renewal(&own, &place.file("n1.json"), &way(&own)).request(utc_ms()).unwrap();
    for authorities in [&[before][..], &[after], &[before, after]] {
        let Ok(Answer::Taken(answer)) = ask(&knows(authorities), &request).await else { panic!("refused") };
        let renewed: Renewed = Signed::parse(&answer).unwrap().peek().unwrap();
        assert_eq!(certificate_issuer(&renewed.certificates[0].0), Some(after));
    }
    let none = ask(&knows(&[PublicKey([9; 32])]), &request).await;
    assert!(matches!(none, Err(TransportError::Unreachable(_))), "{none:?}");
    let change = key(&place).await.change.unwrap();
    assert_eq!((change.phase, change.waits_for), (KeyPhase::Signing, vec!["n1".to_owned()]));
    side.abort();
    place.centre.end().await;
}

#[tokio::test]
async fn a_node_takes_certificates_of_the_last_authority_that_its_root_document_names() {
    let mut place = Place::begin(&["n1"]).await;
    let (own, path) = (place.identities[0].clone(), place.file("n1.json"));
    own.save(&path).unwrap();
    let mut renewal = renewal(&own, &path, &way(&own));
    let document = place.document(0).await;
    assert!(!renewal.is_due(utc_ms()));
    // Another is named behind the one that issued its certificate: it asks at once, and again soon.
    let next = place.foreign([0xA1; 32]);
    let mut both = document.clone();
    both.transport_keys.push(next.key());
    renewal.follow(&both).unwrap();
    assert_eq!(Identity::load(&path).unwrap().tls().authorities, both.transport_keys);
    assert!(renewal.is_due(utc_ms()));
    let now = utc_ms();
    let request = renewal.request(now).unwrap();
    assert!(!renewal.is_due(now + 500) && renewal.is_due(now + 1_000));
    renewal.request(now + 1_000).unwrap();
    assert!(!renewal.is_due(now + 2_500) && renewal.is_due(now + 3_000));
    let csr = request.peek::<Renew>().unwrap().csr;
    let issued = |by: &keymgr::house::Authority, days| {
        by.certify(&csr.0, &own.node().to_string(), utc_ms(), days).unwrap()
    };
    let answer = |der: Vec<u8>| {
        place.answer(&request, 0, |body: &mut Renewed| body.certificates = vec![Blob(der.clone())])
    };
    // By one that is named nowhere.
    let stranger = place.foreign([0xA2; 32]);
    let taken = renewal.accept(&both, &answer(issued(&stranger, 397)), utc_ms());
    assert!(matches!(taken, Err(RenewError::Certificate(_))), "{taken:?}");
    // By the next one, before the pinned document names it.
    let taken = renewal.accept(&document, &answer(issued(&next, 397)), utc_ms());
    assert!(matches!(taken, Err(RenewError::Certificate(_))), "{taken:?}");
    // It may end earlier than the one in use; what the one before issues afterwards is no better.
    let certificate = issued(&next, 30);
    renewal.accept(&both, &answer(certificate), utc_ms()).unwrap();
    assert!(renewal.is_due(utc_ms()), "by its end alone");
    let request = renewal.request(utc_ms()).unwrap();
    let older = place.answer(&request, 0, |_| ());
    assert!(Signed::parse(&older).is_ok());
    let taken = renewal.accept(&both, &older, utc_ms());
    assert!(matches!(taken, Err(RenewError::Certificate(_))), "{taken:?}");
    // Where the document names it alone, nothing has to be asked.
    let mut alone = both.clone();
    alone.transport_keys.remove(0);
    let longer = place.answer(&request, 0, |body| {
        body.certificates = vec![Blob(issued(&next, 397))];
    });
    renewal.accept(&both, &longer, utc_ms()).unwrap();
    renewal.follow(&alone).unwrap();
    assert!(!renewal.is_due(utc_ms()));
    place.centre.end().await;
}
