//! The manager's folder: made once, opened by its passphrase only; its authority certifies keys and nothing
//! that a request says besides.

use keylink::succession::CentreKey;
use keymgr::FolderError;
use keymgr::house::{Authority, AuthorityError, House, HouseError, Limits, Settings, certificate_end};
use keymgr::person::{KeyFileError, spki_digest};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use x509_cert::Certificate;
use x509_cert::der::Decode;

const PASSPHRASE: &[u8] = b"the manager's own";
const NOW: u64 = 1_800_000_000_000;

fn settings() -> Settings {
    Settings {
        name: "test centre".to_owned(),
        store: "store.db".to_owned(),
        listen: "127.0.0.1:0".to_owned(),
        link: "127.0.0.1:0".to_owned(),
        names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
        live: false,
        limits: Limits::default(),
    }
}

#[test]
fn a_house_is_made_once_and_opens_by_its_passphrase() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::at(folder.path().join("kmc"));
    assert!(matches!(house.settings(), Err(HouseError::Empty(_))));
    let made = house.create(&settings(), PASSPHRASE, NOW).unwrap();
    assert!(matches!(house.create(&settings(), PASSPHRASE, NOW), Err(HouseError::Taken(_))));
    assert_eq!(house.settings().unwrap(), settings());
    let opened = house.open(PASSPHRASE).unwrap();
    let [manifest, checkpoint] = [CentreKey::Manifest, CentreKey::Checkpoint];
    assert_eq!(opened.ring.first(manifest), made.ring.first(manifest));
    assert_ne!(opened.ring.first(manifest), opened.ring.first(checkpoint));
    assert_eq!(opened.channel.digest(), made.channel.digest());
    let wrong = house.open(b"somebody else's");
    assert!(matches!(wrong, Err(HouseError::Folder(FolderError::Key { source: KeyFileError::Sealed, .. }))));
    fs::set_permissions(house.path("manifest.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(house.open(PASSPHRASE), Err(HouseError::Folder(FolderError::Open(_)))));
}

#[test]
fn the_listeners_certificate_is_made_anew_before_it_ends_for_the_same_key() {
    const DAY: u64 = 86_400_000;
    let folder = tempfile::tempdir().unwrap();
    let house = House::at(folder.path().join("kmc"));
    let names = settings().names;
    let mut keys = house.create(&settings(), PASSPHRASE, NOW).unwrap();
    let (first, key) = (keys.channel.certificate.clone(), keys.channel.digest());
    assert_eq!(certificate_end(&first).map(|end| (end - NOW) / DAY), Some(824));
    assert!(!house.renew_channel(&mut keys, &names, NOW + 549 * DAY).unwrap());
    assert_eq!(keys.channel.certificate, first);
    assert!(house.renew_channel(&mut keys, &names, NOW + 551 * DAY).unwrap());
    assert!(certificate_end(&keys.channel.certificate).is_some_and(|end| end > NOW + 1_375 * DAY));
    assert_eq!(keys.channel.digest(), key, "people's programs know the key");
    // Found again, and once is enough.
    let mut again = house.open(PASSPHRASE).unwrap();
    assert_eq!(again.channel.certificate, keys.channel.certificate);
    assert!(!house.renew_channel(&mut again, &names, NOW + 552 * DAY).unwrap());
    // Also one that has ended already.
    assert!(house.renew_channel(&mut again, &names, NOW + 3_000 * DAY).unwrap());
    assert_eq!(certificate_end(b"none"), None);
}

#[test]
fn a_certificate_takes_the_key_of_a_request_and_nothing_else() {
    let (certificate, key) = Authority::generate("c", NOW).unwrap();
    let authority = Authority::new(certificate, &key).unwrap();
    let pair = rcgen::KeyPair::generate().unwrap();
    let mut asked = rcgen::CertificateParams::new(vec!["kmc.example".to_owned()]).unwrap();
    asked.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    asked.distinguished_name.push(rcgen::DnType::CommonName, "another node");
    let request = asked.serialize_request(&pair).unwrap();
    let made = authority.certify(request.der(), "node-1", NOW, 90).unwrap();
    let parsed = Certificate::from_der(&made).unwrap();
    assert!(parsed.tbs_certificate().subject().to_string().contains("node-1"));
    assert!(!String::from_utf8_lossy(&made).contains("kmc.example"));
    assert!(!String::from_utf8_lossy(&made).contains("another node"));
    let own = asked.self_signed(&pair).unwrap();
    assert_eq!(spki_digest(&made), spki_digest(own.der()));
    let mut altered = request.der().to_vec();
    let last = altered.len() - 1;
    altered[last] ^= 1;
    assert_eq!(authority.certify(&altered, "node-1", NOW, 90), Err(AuthorityError::Request));
    assert_eq!(authority.certify(b"", "node-1", NOW, 90), Err(AuthorityError::Request));
}
