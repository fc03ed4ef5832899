//! Random forests against an evaluation of their nodes as they are described, one by one.

use proptest::prelude::*;

use super::aggregate::Aggregate;
use super::ensemble::Ensemble;
use crate::engine::trees::forest::{Mode, Raw, Rounding};
use crate::engine::trees::tests::PLAIN;
use crate::engine::trees::work::{Walks, Work};
use crate::tensor::{Data, Tensor};

const FEATURES: usize = 6;
const MODES: [Mode; 6] = [Mode::Leq, Mode::Lt, Mode::Gte, Mode::Gt, Mode::Eq, Mode::Neq];
/// Values of features and thresholds: few, so that they meet.
const VALUES: [f64; 16] = [
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    0.0,
    -0.0,
    1e-45,
    -1e-45,
    0.5,
    -0.5,
    1.0,
    1.000_000_119_209_289_6,
    -1.0,
    3.0,
    7.5,
    3.4e38,
    -3.4e38,
];

/// Numbers of a sequence that its seed fixes.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn value(&mut self) -> f64 {
        VALUES[self.below(VALUES.len())]
    }
}

/// What a forest is made like.
#[derive(Clone, Copy, Debug)]
struct Plan {
    seed: u64,
    trees: usize,
    depth: u32,
    /// How many of the six comparisons occur.
    modes: usize,
    categories: bool,
    /// Whether all leaves add to one target, or those of each tree to one of its own.
    single: bool,
}

struct Described<T> {
    raw: Vec<Raw<T>>,
    roots: Vec<u32>,
    sets: Vec<Vec<u32>>,
    /// Place, target and weight, in order of places; a weight is the number of its leaf.
    weights: Vec<(u32, u32, T)>,
}

impl<T: Walks> Described<T> {
    fn new(plan: Plan) -> Self {
        let mut random = Random(plan.seed | 1);
        let mut out = Self { raw: Vec::new(), roots: Vec::new(), sets: Vec::new(), weights: Vec::new() };
        if plan.categories {
            let set = |random: &mut Random| {
                (0..random.below(6)).map(|_| [0, 1, 3, 7, 40, 4000][random.below(6)]).collect()
            };
            out.sets = (0..5).map(|_| set(&mut random)).collect();
        }
        for tree in 0..plan.trees {
            let first = out.raw.len();
            let root = out.grow(plan, plan.depth, first, &mut random);
            out.roots.push(root);
            let target = if plan.single { 0 } else { tree as u32 };
            for place in first..out.raw.len() {
                if matches!(out.raw[place], Raw::Leaf(_)) {
                    let number = T::of_i64(out.weights.len() as i64 + 1);
                    out.weights.push((place as u32, target, number));
                }
            }
        }
        out
    }

    /// Makes a node of this tree and what is below it, or takes one that is there already.
    fn grow(&mut self, plan: Plan, depth: u32, first: usize, random: &mut Random) -> u32 {
        if self.raw.len() > first && random.below(12) == 0 {
            return (first + random.below(self.raw.len() - first)) as u32;
        }
        if depth == 0 || random.below(10) == 0 {
            self.raw.push(Raw::Leaf(T::default()));
            return self.raw.len() as u32 - 1;
        }
        let yes = self.grow(plan, depth - 1, first, random);
        let no = self.grow(plan, depth - 1, first, random);
        let (feature, missing) = (random.below(FEATURES) as u32, random.below(2) == 0);
        self.raw.push(if plan.categories && random.below(3) == 0 {
            let rounding = [Rounding::Truncate, Rounding::Floor, Rounding::Exact][random.below(3)];
            let set = random.below(self.sets.len()) as u32;
            Raw::Member { feature, rounding, set, missing, yes, no }
        } else {
            let (mode, value) = (MODES[random.below(plan.modes)], T::of_f64(random.value()));
            Raw::Branch { feature, mode, value, missing, yes, no }
        });
        self.raw.len() as u32 - 1
    }

