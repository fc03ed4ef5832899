//! When two answers to a row are the same.
//!
//! Flat, a hundred-thousandth of what is above 1. Where leaves cancel, float32 sums of them are further apart than that for
//! rounding alone: then both are held against the sum in float64, and the bound grows with the leaves that were added up.

use sidegate::booster::{Booster, Forest, Transform};

use crate::walk::Walk;

/// By which answers may differ, as a part of what is above 1.
pub(crate) const TOLERANCE: f64 = 1e-5;

/// How far an answer is from another, as a part of what is above 1; infinitely where one of both is no number.
pub(crate) fn apart(found: f64, wanted: f64) -> f64 {
    if found == wanted || (found.is_nan() && wanted.is_nan()) {
        return 0.0;
    }
    let off = (found - wanted).abs() / wanted.abs().max(1.0);
    if off.is_nan() { f64::INFINITY } else { off }
}

/// Whether rounding accounts for both answers of these trees to a row, however far apart they are.
pub(crate) fn is_rounding(booster: &Booster, row: &[f32], answers: [&[f64]; 2]) -> bool {
    let sums = match &booster.forest {
        Forest::Single(trees) => sums(trees, booster, row),
        Forest::Double(trees) => sums(trees, booster, row),
    };
    let ranges = ranges(booster.transform, &sums);
    let within = |(answer, [low, high]): (&f64, &[f64; 2])| {
        let more = |end: &f64| TOLERANCE * end.abs().max(1.0);
        (low - more(low)..=high + more(high)).contains(answer)
    };
    answers.iter().all(|answers| answers.len() == ranges.len() && answers.iter().zip(&ranges).all(within))
}

/// By target the sum of the leaves that a row reaches, and how far off it a sum in float32 may be.
fn sums(trees: &impl Walk, booster: &Booster, row: &[f32]) -> Vec<[f64; 2]> {
    let mut sums = vec![[0.0; 2]; booster.targets];
    for tree in trees.trees() {
        if let Some([sum, size]) = sums.get_mut(tree.target as usize) {
            let leaf = trees.leaf(tree.root, row, |_| ());
            *sum += leaf;
            *size += leaf.abs();
        }
    }
    let divisor = booster.divisor.map_or(1.0, f64::from);
    sums.iter().map(|[sum, size]| [sum / divisor, TOLERANCE * (size / divisor).max(1.0)]).collect()
}

/// The least and the most that scores between sum − off and sum + off can become.
fn ranges(transform: Transform, sums: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let [mut low, mut high]: [Vec<f64>; 2] =
        [-1.0, 1.0].map(|side| sums.iter().map(|[sum, off]| sum + side * off).collect());
    // What rises with a score alone.
    let rises: fn(f64, f64) -> f64 = match transform {
        Transform::Identity => |score, _| score,
        Transform::Logistic { .. } => |score, slope| 1.0 / (1.0 + (-slope * score).exp()),
        Transform::Exp => |score, _| score.exp(),
        Transform::Softplus => |score, _| score.max(0.0) + (-score.abs()).exp().ln_1p(),
        Transform::SignedSquare => |score, _| score * score.abs(),
        Transform::Hinge => |score, _| f64::from(score > 0.0),
        // The least of each place is the least of those in that place.
        Transform::Sorted => {
            [&mut low, &mut high].into_iter().for_each(|ends| ends.sort_by(f64::total_cmp));
            |score, _| score
        }
        Transform::Softmax => {
            let share = |own: f64, others: &[f64], at: usize| {
                let others = others.iter().enumerate().filter(|(other, _)| *other != at);
                1.0 / (1.0 + others.map(|(_, other)| (other - own).exp()).sum::<f64>())
            };
            return (0..sums.len())
                .map(|at| [share(low[at], &high, at), share(high[at], &low, at)])
                .collect();
        }
        // A class is right or wrong.
        Transform::ArgMax => return Vec::new(),
    };
    let slope = if let Transform::Logistic { slope } = transform { slope } else { 1.0 };
    low.iter().zip(&high).map(|(low, high)| [rises(*low, slope), rises(*high, slope)]).collect()
}

#[cfg(test)]
mod tests {
    use sidegate::booster::{Node, Tree, Trees};

    use super::*;

