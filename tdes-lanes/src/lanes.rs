//! Cutting jobs into passes.

use crate::engine::{Engine, Narrow, Wide};
use crate::job::Job;
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
            }
        }
    }
}
