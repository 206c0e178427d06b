//! A base derivation key, judged once for its kind of DUKPT.

use super::{aes, tdes};
use crate::CardError;
use core::fmt;
use paytypes::{Cipher, CipherKind, KeyShape, Ksn};

/// A base derivation key: two-key TDES, or AES. It derives keys of devices and transactions of its own kind
/// and has no other operation.
///
/// ```
/// use cardcrypto::dukpt::Bdk;
/// use paytypes::soft::{Soft, SoftKey};
/// use paytypes::{CipherKind, Ksn, Pan, Pin, now};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // ANSI X9.24-1, annex A.4.
/// let bdk = paytypes::hex::decode::<16>(b"0123456789ABCDEFFEDCBA9876543210")?;
/// let ksn = Ksn::new(&paytypes::hex::decode::<10>(b"FFFF9876543210E00001")?)?;
/// let made = now(async {
///     let bdk = Bdk::new(&Soft, SoftKey::new(CipherKind::Tdes, &bdk)?)?;
///     let transaction = bdk.tdes_transaction(&Soft, &ksn).await?;
///     let pin = transaction.pin_key(&Soft).await?;
///     let mut block = paytypes::hex::decode::<8>(b"041274EDCBA9876F").map_err(|_| cardcrypto::CardError::Ksn)?;
///     pin.pin_key().ecb(paytypes::Direction::Encrypt, &mut block)?;
///     Ok::<_, cardcrypto::CardError>(block)
/// });
/// let made = made.ok_or("software is ready at once")??;
/// assert_eq!(paytypes::hex::encode(&made), "1B9C1845EB993A7A");
/// # Ok(())
/// # }
/// ```
pub struct Bdk<K> {
    key: K,
    shape: KeyShape,
}

impl<K> Bdk<K> {
    /// Takes a key that the cipher opened. [`CardError::KeySize`] for DES and three-key TDES.
    pub fn new<C: Cipher<Key = K>>(cipher: &C, key: K) -> Result<Self, CardError> {
        let shape = cipher.shape(&key);
        match (shape.kind, shape.length) {
            (CipherKind::Tdes, 16) | (CipherKind::Aes, _) => Ok(Self { key, shape }),
            _ => Err(CardError::KeySize),
        }
    }

    /// The initial key of a TDES device; [`CardError::KeySize`] for an AES base key.
    pub async fn tdes_initial<C: Cipher<Key = K>>(
        &self,
        cipher: &C,
        ksn: &Ksn,
    ) -> Result<tdes::InitialKey, CardError> {
        tdes::InitialKey::derive(cipher, &self.key, ksn).await
    }

    /// The key of a TDES transaction.
    pub async fn tdes_transaction<C: Cipher<Key = K>>(
        &self,
        cipher: &C,
        ksn: &Ksn,
    ) -> Result<tdes::TransactionKey, CardError> {
        tdes::TransactionKey::derive(cipher, &self.key, ksn).await
    }

    /// The initial key of an AES device; [`CardError::KeySize`] for a TDES base key.
    pub async fn aes_initial<C: Cipher<Key = K>>(
        &self,
        cipher: &C,
        identifier: [u8; 8],
    ) -> Result<aes::InitialKey, CardError> {
        aes::InitialKey::derive(cipher, &self.key, identifier).await
    }

    /// The key of an AES transaction.
    pub async fn aes_transaction<C: Cipher<Key = K>>(
        &self,
        cipher: &C,
        ksn: &Ksn,
    ) -> Result<aes::TransactionKey, CardError> {
        aes::TransactionKey::derive(cipher, &self.key, ksn).await
    }
}

