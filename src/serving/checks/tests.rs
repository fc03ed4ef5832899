//! Every check is red on a session that does what it is against.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::engine::EngineKind;
use crate::model::TensorSpec;
use crate::tensor::{Data, Datatype};

/// Answers what a function makes of the inputs and the number of the call.
struct Fake<F>(F, AtomicUsize);

impl<F: Fn(&[Tensor], usize) -> Result<Vec<Tensor>, RunError> + Send + Sync> Session for Fake<F> {
    fn run(
        &self,
        inputs: &[Tensor],
        _scratch: &mut Scratch,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), RunError> {
        *outputs = (self.0)(inputs, self.1.fetch_add(1, Ordering::Relaxed))?;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        0
    }
}

type Answer = Result<Vec<Tensor>, RunError>;

fn spec(name: &str, datatype: Datatype, shape: &[i64]) -> TensorSpec {
    TensorSpec { name: name.into(), datatype, shape: shape.to_vec(), labels: None }
}

/// Takes `x` of 2 floats and `c`, a text, gives `y`, a float.
fn signature() -> Signature {
    Signature {
        inputs: vec![spec("x", Datatype::Fp32, &[-1, 2]), spec("c", Datatype::Bytes, &[-1])],
        outputs: vec![spec("y", Datatype::Fp32, &[-1, 1])],
    }
}

fn floats(tensor: &Tensor) -> &[f32] {
    let Data::Fp32(values) = &tensor.data else { panic!("{tensor:?}") };
    values
}

fn y(values: Vec<f32>) -> Answer {
    Ok(vec![Tensor::new(&[values.len(), 1], Data::Fp32(values))])
}

/// What a sound model does: the sum of a row, between 0 and 1.
fn sound(inputs: &[Tensor], _call: usize) -> Answer {
    y(floats(&inputs[0]).chunks(2).map(|row| 1.0 / (1.0 + (-row[0] - row[1]).exp())).collect())
}

/// The findings of a check that did not pass, with their details.
fn findings(
    kind: ModelCheck,
    signature: &Signature,
    answer: impl Fn(&[Tensor], usize) -> Answer + Send + Sync,
) -> Vec<(String, Status, String)> {
    let session = Fake(answer, AtomicUsize::new(0));
    let mut trial = Trial { session: &session, signature, scratch: &mut Scratch::new(0), pace: &mut || () };
    let (rows, source) = made_up(&mut trial, None, 64, 1);
    let range = Some("0..1".parse().unwrap());
    let terms = Terms { rows: &rows, sample: &rows, source: &source, prediction: 0, range, callers: 2 };
    let check = CHECKS.iter().find(|check| check.kind == kind).unwrap();
    let findings = check.run(&mut trial, &terms).into_iter();
    findings.map(|finding| (finding.name, finding.status, finding.detail)).collect()
}

/// This part of the check fails, in these words, and all others pass.
#[track_caller]
fn red(kind: ModelCheck, part: &str, words: &str, answer: impl Fn(&[Tensor], usize) -> Answer + Send + Sync) {
    let found = findings(kind, &signature(), answer);
    let failed: Vec<_> = found.iter().filter(|(_, status, _)| *status == Status::Failed).collect();
    let [(name, _, detail)] = failed[..] else { panic!("{found:?}") };
    assert_eq!(name, part, "{found:?}");
    assert!(detail.contains(words), "{detail}");
}

#[test]
fn a_sound_model_passes_everything() {
    for check in CHECKS {
        let found = findings(check.kind, &signature(), sound);
        assert!(
            !found.is_empty() && found.iter().all(|(_, status, _)| *status == Status::Passed),
            "{found:?}"
        );
    }
    assert_eq!(
        CHECKS.iter().map(|check| check.kind).collect::<Vec<_>>(),
        ModelCheck::ALL,
        "one row for each"
    );
}

#[test]
fn interface_wants_answers_as_declared() {
    red(ModelCheck::Interface, "interface", "no such row", |_, _| Err(RunError::Input("no such row".into())));
    red(ModelCheck::Interface, "interface", "output `y` is INT64, declared as FP32", |_, _| {
        Ok(vec![Tensor::new(&[1], Data::Int64(vec![1]))])
    });
    red(ModelCheck::Interface, "interface", "0 outputs came back, 1 are declared", |_, _| Ok(Vec::new()));
}

#[test]
fn shape_counts_rows() {
    red(ModelCheck::Shape, "shape", "output `y` has shape [3, 1] for 2 rows", |inputs, _| {
        y(vec![0.5; inputs[0].rows() + usize::from(inputs[0].rows() == 2)])
    });
    red(ModelCheck::Shape, "shape", "has shape [1, 1] for 2 rows", |_, _| y(vec![0.5]));
    red(ModelCheck::Shape, "shape", "7 rows: refused as input: too many", |inputs, call| {
        if inputs[0].rows() == 7 { Err(RunError::Input("too many".into())) } else { sound(inputs, call) }
    });
}

