//! The jobs of a pass. A vector that grows by itself gives its old memory back with keys and blocks in it; this one
//! wipes it before.

use core::ops::{Deref, DerefMut};
use tdes_lanes::Job;
use zeroize::Zeroize;

/// Jobs, in the order in which they were given. Memory is kept from pass to pass.
#[derive(Debug, Default)]
pub(crate) struct Jobs(Vec<Job>);

impl Jobs {
    /// Where there is room, the job is written where it stays; see `hsm::BlockOp`.
    #[inline(always)]
    pub(crate) fn push(&mut self, job: impl FnOnce() -> Job) {
        if self.0.len() == self.0.capacity() {
            self.push_growing(job());
        } else {
            self.0.push(job());
        }
    }

    #[cold]
    #[inline(never)]
    fn push_growing(&mut self, job: Job) {
        let mut larger = Vec::with_capacity(self.0.capacity().saturating_mul(2).max(64));
        larger.append(&mut self.0);
        larger.push(job);
        // Empty now; what is wiped is the memory that the jobs were moved out of.
        self.0.zeroize();
        self.0 = larger;
    }

    /// Wipes all of them.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Deref for Jobs {
    type Target = [Job];

    fn deref(&self) -> &[Job] {
        &self.0
    }
}

impl DerefMut for Jobs {
    fn deref_mut(&mut self) -> &mut [Job] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tdes_lanes::Direction;

    #[test]
    fn jobs_keep_their_order_while_room_grows() {
        let mut jobs = Jobs::default();
        for block in 0..1000 {
            jobs.push(|| Job::single(7, block, Direction::Encrypt));
        }
        assert!(jobs.iter().map(Job::block).eq(0..1000));
        jobs.clear();
        assert!(jobs.is_empty());
    }
}
