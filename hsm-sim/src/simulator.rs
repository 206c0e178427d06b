//! The backend: answers batches of operations with keys in memory. DES work of a batch goes through the lanes
//! together (`gather`); AES work is done in turn, with schedules that are kept.

use crate::block::BlockLmk;
use crate::gather::{Begun, Gather};
use crate::lmk::{LmkKind, LmkSet};
use crate::made::{self, session_key};
use crate::material::Material;
use crate::random::RandomSource;
use crate::variant::VariantLmk;
use hsm::{
    Backend, BackendClass, HsmError, Key, LmkId, LmkInfo, LmkPair, LmkPurpose, Op, OpBatch, Outcome, Scheme,
    SealAs, ToOpen,
};
use paytypes::parity::{Weakness, make_odd, weakness};
use paytypes::secret::KEY_LENGTH_MAX;
use paytypes::{CipherKind, KeyShape, bytes, hex};
use zeroize::Zeroizing;

/// How a simulator is set up.
#[derive(Debug)]
pub struct Options {
    /// Randomness.
    pub random: RandomSource,
}

impl Default for Options {
    fn default() -> Self {
        Self { random: RandomSource::System }
    }
}

#[derive(Debug)]
enum Lmk {
    Variant(VariantLmk),
    Block(Box<BlockLmk>),
}

impl Lmk {
    fn block(id: LmkId, kind: CipherKind, clear: &[u8]) -> Result<Self, HsmError> {
        Ok(Self::Block(Box::new(BlockLmk::new(id, kind, clear)?)))
    }
}

/// The software HSM of one thread.
pub struct Simulator {
    infos: Vec<LmkInfo>,
    lmks: Vec<(LmkId, Lmk)>,
    random: RandomSource,
    gather: Gather,
}

impl core::fmt::Debug for Simulator {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Simulator({:?})", self.infos)
    }
}

impl Simulator {
    /// Over a set of LMKs. A seeded random source is refused without a test LMK.
    pub fn new(set: &LmkSet, options: Options) -> Result<Self, HsmError> {
        if matches!(options.random, RandomSource::Seeded(_)) && !set.is_test() {
            return Err(HsmError::Backend);
        }
        let mut lmks = Vec::new();
        for secret in set.iter() {
            let clear = secret.clear.expose();
            let lmk = match secret.kind {
                LmkKind::Variant => Lmk::Variant(VariantLmk::new(clear)?),
                LmkKind::TdesBlock => Lmk::block(secret.id, CipherKind::Tdes, clear)?,
                LmkKind::AesBlock => Lmk::block(secret.id, CipherKind::Aes, clear)?,
            };
            lmks.push((secret.id, lmk));
        }
        Ok(Self {
            infos: set.iter().map(crate::LmkSecret::info).collect(),
            lmks,
            random: options.random,
            gather: Gather::default(),
        })
    }

    // Answers at once, or gives the work that goes through the lanes.
    #[inline]
    fn begin(&mut self, index: usize, op: &Op, iv: &[u8], data: &mut [u8]) -> Result<Begun, HsmError> {
        Ok(Begun::Answer(match op {
            // Answered where key tokens stand apart.
            Op::Open { .. } => return Err(HsmError::Backend),
            Op::Seal { lmk, key, form } => return self.seal(*lmk, key, form),
            Op::Ecb { key, way } => return self.gather.ecb(Material::of(key)?, *way, data),
            Op::Cbc { key, way } => return self.gather.cbc(Material::of(key)?, *way, iv, data),
            Op::Mac { key, algorithm } => return self.gather.mac(Material::of(key)?, *algorithm, iv, data),
            Op::Dukpt { base, enciphered } => {
                return self.gather.dukpt(index, Material::of(base)?, iv, data, *enciphered);
            }
            Op::Generate { shape } => Outcome::Key(self.generate(*shape)?),
            Op::Random => {
                self.random.fill(data)?;
                Outcome::Done
            }
            Op::Load { kind } => Outcome::Key(session_key(*kind, data)?),
            Op::Variant { key } => Outcome::Key(masked(key, data)?),
            Op::Reveal { key } => Outcome::Clear(Box::new(Material::of(key)?.expose()?)),
            Op::LmkKey { lmk, purpose } => Outcome::Key(self.lmk_key(*lmk, *purpose)?),
        }))
    }

