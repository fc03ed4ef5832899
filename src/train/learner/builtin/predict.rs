//! What a model of trees answers, computed plainly: the same float32 sums as in serving.

use sidegate::booster::{Booster, Forest, Node, Test, Transform};

/// The scores of a row before the transform.
fn margins(booster: &Booster, row: &[f32]) -> Vec<f32> {
    let mut scores = vec![0f32; booster.targets];
    let Forest::Single(trees) = &booster.forest else { return scores };
    for tree in &trees.trees {
        let mut at = tree.root;
        loop {
            match trees.nodes[at as usize] {
                Node::Leaf(value) => {
                    scores[tree.target as usize] += value;
                    break;
                }
                Node::Split { feature, test, missing, yes, no } => {
                    let value = row[feature as usize];
                    let passes = match test {
                        _ if value.is_nan() => missing,
                        Test::Below(threshold) => value < threshold,
                        Test::AtMost(threshold) => value <= threshold,
                        Test::OneOf(set) => {
                            let set = &trees.sets[set as usize];
                            value >= 0.0 && set.binary_search(&(value as u32)).is_ok()
                        }
                    };
                    at = if passes { yes } else { no };
                }
            }
        }
    }
    if let Some(divisor) = booster.divisor {
        scores.iter_mut().for_each(|score| *score /= divisor as f32);
    }
    scores
}

/// What a model of this crate answers to a row, which has a value for every feature: a number, a probability, or one
/// per class.
pub(super) fn scores(booster: &Booster, row: &[f32]) -> Vec<f32> {
    let mut scores = margins(booster, row);
    match booster.transform {
        Transform::Logistic { slope } => scores
            .iter_mut()
            .for_each(|score| *score = (1.0 / (1.0 + (-slope * f64::from(*score)).exp())) as f32),
        Transform::Softmax => {
            let most = f64::from(scores.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let powers: Vec<f64> = scores.iter().map(|score| (f64::from(*score) - most).exp()).collect();
            let sum: f64 = powers.iter().sum();
            scores
                .iter_mut()
                .zip(powers)
                .for_each(|(score, power)| *score = (f64::from(power as f32) / sum) as f32);
        }
        _ => {}
    }
    scores
}
