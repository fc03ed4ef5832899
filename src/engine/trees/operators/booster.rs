//! Boosted trees of XGBoost and LightGBM: a whole model as one step.

use super::aggregate::{Aggregate, Scores};
use super::ensemble::Ensemble;
use crate::booster::{Booster, Forest, Node, Test, Transform, Trees};
use crate::engine::RunError;
use crate::engine::trees::element::{Element, buffer};
use crate::engine::trees::forest::{Mode, Raw, Rounding};
use crate::engine::trees::plan::{Call, Operator, Place, Plan, Step, matrix, shaped};
use crate::engine::trees::work::Walks;
use crate::model::{LoadError, Reason};

struct Boosted<T: Walks> {
    ensemble: Ensemble<T>,
    targets: usize,
    /// What a row's sums are divided by.
    divisor: Option<T>,
    transform: Transform,
}

/// Compiles a model of boosted trees.
pub(in crate::engine::trees) fn compile(booster: &Booster) -> Result<Plan, LoadError> {
    // How a category is read off a number is the library's way.
    let operator: Box<dyn Operator> = match &booster.forest {
        Forest::Single(trees) => boosted(booster, trees, Rounding::Floor)?,
        Forest::Double(trees) => boosted(booster, trees, Rounding::Truncate)?,
    };
    let step = Step {
        name: "the model".to_owned(),
        operator,
        inputs: [Place::Input(0)].into_iter().collect(),
        outputs: [0].into_iter().collect(),
    };
    Ok(Plan {
        steps: vec![step],
        constants: Vec::new(),
        slots: 1,
        outputs: vec![Place::Slot(0)],
        inputs: booster.signature.inputs.iter().map(|input| input.datatype).collect(),
    })
}

fn boosted<T: Walks + Element>(
    booster: &Booster,
    trees: &Trees<T>,
    rounding: Rounding,
) -> Result<Box<dyn Operator>, LoadError> {
    let refused =
        |what| LoadError::new(Reason::Unsupported, format!("the trees engine does not take it: {what}"));
    let raw = trees.nodes.iter().map(|node| raw(node, rounding)).collect();
    let roots = trees.trees.iter().map(|tree| tree.root).collect();
    Ok(Box::new(Boosted {
        ensemble: Ensemble::new(raw, roots, &trees.sets, &weights(trees), Vec::new()).map_err(refused)?,
        targets: booster.targets,
        divisor: booster.divisor.map(|divisor| T::of_i64(divisor.into())),
        transform: booster.transform,
    }))
}

fn raw<T: Walks>(node: &Node<T>, rounding: Rounding) -> Raw<T> {
    let (feature, test, missing, yes, no) = match *node {
        Node::Leaf(value) => return Raw::Leaf(value),
        Node::Split { feature, test, missing, yes, no } => (feature, test, missing, yes, no),
    };
    let branch = |mode, value| Raw::Branch { feature, mode, value, missing, yes, no };
    match test {
        Test::Below(value) => branch(Mode::Lt, value),
        Test::AtMost(value) => branch(Mode::Leq, value),
        Test::OneOf(set) => Raw::Member { feature, rounding, set, missing, yes, no },
    }
}

/// Place, target and weight of every leaf.
fn weights<T: Walks>(trees: &Trees<T>) -> Vec<(u32, u32, T)> {
    let mut weights = Vec::with_capacity(trees.nodes.len() / 2 + 1);
    for (number, tree) in trees.trees.iter().enumerate() {
        for (node, place) in trees.of(number).iter().zip(tree.root..) {
            if let Node::Leaf(value) = node {
                weights.push((place, tree.target, *value));
            }
        }
    }
    weights
}

impl<T: Walks + Element> Operator for Boosted<T> {
    fn run(&self, call: &mut Call<'_>) -> Result<(), RunError> {
        let input = call.inputs.get(0)?;
        let output = &mut call.outputs[0];
        // Before anything is computed: it bounds what is.
        let (rows, _) = matrix(&input.shape)?;
        match self.transform.outputs(self.targets) {
            1 => shaped(output, &[rows])?,
            several => shaped(output, &[rows, several])?,
        };
        let out = buffer::<T>(output)?;
        self.ensemble.each_row(input, (Aggregate::Sum, self.targets), call.work, |row| {
            self.answer(row, out);
            Ok(())
        })
    }

    fn bytes(&self) -> usize {
        self.ensemble.bytes()
    }
}

impl<T: Walks> Boosted<T> {
    /// Appends what is answered for a row.
    fn answer(&self, row: Scores<'_, T>, out: &mut Vec<T>) {
        if let Some(divisor) = self.divisor {
            row.scores.iter_mut().for_each(|score| *score = *score / divisor);
        }
        if self.transform == Transform::ArgMax {
            out.push(T::of_i64(largest(row.scores) as i64));
            return;
        }
        let start = out.len();
        out.extend_from_slice(row.scores);
        let scores = &mut out[start..];
        // In float64 whatever the trees add in; it is rounded once.
        let each = |scores: &mut [T], transform: &dyn Fn(f64) -> f64| {
            scores.iter_mut().for_each(|score| *score = T::of_f64(transform(score.f64())));
        };
        match self.transform {
            Transform::Identity | Transform::ArgMax => {}
            Transform::Logistic { slope } => each(scores, &|x| 1.0 / (1.0 + (-slope * x).exp())),
            Transform::Exp => each(scores, &f64::exp),
            Transform::Softplus => each(scores, &|x| x.exp().ln_1p()),
            Transform::SignedSquare => each(scores, &|x| x.signum() * x * x),
            Transform::Hinge => each(scores, &|x| f64::from(u8::from(x > 0.0))),
            Transform::Sorted => scores.sort_unstable_by(|a, b| a.f64().total_cmp(&b.f64())),
            Transform::Softmax => softmax(scores),
        }
    }
}

/// The number of the first of the largest scores.
fn largest<T: Walks>(scores: &[T]) -> usize {
    let mut best = 0;
    for (number, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = number;
        }
    }
    best
}

fn softmax<T: Walks>(scores: &mut [T]) {
    // Shifted by the largest, so that no exponential overflows.
    let most = scores[largest(scores)].f64();
    let mut sum = 0.0;
    for score in &mut *scores {
        let power = (score.f64() - most).exp();
        sum += power;
        *score = T::of_f64(power);
    }
    scores.iter_mut().for_each(|score| *score = T::of_f64(score.f64() / sum));
}
