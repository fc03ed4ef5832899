//! Native model files against answers of XGBoost and LightGBM, kept in `tests/fixtures/boosters` by
//! `make-boosters.py`; also those of a folder that `SIDEGATE_PROOF_BOOSTERS` names.

use std::path::{Path, PathBuf};

use super::{OPTIONS, PLAIN, TOLERANCE, difference, head, layout, numbers, parse};
use crate::booster::Transform;
use crate::config::EngineChoice;
use crate::engine::trees::Trees;
use crate::engine::{Engine, EngineKind, Scratch, Session};
use crate::format::{Format, Model};
use crate::model::Reason;
use crate::tensor::{Data, Datatype, Tensor};

fn models(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut models: Vec<_> =
        files.filter(|path| path.is_file() && path.extension().is_none_or(|e| e != "onnx")).collect();
    models.sort();
    models
}

fn session(model: &Model) -> Box<dyn Session> {
    Trees.load(model, &OPTIONS).unwrap()
}

/// The distance from a number's size to the next float32.
fn ulp(size: f64) -> f64 {
    let size = size as f32;
    f64::from(size.next_up()) - f64::from(size)
}

/// What was compared.
#[derive(Default)]
struct Tally {
    rows: usize,
    margins: usize,
    /// Margins equal to the last bit.
    equal: usize,
}

/// What differs from the libraries' answers.
fn check(path: &Path, tally: &mut Tally, wrong: &mut Vec<String>) {
    let name = path.file_name().unwrap().to_str().unwrap();
    let format = Format::of(path).unwrap();
    let mut model = match Model::parse(format, std::fs::read(path).unwrap()) {
        Ok(model) => model,
        Err(error) => {
            wrong.push(format!("{name}: {error}"));
            return;
        }
    };
    let kept = parse(&path.with_extension("cases.onnx"));
    let tensor = |name: &str| kept.graph.initializers[name].tensor(&kept.bytes).unwrap();
    let (input, expected) = (tensor("in/input"), tensor("out/predict"));
    let (margin, scale) = (tensor("out/margin"), tensor("out/scale"));
    let (mut scratch, mut outputs) = (Scratch::new(0), Vec::new());
    let mut run = |model: &Model, input: Tensor| {
        session(model).run(&[input], &mut scratch, &mut outputs).unwrap();
        outputs.remove(0)
    };
    let found = run(&model, input.clone());
    wrong.extend(difference(&found, &expected, TOLERANCE).map(|what| format!("{name}: {what}")));
    let rows = input.rows();
    let single = run(&model, head(&input, rows - 1, 1));
    wrong.extend(
        difference(&single, &head(&expected, rows - 1, 1), TOLERANCE)
            .map(|what| format!("{name}, one row: {what}")),
    );
    if let Model::Booster(booster) = &mut model {
        booster.transform = Transform::Identity;
    }
    let found = run(&model, input);
    let (found, margin, scale) = (&found.data, &margin.data, &scale.data);
    let [found, margin, scale] = [found, margin, scale].map(|data| numbers(data).unwrap());
    assert_eq!((found.len(), scale.len()), (margin.len(), margin.len()), "{name}");
    for (at, ((a, b), scale)) in found.iter().zip(&margin).zip(&scale).enumerate() {
        if (a - b).abs() > ulp(*scale) || a.is_nan() != b.is_nan() {
            wrong.push(format!("{name}: margin {at} is {a}, not {b}, with leaves of {scale}"));
            break;
        }
    }
    tally.rows += rows;
    tally.margins += margin.len();
    tally.equal += found.iter().zip(&margin).filter(|(a, b)| a == b).count();
}

#[test]
fn boosters_answer_as_their_libraries_do() {
    compare_with_libraries();
}

#[test]
fn boosters_answer_the_same_without_special_instructions() {
    PLAIN.set(true);
    compare_with_libraries();
}

#[expect(clippy::disallowed_methods, reason = "a test may be pointed at more files")]
fn compare_with_libraries() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/boosters");
    let mut paths = models(&folder);
    assert!(paths.len() > 80, "{} fixtures", paths.len());
    paths.extend(
        std::env::var_os("SIDEGATE_PROOF_BOOSTERS").into_iter().flat_map(|folder| models(folder.as_ref())),
    );
    let mut wrong = Vec::new();
    let mut tally = Tally::default();
    paths.iter().for_each(|path| check(path, &mut tally, &mut wrong));
    let Tally { rows, margins, equal } = tally;
    let (layout, models, violations) = (layout(), paths.len(), wrong.len());
    println!(
        "{layout} layout: {models} models, {rows} rows, {violations} violations, {equal} of {margins} margins equal to \
         the bit"
    );
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Whatever a byte of a file is changed to, it is refused, or it runs.
#[test]
fn damaged_files_neither_panic_nor_hang() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/boosters");
    let (mut refused, mut ran) = (0, 0);
    for name in [
        "xgb-stump.ubj",
        "xgb-categories-partition.json",
        "lgb-categories-zero.txt",
        "xgb-categories-dart.ubj",
    ] {
        let bytes = std::fs::read(folder.join(name)).unwrap();
        let format = Format::of(name.as_ref()).unwrap();
        let mut scratch = Scratch::new(0);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] = [0, b'9', 0xff, bytes[at] ^ 1, bytes[at] ^ 0x80][at % 5];
            let Ok(model) = Model::parse(format, damaged) else {
                refused += 1;
                continue;
            };
            let width = model.signature().inputs[0].shape[1] as usize;
            let input = match model.signature().inputs[0].datatype {
                Datatype::Fp32 => Data::Fp32(vec![1.5; width]),
                _ => Data::Fp64(vec![1.5; width]),
            };
            // What the engine does not take is refused as well.
            if let Ok(session) = Trees.load(&model, &OPTIONS) {
                session.run(&[Tensor::new(&[1, width], input)], &mut scratch, &mut Vec::new()).unwrap();
                ran += 1;
            }
        }
    }
    assert!(refused > 1000 && ran > 1000, "{refused} refused, {ran} ran");
}

#[test]
fn other_engines_say_that_they_read_onnx_only() {
    let bytes =
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/boosters/xgb-hinge.ubj"))
            .unwrap();
    let model = Model::parse(Format::XgboostUbj, bytes).unwrap();
    let loaded = crate::engine::load(&model, EngineChoice::Auto, &OPTIONS).unwrap();
    assert_eq!((loaded.kind, &*loaded.reason), (EngineKind::Trees, "trees runs the whole model"));
    assert!(crate::engine::alternative(&model, &loaded, EngineChoice::Auto, &OPTIONS).is_none());
    for choice in [EngineChoice::Ort, EngineChoice::Tract] {
        let error = crate::engine::load(&model, choice, &OPTIONS).err().unwrap();
        assert_eq!(error.code, Reason::Unsupported, "{error}");
        #[cfg(all(feature = "ort", feature = "tract"))]
        assert!(error.detail.contains("reads ONNX only"), "{error}");
    }
}
