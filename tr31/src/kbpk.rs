//! The protection key of blocks for exchange, derived once and kept.

use crate::error::KeyBlockError;
use crate::kcv::{Kcv, KcvMethod, kcv_cmac, kcv_legacy};
use crate::scheme::{BlockKeys, Scheme};
use crate::strength;
use crate::version::Version;
use paytypes::Cipher;

/// A key block protection key for one version: encryption key, authentication key, and its own check values.
pub struct Kbpk<K> {
    pub(crate) keys: BlockKeys<K>,
    pub(crate) scheme: &'static Scheme,
    pub(crate) strength_bits: u16,
    legacy: Kcv,
    cmac: Kcv,
}

impl<K> Kbpk<K> {
    /// Derives KBEK and KBAK of `key` for blocks of `version`. Keep the result: it serves every block of that
    /// version (A and C share one). Refuses a key whose cipher or length does not fit.
    pub async fn new<C: Cipher<Key = K>>(
        cipher: &C,
        key: &K,
        version: Version,
    ) -> Result<Self, KeyBlockError> {
        let scheme = version.scheme();
        Ok(Self {
            keys: BlockKeys::derive(cipher, key, scheme).await?,
            scheme,
            strength_bits: strength::strength_of(cipher.shape(key)),
            legacy: kcv_legacy(cipher, key).await?,
            cmac: kcv_cmac(cipher, key).await?,
        })
    }

    /// Check value of the protection key, as KP states it.
    pub const fn check_value(&self, method: KcvMethod) -> &Kcv {
        match method {
            KcvMethod::Legacy => &self.legacy,
            KcvMethod::Cmac => &self.cmac,
        }
    }

    /// True when the key opens and makes blocks of `version`.
    pub fn serves(&self, version: Version) -> bool {
        self.scheme == version.scheme()
    }
}

impl<K> core::fmt::Debug for Kbpk<K> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Kbpk({:?}, {} bits)", self.scheme.kind, self.strength_bits)
    }
}
