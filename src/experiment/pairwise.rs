//! What a shadow predicts, held row by row against what was answered to the same requests.
//!
//! Rows of one unit hang together, so shares and means are kept by bucket of units as everything else is. The spread is
//! kept in classes 5 % wide on either side of zero, which add up over replicas.

use std::collections::BTreeMap;

use super::metric::Margin;
use super::sums::{Cell, Histogram, Series};
use crate::tensor::{Data, Tensor};

/// Most pairs of versions that are kept; beyond that those go that were seen least lately.
const MAX_PAIRS: usize = 72;
/// Differences smaller than this are none.
const LOWEST: f64 = 1e-12;
/// How much wider each class is than the one nearer to zero.
const GROWTH: f64 = 1.05;
/// The class of the largest differences, beyond 1e30.
const LAST: f64 = 2000.0;

/// Who is held against whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The shadow's name.
    pub shadow: String,
    /// Its version.
    pub version: u64,
    /// The version that answered; 0 for another server.
    pub against: u64,
}

/// Every pair that there was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pairs(BTreeMap<Key, Pairwise>);

/// What is known of one pair of versions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pairwise {
    /// When it was seen last, in milliseconds since 1970.
    pub at: u64,
    /// Requests that both predicted.
    pub requests: u64,
    /// Requests that the shadow failed.
    pub failed: u64,
    /// Rows, and those predicted differently.
    pub disagreements: Series,
    /// Rows with a difference that is a number, and the sum of these: shadow minus what was answered.
    pub differences: Series,
    /// The same differences in classes.
    pub spread: Spread,
    /// The shadow's runs, by their time.
    pub times: Histogram,
}

/// Differences in classes: none is 0, and a negative one's class is that of its size, negative.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spread(BTreeMap<i32, u64>);

// === impl Pairs ===

impl Pairs {
    /// What is known of a pair, nothing at first.
    pub fn entry(&mut self, key: Key) -> &mut Pairwise {
        if self.0.len() >= MAX_PAIRS && !self.0.contains_key(&key) {
            let oldest = self.0.iter().min_by_key(|(_, pair)| pair.at).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.0.remove(&key));
        }
        self.0.entry(key).or_default()
    }

    /// Every pair.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Key, &Pairwise)> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what another knows.
    pub fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(key, more)| self.entry(key.clone()).merge(more));
    }
}

// === impl Pairwise ===

impl Pairwise {
    /// Adds a request whose unit is in `bucket`: the outputs that both predict with.
    pub fn push(&mut self, bucket: usize, answered: &Tensor, shadow: &Tensor, margin: Margin) {
        self.requests += 1;
        let rows = answered.rows();
        let width = |tensor: &Tensor| tensor.data.len().checked_div(tensor.rows());
        let comparable = shadow.rows() == rows && width(shadow) == width(answered);
        let (mut disagreements, mut differences) = (0.0, Cell::default());
        for row in 0..rows {
            let found = if comparable { compare(answered, shadow, row, margin) } else { Row::OTHER };
            disagreements += f64::from(found.disagrees);
            if let Some(difference) = found.difference.filter(|difference| difference.is_finite()) {
                differences.weight += 1.0;
                differences.sum += difference;
                self.spread.push(difference);
            }
        }
        self.disagreements.add(bucket, Cell { weight: rows as f64, sum: disagreements });
        self.differences.add(bucket, differences);
    }

    /// Adds what another knows of the same pair.
    pub fn merge(&mut self, other: &Self) {
        self.at = self.at.max(other.at);
        self.requests += other.requests;
        self.failed += other.failed;
        self.disagreements.merge(&other.disagreements);
        self.differences.merge(&other.differences);
        other.spread.iter().for_each(|(class, count)| self.spread.add(class, count));
        self.times.merge(&other.times);
    }
}

/// How a row compares.
struct Row {
    disagrees: bool,
    difference: Option<f64>,
}

impl Row {
    /// Not of one form.
    const OTHER: Self = Self { disagrees: true, difference: None };
}

/// One number a row is a number or, where it is whole by its type, a label; two are the probabilities of 0 and 1; more are
/// the scores of labels, of which the largest is predicted, and whose difference is that of the score of that label.
fn compare(answered: &Tensor, shadow: &Tensor, row: usize, margin: Margin) -> Row {
    let rows = answered.rows();
    if let (Data::Bytes(answered), Data::Bytes(shadow)) = (&answered.data, &shadow.data) {
        let width = answered.len() / rows;
        let own = row * width..(row + 1) * width;
        return Row { disagrees: own.clone().any(|at| answered.get(at) != shadow.get(at)), difference: None };
    }
    let width = answered.data.len() / rows;
    let at = |tensor: &Tensor, column: usize| tensor.data.number(row * width + column).unwrap_or(f64::NAN);
    let float = answered.data.datatype().is_float();
    match width {
        0 => Row { disagrees: false, difference: None },
        1 => {
            let (a, b) = (at(answered, 0), at(shadow, 0));
            let difference = b - a;
            let near = difference.is_finite() && difference.abs() <= margin.of(a);
            let same = if float { near } else { difference == 0.0 };
            let alike = a == b || (a.is_nan() && b.is_nan());
            Row { disagrees: !(same || alike), difference: Some(difference) }
        }
        2 if float => {
            let (a, b) = (at(answered, 1), at(shadow, 1));
            let alike = (a >= 0.5) == (b >= 0.5) && a.is_nan() == b.is_nan();
            Row { disagrees: !alike, difference: Some(b - a) }
        }
        _ => {
            let best = |tensor: &Tensor| {
                let score = |column: &usize| at(tensor, *column);
                (0..width).max_by(|a, b| score(a).total_cmp(&score(b)).then(b.cmp(a))).unwrap_or(0)
            };
            let label = best(answered);
            Row {
                disagrees: best(shadow) != label,
                difference: Some(at(shadow, label) - at(answered, label)),
            }
        }
    }
}

