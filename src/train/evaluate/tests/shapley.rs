//! TreeSHAP against the sum over all coalitions.

use sidegate::booster::{Booster, Forest, Node, Test, Transform, Tree, Trees};
use sidegate::model::{Signature, TensorSpec};
use sidegate::tensor::Datatype;

use crate::evaluate::random::Random;
use crate::evaluate::{Cover, shap};

const FEATURES: usize = 5;

/// Trees grown by chance, with categories and missing values; features come again on the way down.
fn booster(seed: u64, targets: u32, divisor: Option<u32>) -> Booster {
    let mut random = Random::new(seed, 0);
    let mut trees = Trees::<f64>::default();
    trees.sets = vec![vec![0, 2], vec![1]];
    for number in 0..4 {
        trees.trees.push(Tree { root: trees.nodes.len() as u32, target: number % targets });
        grow(&mut trees, &mut random, 0);
    }
    let spec =
        |name: &str, shape| TensorSpec { name: name.into(), datatype: Datatype::Fp64, shape, labels: None };
    Booster {
        signature: Signature {
            inputs: vec![spec("input", vec![-1, FEATURES as i64])],
            outputs: vec![spec("predict", vec![-1])],
        },
        columns: Vec::new(),
        forest: Forest::Double(trees),
        targets: targets as usize,
        divisor,
        transform: Transform::Identity,
    }
}

fn grow(trees: &mut Trees<f64>, random: &mut Random, depth: usize) -> u32 {
    let at = trees.nodes.len();
    trees.nodes.push(Node::Leaf(random.below(1000) as f64 / 100.0 - 5.0));
    if depth < 2 || (depth < 6 && random.below(3) > 0) {
        let feature = random.below(FEATURES) as u32;
        let test = match (feature, random.below(2)) {
            (4, set) => Test::OneOf(set as u32),
            (_, 0) => Test::Below(random.below(8) as f64),
            _ => Test::AtMost(random.below(8) as f64),
        };
        let (missing, yes) = (random.below(2) == 0, grow(trees, random, depth + 1));
        let no = grow(trees, random, depth + 1);
        trees.nodes[at] = Node::Split { feature, test, missing, yes, no };
    }
    at as u32
}

fn rows(seed: u64, count: usize) -> Vec<f32> {
    let mut random = Random::new(seed, 1);
    let mut value = |at: usize| match random.below(10) {
        0 => f32::NAN,
        _ if at % FEATURES == 4 => random.below(4) as f32,
        _ => random.below(17) as f32 / 2.0,
    };
    (0..count * FEATURES).map(&mut value).collect()
}

fn passes(trees: &Trees<f64>, test: Test<f64>, missing: bool, value: f32) -> bool {
    match test {
        _ if value.is_nan() => missing,
        Test::Below(threshold) => f64::from(value) < threshold,
        Test::AtMost(threshold) => f64::from(value) <= threshold,
        Test::OneOf(set) => trees.sets[set as usize].contains(&(value as u32)),
    }
}

/// What a tree says where only the features of a coalition are known (Lundberg's EXPVALUE).
fn expected(trees: &Trees<f64>, cover: &[f64], at: u32, row: &[f32], known: u32) -> f64 {
    match trees.nodes[at as usize] {
        Node::Leaf(value) => value,
        Node::Split { feature, test, missing, yes, no } if known >> feature & 1 == 1 => {
            let next = if passes(trees, test, missing, row[feature as usize]) { yes } else { no };
            expected(trees, cover, next, row, known)
        }
        Node::Split { yes, no, .. } => {
            let [left, right] = [yes, no].map(|node| cover[node as usize]);
            let share = if left + right > 0.0 { left / (left + right) } else { 0.5 };
            share * expected(trees, cover, yes, row, known)
                + (1.0 - share) * expected(trees, cover, no, row, known)
        }
    }
}

fn count(trees: &Trees<f64>, rows: &[f32]) -> Vec<f64> {
    let mut cover = vec![0.0; trees.nodes.len()];
    for row in rows.chunks_exact(FEATURES) {
        for tree in &trees.trees {
            let mut at = tree.root;
            cover[at as usize] += 1.0;
            while let Node::Split { feature, test, missing, yes, no } = trees.nodes[at as usize] {
                at = if passes(trees, test, missing, row[feature as usize]) { yes } else { no };
                cover[at as usize] += 1.0;
            }
        }
    }
    cover
}

fn factorial(n: u32) -> f64 {
    (1..=n).map(f64::from).product()
}

#[test]
fn values_are_the_sum_over_all_coalitions_and_add_up_to_the_score() {
    for (seed, targets, divisor) in
        (0..30).map(|seed| (seed, seed as u32 % 3 + 1, (seed % 4 == 0).then_some(4)))
    {
        let booster = booster(seed, targets, divisor);
        let Forest::Double(trees) = &booster.forest else { panic!() };
        // So few that some nodes see none.
        let background = rows(seed, 12);
        let mut cover = Cover::new(&booster);
        cover.add(&booster, &background, None, 2).unwrap();
        let counts = count(trees, &background);
        assert_eq!(cover, Cover::given(&booster, counts.clone()).unwrap());
        let asked = rows(seed + 1000, 6);
        let found = shap(&booster, &cover, &asked, 1 + seed as usize % 3).unwrap();
        let divisor = divisor.map_or(1.0, f64::from);
        for (at, row) in asked.chunks_exact(FEATURES).enumerate() {
            for target in 0..targets {
                let of = |known: u32| -> f64 {
                    let own = trees.trees.iter().filter(|tree| tree.target == target);
                    own.map(|tree| expected(trees, &counts, tree.root, row, known)).sum::<f64>() / divisor
                };
                let from = (at * targets as usize + target as usize) * FEATURES;
                let values = &found.values[from..from + FEATURES];
                for (feature, got) in values.iter().enumerate() {
                    let others = (0..1_u32 << FEATURES).filter(|known| known >> feature & 1 == 0);
                    let want: f64 = others
                        .map(|known| {
                            let k = known.count_ones();
                            let share = factorial(k) * factorial(FEATURES as u32 - 1 - k)
                                / factorial(FEATURES as u32);
                            share * (of(known | 1 << feature) - of(known))
                        })
                        .sum();
                    assert!(
                        (got - want).abs() < 1e-12,
                        "seed {seed}, row {at}, feature {feature}: {got} and not {want}"
                    );
                }
                let base = found.base[target as usize];
                assert!((base - of(0)).abs() < 1e-12);
                assert!(
                    (base + values.iter().sum::<f64>() - of((1 << FEATURES) - 1)).abs() < 1e-12,
                    "{seed}"
                );
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let booster = booster(1, 1, None);
    let cover = Cover::new(&booster);
    assert!(shap(&booster, &cover, &[0.0; 7], 1).unwrap_err().contains("7 values"));
    assert!(Cover::given(&booster, vec![1.0]).is_err());
    assert!(cover.clone().add(&booster, &[0.0; 5], Some(&[]), 1).is_err());
    let other = super::super::shap(&booster, &Cover::new(&self::booster(2, 1, None)), &[0.0; 5], 1);
    assert!(other.unwrap_err().contains("another booster"));
    // Covers of no rows: every side is as good, and the values still add up.
    let found = shap(&booster, &cover, &rows(1, 3), 2).unwrap();
    assert!(found.values.iter().all(|value| value.is_finite()));
    assert_eq!(found.mean_absolute().len(), FEATURES);
}
