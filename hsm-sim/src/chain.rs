//! Operations of DES keys that are chains: each block needs the one before it, so a chain gives one block to
//! every pass, and all chains in flight go side by side.

use crate::material::LaneKey;
use hsm::{HsmError, Outcome};
use paytypes::{CipherError, DesKey, Direction, MacAlgorithm, MacValue};
use tdes_lanes::Job;

/// What a chain makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// CBC encryption: every link is kept.
    Cbc,
    /// A MAC: the last link is kept.
    Mac(MacAlgorithm),
}

/// A chain under way.
#[derive(Debug)]
pub(crate) struct Chain {
    kind: Kind,
    link: u64,
    next: usize,
    /// Encryption of the zero block, from which CMAC makes its subkeys; it is the first pass of a CMAC.
    zero: Option<u64>,
}

fn words(iv: &[u8], data: &[u8], whole: bool) -> Result<u64, HsmError> {
    let fits = !whole || data.len().is_multiple_of(8);
    let iv: Option<[u8; 8]> = iv.try_into().ok();
    iv.filter(|_| fits).map(u64::from_be_bytes).ok_or(HsmError::Cipher(CipherError::DataLength))
}

fn block(data: &[u8], index: usize) -> u64 {
    data.as_chunks::<8>().0.get(index).map_or(0, |b| u64::from_be_bytes(*b))
}

impl Chain {
    /// CBC encryption of whole blocks. `None` when there is nothing to do.
    pub(crate) fn cbc(iv: &[u8], data: &[u8]) -> Result<Option<Self>, HsmError> {
        let link = words(iv, data, true)?;
        Ok((!data.is_empty()).then_some(Self { kind: Kind::Cbc, link, next: 0, zero: None }))
    }

    /// A MAC; whole blocks for all but CMAC. The value at once when there is no block to chain.
    pub(crate) fn mac(
        algorithm: MacAlgorithm,
        iv: &[u8],
        data: &[u8],
    ) -> Result<Result<Self, MacValue>, HsmError> {
        let link = words(iv, data, algorithm != MacAlgorithm::Cmac)?;
        match algorithm {
            // Without data the chain is its initial value.
            MacAlgorithm::Iso1 | MacAlgorithm::Iso3Chain if data.is_empty() => {
                Ok(Err(MacValue::new(&link.to_be_bytes())))
            }
            // The last block gets the last steps of these, so there must be one; CMAC pads a missing one,
            // but only of a message that begins here.
            MacAlgorithm::Iso3 if data.is_empty() => Err(HsmError::Cipher(CipherError::DataLength)),
            MacAlgorithm::Cmac if data.is_empty() && link != 0 => {
                Err(HsmError::Cipher(CipherError::DataLength))
            }
            _ => Ok(Ok(Self { kind: Kind::Mac(algorithm), link, next: 0, zero: None })),
        }
    }

    /// The job of the next pass.
    pub(crate) fn job(&self, key: &DesKey, data: &[u8]) -> Job {
        let count = data.len() / 8;
        match self.kind {
            Kind::Cbc | Kind::Mac(MacAlgorithm::Iso1) => {
                key.job(self.link ^ block(data, self.next), Direction::Encrypt)
            }
            Kind::Mac(MacAlgorithm::Iso3Chain) => key.left_job(self.link ^ block(data, self.next)),
            // All blocks but the last under the left part; E-D-E of the last is what the algorithm asks for.
            Kind::Mac(MacAlgorithm::Iso3) if self.next.saturating_add(1) < count => {
                key.left_job(self.link ^ block(data, self.next))
            }
            Kind::Mac(MacAlgorithm::Iso3) => key.job(self.link ^ block(data, self.next), Direction::Encrypt),
            Kind::Mac(MacAlgorithm::Cmac) => match self.zero {
                None => key.job(0, Direction::Encrypt),
                Some(zero) => key.job(self.link ^ self.cmac_block(zero, data), Direction::Encrypt),
            },
        }
    }

    // The next block of a CMAC; the last is padded and masked with a subkey (NIST SP 800-38B).
    fn cmac_block(&self, zero: u64, data: &[u8]) -> u64 {
        let last = data.len().saturating_sub(1) / 8;
        if self.next < last {
            return block(data, self.next);
        }
        let rest = data.get(last.saturating_mul(8)..).unwrap_or_default();
        let subkey = doubled(zero);
        match <[u8; 8]>::try_from(rest) {
            Ok(whole) => u64::from_be_bytes(whole) ^ subkey,
            Err(_) => {
                let mut padded = [0u8; 8];
                for (p, b) in padded.iter_mut().zip(rest.iter().chain([&0x80])) {
                    *p = *b;
                }
                u64::from_be_bytes(padded) ^ doubled(subkey)
            }
        }
    }

