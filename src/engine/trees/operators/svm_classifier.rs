//! SVMClassifier: every pair of classes is decided on its own, then votes or probabilities are counted.

use super::classifier::Labels;
use super::svm::{Kernel, features};
use crate::engine::RunError;
use crate::engine::trees::builder::{Builder, unsupported, wrong};
use crate::engine::trees::element::{buffer, elements};
use crate::engine::trees::plan::{Call, Operator, shaped};
use crate::engine::trees::post::logistic;
use crate::model::LoadError;
use crate::onnx::Node;
use crate::tensor::Datatype;

/// More classes than any model has: their pairs are counted.
const MAX_CLASSES: usize = 1 << 8;

struct Classifier {
    kernel: Kernel,
    labels: Labels,
    /// Where the support vectors of each class begin, and where the last ones end.
    starts: Vec<usize>,
    /// A row less than there are classes: what a support vector weighs against each of the other classes.
    weights: Vec<f32>,
    rho: Vec<f32>,
    /// Of each pair; empty without probabilities.
    sigmoids: Vec<(f32, f32)>,
}

pub(super) fn build<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let input = features(builder, node)?;
    if !matches!(node.string("post_transform")?, None | Some(b"NONE")) {
        return Err(unsupported(node, "a post_transform"));
    }
    let labels = Labels::of(node, "classlabels_ints")?;
    let classes = labels.len();
    if !(2..=MAX_CLASSES).contains(&classes) {
        return Err(unsupported(node, &format!("{classes} classes")));
    }
    let mut starts = vec![0_usize];
    for count in node.ints("vectors_per_class")?.unwrap_or_default() {
        let end = usize::try_from(*count).ok().and_then(|count| count.checked_add(*starts.last()?));
        starts.push(end.ok_or_else(|| wrong(node, "`vectors_per_class` is out of range"))?);
    }
    if starts.len() == 1 {
        return Err(unsupported(node, "no support vectors"));
    }
    let kernel = Kernel::read(node, starts[starts.len() - 1])?;
    let list = |name: &str| Ok::<_, LoadError>(node.floats(name)?.unwrap_or_default().to_vec());
    let (weights, rho) = (list("coefficients")?, list("rho")?);
    let (a, b) = (list("prob_a")?, list("prob_b")?);
    let pairs = classes * (classes - 1) / 2;
    let fits = starts.len() == classes + 1
        && weights.len() == (classes - 1) * kernel.count
        && rho.len() == pairs
        && a.len() == b.len()
        && (a.is_empty() || a.len() == pairs);
    if !fits {
        return Err(wrong(node, &format!("the lists do not fit {classes} classes")));
    }
    let sigmoids = a.into_iter().zip(b).collect();
    let outputs = [labels.datatype(), Datatype::Fp32];
    builder.emit(node, &[input], &outputs, Classifier { kernel, labels, starts, weights, rho, sigmoids })
}

impl Operator for Classifier {
    fn run(&self, call: &mut Call<'_>) -> Result<(), RunError> {
        let input = call.inputs.get(0)?;
        let [labels, scores] = call.outputs.as_mut_slice() else {
            return Err(RunError::Engine("two outputs were planned".to_owned()));
        };
        let (rows, classes) = (self.kernel.rows(&input.shape)?, self.labels.len());
        let width = if self.sigmoids.is_empty() && classes > 2 { self.rho.len() } else { classes };
        shaped(labels, &[rows])?;
        shaped(scores, &[rows, width])?;
        labels.data.reset(self.labels.datatype());
        let out = buffer::<f32>(scores)?;
        let (mut kernels, mut pairs) = (Vec::new(), Vec::new());
        for row in elements::<f32>(input)?.chunks_exact(self.kernel.features) {
            self.kernel.run(row, &mut kernels);
            let class = self.decide(&kernels, &mut pairs);
            self.labels.push(class, &mut labels.data);
            match pairs.as_slice() {
                _ if !self.sigmoids.is_empty() => out.extend(self.probabilities(&pairs)),
                [single] => out.extend([-single, *single]),
                all => out.extend_from_slice(all),
            }
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.kernel.bytes() + size_of_val(&*self.weights)
    }
}

impl Classifier {
    /// Decides every pair, and gives the first class with the most votes.
    fn decide(&self, kernels: &[f32], pairs: &mut Vec<f32>) -> usize {
        let (classes, count) = (self.labels.len(), self.kernel.count);
        let mut votes = vec![0_u32; classes];
        pairs.clear();
        let part = |row: usize, class: usize| {
            let range = self.starts[class]..self.starts[class + 1];
            let weights = &self.weights[row * count..][range.clone()];
            weights
                .iter()
                .zip(&kernels[range])
                .map(|(weight, kernel)| f64::from(weight * kernel))
                .sum::<f64>()
        };
        for first in 0..classes {
            for second in first + 1..classes {
                let sum = part(second - 1, first) + part(first, second) + f64::from(self.rho[pairs.len()]);
                pairs.push(sum as f32);
                votes[if sum > 0.0 { first } else { second }] += 1;
            }
        }
        (1..classes).fold(0, |best, class| if votes[class] > votes[best] { class } else { best })
    }

    /// From what each pair says to one probability per class: Wu, Lin and Weng (2004), second method, whose equations
    /// are solved in rounds. It ends early, so the rounds must be those of libsvm.
    fn probabilities(&self, pairs: &[f32]) -> Vec<f32> {
        const MOST_ROUNDS: usize = 100;
        let classes = self.labels.len();
        let mut beats = vec![0.0_f32; classes * classes];
        let mut each = pairs.iter().zip(&self.sigmoids);
        for first in 0..classes {
            for second in first + 1..classes {
                let Some((score, (a, b))) = each.next() else { break };
                let share = (1.0 - logistic(score * a + b)).clamp(1e-7, 1.0 - 1e-7);
                beats[first * classes + second] = share;
                beats[second * classes + first] = 1.0 - share;
            }
        }
        let beat = |first: usize, second: usize| beats[first * classes + second];
        let mut q = vec![0.0_f32; classes * classes];
        for i in 0..classes {
            for j in (0..classes).filter(|j| *j != i) {
                q[i * classes + i] += beat(j, i) * beat(j, i);
                q[i * classes + j] = -beat(j, i) * beat(i, j);
            }
        }
        let mut p = vec![1.0 / classes as f32; classes];
        let mut qp = vec![0.0_f32; classes];
        for _ in 0..MOST_ROUNDS {
            let mut pqp = 0.0;
            for i in 0..classes {
                qp[i] = (0..classes).fold(0.0, |sum, j| sum + q[i * classes + j] * p[j]);
                pqp += p[i] * qp[i];
            }
            let error = qp.iter().map(|value| (value - pqp).abs()).fold(0.0, f32::max);
            if error < 0.005 / classes as f32 {
                break;
            }
            for i in 0..classes {
                let own = q[i * classes + i];
                let step = (pqp - qp[i]) / own;
                p[i] += step;
                pqp = (pqp + step * (step * own + 2.0 * qp[i])) / (1.0 + step) / (1.0 + step);
                for j in 0..classes {
                    qp[j] = (qp[j] + step * q[i * classes + j]) / (1.0 + step);
                    p[j] /= 1.0 + step;
                }
            }
        }
        p
    }
}
