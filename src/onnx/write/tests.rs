use super::*;
use crate::model::Reason;
use crate::onnx::{Attribute, parse};
use crate::tensor::Strings;

fn built() -> Vec<u8> {
    let mut graph = GraphBuilder::default();
    let x = graph.input("x", Datatype::Fp32, &[-1, 2]).unwrap();
    let two = graph.scalar(Data::Fp32(vec![2.0]));
    let same = graph.scalar(Data::Fp32(vec![2.0]));
    assert_eq!(two, same);
    let doubled = graph.node("Mul", &[&x, &two], vec![]);
    graph.output(&doubled, "y", Datatype::Fp32, &[-1, 2]).unwrap();
    assert!(graph.output(&doubled, "x", Datatype::Fp32, &[-1, 2]).is_err(), "a name is given once");
    graph.finish(&[("maker", "test")])
}

#[test]
fn what_is_built_is_read() {
    let model = parse(built()).unwrap();
    assert_eq!(model.signature.inputs[0].shape, [-1, 2]);
    assert_eq!(&*model.signature.outputs[0].name, "y");
    assert_eq!(model.graph.initializers.len(), 1);
    assert_eq!((model.opset(""), model.opset(ML)), (17, 3));
    assert_eq!(model.graph.nodes[0].op_type, "Mul");
}

#[test]
fn the_same_calls_give_the_same_bytes() {
    assert_eq!(built(), built());
}

#[test]
fn constants_of_every_kind_come_back() {
    let texts: Strings = ["a", "", "ü"].into_iter().collect();
    for data in [
        Data::Fp32(vec![1.5, f32::NAN]),
        Data::Fp64(vec![-0.0]),
        Data::Int64(vec![i64::MIN, 3]),
        Data::Int32(vec![-1]),
        Data::Bool(vec![true, false]),
        Data::Bytes(texts),
    ] {
        let mut graph = GraphBuilder::default();
        let datatype = data.datatype();
        let value = graph.list(data.clone());
        graph.output(&value, "y", datatype, &[-1]).unwrap();
        let model = parse(graph.finish(&[])).unwrap();
        let constant = model.graph.initializers.values().next().unwrap();
        let back = constant.tensor(&model.bytes).unwrap();
        assert_eq!(format!("{:?}", back.data), format!("{data:?}"));
    }
}

#[test]
fn attributes_come_back() {
    let list = [1.0, f32::INFINITY];
    let attributes = vec![floats("a", &list), ints("b", &[-1]), texts("c", &["x"]), float("d", 0.5)];
    let mut graph = GraphBuilder::default();
    let made = graph.node("ml.Scaler", &[], attributes);
    graph.output(&made, "y", Datatype::Fp32, &[-1]).unwrap();
    let model = parse(graph.finish(&[])).unwrap();
    let node = &model.graph.nodes[0];
    assert_eq!((node.domain.as_str(), node.floats("a").unwrap()), (ML, Some(&list[..])));
    assert_eq!(node.ints("b").unwrap(), Some(&[-1][..]));
    assert!(matches!(node.attribute("d"), Some(Attribute::Float(0.5))));
}

#[test]
fn a_cut_file_is_refused() {
    let bytes = built();
    let error = parse(bytes[..bytes.len() / 2].to_vec()).unwrap_err();
    assert_eq!(error.code, Reason::Parse);
}
