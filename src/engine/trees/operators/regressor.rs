//! TreeEnsembleRegressor: one number per target.

use super::aggregate::Aggregate;
use super::ensemble::{Ensemble, Names};
use crate::engine::RunError;
use crate::engine::trees::builder::{Builder, Value, unsupported, wrong};
use crate::engine::trees::element::buffer;
use crate::engine::trees::plan::{Call, Operator, matrix, shaped};
use crate::engine::trees::post::{PostTransform, probit};
use crate::engine::trees::work::Walks;
use crate::model::LoadError;
use crate::onnx::Node;
use crate::tensor::Datatype;

/// More targets than any model has; bounds the scores of a row.
const MAX_TARGETS: usize = 1 << 16;

pub(super) struct Regressor<T: Walks> {
    ensemble: Ensemble<T>,
    targets: usize,
    aggregate: Aggregate,
    post: PostTransform,
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
    let targets = node.int("n_targets")?.copied().unwrap_or(1);
    let targets = usize::try_from(targets).ok().filter(|targets| (1..=MAX_TARGETS).contains(targets));
    let targets = targets.ok_or_else(|| wrong(node, "`n_targets` is out of range"))?;
    let (aggregate, post) = (Aggregate::of(node)?, PostTransform::of(node)?);
    let ensemble =
        Ensemble::<T>::read(node, builder.model, &Names { prefix: "target" }, targets, builder.width(input))?;
    if !ensemble.base.is_empty() && ensemble.base.len() != targets {
        return Err(wrong(node, &format!("{} base values for {targets} targets", ensemble.base.len())));
    }
    Regressor::emit(builder, node, input, ensemble, targets, aggregate, post)
}

impl<T: Walks> Regressor<T> {
    /// Emits the step of a checked ensemble.
    pub(super) fn emit<'m>(
        builder: &mut Builder<'m>,
        node: &'m Node,
        input: Value,
        ensemble: Ensemble<T>,
        targets: usize,
        aggregate: Aggregate,
        post: PostTransform,
    ) -> Result<(), LoadError> {
        if !(1..=MAX_TARGETS).contains(&targets) {
            return Err(wrong(node, "`n_targets` is out of range"));
        }
        // ONNX Runtime leaves it out, the standard does not.
        if targets == 1 && !matches!(post, PostTransform::None | PostTransform::Probit) {
            return Err(unsupported(node, "this post_transform with one target"));
        }
        builder.emit(node, &[input], &[Datatype::Fp32], Self { ensemble, targets, aggregate, post })
    }
}

impl<T: Walks> Operator for Regressor<T> {
    fn run(&self, call: &mut Call<'_>) -> Result<(), RunError> {
        let input = call.inputs.get(0)?;
        let output = &mut call.outputs[0];
        // Before anything is computed: it bounds what is.
        let (rows, _) = matrix(&input.shape)?;
        shaped(output, &[rows, self.targets])?;
        let out = buffer::<f32>(output)?;
        let how = (self.aggregate, self.targets);
        self.ensemble.each_row(input, how, call.work, |row| {
            let start = out.len();
            for (target, score) in row.scores.iter().enumerate() {
                let base = self.ensemble.base.get(target).copied().unwrap_or_default();
                // A target that no leaf speaks of is 0 to ONNX Runtime, whatever its base value.
                let score = if row.scored[target] { *score + base } else { *score };
                out.push(score.f32());
            }
            match &mut out[start..] {
                [single] if self.post == PostTransform::Probit => *single = probit(*single),
                [_] => {}
                scores => self.post.apply(scores),
            }
            Ok(())
        })
    }

    fn bytes(&self) -> usize {
        self.ensemble.bytes()
    }
}
