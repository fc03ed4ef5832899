//! The engine against a real library: `lib/libonnxruntime.so`, which scripts/onnxruntime.sh puts there.
//!
//! Without it these tests pass unseen, unless `SIDEGATE_TEST_REQUIRE_ORT` is set.
#![expect(clippy::disallowed_methods, reason = "what is asked of the tests is no configuration")]

use std::process::Command;
use std::sync::Once;

use super::*;
use crate::onnx::build::{Msg, constant, graph, model, node, value};
use crate::tensor::{DATATYPES, Data, Datatype, Strings};

/// Whether there is a library; switches telemetry off first, as `main` does.
fn library() -> bool {
    static PREPARED: Once = Once::new();
    PREPARED.call_once(crate::native::prepare_environment);
    let found = find();
    let required = std::env::var_os("SIDEGATE_TEST_REQUIRE_ORT").is_some();
    assert!(found.is_ok() || !required, "{found:?}");
    found.is_ok()
}

fn load(file: Msg) -> Result<Box<dyn Session>, LoadError> {
    load_for(file, 1)
}

fn load_for(file: Msg, workers: usize) -> Result<Box<dyn Session>, LoadError> {
    Ort.load(&crate::onnx::parse(file.0).unwrap().into(), &LoadOptions { workers })
}

fn run(session: &dyn Session, inputs: &[Tensor]) -> Result<Vec<Tensor>, RunError> {
    let mut outputs = Vec::new();
    session.run(inputs, &mut Scratch::new(0), &mut outputs).map(|()| outputs)
}

/// ONNX's number of a datatype.
fn number(datatype: Datatype) -> i64 {
    let numbers = [9, 2, 4, 12, 13, 3, 5, 6, 7, 10, 16, 1, 11, 8];
    numbers[DATATYPES.iter().position(|d| *d == datatype).unwrap()]
}

fn sample(datatype: Datatype) -> Data {
    match datatype {
        Datatype::Bool => Data::Bool(vec![true, false, true, true]),
        Datatype::Uint8 => Data::Uint8(vec![0, 1, 127, u8::MAX]),
        Datatype::Uint16 => Data::Uint16(vec![0, 1, 2, u16::MAX]),
        Datatype::Uint32 => Data::Uint32(vec![0, 1, 2, u32::MAX]),
        Datatype::Uint64 => Data::Uint64(vec![0, 1, 2, u64::MAX]),
        Datatype::Int8 => Data::Int8(vec![i8::MIN, -1, 0, i8::MAX]),
        Datatype::Int16 => Data::Int16(vec![i16::MIN, -1, 0, i16::MAX]),
        Datatype::Int32 => Data::Int32(vec![i32::MIN, -1, 0, i32::MAX]),
        Datatype::Int64 => Data::Int64(vec![i64::MIN, -1, 0, i64::MAX]),
        Datatype::Fp16 => Data::Fp16(vec![0, 0x3c00, 0xfc00, 0x0001]),
        Datatype::Bf16 => Data::Bf16(vec![0, 0x3f80, 0xff80, 0x0001]),
        Datatype::Fp32 => Data::Fp32(vec![0.0, -0.5, f32::INFINITY, f32::MIN_POSITIVE / 2.0]),
        Datatype::Fp64 => Data::Fp64(vec![0.0, -0.5, f64::INFINITY, f64::MIN_POSITIVE / 2.0]),
        Datatype::Bytes => {
            let strings: [&[u8]; 4] = [b"", b"a", b"nul\0inside", "träne".as_bytes()];
            Data::Bytes(strings.into_iter().collect::<Strings>())
        }
    }
}

fn first(data: &Data) -> Data {
    let mut one = data.clone();
    match &mut one {
        Data::Bytes(strings) => *strings = [b"\0".as_slice()].into_iter().collect(),
        other => crate::with_data!(other, v => truncate(v)),
    }
    one
}

trait Truncate {
    fn truncate_to_one(&mut self);
}

impl<T> Truncate for Vec<T> {
    fn truncate_to_one(&mut self) {
        self.truncate(1);
    }
}

impl Truncate for Strings {
    fn truncate_to_one(&mut self) {}
}

