//! What a module offers, read once at start, and what is peculiar to it: the one table from which the backend
//! chooses its ways and reports choose their words. No other place asks who made a module.

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::{MechanismInfo, MechanismType};
use cryptoki::slot::{Limit, Slot};
use paytypes::CipherKind;

/// Ciphers that are to be treated as if the module had none of them: for trying a profile without DES on a
/// module that has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    /// DES and TDES.
    pub des: bool,
    /// `CKM_AES_CMAC`.
    pub aes_cmac: bool,
}

/// Peculiarities of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quirks {
    /// Name of the manufacturer begins so.
    manufacturer: &'static str,
    /// Making and destroying objects from several threads at once is not safe.
    serial_objects: bool,
    /// A multi-part ECB operation gives each block at once, so that it may stay open for a key.
    open_operations: bool,
    /// Session objects that one process may keep.
    objects: usize,
}

const QUIRKS: [Quirks; 3] = [
    // Races in making keys from threads (parsec 264, SoftHSMv2 573); 10,000 objects measured without loss.
    Quirks { manufacturer: "SoftHSM", serial_objects: true, open_operations: true, objects: 8192 },
    Quirks { manufacturer: "Kryoptic", serial_objects: true, open_operations: true, objects: 8192 },
    // Nothing is known: the careful way.
    Quirks { manufacturer: "", serial_objects: true, open_operations: true, objects: 1024 },
];

/// Fewest sessions of a token with which a backend takes more than one.
const SESSIONS_PLENTY: u64 = 64;

/// What a token offers.
#[derive(Clone, Debug)]
pub struct Capability {
    /// Manufacturer as the token states it.
    pub manufacturer: String,
    /// Model.
    pub model: String,
    /// `CKM_DES3_ECB`.
    pub tdes_ecb: bool,
    /// `CKM_DES3_CBC`.
    pub tdes_cbc: bool,
    /// Keys of two parts as such; otherwise they are written with the first part repeated.
    pub tdes_two_parts: bool,
    /// `CKM_AES_ECB`.
    pub aes_ecb: bool,
    /// `CKM_AES_CBC`.
    pub aes_cbc: bool,
    /// `CKM_AES_CMAC`; otherwise made of CBC.
    pub aes_cmac: bool,
    /// `CKM_AES_KEY_GEN`, with which an LMK is made inside.
    pub aes_generate: bool,
    /// `CKM_AES_KEY_WRAP`.
    pub aes_key_wrap: bool,
    /// A random source.
    pub random: bool,
    /// Most sessions; `None` when the token does not say, or has no limit.
    pub sessions_max: Option<u64>,
    pub(crate) quirks: Quirks,
}

/// A mechanism, whether it is there, and what its lack means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Its name in PKCS#11.
    pub mechanism: &'static str,
    /// It is offered.
    pub offered: bool,
    /// Nothing works without it.
    pub vital: bool,
    /// What its lack means.
    pub consequence: &'static str,
}

impl Capability {
    pub(crate) fn read(module: &Pkcs11, slot: Slot, hidden: Hidden) -> Result<Self, Error> {
        let facts = module.get_token_info(slot)?;
        // The binding's list leaves out mechanisms for which it has no name, DES3-CBC among them: each is
        // asked for.
        let info = |mechanism| match module.get_mechanism_info(slot, mechanism) {
            Ok(info) => Ok(Some(info)),
            Err(Error::Pkcs11(RvError::MechanismInvalid, _)) => Ok(None),
            Err(error) => Err(error),
        };
        let is = |mechanism, holds: fn(&MechanismInfo) -> bool| {
            info(mechanism).map(|info| info.as_ref().is_some_and(holds))
        };
        let ciphers = |mechanism| is(mechanism, |m| m.encrypt() && m.decrypt());
        let generates = |mechanism| is(mechanism, MechanismInfo::generate);
        let signs = |mechanism| is(mechanism, MechanismInfo::sign);
        let manufacturer = facts.manufacturer_id().to_owned();
        let quirks = QUIRKS.iter().find(|q| manufacturer.starts_with(q.manufacturer));
        let [.., careful] = QUIRKS;
        Ok(Self {
            model: facts.model().to_owned(),
            tdes_ecb: !hidden.des && ciphers(MechanismType::DES3_ECB)?,
            tdes_cbc: !hidden.des && ciphers(MechanismType::DES3_CBC)?,
            tdes_two_parts: !hidden.des && generates(MechanismType::DES2_KEY_GEN)?,
            aes_ecb: ciphers(MechanismType::AES_ECB)?,
            aes_cbc: ciphers(MechanismType::AES_CBC)?,
            aes_cmac: !hidden.aes_cmac && signs(MechanismType::AES_CMAC)?,
            aes_generate: generates(MechanismType::AES_KEY_GEN)?,
            aes_key_wrap: is(MechanismType::AES_KEY_WRAP, MechanismInfo::unwrap)?,
            random: facts.rng(),
            sessions_max: match facts.max_session_count() {
                Limit::Max(most) => Some(most),
                Limit::Infinite | Limit::Unavailable => None,
            },
            quirks: *quirks.unwrap_or(&careful),
            manufacturer,
        })
    }