#[test]
fn declared_shapes_of_outputs_are_hints_and_some_have_no_rows() {
    let mut signature = signature();
    signature.outputs = vec![
        spec("label", Datatype::Int64, &[1]),
        spec("classes", Datatype::Int64, &[3]),
        spec("version", Datatype::Fp32, &[]),
    ];
    let answer = |inputs: &[Tensor], _: usize| {
        let rows = inputs[0].rows();
        Ok(vec![
            Tensor::new(&[rows], Data::Int64(vec![0; rows])),
            Tensor::new(&[3], Data::Int64(vec![0, 1, 2])),
            Tensor::new(&[], Data::Fp32(vec![1.0])),
        ])
    };
    let found = findings(ModelCheck::Shape, &signature, answer);
    assert_eq!(found[0].1, Status::Passed, "{found:?}");
    assert!(found[0].2.contains("`classes` has no batch dimension; `version`"), "{found:?}");
    signature.inputs[0].shape[0] = 4;
    assert_eq!(findings(ModelCheck::Shape, &signature, answer)[0].1, Status::Skipped);
}

#[test]
fn range_names_the_row() {
    red(ModelCheck::Range, "range", "row 5: 1.5, wanted 0..1; 1 values", |inputs, call| {
        let mut answer = sound(inputs, call)?;
        if let Data::Fp32(values) = &mut answer[0].data
            && values.len() > 5
        {
            values[5] = 1.5;
        }
        Ok(answer)
    });
    red(ModelCheck::Range, "range", "row 0: NaN", |inputs, _| y(vec![f32::NAN; inputs[0].rows()]));
    let mut texts = signature();
    texts.outputs = vec![spec("label", Datatype::Bytes, &[-1])];
    let found = findings(ModelCheck::Range, &texts, |inputs, _| {
        let labels = (0..inputs[0].rows()).map(|_| "a").collect();
        Ok(vec![Tensor::new(&[inputs[0].rows()], Data::Bytes(labels))])
    });
    assert!(found[0].1 == Status::Failed && found[0].2.contains("--prediction"), "{found:?}");
}

#[test]
fn random_answers_are_found_out() {
    let random = |inputs: &[Tensor], call: usize| y(vec![call as f32; inputs[0].rows()]);
    let found = findings(ModelCheck::Determinism, &signature(), random);
    assert!(found.iter().all(|(_, status, _)| *status == Status::Failed), "{found:?}");
    assert!(found[0].2.contains("output `y`, element 0: 2, before 1"), "{found:?}");
    // Noise below six decimals is told apart from none.
    let noise = |inputs: &[Tensor], call: usize| y(vec![0.5 + (call % 2) as f32 * 1e-7; inputs[0].rows()]);
    let found = findings(ModelCheck::Determinism, &signature(), noise);
    assert!(found[0].1 == Status::Passed && found[0].2.contains("not bit for bit"), "{found:?}");
}

#[test]
fn a_row_must_not_depend_on_the_others() {
    red(ModelCheck::Determinism, "determinism.alone", "row 0 alone and among 64 rows", |inputs, _| {
        let rows = inputs[0].rows();
        y(vec![1.0 / rows as f32; rows])
    });
}

#[test]
fn threads_must_not_disturb_each_other() {
    let running = AtomicUsize::new(0);
    let main = std::thread::current().id();
    red(ModelCheck::Determinism, "determinism.threads", "two threads at once", |inputs, call| {
        // Shared state, seen from another thread than the first.
        running.fetch_add(1, Ordering::SeqCst);
        if std::thread::current().id() == main { sound(inputs, call) } else { y(vec![9.0; inputs[0].rows()]) }
    });
    assert!(running.into_inner() >= 4);
}

#[test]
fn edge_cases_find_panics_and_failures_and_let_refusals_pass() {
    red(ModelCheck::EdgeCases, "edge_cases.nan", "panicked", |inputs, call| {
        assert!(!floats(&inputs[0]).iter().any(|v| v.is_nan()), "NaN");
        sound(inputs, call)
    });
    red(ModelCheck::EdgeCases, "edge_cases.empty", "the engine failed: no rows", |inputs, call| {
        if inputs[0].rows() == 0 { Err(RunError::Engine("no rows".into())) } else { sound(inputs, call) }
    });
    red(ModelCheck::EdgeCases, "edge_cases.unseen_text", "unknown category", |inputs, call| {
        let Data::Bytes(texts) = &inputs[1].data else { panic!() };
        let known = !texts.iter().any(|text| text.starts_with(b"sidegate"));
        if known { sound(inputs, call) } else { Err(RunError::Engine("unknown category".into())) }
    });
    let found = findings(ModelCheck::EdgeCases, &signature(), |inputs, call| {
        let finite = floats(&inputs[0]).iter().all(|v| v.is_finite());
        if finite { sound(inputs, call) } else { Err(RunError::Input("finite numbers only".into())) }
    });
    assert!(found.iter().all(|(_, status, _)| *status == Status::Passed), "{found:?}");
    assert_eq!(found.iter().filter(|(.., detail)| detail.contains("refused as input: finite")).count(), 3);
    let names: Vec<&str> = found.iter().map(|(name, ..)| name.trim_start_matches("edge_cases.")).collect();
    assert_eq!(names, ["empty", "nan", "infinity", "negative_infinity", "empty_text", "unseen_text"]);
}

