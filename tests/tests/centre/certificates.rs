//! Transport certificates of nodes: made anew before they end, for the same key, by nodes that are served; and people are
//! told of those that were not.

use crate::house::{Centre, PASSPHRASE};
use crate::nodes::{self, Asking};
use crate::packages::{fetch, hand_in};
use crate::rotation::enrolled;
use gateway::node::{
    Answer, HttpsTransport, Identity, Nowhere, Pace, PushListener, RenewError, Renewal, SideHandle,
    Transport, TransportError, carry, run,
};
use keylink::endpoint::Endpoint;
use keylink::envelope::strict;
use keylink::message::{Audience, CERTIFICATE_RENEW_MS, Mail, Package, Parcel, Renew, Renewed};
use keylink::root::RootDocument;
use keylink::succession::CentreKey;
use keylink::wire::{Blob, U64};
use keylink::{NotSigned, PublicKey, Sign, Signed, SoftSigner, TrySign};
use keymgr::api::{NodeView, Problem};
use keymgr::client::utc_ms;
use keymgr::core::alarm::{Alarm, AlarmKind};
use keymgr::house::{Authority, House, HouseKeys, RingSigner, certificate_end};
use keymgr::service::{Clock, Fate, Verdict};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const DAY: u64 = 86_400_000;

pub(crate) struct Place {
    pub centre: Centre,
    keys: HouseKeys,
    pub asking: Vec<Asking>,
    pub identities: Vec<Identity>,
}

impl Place {
    pub async fn begin(names: &[&str]) -> Self {
        let centre = Centre::begin().await;
        let asking = enrolled(&centre, names).await;
        centre.approve_all().await;
        let mut identities = Vec::new();
        for one in &asking {
            identities.push(one.once().await.unwrap());
        }
        let keys = House::at(centre.folder.path().join("kmc")).open(PASSPHRASE).unwrap();
        Self { centre, keys, asking, identities }
    }

    /// The node's certificate as if it had been issued so many days ago, for 397.
    pub fn aged(&self, n: usize, days: u64) -> Identity {
        let identity = &self.identities[n];
        let signed = self.asking[n].enrolment.request("n", "C", utc_ms()).unwrap();
        let csr = signed.peek::<keylink::message::Enrol>().unwrap().csr;
        let issued = utc_ms() - days * DAY;
        let authority = self.authority();
        let certificate = authority.certify(&csr.0, &identity.node().to_string(), issued, 397).unwrap();
        with_certificates(identity, &[certificate, authority.certificate().to_vec()])
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.centre.folder.path().join(name)
    }

    pub fn answer(&self, request: &Signed, n: usize, change: impl Fn(&mut Renewed)) -> Vec<u8> {
        let asked: Renew = request.peek().unwrap();
        let node = self.identities[n].node();
        let fresh = self.authority().certify(&asked.csr.0, &node.to_string(), utc_ms(), 397).unwrap();
        let head = keylink::message::Head {
            audience: Audience::Node(node),
            not_after: U64(utc_ms() + DAY),
            ..asked.head
        };
        let mut body = Renewed { head, request: request.hash(), certificates: vec![Blob(fresh)] };
        change(&mut body);
        Signed::try_seal(&body, &self.manifest_signer()).unwrap().to_bytes()
    }

    fn manifest_signer(&self) -> RingSigner {
        let ring = &self.keys.ring;
        ring.signer(CentreKey::Manifest, &ring.first(CentreKey::Manifest)).unwrap()
    }

    /// An authority of another key.
    pub fn foreign(&self, seed: [u8; 32]) -> Authority {
        Authority::new(RingSigner::here(SoftSigner::new(&seed)), utc_ms()).unwrap()
    }

    pub fn authority(&self) -> Authority {
        self.keys.first_authority(utc_ms()).unwrap()
    }

    pub async fn document(&self, n: usize) -> RootDocument {
        let side = nodes::side(&self.identities[n], &self.asking[n].store, Box::new(Nowhere)).await;
        side.machine().document().clone()
    }

