//! The DES work of a whole batch of operations, cut into passes of the lanes. Operations of one pass (ECB, CBC
//! decryption, the parts of keys under a variant LMK) take one; chains give one block to every pass until
//! they end. Nothing waits for more work than the batch brings.

use crate::chain::Chain;
use crate::material::Material;
use core::ops::Range;
use hsm::{HsmError, Op, OpBatch, Outcome};
use paytypes::{CipherError, Direction, MacAlgorithm, bytes};
use tdes_lanes::{Job, Lanes};
use zeroize::Zeroizing;

/// What became of an operation when it was looked at.
pub(crate) enum Begun {
    /// It is done.
    Answer(Outcome),
    /// Its jobs, one for each part of a key, were given with [`Gather::parts`].
    Parts,
    /// It goes through the lanes.
    Work(Work),
}

/// Work that goes through the lanes.
#[derive(Debug)]
pub(crate) enum Work {
    /// Blocks that do not depend on each other; CBC decryption XORs with what stood before them.
    Blocks { way: Direction, chained: bool },
    /// Blocks that do.
    Chain(Chain),
    /// Parts of a key, whose jobs are there already.
    Parts,
}

#[derive(Debug)]
struct Task {
    op: usize,
    work: Work,
    jobs: Range<usize>,
}

/// Tasks of one batch and the jobs of one pass; memory is kept from batch to batch.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    lanes: Lanes,
    tasks: Vec<Task>,
    jobs: Vec<Job>,
    parts: Range<usize>,
}

/// ECB: at once for AES, through the lanes for DES keys.
pub(crate) fn begin_ecb(material: &Material, way: Direction, data: &mut [u8]) -> Result<Begun, HsmError> {
    match material {
        Material::Aes(key) => {
            key.ecb(way, data)?;
            Ok(Begun::Answer(Outcome::Done))
        }
        Material::Tdes(_) => blocks(way, false, data),
    }
}

/// CBC: at once for AES, through the lanes for DES keys.
pub(crate) fn begin_cbc(
    material: &Material,
    way: Direction,
    iv: &[u8],
    data: &mut [u8],
) -> Result<Begun, HsmError> {
    match (material, way) {
        (Material::Aes(key), _) => {
            key.cbc(way, iv, data)?;
            Ok(Begun::Answer(Outcome::Done))
        }
        (Material::Tdes(_), Direction::Decrypt) if iv.len() == 8 => blocks(way, true, data),
        (Material::Tdes(_), _) => {
            let chain = Chain::cbc(iv, data)?;
            Ok(chain.map_or(Begun::Answer(Outcome::Done), |chain| Begun::Work(Work::Chain(chain))))
        }
    }
}

/// A MAC: at once for AES, through the lanes for DES keys.
pub(crate) fn begin_mac(
    material: &Material,
    algorithm: MacAlgorithm,
    iv: &[u8],
    data: &[u8],
) -> Result<Begun, HsmError> {
    match material {
        Material::Aes(key) => Ok(Begun::Answer(Outcome::Mac(key.mac(algorithm, iv, data)?))),
        Material::Tdes(_) => Ok(match Chain::mac(algorithm, iv, data)? {
            Ok(chain) => Begun::Work(Work::Chain(chain)),
            Err(value) => Begun::Answer(Outcome::Mac(value)),
        }),
    }
}

fn blocks(way: Direction, chained: bool, data: &[u8]) -> Result<Begun, HsmError> {
    match data.len() {
        0 => Ok(Begun::Answer(Outcome::Done)),
        n if n.is_multiple_of(8) => Ok(Begun::Work(Work::Blocks { way, chained })),
        _ => Err(HsmError::Cipher(CipherError::DataLength)),
    }
}

impl Gather {
    /// Takes the jobs of the parts of a key for the first pass; [`Gather::add`] follows.
    pub(crate) fn parts(
        &mut self,
        give: impl FnOnce(&mut Vec<Job>) -> Result<(), HsmError>,
    ) -> Result<(), HsmError> {
        let start = self.jobs.len();
        let given = give(&mut self.jobs);
        if given.is_err() {
            self.jobs.truncate(start);
        }
        self.parts = start..self.jobs.len();
        given
    }

    /// Takes the work of an operation.
    pub(crate) fn add(&mut self, op: usize, work: Work) {
        let jobs = core::mem::take(&mut self.parts);
        self.tasks.push(Task { op, work, jobs });
    }

    /// Runs passes until every task is done. `end_parts` makes something of the parts of a key.
    pub(crate) fn run(
        &mut self,
        ops: &mut OpBatch,
        end_parts: impl Fn(&Op, &[u8]) -> Result<Outcome, HsmError>,
    ) {
        while !self.tasks.is_empty() {
            for task in &mut self.tasks {
                task.give(ops, &mut self.jobs);
            }
            self.lanes.run(&mut self.jobs);
            let jobs = &self.jobs;
            self.tasks.retain_mut(|task| !task.take(ops, jobs, &end_parts));
            self.jobs.clear();
        }
    }
}

impl Task {
    fn give(&mut self, ops: &mut OpBatch, jobs: &mut Vec<Job>) {
        let Some(view) = ops.view(self.op) else { return };
        let start = jobs.len();
        match (&self.work, key_of(view.op)) {
            (Work::Parts, _) | (_, None) => return,
            (Work::Blocks { way, .. }, Some(key)) => {
                let blocks = view.data.as_chunks::<8>().0.iter();
                jobs.extend(blocks.filter_map(|b| key.job(u64::from_be_bytes(*b), *way)));
            }
            (Work::Chain(chain), Some(key)) => jobs.extend(chain.job(key, view.data)),
        }
        self.jobs = start..jobs.len();
    }

    // True when the operation is answered.
    fn take(
        &mut self,
        ops: &mut OpBatch,
        jobs: &[Job],
        end_parts: &impl Fn(&Op, &[u8]) -> Result<Outcome, HsmError>,
    ) -> bool {
        let Some(view) = ops.view(self.op) else { return true };
        let jobs = jobs.get(self.jobs.clone()).unwrap_or_default();
        let answer = match &mut self.work {
            // Without a job there is no result: the key is not ours.
            _ if jobs.is_empty() => Err(HsmError::Backend),
            Work::Blocks { chained, .. } => {
                store(jobs, view.iv, view.data, *chained);
                Ok(Outcome::Done)
            }
            Work::Chain(chain) => match jobs.first().and_then(|job| chain.take(job.block(), view.data)) {
                Some(outcome) => Ok(outcome),
                None => return false,
            },
            Work::Parts => {
                let mut parts = Zeroizing::new([[0u8; 8]; 3]);
                for (part, job) in parts.iter_mut().zip(jobs) {
                    *part = job.block().to_be_bytes();
                }
                end_parts(view.op, parts.get(..jobs.len()).unwrap_or_default().as_flattened())
            }
        };
        *view.outcome = Some(answer);
        true
    }
}

fn key_of(op: &Op) -> Option<&crate::material::TdesKey> {
    let (Op::Ecb { key, .. } | Op::Cbc { key, .. } | Op::Mac { key, .. }) = op else { return None };
    match Material::of(key) {
        Ok(Material::Tdes(key)) => Some(key),
        _ => None,
    }
}

fn store(jobs: &[Job], iv: &[u8], data: &mut [u8], chained: bool) {
    let mut before: [u8; 8] = bytes::left(iv);
    for (block, job) in data.as_chunks_mut::<8>().0.iter_mut().zip(jobs) {
        let mut result = job.block().to_be_bytes();
        if chained {
            bytes::xor_into(&mut result, &before);
            before = *block;
        }
        *block = result;
    }
}
