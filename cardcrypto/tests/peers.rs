//! Mistakes found in other open libraries for card values and DUKPT (design document, section 3), each as a
//! test that it is not made here.

use cardcrypto::dukpt::{aes, tdes};
use cardcrypto::emv::cvc3;
use paytypes::soft::{Soft, SoftKey};
use paytypes::{CipherKind, Ksn, hex, now};

fn soft(kind: CipherKind, key: &str) -> SoftKey {
    SoftKey::new(kind, &hex::decode_vec(key.as_bytes()).unwrap()).unwrap()
}

// pyemv: a CVC3 is printed as a number, so that its leading zeros are lost.
#[test]
fn pyemv_drops_leading_zeros() {
    let key = soft(CipherKind::Tdes, "6D6425FB9401C21AA1F80451AB85DA3B");
    let track = hex::decode_vec(b"5123456789012345D35121010000000000000F").unwrap();
    let values: Vec<_> = (0..3000u16)
        .map(|atc| now(cvc3(&Soft, &key, &track, atc, [0, 0, 8, 0x99])).unwrap().unwrap())
        .collect();
    assert_eq!(&values[0x5E], b"29488");
    let short = values.iter().filter(|value| value[0] == b'0').count();
    assert!(short > 300, "{short} of 3000 values below 10000, in five digits all the same");
}

// node-dukpt and others: the initial key of AES DUKPT derived with DES; counters above one half-byte wrong.
// Working key of X9.24-3 for counter 1, and of counters that need more than one half-byte.
#[test]
fn node_dukpt_derives_aes_with_des() {
    let bdk = soft(CipherKind::Aes, "FEDCBA9876543210F1F1F1F1F1F1F1F1");
    let initial = now(aes::InitialKey::derive(&Soft, &bdk, [0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x34, 0x56]));
    let initial = initial.unwrap().unwrap();
    assert_eq!(hex::encode(initial.expose().expose()), "1273671EA26AC29AFA4D1084127652A1");
    let pin = |counter| {
        let transaction = now(initial.transaction_key(&Soft, counter)).unwrap().unwrap();
        let key =
            now(transaction.working_clear(&Soft, aes::Usage::Pin, aes::KeyType::Aes128)).unwrap().unwrap();
        hex::encode(key.expose())
    };
    assert_eq!(pin(1), "AF8CB133A78F8DC2D1359F18527593FB");
    assert_ne!(pin(0x10), pin(0x20));
    let far = now(initial.transaction_key(&Soft, 0x0001_FFFE)).unwrap().unwrap();
    assert_eq!(hex::encode(far.expose().expose()), "E21E8C8D347F8561A2BE752DAA85A111");
}

#[test]
fn node_dukpt_counters_above_one_half_byte() {
    let bdk = soft(CipherKind::Tdes, "0123456789ABCDEFFEDCBA9876543210");
    // ANSI X9.24-1 annex A.4: PIN blocks of 1234, PAN 4012345678909, for counters of several half-bytes.
    for (ksn, block) in [
        ("FFFF9876543210E00001", "1B9C1845EB993A7A"),
        ("FFFF9876543210E00010", "D5D9638559EF53D6"),
        ("FFFF9876543210EFF800", "33365F5CC6F23C35"),
    ] {
        let ksn = Ksn::new(&hex::decode_vec(ksn.as_bytes()).unwrap()).unwrap();
        let transaction = now(tdes::TransactionKey::derive(&Soft, &bdk, &ksn)).unwrap().unwrap();
        let key = now(transaction.working_key(&Soft, tdes::Purpose::Pin)).unwrap().unwrap();
        let mut clear = hex::decode::<8>(b"041274EDCBA9876F").unwrap();
        key.ecb(paytypes::Direction::Encrypt, &mut clear).unwrap();
        assert_eq!(hex::encode(&clear), block);
    }
}
