//! What an optional block may hold (X9.143:2021 6.3.6.1 to 6.3.6.15, tables 8 to 23). Only standard ids are
//! judged; a proprietary block is the owner's.

use crate::block_id::BlockId;
use crate::blocks::{OptionalBlock, OptionalBlocks};
use crate::error::{ErrorKind, KeyBlockError};
use crate::kcv::KcvMethod;
use paytypes::{Algorithm, hex};

/// Judges all blocks of a header that is 16 characters long before them. `hash` asks for HM with an HMAC
/// key.
pub(crate) fn judge(
    blocks: &OptionalBlocks<'_>,
    algorithm: Algorithm,
    hash: bool,
) -> Result<(), KeyBlockError> {
    for block in blocks.iter() {
        let refuse = |reason| Err(refusal(&block).because(reason));
        if !well_formed(block.id, block.data) {
            return Err(refusal(&block));
        }
        let hmac = matches!(algorithm.0, b'H' | b'I' | b'J');
        match (block.id, algorithm) {
            (BlockId::KS, Algorithm::AES) => return refuse("KS is for TDES DUKPT; an AES key has IK or BI"),
            (BlockId::IK, Algorithm::TDES) => return refuse("IK is for AES DUKPT; a TDES key has KS"),
            (BlockId::HM, _) if !hmac => return refuse("HM is for HMAC keys"),
            _ => {}
        }
    }
    if hash && algorithm == Algorithm::HMAC && blocks.get(BlockId::HM).is_none() {
        return Err(KeyBlockError::new(ErrorKind::OptData, BlockId::HM.name(), 16)
            .because("an HMAC key names its hash in HM"));
    }
    Ok(())
}

fn refusal(block: &OptionalBlock<'_>) -> KeyBlockError {
    KeyBlockError::new(ErrorKind::OptData, block.id.name(), block.offset.saturating_add(16))
}

fn well_formed(id: BlockId, data: &[u8]) -> bool {
    match id {
        BlockId::AL => matches!(data, b"0100" | b"0101"),
        BlockId::BI => match data.split_first_chunk::<2>() {
            Some((b"00", rest)) => rest.len() == 10 && is_hex(rest),
            Some((b"01", rest)) => rest.len() == 8 && is_hex(rest),
            _ => false,
        },
        BlockId::CT => certificates(data),
        BlockId::DA => derivations(data),
        BlockId::HM => HASHES.iter().any(|code| *code == data),
        BlockId::IK => data.len() == 16 && is_hex(data),
        BlockId::KC | BlockId::KP | BlockId::PK => check_value(data).is_some(),
        BlockId::KS => matches!(data.len(), 16 | 20) && is_hex(data),
        BlockId::KV => data.len() == 4 && data.iter().all(u8::is_ascii_alphanumeric),
        BlockId::TC | BlockId::TS => TIMES.iter().any(|form| fits(form, data)),
        BlockId::WP => matches!(data, [b'0', b'0', b'0'..=b'3']),
        _ => true,
    }
}

// Table 13: SHA-1; SHA-2; SHA-3; SHAKE.
const HASHES: [&[u8; 2]; 13] =
    [b"10", b"20", b"21", b"22", b"23", b"24", b"25", b"30", b"31", b"32", b"33", b"40", b"41"];

// ISO 8601, always in UTC, basic or extended form, with or without hundredths; `9` stands for a digit.
const TIMES: [&[u8]; 4] =
    [b"99999999999999Z", b"9999999999999999Z", b"9999-99-99T99:99:99Z", b"9999-99-99T99:99:99.99Z"];

/// True when `data` has the form of `pattern`, in which `9` stands for any decimal digit.
pub(crate) fn fits(pattern: &[u8], data: &[u8]) -> bool {
    pattern.len() == data.len()
        && pattern.iter().zip(data).all(|(p, c)| if *p == b'9' { c.is_ascii_digit() } else { p == c })
}

fn is_hex(data: &[u8]) -> bool {
    data.iter().all(|c| hex::digit(*c).is_some())
}

fn is_base64(data: &[u8]) -> bool {
    let body = data.iter().rev().skip_while(|c| **c == b'=');
    !data.is_empty()
        && data.len().is_multiple_of(4)
        && data.iter().rev().take(3).filter(|c| **c == b'=').count() <= 2
        && body.into_iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/'))
}

// Formats 00 (X.509) and 01 (EMV): one certificate in base 64. Format 02: a chain of such, each with its
// format and the length of its text in four hex digits.
fn certificates(data: &[u8]) -> bool {
    match data.split_first_chunk::<2>() {
        Some((b"00" | b"01", text)) => is_base64(text),
        Some((b"02", chain)) => !chain.is_empty() && is_chain(chain),
        _ => false,
    }
}

