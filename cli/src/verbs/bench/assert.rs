//! Conditions on a run: `p99<5ms`, `errors=0`, `rate>=10k`.

use super::figures::Figures;
use core::str::FromStr;

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    text: String,
    metric: Metric,
    relation: Relation,
    bound: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Metric {
    P50,
    P90,
    P99,
    P999,
    P9999,
    Max,
    Rate,
    Knee,
    Errors,
    Wrong,
    Lost,
    Late,
    Dropped,
}

const METRICS: [(&str, Metric); 13] = [
    ("p50", Metric::P50),
    ("p90", Metric::P90),
    ("p99", Metric::P99),
    ("p99.9", Metric::P999),
    ("p99.99", Metric::P9999),
    ("max", Metric::Max),
    ("rate", Metric::Rate),
    ("knee", Metric::Knee),
    ("errors", Metric::Errors),
    ("wrong", Metric::Wrong),
    ("lost", Metric::Lost),
    ("late", Metric::Late),
    ("dropped", Metric::Dropped),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Relation {
    Less,
    AtMost,
    More,
    AtLeast,
    Same,
}

// Longer ones first.
const RELATIONS: [(&str, Relation); 5] = [
    ("<=", Relation::AtMost),
    (">=", Relation::AtLeast),
    ("<", Relation::Less),
    (">", Relation::More),
    ("=", Relation::Same),
];

impl Condition {
    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// It is about what a sweep finds.
    pub fn is_of_sweep(&self) -> bool {
        self.metric == Metric::Knee
    }

    /// It says how many requests may get no reply.
    pub fn is_of_lost(&self) -> bool {
        matches!(self.metric, Metric::Lost | Metric::Dropped)
    }

    /// It says how many replies may be refusals.
    pub fn is_of_errors(&self) -> bool {
        self.metric == Metric::Errors
    }

    /// Whether it holds, and the figure in microseconds, replies a second, or as a count. Nothing holds of the
    /// latency of a run without replies.
    pub fn judge(&self, figures: &Figures) -> (bool, f64) {
        let latency = &figures.latency_us;
        let value = match self.metric {
            Metric::P50 => latency.p50 as f64,
            Metric::P90 => latency.p90 as f64,
            Metric::P99 => latency.p99 as f64,
            Metric::P999 => latency.p99_9 as f64,
            Metric::P9999 => latency.p99_99 as f64,
            Metric::Max => latency.max as f64,
            Metric::Rate => figures.rate,
            // A unit without a knee keeps the limit at no rate.
            Metric::Knee => figures.knee.unwrap_or_default(),
            Metric::Errors => figures.errors as f64,
            Metric::Wrong => figures.wrong as f64,
            Metric::Lost => figures.lost as f64,
            Metric::Late => figures.late as f64,
            Metric::Dropped => figures.dropped as f64,
        };
        let holds = match self.relation {
            Relation::Less => value < self.bound,
            Relation::AtMost => value <= self.bound,
            Relation::More => value > self.bound,
            Relation::AtLeast => value >= self.bound,
            Relation::Same => (value - self.bound).abs() < f64::EPSILON,
        };
        (holds && !(self.metric.is_time() && figures.replies == 0), value)
    }
}

impl Metric {
    const fn is_time(self) -> bool {
        matches!(self, Self::P50 | Self::P90 | Self::P99 | Self::P999 | Self::P9999 | Self::Max)
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = text.find(['<', '>', '=']).ok_or("expected METRIC<VALUE, such as p99<5ms")?;
        let (name, rest) = text.split_at(at);
        let metric = METRICS.iter().find(|(known, _)| *known == name.trim()).map(|(_, metric)| *metric);
        let metric = metric.ok_or_else(|| {
            format!("`{}` is none of {}", name.trim(), METRICS.map(|(name, _)| name).join(", "))
        })?;
        let found = RELATIONS.iter().find_map(|(sign, r)| rest.strip_prefix(sign).map(|value| (*r, value)));
        let (relation, value) = found.ok_or("expected one of <, <=, >, >=, =")?;
        let bound = if metric.is_time() { microseconds(value.trim()) } else { count(value.trim()) };
        Ok(Self { text: text.to_owned(), metric, relation, bound: bound? })
    }
}

fn number(text: &str) -> Result<f64, String> {
    let number = text.trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
    number.ok_or_else(|| format!("`{text}` is no number"))
}

fn microseconds(text: &str) -> Result<f64, String> {
    let units = [("us", 1.0), ("ms", 1e3), ("s", 1e6)];
    let unit = units.iter().find_map(|(unit, factor)| text.strip_suffix(unit).map(|n| (n, factor)));
    let (digits, factor) = unit.ok_or_else(|| format!("`{text}` needs a unit: us, ms or s"))?;
    number(digits).map(|n| n * factor)
}

/// A number that may end in `k` or `M`, and `/s`.
pub fn count(text: &str) -> Result<f64, String> {
    let text = text.strip_suffix("/s").unwrap_or(text);
    match (text.strip_suffix('k'), text.strip_suffix('M')) {
        (Some(n), _) => number(n).map(|n| n * 1e3),
        (_, Some(n)) => number(n).map(|n| n * 1e6),
        _ => number(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(text: &str, figures: &Figures) -> bool {
        text.parse::<Condition>().unwrap().judge(figures).0
    }

    #[test]
    fn conditions_hold_or_not() {
        let mut figures = Figures { replies: 10, rate: 12_000.0, errors: 1, ..Figures::default() };
        figures.latency_us.p99 = 4_999;
        figures.latency_us.p99_9 = 5_000;
        assert!(
            judge("p99<5ms", &figures) && !judge("p99.9<5ms", &figures) && judge("p99.9<=5000us", &figures)
        );
        assert!(judge("rate>=12k/s", &figures) && !judge("rate > 12000", &figures));
        assert!(!judge("errors=0", &figures) && judge("errors = 1", &figures) && judge("lost=0", &figures));
    }

    #[test]
    fn a_knee_is_of_a_sweep() {
        let figures = Figures { replies: 1, knee: Some(50_000.0), ..Figures::default() };
        assert!(judge("knee>=50k", &figures) && !judge("knee>=1", &Figures::default()));
        assert!("knee>1".parse::<Condition>().unwrap().is_of_sweep());
    }

    #[test]
    fn nothing_holds_of_the_latency_of_no_replies() {
        assert!(!judge("p99<1s", &Figures::default()));
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for (text, says) in [
            ("p99", "METRIC<VALUE"),
            ("p98<1ms", "p99.9"),
            ("p99<5", "unit"),
            ("p99<-5ms", "no number"),
            ("rate>fast", "no number"),
        ] {
            let refusal = text.parse::<Condition>().unwrap_err();
            assert!(refusal.contains(says), "{refusal}");
        }
    }
}
