//! The order in which jobs enter lanes: those that need the same code together, so that few passes have to
//! serve both directions or stages that only some lanes use.

use crate::job::{Direction, Job, Shape};

/// Kinds of job, neighbours being cheap to have in one pass.
const KINDS: usize = 6;

fn kind(job: &Job) -> usize {
    match (job.shape(), job.direction()) {
        (Shape::Single, Direction::Encrypt) => 0,
        (Shape::Single, Direction::Decrypt) => 1,
        (Shape::Double, Direction::Decrypt) => 2,
        (Shape::Double, Direction::Encrypt) => 3,
        (Shape::Triple, Direction::Encrypt) => 4,
        (Shape::Triple, Direction::Decrypt) => 5,
    }
}

/// Walks over the positions of jobs, kind by kind.
pub struct Queue {
    /// Jobs of each kind not yet taken.
    waiting: [usize; KINDS],
    current: usize,
    /// Where to look next for a job of the current kind.
    next: usize,
}

impl Queue {
    pub fn new(jobs: &[Job]) -> Self {
        let mut waiting = [0usize; KINDS];
        for job in jobs {
            if let Some(count) = waiting.get_mut(kind(job)) {
                *count = count.saturating_add(1);
            }
        }
        Self { waiting, current: 0, next: 0 }
    }

    /// How many jobs are left.
    pub fn len(&self) -> usize {
        self.waiting.iter().fold(0, |sum, &n| sum.saturating_add(n))
    }

    /// The next job and its position.
    #[inline]
    pub fn take<'a>(&mut self, jobs: &'a [Job]) -> Option<(usize, &'a Job)> {
        loop {
            let count = self.waiting.get_mut(self.current)?;
            if *count > 0 {
                let rest = jobs.get(self.next..)?;
                let (skipped, job) = rest.iter().enumerate().find(|(_, job)| kind(job) == self.current)?;
                let position = self.next.saturating_add(skipped);
                *count = count.saturating_sub(1);
                self.next = position.saturating_add(1);
                return Some((position, job));
            }
            self.current = self.current.saturating_add(1);
            self.next = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Queue, kind};
    use crate::job::{Direction, Job};

    #[test]
    fn every_job_is_taken_once_and_kinds_stay_together() {
        let jobs: Vec<Job> = (0..100u64)
            .map(|n| {
                let way = if n % 3 == 0 { Direction::Encrypt } else { Direction::Decrypt };
                match n % 7 {
                    0..2 => Job::single(n, n, way),
                    2..5 => Job::double([n, n], n, way),
                    _ => Job::triple([n; 3], n, way),
                }
            })
            .collect();
        let mut queue = Queue::new(&jobs);
        assert_eq!(queue.len(), 100);
        let taken: Vec<usize> = std::iter::from_fn(|| queue.take(&jobs).map(|(at, _)| at)).collect();
        assert_eq!(queue.len(), 0);
        let kinds: Vec<usize> = taken.iter().map(|&at| kind(&jobs[at])).collect();
        assert!(kinds.is_sorted());
        let mut all = taken;
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }
}
