//! Opening many `S` blocks side by side. Both versions are proved before anything is decrypted, and each
//! step of a proof needs the one before it: so all blocks of a batch take the step together, those of
//! version 0 in the lanes, here, those of version 1 eight at a time (`together`). A block that is refused on the
//! way leaves the others as they are.
//!
//! What a block is, is `tr31`'s to say; a test holds each opening against the one of that crate.

use crate::jobs::Jobs;
use crate::material::LaneKey;
use hsm::{BlockAttributes, BlockFault, HsmError};
use paytypes::soft::SoftKey;
use paytypes::{Algorithm, DesKey, Direction, bytes, hex};
use std::rc::Rc;
use subtle::ConstantTimeEq;
use tdes_lanes::Job;
use tr31::sblock::Cut;
use zeroize::Zeroizing;

/// Most key data, in bytes, of a block that is opened here: the longest key with its length and padding, and
/// some more. A longer block is opened alone.
pub(crate) const PAYLOAD_MAX: usize = 64;

/// A block that was parsed, and whose key is to come out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed {
    /// Which token of the batch.
    pub(crate) token: usize,
    pub(crate) cut: Cut,
    pub(crate) algorithm: Algorithm,
    pub(crate) attributes: BlockAttributes,
    /// What is wrong with its optional blocks, which only an authentic block answers for.
    pub(crate) optional: Result<(), HsmError>,
}

impl Sealed {
    /// Cipher blocks of the header, of so many bytes.
    pub(crate) fn header<const N: usize>(&self) -> usize {
        self.cut.header.checked_div(N).unwrap_or_default()
    }

    /// Cipher blocks of the key data.
    pub(crate) fn payload<const N: usize>(&self) -> usize {
        (self.cut.payload >> 1).checked_div(N).unwrap_or_default()
    }

    /// All of them, in the order in which they are authenticated and chained.
    pub(crate) fn count<const N: usize>(&self) -> usize {
        self.header::<N>().saturating_add(self.payload::<N>())
    }

    /// The cipher block at `index`: of the header its text, of the key data its bytes.
    #[inline]
    fn block<const N: usize>(&self, text: &[u8], index: usize) -> [u8; N] {
        let at = index.saturating_mul(N);
        if at < self.cut.header {
            return bytes::left(text.get(at..).unwrap_or_default());
        }
        let mut block = [0; N];
        let digits = text.get(at.saturating_mul(2).saturating_sub(self.cut.header)..).unwrap_or_default();
        for (part, digits) in block.as_chunks_mut::<8>().0.iter_mut().zip(digits.as_chunks::<16>().0) {
            // The text was parsed.
            *part = hex::word_of(digits).to_be_bytes();
        }
        block
    }

    /// True when the MAC of the block begins what was made, in constant time.
    #[inline]
    pub(crate) fn is_proved(&self, text: &[u8], made: &[u8]) -> bool {
        let sent = text.get(self.cut.header.saturating_add(self.cut.payload)..).unwrap_or_default();
        let mut mac = [0; 8];
        let length = self.cut.mac >> 1;
        let decoded = mac.get_mut(..length).is_some_and(|mac| hex::decode_into(sent, mac).is_ok());
        // All bytes as one number; what the MAC is shorter by is zero on both sides.
        let made = bytes::left::<8>(made.get(..length).unwrap_or_default());
        let same = u64::from_be_bytes(mac).ct_eq(&u64::from_be_bytes(made));
        length > 0 && decoded && bool::from(same)
    }
}

/// The keys of a 3DES key-block LMK, as the lanes take them.
#[derive(Debug)]
pub(crate) struct LaneKeys {
    encryption: DesKey,
    authentication: DesKey,
}

impl LaneKeys {
    pub(crate) fn new(encryption: &SoftKey, authentication: &SoftKey) -> Result<Self, HsmError> {
        let [encryption, authentication] = [encryption, authentication]
            .map(|key| DesKey::new(key.expose().expose()).map_err(|_| HsmError::KeyLength));
        Ok(Self { encryption: encryption?, authentication: authentication? })
    }
}

/// What became of a block.
pub(crate) type Opened = Result<Zeroizing<[u8; PAYLOAD_MAX]>, HsmError>;

