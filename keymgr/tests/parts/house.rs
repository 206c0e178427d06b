//! The manager's folder: made once, opened by its passphrase only; its authority certifies keys and nothing
//! that a request says besides.

use keylink::succession::CentreKey;
use keylink::{NodeId, NotSigned, PublicKey, Sign, SoftSigner, TrySign};
use keymgr::FolderError;
use keymgr::channel::{ListenerKey, is_of_node};
use keymgr::house::{
    Authority, AuthorityError, House, HouseError, Limits, RingSigner, Settings, certificate_end,
    certificate_issuer,
};
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
    let made = house.create(&settings(), PASSPHRASE).unwrap();
    assert!(matches!(house.create(&settings(), PASSPHRASE), Err(HouseError::Taken(_))));
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

// Of an attempt that kept its keys elsewhere, whatever it has written is of no use to the next.
#[test]
fn what_an_attempt_before_has_left_does_not_stand_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::at(folder.path().join("kmc"));
    house.begin(b"of the first attempt", None).unwrap();
    for (file, content) in
        [("enrolment.pem", "sealed by a passphrase of that time"), ("master.toml", "a token's")]
    {
        house.write(file, content.as_bytes()).unwrap();
    }
    let made = house.begin(PASSPHRASE, None).unwrap();
    house.complete(&settings()).unwrap();
    let opened = house.open(PASSPHRASE).unwrap();
    assert_eq!(*opened.ring.enrolment_secret(), *made.ring.enrolment_secret());
    assert!(!house.path("master.toml").exists() && !house.path("enrolment.pem").exists());
}

// Goes by the name of a key that it has not.
struct Another(PublicKey, Option<SoftSigner>);

impl TrySign for Another {
    fn public(&self) -> PublicKey {
        self.0
    }

    fn try_sign(&self, message: &[u8]) -> Result<[u8; 64], NotSigned> {
        Ok(self.1.as_ref().ok_or(NotSigned)?.sign(message))
    }
}

fn authority(seed: u8) -> Authority {
    Authority::new(RingSigner::here(SoftSigner::new(&[seed; 32])), NOW).unwrap()
}

#[test]
fn an_authority_is_made_of_its_key_and_ends_what_it_certifies() {
    const DAY: u64 = 86_400_000;
    let (one, again) = (authority(1), authority(1));
    assert_eq!(one.certificate(), again.certificate());
    assert_ne!(one.certificate(), authority(2).certificate());
    assert_eq!(certificate_issuer(one.certificate()), Some(one.key()));
    assert_eq!(certificate_end(one.certificate()).map(|end| (end - NOW) / DAY), Some(3_649));
    let (key, names) = (ListenerKey::generate().unwrap(), settings().names);
    let made = one.listener(&key, &names, NOW, 825).unwrap();
    assert_eq!(
        (spki_digest(&made.certificate), certificate_issuer(&made.certificate)),
        (key.digest(), Some(one.key()))
    );
    assert_eq!(certificate_end(&made.certificate).map(|end| (end - NOW) / DAY), Some(824));
    let last = one.listener(&key, &names, NOW + 3_600 * DAY, 825).unwrap();
    assert_eq!(certificate_end(&last.certificate), certificate_end(one.certificate()));
    assert_eq!((certificate_end(b"none"), certificate_issuer(b"none")), (None, None));
    let silent = Authority::new(RingSigner::here(Another(one.key(), None)), NOW);
    assert_eq!(silent.err(), Some(AuthorityError::Key));
}

#[test]
fn a_certificate_is_judged_by_the_keys_of_authorities_alone() {
    const DAY: u64 = 86_400_000;
    let (one, two) = (authority(1), authority(2));
    let forger = Another(one.key(), Some(SoftSigner::new(&[3; 32])));
    let forged = Authority::new(RingSigner::here(forger), NOW).unwrap();
    let node = NodeId([5; 32]);
    let pair = rcgen::KeyPair::generate().unwrap();
    let request = rcgen::CertificateParams::new(vec![]).unwrap().serialize_request(&pair).unwrap();
    let of = |authority: &Authority, name: &str| authority.certify(request.der(), name, NOW, 90).unwrap();
    let (name, at) = (node.to_string(), NOW + DAY);
    let own = of(&one, &name);
    let (one, two) = (&[one.key()][..], &[two.key()][..]);
    assert!(is_of_node(one, &own, node, at) && is_of_node(&[two, one].concat(), &own, node, at));
    for (what, authorities, der, node, at) in [
        ("another authority counts", two, &own, node, at),
        ("none counts", &[][..], &own, node, at),
        ("another node", one, &own, NodeId([6; 32]), at),
        ("it has ended", one, &own, node, NOW + 91 * DAY),
        ("signed by another", one, &of(&forged, &name), node, at),
        ("no certificate", one, &b"none".to_vec(), node, at),
        ("the authority's own", one, &authority(1).certificate().to_vec(), node, at),
    ] {
        assert!(!is_of_node(authorities, der, node, at), "{what}");
    }
}

#[test]
fn a_certificate_takes_the_key_of_a_request_and_nothing_else() {
    let authority = authority(1);
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