fn truncate(v: &mut impl Truncate) {
    v.truncate_to_one();
}

#[test]
fn every_datatype_and_shape_comes_through_unchanged() {
    if !library() {
        return;
    }
    for datatype in DATATYPES {
        let (kind, data) = (number(datatype), sample(datatype));
        let names = |shape: &[i64]| (vec![value("x", kind, shape)], vec![value("y", kind, shape)]);
        let identity = || vec![node("Identity", &["x"], &["y"], vec![])];
        let (inputs, outputs) = names(&[-1, -1]);
        let session = load(model(graph(identity(), inputs, outputs))).unwrap();
        for input in [Tensor::new(&[2, 2], data.clone()), Tensor::new(&[0, 3], Data::empty(datatype))] {
            assert_eq!(run(&*session, std::slice::from_ref(&input)).unwrap(), [input], "{datatype}");
        }
        let (inputs, outputs) = names(&[]);
        let session = load(model(graph(identity(), inputs, outputs))).unwrap();
        let scalar = Tensor::new(&[], first(&data));
        assert_eq!(run(&*session, std::slice::from_ref(&scalar)).unwrap(), [scalar], "{datatype}");
    }
}

#[test]
fn what_was_scanned_is_what_is_read() {
    if !library() {
        return;
    }
    let inner = graph(
        vec![node("Neg", &["x"], &["y"], vec![])],
        vec![value("x", 1, &[-1])],
        vec![value("y", 1, &[-1])],
    );
    let opset = Msg::default().bytes(1, "").int(2, 18);
    let file = Msg::default().int(1, 8).bytes(2, "ORTM").message(7, inner).message(8, opset);
    assert_eq!(&file.0[4..8], b"ORTM");
    let session = load(file).unwrap();
    let input = Tensor::new(&[2], Data::Fp32(vec![1.0, 2.0]));
    assert_eq!(run(&*session, &[input]).unwrap()[0].data, Data::Fp32(vec![-1.0, -2.0]));
}

/// `b = x + x` and `a = -x`, declared in that order, `b` with a shape that it does not have.
fn two_outputs() -> Msg {
    let nodes = vec![node("Neg", &["x"], &["a"], vec![]), node("Add", &["x", "x"], &["b"], vec![])];
    model(graph(
        nodes,
        vec![value("x", 1, &[-1, 2])],
        vec![value("b", 1, &[-1, -1]), value("a", 1, &[-1, 2])],
    ))
}

#[test]
fn outputs_come_in_the_graph_s_order_and_reuse_their_buffers() {
    if !library() {
        return;
    }
    let session = load(two_outputs()).unwrap();
    let mut scratch = Scratch::new(0);
    let mut outputs = vec![Tensor::empty(Datatype::Fp32); 3];
    let input = [Tensor::new(&[2, 2], Data::Fp32(vec![1.0, 2.0, 3.0, 4.0]))];
    session.run(&input, &mut scratch, &mut outputs).unwrap();
    let expected = [vec![2.0, 4.0, 6.0, 8.0], vec![-1.0, -2.0, -3.0, -4.0]];
    assert_eq!(outputs, expected.map(|data| Tensor::new(&[2, 2], Data::Fp32(data))));
    let buffer = |outputs: &[Tensor]| match &outputs[0].data {
        Data::Fp32(v) => v.as_ptr(),
        other => panic!("{other:?}"),
    };
    let before = buffer(&outputs);
    session.run(&input, &mut scratch, &mut outputs).unwrap();
    assert_eq!(buffer(&outputs), before);
}

#[test]
fn inputs_that_do_not_fit_are_the_request_s_fault() {
    if !library() {
        return;
    }
    let session = load(two_outputs()).unwrap();
    let wrong = [
        vec![Tensor::new(&[1, 3], Data::Fp32(vec![0.0; 3]))],
        vec![Tensor::new(&[2], Data::Fp32(vec![0.0; 2]))],
        vec![Tensor::new(&[1, 2], Data::Fp64(vec![0.0; 2]))],
        vec![Tensor { shape: [usize::MAX, 2].into_iter().collect(), data: Data::Fp32(vec![]) }],
        vec![Tensor { shape: [4, 2].into_iter().collect(), data: Data::Fp32(vec![0.0; 2]) }],
        vec![],
    ];
    for inputs in wrong {
        let error = run(&*session, &inputs).unwrap_err();
        assert!(matches!(error, RunError::Input(_)), "{error:?}");
        let text = error.to_string();
        assert!(!text.is_empty() && !text.contains("0x") && !text.contains(".cc"), "{text}");
    }
}

