//! The engine against answers of ONNX Runtime, kept in `tests/fixtures/trees` by `make-trees.py`.

mod answers;
mod boosters;
mod broken;
mod mutations;

use std::path::{Path, PathBuf};

use self::answers::Answers;
use self::broken::regressor;
use super::*;
use crate::engine::Scratch;
use crate::format;
use crate::model::Reason;
use crate::onnx::Model;
use crate::onnx::build::{Msg, graph, model, node, value};
use crate::tensor::{Data, Datatype};

thread_local! {
    /// Set while a test wants forests laid out as on a processor without special instructions.
    pub(in crate::engine::trees) static PLAIN: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

const OPTIONS: LoadOptions = LoadOptions { workers: 1 };
/// Equal is |a − b| ≤ 1e-5 · max(1, |b|), here as everywhere.
const TOLERANCE: f64 = 1e-5;

fn fixtures() -> Vec<PathBuf> {
    models(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/trees"))
}

/// The models of a folder; each has its cases beside it.
fn models(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut models: Vec<_> = files.filter(|path| !path.to_str().unwrap().ends_with(".cases.onnx")).collect();
    models.sort();
    models
}

fn parse(path: &Path) -> Model {
    crate::onnx::parse(std::fs::read(path).unwrap())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The tensors kept for the values of one side, `in` or `out`.
fn cases(cases: &Model, side: &str, specs: &[crate::model::TensorSpec]) -> Vec<Tensor> {
    let tensor =
        |name: &str| cases.graph.initializers[&format!("{side}/{name}")].tensor(&cases.bytes).unwrap();
    specs.iter().map(|spec| tensor(&spec.name)).collect()
}

fn numbers(data: &Data) -> Option<Vec<f64>> {
    Some(match data {
        Data::Fp32(values) => values.iter().map(|x| f64::from(*x)).collect(),
        Data::Fp64(values) => values.clone(),
        _ => return None,
    })
}

/// What differs, if anything.
fn difference(found: &Tensor, expected: &Tensor, tolerance: f64) -> Option<String> {
    if found.shape != expected.shape || found.datatype() != expected.datatype() {
        return Some(format!("{:?} {:?}, not {:?}", found.datatype(), found.shape, expected.shape));
    }
    let (Some(a), Some(b)) = (numbers(&found.data), numbers(&expected.data)) else {
        return (found.data != expected.data).then(|| format!("{:?}, not {:?}", found.data, expected.data));
    };
    let close =
        |a: f64, b: f64| a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= tolerance * b.abs().max(1.0);
    let at = a.iter().zip(&b).position(|(a, b)| !close(*a, *b))?;
    Some(format!("element {at} is {}, not {}", a[at], b[at]))
}

/// The first rows of a tensor.
fn head(tensor: &Tensor, from: usize, rows: usize) -> Tensor {
    let row = tensor.data.len() / tensor.rows().max(1);
    let mut shape = tensor.shape.clone();
    shape[0] = rows;
    let mut data = Data::empty(tensor.datatype());
    operators::gather::pick_range(&tensor.data, from * row..(from + rows) * row, &mut data);
    Tensor { shape, data }
}

/// What was compared in a folder of fixtures.
#[derive(Default)]
struct Tally {
    models: usize,
    rows: usize,
    /// Numbers that the exact answers decided.
    judged: usize,
    largest: f64,
    wrong: Vec<String>,
}

impl Tally {
    fn check(&mut self, path: &Path, scratch: &mut Scratch) {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let (model, kept) = (parse(path), parse(&path.with_extension("cases.onnx")));
        let inputs = cases(&kept, "in", &model.signature.inputs);
        // Near a half ONNX Runtime's own probit has three digits in float32.
        let tolerance = if name.contains("probit") { 1e-3 } else { TOLERANCE };
        let answers = Answers::read(&model, &kept, tolerance);
        self.models += 1;
        self.rows += inputs[0].rows();
        let session = match Trees.load(&model.into(), &OPTIONS) {
            Ok(session) => session,
            Err(error) => return self.wrong.push(format!("{name}: {error}")),
        };
        let mut outputs = Vec::new();
        if let Err(error) = session.run(&inputs, scratch, &mut outputs) {
            return self.wrong.push(format!("{name}: {error}"));
        }
        let found = answers.compare(&outputs);
        self.judged += found.judged;
        if tolerance == TOLERANCE {
            self.largest = self.largest.max(found.largest);
        }
        self.wrong.extend(found.wrong.iter().map(|what| format!("{name}: {what}")));
        // A row's answer does not depend on the rows beside it, in a model; single operators may mix rows.
        if name.starts_with("op-") {
            return;
        }
        let (rows, mut alone) = (inputs[0].rows(), Vec::new());
        for row in [0, rows - 1] {
            let single: Vec<Tensor> = inputs.iter().map(|input| head(input, row, 1)).collect();
            session.run(&single, scratch, &mut alone).unwrap();
            // Some converters turn the labels on their side.
            let pairs = alone.iter().zip(&outputs).filter(|(_, all)| all.shape.first() == Some(&rows));
            let wrong = pairs.filter_map(|(found, all)| difference(found, &head(all, row, 1), tolerance));
            self.wrong.extend(wrong.map(|what| format!("{name}, row {row} alone: {what}")));
        }
    }

    fn end(&self) {
        let (count, wrong) = (self.wrong.len(), self.wrong.join("\n"));
        assert!(count == 0, "{count} differ:\n{wrong}");
    }
}

/// `SIDEGATE_PROOF_TREES` names another folder, with more models and rows than are kept: `scripts/prove-trees.sh`.
#[test]
fn answers_are_those_of_onnx_runtime() {
    compare_with_onnx_runtime();
}

#[test]
fn answers_are_the_same_without_special_instructions() {
    PLAIN.set(true);
    compare_with_onnx_runtime();
}

#[expect(clippy::disallowed_methods, reason = "a test may be pointed at more files")]
fn compare_with_onnx_runtime() {
    let mut scratch = Scratch::new(0);
    let mut tally = Tally::default();
    let models = fixtures();
    assert!(models.len() > 100, "{} fixtures", models.len());
    models.iter().for_each(|path| tally.check(path, &mut scratch));
    tally.end();
    let Some(folder) = std::env::var_os("SIDEGATE_PROOF_TREES") else { return };
    let mut tally = Tally::default();
    self::models(Path::new(&folder)).iter().for_each(|path| tally.check(path, &mut scratch));
    let Tally { models, rows, judged, largest, .. } = &tally;
    let violations = tally.wrong.len();
    println!(
        "{} layout: {models} models, {rows} rows, {violations} violations, {judged} numbers judged by float64, \
         largest difference {largest:.1e}",
        layout()
    );
    tally.end();
}

/// Which layout is tested.
fn layout() -> &'static str {
    match crate::native::simd::Avx512::detect() {
        Some(_) if !PLAIN.get() => "packed",
        _ => "plain",
    }
}

fn load(file: Msg) -> Result<Box<dyn Session>, LoadError> {
    Trees.load(&format::Model::from(crate::onnx::parse(file.0).unwrap()), &OPTIONS)
}

fn run(session: &dyn Session, input: Tensor) -> Result<Tensor, RunError> {
    let mut outputs = Vec::new();
    session.run(&[input], &mut Scratch::new(0), &mut outputs)?;
    Ok(outputs.remove(0))
}

#[test]
fn rows_that_are_too_narrow_are_the_request_s_fault() {
    let session = load(regressor(None, "")).unwrap();
    let floats = |shape: &[usize], values: &[f32]| Tensor::new(shape, Data::Fp32(values.to_vec()));
    assert_eq!(run(&*session, floats(&[1, 2], &[0.0, 0.5])).unwrap(), floats(&[1, 1], &[-1.0]));
    assert_eq!(run(&*session, floats(&[0, 2], &[])).unwrap(), floats(&[0, 1], &[]));
    for shape in [[1, 1].as_slice(), &[1, 0], &[1, 1, 2], &[]] {
        let count = shape.iter().product();
        let error = run(&*session, floats(shape, &vec![0.0; count])).unwrap_err();
        assert!(matches!(error, RunError::Input(_)), "{shape:?}: {error:?}");
    }
    let error = run(&*session, Tensor::new(&[1, 2], Data::Int64(vec![0; 2]))).unwrap_err();
    assert!(matches!(error, RunError::Engine(_)));
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    let of = |op: &str| {
        let nodes = vec![node(op, &["x"], &["y"], vec![])];
        load(model(graph(nodes, vec![value("x", 1, &[-1, 2])], vec![value("y", 1, &[-1, 2])]))).err().unwrap()
    };
    let error = of("Conv");
    assert_eq!(error.code, Reason::UnknownOperator);
    assert!(error.detail.contains("`Conv`"), "{error}");
    // An output that is not what the graph declares.
    let error = of("ArgMax");
    assert_eq!(error.code, Reason::Unsupported);
    assert!(error.detail.contains("declared FP32 but computed INT64"), "{error}");
}

#[test]
fn buffers_are_used_again_whatever_ran_before() {
    let session = load(regressor(None, "")).unwrap();
    let mut scratch = Scratch::new(0);
    let mut outputs = vec![Tensor::empty(Datatype::Bytes); 3];
    for rows in [3, 1, 2] {
        let input = Tensor::new(&[rows, 2], Data::Fp32(vec![1.0; rows * 2]));
        session.run(&[input], &mut scratch, &mut outputs).unwrap();
        assert_eq!(outputs, [Tensor::new(&[rows, 1], Data::Fp32(vec![1.0; rows]))]);
    }
}
