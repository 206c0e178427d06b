//! Cutting jobs into passes.

use crate::engine::{Engine, Narrow, Wide};
use crate::job::{Direction, Job, Needs};
use crate::queue::Queue;
use crate::scratch::Scratch;
use core::fmt;
use zeroize::zeroize_stack;

/// From how many waiting jobs a pass of 512 lanes is used: as soon as one of 256 cannot take them all. It
/// takes longer than one of 256 but much less than two (3.7 against 3.2 us where it was measured, and by the
/// number of vector units at most 1.5 times as long elsewhere); see `benches/`.
const WIDE_FROM: usize = 257;

/// What a pass may leave on the stack below us: the registers that its code puts aside.
const STACK_BYTES: usize = 1024;

/// The lanes of one thread: working memory for a pass, allocated and fitted to the CPU once.
pub struct Lanes {
    narrow: Narrow,
    narrow_scratch: Box<Scratch<4>>,
    wide: Option<(Wide, Box<Scratch<8>>)>,
    wide_from: usize,
    /// Position of the job in each lane.
    positions: [usize; 512],
}

impl Lanes {
    /// Lanes on the best code that this CPU can run.
    pub fn new() -> Self {
        Self::on(Narrow::best(), Wide::new(), WIDE_FROM)
    }

    /// Lanes on one engine only, for tests and measurements; `None` if the CPU cannot run it.
    pub fn with_engine(engine: Engine) -> Option<Self> {
        match engine {
            Engine::Avx512 => Wide::new().map(|wide| Self::on(Narrow::best(), Some(wide), 0)),
            _ => Narrow::new(engine).map(|narrow| Self::on(narrow, None, 0)),
        }
    }

    fn on(narrow: Narrow, wide: Option<Wide>, wide_from: usize) -> Self {
        let wide = wide.map(|wide| (wide, Scratch::new()));
        Self { narrow, narrow_scratch: Scratch::new(), wide, wide_from, positions: [0; 512] }
    }

    /// Runs all jobs: afterwards each block is its result. Any number of jobs, keys and directions mixed as
    /// they come; nothing is allocated, and nothing of a key or block is left in the working memory.
    pub fn run(&mut self, jobs: &mut [Job]) {
        let mut queue = Queue::new(jobs);
        let (mut narrow_used, mut wide_used) = (false, false);
        while queue.len() > 0 {
            match &mut self.wide {
                Some((wide, scratch)) if queue.len() >= self.wide_from => {
                    pass(scratch, &mut self.positions, &mut queue, jobs, |scratch| wide.compute(scratch));
                    wide_used = true;
                }
                _ => {
                    let narrow = self.narrow;
                    let scratch = &mut self.narrow_scratch;
                    pass(scratch, &mut self.positions, &mut queue, jobs, |scratch| narrow.compute(scratch));
                    narrow_used = true;
                }
            }
        }
        self.wipe(narrow_used, wide_used);
    }

    /// Runs blocks of two-key TDES under two keys in turn: those at even places under the first, those at odd places
    /// under the second. Each block becomes its result. What [`Lanes::run`] would do with a job for each of them, but
    /// nothing has to be made, moved and turned into rows for each besides the block itself.
    pub fn run_two(&mut self, keys: [[u64; 2]; 2], direction: Direction, blocks: &mut [u64]) {
        let (mut narrow_used, mut wide_used) = (false, false);
        let needs = Needs::double(direction);
        let mut rest = blocks;
        while !rest.is_empty() {
            // An even number of lanes, so that the next pass begins with the first key again.
            rest = match &mut self.wide {
                Some((wide, scratch)) if rest.len() >= self.wide_from => {
                    wide_used = true;
                    pass_two(scratch, keys, needs, rest, |scratch| wide.compute(scratch))
                }
                _ => {
                    narrow_used = true;
                    let narrow = self.narrow;
                    pass_two(&mut self.narrow_scratch, keys, needs, rest, |scratch| narrow.compute(scratch))
                }
            };
        }
        self.wipe(narrow_used, wide_used);
    }