    /// Takes the result of a pass; the outcome when the chain is at its end.
    pub(crate) fn take(&mut self, result: u64, data: &mut [u8]) -> Option<Outcome> {
        if self.kind == Kind::Mac(MacAlgorithm::Cmac) && self.zero.is_none() {
            self.zero = Some(result);
            return None;
        }
        self.link = result;
        if self.kind == Kind::Cbc
            && let Some(place) = data.as_chunks_mut::<8>().0.get_mut(self.next)
        {
            *place = result.to_be_bytes();
        }
        self.next = self.next.saturating_add(1);
        let count = match self.kind {
            Kind::Mac(MacAlgorithm::Cmac) => data.len().div_ceil(8).max(1),
            _ => data.len() / 8,
        };
        (self.next >= count).then(|| match self.kind {
            Kind::Cbc => Outcome::Done,
            Kind::Mac(_) => Outcome::Mac(MacValue::new(&result.to_be_bytes())),
        })
    }
}

// Doubling in GF(2^64) with the constant of SP 800-38B.
const fn doubled(value: u64) -> u64 {
    (value << 1) ^ (0x1B & (value >> 63).wrapping_neg())
}

#[cfg(test)]
mod tests {
    use super::*;
    use paytypes::soft::SoftKey;
    use paytypes::{CipherKind, bytes};
    use tdes_lanes::Lanes;

    fn run(chain: &mut Chain, key: &DesKey, data: &mut [u8]) -> Outcome {
        let mut lanes = Lanes::new();
        loop {
            let mut jobs = [chain.job(key, data)];
            lanes.run(&mut jobs);
            if let Some(outcome) = chain.take(jobs[0].block(), data) {
                return outcome;
            }
        }
    }

    // The software ciphers are checked against published vectors in paytypes; chains must agree with them.
    #[test]
    fn macs_agree_with_the_software_cipher() {
        let clear: Vec<u8> = (0..24u8).map(|i| i.wrapping_mul(73) ^ 0x5A).collect();
        for length in [8usize, 16, 24] {
            let kind = if length == 8 { CipherKind::Des } else { CipherKind::Tdes };
            let soft = SoftKey::new(kind, &clear[..length]).unwrap();
            let key = DesKey::new(&clear[..length]).unwrap();
            for algorithm in
                [MacAlgorithm::Iso1, MacAlgorithm::Iso3Chain, MacAlgorithm::Iso3, MacAlgorithm::Cmac]
            {
                for size in 0..40usize {
                    for iv in [[0u8; 8], [7; 8]] {
                        let mut data: Vec<u8> = (0..size).map(|i| i as u8 ^ 0xC3).collect();
                        let ours = match Chain::mac(algorithm, &iv, &data) {
                            Err(_) => None,
                            Ok(Err(value)) => Some(value.as_bytes().to_vec()),
                            Ok(Ok(mut chain)) => match run(&mut chain, &key, &mut data) {
                                Outcome::Mac(mac) => Some(mac.as_bytes().to_vec()),
                                other => unreachable!("{other:?}"),
                            },
                        };
                        let theirs = soft.mac(algorithm, &iv, &data).ok().map(|m| m.as_bytes().to_vec());
                        let continued = algorithm == MacAlgorithm::Cmac && size < 8 && iv != [0; 8];
                        if !(continued || algorithm == MacAlgorithm::Iso3 && size == 0) {
                            assert_eq!(ours, theirs, "{algorithm:?} {length} {size}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn cbc_agrees_with_the_software_cipher() {
        let clear = [0x13, 0x57, 0x9B, 0xDF, 2, 4, 6, 8, 1, 3, 5, 7, 9, 11, 13, 15];
        let soft = SoftKey::new(CipherKind::Tdes, &clear).unwrap();
        let key = DesKey::new(&clear).unwrap();
        let mut ours: Vec<u8> = (0..48).collect();
        let mut theirs = ours.clone();
        let mut chain = Chain::cbc(&[9; 8], &ours).unwrap().unwrap();
        run(&mut chain, &key, &mut ours);
        soft.cbc(Direction::Encrypt, &[9; 8], &mut theirs).unwrap();
        assert_eq!(ours, theirs);
        assert!(Chain::cbc(&[9; 8], &[]).unwrap().is_none());
        assert!(Chain::cbc(&[9; 8], &[1; 7]).is_err());
        assert!(Chain::cbc(&bytes::left::<7>(&[]), &[1; 8]).is_err());
    }
}
