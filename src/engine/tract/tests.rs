//! The engine on small graphs, with extents that are open, fixed, or only understood when they are known.

use super::*;
use crate::onnx::build::{Msg, constant, graph, int, model, node, value};

fn load(file: Msg) -> Result<Box<dyn Session>, LoadError> {
    Tract.load(&crate::onnx::parse(file.0).unwrap().into(), &LoadOptions { workers: 1 })
}

fn run(session: &dyn Session, inputs: &[Tensor]) -> Result<Vec<Tensor>, RunError> {
    let mut outputs = vec![Tensor::empty(Datatype::Fp32)];
    session.run(inputs, &mut Scratch::new(0), &mut outputs).map(|()| outputs)
}

fn floats(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::new(shape, Data::Fp32(values.to_vec()))
}

/// An input of `[?, extent]`, without so much as a name for its first extent.
fn unnamed(name: &str, element: i64, extent: i64) -> Msg {
    let shape = Msg::default().all(1, [Msg::default(), Msg::default().int(1, extent)]);
    let kind = Msg::default().message(1, Msg::default().int(1, element).message(2, shape));
    Msg::default().bytes(1, name).message(2, kind)
}

/// `y = Relu(x · w)` and `s`, the shape of `x`, with `s` first.
fn net(input: Msg) -> Msg {
    let nodes = vec![
        node("MatMul", &["x", "w"], &["p"], vec![]),
        node("Relu", &["p"], &["y"], vec![]),
        node("Shape", &["x"], &["s"], vec![]),
    ];
    let inner = graph(nodes, vec![input], vec![value("s", 7, &[2]), value("y", 1, &[-1, 2])]);
    model(inner.message(5, constant("w", &[2, 2], &[1.0, -1.0, 2.0, -2.0])))
}

#[test]
fn any_batch_runs_and_outputs_keep_their_order_and_types() {
    for input in [value("x", 1, &[-1, 2]), unnamed("x", 1, 2)] {
        let session = load(net(input)).unwrap();
        for rows in [1, 2, 3, 7] {
            let outputs = run(&*session, &[floats(&[rows, 2], &[1.0, 1.0].repeat(rows))]).unwrap();
            assert_eq!(outputs[0], Tensor::new(&[2], Data::Int64(vec![rows.cast_signed() as i64, 2])));
            assert_eq!(outputs[1], floats(&[rows, 2], &[3.0, 0.0].repeat(rows)));
        }
    }
}

#[test]
fn inputs_that_do_not_fit_are_the_request_s_fault() {
    let session = load(net(value("x", 1, &[-1, 2]))).unwrap();
    let wrong = [
        vec![floats(&[1, 3], &[0.0; 3])],
        vec![floats(&[2], &[0.0; 2])],
        vec![Tensor::new(&[1, 2], Data::Int32(vec![0; 2]))],
        vec![],
    ];
    for inputs in wrong {
        let error = run(&*session, &inputs).unwrap_err();
        assert!(matches!(error, RunError::Input(_)), "{error:?}");
        assert!(error.to_string().chars().count() <= 220, "{error}");
    }
}

#[test]
fn two_inputs_may_have_one_batch_or_two() {
    let two = |op: &str, x: Msg, z: Msg| {
        let nodes = vec![node(op, &["x", "z"], &["y"], vec![])];
        load(model(graph(nodes, vec![x, z], vec![value("y", 1, &[-1, -1])]))).unwrap()
    };
    let add = two("Add", unnamed("x", 1, 2), unnamed("z", 1, 2));
    let outputs = run(&*add, &[floats(&[3, 2], &[1.0; 6]), floats(&[3, 2], &[2.0; 6])]).unwrap();
    assert_eq!(outputs, [floats(&[3, 2], &[3.0; 6])]);
    let product = two("MatMul", unnamed("x", 1, 2), value("z", 1, &[2, -1]));
    let outputs = run(&*product, &[floats(&[1, 2], &[1.0; 2]), floats(&[2, 3], &[2.0; 6])]).unwrap();
    assert_eq!(outputs, [floats(&[1, 3], &[4.0; 3])]);
}

#[test]
fn a_graph_that_needs_known_extents_gets_a_plan_for_each() {
    // `TopK` over all elements: with a symbol for their number, tract cannot tell that there are enough.
    let nodes = vec![
        node("Flatten", &["x"], &["f"], vec![int("axis", 0)]),
        node("TopK", &["f", "k"], &["y", "i"], vec![]),
    ];
    let k = Msg::default().int(1, 1).int(2, 7).bytes(8, "k").bytes(9, 2_i64.to_le_bytes());
    let inner = graph(nodes, vec![unnamed("x", 1, 2)], vec![value("y", 1, &[1, 2])]);
    let session = load(model(inner.message(5, k))).unwrap();
    for rows in [1, 2, 3, 5, 8, 13, 1] {
        let values: Vec<f32> = (0..rows * 2).map(|i| i as f32).collect();
        let outputs = run(&*session, &[floats(&[rows, 2], &values)]).unwrap();
        let last = (rows * 2) as f32;
        assert_eq!(outputs, [floats(&[1, 2], &[last - 1.0, last - 2.0])], "{rows}");
    }
}

#[test]
fn threads_share_one_net() {
    let session = load(net(value("x", 1, &[-1, 2]))).unwrap();
    std::thread::scope(|scope| {
        for rows in 1..4 {
            let session = &*session;
            scope.spawn(move || {
                for _ in 0..50 {
                    let outputs = run(session, &[floats(&[rows, 2], &[1.0, 1.0].repeat(rows))]).unwrap();
                    assert_eq!(outputs[1], floats(&[rows, 2], &[3.0, 0.0].repeat(rows)));
                }
            });
        }
    });
}

#[test]
fn what_tract_is_not_trusted_with_is_named() {
    let one = |op: &str, kind| {
        let nodes = vec![node(op, &["x"], &["y"], vec![])];
        model(graph(nodes, vec![value("x", kind, &[-1])], vec![value("y", kind, &[-1])]))
    };
    let cases = [
        ("LSTM", 1, "`LSTM`"),
        ("NoSuchOperator", 1, "`NoSuchOperator`"),
        ("ml.TreeEnsembleRegressor", 1, "`TreeEnsembleRegressor`"),
        ("com.microsoft.FusedGemm", 1, "`FusedGemm`"),
        // tract would take this for ONNX's own operator of that name.
        ("com.microsoft.Relu", 1, "`Relu`"),
        ("Identity", 8, "BYTES"),
        ("Identity", 16, "BF16"),
        ("Relu", 10, "FP16"),
    ];
    for (op, kind, named) in cases {
        let error = load(one(op, kind)).err().unwrap();
        assert_eq!(error.code, Reason::Unsupported, "{op}");
        assert!(error.detail.contains(named), "{error}");
    }
}

#[test]
fn a_panic_inside_is_an_error() {
    assert_eq!(unwound(|| 7), Some(7));
    assert_eq!(unwound(|| panic!("as tract does")), None::<u8>);
}
