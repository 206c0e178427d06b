//! A key comes from the key management centre: unwrap it under the node's root KEK, compare what the block says with
//! what was announced, prove possession, wrap it under the LMK of traffic.

use super::possession::{self, Challenge, PossessionFault};
use hsm::{BlockAttributes, Hsm, HsmError, Key, KeyToken, KeyType, LmkId, LmkInfo, Scheme, SealAs};
use paytypes::parity::Weakness;
use paytypes::{
    Cipher, CipherError, CipherKind, ClearKey, Exportability, KeyShape, KeyUsage, KeyVersion, ModeOfUse,
};
use tr31::{Attributes, BlockId, ErrorKind, Kbpk, KeyBlock, KeyBlockError, Policy, Versions};

/// Kind of a managed key: which type it has under a variant LMK, and how possession is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManagedKind {
    /// Zone master key.
    Zmk,
    /// Zone PIN key.
    Zpk,
    /// Terminal master key.
    Tmk,
    /// Terminal PIN key.
    Tpk,
}

impl ManagedKind {
    /// Type under a variant LMK: the one that commands look for.
    pub const fn key_type(self) -> KeyType {
        match self {
            Self::Zmk => KeyType::ZMK,
            Self::Zpk => KeyType::ZPK,
            Self::Tmk | Self::Tpk => KeyType::PVK,
        }
    }
}

/// A key to take.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The root KEK, under the LMK `kek_lmk`.
    pub kek: &'a KeyToken,
    /// LMK of the root KEK: an AES key-block LMK.
    pub kek_lmk: LmkId,
    /// LMK of traffic.
    pub lmk: &'a LmkInfo,
    /// The block.
    pub block: &'a [u8],
    /// What its LB must say, to the last character.
    pub label: &'a str,
    /// Kind of key.
    pub kind: ManagedKind,
    /// Attributes that the block must have.
    pub attributes: Attributes,
    /// Cipher and length that the key must have.
    pub shape: KeyShape,
    /// Check value that was announced, 2 to 16 hexadecimal digits.
    pub kcv: &'a str,
    /// Challenge.
    pub challenge: &'a Challenge,
    /// The throw-away key's block, for kinds that wrap keys.
    pub throw_away: Option<&'a [u8]>,
    /// The check value is proof enough.
    pub kcv_only: bool,
    /// A block of version B is taken too: for keys of TDES only, where an approved policy says so.
    pub version_b: bool,
}

/// A key that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Token under the LMK of traffic.
    pub token: KeyToken,
    /// Check value, as many digits as were announced.
    pub kcv: String,
    /// The proof; `None` when the check value is proof enough.
    pub proof: Option<String>,
}

/// Why a key is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryFault {
    /// The root KEK does not open, or is no key-block protection key.
    Kek,
    /// The block does not parse or does not open under the root KEK.
    Block,
    /// LB is missing, or says something else.
    Label,
    /// Attributes, cipher or length are not those of the key set.
    Attributes,
    /// Another check value.
    CheckValue,
    /// The root KEK is weaker than the key.
    Strength,
    /// A weak key, bad parity, or equal parts.
    WeakKey,
    /// The throw-away key's block is missing or does not open.
    Challenge,
    /// The LMK of traffic cannot hold such a key.
    Lmk,
    /// The backend failed.
    Backend,
}

impl From<HsmError> for DeliveryFault {
    fn from(error: HsmError) -> Self {
        match error {
            HsmError::Backend => Self::Backend,
            HsmError::KeyLength | HsmError::Scheme | HsmError::KeyType => Self::Lmk,
            _ => Self::Block,
        }
    }
}

impl From<CipherError> for DeliveryFault {
    fn from(error: CipherError) -> Self {
        HsmError::from(error).into()
    }
}

impl From<KeyBlockError> for DeliveryFault {
    fn from(error: KeyBlockError) -> Self {
        match error.kind {
            ErrorKind::KbpkStrength => Self::Strength,
            ErrorKind::WeakKey => Self::WeakKey,
            ErrorKind::KcMismatch => Self::CheckValue,
            ErrorKind::KeyLength => Self::Attributes,
            ErrorKind::Backend => Self::Backend,
            _ => Self::Block,
        }
    }
}

impl From<PossessionFault> for DeliveryFault {
    fn from(fault: PossessionFault) -> Self {
        match fault {
            PossessionFault::Cipher(error) => error.into(),
            PossessionFault::Block => Self::Challenge,
        }
    }
}