    fn wipe(&mut self, narrow_used: bool, wide_used: bool) {
        if narrow_used {
            self.narrow_scratch.wipe();
        }
        if let Some((_, scratch)) = self.wide.as_mut().filter(|_| wide_used) {
            scratch.wipe();
        }
        if narrow_used || wide_used {
            zeroize_stack::<STACK_BYTES>();
        }
    }
}

impl Default for Lanes {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wide = self.wide.as_ref().map(|_| Engine::Avx512);
        f.debug_struct("Lanes")
            .field("narrow", &self.narrow.engine())
            .field("wide", &wide)
            .finish_non_exhaustive()
    }
}

/// One pass: as many jobs as there are lanes, or as are left.
fn pass<const N: usize>(
    scratch: &mut Scratch<N>,
    positions: &mut [usize; 512],
    queue: &mut Queue,
    jobs: &mut [Job],
    compute: impl Fn(&mut Scratch<N>),
) {
    let (room, _) = positions.split_at_mut(Scratch::<N>::LANES.min(512));
    let (filled, needs) = queue.take(jobs, room);
    let (taken, _) = room.split_at(filled.min(room.len()));
    scratch.fill(jobs, taken, needs);
    compute(scratch);
    for (&at, &result) in taken.iter().zip(scratch.results()) {
        if let Some(job) = jobs.get_mut(at) {
            job.set_block(result);
        }
    }
}

/// One pass of [`Lanes::run_two`]; gives the blocks that are left.
fn pass_two<'b, const N: usize>(
    scratch: &mut Scratch<N>,
    keys: [[u64; 2]; 2],
    needs: Needs,
    blocks: &'b mut [u64],
    compute: impl Fn(&mut Scratch<N>),
) -> &'b mut [u64] {
    let (taken, rest) = blocks.split_at_mut(Scratch::<N>::LANES.min(blocks.len()));
    scratch.fill_two(keys, taken, needs);
    compute(scratch);
    taken.iter_mut().zip(scratch.results()).for_each(|(block, result)| *block = *result);
    rest
}

#[cfg(test)]
mod tests {
    use super::Lanes;
    use crate::engine::Engine;
    use crate::job::{Direction, Job};

    #[test]
    fn nothing_is_left_after_a_run() {
        for mut lanes in Engine::ALL.into_iter().filter_map(Lanes::with_engine) {
            for size in [1, 256, 700] {
                let make = |n: u64| {
                    Job::triple([!n, !n, !n], !n, [Direction::Encrypt, Direction::Decrypt][n as usize & 1])
                };
                let mut jobs: Vec<Job> = (0..size).map(make).collect();
                lanes.run(&mut jobs);
                assert!(lanes.narrow_scratch.is_wiped());
                assert!(lanes.wide.as_ref().is_none_or(|(_, scratch)| scratch.is_wiped()));
                let mut blocks: Vec<u64> = (0..size).map(|n| !n).collect();
                lanes.run_two([[!1, !2], [!3, !4]], Direction::Decrypt, &mut blocks);
                assert!(lanes.narrow_scratch.is_wiped());
                assert!(lanes.wide.as_ref().is_none_or(|(_, scratch)| scratch.is_wiped()));
            }
        }
    }

    #[test]
    fn two_keys_in_turn_are_the_jobs_of_their_blocks() {
        let keys = [[0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3210], [0x1357_9BDF_0246_8ACE, 0x0F1E_2D3C]];
        for mut lanes in Engine::ALL.into_iter().filter_map(Lanes::with_engine).chain([Lanes::new()]) {
            for (size, way) in [0usize, 1, 2, 3, 255, 256, 257, 512, 513, 1025]
                .into_iter()
                .flat_map(|size| [(size, Direction::Encrypt), (size, Direction::Decrypt)])
            {
                let mut blocks: Vec<u64> =
                    (0..size as u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
                let mut jobs: Vec<Job> = blocks
                    .iter()
                    .enumerate()
                    .map(|(n, block)| Job::double(keys[n & 1], *block, way))
                    .collect();
                lanes.run(&mut jobs);
                lanes.run_two(keys, way, &mut blocks);
                assert!(blocks.iter().copied().eq(jobs.iter().map(Job::block)), "{size} {way:?}");
            }
        }
    }
}
