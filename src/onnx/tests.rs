//! The rules of the reader, on handmade files, on every model at hand, and on whatever proptest makes of them.

use proptest::prelude::*;

use super::build::*;
use super::*;
use crate::tensor::{Data, Datatype};

fn parsed(model: Msg) -> Result<Model, LoadError> {
    parse(model.0)
}

/// `y = Relu(x)` with more fields in its graph.
fn relu(more: Msg) -> Msg {
    let mut inner = graph(
        vec![node("Relu", &["x"], &["y"], vec![])],
        vec![value("x", 1, &[-1, 4])],
        vec![value("y", 1, &[-1, 4])],
    );
    inner.0.extend(more.0);
    model(inner)
}

#[track_caller]
fn refused(bytes: Vec<u8>, code: Reason, word: &str) {
    let error = parse(bytes).expect_err("must be refused");
    assert_eq!(error.code, code, "{error}");
    assert!(error.detail.contains(word), "`{word}` is not in: {error}");
}

#[test]
fn what_is_not_onnx_is_a_parse_error() {
    let good = relu(Msg::default()).0;
    assert!(parse(good.clone()).is_ok());
    refused(Vec::new(), Reason::Parse, "no graph");
    refused(b"<!DOCTYPE html><html><body>404</body></html>".to_vec(), Reason::Parse, "not an ONNX file");
    refused(b"version https://git-lfs.github.com/spec/v1\n".to_vec(), Reason::Parse, "not an ONNX file");
    refused(vec![0xff; 100], Reason::Parse, "not an ONNX file");
    refused(vec![0; 100], Reason::Parse, "not an ONNX file");
    for end in 0..good.len() {
        if let Err(error) = parse(good[..end].to_vec()) {
            assert_eq!(error.code, Reason::Parse, "{error}");
        }
    }
}

#[test]
fn tensors_kept_elsewhere_are_refused_wherever_they_hide() {
    let entry = |key: &str, value: &str| Msg::default().bytes(1, key).bytes(2, value);
    let forms = [
        constant("w", &[1], &[1.0]).int(14, 1),
        constant("w", &[1], &[1.0]).message(13, entry("location", "../../etc/passwd")),
        constant("w", &[1], &[]).int(14, 1).message(13, entry("location", "*/_ORT_MEM_ADDR_/*")),
        // The last of two counts for protobuf; for us any.
        constant("w", &[1], &[1.0]).int(14, 1).int(14, 0),
    ];
    for form in forms {
        let sparse = Msg::default().message(1, constant("v", &[0], &[])).message(2, form.clone());
        let holder = |attribute| node("Constant", &[], &["c"], vec![attribute]);
        let inner = || graph(vec![holder(tensor("value", form.clone()))], vec![], vec![]);
        let many = Msg::default().bytes(1, "t").message(10, form.clone()).int(20, 9);
        let places = [
            relu(Msg::default().message(5, form.clone())),
            relu(Msg::default().message(15, sparse.clone())),
            relu(Msg::default().message(1, holder(tensor("value", form.clone())))),
            relu(Msg::default().message(1, holder(many))),
            relu(Msg::default().message(1, holder(Msg::default().bytes(1, "s").message(22, sparse)))),
            relu(
                Msg::default().message(1, node("If", &["x"], &["c"], vec![subgraph("then_branch", inner())])),
            ),
            relu(Msg::default()).message(20, Msg::default().message(2, inner())),
            relu(Msg::default())
                .message(25, Msg::default().message(7, holder(tensor("value", form.clone())))),
            relu(Msg::default()).message(25, Msg::default().message(11, tensor("value", form))),
        ];
        for place in places {
            refused(place.0, Reason::ExternalData, "outside the file");
        }
    }
}