#[test]
fn integers_are_tried_at_their_ends() {
    let signature = Signature {
        inputs: vec![spec("n", Datatype::Int64, &[-1])],
        outputs: vec![spec("y", Datatype::Fp32, &[-1, 1])],
    };
    let found = findings(ModelCheck::EdgeCases, &signature, |inputs, _| {
        let Data::Int64(values) = &inputs[0].data else { panic!() };
        // As careless code does.
        y(values.iter().map(|v| if *v == i64::MIN { panic!("overflow") } else { v.abs() as f32 }).collect())
    });
    let failed: Vec<_> = found.iter().filter(|(_, status, _)| *status == Status::Failed).collect();
    assert!(matches!(failed[..], [(name, ..)] if name == "edge_cases.smallest_integer"), "{found:?}");
}

#[test]
fn engines_must_agree_where_both_answer() {
    let signature = signature();
    let ours = Fake(sound, AtomicUsize::new(0));
    let found = |theirs: fn(&[Tensor], usize) -> Answer| {
        let mut trial =
            Trial { session: &ours, signature: &signature, scratch: &mut Scratch::new(0), pace: &mut || () };
        let (rows, source) = made_up(&mut trial, None, 64, 1);
        let terms =
            Terms { rows: &rows, sample: &rows, source: &source, prediction: 0, range: None, callers: 1 };
        let finding = agreement(&mut trial, &terms, (EngineKind::Tract, &Fake(theirs, AtomicUsize::new(0))));
        (finding.status, finding.detail)
    };
    assert_eq!(found(sound).0, Status::Passed);
    let (status, detail) = found(|inputs, _| y(vec![2.0; inputs[0].rows()]));
    assert!(status == Status::Failed && detail.ends_with(", tract says 2"), "{detail}");
    assert_eq!(found(|_, _| Err(RunError::Input("no".into()))).0, Status::Skipped);
    assert_eq!(found(|_, _| panic!("no")), (Status::Failed, "one of the engines panicked".to_owned()));
}

#[test]
fn a_version_is_refused_by_the_checks_that_were_asked_for_and_no_others() {
    let two = |inputs: &[Tensor], _: usize| y(vec![2.0; inputs[0].rows()]);
    let admit = |asked: &[ModelCheck]| {
        let session = Fake(two, AtomicUsize::new(0));
        let signature = signature();
        let mut trial = Trial {
            session: &session,
            signature: &signature,
            scratch: &mut Scratch::new(0),
            pace: &mut || (),
        };
        let range = Some("0..1".parse().unwrap());
        let admitted = super::admit(&mut trial, asked.iter().copied().collect(), None, (0, range), 1);
        (admitted, session.1.into_inner())
    };
    assert_eq!(admit(&[]), (Ok(()), 0), "nothing is run that was not asked for");
    assert!(admit(&[ModelCheck::Shape, ModelCheck::EdgeCases]).0.is_ok());
    let refused = admit(ModelCheck::ALL).0.unwrap_err();
    assert_eq!(refused.code, Reason::GoldenMismatch);
    assert!(refused.detail.starts_with("check range: output `y`, row 0: 2, wanted 0..1"), "{refused}");
}

#[test]
fn rows_are_those_that_the_model_takes() {
    let session = Fake(
        |inputs: &[Tensor], call: usize| {
            let small = floats(&inputs[0]).iter().all(|v| (0.0..=3.0).contains(v) && v.fract() == 0.0);
            if small { sound(inputs, call) } else { Err(RunError::Input("an index".into())) }
        },
        AtomicUsize::new(0),
    );
    let signature = signature();
    let mut trial =
        Trial { session: &session, signature: &signature, scratch: &mut Scratch::new(0), pace: &mut || () };
    let (rows, source) = made_up(&mut trial, None, 8, 1);
    assert!(floats(&rows[0]).iter().all(|v| (0.0..=3.0).contains(v)) && source == "8 made-up rows");
    let example = [
        Tensor::new(&[1, 2], Data::Fp32(vec![7.5, 8.5])),
        Tensor::new(&[1], Data::Bytes(["z"].into_iter().collect())),
    ];
    let (rows, source) = made_up(&mut trial, Some(&example), 2, 1);
    assert_eq!(
        (floats(&rows[0]), source.as_str()),
        (&[7.5, 8.5, 7.5, 8.5][..], "2 rows mixed from the examples")
    );
}
