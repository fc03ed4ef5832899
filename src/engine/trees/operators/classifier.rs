//! TreeEnsembleClassifier: a label and a score per class.

use super::aggregate::{Aggregate, Scores};
use super::ensemble::{Ensemble, Names, numbers};
use crate::engine::RunError;
use crate::engine::trees::builder::{Builder, Value, unsupported, wrong};
use crate::engine::trees::element::buffer;
use crate::engine::trees::plan::{Call, Operator, matrix, shaped};
use crate::engine::trees::post::{PostTransform, logistic};
use crate::engine::trees::work::Walks;
use crate::model::LoadError;
use crate::onnx::{Model, Node};
use crate::tensor::{Data, Datatype, Strings};

/// The labels of the classes.
pub(super) enum Labels {
    Ints(Vec<i64>),
    Strings(Strings),
}

struct Classifier<T: Walks> {
    ensemble: Ensemble<T>,
    labels: Labels,
    classes: usize,
    post: PostTransform,
    /// No weight is negative: of two classes they are taken for the probability of the second one.
    all_positive: bool,
    /// Of two classes, what a leaf says for the one it says against the other.
    mirrored: bool,
}

pub(super) fn build<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let input = builder.input(node, 0)?;
    match input.datatype {
        Datatype::Fp32 | Datatype::Int32 | Datatype::Int64 => typed::<f32>(builder, node, input),
        Datatype::Fp64 => typed::<f64>(builder, node, input),
        other => Err(unsupported(node, &format!("{other} features"))),
    }
}

fn typed<'m, T: Walks>(builder: &mut Builder<'m>, node: &'m Node, input: Value) -> Result<(), LoadError> {
    let labels = Labels::of(node, "classlabels_int64s")?;
    let (classes, post) = (labels.len(), PostTransform::of(node)?);
    let ensemble =
        Ensemble::<T>::read(node, builder.model, &Names { prefix: "class" }, classes, builder.width(input))?;
    let ids = node.ints("class_ids")?.unwrap_or_default();
    let base = ensemble.base.len();
    let mirrored = classes == 2 && mirrored::<T>(node, builder.model)?;
    match classes {
        0 | 1 => return Err(unsupported(node, &format!("{classes} classes"))),
        2 if post == PostTransform::Probit => return Err(unsupported(node, "PROBIT with two classes")),
        // ONNX Runtime's label is the second one whenever its score is positive, whatever the first one's is: the
        // same when that is its negative.
        2 if mirrored && base == 0 => {}
        2 if ids.windows(2).any(|pair| pair[0] != pair[1]) => {
            return Err(unsupported(node, "weights for both of two classes"));
        }
        // It adds none of these where it belongs.
        2 if base > 0 && (base == 2 || ids.first() != Some(&0)) => {
            return Err(unsupported(node, &format!("{base} base values with these weights")));
        }
        _ if base > classes => return Err(wrong(node, &format!("{base} base values for {classes} classes"))),
        _ => {}
    }
    let all_positive = ensemble.all_positive;
    let outputs = [labels.datatype(), Datatype::Fp32];
    let operator = Classifier { ensemble, labels, classes, post, all_positive, mirrored };
    builder.emit(node, &[input], &outputs, operator)
}

/// Whether weights come in pairs, one for each of two classes, that differ in nothing but the sign: CatBoost's do.
fn mirrored<T: Walks>(node: &Node, model: &Model) -> Result<bool, LoadError> {
    let ids = node.ints("class_ids")?.unwrap_or_default();
    let (trees, nodes) = (node.ints("class_treeids")?, node.ints("class_nodeids")?);
    let weights: Vec<T> = numbers(node, model, "class_weights")?.unwrap_or_default();
    let (trees, nodes) = (trees.unwrap_or_default(), nodes.unwrap_or_default());
    let some = weights.iter().any(|weight| *weight < T::default());
    let pair = |at: usize| {
        ids[at] == 0
            && ids[at + 1] == 1
            && trees[at] == trees[at + 1]
            && nodes[at] == nodes[at + 1]
            && weights[at].f64() == -weights[at + 1].f64()
    };
    let lengths = [trees.len(), nodes.len(), weights.len()];
    let paired = ids.len() % 2 == 0 && lengths.iter().all(|length| *length == ids.len());
    Ok(some && paired && (0..ids.len()).step_by(2).all(pair))
}

