use super::*;
use paytypes::now;
use paytypes::soft::{Soft, SoftKey};
use proptest::prelude::*;

fn key(kind: CipherKind) -> SoftKey {
    let clear: Vec<u8> = (1..=16).map(|i| i * 7).collect();
    let length = if kind == CipherKind::Des { 8 } else { 16 };
    SoftKey::new(kind, &clear[..length]).unwrap()
}

fn run(
    kind: CipherKind,
    algorithm: Algorithm,
    padding: Padding,
    part: Part<'_>,
    data: &[u8],
) -> Result<MacValue, CardError> {
    now(mac(&Soft, &key(kind), algorithm, padding, part, data)).unwrap()
}

fn algorithms(kind: CipherKind) -> &'static [(Algorithm, Padding)] {
    const ALL: &[(Algorithm, Padding)] = &[
        (Algorithm::Cbc, Padding::Zeros),
        (Algorithm::Cbc, Padding::Bit),
        (Algorithm::Cmac, Padding::None),
        (Algorithm::Retail, Padding::Zeros),
        (Algorithm::Retail, Padding::Bit),
    ];
    if kind == CipherKind::Aes { &ALL[..3] } else { ALL }
}

proptest! {
    #[test]
    fn parts_give_the_mac_of_the_whole(
        data in proptest::collection::vec(any::<u8>(), 1..100), first in 1usize..3, middle in 0usize..3,
    ) {
        for kind in [CipherKind::Des, CipherKind::Tdes, CipherKind::Aes] {
            let block = kind.block_length();
            let (a, b) = (first * block, (first + middle) * block);
            if b >= data.len() {
                continue;
            }
            for (algorithm, padding) in algorithms(kind) {
                let whole = run(kind, *algorithm, *padding, Part::Only, &data).unwrap();
                let mut chain = run(kind, *algorithm, *padding, Part::First, &data[..a]).unwrap();
                if b > a {
                    let part = Part::Middle(chain.as_bytes());
                    chain = run(kind, *algorithm, *padding, part, &data[a..b]).unwrap();
                }
                let end = run(kind, *algorithm, *padding, Part::Last(chain.as_bytes()), &data[b..]).unwrap();
                prop_assert_eq!(whole.as_bytes(), end.as_bytes(), "{:?} {:?} {:?}", kind, algorithm, padding);
            }
        }
    }
}

#[test]
fn an_empty_end_is_padded_but_not_for_cmac() {
    let kind = CipherKind::Tdes;
    let chain = run(kind, Algorithm::Retail, Padding::Bit, Part::First, &[3; 8]).unwrap();
    let end = run(kind, Algorithm::Retail, Padding::Bit, Part::Last(chain.as_bytes()), &[]).unwrap();
    let whole = run(kind, Algorithm::Retail, Padding::Bit, Part::Only, &[3; 8]).unwrap();
    assert_eq!(end.as_bytes(), whole.as_bytes());
    let refused = run(kind, Algorithm::Cmac, Padding::None, Part::Last(chain.as_bytes()), &[]);
    assert_eq!(refused.unwrap_err(), CardError::Segment);
}

#[test]
fn refused_parts() {
    let tdes = CipherKind::Tdes;
    let refusal = |algorithm, padding, part: Part<'_>, data: &[u8]| {
        run(tdes, algorithm, padding, part, data).unwrap_err()
    };
    let cbc = Algorithm::Cbc;
    let iv = [0u8; 8];
    assert_eq!(refusal(cbc, Padding::Zeros, Part::First, &[1; 7]), CardError::Segment);
    assert_eq!(refusal(cbc, Padding::Zeros, Part::First, &[]), CardError::Segment);
    assert_eq!(refusal(cbc, Padding::Zeros, Part::Middle(&iv), &[1; 9]), CardError::Segment);
    assert_eq!(refusal(cbc, Padding::Length, Part::First, &[1; 8]), CardError::Segment);
    assert_eq!(refusal(cbc, Padding::Length, Part::Last(&iv), &[1; 8]), CardError::Segment);
    assert_eq!(refusal(cbc, Padding::None, Part::Only, &[1; 7]), CardError::Segment);
    assert_eq!(refusal(cbc, Padding::None, Part::Only, &[]), CardError::Segment);
    assert_eq!(refusal(Algorithm::Cmac, Padding::Bit, Part::Only, &[1; 8]), CardError::Segment);
    assert_eq!(refusal(Algorithm::Cmac, Padding::None, Part::Last(&iv[..7]), &[1]), CardError::Segment);
    let bad_iv = CardError::Cipher(paytypes::CipherError::DataLength);
    assert_eq!(refusal(cbc, Padding::Zeros, Part::Last(&[0; 16]), &[1; 8]), bad_iv);
    let no_retail = CardError::Cipher(paytypes::CipherError::Unsupported);
    let aes = run(CipherKind::Aes, Algorithm::Retail, Padding::Zeros, Part::Only, &[1; 16]);
    assert_eq!(aes.unwrap_err(), no_retail);
}

#[test]
fn verification_takes_the_left_part_of_four_bytes_or_more() {
    let data = [9u8; 20];
    let good = run(CipherKind::Aes, Algorithm::Cmac, Padding::None, Part::Only, &data).unwrap();
    let check = |part: Part<'_>, sent: &[u8]| {
        now(verify(&Soft, &key(CipherKind::Aes), Algorithm::Cmac, Padding::None, part, &data, sent)).unwrap()
    };
    for length in 4..=16 {
        let mut sent = truncated(good.as_bytes(), length).unwrap().to_vec();
        assert_eq!(check(Part::Only, &sent), Ok(true));
        for i in 0..length {
            sent[i] ^= 1;
            assert_eq!(check(Part::Only, &sent), Ok(false));
            sent[i] ^= 1;
        }
    }
    assert_eq!(check(Part::Only, &good.as_bytes()[..3]), Err(CardError::MacLength));
    assert_eq!(check(Part::Only, &[0; 17]), Err(CardError::MacLength));
    assert_eq!(check(Part::First, good.as_bytes()), Err(CardError::Segment));
    assert_eq!(truncated(good.as_bytes(), 3), Err(CardError::MacLength));
}

#[test]
fn codes_of_host_commands() {
    assert_eq!(Algorithm::from_code(b'1'), Some(Algorithm::Cbc));
    assert_eq!(Algorithm::from_code(b'3'), Some(Algorithm::Retail));
    assert_eq!(Algorithm::from_code(b'5'), Some(Algorithm::Cbc));
    assert_eq!(Algorithm::from_code(b'6'), Some(Algorithm::Cmac));
    assert_eq!(Algorithm::from_code(b'2'), None);
}
