//! Who gets a connection, and what it is good for: certificates of nobody, of another authority, of a person where
//! nodes speak and the reverse, and of somebody who was sent away.

use crate::house::{Centre, PASSPHRASE};
use crate::raw;
use crate::rotation::{enrolled, wishes};
use gateway::node::{HttpsTransport, TlsIdentity, Transport, TransportError};
use keylink::endpoint::Endpoint;
use keymgr::api::Problem;
use keymgr::channel::ServerKey;
use keymgr::client::{Client, ClientProblem, ManagerAddress, RotateWishes, plan_rotation, plan_zone};
use keymgr::core::action::Act;
use keymgr::core::input::Outcome;
use keymgr::person::{Home, named_node};
use serde_json::Value;

fn code<T: std::fmt::Debug>(answer: Result<T, ClientProblem>) -> String {
    match answer.unwrap_err() {
        ClientProblem::Refused(Problem { code, .. }) => code,
        other => panic!("{other}"),
    }
}

fn refused(answer: Result<gateway::node::Answer, TransportError>) -> (u16, String) {
    match answer.unwrap_err() {
        TransportError::Refused(status, text) => {
            let problem: Problem = serde_json::from_str(&text).unwrap();
            (status, problem.code)
        }
        other => panic!("{other}"),
    }
}

fn link(centre: &Centre) -> String {
    centre.link.clone()
}

#[tokio::test]
async fn a_certificate_that_is_not_the_persons_own_opens_nothing() {
    let mut centre = Centre::begin().await;
    let http = "GET /api/v1/me HTTP/1.1\r\nhost: k\r\nconnection: close\r\n\r\n".as_bytes();
    let host = centre.address.url.trim_start_matches("https://").to_owned();
    let speak = async |certificate: &[u8], key: &[u8]| {
        let config = keymgr::channel::client_tls(certificate, key, centre.address.key).unwrap();
        match raw::open(&host, config).await {
            Ok(mut stream) => raw::send(&mut stream, http).await,
            Err(_) => None,
        }
    };
    let own = centre.operator.identity();
    let good = speak(&own.channel_certificate, own.channel_key()).await.unwrap();
    assert_eq!(good.status, 200);
    // Made by oneself: a key that nobody's approval key has certified.
    let alone = ServerKey::generate("Otto").unwrap();
    let answer = speak(&alone.certificate, &alone.key).await.unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (401, "caller"));
    // Somebody's certificate without the key to it.
    assert!(without_the_key(&centre, &own.channel_certificate, &alone.key).await);
    // A certificate that claims an approval key and was signed by another.
    let home = Home::at(centre.folder.path().join("Mallory"));
    let mallory = home.create("Mallory", PASSPHRASE).unwrap();
    let mut forged = mallory.channel_certificate.clone();
    let (own_key, claimed) = (mallory.public_key().to_string(), own.public_key().to_string());
    let at = forged.windows(64).position(|w| w == own_key.as_bytes()).unwrap();
    forged[at..at + 64].copy_from_slice(claimed.as_bytes());
    let answer = speak(&forged, mallory.channel_key()).await.unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (401, "caller"));
    // None at all.
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let none = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    assert!(raw::open(&host, none).await.is_err());
    // A node's certificate is no person's.
    let asking = enrolled(&centre, &["n1"]).await;
    centre.approve_all().await;
    let identity = asking[0].once().await.unwrap();
    let tls = identity.tls();
    use rustls::pki_types::pem::PemObject;
    let certificate = rustls::pki_types::CertificateDer::from_pem_slice(tls.certificate.as_bytes()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(tls.key.as_bytes()).unwrap();
    assert_eq!(named_node(&certificate), Some(identity.node()));
    let answer = speak(&certificate, key.secret_der()).await.unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (401, "caller"));
    centre.end().await;
}

// A client that shows a certificate and signs with another key; true when it gets no answer.
async fn without_the_key(centre: &Centre, certificate: &[u8], key: &[u8]) -> bool {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
    use rustls::sign::{CertifiedKey, SingleCertAndKey};
    let own = centre.operator.identity();
    let mut config =
        keymgr::channel::client_tls(&own.channel_certificate, own.channel_key(), centre.address.key).unwrap();
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.to_vec()));
    let signing = rustls::crypto::ring::sign::any_supported_type(&private).unwrap();
    let pair = CertifiedKey::new(vec![CertificateDer::from(certificate.to_vec())], signing);
    config.client_auth_cert_resolver = std::sync::Arc::new(SingleCertAndKey::from(pair));
    match raw::open(centre.address.url.trim_start_matches("https://"), config).await {
        Ok(mut stream) => {
            raw::send(&mut stream, b"GET /api/v1/me HTTP/1.1\r\nhost: k\r\n\r\n").await.is_none()
        }
        Err(_) => true,
    }
}

