//! Which graphs tract may run.
//!
//! tract 0.23.9 was run over the 2,024 backend cases of the ONNX project, with their own shapes and with open
//! ones. It answers wrongly, without an error, for reversed or bidirectional recurrent nets, shifts beyond the
//! width, DFT, `Swish` with an `alpha`, `SpaceToDepth` in CRD mode, `ReduceMax` of infinities and some
//! half-precision arithmetic; on others it panics. So an operator is let through only if all its cases came out
//! right or were refused.

use crate::model::{LoadError, Reason, shorten};
use crate::onnx::{Attribute, Graph, Model, Node};
use crate::tensor::Datatype;

/// Sorted, for the search.
#[rustfmt::skip]
const OPERATORS: &[&str] = &[
    "Abs", "Acos", "Acosh", "Add", "And", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan", "Atanh", "AveragePool",
    "BatchNormalization", "Cast", "CastLike", "Ceil", "Clip", "Concat", "Constant", "ConstantOfShape", "Conv",
    "ConvInteger", "ConvTranspose", "Cos", "Cosh", "DepthToSpace", "Div", "Dropout", "DynamicQuantizeLinear",
    "Einsum", "Elu", "Equal", "Erf", "Exp", "Expand", "Flatten", "Floor", "Gather", "GatherElements",
    "GatherND", "Gelu", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "Greater", "GreaterOrEqual",
    "GridSample", "GroupNormalization", "HardSigmoid", "HardSwish", "Hardmax", "Identity",
    "InstanceNormalization", "IsInf", "IsNaN", "LRN", "LayerNormalization", "LeakyRelu", "Less",
    "LessOrEqual", "Log", "LogSoftmax", "LpNormalization", "MatMul", "MatMulInteger", "Max", "MaxPool",
    "Mean", "MeanVarianceNormalization", "Min", "Mish", "Mod", "Mul", "Neg", "Not", "Or", "PRelu", "Pad",
    "Pow", "QLinearConv", "QLinearMatMul", "RMSNormalization", "Range", "Reciprocal", "ReduceL1", "ReduceL2",
    "ReduceLogSum", "ReduceLogSumExp", "ReduceMean", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu",
    "Reshape", "RotaryEmbedding", "Round", "Scatter", "ScatterElements", "ScatterND", "Selu", "Shape",
    "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Size", "Slice", "Softmax", "Softplus", "Softsign", "Split",
    "Sqrt", "Squeeze", "Sub", "Sum", "Tan", "Tanh", "ThresholdedRelu", "Tile", "TopK", "Transpose", "Trilu",
    "Unsqueeze", "Where", "Xor",
];

/// The newest operator set among those cases. tract looks operators up by name alone, so a newer set with
/// another meaning would go unnoticed.
const NEWEST_OPSET: i64 = 28;

/// ONNX's number of FP16 in `Cast`.
const FP16: i64 = 10;

/// Refuses graphs that tract cannot run, or is not known to run right.
///
/// # Errors
/// [`Reason::Unsupported`], naming the operator or the type.
pub(super) fn check(model: &Model) -> Result<(), LoadError> {
    let opset = model.opset("");
    if opset > NEWEST_OPSET {
        return Err(refused(&format!("operator set {opset} (the newest known is {NEWEST_OPSET})")));
    }
    if model.functions > 0 {
        return Err(refused("functions of the model's own"));
    }
    let specs = model.signature.inputs.iter().chain(&model.signature.outputs);
    if let Some(spec) = specs.into_iter().find(|spec| !carried(spec.datatype)) {
        return Err(refused(&format!("{} tensors (`{}`)", spec.datatype, shorten(&spec.name))));
    }
    graph(&model.graph)
}

fn graph(graph: &Graph) -> Result<(), LoadError> {
    if !graph.sparse_initializers.is_empty() {
        return Err(refused("sparse constants"));
    }
    if let Some(datatype) =
        graph.initializers.values().find_map(|constant| constant.datatype.filter(|d| !carried(*d)))
    {
        return Err(refused(&format!("{datatype} constants")));
    }
    graph.nodes.iter().try_for_each(node)
}

fn node(node: &Node) -> Result<(), LoadError> {
    let known = node.domain.is_empty() && OPERATORS.binary_search(&node.op_type.as_str()).is_ok();
    if !known || node.subgraphs().next().is_some() {
        return Err(refused(&node.to_string()));
    }
    let half = matches!(node.attribute("to"), Some(Attribute::Int(FP16)))
        || node.attributes.iter().any(|(_, value)| match value {
            Attribute::Tensor(constant) => constant.datatype.is_some_and(|datatype| !carried(datatype)),
            _ => false,
        });
    if half { Err(refused(&format!("{node} with FP16, BF16 or BYTES"))) } else { Ok(()) }
}

/// Half precision differs visibly between tract and everyone else; strings and BF16 it does not know.
const fn carried(datatype: Datatype) -> bool {
    !matches!(datatype, Datatype::Fp16 | Datatype::Bf16 | Datatype::Bytes)
}

fn refused(what: &str) -> LoadError {
    LoadError::new(Reason::Unsupported, format!("tract is not used for {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted() {
        assert!(OPERATORS.is_sorted());
    }

    #[test]
    fn what_tract_gets_wrong_is_not_listed() {
        let wrong = ["LSTM", "GRU", "RNN", "BitShift", "DFT", "Swish", "SpaceToDepth", "Celu", "Attention"];
        let foreign =
            ["TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble", "Loop", "Scan", "If"];
        for operator in wrong.into_iter().chain(foreign) {
            assert!(OPERATORS.binary_search(&operator).is_err(), "{operator}");
        }
    }
}