    /// True when keys of this cipher can be used at all.
    pub const fn offers(&self, kind: CipherKind) -> bool {
        match kind {
            CipherKind::Des | CipherKind::Tdes => self.tdes_ecb && self.tdes_cbc,
            CipherKind::Aes => self.aes_ecb && self.aes_cbc,
        }
    }

    /// Every mechanism that is used, in the order of their weight.
    pub const fn needs(&self) -> [Need; 8] {
        const fn need(
            mechanism: &'static str,
            offered: bool,
            vital: bool,
            consequence: &'static str,
        ) -> Need {
            Need { mechanism, offered, vital, consequence }
        }
        [
            need("CKM_AES_ECB", self.aes_ecb, true, "no AES key works, and no AES LMK"),
            need("CKM_AES_CBC", self.aes_cbc, true, "no AES key works, and no AES LMK"),
            need("CKM_AES_CMAC", self.aes_cmac, false, "CMACs are made of CBC: three calls in place of one"),
            need(
                "CKM_AES_KEY_GEN",
                self.aes_generate,
                false,
                "a random AES LMK is made in memory, not in the token",
            ),
            need("CKM_DES3_ECB", self.tdes_ecb, false, "DES and TDES keys answer 47; no 3DES LMK"),
            need("CKM_DES3_CBC", self.tdes_cbc, false, "DES and TDES keys answer 47; no 3DES LMK"),
            need(
                "CKM_DES2_KEY_GEN",
                self.tdes_two_parts,
                false,
                "two-part TDES keys are written with three parts",
            ),
            need("CKF_RNG", self.random, false, "random bytes come from the operating system alone"),
        ]
    }

    pub(crate) const fn serial_objects(&self) -> bool {
        self.quirks.serial_objects
    }

    /// Whether a backend may take sessions in which an operation stays open for a key.
    pub(crate) fn open_operations(&self) -> bool {
        self.quirks.open_operations && self.sessions_max.is_none_or(|most| most >= SESSIONS_PLENTY)
    }

    /// Session objects that a backend keeps at most.
    pub const fn objects_max(&self) -> usize {
        self.quirks.objects
    }
}

#[cfg(test)]
impl Capability {
    pub(crate) fn everything() -> Self {
        Self {
            manufacturer: String::new(),
            model: String::new(),
            tdes_ecb: true,
            tdes_cbc: true,
            tdes_two_parts: true,
            aes_ecb: true,
            aes_cbc: true,
            aes_cmac: true,
            aes_generate: true,
            aes_key_wrap: true,
            random: true,
            sessions_max: None,
            quirks: QUIRKS[2],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_has_consequences() {
        let all = Capability::everything();
        assert!(all.needs().iter().all(|need| need.offered));
        assert!(all.open_operations());
        let small = Capability { tdes_cbc: false, sessions_max: Some(8), ..all };
        assert!(!small.offers(CipherKind::Tdes) && !small.offers(CipherKind::Des));
        assert!(small.offers(CipherKind::Aes) && !small.open_operations());
        let missing: Vec<_> = small.needs().into_iter().filter(|need| !need.offered).collect();
        assert_eq!(missing.len(), 1);
        assert!(!missing[0].vital && missing[0].consequence.contains("47"));
    }
}
