//! LinearClassifier and LinearRegressor.

use super::classifier::Labels;
use super::dense::multiply;
use crate::engine::RunError;
use crate::engine::trees::builder::{Builder, unsupported, wrong};
use crate::engine::trees::element::{buffer, with_numbers};
use crate::engine::trees::plan::{Call, matrix, shaped};
use crate::engine::trees::post::PostTransform;
use crate::engine::trees::real::Number;
use crate::model::LoadError;
use crate::onnx::Node;
use crate::tensor::{Data, Datatype, Tensor};

/// Coefficients, one column per target.
struct Linear {
    weights: Vec<f32>,
    bias: Vec<f32>,
    features: usize,
}

impl Linear {
    /// Reads `targets` rows of coefficients and turns them on their side.
    fn read(node: &Node, targets: usize) -> Result<Self, LoadError> {
        let listed = node.floats("coefficients")?.unwrap_or_default();
        if targets == 0 || listed.is_empty() || listed.len() % targets != 0 {
            return Err(wrong(node, &format!("{} coefficients for {targets} targets", listed.len())));
        }
        let features = listed.len() / targets;
        let weights = (0..listed.len()).map(|at| listed[(at % targets) * features + at / targets]).collect();
        let bias = match node.floats("intercepts")?.unwrap_or_default() {
            [] => vec![0.0; targets],
            bias if bias.len() == targets => bias.to_vec(),
            bias => return Err(wrong(node, &format!("{} intercepts for {targets} targets", bias.len()))),
        };
        Ok(Self { weights, bias, features })
    }

    /// Fills `output` with a row of scores for each row; gives the number of rows.
    fn run(&self, input: &Tensor, output: &mut Tensor) -> Result<usize, RunError> {
        let (rows, columns) = matrix(&input.shape)?;
        if columns != self.features {
            return Err(RunError::Input(format!("rows have {columns} columns, not {}", self.features)));
        }
        shaped(output, &[rows, self.bias.len()])?;
        let out = buffer::<f32>(output)?;
        with_numbers!(input, values => {
            let values = values.iter().map(|value| value.real::<f32>());
            multiply(values, self.features, &self.weights, &self.bias, out);
            Ok(())
        })?;
        Ok(rows)
    }
}

pub(super) fn classifier<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let input = number(builder, node)?;
    let (labels, post) = (Labels::of(node, "classlabels_ints")?, PostTransform::of(node)?);
    let scores = node.floats("intercepts")?.unwrap_or_default().len();
    let linear = Linear::read(node, scores)?;
    let classes = labels.len();
    match (scores, classes) {
        (1, 2) if post == PostTransform::None => {}
        (1, _) => return Err(unsupported(node, "this post_transform, or these labels, with one score")),
        _ if scores != classes => return Err(wrong(node, &format!("{scores} scores for {classes} labels"))),
        _ => {}
    }
    let outputs = [labels.datatype(), Datatype::Fp32];
    builder.emit(node, &[input], &outputs, move |call: &mut Call<'_>| {
        let input = call.inputs.get(0)?;
        let [label, score] = call.outputs.as_mut_slice() else {
            return Err(RunError::Engine("two outputs were planned".to_owned()));
        };
        let rows = linear.run(input, score)?;
        shaped(label, &[rows])?;
        label.data.reset(labels.datatype());
        let Data::Fp32(out) = &mut score.data else { return Ok(()) };
        if scores == 1 {
            let singles = std::mem::take(out);
            for single in singles {
                labels.push(usize::from(single > 0.0), &mut label.data);
                out.extend([1.0 - single, single]);
            }
        } else {
            for scores in out.chunks_mut(scores) {
                let best =
                    (1..scores.len()).fold(0, |best, at| if scores[at] > scores[best] { at } else { best });
                labels.push(best, &mut label.data);
                post.apply(scores);
            }
        }
        shaped(score, &[rows, classes])?;
        Ok(())
    })
}

pub(super) fn regressor<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let input = number(builder, node)?;
    let targets = usize::try_from(node.int("targets")?.copied().unwrap_or(1)).unwrap_or(0);
    let (linear, post) = (Linear::read(node, targets)?, PostTransform::of(node)?);
    if targets == 1 && post != PostTransform::None {
        return Err(unsupported(node, "a post_transform with one target"));
    }
    builder.emit(node, &[input], &[Datatype::Fp32], move |call: &mut Call<'_>| {
        let output = &mut call.outputs[0];
        linear.run(call.inputs.get(0)?, output)?;
        if let (Data::Fp32(out), 2..) = (&mut output.data, targets) {
            out.chunks_mut(targets).for_each(|scores| post.apply(scores));
        }
        Ok(())
    })
}

fn number<'m>(
    builder: &mut Builder<'m>,
    node: &'m Node,
) -> Result<crate::engine::trees::builder::Value, LoadError> {
    let input = builder.input(node, 0)?;
    match input.datatype {
        Datatype::Fp32 | Datatype::Fp64 | Datatype::Int32 | Datatype::Int64 => Ok(input),
        other => Err(unsupported(node, &format!("{other} features"))),
    }
}
