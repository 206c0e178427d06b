//! The order in which jobs enter lanes: those that need the same code together, so that few passes have to
//! serve both directions or stages that only some lanes use.

use crate::job::{Job, Needs};

/// Walks over the positions of jobs, kind by kind.
pub struct Queue {
    /// Jobs not yet taken.
    waiting: usize,
    /// Kinds not yet begun.
    kinds: &'static [Needs],
    /// The kind being taken and how many of it are left.
    current: Needs,
    left: usize,
    /// Where to look next for a job of the current kind.
    next: usize,
}

impl Queue {
    pub fn new(jobs: &[Job]) -> Self {
        let mut union = Needs::default();
        jobs.iter().for_each(|job| union.add(job.needs()));
        let waiting = jobs.len();
        match Needs::ALL.contains(&union) {
            // All of one kind: nothing to sort.
            true => Self { waiting, kinds: &[], current: union, left: waiting, next: 0 },
            false => Self { waiting, kinds: &Needs::ALL, current: union, left: 0, next: 0 },
        }
    }

    /// How many jobs are left.
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Writes the positions of the next jobs, as many as there is room for; returns how many, and what they
    /// need together.
    pub fn take(&mut self, jobs: &[Job], room: &mut [usize]) -> (usize, Needs) {
        let mut needs = Needs::default();
        let mut free = room;
        let mut taken = 0usize;
        while !free.is_empty() && (self.left > 0 || self.begin_kind(jobs)) {
            needs.add(self.current);
            let count = self.take_kind(jobs, free);
            taken = taken.saturating_add(count);
            (_, free) = free.split_at_mut(count.min(free.len()));
        }
        self.waiting = self.waiting.saturating_sub(taken);
        (taken, needs)
    }

    /// The same for jobs of the current kind, of which some are left.
    fn take_kind(&mut self, jobs: &[Job], room: &mut [usize]) -> usize {
        let count = self.left.min(room.len());
        let mut next = self.next;
        for place in room.iter_mut().take(count) {
            while jobs.get(next).is_some_and(|job| job.needs() != self.current) {
                next = next.wrapping_add(1);
            }
            *place = next;
            next = next.wrapping_add(1);
        }
        self.next = next;
        self.left = self.left.saturating_sub(count);
        count
    }

    /// Goes on to the next kind of which there is a job; `false` if there is none.
    fn begin_kind(&mut self, jobs: &[Job]) -> bool {
        self.next = 0;
        while let [kind, rest @ ..] = self.kinds {
            self.current = *kind;
            self.kinds = rest;
            self.left = jobs.iter().filter(|job| job.needs() == *kind).count();
            if self.left > 0 {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::Queue;
    use crate::job::{Direction, Job, Needs};

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
        let mut taken = Vec::new();
        while queue.len() > 0 {
            let mut room = [usize::MAX; 17];
            let (count, needs) = queue.take(&jobs, &mut room);
            let mut sum = Needs::default();
            room[..count].iter().for_each(|&at| sum.add(jobs[at].needs()));
            assert!(sum == needs);
            taken.extend_from_slice(&room[..count]);
        }
        assert_eq!(queue.len(), 0);
        let kinds: Vec<usize> =
            taken.iter().filter_map(|&at| Needs::ALL.iter().position(|&n| n == jobs[at].needs())).collect();
        assert!(kinds.is_sorted());
        let mut all = taken;
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn jobs_of_one_kind_need_only_that() {
        for way in [Direction::Encrypt, Direction::Decrypt] {
            let jobs = [Job::single(1, 2, way), Job::single(3, 4, way)];
            let (count, needs) = Queue::new(&jobs).take(&jobs, &mut [0; 64]);
            assert_eq!(count, 2);
            assert!(needs == jobs[0].needs() && !needs.mixed());
        }
    }

    #[test]
    fn two_kinds_together_are_never_taken_for_one() {
        let make = |needs: usize| {
            let way = if needs.is_multiple_of(2) { Direction::Encrypt } else { Direction::Decrypt };
            match needs / 2 {
                0 => Job::single(1, 2, way),
                1 => Job::double([1, 2], 3, way),
                _ => Job::triple([1, 2, 3], 4, way),
            }
        };
        for (a, b) in (0..6).flat_map(|a| (0..6).map(move |b| (a, b))) {
            let jobs = [make(a), make(b)];
            let mut room = [usize::MAX; 64];
            let (count, _) = Queue::new(&jobs).take(&jobs, &mut room);
            room[..count].sort_unstable();
            assert_eq!(room[..count], [0, 1], "kinds {a} and {b}");
        }
    }
}