#[tokio::test]
async fn nodes_are_let_in_by_certificates_of_the_authority_only() {
    let mut centre = Centre::begin().await;
    let asking = enrolled(&centre, &["n1"]).await;
    centre.approve_all().await;
    let identity = asking[0].once().await.unwrap();
    let good = identity.tls();
    // Without one, nothing but asking.
    let anonymous = TlsIdentity { certificate: String::new(), ..good.clone() };
    let transport = HttpsTransport::new(&link(&centre), &anonymous).unwrap();
    for endpoint in Endpoint::ALL.into_iter().filter(|endpoint| *endpoint != Endpoint::Enrol) {
        assert_eq!(refused(transport.post(endpoint, b"{}".to_vec()).await), (401, "certificate".to_owned()));
    }
    assert_eq!(refused(transport.post(Endpoint::Enrol, b"{}".to_vec()).await).1, "message");
    // Of another authority, though it names the node.
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, identity.node().to_string());
    let own = params.self_signed(&key).unwrap();
    let other = TlsIdentity { certificate: own.pem(), key: key.serialize_pem().into(), ..good.clone() };
    let transport = HttpsTransport::new(&link(&centre), &other).unwrap();
    let answer = transport.post(Endpoint::Pull, b"{}".to_vec()).await;
    assert!(matches!(answer, Err(TransportError::Unreachable(_))), "{answer:?}");
    // A person's.
    let person = centre.operator.identity();
    let pem = |label: &str, der: &[u8]| {
        use base64::Engine;
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    };
    let persons = TlsIdentity {
        certificate: pem("CERTIFICATE", &person.channel_certificate),
        key: pem("PRIVATE KEY", person.channel_key()).into(),
        ..good.clone()
    };
    let transport = HttpsTransport::new(&link(&centre), &persons).unwrap();
    let answer = transport.post(Endpoint::Pull, b"{}".to_vec()).await;
    assert!(matches!(answer, Err(TransportError::Unreachable(_))), "{answer:?}");
    // The right one is listened to, and what it says has to be a message.
    let transport = HttpsTransport::new(&link(&centre), &good).unwrap();
    assert_eq!(refused(transport.post(Endpoint::Pull, b"{}".to_vec()).await).1, "message");
    centre.end().await;
}

// On connections that were open before, too.
#[tokio::test]
async fn who_was_sent_away_is_not_listened_to() {
    let mut centre = Centre::begin().await;
    let carl = &centre.custodians[1];
    let person = carl.me().await.unwrap().person;
    centre.ask(&[Act::RevokePerson { person, replacement: None }]).await;
    assert_eq!(code(carl.get::<Value>("/me").await), "caller");
    // An officer whose credential is revoked, and who has signed before: nothing of it counts any more.
    let (cleo, otto) = (&centre.officers[2], &centre.operator);
    let comes = Home::at(centre.folder.path().join("Dora")).create("Dora", PASSPHRASE).unwrap();
    let (time, random) = keymgr::client::fresh_id().unwrap();
    let replacement = keymgr::core::people::NewPerson {
        id: keylink::PersonId::new(time, random),
        name: "Dora".to_owned(),
        line: None,
        roles: [keymgr::core::people::Role::SecurityOfficer].into(),
        credential: keymgr::core::people::NewCredential {
            id: keylink::CredentialId::new(time, random),
            kind: keymgr::core::people::CredentialKind::File,
            key: comes.public_key(),
        },
    };
    let leaves = cleo.me().await.unwrap().person;
    let alone = otto.propose(&Act::RevokePerson { person: leaves, replacement: None }).await;
    assert_eq!(code(alone), "too_few_officers");
    let zone =
        Act::CreateZone { id: keylink::ZoneId::new(time, random), alias: "late".to_owned(), live: false };
    let asked = otto.propose(&zone).await.unwrap();
    let view = cleo.action(asked.action).await.unwrap();
    cleo.approve(&view).await.unwrap();
    let act = Act::RevokePerson { person: leaves, replacement: Some(replacement) };
    let revoked = otto.propose(&act).await.unwrap();
    for officer in &centre.officers[..2] {
        let view = officer.action(revoked.action).await.unwrap();
        officer.approve(&view).await.unwrap();
    }
    assert_eq!(code(cleo.get::<Value>("/me").await), "caller");
    let view = centre.officers[0].action(asked.action).await.unwrap();
    assert!(view.action.approvals.is_empty(), "what she signed is void");
    let outcome = centre.officers[0].approve(&view).await.unwrap();
    assert!(matches!(outcome, Outcome::Approved { standing: 1, .. }));
    // Who came is listened to and counts.
    let dora = Client::new(&centre.address, comes).unwrap();
    dora.approve(&view).await.unwrap();
    let other = ManagerAddress { key: keylink::Digest([7; 32]), ..centre.address.clone() };
    let home = Home::at(centre.folder.path().join("Dora")).open(PASSPHRASE).unwrap();
    let lost = Client::new(&other, home).unwrap().get::<Value>("/me").await;
    assert!(matches!(lost, Err(ClientProblem::Unreachable(_))));
    centre.end().await;
}

