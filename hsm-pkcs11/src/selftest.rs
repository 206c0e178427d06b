//! Known answers: whether the token still computes what it should. A token that is gone fails; one that lies
//! answers, and is found by this and nothing else.

use crate::link::Link;
use crate::template::Purpose;
use cryptoki::object::ObjectHandle;
use hsm::HsmError;
use paytypes::{CipherKind, Direction};

/// FIPS 197 appendix C.1.
const AES_KEY: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const AES_CLEAR: [u8; 16] = 0x0011_2233_4455_6677_8899_AABB_CCDD_EEFF_u128.to_be_bytes();
const AES_CIPHER: [u8; 16] = 0x69C4_E0D8_6A7B_0430_D8CD_B780_70B4_C55A_u128.to_be_bytes();
/// RFC 4493 section 4, example 2.
const MAC_KEY: [u8; 16] = 0x2B7E_1516_28AE_D2A6_ABF7_1588_09CF_4F3C_u128.to_be_bytes();
const MAC_MESSAGE: [u8; 16] = 0x6BC1_BEE2_2E40_9F96_E93D_7E11_7393_172A_u128.to_be_bytes();
const MAC: [u8; 16] = 0x070A_16B4_6B4D_4144_F79B_DD9D_D04A_287C_u128.to_be_bytes();
/// SP 800-67 appendix B.1, first block.
const TDES_KEY: [u8; 24] =
    *b"\x01\x23\x45\x67\x89\xAB\xCD\xEF\x23\x45\x67\x89\xAB\xCD\xEF\x01\x45\x67\x89\xAB\xCD\xEF\x01\x23";
const TDES_CLEAR: [u8; 8] = 0x5468_6520_7175_6663_u64.to_be_bytes();
const TDES_CIPHER: [u8; 8] = 0xA826_FD8C_E53B_855F_u64.to_be_bytes();

/// True when every cipher that the token offers gives the known answers. `answered` is called for each of them.
pub(crate) fn passes(link: &mut Link, answered: &mut dyn FnMut()) -> bool {
    let ciphers = [
        (CipherKind::Aes, &AES_KEY[..], &AES_CLEAR[..], &AES_CIPHER[..]),
        (CipherKind::Tdes, &TDES_KEY, &TDES_CLEAR, &TDES_CIPHER),
    ];
    let sound = ciphers.into_iter().all(|(kind, key, clear, cipher)| {
        let ways = [(Direction::Encrypt, clear, cipher), (Direction::Decrypt, cipher, clear)];
        let offered = link.capability().offers(kind);
        !offered
            || ways.into_iter().all(|(way, from, to)| {
                answered();
                check(link, kind, key, way, from, to).unwrap_or_default()
            })
    });
    answered();
    sound && (!link.capability().aes_cmac || signs(link).unwrap_or_default())
}

fn with_key<T>(
    link: &mut Link,
    purpose: Purpose,
    kind: CipherKind,
    key: &[u8],
    work: impl FnOnce(&mut Link, ObjectHandle) -> Result<T, HsmError>,
) -> Result<T, HsmError> {
    let object = link.create(purpose, kind, key)?;
    let done = work(link, object);
    link.destroy(object);
    done
}

// Each way of calling once: alone, as an operation that stays open, and chained from a vector of zeros, which is
// the same for one block.
fn check(
    link: &mut Link,
    kind: CipherKind,
    key: &[u8],
    way: Direction,
    from: &[u8],
    to: &[u8],
) -> Result<bool, HsmError> {
    let purpose = match way {
        Direction::Encrypt => Purpose::Encrypt,
        Direction::Decrypt => Purpose::Decrypt,
    };
    with_key(link, purpose, kind, key, |link, object| {
        let mut sound = true;
        for _ in 0..2 {
            let mut data = from.to_vec();
            link.ecb(way, kind, object, &mut data)?;
            sound &= data == to;
        }
        let (mut data, zeros) = (from.to_vec(), vec![0; from.len()]);
        link.cbc(way, kind, object, &zeros, &mut data)?;
        Ok(sound && data == to)
    })
}

fn signs(link: &mut Link) -> Result<bool, HsmError> {
    with_key(link, Purpose::Sign, CipherKind::Aes, &MAC_KEY, |link, object| {
        link.sign(object, &MAC_MESSAGE).map(|mac| mac == MAC)
    })
}