    /// The leaf of a row, by the description alone.
    fn leaf(&self, mut place: u32, row: &[T]) -> u32 {
        loop {
            let (yes, no, chosen) = match self.raw[place as usize] {
                Raw::Leaf(_) => return place,
                Raw::Branch { feature, mode, value, missing, yes, no } => {
                    let x = row[feature as usize];
                    let compared = match mode {
                        Mode::Leq => x <= value,
                        Mode::Lt => x < value,
                        Mode::Gte => x >= value,
                        Mode::Gt => x > value,
                        Mode::Eq => x == value,
                        Mode::Neq => x != value,
                    };
                    (yes, no, compared || missing && x.is_nan())
                }
                Raw::Member { feature, rounding, set, missing, yes, no } => {
                    let x = row[feature as usize].f64();
                    let category = match rounding {
                        Rounding::Truncate => x.trunc(),
                        Rounding::Floor => x.floor(),
                        Rounding::Exact => x,
                    };
                    let found = self.sets[set as usize].iter().any(|member| f64::from(*member) == category);
                    (yes, no, if x.is_nan() { missing } else { found })
                }
            };
            place = if chosen { yes } else { no };
        }
    }
}

fn check<T: Walks>(plan: Plan, data: fn(Vec<f64>) -> Data) -> Result<(), TestCaseError> {
    let forest = Described::<T>::new(plan);
    let targets = if plan.single { 1 } else { plan.trees };
    let Described { raw, roots, sets, weights } = &forest;
    let ensemble = Ensemble::new(raw.clone(), roots.clone(), sets, weights, Vec::new());
    let ensemble = ensemble.map_err(TestCaseError::fail)?;
    let mut random = Random(plan.seed ^ 0x5555);
    let mut work = Work::default();
    for count in [1, 70] {
        let values: Vec<f64> = (0..count * FEATURES).map(|_| random.value()).collect();
        let typed: Vec<T> = values.iter().map(|value| T::of_f64(*value)).collect();
        let input = Tensor::new(&[count, FEATURES], data(values));
        let mut number = 0;
        let mut wrong = None;
        ensemble
            .each_row(&input, (Aggregate::Sum, targets), &mut work, |scores| {
                let row = &typed[number * FEATURES..][..FEATURES];
                let mut expected = vec![0.0; targets];
                for root in roots {
                    let leaf = forest.leaf(*root, row);
                    let at = weights.partition_point(|(place, ..)| *place < leaf);
                    expected[weights[at].1 as usize] += weights[at].2.f64();
                }
                let found: Vec<f64> = scores.scores.iter().map(|score| score.f64()).collect();
                if found != expected && wrong.is_none() {
                    wrong = Some(format!("row {number} of {count}: {found:?}, not {expected:?}"));
                }
                number += 1;
                Ok(())
            })
            .map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(number, count);
        prop_assert!(wrong.is_none(), "{}", wrong.unwrap_or_default());
    }
    Ok(())
}

fn plans() -> impl Strategy<Value = Plan> {
    let sizes = (1_usize..28, 0_u32..13);
    (any::<u64>(), sizes, 1_usize..7, any::<bool>(), any::<bool>())
        // A dozen levels only for few trees: the leaves of all must stay exact in float32.
        .prop_map(|(seed, (trees, depth), modes, categories, single)| Plan {
            seed,
            trees: if depth > 9 { trees.min(6) } else { trees },
            depth,
            modes,
            categories,
            single,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn forests_end_in_the_leaves_that_their_nodes_describe(plan in plans()) {
        // Laid out for this processor, and for any.
        for plain in [false, true] {
            PLAIN.set(plain);
            check::<f32>(plan, |values| Data::Fp32(values.into_iter().map(|value| value as f32).collect()))?;
            check::<f64>(plan, Data::Fp64)?;
        }
    }
}
