//! Wycheproof's sets for CMAC and HMAC: valid tags, changed tags, keys of impossible length. Its sets for AES
//! key wrap do not apply: nothing here wraps keys in that way.

use cardcrypto::CardError;
use cardcrypto::mac::{self, Algorithm, HmacHash, Padding, Part};
use paytypes::soft::{Soft, SoftKey};
use paytypes::{CipherKind, now};
use wycheproof::TestResult;
use wycheproof::mac::{TestName, TestSet};

type Verify = fn(&[u8], &[u8], &[u8]) -> Result<bool, CardError>;

// Runs a set; `verify` compares the left part of the MAC with the tag. Gives the number of tests.
fn run(name: TestName, verify: Verify) -> usize {
    let set = TestSet::load(name).unwrap();
    let mut count = 0;
    for group in &set.test_groups {
        for test in &group.tests {
            count += 1;
            // A key of impossible length has no tag.
            assert!(test.tag.len() * 8 == group.tag_size || test.tag.is_empty());
            let verified = verify(&test.key, &test.msg, &test.tag).unwrap_or(false);
            assert_eq!(
                verified,
                test.result == TestResult::Valid,
                "{name:?} {}: {}",
                test.tc_id,
                test.comment
            );
        }
    }
    count
}

fn cmac(key: &[u8], message: &[u8], tag: &[u8]) -> Result<bool, CardError> {
    let key = SoftKey::new(CipherKind::Aes, key)?;
    now(mac::verify(&Soft, &key, Algorithm::Cmac, Padding::None, Part::Only, message, tag)).unwrap()
}

#[test]
fn aes_cmac() {
    assert_eq!(run(TestName::AesCmac, cmac), 311);
}

fn hmac(hash: HmacHash, key: &[u8], message: &[u8], tag: &[u8]) -> Result<bool, CardError> {
    mac::same(mac::hmac(hash, key, message)?.as_bytes(), tag)
}

#[test]
fn hmac_of_every_hash() {
    let counts = [
        run(TestName::HmacSha1, |k, m, t| hmac(HmacHash::Sha1, k, m, t)),
        run(TestName::HmacSha224, |k, m, t| hmac(HmacHash::Sha224, k, m, t)),
        run(TestName::HmacSha256, |k, m, t| hmac(HmacHash::Sha256, k, m, t)),
        run(TestName::HmacSha384, |k, m, t| hmac(HmacHash::Sha384, k, m, t)),
        run(TestName::HmacSha512, |k, m, t| hmac(HmacHash::Sha512, k, m, t)),
    ];
    assert_eq!(counts, [170, 172, 174, 174, 174]);
}
