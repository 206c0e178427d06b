//! Check values of LMKs, six hexadecimal digits.
//!
//! 3DES key-block LMK: ECB of a zero block. AES: CMAC of a zero block. Variant set: the formula of physical
//! units is not public; ours is the ECB check value of the XOR of all pairs, as one open simulator does.

use crate::lmk::{LmkKind, LmkSecret};
use paytypes::bytes::xor_into;
use paytypes::soft::{Soft, SoftKey};
use paytypes::{CipherKind, now};

pub(crate) fn check_value(lmk: &LmkSecret) -> [u8; 6] {
    let clear = lmk.clear.expose();
    let key = match lmk.kind {
        LmkKind::Variant => {
            let mut all = [0u8; 16];
            for pair in clear.as_chunks::<16>().0 {
                xor_into(&mut all, pair);
            }
            SoftKey::new(CipherKind::Tdes, &all)
        }
        LmkKind::TdesBlock => SoftKey::new(CipherKind::Tdes, clear),
        LmkKind::AesBlock => SoftKey::new(CipherKind::Aes, clear),
    };
    let check = key.ok().and_then(|key| now(tr31::kcv(&Soft, &key))).and_then(Result::ok);
    check.map_or(*b"000000", |kcv| kcv.hex6())
}
