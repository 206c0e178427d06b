//! Ed25519 keys of a service on a token.

use super::support::*;
use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use hsm_pkcs11::{Options, SigningKeys, TokenError};
use keylink::PublicKey;
use std::time::Instant;

fn holds(key: &[u8; 32], signature: &[u8; 64]) -> bool {
    PublicKey(*key).verify(b"message", signature).is_ok()
}

pub fn a_signing_key_is_made_in_two_steps_and_found_by_its_public_half() {
    let token = open(Options::default());
    let mut keys = SigningKeys::new(&token).expect("offered");
    let (one, other) = (keys.make().expect("made"), keys.make().expect("made"));
    // It signs before it is kept, and is on no token yet.
    assert!(holds(&one, &keys.sign(&one, b"message").expect("signs")));
    assert_eq!(keys.label(&one).expect("asked"), None);
    keys.keep(&one, "payhsm/kmc/1/manifest/one").expect("kept");
    keys.keep(&other, "payhsm/kmc/1/checkpoint/other").expect("kept");
    assert!(keys.keep(&other, "again").is_err(), "it is kept once");
    drop(keys);

    let mut keys = SigningKeys::new(&token).expect("offered");
    assert_eq!(keys.label(&one).expect("asked").as_deref(), Some("payhsm/kmc/1/manifest/one"));
    let began = Instant::now();
    for _ in 0..500 {
        assert!(holds(&one, &keys.sign(&one, b"message").expect("signs")));
    }
    println!("{:.0} signatures a second, each verified", 500.0 / began.elapsed().as_secs_f64());
    assert!(!holds(&one, &keys.sign(&other, b"message").expect("signs")));

    // Nothing of the secret half can be read or changed.
    let session = raw_session();
    let secret = [Attribute::Class(ObjectClass::PRIVATE_KEY)];
    let found = session.find_objects(&secret).expect("found");
    assert_eq!(found.len(), 2);
    for object in found {
        let facts = session
            .get_attributes(
                object,
                &[
                    AttributeType::Extractable,
                    AttributeType::Sensitive,
                    AttributeType::Modifiable,
                    AttributeType::Token,
                ],
            )
            .expect("read");
        for fact in [
            Attribute::Extractable(false),
            Attribute::Sensitive(true),
            Attribute::Modifiable(false),
            Attribute::Token(true),
        ] {
            assert!(facts.contains(&fact), "{fact:?}: {facts:?}");
        }
        let value = session.get_attributes(object, &[AttributeType::Value]).expect("asked");
        assert!(value.is_empty(), "the secret half is not given");
    }

    keys.destroy(&one).expect("destroyed");
    keys.destroy(&one).expect("gone already");
    assert_eq!(keys.label(&one).expect("asked"), None);
    assert!(matches!(keys.sign(&one, b"message"), Err(TokenError::NoKey(_))));
    assert!(holds(&other, &keys.sign(&other, b"message").expect("signs")));
}

pub fn what_was_made_and_not_kept_goes_with_its_session() {
    let token = open(Options::default());
    let mut keys = SigningKeys::new(&token).expect("offered");
    let lost = keys.make().expect("made");
    drop(keys);
    let mut keys = SigningKeys::new(&token).expect("offered");
    assert_eq!(keys.label(&lost).expect("asked"), None);
    assert!(matches!(keys.keep(&lost, "late"), Err(TokenError::NoKey(_))));
    let session = raw_session();
    assert!(session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)]).expect("found").is_empty());
}

// Something may end between the halves, when a key is kept as well as when it is destroyed.
pub fn what_there_is_of_a_signing_key_is_destroyed() {
    let token = open(Options::default());
    let mut keys = SigningKeys::new(&token).expect("offered");
    let session = raw_session();
    let objects = || session.find_objects(&[Attribute::Token(true)]).expect("found");
    let before = objects().len();
    let half = keys.make().expect("made");
    keys.keep(&half, "payhsm/kmc/1/manifest/half").expect("kept");
    for private in session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)]).expect("found") {
        session.destroy_object(private).expect("destroyed");
    }
    assert!(objects().len() == before + 1 && keys.label(&half).expect("asked").is_none(), "no key");
    keys.destroy(&half).expect("destroyed");
    let waits = keys.make().expect("made");
    keys.destroy(&waits).expect("destroyed");
    assert!(keys.sign(&waits, b"message").is_err() && keys.keep(&waits, "late").is_err());
    assert_eq!(objects().len(), before);
}
