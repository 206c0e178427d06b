//! Initial keys of DUKPT, derived from a base derivation key and the identity of a device.

use crate::service::keys::{BDK, Place, Use, open_as};
use crate::service::new_key::Plan;
use crate::service::seal::LmkForm;
use crate::wire::{Alphabet, Show, Step, Untagged, Wire, names_aes};
use crate::{Code, Cx};
use cardcrypto::dukpt::{aes, tdes};
use hsm::{Binding, Key, KeyToken, KeyType};
use paytypes::bytes::left;
use paytypes::{Cipher, CipherKind, KeyUsage, Ksn, hex};

/// The fields of a derivation.
#[derive(Debug, Default)]
pub struct Derivation {
    /// How: `0` DUKPT.
    pub mode: [u8; 1],
    /// Which type of base derivation key, `1` to `4`.
    pub base_type: [u8; 1],
    /// The base derivation key.
    pub base: KeyToken,
    /// TDES: the KSN without its counter, 15 hexadecimal digits (the last bit of the fifteenth belongs to
    /// the counter and does not count). AES: the initial key identifier, 16 digits.
    pub identity: [u8; 16],
}

impl Derivation {
    /// Walks the fields; the header of the base key tells how long the identity is.
    pub fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.text("derivation mode", &mut self.mode)?;
        wire.hex("base key type", &mut self.base_type)?;
        wire.key("BDK", Untagged::Pair, &mut self.base)?;
        let length = if names_aes(&self.base) { 16 } else { 15 };
        let identity = self.identity.get_mut(..length).unwrap_or_default();
        wire.fixed("KSN or initial key identifier", Alphabet::Hex, Show::All, identity)
    }

    /// Derives the key and judges that it may be what the plan says: type 302 or usage B1, of the kind and
    /// length of the base key.
    pub async fn run(&self, cx: &Cx, plan: &Plan) -> Result<Key, Code> {
        if self.mode != *b"0" {
            return Err(Code::INPUT);
        }
        match &plan.form {
            LmkForm::Variant { key_type, .. } if *key_type != KeyType::IKEY => return Err(Code::KEY_TYPE),
            LmkForm::Block(header) if header.attributes.usage != KeyUsage(*b"B1") => {
                return Err(Code::BLOCK_USAGE);
            }
            _ => {}
        }
        let base = self.open(cx).await?;
        let shape = base.attributes().shape;
        if shape != plan.shape {
            return Err(if cx.scheme.is_block() { Code::BLOCK_ALGORITHM } else { Code::KEY_LENGTH });
        }
        if shape.kind == CipherKind::Aes {
            let identifier = hex::decode(&self.identity).map_err(|_| Code::INPUT)?;
            let initial = aes::InitialKey::derive(&cx.hsm, &base, identifier).await?;
            return Ok(cx.hsm.load(CipherKind::Aes, initial.expose().expose()).await?);
        }
        let mut digits = left::<20>(self.identity.get(..15).unwrap_or_default());
        digits.iter_mut().skip(15).for_each(|digit| *digit = b'0');
        let ksn = Ksn::Tdes(hex::decode(&digits).map_err(|_| Code::INPUT)?);
        let initial = tdes::InitialKey::derive(&cx.hsm, &base, &ksn).await?;
        Ok(cx.hsm.load(CipherKind::Tdes, initial.expose().expose()).await?)
    }

    async fn open(&self, cx: &Cx) -> Result<Key, Code> {
        let [number] = self.base_type;
        let key_type = match number {
            b'1' => KeyType::BDK1,
            b'2' => KeyType::BDK2,
            b'3' => KeyType::BDK3,
            b'4' => KeyType::BDK4,
            _ => return Err(Code::KEY_TYPE_CODE),
        };
        let base = open_as(cx, &self.base, &BDK, key_type, Use::Derive, Place::Source).await?;
        // A block says the type itself (41 to 44), or leaves it open (B0).
        match base.attributes().binding {
            Binding::Block(block) if ![*b"B0", [b'4', number]].contains(&block.usage.0) => {
                Err(Code::BLOCK_USAGE)
            }
            _ => Ok(base),
        }
    }
}
