//! An axis: from values to places, and round figures on the way.

/// How an axis counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// From zero, equal steps.
    Linear,
    /// Equal factors.
    Log,
}

/// An axis.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What it counts, and in which unit.
    pub label: String,
    /// How.
    pub scale: Scale,
    /// Values to name; none are chosen.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// With figures that are chosen by what is shown.
    pub fn new(label: &str, scale: Scale) -> Self {
        Self { label: label.to_owned(), scale, ticks: Vec::new() }
    }

    /// The axis over all `values`, its low end at one place and its high end at another.
    pub(super) fn fit(&self, values: &[f64], from: f64, to: f64) -> Fitted {
        let shown = values.iter().copied().filter(|value| shows(self.scale, *value));
        let high = shown.clone().fold(f64::NEG_INFINITY, f64::max);
        let low = shown.fold(f64::INFINITY, f64::min);
        let (low, high) = match self.scale {
            _ if high < low => (1.0, 10.0),
            Scale::Linear => (low.min(0.0), if high > low.min(0.0) { high } else { low + 1.0 }),
            Scale::Log if self.ticks.is_empty() => {
                (ten_below(low), ten_above(high).max(ten_below(low) * 10.0))
            }
            Scale::Log => (low, if high > low { high } else { low * 10.0 }),
        };
        Fitted { low, high, from, to, scale: self.scale, ticks: self.ticks.clone() }
    }
}

/// An axis that knows its ends.
pub(super) struct Fitted {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    scale: Scale,
    ticks: Vec<(f64, String)>,
}

impl Fitted {
    pub(super) fn shows(&self, value: f64) -> bool {
        shows(self.scale, value)
    }

    pub(super) fn place(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value / self.low).ln() / (self.high / self.low).ln(),
        };
        self.from + (self.to - self.from) * share.clamp(0.0, 1.0)
    }

    /// Values with their names, five or so.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        if !self.ticks.is_empty() {
            let inside = |value: f64| value >= self.low * 0.999 && value <= self.high * 1.001;
            return self.ticks.iter().filter(|(value, _)| inside(*value)).cloned().collect();
        }
        let values: Vec<f64> = match self.scale {
            Scale::Linear => {
                let step = round_step((self.high - self.low) / 5.0);
                (0..12).map(|n| (self.low / step).ceil() * step + step * f64::from(n)).collect()
            }
            Scale::Log => {
                let decades = (self.high / self.low).log10();
                let factors: &[f64] = if decades <= 2.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
                let all = (0..16).flat_map(|n| factors.iter().map(move |f| (n, *f)));
                all.map(|(n, factor)| self.low * 10f64.powi(n) * factor).collect()
            }
        };
        let inside = values.into_iter().filter(|value| *value <= self.high * 1.000_001);
        inside.map(|value| (value, name(value))).collect()
    }
}

fn shows(scale: Scale, value: f64) -> bool {
    value.is_finite() && (scale == Scale::Linear || value > 0.0)
}

fn ten_below(value: f64) -> f64 {
    10f64.powf((value.log10() + 1e-9).floor())
}

fn ten_above(value: f64) -> f64 {
    10f64.powf((value.log10() - 1e-9).ceil())
}

// 1, 2 or 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let ten = ten_below(step);
    [1.0, 2.0, 5.0].into_iter().map(|n| n * ten).find(|round| *round >= step).unwrap_or(ten * 10.0)
}

/// A figure in few characters: 1500 is 1.5k.
pub(super) fn name(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        v if v >= 1e9 => (value / 1e9, "G"),
        v if v >= 1e6 => (value / 1e6, "M"),
        v if v >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{scaled:.2}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_on_an_axis_are_round() {
        let axis = Axis::new("", Scale::Linear).fit(&[0.0, 87_000.0], 0.0, 100.0);
        let names: Vec<_> = axis.ticks().into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["0", "20k", "40k", "60k", "80k"]);
        let axis = Axis::new("", Scale::Log).fit(&[30.0, 4_000.0], 0.0, 100.0);
        let names: Vec<_> = axis.ticks().into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["10", "100", "1k", "10k"]);
        assert!((axis.place(10.0)).abs() < 1e-9 && (axis.place(10_000.0) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn one_value_or_none_still_makes_an_axis() {
        for values in [&[][..], &[5.0], &[f64::NAN], &[0.0]] {
            for scale in [Scale::Linear, Scale::Log] {
                let axis = Axis::new("", scale).fit(values, 0.0, 100.0);
                assert!(axis.place(5.0).is_finite() && !axis.ticks().is_empty(), "{values:?} {scale:?}");
            }
        }
    }
}
