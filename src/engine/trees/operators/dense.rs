//! MatMul and Gemm: linear models and small nets.

use std::ops::{AddAssign, Mul};

use crate::engine::RunError;
use crate::engine::trees::builder::{Builder, Value, unsupported};
use crate::engine::trees::element::{Element, buffer, elements};
use crate::engine::trees::plan::{Call, Place, shaped};
use crate::model::LoadError;
use crate::onnx::Node;
use crate::tensor::{Datatype, Shape, Tensor};

/// Products of one run: bounds what a small request can make a strange model compute.
const MAX_PRODUCTS: usize = 1 << 30;

/// Appends `values` (rows of `inner`) times `weights` (`inner` rows, a column per entry of `bias`) plus `bias`.
///
/// Column by column of a row of weights, so that the compiler can use vectors.
pub(super) fn multiply<E: Float>(
    values: impl Iterator<Item = E>,
    inner: usize,
    weights: &[E],
    bias: &[E],
    out: &mut Vec<E>,
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
            *sum += value * *weight;
        }
    }
}

/// A number that dense layers compute with.
pub(super) trait Float: Element + Mul<Output = Self> + AddAssign {
    fn of(value: f32) -> Self;
}

impl Float for f32 {
    fn of(value: f32) -> Self {
        value
    }
}

impl Float for f64 {
    fn of(value: f32) -> Self {
        value.into()
    }
}

struct Dense<E> {
    weights: Vec<E>,
    bias: Vec<E>,
    inner: usize,
    /// Whether the constant is a list, so that the result has no columns.
    flat: bool,
}

impl<E: Float> Dense<E> {
    fn run(&self, call: &mut Call<'_>) -> Result<(), RunError> {
        let (input, output) = (call.inputs.get(0)?, &mut call.outputs[0]);
        let mut shape = product(&input.shape, self.inner, self.bias.len())?;
        if self.flat {
            shape.pop();
        }
        shaped(output, &shape)?;
        let out = buffer::<E>(output)?;
        multiply(elements::<E>(input)?.iter().copied(), self.inner, &self.weights, &self.bias, out);
        Ok(())
    }
}

/// The shape of rows of `inner` numbers times a matrix.
fn product(found: &[usize], inner: usize, columns: usize) -> Result<Shape, RunError> {
    if found.len() < 2 || found.last() != Some(&inner) || inner == 0 || columns == 0 {
        let what = format!("a matrix of shape {found:?} where rows of {inner} are needed");
        return Err(RunError::Input(what));
    }
    let products = found.iter().try_fold(columns, |all, extent| all.checked_mul(*extent));
    if products.is_none_or(|products| products > MAX_PRODUCTS) {
        return Err(RunError::Input(format!("a matrix of shape {found:?} is too large")));
    }
    let mut shape = Shape::from_slice(found);
    if let Some(last) = shape.last_mut() {
        *last = columns;
    }
    Ok(shape)
}

pub(super) fn matmul<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let inputs = [builder.input(node, 0)?, builder.input(node, 1)?];
    match inputs.map(|input| input.datatype) {
        [Datatype::Fp32, Datatype::Fp32] => matmul_of::<f32>(builder, node, inputs),
        [Datatype::Fp64, Datatype::Fp64] => matmul_of::<f64>(builder, node, inputs),
        [left, right] => Err(unsupported(node, &format!("{left} times {right}"))),
    }
}

fn matmul_of<'m, E: Float>(
    builder: &mut Builder<'m>,
    node: &'m Node,
    inputs: [Value; 2],
) -> Result<(), LoadError> {
    if matches!(inputs[1].place, Place::Constant(_)) {
        return build::<E>(builder, node, 1.0, None, false);
    }
    builder.emit(node, &inputs, &[E::DATATYPE], |call: &mut Call<'_>| {
        let (left, right, output) = (call.inputs.get(0)?, call.inputs.get(1)?, &mut call.outputs[0]);
        let [inner, columns] = *right.shape.as_slice() else {
            let shape = &right.shape;
            return Err(RunError::Input(format!("shape {shape:?} where a matrix is needed")));
        };
        let shape = product(&left.shape, inner, columns)?;
        shaped(output, &shape)?;
        let (values, zeros) = (elements::<E>(left)?.iter().copied(), vec![E::default(); columns]);
        multiply(values, inner, elements::<E>(right)?, &zeros, buffer::<E>(output)?);
        Ok(())
    })
}

pub(super) fn gemm<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    match builder.input(node, 0)?.datatype {
        Datatype::Fp32 => gemm_of::<f32>(builder, node),
        Datatype::Fp64 => gemm_of::<f64>(builder, node),
        other => Err(unsupported(node, &format!("{other} numbers"))),
    }
}

fn gemm_of<'m, E: Float>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let number = |name| Ok::<_, LoadError>(node.float(name)?.copied().unwrap_or(1.0));
    let flag = |name| Ok::<_, LoadError>(node.int(name)?.is_some_and(|flag| *flag != 0));
    if flag("transA")? {
        return Err(unsupported(node, "`transA`"));
    }
    let beta = E::of(number("beta")?);
    let bias = match builder.optional(node, 2)? {
        Some(_) => {
            Some(floats::<E>(node, builder.known(node, 2)?)?.iter().map(|value| *value * beta).collect())
        }
        None => None,
    };
    build::<E>(builder, node, number("alpha")?, bias, flag("transB")?)
}

fn build<'m, E: Float>(
    builder: &mut Builder<'m>,
    node: &'m Node,
    alpha: f32,
    bias: Option<Vec<E>>,
    transposed: bool,
) -> Result<(), LoadError> {
    let input = builder.input(node, 0)?;
    let matrix = builder.known(node, 1)?;
    let (values, shape) = (floats::<E>(node, matrix)?, matrix.shape.clone());
    let (inner, columns) = match shape.as_slice() {
        [inner, columns] if !transposed => (*inner, *columns),
        [columns, inner] => (*inner, *columns),
        [inner] if node.op_type == "MatMul" => (*inner, 1),
        _ => return Err(unsupported(node, &format!("a constant of shape {shape:?}"))),
    };
    if inner == 0 || columns == 0 {
        return Err(unsupported(node, &format!("{} times a constant of shape {shape:?}", input.datatype)));
    }
    let from = |at: usize| if transposed { (at % columns) * inner + at / columns } else { at };
    let weights = (0..values.len()).map(|at| E::of(alpha) * values[from(at)]).collect();
    let bias = match bias {
        None => vec![E::default(); columns],
        Some(bias) if bias.len() == columns => bias,
        Some(bias) if bias.len() == 1 => vec![bias[0]; columns],
        Some(bias) => {
            return Err(unsupported(node, &format!("{} numbers added to {columns} columns", bias.len())));
        }
    };
    let dense = Dense { weights, bias, inner, flat: shape.len() == 1 };
    builder.emit(node, &[input], &[E::DATATYPE], move |call: &mut Call<'_>| dense.run(call))
}

fn floats<'t, E: Float>(node: &Node, tensor: &'t Tensor) -> Result<&'t [E], LoadError> {
    E::slice(&tensor.data).ok_or_else(|| unsupported(node, &format!("{} constants", tensor.datatype())))
}
