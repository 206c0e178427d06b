//! LMKs: ceremonies, what is refused, and the PIN.

use super::support::*;
use cryptoki::object::{Attribute, KeyType as P11KeyType, ObjectClass};
use hsm::{HsmError, LmkId, LmkScheme};
use hsm_pkcs11::{Options, Token, TokenError, ceremony, objects};
use paytypes::ClearBytes;

pub fn an_lmk_is_made_inside_and_only_once() {
    let token = open(Options::default());
    assert!(token.lmks().expect("none").is_empty());
    let first = ceremony::generate(&token, LmkId(3), LmkScheme::AesBlock).expect("made");
    assert_eq!((first.id, first.scheme, first.test), (LmkId(3), LmkScheme::AesBlock, false));
    let again = ceremony::generate(&token, LmkId(3), LmkScheme::AesBlock);
    assert!(matches!(again, Err(TokenError::LmkExists(LmkId(3)))));
    let other = ceremony::generate(&token, LmkId(0), LmkScheme::TdesBlock).expect("made");
    assert_ne!(first.check, other.check);
    let ids: Vec<_> = token.lmks().expect("two").into_iter().map(|lmk| lmk.id).collect();
    assert_eq!(ids, [LmkId(0), LmkId(3)]);
    assert!(matches!(ceremony::generate(&token, LmkId(20), LmkScheme::AesBlock), Err(TokenError::LmkNumber)));
    assert!(matches!(
        ceremony::generate(&token, LmkId(5), LmkScheme::Variant),
        Err(TokenError::NotOffered(_))
    ));
    for clear in [ClearBytes::zeroed(24), ClearBytes::new(vec![0x23; 24]), ClearBytes::zeroed(16)] {
        let weak = ceremony::import(&token, LmkId(5), LmkScheme::TdesBlock, &clear);
        assert!(matches!(weak, Err(TokenError::LmkWeak)));
    }
    // The LMK's value is nowhere to be had.
    let session = raw_session();
    for object in labelled(&session, "payhsm/lmk/03/master") {
        let value = session.get_attributes(object, &[cryptoki::object::AttributeType::Value]);
        assert!(value.map_or(true, |list| list.is_empty()), "a value came out");
    }
}

pub fn what_a_cut_ceremony_left_is_refused_and_cleared() {
    let token = open(Options::default());
    ceremony::generate(&token, LmkId(3), LmkScheme::AesBlock).expect("made");
    let session = raw_session();
    for object in labelled(&session, "payhsm/lmk/03/pin-decrypt") {
        session.destroy_object(object).expect("destroyed");
    }
    match token.lmks() {
        Err(TokenError::LmkParts(id, label)) => {
            assert_eq!((id, label.as_str()), (LmkId(3), "payhsm/lmk/03/pin-decrypt"));
        }
        other => panic!("{other:?}"),
    }
    let mut backend = token.backend();
    let served = drive(&mut backend, async |hsm| hsm.random(&mut [0; 8]).await);
    assert_eq!(served, Err(HsmError::Backend), "half an LMK serves nothing");
    ceremony::generate(&token, LmkId(3), LmkScheme::AesBlock).expect("made anew");
    assert_eq!(token.lmks().expect("one").len(), 1);
    assert_eq!(objects::dump(&token).expect("dump").len(), 8);
}

pub fn an_lmk_with_attributes_of_others_is_refused() {
    let token = open(Options::default());
    ceremony::generate(&token, LmkId(3), LmkScheme::AesBlock).expect("made");
    let session = raw_session();
    let label = "payhsm/lmk/03/kbek-encrypt";
    for object in labelled(&session, label) {
        session.destroy_object(object).expect("destroyed");
    }
    // As an attacker would put it there: with it, what was wrapped could be decrypted.
    let planted = session.create_object(&[
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(P11KeyType::AES),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(true),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::Label(label.as_bytes().to_vec()),
        Attribute::Value(vec![7; 32]),
    ]);
    planted.expect("planted");
    match token.lmks() {
        Err(TokenError::LmkAttributes(LmkId(3), found, why)) => {
            assert_eq!(found, label);
            assert!(why.contains("CKA_EXTRACTABLE") && why.contains("CKA_DECRYPT"), "{why}");
        }
        other => panic!("{other:?}"),
    }
}

pub fn a_wrong_pin_is_tried_twice_at_most() {
    let refused = || Token::open(&uri(), pin_of("0000"), Options::default()).unwrap_err();
    assert!(matches!(refused(), TokenError::PinRefused));
    for _ in 0..5 {
        assert!(matches!(refused(), TokenError::LoginSpared(1)), "within five seconds nothing is tried");
    }
    std::thread::sleep(std::time::Duration::from_millis(5100));
    assert!(matches!(refused(), TokenError::PinRefused));
    std::thread::sleep(std::time::Duration::from_millis(5100));
    assert!(matches!(refused(), TokenError::LoginSpared(2)), "there is no third");
    let text = format!("{} {:?}", refused(), refused());
    assert!(!text.contains("0000"));
}