    /// Trees of one leaf each, by target.
    fn booster(leaves: &[&[f32]], transform: Transform) -> Booster {
        let mut trees = Trees::<f32>::default();
        for (target, leaves) in leaves.iter().enumerate() {
            for leaf in *leaves {
                trees.trees.push(Tree { root: trees.nodes.len() as u32, target: target as u32 });
                trees.nodes.push(Node::Leaf(*leaf));
            }
        }
        Booster::new(Forest::Single(trees), 1, Vec::new(), leaves.len(), None, transform).unwrap()
    }

    #[track_caller]
    fn check(booster: &Booster, answers: &[f64], expected: bool) {
        let Forest::Single(trees) = &booster.forest else { panic!() };
        let sums: Vec<[f64; 2]> = sums(trees, booster, &[0.0]).iter().map(|[sum, _]| [*sum, 0.0]).collect();
        let mut exact: Vec<f64> = ranges(booster.transform, &sums).iter().map(|[low, _]| *low).collect();
        exact.resize(answers.len().min(sums.len()), 0.0);
        assert_eq!(is_rounding(booster, &[0.0], [answers, &exact]), expected, "{answers:?}, {exact:?}");
        assert_eq!(
            is_rounding(booster, &[0.0], [&exact, answers]),
            expected,
            "either may be the one that is off"
        );
    }

    #[test]
    fn the_bound_is_that_of_the_leaves_and_not_of_their_sum() {
        let cancels = booster(&[&[3e4, 2.0, -3e4]], Transform::Identity);
        for (answer, expected) in [(2.0, true), (2.5, true), (2.61, false), (1.39, false), (f64::NAN, false)]
        {
            check(&cancels, &[answer], expected);
        }
        let small = booster(&[&[0.5, 2.0, -0.25]], Transform::Identity);
        for (answer, expected) in [(2.25, true), (2.250_01, true), (2.2501, false), (2.249, false)] {
            check(&small, &[answer], expected);
        }
        // As many numbers as it answers.
        check(&small, &[2.25, 2.25], false);
    }

    #[test]
    fn what_is_made_of_a_sum_is_bounded_by_what_is_made_of_its_ends() {
        let of = |transform, leaves: &[&[f32]], inside: &[f64], outside: &[f64]| {
            let booster = booster(leaves, transform);
            check(&booster, inside, true);
            check(&booster, outside, false);
        };
        // Off by 0.2 at most.
        let one: &[&[f32]] = &[&[1e4, 1.0, -1e4]];
        let logistic = |x: f64| 1.0 / (1.0 + (-2.0 * x).exp());
        of(Transform::Logistic { slope: 2.0 }, one, &[logistic(1.19)], &[logistic(1.21)]);
        of(Transform::Exp, one, &[0.81_f64.exp()], &[0.79_f64.exp()]);
        of(Transform::Softplus, one, &[(1.0 + 1.19_f64.exp()).ln()], &[(1.0 + 1.21_f64.exp()).ln()]);
        of(Transform::SignedSquare, &[&[1e4, -1.0, -1e4]], &[-1.19 * 1.19], &[-1.21 * 1.21]);
        of(Transform::Hinge, &[&[1e4, 0.1, -1e4]], &[0.0], &[0.5 + 1e3]);
        of(Transform::Hinge, one, &[1.0], &[0.0]);
        let two: &[&[f32]] = &[&[1e4, 1.0, -1e4], &[0.5]];
        of(Transform::Sorted, two, &[0.5, 1.19], &[0.5, 1.21]);
        let share = 1.0 / (1.0 + (0.5_f64 - 1.19).exp());
        of(Transform::Softmax, two, &[share, 1.0 - share], &[share + 0.01, 0.99 - share]);
        let booster = booster(two, Transform::ArgMax);
        check(&booster, &[1.0], false);
    }

    #[test]
    fn what_is_no_number_is_as_far_off_as_can_be() {
        assert_eq!(
            [apart(1.0, 1.0), apart(f64::NAN, f64::NAN), apart(f64::INFINITY, f64::INFINITY)],
            [0.0; 3]
        );
        for pair in [[f64::NAN, 1.0], [1.0, f64::NAN], [1.0, f64::INFINITY], [f64::INFINITY, 1.0]] {
            assert_eq!(apart(pair[0], pair[1]), f64::INFINITY);
        }
        assert_eq!([apart(1.5, 1.0), apart(15.0, 10.0), apart(0.5, 0.25)], [0.5, 0.5, 0.25]);
    }
}
