//! Scales with round numbers on them.

use crate::evaluate::gate::short;

/// A number as it stands in a plot: three digits are enough there.
pub(super) fn digits(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return "0".to_owned();
    }
    let unit = 10_f64.powf(value.abs().log10().floor() - 2.0);
    short((value / unit).round() * unit).replace('-', "−")
}

/// A straight scale from data to places.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) ticks: Vec<f64>,
    step: f64,
}

impl Axis {
    /// From the lowest to the highest value, widened to round numbers; ticks are 1, 2 or 5 of a power of ten apart.
    pub(super) fn of(values: impl IntoIterator<Item = f64>, count: usize) -> Self {
        let finite = values.into_iter().filter(|value| value.is_finite());
        let (low, high) =
            finite.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        // Something that does not vary still needs a scale.
        let least = (low.abs().max(high.abs()) * 1e-6).max(1e-12);
        let air = if high - low < least { (low.abs() * 0.1).max(0.5) } else { 0.0 };
        let (low, high) = (low - air, high + air);
        let step = nice((high - low) / count as f64);
        let (low, high) = ((low / step + 1e-9).floor() * step, (high / step - 1e-9).ceil() * step);
        Self { low, high, ticks: ticks(low, high, step), step }
    }

    /// Exactly so far, with ticks where numbers are round.
    pub(super) fn fixed(low: f64, high: f64, count: usize) -> Self {
        let step = nice((high - low) / count as f64);
        Self { low, high, ticks: ticks((low / step - 1e-9).ceil() * step, high, step), step }
    }

    /// Where a value stands: 0 at the low end, 1 at the high end.
    pub(super) fn place(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// A tick's text, with as many digits as the step needs.
    pub(super) fn label(&self, value: f64) -> String {
        let most = self.low.abs().max(self.high.abs());
        if value.abs() < self.step * 1e-6 {
            return "0".to_owned();
        }
        for (unit, name) in [(1e9, "G"), (1e6, "M"), (1e3, "k")] {
            if most >= 10.0 * unit {
                return format!("{}{name}", plain(value / unit, self.step / unit));
            }
        }
        if most < 1e-3 { format!("{value:.1e}") } else { plain(value, self.step) }
    }
}

fn plain(value: f64, step: f64) -> String {
    let digits = (-step.log10().floor()).max(0.0) as usize;
    format!("{value:.digits$}").replace('-', "−")
}

fn ticks(from: f64, to: f64, step: f64) -> Vec<f64> {
    let count = ((to - from) / step + 1e-6).floor().clamp(0.0, 100.0) as usize;
    (0..=count).map(|at| from + at as f64 * step).collect()
}

/// The first of 1, 2 and 5 times a power of ten that is not below.
fn nice(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let first = [1.0, 2.0, 5.0].into_iter().find(|times| times * power >= step * (1.0 - 1e-9));
    first.unwrap_or(10.0) * power
}