impl<T: Walks> Operator for Classifier<T> {
    fn run(&self, call: &mut Call<'_>) -> Result<(), RunError> {
        let input = call.inputs.get(0)?;
        let [labels, scores] = call.outputs.as_mut_slice() else {
            return Err(RunError::Engine("two outputs were planned".to_owned()));
        };
        // Before anything is computed: it bounds what is.
        let (rows, _) = matrix(&input.shape)?;
        shaped(labels, &[rows])?;
        shaped(scores, &[rows, self.classes])?;
        labels.data.reset(self.labels.datatype());
        let out = buffer::<f32>(scores)?;
        let how = (Aggregate::Sum, self.classes);
        self.ensemble.each_row(input, how, call.work, |mut row| {
            let class =
                if self.classes == 2 { self.two(&mut row, out) } else { self.several(&mut row, out)? };
            self.labels.push(class, &mut labels.data);
            Ok(())
        })
    }

    fn bytes(&self) -> usize {
        self.ensemble.bytes()
    }
}

impl<T: Walks> Classifier<T> {
    fn several(&self, row: &mut Scores<'_, T>, out: &mut Vec<f32>) -> Result<usize, RunError> {
        for ((score, scored), base) in row.scores.iter_mut().zip(&mut *row.scored).zip(&self.ensemble.base) {
            *score = *score + *base;
            *scored = true;
        }
        let mut best: Option<usize> = None;
        for class in (0..self.classes).filter(|class| row.scored[*class]) {
            if best.is_none_or(|best| row.scores[class] > row.scores[best]) {
                best = Some(class);
            }
        }
        let start = out.len();
        out.extend(row.scores.iter().map(|score| score.f32()));
        self.post.apply(&mut out[start..]);
        best.ok_or_else(|| RunError::Engine("no leaf has a weight".to_owned()))
    }

    fn two(&self, row: &mut Scores<'_, T>, out: &mut Vec<f32>) -> usize {
        let base = |class| self.ensemble.base.get(class).copied().unwrap_or_default();
        // What the weights say, they say for the second class, even if they name the first.
        let least = if self.all_positive { T::of_f32(0.5) } else { T::default() };
        if self.mirrored {
            let start = out.len();
            out.extend(row.scores.iter().map(|score| score.f32()));
            self.post.apply(&mut out[start..]);
            return usize::from(row.scores[1] > T::default());
        }
        if row.scored[1] {
            let start = out.len();
            out.extend([0.0, row.scores[1].f32()]);
            self.post.apply(&mut out[start..]);
            return usize::from(row.scores[1] > least);
        }
        let score = row.scores[0] + base(0);
        let single = score.f32();
        out.extend(match self.post {
            _ if self.all_positive => [1.0 - single, single],
            PostTransform::Logistic => [logistic(-single), logistic(single)],
            _ => [-single, single],
        });
        usize::from(score > least)
    }
}

impl Labels {
    /// Reads the labels of a classifier; what the list of integers is called differs.
    pub(super) fn of(node: &Node, ints: &str) -> Result<Self, LoadError> {
        let strings = node.strings("classlabels_strings")?.filter(|list| !list.is_empty());
        let ints = node.ints(ints)?.filter(|list| !list.is_empty());
        match (strings, ints) {
            (Some(strings), None) => Ok(Self::Strings(strings.clone())),
            (None, Some(ints)) => Ok(Self::Ints(ints.to_vec())),
            _ => Err(wrong(node, "labels must be either integers or texts")),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Ints(labels) => labels.len(),
            Self::Strings(labels) => labels.len(),
        }
    }

    pub(super) fn datatype(&self) -> Datatype {
        match self {
            Self::Ints(_) => Datatype::Int64,
            Self::Strings(_) => Datatype::Bytes,
        }
    }

    /// Appends the label of a class to data of [`Labels::datatype`].
    pub(super) fn push(&self, class: usize, data: &mut Data) {
        match (self, data) {
            (Self::Ints(labels), Data::Int64(out)) => out.push(labels[class]),
            (Self::Strings(labels), Data::Bytes(out)) => out.push(labels.get(class).unwrap_or_default()),
            _ => {}
        }
    }
}