// === impl Spread ===

impl Spread {
    fn push(&mut self, difference: f64) {
        let size = (difference.abs() / LOWEST).ln() / GROWTH.ln();
        // A cast of what is below any number is 0.
        let class = if difference.abs() < LOWEST { 0 } else { 1 + size.ceil().min(LAST) as i32 };
        self.add(if difference < 0.0 { -class } else { class }, 1);
    }

    /// Adds to a class.
    pub fn add(&mut self, class: i32, count: u64) {
        *self.0.entry(class).or_default() += count;
    }

    /// Classes with something in them, from the lowest difference up.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (i32, u64)> {
        self.0.iter().map(|(class, count)| (*class, *count))
    }

    /// The difference that this share of all is not above, to 5 %; none without anything.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let count: u64 = self.0.values().sum();
        let rank = (count as f64 * share.clamp(0.0, 1.0)).ceil().max(1.0) as u64;
        let mut below = 0;
        let class = self.iter().find(|(_, count)| {
            below += count;
            below >= rank
        })?;
        Some(Self::middle(class.0))
    }

    /// The middle of a class.
    fn middle(class: i32) -> f64 {
        let size = LOWEST * GROWTH.powi(class.abs() - 1) / GROWTH.sqrt();
        if class == 0 { 0.0 } else { size.copysign(f64::from(class)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(answered: (&[usize], Data), shadow: (&[usize], Data), margin: Margin) -> [f64; 4] {
        let mut pair = Pairwise::default();
        pair.push(7, &Tensor::new(answered.0, answered.1), &Tensor::new(shadow.0, shadow.1), margin);
        let (all, with) = (pair.disagreements.total(), pair.differences.total());
        [all.weight, all.sum, with.weight, with.sum]
    }

    #[test]
    fn rows_are_compared_as_what_they_are() {
        let part = Margin::Relative(0.01);
        let number = |values: &[f64]| Data::Fp64(values.to_vec());
        // Numbers: near enough, too far, both no number, one no number.
        let (a, b) = (number(&[100.0, 100.0, f64::NAN, 1.0]), number(&[101.0, 102.0, f64::NAN, f64::NAN]));
        assert_eq!(pushed((&[4, 1], a), (&[4], b), part), [4.0, 2.0, 2.0, 3.0]);
        // Labels are the same or not, however large they are.
        let (a, b) = (Data::Int64(vec![1000, 7]), Data::Int64(vec![1001, 7]));
        assert_eq!(pushed((&[2], a), (&[2], b), part), [2.0, 1.0, 2.0, 1.0]);
        let texts = |texts: &[&str]| {
            let mut strings = crate::tensor::Strings::default();
            texts.iter().for_each(|text| strings.push(text.as_bytes()));
            Data::Bytes(strings)
        };
        let found = pushed((&[2], texts(&["a", "b"])), (&[2], texts(&["a", "c"])), part);
        assert_eq!(found, [2.0, 1.0, 0.0, 0.0]);
        // Probabilities disagree across a half, scores by the largest.
        let (a, b) = (number(&[0.75, 0.25, 0.5, 0.5]), number(&[0.625, 0.375, 0.625, 0.375]));
        assert_eq!(pushed((&[2, 2], a), (&[2, 2], b), part), [2.0, 1.0, 2.0, 0.0]);
        let (a, b) = (number(&[0.5, 0.25, 0.25]), number(&[0.25, 0.5, 0.25]));
        assert_eq!(pushed((&[1, 3], a), (&[1, 3], b), part), [1.0, 1.0, 1.0, -0.25]);
        // What is of another form cannot agree.
        assert_eq!(pushed((&[2], number(&[1.0, 2.0])), (&[1], number(&[1.0])), part), [2.0, 2.0, 0.0, 0.0]);
        assert_eq!(pushed((&[0], number(&[])), (&[0], number(&[])), part), [0.0; 4]);
    }

    #[test]
    fn the_spread_has_both_sides_and_is_five_percent_near() {
        let mut spread = Spread::default();
        (-500..=1000).for_each(|n| spread.push(f64::from(n) * 1e-3));
        for (share, exact) in [(0.0, -0.5), (0.1, -0.35), (0.5, 0.25), (0.9, 0.85), (1.0, 1.0)] {
            let found = spread.quantile(share).unwrap();
            assert!((found / exact - 1.0).abs() < 0.03, "{share}: {found}");
        }
        let mut odd = Spread::default();
        [0.0, f64::MAX, f64::MIN, 1e-300].into_iter().for_each(|difference| odd.push(difference));
        assert_eq!((odd.quantile(0.5), odd.iter().len()), (Some(0.0), 3));
        assert_eq!(Spread::default().quantile(0.5), None);
    }

    #[test]
    fn pairs_add_up_and_stay_few() {
        let key = |version| Key { shadow: "s".into(), version, against: 1 };
        let (mut one, mut other) = (Pairs::default(), Pairs::default());
        one.entry(key(1)).requests = 1;
        (1..=2).for_each(|version| other.entry(key(version)).requests = 1);
        one.merge(&other);
        assert_eq!(one.iter().map(|(_, pair)| pair.requests).collect::<Vec<_>>(), [2, 1]);
        (3..100).for_each(|version| one.entry(key(version)).at = version);
        assert_eq!((one.iter().len(), one.iter().next().unwrap().0.version), (MAX_PAIRS, 28));
    }
}
