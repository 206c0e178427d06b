//! Ciphers and MACs against software, and backends side by side.

use super::support::*;
use hsm::{Backend as _, BackendClass, Hsm, Key, join};
use hsm_pkcs11::{Options, TokenBackend, objects};
use paytypes::soft::{Soft, SoftKey};
use paytypes::{Cipher, CipherError, CipherKind, Direction, MacAlgorithm, now};

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

pub async fn same_macs(hsm: &Hsm, key: &Key, soft: &SoftKey) {
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
