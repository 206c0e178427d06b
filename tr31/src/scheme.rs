//! How a block is bound: which keys are derived from the protection key and in which order encryption and
//! authentication run. Seven kinds of block are five rows of one table.

use crate::error::{ErrorKind, KeyBlockError, field};
use paytypes::bytes::left;
use paytypes::{Cipher, CipherKind, MacAlgorithm};
use zeroize::Zeroizing;

/// Order of encryption and authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// CBC with the first header bytes as initial value; the MAC covers header and cipher text.
    CbcThenMac,
    /// The MAC covers header and clear key data and is the initial value of CBC.
    MacThenCbc,
    /// The MAC covers header and clear key data and is the first counter of CTR.
    MacThenCtr,
}

/// How the two working keys come from the protection key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Derivation {
    /// XOR with 45.. and 4D..
    Variant,
    /// CMAC in counter mode; the number is the usage indicator of the encryption key.
    Cmac(u8),
}

/// One way to bind a block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scheme {
    pub kind: CipherKind,
    pub derivation: Derivation,
    pub order: Order,
    pub mac: MacAlgorithm,
    pub mac_length: usize,
}

/// TR-31 A and C; `S` blocks of version 0.
pub(crate) const VARIANT: Scheme = Scheme {
    kind: CipherKind::Tdes,
    derivation: Derivation::Variant,
    order: Order::CbcThenMac,
    mac: MacAlgorithm::Iso1,
    mac_length: 4,
};

/// TR-31 B.
pub(crate) const TDES_DERIVED: Scheme = Scheme {
    kind: CipherKind::Tdes,
    derivation: Derivation::Cmac(0),
    order: Order::MacThenCbc,
    mac: MacAlgorithm::Cmac,
    mac_length: 8,
};

/// TR-31 D.
pub(crate) const AES_CBC: Scheme = Scheme {
    kind: CipherKind::Aes,
    derivation: Derivation::Cmac(0),
    order: Order::MacThenCbc,
    mac: MacAlgorithm::Cmac,
    mac_length: 16,
};

/// ISO 20038 E: as D, but the encryption key has usage indicator 2.
pub(crate) const AES_CTR: Scheme = Scheme {
    kind: CipherKind::Aes,
    derivation: Derivation::Cmac(2),
    order: Order::MacThenCtr,
    mac: MacAlgorithm::Cmac,
    mac_length: 16,
};

/// `S` blocks of version 1: keys as D, MAC over the cipher text and cut to 8 bytes.
pub(crate) const AES_OUTER: Scheme = Scheme {
    kind: CipherKind::Aes,
    derivation: Derivation::Cmac(0),
    order: Order::CbcThenMac,
    mac: MacAlgorithm::Cmac,
    mac_length: 8,
};

impl Scheme {
    /// Cipher block length in bytes.
    pub(crate) const fn block(&self) -> usize {
        self.kind.block_length()
    }

    /// Length to which key data is padded: whole blocks for CBC, as it is for CTR. `None` on overflow.
    pub(crate) fn padded(&self, length: usize) -> Option<usize> {
        match self.order {
            Order::MacThenCtr => Some(length),
            _ => length.checked_next_multiple_of(self.block()),
        }
    }
}

/// The two working keys of a protection key: KBEK and KBAK.
pub(crate) struct BlockKeys<K> {
    pub encryption: K,
    pub authentication: K,
}

impl<K> BlockKeys<K> {
    /// Derives both keys; refuses a protection key that does not fit the scheme.
    pub(crate) async fn derive<C: Cipher<Key = K>>(
        cipher: &C,
        key: &K,
        scheme: &Scheme,
    ) -> Result<Self, KeyBlockError> {
        let shape = cipher.shape(key);
        if shape.kind != scheme.kind {
            let single = shape.kind == CipherKind::Des && scheme.kind == CipherKind::Tdes;
            let kind = if single { ErrorKind::KbpkLength } else { ErrorKind::KbpkAlgorithm };
            return Err(KeyBlockError::new(kind, field::KBPK, 0));
        }
        if !scheme.kind.takes(shape.length) {
            return Err(KeyBlockError::new(ErrorKind::KbpkLength, field::KBPK, 0));
        }
        let (encryption, authentication) = match scheme.derivation {
            Derivation::Variant => (variant(cipher, key, 0x45).await?, variant(cipher, key, 0x4D).await?),
            Derivation::Cmac(usage) => (counter(cipher, key, usage).await?, counter(cipher, key, 1).await?),
        };
        Ok(Self { encryption, authentication })
    }
}

async fn variant<C: Cipher>(cipher: &C, key: &C::Key, byte: u8) -> Result<C::Key, KeyBlockError> {
    let mask = [byte; 32];
    let mask = mask.get(..cipher.shape(key).length).unwrap_or_default();
    Ok(cipher.variant(key, mask).await?)
}

/// Key derivation of TR-31:2018 5.3.2 and ISO 20038 annex A: CMAC over counter, usage, separator,
/// algorithm and key length in bits, once per cipher block of key; AES-192 keeps half of the second.
async fn counter<C: Cipher>(cipher: &C, key: &C::Key, usage: u8) -> Result<C::Key, KeyBlockError> {
    let shape = cipher.shape(key);
    let algorithm = match (shape.kind, shape.length) {
        (CipherKind::Aes, 32) => 4,
        (CipherKind::Aes, 24) => 3,
        (CipherKind::Aes, _) => 2,
        (_, 24) => 1,
        _ => 0,
    };
    let [bits_high, bits_low] =
        u16::try_from(shape.length.saturating_mul(8)).unwrap_or_default().to_be_bytes();
    let block = shape.kind.block_length();
    let zero = [0; 16];
    let mut derived = Zeroizing::new([0; 32]);
    let derived = derived.get_mut(..shape.length).unwrap_or_default();
    for (number, part) in (1u8..).zip(derived.chunks_mut(block)) {
        let data = [number, 0, usage, 0, 0, algorithm, bits_high, bits_low];
        let iv = zero.get(..block).unwrap_or_default();
        let mac = cipher.mac(key, MacAlgorithm::Cmac, iv, &data).await?;
        let bytes = Zeroizing::new(left::<16>(mac.as_bytes()));
        for (to, from) in part.iter_mut().zip(bytes.iter()) {
            *to = *from;
        }
    }
    Ok(cipher.load(shape.kind, derived).await?)
}