fn is_chain(mut chain: &[u8]) -> bool {
    while let Some((head, rest)) = chain.split_first_chunk::<6>() {
        let [b'0', b'0' | b'1', length @ ..] = head else { return false };
        let mut size = [0; 2];
        if hex::decode_into(length, &mut size).is_err() {
            return false;
        }
        let Some((text, after)) = rest.split_at_checked(usize::from(u16::from_be_bytes(size))) else {
            return false;
        };
        if !is_base64(text) {
            return false;
        }
        chain = after;
    }
    chain.is_empty()
}

// Version 01, then usage, algorithm, mode and exportability of each derivation.
fn derivations(data: &[u8]) -> bool {
    data.split_first_chunk::<2>().is_some_and(|(version, rest)| {
        version == b"01"
            && !rest.is_empty()
            && rest.len().is_multiple_of(5)
            && rest.iter().all(u8::is_ascii_alphanumeric)
    })
}

/// A check value as KC, KP and PK write it: method, then up to 3 (legacy) or 5 (CMAC) bytes in hex, at least
/// 2 bytes. Gives the method and the bytes with their number.
pub(crate) fn check_value(data: &[u8]) -> Option<(KcvMethod, [u8; 5], usize)> {
    let (code, digits) = data.split_first_chunk::<2>()?;
    let method = [KcvMethod::Legacy, KcvMethod::Cmac].into_iter().find(|m| m.code() == *code)?;
    let length = digits.len() >> 1;
    let mut bytes = [0; 5];
    if !(2..=method.length()).contains(&length) {
        return None;
    }
    hex::decode_into(digits, bytes.get_mut(..length)?).ok()?;
    Some((method, bytes, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_and_bad_content() {
        let good: &[(BlockId, &[u8])] = &[
            (BlockId::AL, b"0101"),
            (BlockId::BI, b"00868F5000D3"),
            (BlockId::BI, b"01868F5000"),
            (BlockId::CT, b"00MIIC"),
            (BlockId::CT, b"02000004MIIC"),
            (BlockId::CT, b"02000008MIICAA==010004AAAA"),
            (BlockId::DA, b"01P0TEEB1AXN"),
            (BlockId::HM, b"21"),
            (BlockId::IK, b"44CA8599883BA48D"),
            (BlockId::KC, b"00CB9DEA"),
            (BlockId::KP, b"012331550BC9"),
            (BlockId::KS, b"00604B120F9292800000"),
            (BlockId::KV, b"02A0"),
            (BlockId::TS, b"20200818221218Z"),
            (BlockId::TC, b"2018-06-18T20:42:39.22Z"),
            (BlockId::WP, b"001"),
            (BlockId::LB, b"any thing"),
            (BlockId(*b"10"), b"*"),
        ];
        for (id, data) in good {
            assert!(well_formed(*id, data), "{id:?}");
        }
        let bad: &[(BlockId, &[u8])] = &[
            (BlockId::AL, b"0201"),
            (BlockId::BI, b"01868F5000D3"),
            (BlockId::CT, b"00MII"),
            (BlockId::CT, b"00M==="),
            (BlockId::CT, b"02000004MII"),
            (BlockId::CT, b"02"),
            (BlockId::DA, b"01P0TE"),
            (BlockId::HM, b"26"),
            (BlockId::IK, b"44CA8599883BA48"),
            (BlockId::KC, b"02CB9DEA"),
            (BlockId::KC, b"00CB9DEA11"),
            (BlockId::KP, b"01GG31550BC9"),
            (BlockId::KS, b"VM9A"),
            (BlockId::KV, b"+"),
            (BlockId::TS, b"2018-06-18T20:42:39.22"),
            (BlockId::WP, b"004"),
        ];
        for (id, data) in bad {
            assert!(!well_formed(*id, data), "{id:?}");
        }
    }

    #[test]
    fn blocks_go_with_their_algorithm() {
        let mut blocks = OptionalBlocks::none();
        blocks.push(BlockId::KS, b"00604B120F9292800000").unwrap();
        assert!(judge(&blocks, Algorithm::TDES, true).is_ok());
        assert_eq!(judge(&blocks, Algorithm::AES, true).unwrap_err().field, "KS");
        let mut blocks = OptionalBlocks::none();
        blocks.push(BlockId::HM, b"21").unwrap();
        assert!(judge(&blocks, Algorithm::HMAC, true).is_ok());
        assert_eq!(judge(&blocks, Algorithm::AES, true).unwrap_err().field, "HM");
        assert!(judge(&OptionalBlocks::none(), Algorithm::HMAC, true).is_err());
        assert!(judge(&OptionalBlocks::none(), Algorithm::HMAC, false).is_ok());
    }
}
