//! The operators that can be steps. To add one: a function that reads the node and emits a step, and its line
//! in [`OPERATORS`].

mod aggregate;
mod arithmetic;
pub(super) mod booster;
mod cast;
mod category;
mod classifier;
mod constant;
mod dense;
mod ensemble;
mod ensemble5;
pub(super) mod gather;
mod join;
mod linear;
mod logic;
mod order;
mod places;
mod reduce;
mod regressor;
mod scale;
mod shape;
mod slice;
mod softmax;
mod svm;
mod svm_classifier;
#[cfg(test)]
mod tests;

use super::builder::{Builder, unsupported};
use super::plan::Plan;
use crate::model::{LoadError, Reason};
use crate::onnx::{Model, Node};

type Build = for<'m> fn(&mut Builder<'m>, &'m Node) -> Result<(), LoadError>;

/// Domain, operator, and what builds it.
#[rustfmt::skip]
const OPERATORS: &[(&str, &str, Build)] = &[
    ("ai.onnx.ml", "ArrayFeatureExtractor", gather::array_feature_extractor),
    ("ai.onnx.ml", "Binarizer", scale::binarizer),
    ("ai.onnx.ml", "CategoryMapper", category::category_mapper),
    ("ai.onnx.ml", "FeatureVectorizer", join::feature_vectorizer),
    ("ai.onnx.ml", "Imputer", scale::imputer),
    ("ai.onnx.ml", "LabelEncoder", category::label_encoder),
    ("ai.onnx.ml", "LinearClassifier", linear::classifier),
    ("ai.onnx.ml", "LinearRegressor", linear::regressor),
    ("ai.onnx.ml", "Normalizer", scale::normalizer),
    ("ai.onnx.ml", "OneHotEncoder", category::one_hot_encoder),
    ("ai.onnx.ml", "SVMClassifier", svm_classifier::build),
    ("ai.onnx.ml", "SVMRegressor", svm::regressor),
    ("ai.onnx.ml", "Scaler", scale::scaler),
    ("ai.onnx.ml", "TreeEnsemble", ensemble5::build),
    ("ai.onnx.ml", "TreeEnsembleClassifier", classifier::build),
    ("ai.onnx.ml", "TreeEnsembleRegressor", regressor::build),
    ("", "Abs", arithmetic::unary),
    ("", "Add", arithmetic::binary),
    ("", "And", logic::connective),
    ("", "ArgMax", softmax::argmax),
    ("", "ArgMin", softmax::argmax),
    ("", "Cast", cast::build),
    ("", "Ceil", arithmetic::unary),
    ("", "Clip", scale::clip),
    ("", "Concat", join::concat),
    ("", "Constant", constant::build),
    ("", "ConstantOfShape", shape::expand),
    ("", "Cos", arithmetic::unary),
    ("", "CumSum", order::cumulate),
    ("", "Div", arithmetic::binary),
    ("", "Equal", logic::compare),
    ("", "Exp", arithmetic::unary),
    ("", "Expand", shape::expand),
    ("", "Flatten", shape::flatten),
    ("", "Floor", arithmetic::unary),
    ("", "Gather", gather::gather),
    ("", "GatherElements", order::gather_elements),
    ("", "Gemm", dense::gemm),
    ("", "Greater", logic::compare),
    ("", "GreaterOrEqual", logic::compare),
    ("", "Identity", shape::identity),
    ("", "IsInf", logic::is_nan),
    ("", "IsNaN", logic::is_nan),
    ("", "Less", logic::compare),
    ("", "LessOrEqual", logic::compare),
    ("", "Log", arithmetic::unary),
    ("", "LpNormalization", softmax::lp_normalization),
    ("", "MatMul", dense::matmul),
    ("", "Max", arithmetic::variadic),
    ("", "Mean", arithmetic::variadic),
    ("", "Min", arithmetic::variadic),
    ("", "Mod", arithmetic::binary),
    ("", "Mul", arithmetic::binary),
    ("", "Neg", arithmetic::unary),
    ("", "Not", logic::not),
    ("", "Or", logic::connective),
    ("", "Pow", arithmetic::binary),
    ("", "Reciprocal", arithmetic::unary),
    ("", "ReduceL1", reduce::build),
    ("", "ReduceL2", reduce::build),
    ("", "ReduceLogSum", reduce::build),
    ("", "ReduceLogSumExp", reduce::build),
    ("", "ReduceMax", reduce::build),
    ("", "ReduceMean", reduce::build),
    ("", "ReduceMin", reduce::build),
    ("", "ReduceProd", reduce::build),
    ("", "ReduceSum", reduce::build),
    ("", "ReduceSumSquare", reduce::build),
    ("", "Relu", arithmetic::unary),
    ("", "Reshape", shape::reshape),
    ("", "Round", arithmetic::unary),
    ("", "Shape", shape::shape),
    ("", "Sigmoid", arithmetic::unary),
    ("", "Sign", arithmetic::unary),
    ("", "Sin", arithmetic::unary),
    ("", "Slice", slice::build),
    ("", "Softmax", softmax::softmax),
    ("", "Softplus", arithmetic::unary),
    ("", "Sqrt", arithmetic::unary),
    ("", "Squeeze", shape::squeeze),
    ("", "Sub", arithmetic::binary),
    ("", "Sum", arithmetic::variadic),
    ("", "Tanh", arithmetic::unary),
    ("", "TopK", order::top),
    ("", "Transpose", shape::transpose),
    ("", "Unsqueeze", shape::unsqueeze),
    ("", "Where", logic::choose),
    ("", "Xor", logic::connective),
];

/// Operator sets whose meaning is the one built here; a node of a newer set may mean something else.
const OPSETS: [(&str, std::ops::RangeInclusive<i64>); 2] = [("", 7..=25), ("ai.onnx.ml", 1..=5)];

/// Compiles a graph.
pub(super) fn compile(model: &Model) -> Result<Plan, LoadError> {
    let refused = |what: String| Err(LoadError::new(Reason::Unsupported, what));
    if model.functions > 0 {
        return refused("the trees engine does not support functions of the model's own".to_owned());
    }
    if !model.graph.sparse_initializers.is_empty() {
        return refused("the trees engine does not support sparse constants".to_owned());
    }
    let mut builder = Builder::new(model);
    for node in &model.graph.nodes {
        let known = |(domain, op, _): &&(&str, &str, Build)| *domain == node.domain && *op == node.op_type;
        let Some((_, _, build)) = OPERATORS.iter().find(known) else {
            let detail = format!("{node} is unknown to the trees engine");
            return Err(LoadError::new(Reason::UnknownOperator, detail));
        };
        let opset = model.opset(&node.domain);
        if !OPSETS.iter().any(|(domain, known)| *domain == node.domain && known.contains(&opset)) {
            return Err(unsupported(node, &format!("operator set {opset}")));
        }
        build(&mut builder, node)?;
    }
    builder.finish()
}
