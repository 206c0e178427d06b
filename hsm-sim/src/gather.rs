//! The DES work of a whole batch of operations, cut into passes of the lanes. Operations of one pass (ECB, CBC
//! decryption, the parts of keys under a variant LMK) take one; chains give one block to every pass until
//! they end. Nothing waits for more work than the batch brings.

use crate::block::ForMany;
use crate::chain::Chain;
use crate::dukpt::Derivation;
use crate::halves::{Halves, Kind};
use crate::jobs::Jobs;
use crate::made;
use crate::material::{LaneKey, Material};
use crate::sealed::{InLanes, Sealed};
use crate::together::{AesKeys, TOGETHER, open_together};
use core::ops::Range;
use hsm::{Binding, HsmError, KeyType, Op, OpBatch, Outcome, ToOpen};
use paytypes::{CipherError, DesKey, Direction, MacAlgorithm, bytes};
use std::rc::Rc;
use tdes_lanes::{Job, Lanes};
use zeroize::Zeroizing;

/// Blocks that one pass of the lanes has room for on every machine.
const ONE_PASS: usize = 256;

/// What became of an operation when it was looked at.
pub(crate) enum Begun {
    /// It is done.
    Answer(Outcome),
    /// Its jobs of the first pass were given; [`Gather::add`] follows.
    Work(Work),
    /// Its jobs were given, and the gathering knows of it.
    Noted,
}

/// Work that goes through the lanes.
#[derive(Debug)]
pub(crate) enum Work {
    /// Blocks that do not depend on each other.
    Blocks,
    /// The same, to be XORed with what stood before them: CBC decryption.
    Chained,
    /// Blocks that do.
    Chain(Chain),
    /// Parts of a key.
    Parts,
}

#[derive(Debug)]
struct Task {
    op: usize,
    work: Work,
    jobs: Range<usize>,
}

/// A key under a variant LMK, whose parts are in these jobs.
#[derive(Clone, Copy, Debug)]
struct Parts {
    token: usize,
    key_type: KeyType,
    job: usize,
    count: usize,
}

/// Tasks of one batch and the jobs of one pass; memory is kept from batch to batch.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    lanes: Lanes,
    halves: Halves,
    opened: Vec<Parts>,
    tasks: Vec<Task>,
    derivations: Vec<Derivation>,
    in_lanes: Vec<InLanes>,
    /// Blocks of version 1, and of which LMK.
    aes: Vec<(Sealed, Rc<AesKeys>)>,
    /// In the first pass those of single blocks come first.
    jobs: Jobs,
    /// Jobs up to here belong to single blocks and tasks.
    taken: usize,
}

impl Gather {
    /// Takes the single blocks of a batch, before anything else of it.
    pub(crate) fn single_blocks(&mut self, ops: &mut OpBatch) {
        for op in ops.blocks() {
            match Material::of(op.key()) {
                Ok(Material::Tdes(key)) => {
                    self.jobs.push(|| key.job(u64::from_be_bytes(op.block()), op.way()));
                }
                Ok(Material::Aes(_)) => op.answer(Err(HsmError::Cipher(CipherError::DataLength))),
                Err(error) => op.answer(Err(error)),
            }
        }
        self.taken = self.jobs.len();
    }

    /// ECB: at once for AES, through the lanes for DES keys.
    #[inline]
    pub(crate) fn ecb(
        &mut self,
        material: Material<'_>,
        way: Direction,
        data: &mut [u8],
    ) -> Result<Begun, HsmError> {
        match material {
            Material::Aes(key) => {
                key.ecb(way, data)?;
                Ok(Begun::Answer(Outcome::Done))
            }
            Material::Tdes(key) => self.blocks(key, way, data, Work::Blocks),
        }
    }

