//! The objects that are made: their attributes, their number, and those that officers made.

use super::support::*;
use cryptoki::object::{Attribute, KeyType as P11KeyType, ObjectClass};
use hsm::{Binding, Hsm, HsmError, KeyToken, KeyType, LmkId, LmkScheme, Scheme};
use hsm_pkcs11::{Options, Resident, Token, ceremony, objects};
use paytypes::soft::SoftKey;
use paytypes::{Cipher, CipherKind, Direction, KeyShape};
use tests::expect::{File, Saved};

// Every request of the wire file under a key-block LMK, then a look at everything that was made.
pub fn no_object_has_attributes_that_conflict() {
    let token = with_test_lmks(Options::default());
    ceremony::generate(&token, LmkId(7), LmkScheme::AesBlock).expect("made");
    ceremony::generate(&token, LmkId(8), LmkScheme::TdesBlock).expect("made");
    token.lmks().expect("LMKs");
    let mut engine = engine(&token);
    let mut commands = 0;
    for case in File::load().cases.iter().filter(|case| case.slot > 0) {
        let mut saved = Saved::default();
        for step in &case.steps {
            let Ok(request) = saved.request(step) else { break };
            let reply = ask(&mut engine, case.slot, &request);
            let _judged_elsewhere = tests::expect::judge(step, reply.as_bytes(), &mut saved);
            commands += 1;
        }
    }
    assert!(commands > 150, "{commands}");
    let facts = objects::dump(&token).expect("dump");
    let (on_token, of_session): (Vec<_>, Vec<_>) = facts.iter().partition(|facts| facts.on_token);
    assert_eq!(on_token.len(), 4 * 8, "four LMKs of eight objects");
    assert!(of_session.len() > 20, "{}", of_session.len());
    assert!(on_token.iter().any(|f| f.label == "payhsm/lmk/07/master" && f.made_inside));
    for facts in &facts {
        assert!(facts.is_ours(), "{facts:?}");
        assert!(facts.conflicts().is_empty(), "{facts:?}: {:?}", facts.conflicts());
    }
}

pub fn session_objects_are_bounded_and_go_with_their_keys() {
    let token = with_test_lmks(Options { objects_max: Some(16), ..Options::default() });
    let mut backend = token.backend();
    let tokens = drive(&mut backend, async |hsm| {
        let mut tokens = Vec::new();
        for _ in 0..100 {
            let key = hsm.generate(KeyShape { kind: CipherKind::Tdes, length: 16 }).await.unwrap();
            tokens.push((hsm.seal(LmkId(2), &key, FORM).await.unwrap(), hsm.reveal(&key).await.unwrap()));
        }
        tokens
    });
    // All keys stay opened, twice over; their objects come and go.
    let hsm = Hsm::new();
    for round in 0..3 {
        for (sealed, clear) in &tokens {
            drive_with(&mut backend, hsm.clone(), async |hsm| {
                let key = hsm.open(LmkId(2), KeyType::FROM_BLOCK, sealed).await.unwrap();
                let mut block = *b"01234567";
                hsm.ecb(&key, Direction::Encrypt, &mut block).await.unwrap();
                let mut expected = *b"01234567";
                let soft = SoftKey::new(CipherKind::Tdes, clear.expose()).unwrap();
                soft.ecb(Direction::Encrypt, &mut expected).unwrap();
                assert_eq!(block, expected, "round {round}");
            });
            assert!(backend.objects() <= 16, "{}", backend.objects());
        }
    }
    let of_session =
        |token: &Token| objects::dump(token).expect("dump").iter().filter(|facts| !facts.on_token).count();
    assert_eq!(of_session(&token), 16);
    // A key that nobody holds takes its objects with it at the next batch.
    drop(hsm);
    drive(&mut backend, async |hsm| hsm.random(&mut [0; 8]).await.unwrap());
    assert_eq!((backend.objects(), of_session(&token)), (0, 0));
    drop(backend);
    assert_eq!(of_session(&token), 0);
}

pub fn keys_of_user_storage_may_live_on_the_token() {
    let residents = ["7", "8"].map(|index| Resident {
        index: index.to_owned(),
        label: format!("zone-{index}"),
        binding: Binding::Block(ATTRIBUTES),
    });
    let token = with_test_lmks(Options { residents: residents.to_vec(), ..Options::default() });
    let session = raw_session();
    let clear = pattern(16, 0x31);
    let template = |label: &str, wrap: bool| {
        vec![
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(P11KeyType::AES),
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            Attribute::Sign(false),
            Attribute::Verify(false),
            Attribute::Wrap(wrap),
            Attribute::Unwrap(false),
            Attribute::Derive(false),
            Attribute::Label(label.as_bytes().to_vec()),
            Attribute::Value(clear.clone()),
        ]
    };
    session.create_object(&template("zone-7", false)).expect("made");
    session.create_object(&template("zone-8", true)).expect("made");
    drive(&mut token.backend(), async |hsm| {
        let open =
            async |index: &[u8]| hsm.open(LmkId(2), KeyType::ZPK, &KeyToken::new(Scheme::K, index)).await;
        let key = open(b"7").await.unwrap();
        assert_eq!(key.attributes().shape, KeyShape { kind: CipherKind::Aes, length: 16 });
        assert_eq!(key.attributes().binding, Binding::Block(ATTRIBUTES));
        let (mut ours, mut theirs) = (pattern(32, 1), pattern(32, 1));
        hsm.ecb(&key, Direction::Encrypt, &mut ours).await.unwrap();
        SoftKey::new(CipherKind::Aes, &clear).unwrap().ecb(Direction::Encrypt, &mut theirs).unwrap();
        assert_eq!(ours, theirs);
        assert_eq!(hsm.reveal(&key).await.err(), Some(HsmError::NotRevealed));
        assert_eq!(open(b"8").await.err(), Some(HsmError::EmptyIndex), "it wraps too");
        assert_eq!(open(b"9").await.err(), Some(HsmError::EmptyIndex));
    });
}
