//! The frames that are sent, made through an engine of this process under the same public test LMKs.

use crate::client::Batch;
use hostcmd::{Authorised, Engine, Port, Settings, Unit};
use hsm::LmkId;
use paytypes::soft::{Soft, SoftKey};
use paytypes::{Cipher, CipherKind, Direction, now};
use std::io;
use std::rc::Rc;

/// Variant LMK.
pub const VARIANT: LmkId = LmkId(0);
/// 3DES key-block LMK.
pub const TDES_BLOCK: LmkId = LmkId(1);
/// AES key-block LMK.
pub const AES_BLOCK: LmkId = LmkId(2);

/// Commands that the engine runs together while frames are made.
const AT_ONCE: usize = 512;
/// About 650 random blocks hold one of ISO format 1.
const TRIES_MAX: u64 = 1_000_000;

/// A ZMK under the variant LMK of the public test keys, and in the clear (tests/vectors/wire-examples.json, A8).
const ZMK: (&str, [u8; 16]) = (
    "U3619544286BF03725946C2F53DEEAF75",
    [0xBC, 0xBA, 0xA2, 0x86, 0x34, 0x43, 0x2C, 0x37, 0x79, 0xB6, 0x38, 0x0B, 0xFD, 0xA4, 0x0D, 0x08],
);

/// A request and its reply, behind the header.
pub type Exchange = (String, String);

/// A PIN block that is to be translated.
struct Stored {
    key: String,
    account: String,
    block: String,
}

/// An engine to make frames with.
pub struct Maker {
    engine: Engine,
}

impl Maker {
    /// Over the same backend as the servers'.
    pub fn new() -> Self {
        let unit = Unit { authorised: Authorised::ALL, ..Unit::default() };
        Self { engine: Engine::new(crate::server::backend(), unit) }
    }

    // Whole replies, in order.
    fn replies(&mut self, lmk: LmkId, requests: &[String]) -> Vec<String> {
        let port = Rc::new(Port { header_length: 0, ..Port::new(lmk, Settings::STRICT) });
        let mut replies = Vec::with_capacity(requests.len());
        for some in requests.chunks(AT_ONCE) {
            let tickets: Vec<_> = some.iter().map(|r| self.engine.submit(&port, r.as_bytes())).collect();
            self.engine.run();
            for ticket in tickets {
                let mut reply = Vec::new();
                self.engine.finish(ticket, &mut reply);
                replies.push(String::from_utf8_lossy(&reply).into_owned());
            }
        }
        replies
    }

    // What stands behind code 00 in each.
    fn ask(&mut self, lmk: LmkId, requests: &[String]) -> io::Result<Vec<String>> {
        let good = |reply: String| match reply.get(2..4) {
            Some("00") => Ok(reply.get(4..).unwrap_or_default().to_owned()),
            code => Err(io::Error::other(format!(
                "a command that makes frames: {} answered {}",
                requests.first().and_then(|r| r.get(..2)).unwrap_or_default(),
                code.unwrap_or("nothing")
            ))),
        };
        self.replies(lmk, requests).into_iter().map(good).collect()
    }

    fn keys(&mut self, lmk: LmkId, (variant, block): (&str, &str), count: usize) -> io::Result<Vec<String>> {
        let request = if lmk == VARIANT { format!("A00{variant}U") } else { format!("A00FFFS#{block}") };
        let replies = self.ask(lmk, &vec![request; count])?;
        Ok(replies
            .into_iter()
            .map(|r| r.get(..r.len().saturating_sub(6)).unwrap_or_default().into())
            .collect())
    }

    // So many blocks, each under one of these ZPKs, with its own PIN and account.
    fn blocks(&mut self, lmk: LmkId, keys: &[String], count: usize) -> io::Result<Vec<Stored>> {
        let account = |n: usize| format!("{:012}", n * 104_729 % 1_000_000_000_000);
        let of = |n: usize| keys[n % keys.len()].clone();
        let each = |make: &dyn Fn(usize) -> String| (0..count).map(make).collect::<Vec<_>>();
        let pins = self.ask(lmk, &each(&|n| format!("JA{}05", account(n))))?;
        let blocks = self.ask(lmk, &each(&|n| format!("JG{}01{}{}", of(n), account(n), pins[n])))?;
        let stored = |(n, block)| Stored { key: of(n), account: account(n), block };
        Ok(blocks.into_iter().enumerate().map(stored).collect())
    }

