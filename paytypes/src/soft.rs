//! [`Cipher`] in software over clear keys: for libraries, clients and the rare paths of the simulator.
//! AES is constant time (AES-NI or fixsliced); the `des` crate is table driven and is not.

use crate::bytes::{left, xor_into};
use crate::cipher::{Cipher, CipherError, CipherKind, Direction, KeyShape, MacAlgorithm, MacValue};
use crate::secret::ClearKey;
use cipher::{
    Block, BlockCipherDecrypt, BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt,
    BlockSizeUser, KeyInit,
};
use cmac::block_api::CmacCipher;
use std::sync::OnceLock;
use zeroize::Zeroizing;

/// Software implementation of [`Cipher`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Soft;

/// A clear key with its schedules ready; wiped on drop.
pub struct SoftKey {
    clear: ClearKey,
    schedule: Schedule,
    // Made when the first MAC asks for it; apart, so that a key that makes none stays small.
    kept: OnceLock<Box<Kept>>,
}

// What MACs use beside the schedule, each made once.
#[derive(Default)]
struct Kept {
    // Single-DES schedules of the parts, for retail MACs.
    parts: OnceLock<Box<[des::Des]>>,
    subkeys: OnceLock<Subkeys>,
}

// K1 and K2 of SP 800-38B 6.1, in the left of each row.
type Subkeys = Zeroizing<[[u8; 16]; 2]>;

enum Schedule {
    Des(Box<des::Des>),
    Tdes2(Box<des::TdesEde2>),
    Tdes3(Box<des::TdesEde3>),
    Aes128(Box<aes::Aes128>),
    Aes192(Box<aes::Aes192>),
    Aes256(Box<aes::Aes256>),
}

impl core::fmt::Debug for SoftKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SoftKey({} bytes)", self.clear.len())
    }
}

fn keyed<C: KeyInit>(key: &[u8]) -> Result<Box<C>, CipherError> {
    C::new_from_slice(key).map(Box::new).map_err(|_| CipherError::KeyLength)
}

macro_rules! with {
    ($key:expr, $cipher:ident => $body:expr) => {
        match &$key.schedule {
            Schedule::Des($cipher) => $body,
            Schedule::Tdes2($cipher) => $body,
            Schedule::Tdes3($cipher) => $body,
            Schedule::Aes128($cipher) => $body,
            Schedule::Aes192($cipher) => $body,
            Schedule::Aes256($cipher) => $body,
        }
    };
}

impl SoftKey {
    /// Builds the schedules of a clear key.
    pub fn new(kind: CipherKind, clear: &[u8]) -> Result<Self, CipherError> {
        let schedule = match (kind, clear.len()) {
            (CipherKind::Des, 8) => Schedule::Des(keyed(clear)?),
            (CipherKind::Tdes, 16) => Schedule::Tdes2(keyed(clear)?),
            (CipherKind::Tdes, 24) => Schedule::Tdes3(keyed(clear)?),
            (CipherKind::Aes, 16) => Schedule::Aes128(keyed(clear)?),
            (CipherKind::Aes, 24) => Schedule::Aes192(keyed(clear)?),
            (CipherKind::Aes, 32) => Schedule::Aes256(keyed(clear)?),
            _ => return Err(CipherError::KeyLength),
        };
        let clear = ClearKey::new(clear).map_err(|_| CipherError::KeyLength)?;
        Ok(Self { clear, schedule, kept: OnceLock::new() })
    }

    /// Cipher and length.
    pub fn shape(&self) -> KeyShape {
        let kind = match self.schedule {
            Schedule::Des(_) => CipherKind::Des,
            Schedule::Tdes2(_) | Schedule::Tdes3(_) => CipherKind::Tdes,
            _ => CipherKind::Aes,
        };
        KeyShape { kind, length: self.clear.len() }
    }

    /// The clear key.
    pub fn expose(&self) -> &ClearKey {
        &self.clear
    }

    /// Electronic code book, in place.
    pub fn ecb(&self, way: Direction, data: &mut [u8]) -> Result<(), CipherError> {
        with!(self, c => ecb(c.as_ref(), way, data))
    }