    /// CBC: at once for AES, through the lanes for DES keys.
    pub(crate) fn cbc(
        &mut self,
        material: Material<'_>,
        way: Direction,
        iv: &[u8],
        data: &mut [u8],
    ) -> Result<Begun, HsmError> {
        match (material, way) {
            (Material::Aes(key), _) => {
                key.cbc(way, iv, data)?;
                Ok(Begun::Answer(Outcome::Done))
            }
            (Material::Tdes(key), Direction::Decrypt) if iv.len() == 8 => {
                self.blocks(key, way, data, Work::Chained)
            }
            (Material::Tdes(key), _) => Ok(match Chain::cbc(iv, data)? {
                Some(chain) => self.chain(chain, key, data),
                None => Begun::Answer(Outcome::Done),
            }),
        }
    }

    /// A MAC: at once for AES, through the lanes for DES keys.
    pub(crate) fn mac(
        &mut self,
        material: Material<'_>,
        algorithm: MacAlgorithm,
        iv: &[u8],
        data: &[u8],
    ) -> Result<Begun, HsmError> {
        match material {
            Material::Aes(key) => Ok(Begun::Answer(Outcome::Mac(key.mac(algorithm, iv, data)?))),
            Material::Tdes(key) => Ok(match Chain::mac(algorithm, iv, data)? {
                Ok(chain) => self.chain(chain, key, data),
                Err(value) => Begun::Answer(Outcome::Mac(value)),
            }),
        }
    }

    #[inline]
    fn blocks(&mut self, key: &DesKey, way: Direction, data: &[u8], work: Work) -> Result<Begun, HsmError> {
        match data.as_chunks::<8>() {
            ([], []) => return Ok(Begun::Answer(Outcome::Done)),
            (blocks, []) => {
                for block in blocks {
                    self.jobs.push(|| key.job(u64::from_be_bytes(*block), way));
                }
            }
            _ => return Err(HsmError::Cipher(CipherError::DataLength)),
        }
        Ok(Begun::Work(work))
    }

    fn chain(&mut self, chain: Chain, key: &DesKey, data: &[u8]) -> Begun {
        self.jobs.push(|| chain.job(key, data));
        Begun::Work(Work::Chain(chain))
    }

    /// Begins a working key of TDES DUKPT.
    pub(crate) fn dukpt(
        &mut self,
        op: usize,
        base: Material<'_>,
        ksn: &[u8],
        mask: &[u8],
        enciphered: bool,
    ) -> Result<Begun, HsmError> {
        let Material::Tdes(base) = base else { return Err(HsmError::KeyLength) };
        let begun = Derivation::begin(op, base, ksn, mask, enciphered, &mut self.jobs)?;
        self.derivations.push(begun);
        self.taken = self.jobs.len();
        Ok(Begun::Noted)
    }

    /// True when the token is like others that were begun, and is begun with them.
    #[inline]
    pub(crate) fn is_like_others(&mut self, index: usize, token: &ToOpen<'_>) -> bool {
        self.halves.takes(index, token)
    }

    /// Begins to open a key under a variant LMK: each part under its own key.
    pub(crate) fn open(&mut self, index: usize, token: &ToOpen<'_>, keys: &[DesKey], parts: [u64; 3]) {
        let [left, right, _] = parts;
        if keys.len() != 2 || !self.halves.begin(index, token, [left, right]) {
            self.open_parts(index, token.key_type, keys, parts);
        }
    }

    fn open_parts(&mut self, token: usize, key_type: KeyType, keys: &[DesKey], parts: [u64; 3]) {
        let job = self.jobs.len();
        keys.iter().zip(parts).for_each(|(key, part)| self.jobs.push(|| key.job(part, Direction::Decrypt)));
        self.taken = self.jobs.len();
        self.opened.push(Parts { token, key_type, job, count: keys.len() });
    }

    /// Which kind of keys was begun with [`Gather::is_like_others`], if any.
    pub(crate) const fn kind(&self) -> Option<Kind> {
        self.halves.kind()
    }

