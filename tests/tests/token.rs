//! The token backend, in process: its operations against software, the attributes of every object it makes,
//! bounds, refusals and ceremonies. Each test gets a SoftHSM token of its own and runs in a process of its own,
//! since a module reads its environment once.

use cryptoki::context::Pkcs11;
use cryptoki::object::{Attribute, KeyType as P11KeyType, ObjectClass};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use hostcmd::{Authorised, Engine, Finished, Port, Settings, Unit};
use hsm::{
    Backend as _, BackendClass, Binding, BlockAttributes, Hsm, HsmError, Key, KeyToken, KeyType, LmkId,
    LmkPurpose, LmkScheme, Scheme, SealAs, join,
};
use hsm_pkcs11::{
    Hidden, Options, Pin, Resident, Token, TokenBackend, TokenError, TokenUri, ceremony, objects,
};
use hsm_sim::{LmkSet, RandomSource, Simulator};
use paytypes::soft::{Soft, SoftKey};
use paytypes::{
    Cipher, CipherError, CipherKind, ClearBytes, Direction, Exportability, KeyShape, KeyUsage, KeyVersion,
    MacAlgorithm, ModeOfUse, now,
};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tests::expect::{File, Saved};
use tests::softhsm::{PIN, TempToken, inner_uri};

macro_rules! each_on_its_own_token {
    ($($name:ident),* $(,)?) => {
        $(#[test] fn $name() {
            if let Some(token) = TempToken::new() {
                token.run_inside(concat!("inside::", stringify!($name)));
            }
        })*
        mod inside {
            $(#[test]
            #[ignore = "started by the test of the same name, with a token"]
            fn $name() {
                // Asked for by hand, without one, there is nothing to look at.
                if tests::softhsm::has_inner_token() {
                    super::check::$name();
                }
            })*
        }
    };
}

each_on_its_own_token! {
    operations_are_those_of_the_software_ciphers,
    tokens_of_keys_are_those_of_the_simulator,
    no_object_has_attributes_that_conflict,
    session_objects_are_bounded_and_go_with_their_keys,
    a_wrong_pin_is_tried_twice_at_most,
    without_des_its_keys_answer_47,
    without_cmac_a_ceremony_and_blocks_work,
    an_lmk_is_made_inside_and_only_once,
    what_a_cut_ceremony_left_is_refused_and_cleared,
    an_lmk_with_attributes_of_others_is_refused,
    keys_of_user_storage_may_live_on_the_token,
    backends_share_a_login_side_by_side,
}

fn uri() -> TokenUri {
    TokenUri::parse(&inner_uri()).expect("URI")
}

fn pin_of(text: &str) -> Option<Pin> {
    Some(Pin::new(text.to_owned().into()))
}

fn open(options: Options) -> Token {
    Token::open(&uri(), pin_of(PIN), options).expect("opens")
}

