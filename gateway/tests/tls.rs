//! TLS and mutual TLS with certificates made on the spot.

mod common;

use common::*;
use gateway::{Config, Limits, Running, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca() -> Ca {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn leaf(ca: &Ca, name: &str) -> (String, KeyPair, CertificateDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, ca).unwrap();
    (certificate.pem(), key, certificate.der().clone())
}

fn server(folder: &Path, ca: &Ca, mutual: bool, tls12: bool) -> Running {
    server_with(folder, ca, mutual, tls12, Limits::default())
}

fn server_with(folder: &Path, ca: &Ca, mutual: bool, tls12: bool, limits: Limits) -> Running {
    let (pem, key, _) = leaf(ca, "localhost");
    let file = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let files = TlsFiles {
        certificate: file("cert.pem", pem),
        key: file("key.pem", key.serialize_pem()),
        client_ca: mutual.then(|| file("ca.pem", ca.pem())),
        tls12,
    };
    start(with_admin(Config { tls: Some(files), limits, ..listening(&["tls:127.0.0.1:0/00"]) }))
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn client(running: &Running, ca: &Ca, own: Option<&Ca>, tls13: bool) -> Tls {
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let versions: &[_] = if tls13 { &[&rustls::version::TLS13] } else { &[&rustls::version::TLS12] };
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some(issuer) => {
            let (_, key, certificate) = leaf(issuer, "client");
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
    };
    let name = "localhost".try_into().unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), connect(running))
}

fn serves(stream: &mut Tls) -> bool {
    if stream.write_all(&echo(1, b"secret")).and_then(|()| stream.flush()).is_err() {
        return false;
    }
    let mut reply = [0; 16];
    stream.read_exact(&mut reply).is_ok() && reply[2..] == echoed(1, b"secret")
}

#[test]
fn a_tls_client_is_served_in_batches_and_in_large_frames() {
    let (folder, ca) = (tempfile::tempdir().unwrap(), ca());
    let running = server(folder.path(), &ca, false, false);
    let mut stream = client(&running, &ca, None, true);
    assert!(serves(&mut stream));
    let all: Vec<u8> = (0..3000).flat_map(|n| echo(n, b"data")).collect();
    stream.write_all(&all).unwrap();
    for n in 0..3000 {
        assert_eq!(receive(&mut stream), echoed(n, b"data"));
    }
    let data = vec![b'x'; 32 * 1024 - 10];
    for n in 0..8 {
        stream.write_all(&echo(n, &data)).unwrap();
    }
    for n in 0..8 {
        assert_eq!(receive(&mut stream), echoed(n, &data));
    }
}

#[test]
fn with_a_client_ca_only_its_clients_are_served() {
    let (folder, ca, stranger) = (tempfile::tempdir().unwrap(), ca(), ca());
    let running = server(folder.path(), &ca, true, false);
    assert!(serves(&mut client(&running, &ca, Some(&ca), true)));
    assert!(!serves(&mut client(&running, &ca, None, true)));
    assert!(!serves(&mut client(&running, &ca, Some(&stranger), true)));
    let line = "payhsm_connections_rejected_total{reason=\"tls_handshake\"} 2";
    wait_for_metric(running.admin().unwrap(), line);
}

#[test]
fn tls_1_2_is_spoken_only_when_asked_for() {
    let (folder, ca) = (tempfile::tempdir().unwrap(), ca());
    assert!(!serves(&mut client(&server(folder.path(), &ca, false, false), &ca, None, false)));
    let both = server(folder.path(), &ca, false, true);
    assert!(serves(&mut client(&both, &ca, None, false)));
    assert!(serves(&mut client(&both, &ca, None, true)));
}

#[test]
fn plain_text_and_silence_do_not_get_through_the_handshake() {
    let (folder, ca) = (tempfile::tempdir().unwrap(), ca());
    let limits = Limits { first_byte: Duration::from_millis(500), ..Limits::default() };
    let running = server_with(folder.path(), &ca, false, false, limits);
    let mut plain = connect(&running);
    plain.write_all(&echo(1, b"plain")).unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.windows(4).any(|w| w == b"B300"));
    assert!(closed(&mut connect(&running)));
    let line = "payhsm_connections_rejected_total{reason=\"tls_handshake\"} 2";
    wait_for_metric(running.admin().unwrap(), line);
}

#[test]
fn tls_clients_are_drained_too() {
    let (folder, ca) = (tempfile::tempdir().unwrap(), ca());
    let running = server(folder.path(), &ca, false, false);
    let mut stream = client(&running, &ca, None, true);
    assert!(serves(&mut stream));
    stream.write_all(&echo(5, b"last")).unwrap();
    let drained = std::thread::spawn(move || running.wait());
    assert_eq!(receive(&mut stream), echoed(5, b"last"));
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "a close_notify, not a cut");
    assert!(drained.join().unwrap());
}

#[test]
fn unusable_files_are_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("c"), folder.path().join("k"));
    let start = || {
        let tls = Some(TlsFiles::new(&cert, &key));
        gateway::Gateway::start(Config { tls, ..listening(&["tls:127.0.0.1:0/00"]) }, Arc::new(backend))
    };
    assert_eq!(start().err().map(|e| e.exit_code()), Some(3), "missing");
    std::fs::write(&cert, "no certificate").unwrap();
    std::fs::write(&key, "no key").unwrap();
    assert_eq!(start().err().map(|e| e.exit_code()), Some(2), "not PEM");
    let (pem, _, _) = leaf(&ca(), "localhost");
    std::fs::write(&cert, pem).unwrap();
    std::fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert_eq!(start().err().map(|e| e.exit_code()), Some(2), "key of another certificate");
}
