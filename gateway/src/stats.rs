//! What the cores count. Each core has cells of its own that only it writes, once per batch, with relaxed
//! stores: no line of memory is fought over. Who asks, adds the cores up.

use hostcmd::table::TABLE;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the duration buckets in microseconds (ecosystem.md 1.4: 25 µs to 1 s).
pub(crate) const BOUNDS_US: [u64; 15] =
    [25, 50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 102_400, 409_600, 1_000_000];
/// Upper bounds of the buckets of frames per batch.
pub(crate) const BOUNDS_FRAMES: [u64; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/// A count that one thread writes.
#[derive(Default)]
pub(crate) struct Cell(AtomicU64);

impl Cell {
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A histogram of `N` bounds; what is above all of them is in `above`.
pub(crate) struct Histogram<const N: usize> {
    bounds: &'static [u64; N],
    buckets: [Cell; N],
    above: Cell,
    sum: Cell,
}

impl<const N: usize> Histogram<N> {
    pub(crate) fn new(bounds: &'static [u64; N]) -> Self {
        let buckets = [const { Cell(AtomicU64::new(0)) }; N];
        Self { bounds, buckets, above: Cell::default(), sum: Cell::default() }
    }

    /// `count` observations of one value. `sum` is in the unit of the sum, which may be finer.
    pub(crate) fn record(&self, value: u64, sum: u64, count: u64) {
        let at = self.bounds.iter().position(|bound| value <= *bound);
        at.and_then(|at| self.buckets.get(at)).unwrap_or(&self.above).add(count);
        self.sum.add(sum.saturating_mul(count));
    }

    /// Adds cumulative counts into `into` (the last one is the count of all) and gives the sum.
    pub(crate) fn gather(&self, into: &mut [u64]) -> u64 {
        let mut so_far = 0_u64;
        let cells = self.buckets.iter().chain([&self.above]);
        for (cell, into) in cells.zip(into) {
            so_far = so_far.wrapping_add(cell.get());
            *into = into.wrapping_add(so_far);
        }
        self.sum.get()
    }
}

/// A stage in the way of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// From the first read of the batch to the begin of its run.
    Queue,
    /// The run: handlers and backend.
    Backend,
    /// From the first read of the batch until its replies are written.
    Total,
}

impl Stage {
    pub(crate) const ALL: [Self; 3] = [Self::Queue, Self::Backend, Self::Total];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Backend => "backend",
            Self::Total => "total",
        }
    }
}

/// Counts of one command.
pub(crate) struct RowStats {
    pub(crate) volume: Cell,
    stages: [Histogram<15>; 3],
}

impl RowStats {
    pub(crate) fn stage(&self, stage: Stage) -> &Histogram<15> {
        let [queue, backend, total] = &self.stages;
        match stage {
            Stage::Queue => queue,
            Stage::Backend => backend,
            Stage::Total => total,
        }
    }
}

/// Counts of one core.
#[repr(align(128))]
pub(crate) struct CoreStats {
    /// One per row of the command table.
    pub(crate) rows: Vec<RowStats>,
    /// Commands of the batch that runs.
    pub(crate) in_flight: Cell,
    /// Frames per batch.
    pub(crate) batches: Histogram<11>,
    /// Seconds by share of busy time: 0 to 10 %, 10 to 20 % and so on.
    pub(crate) load: [Cell; 10],
}

impl CoreStats {
    fn new() -> Self {
        let row = |_| RowStats {
            volume: Cell::default(),
            stages: std::array::from_fn(|_| Histogram::new(&BOUNDS_US)),
        };
        Self {
            rows: TABLE.iter().map(row).collect(),
            in_flight: Cell::default(),
            batches: Histogram::new(&BOUNDS_FRAMES),
            load: Default::default(),
        }
    }

    /// Counts a period of which the core was busy for `busy`.
    pub(crate) fn count_load(&self, busy: Duration, period: Duration) {
        let share = busy.as_micros().saturating_mul(10).checked_div(period.as_micros()).unwrap_or_default();
        let band = usize::try_from(share).unwrap_or(usize::MAX).min(9);
        if let Some(cell) = self.load.get(band) {
            cell.add(1);
        }
    }
}

/// The counts of all cores.
#[derive(Clone)]
pub(crate) struct Stats(Arc<[CoreStats]>);

impl Stats {
    pub(crate) fn new(cores: usize) -> Self {
        Self((0..cores).map(|_| CoreStats::new()).collect())
    }

    pub(crate) fn core(&self, index: usize) -> Option<&CoreStats> {
        self.0.get(index)
    }

    pub(crate) fn cores(&self) -> &[CoreStats] {
        &self.0
    }

    /// Commands by code since the start, in table order, without those that never came.
    pub(crate) fn volumes(&self, into: &mut Vec<([u8; 2], u64)>) {
        into.clear();
        for (index, row) in TABLE.iter().enumerate() {
            let counts = self.0.iter().filter_map(|core| core.rows.get(index)).map(|row| row.volume.get());
            let count = counts.fold(0_u64, u64::wrapping_add);
            if count > 0 {
                into.push((row.about.code, count));
            }
        }
    }

    /// Seconds of all cores by band of load.
    pub(crate) fn load(&self) -> [u64; 10] {
        let mut all = [0_u64; 10];
        for core in self.0.iter() {
            for (sum, cell) in all.iter_mut().zip(&core.load) {
                *sum = sum.wrapping_add(cell.get());
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_close_at_their_bound() {
        let histogram = Histogram::new(&BOUNDS_FRAMES);
        for (value, count) in [(1, 2), (2, 1), (3, 1), (5000, 4)] {
            histogram.record(value, value, count);
        }
        let mut all = [0; 12];
        assert_eq!(histogram.gather(&mut all), 2 + 2 + 3 + 20_000);
        assert_eq!(all[..4], [2, 3, 4, 4]);
        assert_eq!(all[10..], [4, 8]);
    }

    #[test]
    fn volumes_add_up_over_cores() {
        let stats = Stats::new(2);
        for core in stats.cores() {
            core.rows[0].volume.add(3);
        }
        let mut volumes = vec![(*b"zz", 1)];
        stats.volumes(&mut volumes);
        assert_eq!(volumes, [(TABLE[0].about.code, 6)]);
    }

    #[test]
    fn load_bands() {
        let stats = Stats::new(1);
        let second = Duration::from_secs(1);
        for busy_ms in [0, 99, 100, 950, 1000, 1500] {
            stats.cores()[0].count_load(Duration::from_millis(busy_ms), second);
        }
        stats.cores()[0].count_load(second, Duration::ZERO);
        assert_eq!(stats.load(), [3, 1, 0, 0, 0, 0, 0, 0, 0, 3]);
    }
}