#[test]
fn tensors_must_hold_what_their_shape_says() {
    let with = |tensor: Msg| relu(Msg::default().message(5, tensor));
    assert!(parsed(with(constant("w", &[2], &[1.0, 2.0]))).is_ok());
    for (tensor, word) in [
        (constant("w", &[2], &[1.0]), "4 bytes, not 8"),
        (constant("w", &[-1], &[1.0]), "impossible"),
        (constant("w", &[i64::MAX, i64::MAX], &[]), "impossible"),
        (constant("w", &[1 << 62], &[]), "impossible"),
        (constant("w", &[1 << 30], &[]), "0 bytes"),
        (constant("w", &[2], &[1.0, 2.0]).float(4, 1.0), "both"),
        (Msg::default().int(1, 3).int(2, 7).bytes(8, "w").int(7, 5), "1 numbers, not 3"),
        (Msg::default().int(1, 1).int(2, 8).bytes(8, "w").bytes(9, "a"), "raw"),
        ((0..65).fold(Msg::default().int(2, 1), |out, _| out.int(1, 1)), "dimensions"),
    ] {
        refused(with(tensor).0, Reason::Parse, word);
    }
}

#[test]
fn elements_that_are_never_decoded_are_counted_too() {
    let with = |kind: i64, numbers: usize, field: u64| {
        let tensor = Msg::default().int(1, 5).int(2, kind).bytes(8, "w");
        let list = |out: Msg| if field == 4 { out.float(4, 1.0) } else { out.int(field, 1) };
        relu(Msg::default().message(5, (0..numbers).fold(tensor, |out, _| list(out))))
    };
    for (kind, numbers, field) in [(14, 10, 4), (17, 5, 5), (22, 3, 5), (25, 2, 5), (27, 5, 5)] {
        assert!(parsed(with(kind, numbers, field)).is_ok(), "type {kind}");
        refused(with(kind, numbers - 1, field).0, Reason::Parse, "numbers, not");
        refused(with(kind, 0, field).0, Reason::Parse, "0 numbers");
    }
    refused(with(0, 5, 5).0, Reason::Parse, "unknown type 0");
    refused(with(99, 5, 5).0, Reason::Parse, "unknown type 99");
    // None is an extent that can be, not even where another is zero.
    refused(
        relu(Msg::default().message(5, constant("w", &[0, 1 << 62], &[]))).0,
        Reason::Parse,
        "impossible",
    );
}

#[test]
fn sparse_tensors_have_as_many_places_as_values() {
    let places = |shape: &[i64]| {
        let raw = vec![0; 8 * shape.iter().product::<i64>().max(0) as usize];
        shape.iter().fold(Msg::default(), |out, d| out.int(1, *d)).int(2, 7).bytes(9, raw)
    };
    let sparse = |values: i64, at: &[i64], dims: &[i64]| {
        let values = constant("s", &[values], &vec![1.0; values as usize]);
        let out = Msg::default().message(1, values).message(2, places(at));
        dims.iter().fold(out, |out, d| out.int(3, *d))
    };
    let with = |sparse: Msg| relu(Msg::default().message(15, sparse));
    for at in [&[2][..], &[2, 2]] {
        assert!(parsed(with(sparse(2, at, &[3, 4]))).is_ok(), "{at:?}");
    }
    for (values, at, dims, word) in [
        (2, &[3][..], &[3, 4][..], "places"),
        (2, &[2, 1], &[3, 4], "places"),
        (2, &[2, 2, 1], &[3, 4], "places"),
        (2, &[2], &[1], "places"),
        (1, &[1], &[-4], "impossible"),
        (1, &[1], &[1 << 31, 1 << 31, 1 << 31], "impossible"),
    ] {
        refused(with(sparse(values, at, dims)).0, Reason::Parse, word);
    }
    refused(with(sparse(1, &[1], &[1 << 29])).0, Reason::TooLarge, "elements in sparse tensor `s`");
    let twice = sparse(1, &[1], &[4]).message(1, constant("s", &[1], &[1.0]));
    refused(with(twice).0, Reason::Parse, "two lists");
}