#[test]
fn workers_run_at_once_each_in_its_own_session_or_all_in_one() {
    if !library() {
        return;
    }
    for workers in [1, 4] {
        let session = load_for(two_outputs(), workers).unwrap();
        std::thread::scope(|scope| {
            for worker in 0..4_u16 {
                let session = &*session;
                scope.spawn(move || {
                    let (mut scratch, mut outputs) = (Scratch::new(worker.into()), Vec::new());
                    for round in 0..500_u16 {
                        let x = f32::from(worker * 1000 + round);
                        let input = [Tensor::new(&[1, 2], Data::Fp32(vec![x, -x]))];
                        session.run(&input, &mut scratch, &mut outputs).unwrap();
                        assert_eq!(outputs[0].data, Data::Fp32(vec![x + x, -x - x]));
                    }
                });
            }
        });
    }
}

#[test]
fn what_the_library_refuses_has_a_reason() {
    if !library() {
        return;
    }
    let one = |op: &str, kind| {
        let nodes = vec![node(op, &["x"], &["y"], vec![])];
        model(graph(nodes, vec![value("x", kind, &[-1])], vec![value("y", kind, &[-1])]))
    };
    let error = load(one("NoSuchOperator", 1)).err().unwrap();
    assert_eq!(error.code, Reason::UnknownOperator);
    assert!(error.detail.contains("`NoSuchOperator`"), "{error}");
    let error = load(one("Relu", number(Datatype::Bytes))).err().unwrap();
    assert_eq!(error.code, Reason::Parse, "{error}");
    // Good for our reader, whose constants are lazy, but no graph: `Relu` of two values.
    let nodes = vec![node("Relu", &["x", "x"], &["y"], vec![])];
    let error =
        load(model(graph(nodes, vec![value("x", 1, &[-1])], vec![value("y", 1, &[-1])]))).err().unwrap();
    assert_eq!(error.code, Reason::Parse, "{error}");
}

#[test]
fn a_large_model_is_shared_and_a_small_one_is_not() {
    if !library() {
        return;
    }
    let size = 1536;
    let weights = constant("w", &[size, size], &vec![0.5; (size * size) as usize]);
    let nodes = vec![node("MatMul", &["x", "w"], &["y"], vec![])];
    let inner = graph(nodes, vec![value("x", 1, &[-1, size])], vec![value("y", 1, &[-1, size])]);
    let large = load_for(model(inner.message(5, weights)), 4).unwrap();
    let small = load_for(two_outputs(), 4).unwrap();
    assert!(large.memory_bytes() < 2 * SHARED_FROM_BYTES);
    assert!(small.memory_bytes() > 4 * SESSION_OVERHEAD_BYTES);
}

/// Run by the next test, in a process of its own.
#[test]
fn a_process_that_loads_the_library() {
    if std::env::var_os("SIDEGATE_TEST_TELEMETRY").is_some() {
        assert!(!crate::native::telemetry_is_off(), "the parent took it out of the environment");
        assert!(library());
        load(two_outputs()).unwrap();
        assert!(crate::native::telemetry_is_off());
    }
}

#[test]
fn the_library_never_reports_home() {
    if !library() {
        return;
    }
    // Where telemetry is on, creating the environment leaves a device id and a queue of events below HOME.
    let home = tempfile::tempdir().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "engine::ort::tests::a_process_that_loads_the_library"])
        .env("SIDEGATE_TEST_TELEMETRY", "1")
        .env("HOME", home.path())
        .env_remove("XDG_CACHE_HOME")
        .env_remove("CI")
        .env_remove("ORT_DISABLE_TELEMETRY")
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
    assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"), "{child:?}");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}