    /// Cipher block chaining, in place.
    pub fn cbc(&self, way: Direction, iv: &[u8], data: &mut [u8]) -> Result<(), CipherError> {
        with!(self, c => cbc(c.as_ref(), way, iv, data))
    }

    /// One MAC; see [`MacAlgorithm`].
    pub fn mac(&self, algorithm: MacAlgorithm, iv: &[u8], data: &[u8]) -> Result<MacValue, CipherError> {
        match algorithm {
            MacAlgorithm::Iso1 => with!(self, c => cbc_mac(c.as_ref(), iv, data)),
            MacAlgorithm::Cmac => self.cmac(iv, data),
            MacAlgorithm::Iso3Chain => cbc_mac(self.part(0)?, iv, data),
            MacAlgorithm::Iso3 => self.retail(iv, data),
        }
    }

    fn kept(&self) -> &Kept {
        self.kept.get_or_init(Box::default)
    }

    fn part(&self, index: usize) -> Result<&des::Des, CipherError> {
        if self.shape().kind == CipherKind::Aes {
            return Err(CipherError::Unsupported);
        }
        let (parts, _) = self.clear.expose().as_chunks::<8>();
        let kept =
            self.kept().parts.get_or_init(|| parts.iter().map(|part| des::Des::new(part.into())).collect());
        kept.get(index).ok_or(CipherError::Unsupported)
    }

    fn retail(&self, iv: &[u8], data: &[u8]) -> Result<MacValue, CipherError> {
        let chained = cbc_mac(self.part(0)?, iv, data)?;
        let mut block: [u8; 8] = left(chained.as_bytes());
        if let Ok(middle) = self.part(1) {
            ecb(middle, Direction::Decrypt, &mut block)?;
            ecb(self.part(2).or_else(|_| self.part(0))?, Direction::Encrypt, &mut block)?;
        }
        Ok(MacValue::new(&block))
    }

    fn cmac(&self, iv: &[u8], data: &[u8]) -> Result<MacValue, CipherError> {
        with!(self, c => cmac(c.as_ref(), self.kept().subkeys.get_or_init(|| subkeys(c.as_ref())), iv, data))
    }
}

fn blocks_of<C: BlockSizeUser>(data: &mut [u8]) -> Result<&mut [Block<C>], CipherError> {
    let (blocks, rest) = Block::<C>::slice_as_chunks_mut(data);
    if rest.is_empty() { Ok(blocks) } else { Err(CipherError::DataLength) }
}

fn ecb<C: BlockCipherEncrypt + BlockCipherDecrypt>(
    cipher: &C,
    way: Direction,
    data: &mut [u8],
) -> Result<(), CipherError> {
    let blocks = blocks_of::<C>(data)?;
    match way {
        Direction::Encrypt => cipher.encrypt_blocks(blocks),
        Direction::Decrypt => cipher.decrypt_blocks(blocks),
    }
    Ok(())
}

fn cbc<C: BlockCipherEncrypt + BlockCipherDecrypt>(
    cipher: &C,
    way: Direction,
    iv: &[u8],
    data: &mut [u8],
) -> Result<(), CipherError> {
    let mut chain = Block::<C>::try_from(iv).map_err(|_| CipherError::DataLength)?;
    let blocks = blocks_of::<C>(data)?;
    match way {
        Direction::Encrypt => cipher.encrypt_with_backend(Chain::<C> { chain: &mut chain, blocks }),
        Direction::Decrypt => {
            // Cipher text is put aside by the run, so that the cipher may take its blocks side by side.
            for run in blocks.chunks_mut(RUN) {
                let mut before: [Block<C>; RUN] = core::array::from_fn(|_| Block::<C>::default());
                for (kept, block) in before.iter_mut().zip(run.iter()) {
                    kept.copy_from_slice(block);
                }
                cipher.decrypt_blocks(run);
                for (block, kept) in run.iter_mut().zip(&before) {
                    xor_into(block, &chain);
                    chain.copy_from_slice(kept);
                }
            }
        }
    }
    Ok(())
}

const RUN: usize = 8;

// CBC encryption of all blocks in one call to the cipher.
struct Chain<'a, C: BlockSizeUser> {
    chain: &'a mut Block<C>,
    blocks: &'a mut [Block<C>],
}