    /// So many CC, each between two of so many ZPKs, with its own PIN and account.
    pub fn translations(&mut self, lmk: LmkId, keys: usize, count: usize) -> io::Result<Vec<Exchange>> {
        let keys = self.keys(lmk, ("001", "P0T2B00N00"), keys.max(2))?;
        let (from, to): (Vec<_>, Vec<_>) =
            keys.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).unzip();
        let blocks = self.blocks(lmk, &from, count)?;
        let translated = blocks.iter().enumerate().map(|(n, block)| block.to(&to[n % to.len()]));
        self.exchanges(lmk, translated.collect())
    }

    /// So many CC from wrapped ZPKs to the ZPK that an index names, under the variant LMK: with the replies that are
    /// right while the key there is the one or the other.
    pub fn translations_to(
        &mut self,
        index: &str,
        clear: &[[u8; 16]; 2],
        count: usize,
    ) -> io::Result<[Vec<Exchange>; 2]> {
        let from = self.keys(VARIANT, ("001", "P0T2B00N00"), 64)?;
        let blocks = self.blocks(VARIANT, &from, count)?;
        let mut under = |clear| {
            let to = self.import(clear)?;
            let wrapped = self.exchanges(VARIANT, blocks.iter().map(|block| block.to(&to)).collect())?;
            let named = blocks.iter().zip(wrapped).map(|(block, (_, reply))| (block.to(index), reply));
            Ok::<_, io::Error>(named.collect())
        };
        Ok([under(&clear[0])?, under(&clear[1])?])
    }

    // A ZPK of a known value, under the variant LMK.
    fn import(&mut self, clear: &[u8; 16]) -> io::Result<String> {
        let (zmk, zmk_clear) = ZMK;
        let zmk_clear = SoftKey::new(CipherKind::Tdes, &zmk_clear).map_err(io::Error::other)?;
        let mut under_zmk = *clear;
        let ciphered = now(Soft.ecb(&zmk_clear, Direction::Encrypt, &mut under_zmk));
        ciphered.ok_or_else(|| io::Error::other("no cipher"))?.map_err(io::Error::other)?;
        let under_zmk = hex::encode_upper(under_zmk);
        let mut reply = self.ask(VARIANT, &[format!("A6001{zmk}X{under_zmk}U")])?.swap_remove(0);
        reply.truncate(reply.len().saturating_sub(6));
        Ok(reply)
    }

    /// So many G0 from TDES DUKPT, each of another device and with a counter of up to ten ones. No command makes
    /// a block under DUKPT; but one random block in about 650 holds a PIN in ISO format 1, and those are kept.
    pub fn dukpt(&mut self, lmk: LmkId, count: usize) -> io::Result<Vec<Exchange>> {
        let bdk = self.keys(lmk, ("009", "B0T2X00N00"), 1)?.swap_remove(0);
        let zpk = self.keys(lmk, ("001", "P0T2B00N00"), 1)?.swap_remove(0);
        let mut found = Vec::new();
        let mut number = 0;
        while found.len() < count && number < TRIES_MAX {
            let tries: Vec<String> = (0..8 * AT_ONCE).map(|_| attempt(&bdk, &zpk, &mut number)).collect();
            let replies = self.replies(lmk, &tries);
            found.extend(tries.into_iter().zip(replies).filter(|(_, reply)| reply.starts_with("G100")));
        }
        found.truncate(count);
        if found.len() == count {
            Ok(found)
        } else {
            Err(io::Error::other("too few blocks for G0 were found"))
        }
    }

    fn exchanges(&mut self, lmk: LmkId, requests: Vec<String>) -> io::Result<Vec<Exchange>> {
        let reply_code = |request: &str| {
            let mut code = request.as_bytes().get(..2).unwrap_or_default().to_vec();
            code.iter_mut().skip(1).for_each(|c| *c += 1);
            String::from_utf8_lossy(&code).into_owned()
        };
        let replies = self.ask(lmk, &requests)?;
        let whole = |(request, reply): (String, String)| {
            let reply = format!("{}00{reply}", reply_code(&request));
            (request, reply)
        };
        Ok(requests.into_iter().zip(replies).map(whole).collect())
    }
}

