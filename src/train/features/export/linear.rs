//! Linear models, computed in float64: features are not scaled alike, and float32 sums of them would differ from
//! engine to engine.

use sidegate::onnx::write::{self, GraphBuilder, Value};
use sidegate::tensor::{Data, Datatype, Tensor};

use crate::features::error::{Error, model};
use crate::learner::Linear;

/// Appends the model; gives its scores, [rows, targets].
pub(super) fn write(
    builder: &mut GraphBuilder,
    features: &Value,
    width: usize,
    linear: &Linear,
) -> Result<Value, Error> {
    let Linear { weights, intercepts } = linear;
    if weights.is_empty() || weights.len() != intercepts.len() {
        return Err(model!("{} rows of weights and {} intercepts", weights.len(), intercepts.len()));
    }
    if let Some(row) = weights.iter().find(|row| row.len() != width) {
        return Err(model!("{} weights for {width} features", row.len()));
    }
    if weights.iter().flatten().chain(intercepts).any(|weight| !weight.is_finite()) {
        return Err(model!("a weight is not finite: the model did not converge"));
    }
    let columns = (0..width).flat_map(|at| weights.iter().filter_map(move |row| row.get(at).copied()));
    let weights = builder.constant(&Tensor::new(&[width, weights.len()], Data::Fp64(columns.collect())));
    let intercepts = builder.list(Data::Fp64(intercepts.clone()));
    let cast = |to| vec![write::int("to", write::element(to))];
    let wide = builder.node("Cast", &[features], cast(Datatype::Fp64));
    let products = builder.node("MatMul", &[&wide, &weights], vec![]);
    let scores = builder.node("Add", &[&products, &intercepts], vec![]);
    Ok(builder.node("Cast", &[&scores], cast(Datatype::Fp32)))
}
