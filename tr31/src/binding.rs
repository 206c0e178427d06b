//! Opening and sealing: the only place where key data is encrypted, decrypted and authenticated, for all
//! versions and both families. `work` holds the header's text and then the key data.

use crate::error::{ErrorKind, KeyBlockError, field};
use crate::scheme::{BlockKeys, Order, Scheme};
use crate::work::Work;
use paytypes::bytes::{left, xor_into};
use paytypes::{Cipher, Direction, MacValue};
use subtle::ConstantTimeEq;

const ZERO: [u8; 16] = [0; 16];

/// Opens `work` in place and proves it against `mac`. Header and MAC are judged together: one failure.
pub(crate) async fn open<C: Cipher>(
    cipher: &C,
    keys: &BlockKeys<C::Key>,
    scheme: &Scheme,
    header: usize,
    work: &mut Work,
    mac: &[u8],
) -> Result<(), KeyBlockError> {
    if scheme.order == Order::CbcThenMac {
        prove(cipher, keys, scheme, work, mac).await?;
        decrypt(cipher, keys, scheme, header, work, mac).await
    } else {
        decrypt(cipher, keys, scheme, header, work, mac).await?;
        prove(cipher, keys, scheme, work, mac).await
    }
}

/// Seals `work` in place and gives the whole MAC; the caller writes the first `mac_length` bytes.
pub(crate) async fn seal<C: Cipher>(
    cipher: &C,
    keys: &BlockKeys<C::Key>,
    scheme: &Scheme,
    header: usize,
    work: &mut Work,
) -> Result<MacValue, KeyBlockError> {
    if scheme.order == Order::CbcThenMac {
        let iv = header_iv(scheme, work);
        cipher
            .cbc(&keys.encryption, Direction::Encrypt, cut(&iv, scheme.block()), work.after_mut(header))
            .await?;
        return authenticate(cipher, keys, scheme, work).await;
    }
    let mac = authenticate(cipher, keys, scheme, work).await?;
    match scheme.order {
        Order::MacThenCtr => ctr(cipher, &keys.encryption, mac.as_bytes(), work.after_mut(header)).await?,
        _ => {
            let iv = cut(mac.as_bytes(), scheme.block());
            cipher.cbc(&keys.encryption, Direction::Encrypt, iv, work.after_mut(header)).await?;
        }
    }
    Ok(mac)
}

fn cut(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(..length).unwrap_or_default()
}

// The first block of the header's text, which every block has: a header is 16 characters.
fn header_iv(scheme: &Scheme, work: &Work) -> [u8; 16] {
    left(cut(work.bytes(), scheme.block()))
}

async fn authenticate<C: Cipher>(
    cipher: &C,
    keys: &BlockKeys<C::Key>,
    scheme: &Scheme,
    work: &Work,
) -> Result<MacValue, KeyBlockError> {
    let iv = cut(&ZERO, scheme.block());
    Ok(cipher.mac(&keys.authentication, scheme.mac, iv, work.bytes()).await?)
}

async fn prove<C: Cipher>(
    cipher: &C,
    keys: &BlockKeys<C::Key>,
    scheme: &Scheme,
    work: &Work,
    mac: &[u8],
) -> Result<(), KeyBlockError> {
    let made = authenticate(cipher, keys, scheme, work).await?;
    if same(cut(made.as_bytes(), scheme.mac_length), mac) { Ok(()) } else { Err(refused()) }
}

// In constant time, all bytes as one number: what is compared is at most a cipher block.
fn same(made: &[u8], mac: &[u8]) -> bool {
    let number = |bytes| u128::from_be_bytes(left(bytes));
    made.len() == mac.len() && bool::from(number(made).ct_eq(&number(mac)))
}

/// The one answer for a failed MAC and for an impossible inner length.
pub(crate) const fn refused() -> KeyBlockError {
    KeyBlockError::new(ErrorKind::MacMismatch, field::MAC, 0)
}

async fn decrypt<C: Cipher>(
    cipher: &C,
    keys: &BlockKeys<C::Key>,
    scheme: &Scheme,
    header: usize,
    work: &mut Work,
    mac: &[u8],
) -> Result<(), KeyBlockError> {
    let first = header_iv(scheme, work);
    let data = work.after_mut(header);
    let iv = match scheme.order {
        Order::CbcThenMac => cut(&first, scheme.block()),
        Order::MacThenCbc => mac,
        Order::MacThenCtr => return ctr(cipher, &keys.encryption, mac, data).await,
    };
    Ok(cipher.cbc(&keys.encryption, Direction::Decrypt, iv, data).await?)
}

// Counter mode made of one ECB call over all counters (NIST SP 800-38A 6.5), the MAC being the first.
async fn ctr<C: Cipher>(
    cipher: &C,
    key: &C::Key,
    nonce: &[u8],
    data: &mut [u8],
) -> Result<(), KeyBlockError> {
    let mut stream = Work::zeroed(0, data.len().checked_next_multiple_of(16).unwrap_or_default());
    let mut counter = u128::from_be_bytes(left(nonce));
    for block in stream.bytes_mut().as_chunks_mut::<16>().0 {
        *block = counter.to_be_bytes();
        counter = counter.wrapping_add(1);
    }
    cipher.ecb(key, Direction::Encrypt, stream.bytes_mut()).await?;
    xor_into(data, stream.bytes());
    Ok(())
}

/// The key inside opened key data: 2 bytes of length in bits, the key, padding. Anything impossible is the
/// uniform failure.
pub(crate) fn inner_key(data: &[u8]) -> Result<&[u8], KeyBlockError> {
    let (length, rest) = data.split_first_chunk::<2>().ok_or(refused())?;
    let bits = usize::from(u16::from_be_bytes(*length));
    if bits & 7 != 0 || bits == 0 {
        return Err(refused());
    }
    rest.get(..bits >> 3).ok_or(refused())
}