/// A block of version 0 under way: its CBC-MAC, a cipher block in every pass, then all key data in one.
#[derive(Debug)]
pub(crate) struct InLanes {
    pub(crate) sealed: Sealed,
    keys: Rc<LaneKeys>,
    /// Of the MAC; nothing of it is secret.
    link: u64,
    /// Cipher blocks that the MAC covers so far.
    next: usize,
    /// Its first job of the pass.
    job: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Proving,
    Decrypting,
    Done,
}

impl InLanes {
    pub(crate) fn new(sealed: Sealed, keys: &Rc<LaneKeys>) -> Self {
        Self { sealed, keys: Rc::clone(keys), link: 0, next: 0, job: 0, state: State::Proving }
    }

    fn word(&self, text: &[u8], index: usize) -> u64 {
        u64::from_be_bytes(self.sealed.block(text, index))
    }

    /// The jobs of the next pass.
    #[inline]
    pub(crate) fn give(&mut self, text: &[u8], jobs: &mut Jobs) {
        self.job = jobs.len();
        match self.state {
            State::Proving => {
                let block = self.link ^ self.word(text, self.next);
                jobs.push(|| self.keys.authentication.job(block, Direction::Encrypt));
            }
            State::Decrypting => {
                for index in self.sealed.header::<8>()..self.sealed.count::<8>() {
                    jobs.push(|| self.keys.encryption.job(self.word(text, index), Direction::Decrypt));
                }
            }
            State::Done => {}
        }
    }

    /// Takes the results of a pass: the key data when it is there, or a refusal.
    #[inline]
    pub(crate) fn take(&mut self, text: &[u8], jobs: &[Job]) -> Option<Opened> {
        match self.state {
            State::Proving => {
                self.link = jobs.get(self.job)?.block();
                self.next = self.next.saturating_add(1);
                if self.next < self.sealed.count::<8>() {
                    return None;
                }
                if self.sealed.is_proved(text, &self.link.to_be_bytes()) {
                    self.state = State::Decrypting;
                    return None;
                }
                self.state = State::Done;
                Some(Err(BlockFault::Authentication.into()))
            }
            State::Decrypting => {
                self.state = State::Done;
                let mut data = Zeroizing::new([0; PAYLOAD_MAX]);
                // The initial value is the first block of the header.
                let mut before = self.word(text, 0);
                let (words, _) = data.as_chunks_mut::<8>();
                let results = jobs.get(self.job..).unwrap_or_default();
                for (n, (word, job)) in (0..self.sealed.payload::<8>()).zip(words.iter_mut().zip(results)) {
                    *word = (job.block() ^ before).to_be_bytes();
                    before = self.word(text, self.sealed.header::<8>().saturating_add(n));
                }
                Some(Ok(data))
            }
            State::Done => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::block::BlockLmk;
    use crate::{LmkSet, Options, RandomSource, Simulator};
    use core::task::{Context, Poll, Waker};
    use hsm::{BlockAttributes, Hsm, HsmError, Key, KeyToken, KeyType, LmkId, Scheme, SealAs};
    use paytypes::{CipherKind, Exportability, KeyShape, KeyUsage, KeyVersion, ModeOfUse};
    use proptest::prelude::*;

    fn all<T>(sim: &mut Simulator, hsm: &Hsm, tasks: Vec<impl Future<Output = T>>) -> Vec<T> {
        let mut tasks: Vec<_> = tasks.into_iter().map(Box::pin).collect();
        let mut done: Vec<Option<T>> = tasks.iter().map(|_| None).collect();
        loop {
            for (task, done) in tasks.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
                if let Poll::Ready(value) = task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    *done = Some(value);
                }
            }
            if done.iter().all(Option::is_some) {
                return done.into_iter().flatten().collect();
            }
            hsm.run(sim);
        }
    }

    fn simulator() -> Simulator {
        Simulator::new(&LmkSet::public_test(), Options { random: RandomSource::seeded(9) }).unwrap()
    }