impl<C: BlockSizeUser> BlockSizeUser for Chain<'_, C> {
    type BlockSize = C::BlockSize;
}

impl<C: BlockSizeUser> BlockCipherEncClosure for Chain<'_, C> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = C::BlockSize>>(self, backend: &B) {
        for block in self.blocks {
            xor_into(block, self.chain);
            backend.encrypt_block_inplace(block);
            self.chain.copy_from_slice(block);
        }
    }
}

// The chaining value after all blocks, in one call to the cipher.
struct Digest<'a, C: BlockSizeUser> {
    chain: &'a mut Block<C>,
    blocks: &'a [Block<C>],
}

impl<C: BlockSizeUser> BlockSizeUser for Digest<'_, C> {
    type BlockSize = C::BlockSize;
}

impl<C: BlockSizeUser> BlockCipherEncClosure for Digest<'_, C> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = C::BlockSize>>(self, backend: &B) {
        for block in self.blocks {
            xor_into(self.chain, block);
            backend.encrypt_block_inplace(self.chain);
        }
    }
}

fn cbc_mac<C: BlockCipherEncrypt>(cipher: &C, iv: &[u8], data: &[u8]) -> Result<MacValue, CipherError> {
    let mut chain = Block::<C>::try_from(iv).map_err(|_| CipherError::DataLength)?;
    let (blocks, rest) = Block::<C>::slice_as_chunks(data);
    if !rest.is_empty() {
        return Err(CipherError::DataLength);
    }
    cipher.encrypt_with_backend(Digest::<C> { chain: &mut chain, blocks });
    Ok(MacValue::new(&chain))
}

fn subkeys<C: CmacCipher>(cipher: &C) -> Subkeys {
    let mut first = Block::<C>::default();
    cipher.encrypt_block(&mut first);
    let first = C::dbl(first);
    Zeroizing::new([left(&first), left(&C::dbl(first.clone()))])
}

// SP 800-38B 6.2 over subkeys that the key keeps (the `cmac` crate makes them for every message; a test holds
// this against it). `iv` takes the place of the zero block, so that a chained MAC can go on.
fn cmac<C: CmacCipher>(
    cipher: &C,
    subkeys: &Subkeys,
    iv: &[u8],
    data: &[u8],
) -> Result<MacValue, CipherError> {
    let mut chain = Block::<C>::try_from(iv).map_err(|_| CipherError::DataLength)?;
    if data.len() < chain.len() && iv.iter().any(|b| *b != 0) {
        return Err(CipherError::DataLength);
    }
    let (blocks, rest) = Block::<C>::slice_as_chunks(data);
    let [whole, partial] = &**subkeys;
    let (subkey, before, end) = match blocks.split_last() {
        Some((end, before)) if rest.is_empty() => (whole, before, end.as_slice()),
        _ => (partial, blocks, rest),
    };
    cipher.encrypt_with_backend(End::<C> { chain: &mut chain, before, end, subkey });
    Ok(MacValue::new(&chain))
}

// All of a CMAC in one call to the cipher; the last block is never copied.
struct End<'a, C: BlockSizeUser> {
    chain: &'a mut Block<C>,
    before: &'a [Block<C>],
    end: &'a [u8],
    subkey: &'a [u8; 16],
}

impl<C: BlockSizeUser> BlockSizeUser for End<'_, C> {
    type BlockSize = C::BlockSize;
}

impl<C: BlockSizeUser> BlockCipherEncClosure for End<'_, C> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = C::BlockSize>>(self, backend: &B) {
        let Self { chain, before, end, subkey } = self;
        Digest::<C> { chain, blocks: before }.call(backend);
        xor_into(chain, end);
        if let Some(mark) = chain.get_mut(end.len()) {
            *mark ^= 0x80;
        }
        xor_into(chain, subkey);
        backend.encrypt_block_inplace(chain);
    }
}

impl Cipher for Soft {
    type Key = SoftKey;

    fn shape(&self, key: &SoftKey) -> KeyShape {
        key.shape()
    }

    async fn load(&self, kind: CipherKind, clear: &[u8]) -> Result<SoftKey, CipherError> {
        SoftKey::new(kind, clear)
    }