#[test]
fn shapes_that_ask_for_much_are_refused_where_they_stand() {
    let int64 = |name: &str, values: &[i64]| {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Msg::default().int(1, values.len() as i64).int(2, 7).bytes(8, name).bytes(9, raw)
    };
    let maker = |op: &str, inputs: &[&str]| node(op, inputs, &["made"], vec![]);
    let initialised = |op: &str, inputs: &[&str], values: &[i64]| {
        relu(Msg::default().message(5, int64("s", values)).message(1, maker(op, inputs)))
    };
    for (op, inputs) in [
        ("ConstantOfShape", &["s"][..]),
        ("Expand", &["x", "s"]),
        ("Tile", &["x", "s"]),
        ("OneHot", &["x", "s", "x"]),
        ("Resize", &["x", "", "", "s"]),
    ] {
        assert!(parsed(initialised(op, inputs, &[1 << 14, 1 << 14])).is_ok(), "{op}");
        refused(initialised(op, inputs, &[1 << 14, (1 << 14) + 1]).0, Reason::TooLarge, op);
        refused(initialised(op, inputs, &[1 << 62]).0, Reason::TooLarge, op);
        refused(initialised(op, inputs, &[i64::MAX, i64::MAX, i64::MAX]).0, Reason::TooLarge, op);
    }
    let range = |limit: i64| {
        let numbers = [int64("a", &[0]), int64("b", &[limit]), int64("c", &[2])];
        relu(Msg::default().all(5, numbers).message(1, maker("Range", &["a", "b", "c"])))
    };
    assert!(parsed(range(1 << 29)).is_ok() && parsed(range(i64::MIN)).is_ok());
    refused(range(1 << 30).0, Reason::TooLarge, "Range");
    let random = node("RandomNormal", &[], &["made"], vec![ints("shape", &[1 << 40])]);
    refused(relu(Msg::default().message(1, random)).0, Reason::TooLarge, "RandomNormal");

    // As a constant node, from within a branch, in a function, and as a list.
    let constant = || node("Constant", &[], &["s"], vec![tensor("value", int64("", &[1 << 62]))]);
    let list = || node("Constant", &[], &["s"], vec![ints("value_ints", &[1 << 31, 1 << 31])]);
    let branch = || {
        let inner = graph(vec![maker("ConstantOfShape", &["s"])], vec![], vec![]);
        node("If", &["x"], &["z"], vec![subgraph("then_branch", inner)])
    };
    for constant in [constant(), list()] {
        let both = [constant.clone(), maker("ConstantOfShape", &["s"])];
        refused(relu(Msg::default().all(1, both.clone())).0, Reason::TooLarge, "ConstantOfShape");
        refused(relu(Msg::default().all(1, [constant, branch()])).0, Reason::TooLarge, "ConstantOfShape");
        let function = Msg::default().bytes(1, "F").all(7, both).bytes(10, "f");
        refused(relu(Msg::default()).message(25, function).0, Reason::TooLarge, "ConstantOfShape");
    }
}

#[test]
fn lists_that_grow_when_they_are_read_are_bounded_by_the_file() {
    let with = |attribute: Msg| relu(Msg::default().message(1, node("Abs", &["x"], &["z"], vec![attribute])));
    let list = |number: u64, bytes: Vec<u8>| Msg::default().bytes(1, "a").bytes(number, bytes);
    let short = |count: usize| with(list(8, vec![1; count]).int(20, 7));
    // A byte each, beyond what small files may have.
    refused(short(2 * MAX_ITEMS).0, Reason::TooLarge, "elements in lists");
    assert!(parsed(short(MAX_ITEMS)).is_ok());
    // Two bytes each are what a forest may have.
    assert!(parsed(with(list(8, [0x80, 1].repeat(2 * MAX_ITEMS)).int(20, 7))).is_ok());
    // In many lists; a text is kept with its length.
    let ints = list(8, vec![1; 2 * MAX_ITEMS - 10_000]).int(20, 7);
    let texts = (0..MAX_ITEMS).fold(Msg::default().bytes(1, "t").int(20, 8), |out, _| out.bytes(9, ""));
    let both = node("Abs", &["x"], &["z"], vec![ints.clone(), texts]);
    refused(relu(Msg::default().message(1, both)).0, Reason::TooLarge, "elements in lists");
    let one = node("Abs", &["x"], &["z"], vec![ints.bytes(100, vec![0; 2 * MAX_ITEMS])]);
    assert!(parsed(relu(Msg::default().message(1, one))).is_ok());
}

