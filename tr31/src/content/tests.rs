use super::*;
use crate::kcv::{KcvMethod, kcv_legacy};
use paytypes::soft::{Soft, SoftKey};
use paytypes::{Algorithm, CipherKind, Exportability, KeyUsage, ModeOfUse, now};

#[test]
fn good_and_bad_content() {
    let good: &[(BlockId, &[u8])] = &[
        (BlockId::AL, b"0101"),
        (BlockId::BI, b"00868F5000D3"),
        (BlockId::BI, b"01868F5000"),
        (BlockId::CT, b"00MIIC"),
        (BlockId::CT, b"02000004MIIC"),
        (BlockId::CT, b"02000008MIICAA==010004AAAA"),
        (BlockId::DA, b"01P0TEEB1AXN"),
        (BlockId::HM, b"21"),
        (BlockId::IK, b"44CA8599883BA48D"),
        (BlockId::KC, b"00CB9DEA"),
        (BlockId::KP, b"012331550BC9"),
        (BlockId::KS, b"00604B120F9292800000"),
        (BlockId::KV, b"02A0"),
        (BlockId::TS, b"20200818221218Z"),
        (BlockId::TC, b"2018-06-18T20:42:39.22Z"),
        (BlockId::WP, b"001"),
        (BlockId::LB, b"any thing"),
        (BlockId(*b"10"), b"*"),
    ];
    for (id, data) in good {
        assert!(Content::decode(*id, data).is_some(), "{id:?}");
    }
    let bad: &[(BlockId, &[u8])] = &[
        (BlockId::AL, b"0201"),
        (BlockId::BI, b"01868F5000D3"),
        (BlockId::CT, b"00MII"),
        (BlockId::CT, b"00M==="),
        (BlockId::CT, b"02000004MII"),
        (BlockId::CT, b"02"),
        (BlockId::DA, b"01P0TE"),
        (BlockId::HM, b"26"),
        (BlockId::IK, b"44CA8599883BA48"),
        (BlockId::KC, b"02CB9DEA"),
        (BlockId::KC, b"00CB9DEA11"),
        (BlockId::KP, b"01GG31550BC9"),
        (BlockId::KS, b"VM9A"),
        (BlockId::KV, b"+"),
        (BlockId::TS, b"2018-06-18T20:42:39.22"),
        (BlockId::WP, b"004"),
    ];
    for (id, data) in bad {
        assert!(Content::decode(*id, data).is_none(), "{id:?}");
    }
}

#[test]
fn times_are_in_the_calendar() {
    let good = |text: &str| Content::decode(BlockId::TS, text.as_bytes()).is_some();
    assert!(good("20200229235960Z") && good("2018-06-18T20:42:39.22Z"));
    for bad in ["20201318221218Z", "20200018221218Z", "20200832221218Z", "20200818241218Z", "20200818226018Z"]
    {
        assert!(!good(bad), "{bad}");
    }
    let mut blocks = OptionalBlocks::none();
    let error = blocks.push_content(&Content::Stamped("yesterday")).unwrap_err();
    assert_eq!((error.kind.class(), error.field), ("opt_data", "TS"));
}

// Every kind of block, written and read again.
#[test]
fn typed_content_comes_back() {
    let key = SoftKey::new(CipherKind::Tdes, &[7; 16]).unwrap();
    let value = now(kcv_legacy(&Soft, &key)).unwrap().unwrap();
    let check = CheckValue::new(KcvMethod::Legacy, &value);
    let derivation = Derivation {
        usage: KeyUsage(*b"P0"),
        algorithm: Algorithm::TDES,
        mode: ModeOfUse::ENCRYPT,
        exportability: Exportability::EXPORTABLE,
    };
    let derivations = Derivations::encode(&[derivation]);
    let all = [
        Content::KeyLife(KeyLife::Static),
        Content::BaseKeyId(BaseKeyId::Tdes([1, 2, 3, 4, 5])),
        Content::Certificates(Certificates::decode(b"02000004MIIC010004AAAA").unwrap()),
        Content::Derivations(Derivations::decode(&derivations).unwrap()),
        Content::Hash(Hash::SHA_384),
        Content::InitialKeyId([8, 7, 6, 5, 4, 3, 2, 1]),
        Content::KeyCheck(check),
        Content::KbpkCheck(check),
        Content::ExportKbpkCheck(check),
        Content::InitialKsn(InitialKsn::new([0xFF; 10])),
        Content::Values(*b"02A0"),
        Content::Label("any thing"),
        Content::Created("20200818221218Z"),
        Content::Stamped("2018-06-18T20:42:39.22Z"),
        Content::Pedigree(Pedigree::Asymmetric),
        Content::Other(BlockId(*b"1X"), b"*"),
        Content::Padding(3),
    ];
    let mut blocks = OptionalBlocks::none();
    for content in &all {
        blocks.push_content(content).unwrap();
    }
    let read: Vec<_> = blocks.iter().map(|block| block.content().unwrap()).collect();
    assert_eq!(read, all);
    assert!(check.names(&value) && check.bytes().len() == 3);
}

#[test]
fn derivations_are_allowed_as_named_or_narrower() {
    let data = b"01P0TEEB1AXN";
    let list = Derivations::decode(data).unwrap();
    let wanted = |text: &[u8; 5]| Derivation {
        usage: KeyUsage([text[0], text[1]]),
        algorithm: Algorithm(text[2]),
        mode: ModeOfUse(text[3]),
        exportability: Exportability(text[4]),
    };
    assert_eq!(list.iter().count(), 2);
    assert!(list.allow(&wanted(b"P0TEE")) && list.allow(&wanted(b"P0TEN")) && list.allow(&wanted(b"B1AXN")));
    for text in [b"P0TES", b"P0TBE", b"P0AEE", b"D0TEE", b"B1AXE"] {
        assert!(!list.allow(&wanted(text)));
    }
}

#[test]
fn chains_are_read_one_by_one() {
    let chain = Certificates::decode(b"02000008MIICAA==010004AAAA").unwrap();
    let found: Vec<_> = chain.iter().collect();
    assert_eq!(found, [(CertificateFormat::X509, &b"MIICAA=="[..]), (CertificateFormat::Emv, &b"AAAA"[..])]);
    assert_eq!(Certificates::decode(b"00MIIC").unwrap().iter().count(), 1);
}

#[test]
fn hashes_and_serial_numbers() {
    assert_eq!(Hash::all().count(), 13);
    assert!(Hash::all().all(|hash| Hash::from_code(hash.code()) == Some(hash) && hash.name() != "unknown"));
    assert_eq!(Hash::SHA_512.name(), "SHA-512");
    let Some(Content::InitialKsn(short)) = Content::decode(BlockId::KS, b"604b120f92928000") else {
        panic!()
    };
    assert_eq!((short.bytes().len(), short.ksn().unwrap().as_bytes().len()), (8, 10));
}

#[test]
fn a_check_value_prints_itself() {
    let shown = |data| format!("{:?}", CheckValue::decode(data).unwrap());
    assert_eq!(shown(b"00CB9DEA"), "CB9DEA (Legacy)");
    assert_eq!(shown(b"012331550BC9"), "2331550BC9 (Cmac)");
    assert_eq!(format!("{:?} {:?}", BlockId::KC, BlockId([0xFF; 2])), "KC ??");
}