    async fn variant(&self, key: &SoftKey, mask: &[u8]) -> Result<SoftKey, CipherError> {
        if mask.len() != key.clear.len() {
            return Err(CipherError::KeyLength);
        }
        let mut clear = key.clear.duplicate();
        xor_into(clear.expose_mut(), mask);
        SoftKey::new(key.shape().kind, clear.expose())
    }

    async fn ecb(&self, key: &SoftKey, way: Direction, data: &mut [u8]) -> Result<(), CipherError> {
        key.ecb(way, data)
    }

    async fn cbc(
        &self,
        key: &SoftKey,
        way: Direction,
        iv: &[u8],
        data: &mut [u8],
    ) -> Result<(), CipherError> {
        key.cbc(way, iv, data)
    }

    async fn mac(
        &self,
        key: &SoftKey,
        algorithm: MacAlgorithm,
        iv: &[u8],
        data: &[u8],
    ) -> Result<MacValue, CipherError> {
        key.mac(algorithm, iv, data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hex, now};

    // NIST SP 800-38B examples D.1 (AES-128) and, for TDES, the two-key example of the same paper.
    #[test]
    fn cmac_of_sp_800_38b() {
        let key = hex::decode::<16>(b"2B7E151628AED2A6ABF7158809CF4F3C").unwrap();
        let key = SoftKey::new(CipherKind::Aes, &key).unwrap();
        let mac = |data: &[u8]| key.mac(MacAlgorithm::Cmac, &[0; 16], data).unwrap();
        assert_eq!(hex::encode(mac(b"").as_bytes()), "BB1D6929E95937287FA37D129B756746");
        let data = hex::decode_vec(
            b"6BC1BEE22E409F96E93D7E117393172AAE2D8A571E03AC9C9EB76FAC45AF8E5130C81C46A35CE411",
        )
        .unwrap();
        assert_eq!(hex::encode(mac(&data).as_bytes()), "DFA66747DE9AE63030CA32611497C827");
    }

    #[test]
    fn cmac_continues_from_a_chaining_value() {
        let key =
            SoftKey::new(CipherKind::Tdes, &[0x13, 0x57, 0x9B, 0xDF, 2, 4, 6, 8, 1, 3, 5, 7, 9, 11, 13, 15])
                .unwrap();
        let data: Vec<u8> = (0..29).collect();
        let whole = key.mac(MacAlgorithm::Cmac, &[0; 8], &data).unwrap();
        let chain = key.mac(MacAlgorithm::Iso1, &[0; 8], &data[..16]).unwrap();
        let rest = key.mac(MacAlgorithm::Cmac, chain.as_bytes(), &data[16..]).unwrap();
        assert_eq!(whole.as_bytes(), rest.as_bytes());
    }

    proptest::proptest! {
        #[test]
        fn cmac_is_that_of_the_crate(
            secret in proptest::prelude::any::<[u8; 32]>(),
            data in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100),
        ) {
            use cmac::Mac;
            fn crate_mac<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
                <M as KeyInit>::new_from_slice(key).unwrap().chain_update(data).finalize().into_bytes().to_vec()
            }
            type Oracle = fn(&[u8], &[u8]) -> Vec<u8>;
            let all: [(CipherKind, usize, Oracle); 6] = [
                (CipherKind::Des, 8, crate_mac::<cmac::Cmac<des::Des>>),
                (CipherKind::Tdes, 16, crate_mac::<cmac::Cmac<des::TdesEde2>>),
                (CipherKind::Tdes, 24, crate_mac::<cmac::Cmac<des::TdesEde3>>),
                (CipherKind::Aes, 16, crate_mac::<cmac::Cmac<aes::Aes128>>),
                (CipherKind::Aes, 24, crate_mac::<cmac::Cmac<aes::Aes192>>),
                (CipherKind::Aes, 32, crate_mac::<cmac::Cmac<aes::Aes256>>),
            ];
            for (kind, length, oracle) in all {
                let key = SoftKey::new(kind, &secret[..length]).unwrap();
                let iv = &[0; 16][..kind.block_length()];
                for _ in 0..2 {
                    let made = key.mac(MacAlgorithm::Cmac, iv, &data).unwrap();
                    proptest::prop_assert_eq!(made.as_bytes(), oracle(&secret[..length], &data));
                }
            }
        }