// The public key-block test LMKs, as far as the token takes them.
fn with_test_lmks(options: Options) -> Token {
    let token = open(options);
    for secret in LmkSet::public_test().iter().filter(|lmk| lmk.id.0 > 0) {
        let scheme = if secret.id.0 == 1 { LmkScheme::TdesBlock } else { LmkScheme::AesBlock };
        match ceremony::import(&token, secret.id, scheme, &secret.clear) {
            Ok(info) => assert!(info.test, "a test LMK is known as one"),
            Err(TokenError::NotOffered(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
    token.lmks().expect("LMKs");
    token
}

fn simulator() -> Simulator {
    let options = hsm_sim::Options { random: RandomSource::System };
    Simulator::new(&LmkSet::public_test(), options).expect("simulator")
}

fn drive<T>(backend: &mut dyn hsm::Backend, task: impl AsyncFnOnce(Hsm) -> T) -> T {
    drive_with(backend, Hsm::new(), task)
}

fn drive_with<T>(backend: &mut dyn hsm::Backend, hsm: Hsm, task: impl AsyncFnOnce(Hsm) -> T) -> T {
    let mut future = pin!(task(hsm.clone()));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => return value,
            Poll::Pending => hsm.run(backend),
        }
    }
}

const ATTRIBUTES: BlockAttributes = BlockAttributes {
    usage: KeyUsage(*b"P0"),
    mode: ModeOfUse::BOTH,
    version: KeyVersion::UNUSED,
    exportability: Exportability::EXPORTABLE,
};

const FORM: SealAs = SealAs::Block { attributes: ATTRIBUTES, optional_count: 0, optional: Vec::new() };

const SHAPES: [(CipherKind, usize); 6] = [
    (CipherKind::Des, 8),
    (CipherKind::Tdes, 16),
    (CipherKind::Tdes, 24),
    (CipherKind::Aes, 16),
    (CipherKind::Aes, 24),
    (CipherKind::Aes, 32),
];

fn pattern(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|n| (n as u8).wrapping_mul(73).wrapping_add(seed)).collect()
}

fn engine(token: &Token) -> Engine {
    let unit = Unit {
        authorised: Authorised::ALL,
        decimalisation_tables: vec![*b"0123456789012345"],
        ..Unit::default()
    };
    Engine::new(Box::new(token.backend()), unit)
}

fn ask(engine: &mut Engine, lmk: u8, request: &[u8]) -> String {
    let port = Rc::new(Port { header_length: 0, ..Port::new(LmkId(lmk), Settings::LEGACY) });
    let ticket = engine.submit(&port, request);
    engine.run();
    let mut reply = Vec::new();
    match engine.finish(ticket, &mut reply) {
        Finished::Reply { .. } => tests::wire::text(&reply),
        Finished::Close => String::new(),
    }
}

// A session of the test's own, beside ours, in the same process: what an officer's tool would do.
fn raw_session() -> Session {
    let module = Pkcs11::new(uri().module().expect("module")).expect("loads");
    let slot = module.get_slots_with_initialized_token().expect("slots")[0];
    let session = module.open_rw_session(slot).expect("session");
    let _already = session.login(UserType::User, Some(&AuthPin::new(PIN.into())));
    session
}

fn labelled(session: &Session, label: &str) -> Vec<cryptoki::object::ObjectHandle> {
    session.find_objects(&[Attribute::Label(label.as_bytes().to_vec())]).expect("search")
}

mod check {
    use super::*;

    pub fn operations_are_those_of_the_software_ciphers() {
        let token = with_test_lmks(Options::default());
        let mut backend = token.backend();
        assert_eq!(backend.class(), BackendClass::B);
        drive(&mut backend, async |hsm| {
            for (kind, length) in SHAPES {
                for seed in [1u8, 0xA6] {
                    let clear = pattern(length, seed);
                    let soft = SoftKey::new(kind, &clear).unwrap();
                    let key = hsm.load(kind, &clear).await.unwrap();
                    same_ciphers(&hsm, &key, &soft).await;
                    same_macs(&hsm, &key, &soft).await;
                    let masked = hsm.variant(&key, &pattern(length, 9)).await.unwrap();
                    let soft = now(Soft.variant(&soft, &pattern(length, 9))).unwrap().unwrap();
                    same_ciphers(&hsm, &masked, &soft).await;
                    assert!(hsm.variant(&key, &[1; 7]).await.is_err());
                    assert!(hsm.reveal(&masked).await.unwrap().same_as(soft.expose()));
                }
            }
            let odd = hsm.load(CipherKind::Aes, &[1; 15]).await.err();
            assert_eq!(odd, Some(CipherError::KeyLength));
        });
    }

    async fn same_ciphers(hsm: &Hsm, key: &Key, soft: &SoftKey) {
        let block = soft.shape().kind.block_length();
        for blocks in [0usize, 1, 2, 7, 600] {
            for way in [Direction::Encrypt, Direction::Decrypt] {
                let (mut a, mut b) = (pattern(block * blocks, 3), pattern(block * blocks, 50));
                let (mut c, mut d) = (a.clone(), b.clone());
                // Two at once, so that they share a call.
                let both = join(hsm.ecb(key, way, &mut a), hsm.ecb(key, way, &mut b)).await;
                assert_eq!(both, (Ok(()), Ok(())));
                soft.ecb(way, &mut c).unwrap();
                soft.ecb(way, &mut d).unwrap();
                assert!(a == c && b == d, "ECB {way:?} of {blocks} blocks");
                let iv = pattern(block, 77);
                let both = join(hsm.cbc(key, way, &iv, &mut a), hsm.ecb(key, way, &mut b)).await;
                assert_eq!(both, (Ok(()), Ok(())));
                soft.cbc(way, &iv, &mut c).unwrap();
                soft.ecb(way, &mut d).unwrap();
                assert!(a == c && b == d, "CBC {way:?} of {blocks} blocks");
            }
        }
        let mut part = vec![1; block + 1];
        let refused = hsm.ecb(key, Direction::Encrypt, &mut part).await;
        assert_eq!(refused, Err(CipherError::DataLength));
        assert_eq!(part, vec![1; block + 1], "what is refused stays as it was");
        assert!(hsm.cbc(key, Direction::Decrypt, &[0; 3], &mut vec![1; block]).await.is_err());
    }

    async fn same_macs(hsm: &Hsm, key: &Key, soft: &SoftKey) {
        use MacAlgorithm::{Cmac, Iso1, Iso3, Iso3Chain};
        let kind = soft.shape().kind;
        let block = kind.block_length();
        for algorithm in [Iso1, Iso3, Iso3Chain, Cmac] {
            for size in [0, 1, block - 1, block, block + 1, 2 * block, 5 * block, 333] {
                for iv in [vec![0; block], pattern(block, 7)] {
                    let data = pattern(size, 11);
                    let begins = iv.iter().all(|b| *b == 0);
                    // The two software sides differ here: the backend does as the simulator.
                    let short = algorithm == Cmac && size < block && !begins && kind != CipherKind::Aes;
                    if algorithm == Iso3 && size == 0 || short {
                        continue;
                    }
                    let ours = hsm.mac(key, algorithm, &iv, &data).await.map(|m| m.as_bytes().to_vec());
                    let theirs = soft.mac(algorithm, &iv, &data).map(|m| m.as_bytes().to_vec());
                    match (&ours, &theirs) {
                        (Ok(a), Ok(b)) => assert_eq!(a, b, "{algorithm:?} {kind:?} {size}"),
                        (Err(_), Err(_)) => {}
                        _ => panic!("{algorithm:?} {kind:?} {size}: {ours:?} {theirs:?}"),
                    }
                }
            }
        }
    }

    pub fn tokens_of_keys_are_those_of_the_simulator() {
        let token = with_test_lmks(Options::default());
        let (mut ours, mut theirs) = (token.backend(), simulator());
        for (kind, length) in SHAPES {
            for id in [1, 2] {
                let shape = KeyShape { kind, length };
                let (sealed, clear) = drive(&mut ours, async |hsm| {
                    let key = hsm.generate(shape).await.unwrap();
                    (hsm.seal(LmkId(id), &key, FORM).await.unwrap(), hsm.reveal(&key).await.unwrap())
                });
                let opened = |backend: &mut dyn hsm::Backend| {
                    drive(backend, async |hsm| {
                        let key = hsm.open(LmkId(id), KeyType::FROM_BLOCK, &sealed).await.unwrap();
                        assert!(hsm.reveal(&key).await.unwrap().same_as(&clear));
                        *key.attributes()
                    })
                };
                assert_eq!(opened(&mut ours), opened(&mut theirs));
                // Every altered character is refused alike.
                for at in 0..sealed.text().len() {
                    let mut text = sealed.text().to_vec();
                    text[at] = if text[at] == b'1' { b'2' } else { b'1' };
                    let altered = KeyToken::new(Scheme::S, &text);
                    let refused = |backend: &mut dyn hsm::Backend| {
                        drive(backend, async |hsm| {
                            hsm.open(LmkId(id), KeyType::FROM_BLOCK, &altered).await.err()
                        })
                    };
                    let (a, b) = (refused(&mut ours), refused(&mut theirs));
                    assert_eq!(a, b, "character {at}");
                }
            }
        }
        // What a host stored under the LMK opens on both.
        for id in [1, 2] {
            for purpose in [LmkPurpose::PinStorage, LmkPurpose::DecimalisationTable] {
                let stored = |backend: &mut dyn hsm::Backend| {
                    drive(backend, async |hsm| {
                        let key = hsm.lmk_key(LmkId(id), purpose).await.unwrap();
                        let mut data = pattern(32, 5);
                        hsm.ecb(&key, Direction::Encrypt, &mut data).await.unwrap();
                        data
                    })
                };
                assert_eq!(stored(&mut ours), stored(&mut theirs));
            }
        }
        drive(&mut ours, async |hsm| {
            let key = hsm.lmk_key(LmkId(2), LmkPurpose::PinStorage).await.unwrap();
            assert_eq!(hsm.reveal(&key).await.err(), Some(HsmError::NotRevealed));
            assert_eq!(hsm.seal(LmkId(2), &key, FORM).await.err(), Some(HsmError::NotRevealed));
            let variant = SealAs::Variant { scheme: Scheme::U, key_type: KeyType::ZPK };
            let shape = KeyShape { kind: CipherKind::Tdes, length: 16 };
            let key = hsm.generate(shape).await.unwrap();
            assert_eq!(hsm.seal(LmkId(2), &key, variant).await.err(), Some(HsmError::Scheme));
            let token = KeyToken::new(Scheme::U, &[b'0'; 32]);
            assert_eq!(hsm.open(LmkId(2), KeyType::ZPK, &token).await.err(), Some(HsmError::Scheme));
            assert_eq!(hsm.open(LmkId(0), KeyType::ZPK, &token).await.err(), Some(HsmError::NoSuchLmk));
            let token = KeyToken::new(Scheme::K, b"123");
            assert_eq!(hsm.open(LmkId(2), KeyType::ZPK, &token).await.err(), Some(HsmError::EmptyIndex));
        });
    }

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
        let of_session = |token: &Token| {
            objects::dump(token).expect("dump").iter().filter(|facts| !facts.on_token).count()
        };
        assert_eq!(of_session(&token), 16);
        // A key that nobody holds takes its objects with it at the next batch.
        drop(hsm);
        drive(&mut backend, async |hsm| hsm.random(&mut [0; 8]).await.unwrap());
        assert_eq!((backend.objects(), of_session(&token)), (0, 0));
        drop(backend);
        assert_eq!(of_session(&token), 0);
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

    pub fn without_des_its_keys_answer_47() {
        // The LMKs are there; what is missing is the cipher, as on a module without DES.
        let full = with_test_lmks(Options::default());
        let keys = drive(&mut full.backend(), async |hsm| {
            let mut keys = Vec::new();
            for (kind, length) in [(CipherKind::Tdes, 16), (CipherKind::Aes, 16)] {
                let key = hsm.generate(KeyShape { kind, length }).await.unwrap();
                keys.push(hsm.seal(LmkId(2), &key, FORM).await.unwrap());
            }
            keys
        });
        let hidden = Hidden { des: true, ..Hidden::default() };
        let token = open(Options { hidden, ..Options::default() });
        assert!(!token.capability().offers(CipherKind::Tdes));
        let lmks = token.lmks().expect("LMKs");
        assert_eq!(lmks.iter().map(|lmk| lmk.id).collect::<Vec<_>>(), [LmkId(2)]);
        let mut engine = engine(&token);
        let text = |token: &KeyToken| {
            let mut text = Vec::new();
            token.write(&mut text);
            String::from_utf8(text).unwrap()
        };
        let (tdes, aes) = (text(&keys[0]), text(&keys[1]));
        let mut code =
            |request: String| ask(&mut engine, 2, request.as_bytes()).get(..4).unwrap_or("").to_owned();
        assert_eq!(code(format!("BUFFF{tdes}")), "BV47");
        assert_eq!(code(format!("BUFFF{aes}")), "BV00");
        assert_eq!(code(format!("CC{tdes}{tdes}12{:016}0101123456789012", 0)), "CD47");
        assert_eq!(code("A00FFFS#72T2N00N00".to_owned()), "A147");
        assert_eq!(code("A00FFFS#72A1N00N00".to_owned()), "A100");
        assert_eq!(ask(&mut engine, 1, b"A00FFFS#72A1N00N00").get(..4), Some("A113"), "LMK 01 is not there");
        let refused = ceremony::generate(&token, LmkId(9), LmkScheme::TdesBlock);
        assert!(matches!(refused, Err(TokenError::NotOffered(_))));
        let missing: Vec<_> = token.capability().needs().into_iter().filter(|need| !need.offered).collect();
        assert!(
            missing.iter().any(|need| need.mechanism == "CKM_DES3_ECB" && need.consequence.contains("47"))
        );
    }

    pub fn without_cmac_a_ceremony_and_blocks_work() {
        let hidden = Hidden { aes_cmac: true, ..Hidden::default() };
        let token = with_test_lmks(Options { hidden, ..Options::default() });
        let info = ceremony::generate(&token, LmkId(4), LmkScheme::AesBlock).expect("made");
        assert!(!info.test);
        let facts = objects::dump(&token).expect("dump");
        assert!(facts.iter().all(|f| f.conflicts().is_empty() && !f.uses.contains(&"CKA_SIGN")));
        let sealed = drive(&mut token.backend(), async |hsm| {
            let key = hsm.generate(KeyShape { kind: CipherKind::Aes, length: 32 }).await.unwrap();
            let soft = SoftKey::new(CipherKind::Aes, hsm.reveal(&key).await.unwrap().expose()).unwrap();
            same_macs(&hsm, &key, &soft).await;
            hsm.seal(LmkId(2), &key, FORM).await.unwrap()
        });
        let opened = drive(&mut simulator(), async |hsm| {
            hsm.open(LmkId(2), KeyType::FROM_BLOCK, &sealed).await.is_ok()
        });
        assert!(opened, "the same blocks as with CMAC");
    }

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
        assert!(matches!(
            ceremony::generate(&token, LmkId(20), LmkScheme::AesBlock),
            Err(TokenError::LmkNumber)
        ));
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

    pub fn backends_share_a_login_side_by_side() {
        let token = with_test_lmks(Options::default());
        let work = |mut backend: TokenBackend, seed: u8| {
            for turn in 0..200u8 {
                drive(&mut backend, async |hsm| {
                    let clear = pattern(16, seed.wrapping_add(turn));
                    let key = hsm.load(CipherKind::Tdes, &clear).await.unwrap();
                    let (mut ours, mut theirs) = (pattern(64, turn), pattern(64, turn));
                    hsm.ecb(&key, Direction::Decrypt, &mut ours).await.unwrap();
                    let soft = SoftKey::new(CipherKind::Tdes, &clear).unwrap();
                    soft.ecb(Direction::Decrypt, &mut theirs).unwrap();
                    assert_eq!(ours, theirs);
                });
            }
        };
        std::thread::scope(|scope| {
            for seed in 0..4u8 {
                let token = &token;
                scope.spawn(move || work(token.backend(), seed.wrapping_mul(50)));
            }
        });
        let left = objects::dump(&token).expect("dump");
        assert!(left.iter().all(|facts| facts.on_token), "objects went with their sessions");
    }
}
