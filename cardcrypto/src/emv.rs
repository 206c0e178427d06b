//! EMV issuer cryptography: card keys, session keys, application and response cryptograms, issuer scripts,
//! dynamic card values, amounts (EMV Book 2, and what the schemes say about their own parts in public).
//!
//! An issuer master key is used through the cipher only. Card and session keys pass through
//! [`paytypes::ClearKey`] and are wiped. A card master key derives session keys and is loaded as a key of the
//! cipher only where a scheme uses it directly; a session key is loaded for one purpose.
//!
//! ```
//! use cardcrypto::emv::{AcPadding, IccMasterKey, MasterKeyOption, PanSequence, application_cryptogram};
//! use paytypes::soft::{Soft, SoftKey};
//! use paytypes::{CipherKind, Pan, now};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let imk = SoftKey::new(CipherKind::Tdes, b"an example key!!")?;
//! let pan = Pan::new(b"5413330089020011")?;
//! let psn = PanSequence::new(b"01")?;
//! let answer = now(async {
//!     let card = IccMasterKey::derive(&Soft, &imk, MasterKeyOption::A, &pan, psn).await?;
//!     let session = card.common_session(&Soft, &cardcrypto::emv::Seed::of_counter(0x005E)).await?;
//!     application_cryptogram(&Soft, &session.load(&Soft).await?, AcPadding::Emv, &[0; 29]).await
//! });
//! assert_eq!(answer.ok_or("software is ready at once")??.len(), 8);
//! # Ok(())
//! # }
//! ```

mod amount;
mod cryptogram;
mod currency;
mod dynamic;
mod master_key;
mod script;
mod session;
mod tree;

pub use amount::{Amount, minor_units};
pub use cryptogram::{AcPadding, application_cryptogram, arpc_1, arpc_2, verify_cryptogram};
pub use currency::exponent;
pub use dynamic::{Cvc3, cvc3, dcvv, dcvv_counter, verify_cvc3};
pub use master_key::{CardData, IccMasterKey, MasterKeyOption, PanSequence};
pub use script::{ScriptCipher, ScriptMac, encrypt_script_data, script_mac};
pub use session::{Seed, SessionKey};
pub use tree::Tree;

use crate::CardError;
use paytypes::parity::make_odd;
use paytypes::{Cipher, CipherKind, ClearKey, Direction};
use zeroize::Zeroizing;

// A two-key TDES key: both halves are encrypted blocks, in odd parity.
async fn tdes_pair<C: Cipher>(
    cipher: &C,
    key: &C::Key,
    left: [u8; 8],
    right: [u8; 8],
) -> Result<ClearKey, CardError> {
    let mut clear = Zeroizing::new([0u8; 16]);
    let (left_half, right_half) = clear.split_at_mut(8);
    left_half.copy_from_slice(&left);
    right_half.copy_from_slice(&right);
    cipher.ecb(key, Direction::Encrypt, clear.as_mut_slice()).await?;
    make_odd(clear.as_mut_slice());
    clear_key(clear.as_slice())
}

// An AES key as long as `key`: one or two encrypted blocks, cut on the right.
async fn aes_blocks<C: Cipher>(
    cipher: &C,
    key: &C::Key,
    first: [u8; 16],
    second: [u8; 16],
) -> Result<ClearKey, CardError> {
    let length = cipher.shape(key).length;
    let mut clear = Zeroizing::new([0u8; 32]);
    let (left_half, right_half) = clear.split_at_mut(16);
    left_half.copy_from_slice(&first);
    right_half.copy_from_slice(&second);
    let used = if length > 16 { 32 } else { 16 };
    cipher.ecb(key, Direction::Encrypt, clear.get_mut(..used).ok_or(CardError::KeySize)?).await?;
    clear_key(clear.get(..length).ok_or(CardError::KeySize)?)
}

fn clear_key(bytes: &[u8]) -> Result<ClearKey, CardError> {
    ClearKey::new(bytes).map_err(|_| CardError::KeySize)
}

// Two-key TDES, which every TDES formula of EMV is for.
fn is_tdes_pair<C: Cipher>(cipher: &C, key: &C::Key) -> bool {
    let shape = cipher.shape(key);
    shape.kind == CipherKind::Tdes && shape.length == 16
}