    fn open_all(&mut self, ops: &mut OpBatch) {
        for index in 0..ops.tokens() {
            let Some(token) = ops.token(index) else { continue };
            if !self.gather.is_like_others(index, &token)
                && let Some(answer) = self.open(index, &token).transpose()
            {
                ops.answer_token(index, answer);
            }
        }
        if let Some((id, key_type, scheme)) = self.gather.kind()
            && let Ok(Lmk::Variant(lmk)) = find(&mut self.lmks, id)
            && let Ok(keys) = lmk.keys(key_type, scheme)
        {
            self.gather.open_kind(key_type, keys, ops);
        }
    }

    // A key that is there at once; `None` when the gathering knows of it.
    fn open(&mut self, index: usize, token: &ToOpen<'_>) -> Result<Option<Key>, HsmError> {
        let ToOpen { lmk, key_type, scheme, text } = *token;
        if scheme == Scheme::K || text.first() == Some(&b'K') {
            return Err(HsmError::EmptyIndex);
        }
        match find(&mut self.lmks, lmk)? {
            Lmk::Variant(lmk) => {
                let keys = lmk.keys(key_type, scheme)?;
                let parts = parts_of(text, keys.len())?;
                self.gather.open(index, token, keys, parts);
            }
            Lmk::Block(lmk) if scheme == Scheme::S => match lmk.look(index, text)? {
                Some(sealed) => self.gather.sealed(sealed, &lmk.many, text),
                None => return made::key_from_block(lmk.open(text)?).map(Some),
            },
            Lmk::Block(_) => return Err(HsmError::Scheme),
        }
        Ok(None)
    }

    fn seal(&mut self, id: LmkId, key: &Key, form: &SealAs) -> Result<Begun, HsmError> {
        let material = Material::of(key)?;
        let random = &mut self.random;
        match (find(&mut self.lmks, id)?, form) {
            (Lmk::Variant(lmk), SealAs::Variant { scheme, key_type }) => {
                let clear = material.expose()?;
                let keys = lmk.keys(*key_type, *scheme)?;
                let (words, []) = clear.expose().as_chunks::<8>() else { return Err(HsmError::KeyLength) };
                if words.len() != keys.len() {
                    return Err(HsmError::KeyLength);
                }
                Ok(self.gather.seal(keys.iter().zip(words)))
            }
            (Lmk::Block(lmk), SealAs::Block { attributes, optional_count, optional }) => {
                let token = lmk.seal(material, attributes, *optional_count, optional, random)?;
                Ok(Begun::Answer(Outcome::Token(Box::new(token))))
            }
            _ => Err(HsmError::Scheme),
        }
    }

    fn generate(&mut self, shape: KeyShape) -> Result<Key, HsmError> {
        if !shape.kind.takes(shape.length) {
            return Err(HsmError::KeyLength);
        }
        let mut clear = Zeroizing::new([0; KEY_LENGTH_MAX]);
        let room = clear.get_mut(..shape.length).ok_or(HsmError::KeyLength)?;
        loop {
            self.random.fill(room)?;
            if shape.kind == CipherKind::Aes {
                break;
            }
            make_odd(room);
            if weakness(room) == Weakness::None {
                break;
            }
        }
        session_key(shape.kind, room)
    }

    fn lmk_key(&mut self, id: LmkId, purpose: LmkPurpose) -> Result<Key, HsmError> {
        let (kind, clear) = match find(&mut self.lmks, id)? {
            Lmk::Variant(lmk) => {
                // Pair 02-03 wraps PINs; decimalisation tables are type 104: variant 1 of pair 18-19.
                let key = match purpose {
                    LmkPurpose::PinStorage => lmk.pair(LmkPair(1), 0)?,
                    LmkPurpose::DecimalisationTable => lmk.pair(LmkPair(9), 1)?,
                };
                (CipherKind::Tdes, key.expose().map_err(|_| HsmError::KeyLength)?)
            }
            Lmk::Block(lmk) => lmk.working_key(purpose)?,
        };
        session_key(kind, clear.expose())
    }
}

impl Backend for Simulator {
    fn takes_apart(&self) -> bool {
        true
    }

    fn run(&mut self, ops: &mut OpBatch) {
        self.gather.single_blocks(ops);
        self.open_all(ops);
        for index in 0..ops.len() {
            let Some(view) = ops.view(index) else { continue };
            match self.begin(index, view.op, view.iv, view.data) {
                Ok(Begun::Answer(outcome)) => *view.outcome = Some(Ok(outcome)),
                Err(error) => *view.outcome = Some(Err(error)),
                Ok(Begun::Work(work)) => self.gather.add(index, work),
                Ok(Begun::Noted) => {}
            }
        }
        self.gather.run(ops);
    }

    fn lmks(&self) -> &[LmkInfo] {
        &self.infos
    }

    fn class(&self) -> BackendClass {
        BackendClass::C
    }
}