    pub async fn view(&self, n: usize) -> NodeView {
        let all: Vec<NodeView> = self.centre.operator.all("/nodes").await.unwrap();
        all.into_iter().find(|node| node.id == self.identities[n].node()).unwrap()
    }

    async fn alarms(&self) -> Vec<Alarm> {
        let all: Vec<Alarm> = self.centre.operator.all("/alarms").await.unwrap();
        all.into_iter().filter(|a| a.kind == AlarmKind::CertificateEnds && a.ended_utc_ms.is_none()).collect()
    }

    /// How often the log says that a certificate was issued; the whole of it holds.
    pub(crate) async fn issued(&self) -> usize {
        let export = self.centre.auditor.bytes("/audit/export").await.unwrap();
        let options = keymgr::audit::Options { signatures: true, ..Default::default() };
        let report = keymgr::audit::verify_export(&mut export.as_slice(), options).unwrap();
        assert!(report.holds, "{:?}", report.findings);
        let text = String::from_utf8_lossy(&export);
        text.lines().filter(|line| line.starts_with("v1 ") && line.contains(" node.certificate ")).count()
    }
}

// Goes by the authority's name, and has another key.
struct Forger(PublicKey, SoftSigner);

impl TrySign for Forger {
    fn public(&self) -> PublicKey {
        self.0
    }

    fn try_sign(&self, message: &[u8]) -> Result<[u8; 64], NotSigned> {
        Ok(self.1.sign(message))
    }
}

fn foreign(authority: &Authority) -> Authority {
    let forger = Forger(authority.key(), SoftSigner::new(&[0xF0; 32]));
    Authority::new(RingSigner::here(forger), utc_ms()).unwrap()
}

fn with_certificates(identity: &Identity, certificates: &[Vec<u8>]) -> Identity {
    let pem = |der: &Vec<u8>| {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    };
    let mut value = serde_json::to_value(identity).unwrap();
    value["certificate"] = certificates.iter().map(pem).collect::<String>().into();
    serde_json::from_value(value).unwrap()
}

pub(crate) fn way(identity: &Identity) -> HttpsTransport {
    HttpsTransport::new(&identity.url, &identity.tls()).unwrap()
}

pub(crate) fn renewal(identity: &Identity, path: &Path, https: &HttpsTransport) -> Renewal {
    let https = https.clone();
    Renewal::new(identity.clone(), path, move |tls| https.identify(tls)).unwrap()
}

// As `serve` runs it.
pub(crate) async fn start(place: &Place, n: usize, identity: &Identity, path: &Path) -> JoinHandle<()> {
    let https = way(identity);
    let mut side = nodes::side(identity, &place.asking[n].store, Box::new(Nowhere)).await;
    side.renew_by(renewal(identity, path, &https));
    let (handle, requests) = SideHandle::new();
    let pace = Pace { pull_wait_s: 1, retry_longest: Duration::from_millis(300), ..Pace::default() };
    let transport: Arc<dyn Transport> = Arc::new(https);
    tokio::spawn(async move {
        let _handle = handle;
        run(side, Some(transport), requests, pace, core::future::pending()).await.unwrap();
    })
}

