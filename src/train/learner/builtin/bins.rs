//! From a feature's values to at most 256 bins, which is all that trees see of them.

pub(crate) mod greedy;
pub(crate) mod sketch;

use self::sketch::Sketch;

/// Bins of values; one more is for what is missing, so that a byte holds any.
pub(crate) const MAX_BINS: u32 = 255;

/// How a feature's values become bins: those of values, then perhaps one of rare categories, then that of missing.
#[derive(Debug)]
pub(crate) struct Bins {
    pub(crate) kind: Kind,
    pub(crate) missing_seen: bool,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// The ends of all bins but the last, see [`greedy::ends`].
    Numbers(Vec<f32>),
    Categories {
        /// The category of each bin, frequent ones first.
        members: Vec<u32>,
        /// The bin of each category.
        lookup: Vec<u8>,
    },
}

/// What the first pass learns of a feature.
pub(crate) enum Census {
    Numbers(Sketch),
    Categories { counts: Vec<u64>, missing: u64 },
}

// === impl Census ===

impl Census {
    pub(crate) fn new(categories: Option<u32>) -> Self {
        match categories {
            None => Self::Numbers(Sketch::default()),
            Some(count) => Self::Categories { counts: vec![0; count as usize], missing: 0 },
        }
    }

    /// Takes in values, which are gone afterwards.
    pub(crate) fn absorb(&mut self, values: &mut Vec<f32>) {
        match self {
            Self::Numbers(sketch) => sketch.absorb(values),
            Self::Categories { counts, missing } => {
                for value in values.drain(..) {
                    match category(value).and_then(|category| counts.get_mut(category)) {
                        Some(count) => *count += 1,
                        None => *missing += u64::from(value.is_nan()),
                    }
                }
            }
        }
    }

    /// At most `most` bins of values, of `least_count` rows where there is a choice.
    pub(crate) fn bins(self, most: usize, least_count: u64) -> Bins {
        match self {
            Self::Numbers(sketch) => Bins {
                kind: Kind::Numbers(greedy::ends(&sketch.entries, most, least_count)),
                missing_seen: sketch.missing > 0,
            },
            Self::Categories { counts, missing } => {
                let seen = (0u32..).zip(&counts).filter(|(_, count)| **count > 0);
                let mut members: Vec<(u32, u64)> = seen.map(|(category, count)| (category, *count)).collect();
                members.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
                members.truncate(most.min(MAX_BINS as usize - 1));
                let members: Vec<u32> = members.into_iter().map(|(category, _)| category).collect();
                let mut lookup = vec![members.len() as u8; counts.len()];
                (0u8..).zip(&members).for_each(|(bin, member)| lookup[*member as usize] = bin);
                Bins { kind: Kind::Categories { members, lookup }, missing_seen: missing > 0 }
            }
        }
    }
}

// === impl Bins ===

impl Bins {
    /// Bins of values, or of categories that are told apart.
    pub(crate) fn values(&self) -> usize {
        match &self.kind {
            Kind::Numbers(ends) => ends.len() + 1,
            Kind::Categories { members, .. } => members.len(),
        }
    }

    /// The bin of missing values, which is the last.
    pub(crate) fn missing(&self) -> usize {
        match &self.kind {
            Kind::Numbers(ends) => ends.len() + 1,
            Kind::Categories { members, .. } => members.len() + 1,
        }
    }

    /// All bins.
    pub(crate) fn count(&self) -> usize {
        self.missing() + 1
    }

    /// Whether rows can differ in it.
    pub(crate) fn useful(&self) -> bool {
        self.values() > 1 || self.missing_seen
    }

    /// The bin of a value; [`Test::AtMost`](sidegate::booster::Test) and `OneOf` ask the same of it in serving.
    pub(crate) fn of(&self, value: f32) -> u8 {
        if value.is_nan() {
            return self.missing() as u8;
        }
        match &self.kind {
            Kind::Numbers(ends) => ends.partition_point(|end| value > *end) as u8,
            Kind::Categories { members, lookup } => {
                let bin = category(value).and_then(|category| lookup.get(category));
                bin.copied().unwrap_or(members.len() as u8)
            }
        }
    }
}

/// The number of a category, as serving reads it: what is negative is none.
fn category(value: f32) -> Option<usize> {
    (value >= 0.0).then(|| value.floor() as usize)
}