/// Takes a key.
pub async fn install(hsm: &Hsm, delivery: &Delivery<'_>) -> Result<Delivered, DeliveryFault> {
    let kek = hsm.open(delivery.kek_lmk, KeyType::FROM_BLOCK, delivery.kek).await;
    let kek =
        kek.map_err(|error| if error == HsmError::Backend { error.into() } else { DeliveryFault::Kek })?;
    let clear = unwrap(hsm, &kek, delivery).await?;
    let key = hsm.load(delivery.shape.kind, clear.expose()).await?;
    drop(clear);
    let found = key.attributes();
    if !found.hygiene.odd_parity || found.hygiene.weakness != Weakness::None {
        return Err(DeliveryFault::WeakKey);
    }
    let kcv = tr31::kcv(hsm, &key).await?;
    if !kcv.matches_hex(delivery.kcv.as_bytes()) {
        return Err(DeliveryFault::CheckValue);
    }
    let proof = prove(hsm, &key, delivery).await?;
    let token = seal(hsm, &key, delivery).await?;
    Ok(Delivered { token, kcv: delivery.kcv.to_ascii_uppercase(), proof })
}

async fn unwrap(hsm: &Hsm, kek: &Key, delivery: &Delivery<'_>) -> Result<ClearKey, DeliveryFault> {
    let block = KeyBlock::parse(delivery.block)?;
    let tdes = delivery.shape.kind != CipherKind::Aes && delivery.version_b;
    let versions: &[tr31::Version] =
        if tdes { &[tr31::Version::B, tr31::Version::D] } else { &[tr31::Version::D] };
    let policy = Policy { import: Versions::of(versions), ..Policy::X9_143_STRICT };
    let kbpk = Kbpk::new(hsm, kek, block.header().version).await;
    let kbpk = kbpk.map_err(|e| if e.kind == ErrorKind::Backend { e.into() } else { DeliveryFault::Kek })?;
    let opened = block.unwrap(hsm, &kbpk, &policy).await?;
    if opened.header.blocks.get(BlockId::LB) != Some(delivery.label.as_bytes()) {
        return Err(DeliveryFault::Label);
    }
    let fits = opened.material.expose().len() == delivery.shape.length;
    if opened.header.attributes != delivery.attributes || !fits {
        return Err(DeliveryFault::Attributes);
    }
    ClearKey::new(opened.material.expose()).map_err(|_| DeliveryFault::Attributes)
}

async fn prove(hsm: &Hsm, key: &Key, delivery: &Delivery<'_>) -> Result<Option<String>, DeliveryFault> {
    if delivery.kcv_only {
        return Ok(None);
    }
    Ok(Some(match delivery.kind {
        ManagedKind::Zpk | ManagedKind::Tpk => possession::pin_block(hsm, key, delivery.challenge).await?,
        ManagedKind::Zmk | ManagedKind::Tmk => {
            let block = delivery.throw_away.ok_or(DeliveryFault::Challenge)?;
            possession::open_throw_away(hsm, key, delivery.challenge, block).await?
        }
    }))
}

async fn seal(hsm: &Hsm, key: &Key, delivery: &Delivery<'_>) -> Result<KeyToken, DeliveryFault> {
    let form = if delivery.lmk.scheme.is_block() {
        block_form(delivery.attributes.usage, delivery.attributes.mode)
    } else {
        let scheme = match (delivery.shape.kind, delivery.shape.length) {
            (CipherKind::Tdes, 16) => Scheme::U,
            (CipherKind::Tdes, 24) => Scheme::T,
            _ => return Err(DeliveryFault::Lmk),
        };
        SealAs::Variant { scheme, key_type: delivery.kind.key_type() }
    };
    if delivery.shape.kind == CipherKind::Aes && delivery.lmk.scheme != hsm::LmkScheme::AesBlock {
        return Err(DeliveryFault::Lmk);
    }
    Ok(hsm.seal(delivery.lmk.id, key, form).await?)
}

// Once inside, a key stays there.
const fn block_form(usage: KeyUsage, mode: ModeOfUse) -> SealAs {
    let attributes =
        BlockAttributes { usage, mode, version: KeyVersion::UNUSED, exportability: Exportability::NONE };
    SealAs::Block { attributes, optional_count: 0, optional: Vec::new() }
}

/// Shows that a root KEK is here by its own use: the block of a throw-away key under it, with the challenge as label.
pub async fn wrap_throw_away(
    hsm: &Hsm,
    clear: &ClearKey,
    challenge: &Challenge,
    random: &[u8],
) -> Result<String, DeliveryFault> {
    let key = hsm.load(CipherKind::Aes, clear.expose()).await?;
    let made = possession::make_throw_away(hsm, &key, challenge, &mut paytypes::Drawn::new(random)).await?;
    Ok(made.0)
}

/// Wraps a root KEK under the AES key-block LMK `lmk`; gives the token and the check value of ten digits.
pub async fn seal_kek(hsm: &Hsm, lmk: LmkId, clear: &ClearKey) -> Result<(KeyToken, String), DeliveryFault> {
    let key = hsm.load(CipherKind::Aes, clear.expose()).await?;
    let kcv = tr31::kcv(hsm, &key).await?.hex16();
    let token = hsm.seal(lmk, &key, block_form(KeyUsage(*b"K1"), ModeOfUse::BOTH)).await?;
    Ok((token, String::from_utf8_lossy(kcv.get(..10).unwrap_or_default()).into_owned()))
}
