//! The same behaviour as the simulator: keys, blocks, every command; and what a module without a mechanism does.

use super::operations::same_macs;
use super::support::*;
use hostcmd::table::TABLE;
use hostcmd::{Engine, Settings};
use hsm::{HsmError, KeyToken, KeyType, LmkId, LmkPurpose, LmkScheme, Scheme, SealAs};
use hsm_pkcs11::{Hidden, Options, TokenError, ceremony, objects};
use paytypes::soft::SoftKey;
use paytypes::{Cipher, CipherKind, Direction, KeyShape};
use tests::expect::File;
use tests::mutate::{Numbers, mutate};

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
                    drive(backend, async |hsm| hsm.open(LmkId(id), KeyType::FROM_BLOCK, &altered).await.err())
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

// Every message that is known here, and thousands of its mutations, under both key-block LMKs and both
// profiles: the codes are the same, and so is the length of the reply.
pub fn every_command_answers_as_on_the_simulator() {
    let token = with_test_lmks(Options::default());
    let mut ours = engine(&token);
    let mut theirs = Engine::new(Box::new(simulator()), unit());
    let examples = TABLE.iter().flat_map(|row| row.examples).map(|example| example.request.to_vec());
    let steps = File::load().cases.into_iter().flat_map(|case| case.steps);
    let from_file = steps.map(|step| tests::wire::bytes(&step.req.replace("${pinl}", "01234")));
    let valid: Vec<Vec<u8>> = examples.chain(from_file).collect();
    let mut numbers = Numbers::new(7);
    let mutated = (0..3000).map(|_| {
        let message = numbers.one(&valid).clone();
        mutate(&message, &valid, &mut numbers)
    });
    let messages: Vec<Vec<u8>> = valid.iter().cloned().chain(mutated).collect();
    let (mut compared, mut good) = (0, 0);
    // LG makes every reply wait, RA ends what is authorised.
    let plain = |message: &&Vec<u8>| !message.starts_with(b"LG") && !message.starts_with(b"RA");
    for message in messages.iter().filter(plain) {
        for (lmk, settings) in [(1, Settings::LEGACY), (2, Settings::STRICT)] {
            let (a, b) =
                (ask_with(&mut ours, lmk, settings, message), ask_with(&mut theirs, lmk, settings, message));
            let (request, code) =
                (tests::wire::text(message), |reply: &str| reply.get(..4).map(str::to_owned));
            assert_eq!(code(&a), code(&b), "LMK {lmk}: {request:?}");
            // Random PINs and status texts have lengths of their own.
            let free = ["JB", "N1", "NP", "NO", "J3", "J5", "J9", "JL"].iter().any(|c| a.starts_with(c));
            assert!(free || a.len() == b.len(), "LMK {lmk}: {request:?}\n{a:?}\n{b:?}");
            compared += 1;
            good += u32::from(a.get(2..4) == Some("00"));
        }
    }
    println!("{compared} replies compared, {good} of them 00");
    assert!(compared > 6000 && good > 200);
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
    assert!(missing.iter().any(|need| need.mechanism == "CKM_DES3_ECB" && need.consequence.contains("47")));
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
    let opened =
        drive(&mut simulator(), async |hsm| hsm.open(LmkId(2), KeyType::FROM_BLOCK, &sealed).await.is_ok());
    assert!(opened, "the same blocks as with CMAC");
}