pub(crate) async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !so().await {
        assert!(began.elapsed() < Duration::from_secs(40), "{what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub(crate) fn code(answer: Result<Answer, TransportError>) -> (u16, String) {
    match answer.unwrap_err() {
        TransportError::Refused(status, text) => {
            (status, serde_json::from_str::<Problem>(&text).unwrap().code)
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn ask(https: &HttpsTransport, request: &Signed) -> Result<Answer, TransportError> {
    https.post(Endpoint::Renew, request.to_bytes()).await
}

#[tokio::test]
async fn a_node_has_its_certificate_made_anew_before_it_ends() {
    let mut place = Place::begin(&["n1"]).await;
    let first = place.view(0).await.certificate_until_utc_ms;
    assert!((395 * DAY..397 * DAY).contains(&(first - utc_ms())));
    let before = place.issued().await;
    // Ends are told in seconds.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    // One with time left asks for nothing.
    let path = place.file("n1.json");
    let early = renewal(&place.aged(0, 330), &path, &way(&place.aged(0, 330)));
    assert!(!early.is_due(utc_ms()) && early.is_due(early.until_ms() - CERTIFICATE_RENEW_MS));

    let old = place.aged(0, 390);
    old.save(&path).unwrap();
    let side = start(&place, 0, &old, &path).await;
    until("is stored", async || {
        let kept = Identity::load(&path).unwrap();
        renewal(&kept, &path, &way(&kept)).until_ms() > utc_ms() + 390 * DAY
    })
    .await;
    // It goes on at once by it, and after a start; the log has it, once.
    until("is shown", async || place.view(0).await.certificate_until_utc_ms > first).await;
    side.abort();
    let kept = Identity::load(&path).unwrap();
    assert_eq!(kept.node(), old.node());
    let side = start(&place, 0, &kept, &path).await;
    let began = utc_ms();
    until("is back", async || place.view(0).await.seen_utc_ms > began).await;
    assert_eq!(place.issued().await, before + 1);
    // The one before is valid until its end.
    assert!(matches!(
        ask(&way(&old), &renewal(&old, &path, &way(&old)).request(utc_ms()).unwrap()).await,
        Ok(Answer::Taken(_))
    ));
    side.abort();
    place.centre.end().await;
}

#[tokio::test]
async fn no_certificate_is_made_for_another_key_or_node_or_time() {
    let mut place = Place::begin(&["n1", "n2"]).await;
    let (fresh, old) = (place.identities[0].clone(), place.aged(0, 390));
    let (signer, path, https) = (nodes::signer_of(&old), place.file("n1.json"), way(&old));
    let request = renewal(&old, &path, &https).request(utc_ms()).unwrap();
    let changed = |change: &dyn Fn(&mut Renew), by: &SoftSigner| {
        let mut body: Renew = request.peek().unwrap();
        change(&mut body);
        Signed::seal(&body, by)
    };
    assert_eq!(code(ask(&way(&fresh), &request).await), (409, "not_due".to_owned()));
    assert_eq!(code(ask(&way(&place.aged(1, 390)), &request).await), (403, "other_node".to_owned()));
    let foreign = SoftSigner::new(&[9; 32]);
    let pair = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec![old.node().to_string()]).unwrap();
    let other = Blob(params.serialize_request(&pair).unwrap().der().to_vec());
    for (what, signed, answer) in [
        ("of another key", changed(&|_| (), &foreign), (400, "message")),
        ("late", changed(&|body| body.head.not_after = U64(1), &signer), (400, "message")),
        (
            "of another centre",
            changed(&|body| body.head.kmc = keylink::KmcId([1; 32]), &signer),
            (400, "message"),
        ),
        ("for another key", changed(&|body| body.csr = other.clone(), &signer), (403, "other_key")),
        ("for no key", changed(&|body| body.csr = Blob(vec![1, 2]), &signer), (403, "other_key")),
    ] {
        assert_eq!(code(ask(&https, &signed).await), (answer.0, answer.1.to_owned()), "{what}");
    }
    let before = place.issued().await;
    // Not served: nothing, however near the end is.
    let stop = format!("/nodes/{}/quarantine", old.node());
    let _: serde_json::Value = place.centre.operator.post(&stop, &json!({ "reason": "odd" })).await.unwrap();
    assert_eq!(code(ask(&https, &request).await), (409, "suspended".to_owned()));
    let revoke = keymgr::core::action::Act::RevokeNode { node: place.identities[1].node() };
    place.centre.ask(&[revoke]).await;
    let second = place.aged(1, 390);
    let asked = renewal(&second, &path, &way(&second)).request(utc_ms()).unwrap();
    assert_eq!(code(ask(&way(&second), &asked).await), (409, "suspended".to_owned()));
    assert_eq!(place.issued().await, before);
    place.centre.end().await;
}

#[tokio::test]
async fn what_a_node_does_not_take_leaves_it_what_it_had() {
    let mut place = Place::begin(&["n1", "n2"]).await;
    let (old, path) = (place.aged(0, 390), place.file("n1.json"));
    let (https, document) = (way(&old), place.document(0).await);
    old.save(&path).unwrap();
    let mut own = renewal(&old, &path, &https);
    let end = own.until_ms();
    let unchanged = |own: &Renewal| {
        assert_eq!(own.until_ms(), end);
        assert_eq!(Identity::load(&path).unwrap().tls().certificate, old.tls().certificate);
    };
    let request = own.request(utc_ms()).unwrap();
    assert!(!own.is_due(utc_ms()), "an hour later again");
    let stranger = Signed::seal(
        &Signed::parse(&place.answer(&request, 0, |_| ())).unwrap().peek::<Renewed>().unwrap(),
        &SoftSigner::new(&[9; 32]),
    );
    let others = place.answer(&request, 0, |body| {
        body.head.audience = Audience::Node(place.identities[1].node());
    });
    let earlier = place.answer(&request, 0, |body| body.request = keylink::Digest([1; 32]));
    for answer in [b"{}".to_vec(), stranger.to_bytes(), others, earlier] {
        assert!(matches!(own.accept(&document, &answer, utc_ms()), Err(RenewError::Stranger(_))));
        unchanged(&own);
    }
    let csr = request.peek::<Renew>().unwrap().csr;
    let second =
        place.asking[1].enrolment.request("n", "C", utc_ms()).unwrap().peek::<keylink::message::Enrol>();
    let (id, authority) = (old.node().to_string(), place.authority());
    let foreign = foreign(&authority);
    for (what, der) in [
        ("another key", authority.certify(&second.unwrap().csr.0, &id, utc_ms(), 397).unwrap()),
        ("another name", authority.certify(&csr.0, "n1", utc_ms(), 397).unwrap()),
        ("ends no later", authority.certify(&csr.0, &id, utc_ms() - 391 * DAY, 397).unwrap()),
        ("not valid yet", authority.certify(&csr.0, &id, utc_ms() + 2 * DAY, 397).unwrap()),
        ("another authority", foreign.certify(&csr.0, &id, utc_ms(), 397).unwrap()),
    ] {
        let answer = place.answer(&request, 0, |body| body.certificates = vec![Blob(der.clone())]);
        let taken = own.accept(&document, &answer, utc_ms());
        let expected = match what {
            "not valid yet" => matches!(taken, Err(RenewError::Early { .. })),
            _ => matches!(taken, Err(RenewError::Certificate(_))),
        };
        assert!(expected, "{what}: {taken:?}");
        unchanged(&own);
    }
    // Issued, and lost before it was stored: the old one goes on, and the next is made.
    let mut lost = renewal(&old, &place.file("nowhere/n1.json"), &https);
    let asked = lost.request(utc_ms()).unwrap();
    let Ok(Answer::Taken(answer)) = ask(&https, &asked).await else { panic!("refused") };
    assert!(matches!(lost.accept(&document, &answer, utc_ms()), Err(RenewError::Kept { .. })));
    assert_eq!(lost.until_ms(), end);
    std::fs::write(path.with_extension("new"), b"half").unwrap();
    let kept = Identity::load(&path).unwrap();
    let mut again = renewal(&kept, &path, &https);
    let asked = again.request(utc_ms()).unwrap();
    let Ok(Answer::Taken(answer)) = ask(&way(&kept), &asked).await else { panic!("refused") };
    assert!(again.accept(&document, &answer, utc_ms()).unwrap() > end + 380 * DAY);
    let der = Signed::parse(&answer).unwrap().peek::<Renewed>().unwrap().certificates.remove(0).0;
    assert_eq!(certificate_end(&der), Some(again.until_ms()));
    assert!(matches!(again.accept(&document, &answer, utc_ms()), Err(RenewError::Stranger(_))), "once");
    place.centre.end().await;
}

#[tokio::test]
async fn people_are_told_of_certificates_that_end() {
    let mut place = Place::begin(&["n1"]).await;
    assert!(place.alarms().await.is_empty());
    place.centre.end().await;
    for (days, said) in [(340, "within 60 days"), (400, "has ended")] {
        place.centre.again_by(Clock::ahead(Duration::from_secs(days * 86_400))).await;
        until("is told", async || place.alarms().await.iter().any(|alarm| alarm.text.contains(said))).await;
        assert_eq!(place.alarms().await.len(), 1);
        place.centre.end().await;
    }
}

/// As `serve` runs a node that is pushed to and asks nobody.
pub(crate) async fn listen(place: &Place, n: usize, path: &Path) -> (String, [JoinHandle<()>; 2]) {
    let identity = Identity::load(path).unwrap();
    let listener = PushListener::bind("127.0.0.1:0".parse().unwrap(), &identity.tls()).await.unwrap();
    let (address, shown) = (listener.address().to_string(), listener.tls());
    let mut side = nodes::side(&identity, &place.asking[n].store, Box::new(Nowhere)).await;
    side.renew_by(Renewal::new(identity, path, move |tls| shown.identify(tls)).unwrap());
    let (handle, requests) = SideHandle::new();
    let taking = tokio::spawn(listener.serve(handle, core::future::pending()));
    let living = tokio::spawn(async move {
        run(side, None, requests, Pace::default(), core::future::pending()).await.unwrap();
    });
    (address, [taking, living])
}

fn end_of(path: &Path) -> u64 {
    Renewal::new(Identity::load(path).unwrap(), path, |_| Ok(())).unwrap().until_ms()
}

#[tokio::test]
async fn a_node_that_is_pushed_to_has_its_certificate_made_anew() {
    let mut place = Place::begin(&["n1"]).await;
    let (first, before) = (place.view(0).await.certificate_until_utc_ms, place.issued().await);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let path = place.file("n1.json");
    place.aged(0, 390).save(&path).unwrap();
    let (address, tasks) = listen(&place, 0, &path).await;
    let node = place.identities[0].node();
    let at = |address: Option<&str>| json!({ "address": address });
    let push = format!("/nodes/{node}/push");
    let _: serde_json::Value = place.centre.operator.post(&push, &at(Some(&address))).await.unwrap();
    until("is stored", async || end_of(&path) > utc_ms() + 390 * DAY).await;
    until("is shown", async || place.view(0).await.certificate_until_utc_ms > first).await;
    assert_eq!(place.issued().await, before + 1);
    // By it connections open, and after a start too; nothing more is asked for.
    tasks.iter().for_each(JoinHandle::abort);
    let (address, tasks) = listen(&place, 0, &path).await;
    let began = utc_ms();
    let _: serde_json::Value = place.centre.operator.post(&push, &at(Some(&address))).await.unwrap();
    until("is back", async || place.view(0).await.seen_utc_ms > began).await;
    assert_eq!(place.issued().await, before + 1);
    assert!(!path.with_extension("renewal").exists());
    tasks.iter().for_each(JoinHandle::abort);
    place.centre.end().await;
}

// What `payhsm node carry` does: everything is read from files, and the process ends.
pub(crate) async fn carry_once(place: &Place, path: &Path, package: &[u8]) -> Vec<u8> {
    carry_to(place, 0, path, package).await
}

pub(crate) async fn carry_to(place: &Place, n: usize, path: &Path, package: &[u8]) -> Vec<u8> {
    let identity = Identity::load(path).unwrap();
    let mut side = nodes::side(&identity, &place.asking[n].store, Box::new(Nowhere)).await;
    side.renew_by(Renewal::new(identity, path, |_| Ok(())).unwrap());
    side.settle().await.unwrap();
    carry(&mut side, package).await.unwrap().unwrap()
}

fn renewals(file: &[u8]) -> usize {
    let package: Package<Parcel> = strict(file).unwrap();
    package.content.messages.iter().filter(|one| one.kind == "renew").count()
}

#[tokio::test]
async fn a_node_that_is_carried_to_has_its_certificate_made_anew() {
    let mut place = Place::begin(&["n1"]).await;
    let (first, before) = (place.view(0).await.certificate_until_utc_ms, place.issued().await);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let (path, node) = (place.file("n1.json"), place.identities[0].node());
    let old = place.aged(0, 390);
    old.save(&path).unwrap();
    let fate = |verdicts: &[Verdict]| verdicts.iter().find(|one| one.kind == "renew").unwrap().fate;
    let centre = &place.centre;
    // It asks, once an hour; brought twice it is answered once.
    let back = carry_once(&place, &path, &fetch(centre, node).await).await;
    assert_eq!(renewals(&back), 1);
    assert_eq!(renewals(&carry_once(&place, &path, &fetch(centre, node).await).await), 0);
    assert_eq!(fate(&hand_in(centre, node, &back).await.unwrap()), Fate::Taken);
    assert_eq!(fate(&hand_in(centre, node, &back).await.unwrap()), Fate::Again);
    assert_eq!(place.issued().await, before + 1);
    assert_eq!(place.view(0).await.certificate_until_utc_ms, first, "nobody has seen it");
    // Another process of the node takes it, and says so.
    let there = fetch(centre, node).await;
    let back = carry_once(&place, &path, &there).await;
    assert!(end_of(&path) > utc_ms() + 390 * DAY && renewals(&back) == 1);
    assert_eq!(Identity::load(&path).unwrap().node(), node);
    // What said so was lost: the same package again leads to the same.
    let again = carry_once(&place, &path, &there).await;
    assert_eq!(renewals(&again), 1);
    assert_eq!(fate(&hand_in(centre, node, &again).await.unwrap()), Fate::Taken);
    assert!(place.view(0).await.certificate_until_utc_ms > first);
    assert_eq!(fate(&hand_in(centre, node, &back).await.unwrap()), Fate::Again);
    // Nothing is left to say, on either side, and it was issued once.
    let there = fetch(centre, node).await;
    let package: Package<Mail> = strict(&there).unwrap();
    assert!(package.content.messages.iter().all(|one| one.kind != "renewed"));
    assert_eq!(renewals(&carry_once(&place, &path, &there).await), 0);
    assert_eq!(place.issued().await, before + 1);
    place.centre.end().await;
}

#[tokio::test]
async fn no_parcel_brings_a_certificate_for_another_key_or_node_or_time() {
    let mut place = Place::begin(&["n1", "n2"]).await;
    let (old, path) = (place.aged(0, 390), place.file("n1.json"));
    let (node, signer) = (old.node(), nodes::signer_of(&old));
    old.save(&path).unwrap();
    let mut own = renewal(&old, &path, &way(&old));
    let request = own.in_parcel(utc_ms(), true).unwrap().unwrap();
    assert!(own.in_parcel(utc_ms(), true).unwrap().is_none(), "an hour later again");
    let body: Renew = request.peek().unwrap();
    let changed = |change: &dyn Fn(&mut Renew), by: &SoftSigner| {
        let mut body = body.clone();
        change(&mut body);
        Signed::seal(&body, by)
    };
    let in_use = |identity: &Identity| {
        let _ = std::fs::remove_file(place.file("other.renewal"));
        let mut own = renewal(identity, &place.file("other.json"), &way(identity));
        let signed = own.in_parcel(own.until_ms() - DAY, true).unwrap().unwrap();
        signed.peek::<Renew>().unwrap().certificate
    };
    let (fresh, ended, other) = (&place.identities[0], place.aged(0, 398), place.aged(1, 390));
    let foreign = foreign(&place.authority());
    let forged = foreign.certify(&body.csr.0, &node.to_string(), utc_ms() - 390 * DAY, 397).unwrap();
    let pair = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec![node.to_string()]).unwrap();
    let csr = Blob(params.serialize_request(&pair).unwrap().der().to_vec());
    let before = place.issued().await;
    let bring = async |signed: Signed| -> Verdict {
        let package = Package::new(node, Parcel { messages: vec![signed] });
        let path = format!("/nodes/{node}/parcel");
        let mut all: Vec<Verdict> = place.centre.operator.post(&path, &package).await.unwrap();
        all.remove(0)
    };
    for (what, signed, code) in [
        ("without a certificate", changed(&|body| body.certificate = None, &signer), "other_key"),
        ("of nothing", changed(&|body| body.certificate = Some(Blob(vec![1])), &signer), "other_key"),
        ("of another node", changed(&|body| body.certificate = in_use(&other), &signer), "other_key"),
        (
            "of another authority",
            changed(&|body| body.certificate = Some(Blob(forged.clone())), &signer),
            "other_key",
        ),
        ("that has ended", changed(&|body| body.certificate = in_use(&ended), &signer), "other_key"),
        ("for another key", changed(&|body| body.csr = csr.clone(), &signer), "other_key"),
        ("for no key", changed(&|body| body.csr = Blob(vec![1, 2]), &signer), "other_key"),
        ("late", changed(&|body| body.head.not_after = U64(1), &signer), "message"),
        ("of another centre", changed(&|body| body.head.kmc = keylink::KmcId([1; 32]), &signer), "message"),
        ("by another key", changed(&|_| (), &SoftSigner::new(&[9; 32])), "message_signature"),
        ("for another node", changed(&|body| body.node = other.node(), &signer), "other_node"),
    ] {
        let verdict = bring(signed).await;
        assert_eq!((verdict.fate, verdict.code.as_deref()), (Fate::Refused, Some(code)), "{what}");
    }
    // One with time left is only shown, and is known.
    let shown = bring(changed(&|body| body.certificate = in_use(fresh), &signer)).await;
    assert_eq!(shown.fate, Fate::Again);
    // Not served: nothing, however near the end is.
    let stop = format!("/nodes/{node}/quarantine");
    let _: serde_json::Value = place.centre.operator.post(&stop, &json!({ "reason": "odd" })).await.unwrap();
    assert_eq!(bring(request.clone()).await.code.as_deref(), Some("suspended"));
    assert_eq!(place.issued().await, before);

    // At the node: what is not the manager's answer to what was asked leaves it what it had.
    let document = place.document(0).await;
    let answer = |change: &dyn Fn(&mut Renewed)| Signed::parse(&place.answer(&request, 0, change)).unwrap();
    let stranger = Signed::seal(&answer(&|_| ()).peek::<Renewed>().unwrap(), &SoftSigner::new(&[9; 32]));
    for signed in [
        stranger,
        answer(&|body| body.request = keylink::Digest([1; 32])),
        answer(&|body| body.head.audience = Audience::Node(place.identities[1].node())),
        answer(&|body| body.certificates.clear()),
        answer(&|body| body.certificates = vec![Blob(forged.clone())]),
    ] {
        assert!(own.accept_from_mail(&document, &signed, utc_ms()).is_err());
        assert!(own.in_parcel(utc_ms(), true).unwrap().is_none(), "nothing to show");
        assert_eq!(Identity::load(&path).unwrap().tls().certificate, old.tls().certificate);
    }
    // By a process that has only the files.
    let mut later = renewal(&old, &path, &way(&old));
    assert!(later.accept_from_mail(&document, &answer(&|_| ()), utc_ms()).unwrap() > utc_ms() + 390 * DAY);
    assert!(
        later.in_parcel(utc_ms(), true).unwrap().is_some()
            && later.in_parcel(utc_ms(), true).unwrap().is_none()
    );
    place.centre.end().await;
}
