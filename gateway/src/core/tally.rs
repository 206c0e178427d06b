//! What one core counts while a batch is answered; given to the shared counters once per batch.

use crate::metrics::Metrics;
use crate::stats::{CoreStats, Stage};
use hostcmd::Code;
use hostcmd::table::TABLE;
use metrics::Counter;
use std::sync::Arc;
use std::time::Duration;

struct Count {
    code: Code,
    pending: u64,
    counter: Counter,
}

/// Times of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) queue: Duration,
    pub(crate) backend: Duration,
    pub(crate) total: Duration,
}

/// Pending counts.
pub(crate) struct Tally {
    metrics: Arc<Metrics>,
    listeners: Vec<Arc<str>>,
    // One place per listener and row, and one more for unknown commands; few codes in each.
    places: Vec<Vec<Count>>,
    touched: Vec<usize>,
    rows: Vec<u64>,
}

const PER_LISTENER: fn() -> usize = || TABLE.len().saturating_add(1);

impl Tally {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, listeners: Vec::new(), places: Vec::new(), touched: Vec::new(), rows: Vec::new() }
    }

    /// Before the first connection.
    pub(crate) fn open(&mut self, listeners: &[Arc<str>]) {
        self.listeners = listeners.to_vec();
        let places = listeners.len().saturating_mul(PER_LISTENER());
        self.places.resize_with(places, Vec::new);
        self.rows = vec![0; TABLE.len()];
    }

    /// Name of a listener.
    pub(crate) fn name(&self, listener: usize) -> &str {
        self.listeners.get(listener).map_or("", |name| name)
    }

    /// A reply.
    pub(crate) fn count(&mut self, listener: usize, row: Option<usize>, code: Code) {
        let column = row.map_or(0, |row| row.saturating_add(1));
        let place = listener.saturating_mul(PER_LISTENER()).saturating_add(column);
        let Some(counts) = self.places.get_mut(place) else { return };
        if let Some(of_row) = row.and_then(|row| self.rows.get_mut(row)) {
            *of_row = of_row.wrapping_add(1);
        }
        if let Some(count) = counts.iter_mut().find(|count| count.code == code) {
            if count.pending == 0 {
                self.touched.push(place);
            }
            count.pending = count.pending.wrapping_add(1);
            return;
        }
        let name = self.listeners.get(listener).map_or("", |name| name);
        let counter = self.metrics.commands(row, code, name);
        counts.push(Count { code, pending: 1, counter });
        self.touched.push(place);
    }

    /// The batch is answered.
    pub(crate) fn settle(&mut self, stats: &CoreStats, times: Times) {
        for place in self.touched.drain(..) {
            for count in self.places.get_mut(place).into_iter().flatten().filter(|c| c.pending > 0) {
                count.counter.increment(core::mem::take(&mut count.pending));
            }
        }
        for (count, row) in self.rows.iter_mut().zip(&stats.rows).filter(|(count, _)| **count > 0) {
            let n = core::mem::take(count);
            row.volume.add(n);
            for (stage, time) in
                [(Stage::Queue, times.queue), (Stage::Backend, times.backend), (Stage::Total, times.total)]
            {
                let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
                row.stage(stage).record(nanos.div_ceil(1000), nanos, n);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Stats;

    #[test]
    fn counts_reach_the_counters_once_per_batch() {
        let stats = Stats::new(1);
        let metrics = Metrics::new(stats.clone());
        let mut tally = Tally::new(Arc::clone(&metrics));
        tally.open(&["a".into(), "b".into()]);
        for _ in 0..3 {
            tally.count(1, Some(0), Code::OK);
        }
        tally.count(1, Some(0), Code::INPUT);
        tally.count(0, None, Code::DISABLED);
        assert_eq!(stats.cores()[0].rows[0].volume.get(), 0);
        let times = Times {
            queue: Duration::from_micros(1),
            backend: Duration::from_micros(2),
            total: Duration::from_micros(3),
        };
        for _ in 0..2 {
            tally.settle(&stats.cores()[0], times);
        }
        assert_eq!(stats.cores()[0].rows[0].volume.get(), 4);
        let text = metrics.render();
        let code = TABLE[0].about.code_text();
        assert!(text.contains(&format!("{{command=\"{code}\",code=\"00\",listener=\"b\"}} 3")), "{text}");
        assert!(text.contains(&format!("{{command=\"{code}\",code=\"15\",listener=\"b\"}} 1")));
        assert!(text.contains("{command=\"unknown\",code=\"68\",listener=\"a\"} 1"));
    }
}