#[test]
fn files_newer_than_the_rules_are_refused() {
    let versions = |ir: i64, opsets: &[(&str, i64)]| {
        let opsets = opsets.iter().map(|(domain, version)| Msg::default().bytes(1, domain).int(2, *version));
        relu(Msg::default()).int(1, ir).all(8, opsets)
    };
    assert!(parsed(versions(NEWEST_IR, &[("com.microsoft", 99), ("ai.onnx", 18)])).is_ok());
    refused(versions(NEWEST_IR + 1, &[]).0, Reason::Unsupported, "newer than 14");
    refused(versions(-1, &[]).0, Reason::Parse, "impossible");
    refused(versions(8, &[("", 17)]).0, Reason::Parse, "two versions of operator set `ai.onnx`");
    refused(versions(8, &[("other", 0)]).0, Reason::Parse, "impossible version 0");
    let opset = |domain: &str, version| {
        let inner = graph(
            vec![node("Relu", &["x"], &["y"], vec![])],
            vec![value("x", 1, &[])],
            vec![value("y", 1, &[])],
        );
        Msg::default().message(7, inner).message(8, Msg::default().bytes(1, domain).int(2, version))
    };
    assert!(parsed(opset("", 28)).is_ok());
    refused(opset("", 29).0, Reason::Unsupported, "`ai.onnx` 29 is newer than 28");
    refused(opset("ai.onnx.ml", 6).0, Reason::Unsupported, "`ai.onnx.ml` 6");
    refused(opset("", i64::MAX).0, Reason::Unsupported, "newer");
}

#[test]
fn constants_are_decoded_from_both_forms() {
    let listed = Msg::default().int(1, 2).int(2, 10).bytes(8, "half").bytes(5, [0x80, 0x78, 0]);
    let texts = Msg::default().int(1, 2).int(2, 8).bytes(8, "texts").bytes(6, "a").bytes(6, "");
    let raw = constant("raw", &[1, 2], &[1.5, -2.0]);
    let model = parsed(relu(Msg::default().all(5, [listed, texts, raw]))).unwrap();
    let get = |name: &str| model.graph.initializers[name].tensor(&model.bytes).unwrap();
    assert_eq!(get("half").data, Data::Fp16(vec![0x3c00, 0]));
    assert_eq!(get("texts").data, Data::Bytes(["a", ""].into_iter().collect()));
    assert_eq!(get("raw"), crate::tensor::Tensor::new(&[1, 2], Data::Fp32(vec![1.5, -2.0])));
}

#[test]
fn unknown_domains_are_named() {
    let custom = || node("my.custom.Evil", &["x"], &["z"], vec![]);
    refused(relu(Msg::default().message(1, custom())).0, Reason::UnknownOperator, "`Evil`");
    let inner = subgraph("then_branch", graph(vec![custom()], vec![], vec![]));
    let nested = node("If", &["x"], &["z"], vec![inner]);
    refused(relu(Msg::default().message(1, nested)).0, Reason::UnknownOperator, "`my.custom`");
    for known in ["ai.onnx.Relu", "ml.Scaler", "com.microsoft.Gelu"] {
        assert!(parsed(relu(Msg::default().message(1, node(known, &["x"], &["z"], vec![])))).is_ok());
    }
    let context = node("com.microsoft.EPContext", &["x"], &["z"], vec![]);
    refused(relu(Msg::default().message(1, context)).0, Reason::ExternalData, "EPContext");
}

/// A function `f.NAME` that calls others.
fn function(name: &str, calls: &[String]) -> Msg {
    let calls = calls.iter().map(|callee| node(&format!("f.{callee}"), &["a"], &["b"], vec![]));
    Msg::default().bytes(1, name).all(7, calls).bytes(10, "f")
}

