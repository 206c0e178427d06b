//! Proof of possession by the key's own use (key-management decision 16): a key that may not make a MAC makes none.
//!
//! | key | challenge | answer |
//! |---|---|---|
//! | PIN key (ZPK, TPK) | a PIN of twelve digits and a reserved account, both made of the challenge | the PIN block under the key: format 0, or format 4 under AES, whose filler is made of the challenge too |
//! | key that wraps keys (ZMK, TMK) | a random throw-away key in a block under the key, whose label is the challenge | its check value, 16 digits |
//!
//! Accounts with the reserved digits are refused in live traffic by strict listeners, so that a proof is worth nothing
//! there.

use paytypes::{
    Algorithm, Cipher, CipherError, CipherKind, Exportability, KeyUsage, KeyVersion, ModeOfUse, Pan, Pin,
    Random, hex,
};
use pinblock::{Account, Format, PinBlockError, encipher};
use tr31::{
    Attributes, BlockId, ErrorKind, Header, Kbpk, KeyBlock, KeyBlockError, Masking, OptionalBlocks, Policy,
    Version,
};

/// Input of a proof: one for each node, key and nonce.
pub type Challenge = [u8; 32];

/// The first eight of the twelve account digits that no card has, packed.
pub const RESERVED_ACCOUNT: u64 = 0x9999_9999;

/// True for an account that proofs use.
#[inline]
pub fn is_reserved(account: &Account) -> bool {
    account.right12_packed().is_ok_and(|digits| digits >> 16 == RESERVED_ACCOUNT)
}

/// Why there is no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PossessionFault {
    /// The backend refused.
    Cipher(CipherError),
    /// The throw-away key's block does not open under the key, or is for another challenge.
    Block,
}

impl From<CipherError> for PossessionFault {
    fn from(error: CipherError) -> Self {
        Self::Cipher(error)
    }
}

impl From<PinBlockError> for PossessionFault {
    fn from(error: PinBlockError) -> Self {
        match error {
            PinBlockError::Cipher(inner) => Self::Cipher(inner),
            _ => Self::Block,
        }
    }
}

impl From<KeyBlockError> for PossessionFault {
    fn from(error: KeyBlockError) -> Self {
        // A backend that did not answer says nothing about the block.
        if error.kind == ErrorKind::Backend { Self::Cipher(CipherError::Backend) } else { Self::Block }
    }
}

/// The answer of a PIN key, hexadecimal.
pub async fn pin_block<C: Cipher>(
    cipher: &C,
    key: &C::Key,
    challenge: &Challenge,
) -> Result<String, PossessionFault> {
    let mut digits = challenge.iter().map(|byte| byte % 10);
    let mut pin = [0; 12];
    pin.iter_mut().zip(&mut digits).for_each(|(room, digit)| *room = digit);
    let pin = Pin::from_values(&pin).map_err(|_| PossessionFault::Block)?;
    let mut pan = *b"9999999999900000";
    if let Some(room) = pan.get_mut(11..15) {
        room.iter_mut().zip(digits).for_each(|(room, digit)| *room = digit.wrapping_add(b'0'));
    }
    let account = Account::from_pan(Pan::new(&pan).map_err(|_| PossessionFault::Block)?);
    let format = if cipher.shape(key).kind == CipherKind::Aes { Format::Iso4 } else { Format::Iso0 };
    let mut fill = paytypes::Drawn::new(challenge.get(16..).unwrap_or_default());
    let made = encipher::encode_under(cipher, key, format, &pin, &account, &mut fill).await?;
    Ok(hex::encode(made.as_bytes()))
}

const fn throw_away(algorithm: Algorithm) -> Attributes {
    Attributes {
        usage: KeyUsage(*b"D0"),
        algorithm,
        mode: ModeOfUse::BOTH,
        key_version: KeyVersion::UNUSED,
        exportability: Exportability::NONE,
    }
}

// A throw-away key has the kind and length of the key that wraps it: nothing is wrapped by something weaker.
fn kind<C: Cipher>(cipher: &C, key: &C::Key) -> (Version, Algorithm, CipherKind, usize) {
    let shape = cipher.shape(key);
    match shape.kind {
        CipherKind::Aes => (Version::D, Algorithm::AES, shape.kind, shape.length),
        other => (Version::B, Algorithm::TDES, other, shape.length),
    }
}

/// Makes the challenge of a key that wraps keys: the block, and the answer that is right. For the manager.
pub async fn make_throw_away<C: Cipher>(
    cipher: &C,
    key: &C::Key,
    challenge: &Challenge,
    random: &mut (impl Random + ?Sized),
) -> Result<(String, String), PossessionFault> {
    let (version, algorithm, kind, length) = kind(cipher, key);
    let mut clear = paytypes::ClearBytes::zeroed(length);
    random.fill(clear.expose_mut());
    if kind != CipherKind::Aes {
        paytypes::parity::make_odd(clear.expose_mut());
    }
    let loaded = cipher.load(kind, clear.expose()).await?;
    let answer = tr31::kcv(cipher, &loaded).await?.hex16();
    let kbpk = Kbpk::new(cipher, key, version).await?;
    let mut blocks = OptionalBlocks::none();
    blocks.push(BlockId::LB, hex::encode(challenge).as_bytes())?;
    let header = Header { blocks, ..Header::new(version, throw_away(algorithm)) };
    let policy = Policy::X9_143_STRICT;
    let block =
        tr31::wrap(cipher, &kbpk, &header, clear.expose(), Masking::Standard, &policy, random).await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((text(&block), text(&answer)))
}

/// The answer of a key that wraps keys, hexadecimal.
pub async fn open_throw_away<C: Cipher>(
    cipher: &C,
    key: &C::Key,
    challenge: &Challenge,
    block: &[u8],
) -> Result<String, PossessionFault> {
    let (version, algorithm, kind, _) = kind(cipher, key);
    let block = KeyBlock::parse(block)?;
    let kbpk = Kbpk::new(cipher, key, version).await?;
    let opened = block.unwrap(cipher, &kbpk, &Policy::X9_143_STRICT).await?;
    let label = opened.header.blocks.get(BlockId::LB);
    let own = label.is_some_and(|label| label == hex::encode(challenge).as_bytes());
    if !own || opened.header.attributes != throw_away(algorithm) {
        return Err(PossessionFault::Block);
    }
    let loaded = cipher.load(kind, opened.material.expose()).await?;
    let answer = tr31::kcv(cipher, &loaded).await?.hex16();
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Refuses a reserved account where strict rules hold.
#[inline]
pub(crate) fn refuse_reserved(cx: &crate::Cx, account: &Account) -> Result<(), crate::Code> {
    // The setting that opens translation to old units is the one that takes every account they took.
    if !cx.settings().legacy_translate && is_reserved(account) {
        return Err(crate::Code::ACCOUNT);
    }
    Ok(())
}