fn find(lmks: &mut [(LmkId, Lmk)], id: LmkId) -> Result<&mut Lmk, HsmError> {
    lmks.iter_mut().find(|(known, _)| *known == id).map(|(_, lmk)| lmk).ok_or(HsmError::NoSuchLmk)
}

// The parts of a key as they are wrapped under a variant LMK; behind `count` of them there is nothing.
fn parts_of(text: &[u8], count: usize) -> Result<[u64; 3], HsmError> {
    if !hex::is_hex(text) {
        return Err(HsmError::Token);
    }
    match text.as_chunks::<16>() {
        (words, []) if words.len() == count => {
            let mut parts = [0; 3];
            parts.iter_mut().zip(words).for_each(|(part, word)| *part = hex::word_of(word));
            Ok(parts)
        }
        _ => Err(HsmError::Token),
    }
}

fn masked(key: &Key, mask: &[u8]) -> Result<Key, HsmError> {
    let material = Material::of(key)?;
    let mut clear = material.expose()?;
    if mask.len() != clear.len() {
        return Err(HsmError::KeyLength);
    }
    bytes::xor_into(clear.expose_mut(), mask);
    session_key(material.shape().kind, clear.expose())
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};
    use hsm::{BlockAttributes, BlockFault, Hsm, Hygiene, KeyToken, KeyType};
    use paytypes::{Exportability, KeyUsage, KeyVersion, ModeOfUse};

    fn drive<T>(sim: &mut Simulator, hsm: Hsm, task: impl AsyncFnOnce(Hsm) -> T) -> T {
        let mut future = pin!(task(hsm.clone()));
        loop {
            match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(value) => return value,
                Poll::Pending => hsm.run(sim),
            }
        }
    }

    fn simulator() -> Simulator {
        Simulator::new(&LmkSet::public_test(), Options { random: RandomSource::seeded(1) }).unwrap()
    }

    const FORM: SealAs = SealAs::Block {
        attributes: BlockAttributes {
            usage: KeyUsage(*b"P0"),
            mode: ModeOfUse::BOTH,
            version: KeyVersion::UNUSED,
            exportability: Exportability::EXPORTABLE,
        },
        optional_count: 0,
        optional: Vec::new(),
    };

    #[test]
    fn every_kind_of_lmk_seals_and_opens() {
        for cache in [0, 1 << 20] {
            let mut sim = simulator();
            drive(&mut sim, Hsm::with_cache(cache), async |hsm| {
                let key = hsm.generate(KeyShape { kind: CipherKind::Tdes, length: 16 }).await.unwrap();
                let clear = hsm.reveal(&key).await.unwrap();
                let variant = SealAs::Variant { scheme: Scheme::U, key_type: KeyType::ZPK };
                for (id, form) in [(0, variant), (1, FORM), (2, FORM)] {
                    let token = hsm.seal(LmkId(id), &key, form).await.unwrap();
                    for _ in 0..2 {
                        let again = hsm.open(LmkId(id), KeyType::ZPK, &token).await.unwrap();
                        assert!(hsm.reveal(&again).await.unwrap().same_as(&clear));
                        assert_eq!(again.attributes().hygiene, Hygiene::GOOD);
                    }
                }
            });
        }
    }

    #[test]
    fn refusals() {
        let mut sim = simulator();
        drive(&mut sim, Hsm::new(), async |hsm| {
            let key = hsm.generate(KeyShape { kind: CipherKind::Aes, length: 16 }).await.unwrap();
            let block = hsm.seal(LmkId(2), &key, FORM).await.unwrap();
            let open = async |id, token: &KeyToken| hsm.open(LmkId(id), KeyType::ZPK, token).await.err();
            assert_eq!(open(9, &block).await, Some(HsmError::NoSuchLmk));
            assert_eq!(open(0, &block).await, Some(HsmError::Scheme));
            assert_eq!(open(1, &block).await, Some(BlockFault::Authentication.into()));
            assert_eq!(open(2, &KeyToken::new(Scheme::U, &[b'0'; 32])).await, Some(HsmError::Scheme));
            assert_eq!(open(0, &KeyToken::new(Scheme::U, &[b'x'; 32])).await, Some(HsmError::Token));
            assert_eq!(open(0, &KeyToken::new(Scheme::K, b"123")).await, Some(HsmError::EmptyIndex));
            let odd = hsm.generate(KeyShape { kind: CipherKind::Tdes, length: 15 }).await;
            assert_eq!(odd.err(), Some(HsmError::KeyLength));
        });
        assert!(Simulator::new(&LmkSet::default(), Options { random: RandomSource::seeded(1) }).is_err());
    }
}