#[test]
fn functions_must_end() {
    let calling = |functions: Vec<Msg>| {
        relu(Msg::default().message(1, node("f.F0", &["x"], &["z"], vec![]))).all(25, functions)
    };
    let name = |n: usize| format!("F{n}");
    assert!(parsed(calling(vec![function("F0", &[name(1)]), function("F1", &[])])).is_ok());
    refused(calling(vec![function("F0", &[name(0)])]).0, Reason::Parse, "calls itself");
    let pair = vec![function("F0", &[name(1)]), function("F1", &[name(0)])];
    refused(calling(pair).0, Reason::Parse, "calls itself");
    // Known bottom-up, so that no single search goes deep.
    let chain: Vec<_> = (0..1000)
        .map(|n| function(&name(n), &(n.checked_sub(1)).map(name).into_iter().collect::<Vec<_>>()))
        .collect();
    refused(calling(chain).0, Reason::Parse, "too deeply");
    let bomb = (0..31).map(|n| function(&name(n), &[name(n + 1), name(n + 1)])).chain([function("F31", &[])]);
    refused(calling(bomb.collect()).0, Reason::TooLarge, "unfolding");
}

#[test]
fn nesting_is_bounded() {
    let nested = |levels: usize| {
        let inner = (0..levels).fold(graph(vec![], vec![], vec![]), |inner, _| {
            graph(vec![node("If", &["x"], &["z"], vec![subgraph("then_branch", inner)])], vec![], vec![])
        });
        relu(Msg::default().message(1, node("If", &["x"], &["z"], vec![subgraph("then_branch", inner)])))
    };
    assert!(parsed(nested(7)).is_ok());
    refused(nested(8).0, Reason::TooLarge, "levels");
    refused(nested(2000).0, Reason::TooLarge, "levels");
}

#[test]
fn the_signature_is_that_of_the_graph() {
    let inner = graph(
        vec![node("Add", &["b", "w"], &["sum:0"], vec![])],
        vec![value("b", 8, &[-1, 2]), value("w", 1, &[1]), value("a", 7, &[])],
        vec![value("sum:0", 11, &[-1, 3])],
    );
    let model = parsed(model(inner.message(5, constant("w", &[1], &[1.0])))).unwrap();
    let seen: Vec<_> =
        model.signature.inputs.iter().map(|i| (&*i.name, i.datatype, i.shape.clone())).collect();
    assert_eq!(seen, [("b", Datatype::Bytes, vec![-1, 2]), ("a", Datatype::Int64, vec![])]);
    assert_eq!(&*model.signature.outputs[0].name, "sum:0");
    assert_eq!((model.opset(""), model.opset("ai.onnx.ml"), model.opset("com.microsoft")), (18, 3, 1));
}

#[test]
fn what_no_protocol_carries_is_named() {
    let taking = |input: Msg| {
        model(graph(vec![node("Relu", &["x"], &["y"], vec![])], vec![input], vec![value("y", 1, &[])]))
    };
    for (number, word) in [(14, "complex"), (17, "8-bit"), (22, "4-bit"), (0, "no declared type"), (99, "99")]
    {
        refused(taking(value("x", number, &[-1])).0, Reason::Unsupported, word);
    }
    refused(taking(maps("x")).0, Reason::Unsupported, "input `x` is a sequence of maps");
    let optional = Msg::default().bytes(1, "x").message(2, Msg::default().message(9, Msg::default()));
    refused(taking(optional).0, Reason::Unsupported, "optional");
    let shapeless = Msg::default().int(1, 1);
    let shapeless = Msg::default().bytes(1, "x").message(2, Msg::default().message(1, shapeless));
    refused(taking(shapeless).0, Reason::Unsupported, "no shape");
}

#[test]
fn names_are_unique_and_defined() {
    for (more, word) in [
        (Msg::default().message(11, value("x", 1, &[])), "input"),
        (Msg::default().message(12, value("y", 1, &[])), "two outputs"),
        (Msg::default().message(12, value("nowhere", 1, &[])), "made by no node"),
        (Msg::default().message(1, node("Relu", &["x"], &["y"], vec![])), "made twice"),
        (Msg::default().all(5, [constant("w", &[0], &[]), constant("w", &[0], &[])]), "two initializers"),
    ] {
        refused(relu(more).0, Reason::Parse, word);
    }
    refused(model(graph(vec![], vec![value("x", 1, &[])], vec![])).0, Reason::Parse, "no outputs");
    let twice = relu(Msg::default()).message(7, Msg::default());
    refused(twice.0, Reason::Parse, "two graphs");
}

