//! A person's home: made once, opened by its passphrase only, and its request proves itself.

use keylink::envelope::Sign;
use keymgr::FolderError;
use keymgr::person::{Home, HomeError, KeyFileError, PersonRequest, RequestError, channel_issuer};
use std::fs;
use std::os::unix::fs::PermissionsExt;

const PASSPHRASE: &[u8] = b"a long enough one";

#[test]
fn a_home_is_made_once_and_opens_for_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path().join("anna"));
    assert!(matches!(home.open(PASSPHRASE), Err(HomeError::Empty(_))));
    let made = home.create("Anna", PASSPHRASE).unwrap();
    assert!(matches!(home.create("Bert", PASSPHRASE), Err(HomeError::Taken(_))));
    let opened = home.open(PASSPHRASE).unwrap();
    assert_eq!((opened.name.as_str(), opened.key()), ("Anna", made.key()));
    let wrong = home.open(b"another passphrase");
    assert!(matches!(wrong, Err(HomeError::Folder(FolderError::Key { source: KeyFileError::Sealed, .. }))));
    assert!(!format!("{opened:?}").contains(&format!("{:?}", opened.channel_key())));
}

#[test]
fn a_home_that_others_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path().join("anna"));
    home.create("Anna", PASSPHRASE).unwrap();
    let file = home.path().join("approval.pem");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(home.open(PASSPHRASE), Err(HomeError::Folder(FolderError::Open(path))) if path == file));
}

#[test]
fn short_passphrases_and_unsafe_names_make_no_home() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path().join("x"));
    let short = home.create("Anna", b"short");
    assert!(matches!(
        short,
        Err(HomeError::Folder(FolderError::Key { source: KeyFileError::Passphrase, .. }))
    ));
    for name in ["", " Anna", "An\u{1b}[2Jna", "a/b", &"n".repeat(65)] {
        assert!(matches!(home.create(name, PASSPHRASE), Err(HomeError::Name(RequestError::Name))));
    }
    assert!(!home.path().exists());
}

#[test]
fn a_request_proves_itself_and_nothing_else_passes() {
    let folder = tempfile::tempdir().unwrap();
    let anna = Home::at(folder.path().join("anna")).create("Anna", PASSPHRASE).unwrap();
    let signed = PersonRequest::of(&anna);
    let request = PersonRequest::read(&signed.to_bytes()).unwrap();
    assert_eq!((request.name.as_str(), request.approval_key), ("Anna", anna.key()));
    let renamed = String::from_utf8(signed.payload.clone()).unwrap().replace("Anna", "Bert");
    let mut forged = signed;
    forged.payload = renamed.into_bytes();
    assert!(matches!(PersonRequest::read(&forged.to_bytes()), Err(RequestError::Message(_))));
    assert!(matches!(PersonRequest::read(b"{}"), Err(RequestError::Message(_))));
}

#[test]
fn a_channel_key_is_certified_by_its_person_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let anna = Home::at(folder.path().join("anna")).create("Anna", PASSPHRASE).unwrap();
    assert_eq!(channel_issuer(&anna.channel_certificate), Some(anna.key()));
    let mut altered = anna.channel_certificate.clone();
    let place = altered.windows(4).position(|w| w == b"Anna").unwrap();
    altered[place] = b'B';
    assert_eq!(channel_issuer(&altered), None);
    let own = keymgr::channel::ServerKey::generate("Anna").unwrap();
    assert_eq!(channel_issuer(&own.certificate), None);
    assert_eq!(channel_issuer(b""), None);
}