impl<K> fmt::Debug for Bdk<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bdk({:?}, {} bytes)", self.shape.kind, self.shape.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dukpt::Way;
    use crate::mac::{Algorithm, Padding};
    use paytypes::now;
    use paytypes::soft::{Soft, SoftKey};

    fn bdk(kind: CipherKind, length: usize) -> Result<Bdk<SoftKey>, CardError> {
        Bdk::new(&Soft, SoftKey::new(kind, &[0x3B; 32][..length]).unwrap())
    }

    #[test]
    fn only_base_keys_are_base_keys() {
        assert_eq!(bdk(CipherKind::Des, 8).unwrap_err(), CardError::KeySize);
        assert_eq!(bdk(CipherKind::Tdes, 24).unwrap_err(), CardError::KeySize);
        assert_eq!(format!("{:?}", bdk(CipherKind::Aes, 24).unwrap()), "Bdk(Aes, 24 bytes)");
    }

    #[test]
    fn each_kind_derives_its_own() {
        let (tdes, aes) = (bdk(CipherKind::Tdes, 16).unwrap(), bdk(CipherKind::Aes, 32).unwrap());
        let (short, long) = (Ksn::new(&[1; 10]).unwrap(), Ksn::new(&[1; 12]).unwrap());
        assert!(now(tdes.tdes_initial(&Soft, &short)).unwrap().is_ok());
        assert!(now(aes.aes_initial(&Soft, [1; 8])).unwrap().is_ok());
        assert_eq!(now(tdes.aes_initial(&Soft, [1; 8])).unwrap().unwrap_err(), CardError::KeySize);
        assert_eq!(now(aes.tdes_initial(&Soft, &short)).unwrap().unwrap_err(), CardError::KeySize);
        assert_eq!(now(aes.aes_transaction(&Soft, &short)).unwrap().unwrap_err(), CardError::Ksn);
        assert!(now(aes.aes_transaction(&Soft, &long)).unwrap().is_ok());
    }

    #[test]
    fn typed_keys_are_the_untyped_ones() {
        let ksn = Ksn::new(&[1; 10]).unwrap();
        let key = now(bdk(CipherKind::Tdes, 16).unwrap().tdes_transaction(&Soft, &ksn)).unwrap().unwrap();
        let pin = now(key.pin_key(&Soft)).unwrap().unwrap();
        let plain = now(key.working_key(&Soft, tdes::Purpose::Pin)).unwrap().unwrap();
        assert!(pin.pin_key().expose().same_as(plain.expose()));
        let made = |way| {
            let mac = now(key.mac_key(&Soft, way)).unwrap().unwrap();
            let value = now(mac.mac(&Soft, Algorithm::Retail, Padding::Zeros, crate::mac::Part::Only, b"x"));
            let value = value.unwrap().unwrap();
            let sent = value.as_bytes();
            assert!(now(mac.verify(&Soft, Algorithm::Retail, Padding::Zeros, b"x", sent)).unwrap().unwrap());
            sent.to_vec()
        };
        assert_ne!(made(Way::Request), made(Way::Response));
        let data = now(key.data_key(&Soft, Way::Request)).unwrap().unwrap();
        let mut text = *b"sixteen bytes...";
        now(data.encrypt(&Soft, &[0; 8], &mut text)).unwrap().unwrap();
        assert_ne!(&text, b"sixteen bytes...");
        now(data.decrypt(&Soft, &[0; 8], &mut text)).unwrap().unwrap();
        assert_eq!(&text, b"sixteen bytes...");
        assert_eq!(format!("{pin:?}"), "WorkingKey");
    }

    #[test]
    fn typed_aes_keys_are_the_untyped_ones() {
        let ksn = Ksn::new(&[1; 12]).unwrap();
        let key = now(bdk(CipherKind::Aes, 16).unwrap().aes_transaction(&Soft, &ksn)).unwrap().unwrap();
        let pin = now(key.pin_key(&Soft, aes::KeyType::Aes128)).unwrap().unwrap();
        let plain = now(key.working_key(&Soft, aes::Usage::Pin, aes::KeyType::Aes128)).unwrap().unwrap();
        assert!(pin.pin_key().expose().same_as(plain.expose()));
        let mac = |usage| now(key.mac_key(&Soft, usage, aes::KeyType::Aes128)).unwrap();
        assert!(mac(aes::Usage::MacBoth).is_ok());
        assert_eq!(mac(aes::Usage::Pin).unwrap_err(), CardError::KeyType);
        let data = |usage| now(key.data_key(&Soft, usage, aes::KeyType::Aes128)).unwrap();
        assert!(data(aes::Usage::DataEncrypt).is_ok());
        assert_eq!(data(aes::Usage::MacGenerate).unwrap_err(), CardError::KeyType);
    }
}