fn classifier(scores_too: bool, labels: Vec<Msg>) -> Msg {
    let mut outputs = vec![value("label", 7, &[-1]), maps("output_probability")];
    if scores_too {
        outputs.push(value("scores", 1, &[-1, 3]));
    }
    let nodes = vec![
        node("ml.LinearClassifier", &["x"], &["label", "scores"], vec![]),
        node("ml.ZipMap", &["scores"], &["output_probability"], labels),
    ];
    let declared = Msg::default().all(13, [value("scores", 1, &[-1, 3]), value("other", 1, &[])]);
    let mut inner = graph(nodes, vec![value("x", 1, &[-1, 4])], outputs);
    inner.0.extend(declared.0);
    model(inner).bytes(6, "kept")
}

#[test]
fn a_zipmap_becomes_its_scores() {
    for (scores_too, operators) in
        [(false, &["LinearClassifier"][..]), (true, &["LinearClassifier", "Identity"])]
    {
        let model = parsed(classifier(scores_too, vec![ints("classlabels_int64s", &[7, -8, 9])])).unwrap();
        let output = &model.signature.outputs[1];
        assert_eq!(
            (&*output.name, output.datatype, &*output.shape),
            ("output_probability", Datatype::Fp32, &[-1, 3][..])
        );
        assert_eq!(output.labels, Some(vec!["7".into(), "-8".into(), "9".into()]));
        assert_eq!(model.graph.nodes.iter().map(|n| &*n.op_type).collect::<Vec<_>>(), operators);
        assert_eq!(model.graph.nodes.last().unwrap().outputs.last().unwrap(), "output_probability");
        assert!(model.bytes.windows(4).any(|w| w == b"kept"), "other fields stay");
    }
}

#[test]
fn a_zipmap_needs_labels() {
    refused(classifier(false, vec![]).0, Reason::Parse, "class labels");
    let both = vec![ints("classlabels_int64s", &[1]), texts("classlabels_strings", &["a"])];
    refused(classifier(false, both).0, Reason::Parse, "class labels");
    let wrong = vec![text("classlabels_int64s", "x")];
    refused(classifier(false, wrong).0, Reason::Parse, "list of integers");
}

#[test]
fn every_model_at_hand_parses() {
    for path in models(env!("CARGO_MANIFEST_DIR")) {
        let bytes = std::fs::read(&path).unwrap();
        let model = parse(bytes.clone()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for constant in model.graph.initializers.values() {
            let tensor = constant.tensor(&model.bytes).unwrap();
            assert_eq!(tensor.shape.as_slice(), constant.shape);
        }
        // What is handed to engines is a fixed point.
        let again = parse(model.bytes.clone()).unwrap();
        assert_eq!(again.bytes, model.bytes);
        assert_eq!(again.signature.inputs, model.signature.inputs);
    }
}

/// Model files of the repository.
pub(super) fn models(root: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![format!("{root}/models").into(), format!("{root}/tests/fixtures/trees").into()];
    while let Some(folder) = folders.pop() {
        let folder: std::path::PathBuf = folder;
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if entry.path().extension().is_some_and(|extension| extension == "onnx") {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// A file with something of everything, for mutations.
fn seed() -> Vec<u8> {
    let inner =
        graph(vec![node("Relu", &["x"], &["z"], vec![int("axis", 1)])], vec![], vec![value("z", 1, &[])]);
    let branch = node("If", &["w"], &["q"], vec![subgraph("then_branch", inner), floats("f", &[1.0, 2.0])]);
    let more = graph(vec![branch], vec![], vec![]).message(5, constant("w", &[2], &[1.0, 2.0]));
    let out = classifier(false, vec![texts("classlabels_strings", &["a", "b"])]);
    out.message(20, Msg::default().message(1, more)).message(25, function("F0", &[])).0
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(bytes);
    }

    #[test]
    fn mutated_models_never_panic(
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), 0..3), 1..8),
    ) {
        let mut bytes = seed();
        for (at, byte, kind) in edits {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes.truncate(at.max(1)),
            }
        }
        if let Ok(model) = parse(bytes) {
            for constant in model.graph.initializers.values() {
                let _ = constant.tensor(&model.bytes);
            }
        }
    }
}