    // Blocks of both versions with keys of every length, some with optional blocks.
    fn blocks(sim: &mut Simulator) -> Vec<(u8, Vec<u8>)> {
        let hsm = Hsm::with_cache(0);
        let shapes =
            [(CipherKind::Tdes, 16), (CipherKind::Tdes, 24), (CipherKind::Aes, 16), (CipherKind::Aes, 32)];
        let wanted = (1..=2u8).flat_map(|lmk| shapes.map(|shape| (lmk, shape)));
        let wanted = wanted.flat_map(|of| [(of, ""), (of, "000500"), (of, "050Dsome text03112026:01:31:23")]);
        let make = |((lmk, (kind, length)), optional): ((u8, (CipherKind, usize)), &'static str)| {
            let hsm = hsm.clone();
            async move {
                let key = hsm.generate(KeyShape { kind, length }).await.unwrap();
                let attributes = BlockAttributes {
                    usage: KeyUsage(*b"P0"),
                    mode: ModeOfUse::BOTH,
                    version: KeyVersion::UNUSED,
                    exportability: Exportability::EXPORTABLE,
                };
                let optional_count =
                    [0, 1, 2][usize::from(!optional.is_empty()) + usize::from(optional.len() > 6)];
                let optional = optional.replace("000500", "0005T").into_bytes();
                let form = SealAs::Block { attributes, optional_count, optional };
                (lmk, hsm.seal(LmkId(lmk), &key, form).await.unwrap().text().to_vec())
            }
        };
        let made: Vec<_> = wanted.map(make).collect();
        all(sim, &hsm, made)
    }

    // One alone, by the formulas of `tr31`.
    fn alone(lmks: &[(u8, BlockLmk)], lmk: u8, text: &[u8]) -> Result<Vec<u8>, HsmError> {
        let (_, lmk) = lmks.iter().find(|(id, _)| *id == lmk).unwrap();
        lmk.open(text).map(|(clear, ..)| clear.expose().to_vec())
    }

    fn lmks() -> Vec<(u8, BlockLmk)> {
        let set = LmkSet::public_test();
        let kinds = [(1, CipherKind::Tdes), (2, CipherKind::Aes)];
        let lmk = |(id, kind)| {
            let secret = set.iter().find(|secret| secret.id == LmkId(id)).unwrap();
            (id, BlockLmk::new(LmkId(id), kind, secret.clear.expose()).unwrap())
        };
        kinds.map(lmk).into()
    }

    fn beside_each_other(sim: &mut Simulator, texts: &[(u8, Vec<u8>)]) -> Vec<Result<Vec<u8>, HsmError>> {
        let hsm = Hsm::with_cache(0);
        let open = |(lmk, text): &(u8, Vec<u8>)| {
            let (hsm, lmk, token) = (hsm.clone(), LmkId(*lmk), KeyToken::new(Scheme::S, text));
            async move {
                let key: Result<Key, HsmError> = hsm.open(lmk, KeyType::FROM_BLOCK, &token).await;
                Ok(hsm.reveal(&key?).await.unwrap().expose().to_vec())
            }
        };
        let tasks: Vec<_> = texts.iter().map(open).collect();
        all(sim, &hsm, tasks)
    }

    #[test]
    fn every_block_opens_alone_and_beside_others() {
        let mut sim = simulator();
        let blocks = blocks(&mut sim);
        assert_eq!(blocks.len(), 24);
        let opened = beside_each_other(&mut sim, &blocks);
        for ((lmk, text), opened) in blocks.iter().zip(opened) {
            assert!(opened.is_ok(), "{}", String::from_utf8_lossy(text));
            assert_eq!(opened, alone(&lmks(), *lmk, text));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        // Some are changed somewhere, cut, or under the other LMK; what becomes of each is what would alone.
        #[test]
        fn a_broken_block_is_refused_and_disturbs_nobody(
            picks in prop::collection::vec((0usize..24, 0u8..8, any::<prop::sample::Index>(), b'0'..=b'G'), 1..80),
        ) {
            let mut sim = simulator();
            let blocks = blocks(&mut sim);
            let broken = |(which, how, at, to): &(usize, u8, prop::sample::Index, u8)| {
                let (mut lmk, mut text) = blocks[*which].clone();
                match how {
                    0..4 => {}
                    4 | 5 => {
                        let at = at.index(text.len());
                        text[at] = *to;
                    }
                    6 => text.truncate(at.index(text.len())),
                    _ => lmk = 3 - lmk,
                }
                (lmk, text)
            };
            let texts: Vec<(u8, Vec<u8>)> = picks.iter().map(broken).collect();
            let (opened, lmks) = (beside_each_other(&mut sim, &texts), lmks());
            for ((lmk, text), opened) in texts.iter().zip(opened) {
                let expected = alone(&lmks, *lmk, text);
                prop_assert_eq!(opened, expected, "{} {}", lmk, String::from_utf8_lossy(text));
            }
        }
    }
}