        #[test]
        fn cbc_of_any_length_comes_back(blocks in 0usize..30, seed in proptest::prelude::any::<u8>()) {
            let key = SoftKey::new(CipherKind::Aes, &[seed; 16]).unwrap();
            let clear: Vec<u8> = (0..blocks * 16).map(|n| (n as u8).wrapping_mul(7) ^ seed).collect();
            let mut data = clear.clone();
            key.cbc(Direction::Encrypt, &[seed; 16], &mut data).unwrap();
            // One block after the other, by hand.
            let mut chain = [seed; 16];
            for (shown, hidden) in clear.chunks(16).zip(data.chunks(16)) {
                xor_into(&mut chain, shown);
                key.ecb(Direction::Encrypt, &mut chain).unwrap();
                proptest::prop_assert_eq!(&chain, hidden);
            }
            key.cbc(Direction::Decrypt, &[seed; 16], &mut data).unwrap();
            proptest::prop_assert_eq!(data, clear);
        }
    }

    #[test]
    fn retail_mac_chain_continues() {
        let key = SoftKey::new(CipherKind::Tdes, &[7; 16]).unwrap();
        let data: Vec<u8> = (0..32).collect();
        let whole = key.mac(MacAlgorithm::Iso3, &[0; 8], &data).unwrap();
        let chain = key.mac(MacAlgorithm::Iso3Chain, &[0; 8], &data[..16]).unwrap();
        let rest = key.mac(MacAlgorithm::Iso3, chain.as_bytes(), &data[16..]).unwrap();
        assert_eq!(whole.as_bytes(), rest.as_bytes());
    }

    // One part: its CBC-MAC. Two: decrypted with the second, encrypted with the first. Three: with the third.
    #[test]
    fn retail_mac_of_each_key_length() {
        let clear: Vec<u8> = (1..25).collect();
        let part = |n: usize| SoftKey::new(CipherKind::Des, &clear[n * 8..][..8]).unwrap();
        let data = [0xA5; 24];
        let chain = part(0).mac(MacAlgorithm::Iso1, &[0; 8], &data).unwrap();
        for (kind, length, last) in
            [(CipherKind::Des, 8, None), (CipherKind::Tdes, 16, Some(0)), (CipherKind::Tdes, 24, Some(2))]
        {
            let mut wanted = chain.as_bytes().to_vec();
            if let Some(last) = last {
                part(1).ecb(Direction::Decrypt, &mut wanted).unwrap();
                part(last).ecb(Direction::Encrypt, &mut wanted).unwrap();
            }
            let key = SoftKey::new(kind, &clear[..length]).unwrap();
            for _ in 0..2 {
                let made = key.mac(MacAlgorithm::Iso3, &[0; 8], &data).unwrap();
                assert_eq!(made.as_bytes(), wanted, "{length}");
            }
            let made = key.mac(MacAlgorithm::Iso3Chain, &[0; 8], &data).unwrap();
            assert_eq!(made.as_bytes(), chain.as_bytes());
        }
    }

    #[test]
    fn cbc_round_trip_and_refusals() {
        let key = SoftKey::new(CipherKind::Aes, &[9; 32]).unwrap();
        let mut data = [5; 48];
        key.cbc(Direction::Encrypt, &[1; 16], &mut data).unwrap();
        key.cbc(Direction::Decrypt, &[1; 16], &mut data).unwrap();
        assert_eq!(data, [5; 48]);
        assert_eq!(key.ecb(Direction::Encrypt, &mut data[..15]), Err(CipherError::DataLength));
        assert_eq!(key.mac(MacAlgorithm::Iso3, &[0; 16], &data).unwrap_err(), CipherError::Unsupported);
        assert_eq!(SoftKey::new(CipherKind::Tdes, &[0; 8]).unwrap_err(), CipherError::KeyLength);
    }

    #[test]
    fn variant_is_an_xor() {
        let key = SoftKey::new(CipherKind::Tdes, &[0xF0; 16]).unwrap();
        let other = now(Soft.variant(&key, &[0x0F; 16])).unwrap().unwrap();
        assert_eq!(other.expose().expose(), &[0xFF; 16]);
        assert!(now(Soft.variant(&key, &[0; 8])).unwrap().is_err());
    }
}
