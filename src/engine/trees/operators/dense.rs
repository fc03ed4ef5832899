//! MatMul and Gemm with a constant matrix: linear models and small nets.

use crate::engine::RunError;
use crate::engine::trees::builder::{Builder, unsupported};
use crate::engine::trees::element::{buffer, elements};
use crate::engine::trees::plan::{Call, shaped};
use crate::model::LoadError;
use crate::onnx::Node;
use crate::tensor::{Data, Datatype, Shape, Tensor};

/// Appends `values` (rows of `inner`) times `weights` (`inner` rows, a column per entry of `bias`) plus `bias`.
///
/// Column by column of a row of weights, so that the compiler can use vectors.
pub(super) fn multiply(
    values: impl Iterator<Item = f32>,
    inner: usize,
    weights: &[f32],
    bias: &[f32],
    out: &mut Vec<f32>,
) {
    let columns = bias.len();
    let mut at = out.len();
    for (index, value) in values.enumerate() {
        let k = index % inner;
        if k == 0 {
            at = out.len();
            out.extend_from_slice(bias);
        }
        for (sum, weight) in out[at..].iter_mut().zip(&weights[k * columns..][..columns]) {
            *sum += value * weight;
        }
    }
}

struct Dense {
    weights: Vec<f32>,
    bias: Vec<f32>,
    inner: usize,
}

impl Dense {
    fn run(&self, call: &mut Call<'_>) -> Result<(), RunError> {
        let (input, output) = (call.inputs.get(0)?, &mut call.outputs[0]);
        if input.shape.len() < 2 || input.shape.last() != Some(&self.inner) {
            let (found, inner) = (&input.shape, self.inner);
            return Err(RunError::Input(format!(
                "a matrix of shape {found:?} where rows of {inner} are needed"
            )));
        }
        let mut shape = Shape::from_slice(&input.shape);
        if let Some(last) = shape.last_mut() {
            *last = self.bias.len();
        }
        shaped(output, &shape)?;
        let out = buffer::<f32>(output)?;
        multiply(elements::<f32>(input)?.iter().copied(), self.inner, &self.weights, &self.bias, out);
        Ok(())
    }
}

pub(super) fn matmul<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    build(builder, node, 1.0, None, false)
}

pub(super) fn gemm<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let number = |name| Ok::<_, LoadError>(node.float(name)?.copied().unwrap_or(1.0));
    let flag = |name| Ok::<_, LoadError>(node.int(name)?.is_some_and(|flag| *flag != 0));
    if flag("transA")? {
        return Err(unsupported(node, "`transA`"));
    }
    let beta = number("beta")?;
    let bias = match builder.optional(node, 2)? {
        Some(_) => Some(floats(node, builder.known(node, 2)?)?.iter().map(|value| value * beta).collect()),
        None => None,
    };
    build(builder, node, number("alpha")?, bias, flag("transB")?)
}

fn build<'m>(
    builder: &mut Builder<'m>,
    node: &'m Node,
    alpha: f32,
    bias: Option<Vec<f32>>,
    transposed: bool,
) -> Result<(), LoadError> {
    let input = builder.input(node, 0)?;
    let matrix = builder.known(node, 1)?;
    let (values, shape) = (floats(node, matrix)?, matrix.shape.clone());
    let (inner, columns) = match shape.as_slice() {
        [inner, columns] if !transposed => (*inner, *columns),
        [columns, inner] => (*inner, *columns),
        _ => return Err(unsupported(node, &format!("a constant of shape {shape:?}"))),
    };
    if input.datatype != Datatype::Fp32 || inner == 0 || columns == 0 {
        return Err(unsupported(node, &format!("{} times a constant of shape {shape:?}", input.datatype)));
    }
    let from = |at: usize| if transposed { (at % columns) * inner + at / columns } else { at };
    let weights = (0..values.len()).map(|at| alpha * values[from(at)]).collect();
    let bias = match bias {
        None => vec![0.0; columns],
        Some(bias) if bias.len() == columns => bias,
        Some(bias) if bias.len() == 1 => vec![bias[0]; columns],
        Some(bias) => {
            return Err(unsupported(node, &format!("{} numbers added to {columns} columns", bias.len())));
        }
    };
    let dense = Dense { weights, bias, inner };
    builder.emit(node, &[input], &[Datatype::Fp32], move |call: &mut Call<'_>| dense.run(call))
}

fn floats<'t>(node: &Node, tensor: &'t Tensor) -> Result<&'t [f32], LoadError> {
    match &tensor.data {
        Data::Fp32(values) => Ok(values),
        other => Err(unsupported(node, &format!("{} constants", other.datatype()))),
    }
}
