//! Quantiles of a stream in little memory: exact for few values, else right within some tenths of a percent of rank.

/// Values of each level before half of them moves up.
const LEVEL: usize = 8192;

/// A stack of buffers, in which a value of level `n` stands for 2^n values: a full one is sorted and every other value
/// moves up. Which ones alternates, so that errors cancel. Without chance: the same values give the same answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Sketch {
    levels: Vec<Vec<f32>>,
    odd: bool,
}

impl Sketch {
    /// Takes a value that is not NaN.
    pub(super) fn push(&mut self, value: f32) {
        self.add(0, value);
    }

    fn add(&mut self, level: usize, value: f32) {
        let Some(values) = self.levels.get_mut(level) else {
            self.levels.push(vec![value]);
            return;
        };
        values.push(value);
        if values.len() < LEVEL {
            return;
        }
        let mut full = std::mem::take(values);
        full.sort_unstable_by(f32::total_cmp);
        self.odd = !self.odd;
        for value in full.into_iter().skip(usize::from(self.odd)).step_by(2) {
            self.add(level + 1, value);
        }
    }

    /// The values at these shares of the whole, between neighbours where a share is between them; `None` of nothing.
    pub(super) fn quantiles(&self, shares: &[f64]) -> Option<Vec<f32>> {
        let weighted = self
            .levels
            .iter()
            .enumerate()
            .flat_map(|(level, values)| values.iter().map(move |value| (*value, 1_u64 << level)));
        let mut all: Vec<(f32, u64)> = weighted.collect();
        all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let total: u64 = all.iter().map(|(_, weight)| weight).sum();
        let last = all.last()?.0;
        let at = |rank: u64| {
            let mut seen = 0;
            let found = all.iter().find(|(_, weight)| {
                seen += weight;
                seen > rank
            });
            found.map_or(last, |(value, _)| *value)
        };
        let quantile = |share: &f64| {
            let place = share * (total - 1) as f64;
            let (low, high) = (f64::from(at(place.floor() as u64)), f64::from(at(place.ceil() as u64)));
            (low + (high - low) * place.fract()) as f32
        };
        Some(shares.iter().map(quantile).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_are_exact() {
        let mut sketch = Sketch::default();
        assert_eq!(sketch.quantiles(&[0.5]), None);
        [3.0, 1.0, 2.0, 10.0].into_iter().for_each(|value| sketch.push(value));
        assert_eq!(sketch.quantiles(&[0.0, 0.5, 1.0]), Some(vec![1.0, 2.5, 10.0]));
    }

    #[test]
    fn many_values_are_near() {
        let mut sketch = Sketch::default();
        let n = 1_000_003_u64;
        // Every whole number below n once, scattered.
        (0..n).for_each(|i| sketch.push((i * 48_271 % n) as f32));
        for (share, found) in [0.01, 0.25, 0.5, 0.9, 0.999]
            .iter()
            .zip(sketch.quantiles(&[0.01, 0.25, 0.5, 0.9, 0.999]).unwrap())
        {
            assert!((f64::from(found) / n as f64 - share).abs() < 0.002, "{share}: {found}");
        }
    }
}