// What was begun to be read ends with the right to read, not with the campaign.
#[tokio::test]
async fn a_reader_who_is_sent_away_sees_no_more() {
    let mut centre = Centre::begin().await;
    // The node does not run, so the campaign waits for it.
    let asking = enrolled(&centre, &["n1"]).await;
    let (_, acts) = plan_zone(&centre.operator, &wishes("east", &asking)).await.unwrap();
    centre.ask(&acts).await;
    let plan = plan_rotation(&centre.operator, "east", &RotateWishes::default()).await.unwrap();
    centre.ask(std::slice::from_ref(&plan.act)).await;
    let id = plan.targets[0].campaign;
    let person = centre.auditor.me().await.unwrap().person;
    let (begun, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let follow = centre.auditor.follow(id, |now| {
        let _ = begun.send(now.campaign.phase);
    });
    let sent_away = async {
        assert!(seen.recv().await.unwrap().is_live());
        centre.ask(&[Act::RevokePerson { person, replacement: None }]).await;
    };
    let both = async { tokio::join!(follow, sent_away).0 };
    let last = tokio::time::timeout(std::time::Duration::from_secs(30), both).await;
    assert!(last.expect("the stream ends").unwrap().unwrap().campaign.phase.is_live());
    let path = format!("/campaigns/{id}");
    let campaign: keymgr::core::campaign::Campaign = centre.operator.get(&path).await.unwrap();
    assert!(campaign.phase.is_live(), "it was not the campaign that ended");
    centre.end().await;
}

// From the address that they have themselves: connections with keys of nobody, handshakes that do not end, and nodes
// without certificates.
#[tokio::test]
async fn strangers_keep_nobody_out_however_many_come() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut centre = Centre::begin().await;
    let asking = enrolled(&centre, &["n1"]).await;
    centre.approve_all().await;
    let tls = asking[0].once().await.unwrap().tls();
    let host = centre.address.url.trim_start_matches("https://").to_owned();
    let nodes = centre.link.trim_start_matches("https://").to_owned();
    let alone = ServerKey::generate("nobody").unwrap();
    let anonymous = TlsIdentity { certificate: String::new(), ..tls.clone() };
    let mut held = Vec::new();
    let mut silent = Vec::new();
    for _ in 0..150 {
        let config = keymgr::channel::client_tls(&alone.certificate, &alone.key, centre.address.key).unwrap();
        held.extend(raw::open(&host, config).await);
        held.extend(raw::open(&nodes, anonymous.client().unwrap()).await);
        silent.push(tokio::net::TcpStream::connect(&host).await.unwrap());
    }
    assert_eq!(held.len(), 300);
    // Each of them new, as after a restart of their own programs.
    for person in [&centre.officers[0], &centre.auditor] {
        let home = Home::at(centre.folder.path().join(person.me().await.unwrap().name));
        let client = Client::new(&centre.address, home.open(PASSPHRASE).unwrap()).unwrap();
        client.me().await.unwrap();
    }
    let transport = HttpsTransport::new(&centre.link, &tls).unwrap();
    assert_eq!(refused(transport.post(Endpoint::Pull, b"{}".to_vec()).await).1, "message");
    // Most have lost their places meanwhile; who has one is sent away with the first answer.
    let mut answered = 0;
    for stream in &mut held {
        let asked = stream.write_all(b"GET /api/v1/me HTTP/1.1\r\nhost: k\r\n\r\n").await;
        let mut got = Vec::new();
        let _ = tokio::time::timeout(std::time::Duration::from_secs(5), stream.read_to_end(&mut got))
            .await
            .expect("no connection is kept");
        answered += usize::from(asked.is_ok() && !got.is_empty());
    }
    assert!(answered <= 128, "{answered}");
    centre.end().await;
}
