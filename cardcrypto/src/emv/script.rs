//! Secure messaging of issuer scripts (EMV Book 2 section 9): MAC of a command, encryption of its data.

use super::is_tdes_pair;
use crate::CardError;
use crate::mac::{Algorithm, Padding, Part, mac};
use core::fmt;
use paytypes::{Cipher, CipherKind, ClearBytes, Direction, MacValue};

/// The MAC of a script command: 8 bytes, of which a card takes 4 to 8.
#[derive(Clone, Copy)]
pub struct ScriptMac(MacValue);

impl ScriptMac {
    /// The left `length` bytes, 4 to 8 ([`CardError::MacLength`] otherwise).
    pub fn bytes(&self, length: usize) -> Result<&[u8], CardError> {
        if (4..=8).contains(&length) {
            self.0.as_bytes().get(..length).ok_or(CardError::MacLength)
        } else {
            Err(CardError::MacLength)
        }
    }
}

impl fmt::Debug for ScriptMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScriptMac")
    }
}

/// MAC of a script command (9.2.1.2 and the schemes alike): retail MAC with padding method 2 under a two-key
/// TDES session key, CMAC under an AES one. `command` is header and data as the scheme puts them together;
/// issuers that bind counter and cryptogram put them between the two.
pub async fn script_mac<C: Cipher>(
    cipher: &C,
    session: &C::Key,
    command: &[u8],
) -> Result<ScriptMac, CardError> {
    let (algorithm, padding) = match cipher.shape(session).kind {
        CipherKind::Aes => (Algorithm::Cmac, Padding::None),
        _ if is_tdes_pair(cipher, session) => (Algorithm::Retail, Padding::Bit),
        _ => return Err(CardError::KeySize),
    };
    Ok(ScriptMac(mac(cipher, session, algorithm, padding, Part::Only, command).await?))
}

/// How a scheme encrypts command data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptCipher {
    /// A length byte before the data, padding method 2, electronic code book.
    Visa,
    /// Padding method 2 only where the data is not whole blocks; chained.
    Mastercard,
    /// Padding method 2 always; chained (9.3.1.1).
    Emv,
}

/// Encrypts command data, chaining from zero. Two-key TDES, or AES with [`ScriptCipher::Emv`]
/// ([`CardError::KeySize`] otherwise). Data is 1 to 255 bytes ([`CardError::DataLength`]).
pub async fn encrypt_script_data<C: Cipher>(
    cipher: &C,
    session: &C::Key,
    scheme: ScriptCipher,
    data: &[u8],
) -> Result<Vec<u8>, CardError> {
    let kind = cipher.shape(session).kind;
    let fits = match kind {
        CipherKind::Aes => scheme == ScriptCipher::Emv,
        _ => is_tdes_pair(cipher, session),
    };
    if !fits {
        return Err(CardError::KeySize);
    }
    let mut block = padded(scheme, kind.block_length(), data)?;
    let text = block.expose_mut();
    match scheme {
        ScriptCipher::Visa => cipher.ecb(session, Direction::Encrypt, text).await?,
        ScriptCipher::Mastercard | ScriptCipher::Emv => {
            let zero = [0; 16];
            let iv = zero.get(..kind.block_length()).unwrap_or_default();
            cipher.cbc(session, Direction::Encrypt, iv, text).await?;
        }
    }
    Ok(block.expose().to_vec())
}

// The clear data in one buffer of its final length, so that no copy of a PIN block is left behind.
fn padded(scheme: ScriptCipher, block: usize, data: &[u8]) -> Result<ClearBytes, CardError> {
    let length = u8::try_from(data.len()).ok().filter(|n| *n > 0).ok_or(CardError::DataLength)?;
    let head: &[u8] = if scheme == ScriptCipher::Visa { &[length] } else { &[] };
    let used = head.len().saturating_add(data.len());
    let is_bare = scheme == ScriptCipher::Mastercard && used.is_multiple_of(block);
    let total = if is_bare { Some(used) } else { used.saturating_add(1).checked_next_multiple_of(block) };
    let mut out = ClearBytes::zeroed(total.ok_or(CardError::DataLength)?);
    for (o, b) in out.expose_mut().iter_mut().zip(head.iter().chain(data).chain(&[0x80])) {
        *o = *b;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use paytypes::now;
    use paytypes::soft::{Soft, SoftKey};

    #[test]
    fn lengths_of_padded_data() {
        let length = |scheme, n: usize| padded(scheme, 8, &vec![7; n]).map(|b| b.len());
        for (scheme, of_7, of_8) in
            [(ScriptCipher::Visa, 16, 16), (ScriptCipher::Mastercard, 8, 8), (ScriptCipher::Emv, 8, 16)]
        {
            assert_eq!((length(scheme, 7), length(scheme, 8)), (Ok(of_7), Ok(of_8)));
            assert_eq!(length(scheme, 0), Err(CardError::DataLength));
            assert_eq!(length(scheme, 256), Err(CardError::DataLength));
            assert!(length(scheme, 255).is_ok());
        }
    }

    #[test]
    fn keys_that_do_not_fit() {
        let aes = SoftKey::new(CipherKind::Aes, &[3; 32]).unwrap();
        let triple = SoftKey::new(CipherKind::Tdes, &[3; 24]).unwrap();
        let make = |k: &SoftKey, s| now(encrypt_script_data(&Soft, k, s, &[1; 8])).unwrap();
        assert_eq!(make(&aes, ScriptCipher::Emv).unwrap().len(), 16);
        assert_eq!(make(&aes, ScriptCipher::Visa), Err(CardError::KeySize));
        assert_eq!(make(&triple, ScriptCipher::Emv), Err(CardError::KeySize));
        assert_eq!(now(script_mac(&Soft, &triple, b"x")).unwrap().unwrap_err(), CardError::KeySize);
        let mac = now(script_mac(&Soft, &aes, b"x")).unwrap().unwrap();
        assert_eq!(mac.bytes(4).unwrap().len(), 4);
        assert_eq!((mac.bytes(3), mac.bytes(9)), (Err(CardError::MacLength), Err(CardError::MacLength)));
    }
}