    /// Opens them under the keys of their kind: at once when they are many, and in the pass that is due anyway when
    /// that has room for them.
    pub(crate) fn open_kind(&mut self, key_type: KeyType, keys: &[DesKey], ops: &mut OpBatch) {
        let [left, right] = keys else { return };
        if self.halves.len().saturating_add(self.jobs.len()) > ONE_PASS {
            self.halves.open(&mut self.lanes, [left, right], ops);
        } else {
            let mut halves = core::mem::take(&mut self.halves);
            halves.few(|token, [l, r]| self.open_parts(token, key_type, keys, [l, r, 0]));
            self.halves = halves;
        }
    }

    /// Begins to wrap a key under a variant LMK: each part with the key for it.
    pub(crate) fn seal<'k>(&mut self, parts: impl Iterator<Item = (&'k DesKey, &'k [u8; 8])>) -> Begun {
        for (key, part) in parts {
            self.jobs.push(|| key.job(u64::from_be_bytes(*part), Direction::Encrypt));
        }
        Begun::Work(Work::Parts)
    }

    /// Begins a block that is opened beside others.
    pub(crate) fn sealed(&mut self, sealed: Sealed, keys: &ForMany, text: &[u8]) {
        match keys {
            ForMany::Aes(keys) => self.aes.push((sealed, Rc::clone(keys))),
            ForMany::Tdes(keys) => {
                let mut block = InLanes::new(sealed, keys);
                block.give(text, &mut self.jobs);
                self.taken = self.jobs.len();
                self.in_lanes.push(block);
            }
        }
    }

    // All blocks of version 1, which need no lanes.
    fn open_aes(&mut self, ops: &mut OpBatch) {
        type One = (Sealed, Rc<AesKeys>);
        let alike = |(a, of_a): &One, (b, of_b): &One| a.cut == b.cut && Rc::ptr_eq(of_a, of_b);
        for run in self.aes.chunk_by(alike) {
            for some in run.chunks(TOGETHER) {
                let Some((_, keys)) = some.first() else { continue };
                open_together(keys, some, ops);
            }
        }
        self.aes.clear();
    }

    /// Takes the work of an operation, whose jobs were given last.
    #[inline]
    pub(crate) fn add(&mut self, op: usize, work: Work) {
        let jobs = self.taken..self.jobs.len();
        self.taken = self.jobs.len();
        self.tasks.push(Task { op, work, jobs });
    }

    /// Answers everything that was begun: blocks of version 1 first, then passes until all is done.
    pub(crate) fn run(&mut self, ops: &mut OpBatch) {
        self.open_aes(ops);
        let mut deriving = self.derivations.len();
        while !(self.jobs.is_empty() && self.tasks.is_empty()) {
            self.lanes.run(&mut self.jobs);
            let jobs = &self.jobs;
            for (op, job) in ops.blocks().iter_mut().filter(|op| op.is_open()).zip(jobs.iter()) {
                op.answer(Ok(job.block().to_be_bytes()));
            }
            for Parts { token, key_type, job, count } in self.opened.drain(..) {
                let jobs = jobs.get(job..job.saturating_add(count)).unwrap_or_default();
                let key = key_of_jobs(jobs).map(|key| made::opened_tdes(key, Binding::Variant(key_type)));
                ops.answer_token(token, key);
            }
            self.tasks.retain_mut(|task| !task.take(ops, jobs));
            for derivation in &mut self.derivations {
                let Some(key) = derivation.take(jobs) else { continue };
                deriving = deriving.saturating_sub(1);
                if let Some(view) = ops.view(derivation.op()) {
                    let key = made::opened_tdes(DesKey::of_parts(*key, 2), Binding::Session);
                    *view.outcome = Some(Ok(Outcome::Key(key)));
                }
            }
            for block in &mut self.in_lanes {
                let Some(token) = ops.token(block.sealed.token) else { continue };
                if let Some(data) = block.take(token.text, jobs) {
                    let key = data.and_then(|data| made::key_of_block(&block.sealed, data.as_slice()));
                    ops.answer_token(block.sealed.token, key);
                }
            }
            self.jobs.clear();
            // What is left are chains: each gives its next block.
            for task in &mut self.tasks {
                task.give(ops, &mut self.jobs);
            }
            for block in &mut self.in_lanes {
                if let Some(token) = ops.token(block.sealed.token) {
                    block.give(token.text, &mut self.jobs);
                }
            }
            if deriving > 0 {
                self.derivations.iter_mut().for_each(|derivation| derivation.give(&mut self.jobs));
            }
        }
        self.derivations.clear();
        self.in_lanes.clear();
        self.taken = 0;
    }
}