impl Stored {
    fn to(&self, key: &str) -> String {
        let Self { key: from, account, block } = self;
        format!("CC{from}{key}12{block}0101{account}")
    }
}

fn attempt(bdk: &str, zpk: &str, number: &mut u64) -> String {
    let random = scattered(*number);
    *number += 1;
    let mut counter = (random >> 20 & 0x1F_FFFF).max(1);
    while counter.count_ones() > 10 {
        counter &= counter - 1;
    }
    let ksn = format!("FFFF9876{:012X}", (random & 0xFFFF) << 32 | 0x40_0000 | counter);
    format!("G0{bdk}{zpk}A05{ksn}{:016X}0501{:012}", scattered(!*number), *number)
}

// The same in every run (SplitMix64).
const fn scattered(n: u64) -> u64 {
    let z = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Exchanges as batches of `depth` frames, with headers that count.
pub fn batches(exchanges: &[Exchange], depth: usize) -> Vec<Batch> {
    let numbered: Vec<(usize, &Exchange)> = exchanges.iter().enumerate().collect();
    let batch = |some: &[(usize, &Exchange)]| {
        let mut batch = Batch::default();
        for (number, (request, reply)) in some {
            let header = format!("{:04X}", number & 0xFFFF);
            append(&mut batch.request, &header, request);
            append(&mut batch.reply, &header, reply);
            batch.frames += 1;
        }
        batch
    };
    // What is left over would be a batch of another depth; fewer frames than one batch are repeated in it.
    let repeated: Vec<_> = numbered.iter().cycle().take(depth.max(numbered.len())).copied().collect();
    repeated.chunks_exact(depth).map(batch).collect()
}

fn append(out: &mut Vec<u8>, header: &str, text: &str) {
    let length = u16::try_from(header.len() + text.len()).unwrap_or(u16::MAX);
    out.extend(length.to_be_bytes());
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotation;

    #[test]
    fn batches_hold_as_many_frames_as_they_are_deep() {
        let exchanges: Vec<Exchange> = (0..10).map(|n| (format!("B2{n}"), format!("B3{n}"))).collect();
        for (depth, count) in [(4, 2), (10, 1), (16, 1), (1, 10)] {
            let batches = batches(&exchanges, depth);
            assert_eq!((batches.len(), batches[0].frames), (count, depth as u64));
            assert_eq!(batches[0].request.len(), depth * (2 + 4 + 3));
        }
        assert_eq!(&batches(&exchanges, 1)[3].request, b"\0\x070003B23");
    }

    #[test]
    fn translations_use_as_many_keys_as_asked_and_are_right() {
        let mut maker = Maker::new();
        for lmk in [VARIANT, TDES_BLOCK, AES_BLOCK] {
            let exchanges = maker.translations(lmk, 20, 10).unwrap();
            let keys: std::collections::HashSet<_> = exchanges.iter().map(|(r, _)| &r[2..30]).collect();
            assert_eq!((exchanges.len(), keys.len() > 1 || lmk != VARIANT), (10, true));
            assert!(exchanges.iter().all(|(_, reply)| reply.starts_with("CD0005") && reply.len() == 24));
        }
        let replies = maker.translations_to(rotation::INDEX, &rotation::CLEAR, 4).unwrap();
        assert!(replies.iter().flatten().all(|(request, _)| request.contains(rotation::INDEX)));
        assert!(replies[0].iter().zip(&replies[1]).all(|(a, b)| a.0 == b.0 && a.1 != b.1));
        let dukpt = maker.dukpt(VARIANT, 3).unwrap();
        assert!(dukpt.iter().all(|(request, reply)| request.starts_with("G0U") && reply.starts_with("G100")));
    }
}