impl Task {
    fn give(&mut self, ops: &mut OpBatch, jobs: &mut Jobs) {
        let start = jobs.len();
        if let Some(view) = ops.view(self.op)
            && let (Work::Chain(chain), Some(key)) = (&self.work, key_of(view.op))
        {
            jobs.push(|| chain.job(key, view.data));
        }
        self.jobs = start..jobs.len();
    }

    // True when the operation is answered.
    #[inline]
    fn take(&mut self, ops: &mut OpBatch, jobs: &[Job]) -> bool {
        let Some(view) = ops.view(self.op) else { return true };
        let jobs = jobs.get(self.jobs.clone()).unwrap_or_default();
        let answer = match (&mut self.work, jobs) {
            // Without a job there is no result: the key is not ours.
            (_, []) => Err(HsmError::Backend),
            (Work::Blocks, jobs) => {
                for (block, job) in view.data.as_chunks_mut::<8>().0.iter_mut().zip(jobs) {
                    *block = job.block().to_be_bytes();
                }
                Ok(Outcome::Done)
            }
            (Work::Chained, jobs) => {
                store_chained(jobs, view.iv, view.data);
                Ok(Outcome::Done)
            }
            (Work::Chain(chain), [job, ..]) => match chain.take(job.block(), view.data) {
                Some(outcome) => Ok(outcome),
                None => return false,
            },
            (Work::Parts, jobs) => {
                let mut parts = Zeroizing::new([[0u8; 8]; 3]);
                for (part, job) in parts.iter_mut().zip(jobs) {
                    *part = job.block().to_be_bytes();
                }
                made::token_of_parts(view.op, parts.get(..jobs.len()).unwrap_or_default().as_flattened())
            }
        };
        *view.outcome = Some(answer);
        true
    }
}

// The key whose parts came out.
#[inline]
fn key_of_jobs(jobs: &[Job]) -> Result<DesKey, HsmError> {
    match jobs {
        // By far the most frequent, without a loop.
        [left, right] => Ok(DesKey::of_parts([left.block(), right.block(), 0], 2)),
        [] => Err(HsmError::Backend),
        jobs => {
            let mut parts = Zeroizing::new([0; 3]);
            parts.iter_mut().zip(jobs).for_each(|(part, job)| *part = job.block());
            Ok(DesKey::of_parts(*parts, jobs.len()))
        }
    }
}

fn key_of(op: &Op) -> Option<&DesKey> {
    let (Op::Ecb { key, .. } | Op::Cbc { key, .. } | Op::Mac { key, .. }) = op else { return None };
    match Material::of(key) {
        Ok(Material::Tdes(key)) => Some(key),
        _ => None,
    }
}

fn store_chained(jobs: &[Job], iv: &[u8], data: &mut [u8]) {
    let mut before: [u8; 8] = bytes::left(iv);
    for (block, job) in data.as_chunks_mut::<8>().0.iter_mut().zip(jobs) {
        let mut result = job.block().to_be_bytes();
        bytes::xor_into(&mut result, &before);
        before = *block;
        *block = result;
    }
}
