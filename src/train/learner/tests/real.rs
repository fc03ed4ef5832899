//! The real libraries, those that scripts/learners.sh fetches: where `SIDEGATE_XGBOOST` and `SIDEGATE_LIGHTGBM` name them
//! or else in `lib/`. `scripts/test.sh learners` brings them.
//!
//! Without them these tests pass unseen, unless `SIDEGATE_TEST_REQUIRE_LEARNERS` is set.
#![expect(clippy::disallowed_methods, reason = "what is asked of the tests is no configuration")]

use std::path::Path;

use sidegate::booster::{Booster, Transform};

use crate::learner::library::{Library, find};
use crate::learner::{FitError, Fitted, Kind, Learner, Model as Learned, agreement, lightgbm, xgboost};
use crate::table::{Batch, Column, Part, Rows, Task};
use sidegate::native;

impl Fitted {
    fn trees(&self) -> &Booster {
        match &self.model {
            Learned::Booster(booster) => booster,
            Learned::Linear(_) => panic!("no trees"),
        }
    }

    fn saved(&self) -> &[u8] {
        &self.file.as_ref().unwrap().1
    }
}

pub(in crate::learner) const WIDTH: usize = 5;

/// Numbers with gaps, a category, weights; a noisy rule between them and the target.
pub(in crate::learner) struct Made {
    columns: Vec<Column>,
    task: Task,
    weighted: bool,
    parts: [(Vec<f32>, Vec<f32>, Vec<f32>); 2],
}

impl Made {
    pub(in crate::learner) fn new(task: Task, weighted: bool) -> Self {
        let column = |name: &str, categories, monotone| Column { name: name.into(), categories, monotone };
        let columns = vec![
            column("a", None, 1),
            column("b b", None, 0),
            column("c", Some(12), 0),
            column("d", None, 0),
            column("e", None, -1),
        ];
        let part = |rows: usize, mut state: u64| {
            let mut random = move || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f32 / (1 << 24) as f32
            };
            let (mut values, mut target, mut weight) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..rows {
                let category = (random() * 12.0).floor();
                let mut row =
                    [random(), random() * 100.0 - 50.0, category, (random() * 7.0).floor(), random()];
                let lift = if (category as u32).is_multiple_of(3) { 1.5 } else { 0.0 };
                let score = row[0] * 2.0 + (row[1] / 20.0).sin() + lift - row[4] + (random() - 0.5) * 0.3;
                for value in [0, 1, 2, 4] {
                    if random() < 0.05 {
                        row[value] = f32::NAN;
                    }
                }
                values.extend(row);
                target.push(match task {
                    Task::Regression => score,
                    Task::Binary => f32::from(score > 1.2),
                    Task::Multiclass { classes } => score.clamp(0.0, classes as f32 - 0.5).floor(),
                });
                weight.push(random() + 0.5);
            }
            (values, target, weight)
        };
        Self { columns, task, weighted, parts: [part(6000, 1), part(2000, 2)] }
    }

    fn part(&self, part: Part) -> &(Vec<f32>, Vec<f32>, Vec<f32>) {
        &self.parts[usize::from(part != Part::Train)]
    }
}

impl Rows for Made {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn count(&self, part: Part) -> usize {
        self.part(part).1.len()
    }

    fn scan(&self, part: Part, each: &mut dyn FnMut(Batch<'_>) -> Result<(), String>) -> Result<(), String> {
        let (values, target, weight) = self.part(part);
        let chunks = values.chunks(700 * WIDTH).zip(target.chunks(700)).zip(weight.chunks(700));
        for ((values, target), weight) in chunks {
            each(Batch { values, target, weight: self.weighted.then_some(weight) })?;
        }
        Ok(())
    }
}

/// A library that is pinned: another version may answer otherwise.
fn library(learner: Library) -> Result<std::path::PathBuf, String> {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("lib").join(learner.file());
    let named = std::env::var_os(learner.variable()).map_or(kept, Into::into);
    find(learner, Some(&named), |_| None)
}

/// Whether these libraries are there.
fn there(learners: &[Library]) -> bool {
    let missing: Vec<String> = learners.iter().filter_map(|learner| library(*learner).err()).collect();
    let required = std::env::var_os("SIDEGATE_TEST_REQUIRE_LEARNERS").is_some();
    assert!(missing.is_empty() || !required, "{missing:?}");
    missing.is_empty()
}

const BOTH: [Library; 2] = [Library::Xgboost, Library::Lightgbm];

fn xgboost() -> native::xgboost::Library {
    native::xgboost::Library::open(&library(Library::Xgboost).unwrap()).unwrap()
}

fn lightgbm() -> native::lightgbm::Library {
    native::lightgbm::Library::open(&library(Library::Lightgbm).unwrap()).unwrap()
}

fn answers(booster: &Booster, values: &[f32]) -> Vec<f64> {
    agreement::answers(booster, values, WIDTH).unwrap()
}

fn fit(learner: Library, made: &Made, params: &str) -> Result<(Fitted, Vec<f64>), FitError> {
    let (mut lines, params) = (Vec::new(), params.parse().unwrap());
    let mut progress = |round: &crate::table::Round| lines.push(round.validation.unwrap_or(f64::NAN));
    let fitted = match learner {
        Library::Xgboost => xgboost::fit(xgboost(), made, made.task, &params, 7, 2, &mut progress),
        Library::Lightgbm => lightgbm::fit(lightgbm(), made, made.task, &params, 7, 2, &mut progress),
    }?;
    Ok((fitted, lines))
}

const TASKS: [Task; 3] = [Task::Regression, Task::Binary, Task::Multiclass { classes: 3 }];

#[test]
fn xgboost_answers_as_the_engine_does_to_the_bit() {
    if !there(&[Library::Xgboost]) {
        return;
    }
    for task in TASKS {
        for (weighted, params) in [
            (false, "n_estimators = 40"),
            (true, "n_estimators = 40\nlearning_rate = 0.2\nmax_cat_to_onehot = 20\nsubsample = 0.7"),
            (true, "num_boost_round = 15\nbooster = 'dart'\nrate_drop = 0.2\nbase_score = 0.4"),
        ] {
            let made = Made::new(task, weighted);
            let (fitted, lines) = fit(Library::Xgboost, &made, params).unwrap();
            assert!(lines.last() < lines.first(), "{task:?} {params}: {lines:?}");
            let values = &made.part(Part::Validation).0;
            let own = native::xgboost::Booster::load(xgboost(), fitted.saved()).unwrap();
            let mut margins = fitted.trees().clone();
            margins.transform = Transform::Identity;
            let expected = own.predict(values, WIDTH, true).unwrap();
            let found = answers(&margins, values);
            assert_eq!(found.len(), expected.len());
            let exact = !params.contains("dart");
            let same = |a: f32, b: f32| a == b || (!exact && (a - b).abs() <= 4.0 * f32::EPSILON);
            // With dart and a starting score the library's answers for plain rows and for a matrix differ by
            // as much.
            assert!(found.iter().zip(&expected).all(|(a, b)| same(*a as f32, *b)), "{task:?} {params}");
            let expected = own.predict(values, WIDTH, false).unwrap();
            let apart = answers(fitted.trees(), values)
                .iter()
                .zip(&expected)
                .map(|(a, b)| (a - f64::from(*b)).abs())
                .fold(0.0, f64::max);
            assert!(apart <= if exact { 2e-7 } else { 1e-6 }, "{task:?} {params}: {apart}");
        }
    }
}

#[test]
fn lightgbm_answers_as_the_engine_does() {
    if !there(&[Library::Lightgbm]) {
        return;
    }
    for task in TASKS {
        for (weighted, params) in [
            (false, "n_estimators = 40"),
            (
                true,
                "n_estimators = 40\nnum_leaves = 63\nmax_bin = 63\nbagging_fraction = 0.7\nbagging_freq = 1",
            ),
            (true, "n_estimators = 15\nboosting = 'dart'\nzero_as_missing = true"),
            (false, "n_estimators = 15\nboosting = 'rf'\nbagging_fraction = 0.6\nbagging_freq = 1"),
        ] {
            let made = Made::new(task, weighted);
            let (fitted, _) = fit(Library::Lightgbm, &made, params).unwrap();
            let values = &made.part(Part::Validation).0;
            let text = std::str::from_utf8(fitted.saved()).unwrap();
            let own = native::lightgbm::Booster::load(lightgbm(), text).unwrap();
            let mut margins = fitted.trees().clone();
            margins.transform = Transform::Identity;
            // Averages are made of the sums only when they are asked for as answers.
            if !params.contains("rf") {
                let expected = own.predict(values, fitted.rounds, true).unwrap();
                let found = answers(&margins, values);
                let equal = found.iter().zip(&expected).filter(|(a, b)| a == b).count();
                assert_eq!((equal, found.len()), (expected.len(), expected.len()), "{task:?} {params}");
            }
            let expected = own.predict(values, fitted.rounds, false).unwrap();
            let found = answers(fitted.trees(), values);
            let apart = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(found.len() == expected.len() && apart < 1e-14, "{task:?} {params}: {apart}");
        }
    }
}

#[test]
fn the_same_seed_and_threads_give_the_same_file() {
    if !there(&BOTH) {
        return;
    }
    let made = Made::new(Task::Binary, true);
    for learner in BOTH {
        let params = "n_estimators = 20\nsubsample = 0.6\ncolsample_bytree = 0.6";
        let params =
            format!("{params}{}", if learner == Library::Lightgbm { "\nbagging_freq = 1" } else { "" });
        let once = fit(learner, &made, &params).unwrap().0.saved().to_vec();
        assert!(once == fit(learner, &made, &params).unwrap().0.saved().to_vec(), "{learner:?}");
    }
}

#[test]
fn early_stopping_keeps_the_best_round() {
    if !there(&BOTH) {
        return;
    }
    let made = Made::new(Task::Regression, false);
    for learner in BOTH {
        let params = "n_estimators = 500\nlearning_rate = 0.5\nearly_stopping_rounds = 5";
        let (fitted, lines) = fit(learner, &made, params).unwrap();
        let best = lines.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(lines.len() < 500);
        assert_eq!(lines[fitted.rounds as usize - 1], best, "{learner:?}: {lines:?}");
        assert_eq!(lines.len(), fitted.rounds as usize + 5, "{learner:?}");
    }
}

#[test]
fn monotone_columns_are_obeyed() {
    if !there(&BOTH) {
        return;
    }
    let made = Made::new(Task::Regression, false);
    for learner in BOTH {
        let fitted = fit(learner, &made, "n_estimators = 50").unwrap().0;
        for (column, sign) in [(0, 1.0), (4, -1.0)] {
            for row in made.part(Part::Validation).0.chunks(WIDTH).take(50) {
                let mut values = row.repeat(20);
                let each = values.chunks_mut(WIDTH).enumerate();
                each.for_each(|(step, row)| row[column] = step as f32 / 20.0);
                let answers = answers(fitted.trees(), &values);
                assert!(answers.is_sorted_by(|a, b| (b - a) * sign >= 0.0), "{learner:?} column {column}");
            }
        }
        assert_eq!(fitted.trees().columns, ["a", "b b", "c", "d", "e"]);
    }
}

#[test]
fn quantiles_lie_where_they_should() {
    if !there(&BOTH) {
        return;
    }
    let mut made = Made::new(Task::Regression, false);
    // LightGBM takes no constraints together with quantiles.
    made.columns.iter_mut().for_each(|column| column.monotone = 0);
    let xgboost = "objective = 'reg:quantileerror'\nquantile_alpha = 0.9\nn_estimators = 60\nmax_depth = 3";
    let lightgbm = "objective = 'quantile'\nalpha = 0.9\nn_estimators = 60";
    for (learner, params) in [(Library::Xgboost, xgboost), (Library::Lightgbm, lightgbm)] {
        let fitted = fit(learner, &made, params).unwrap().0;
        let (values, target, _) = made.part(Part::Validation);
        let answers = answers(fitted.trees(), values);
        let below =
            target.iter().zip(&answers).filter(|(target, answer)| f64::from(**target) <= **answer).count();
        let share = below as f64 / target.len() as f64;
        assert!((0.85..0.95).contains(&share), "{learner:?}: {share}");
    }
    let three = "objective = 'reg:quantileerror'\nquantile_alpha = [0.1, 0.5, 0.9]\nn_estimators = 20";
    assert_eq!(fit(Library::Xgboost, &made, three).unwrap().0.trees().targets, 3);
}

#[test]
fn what_is_wrong_is_said() {
    if !there(&BOTH) {
        return;
    }
    let check = |learner, made: &Made, params: &str, expected: &str| {
        let error = fit(learner, made, params).err().unwrap().to_string();
        assert!(error.contains(expected), "{params}: {error}");
    };
    let made = Made::new(Task::Regression, false);
    check(Library::Xgboost, &made, "max_depth = 'deep'", "max_depth");
    check(Library::Xgboost, &made, "objective = 'reg:nothing'", "Unknown objective function");
    check(Library::Xgboost, &made, "eval_metric = 'rmsee'", "Unknown metric");
    check(Library::Xgboost, &made, "booster = 'gblinear'", "linear models are kind");
    check(Library::Xgboost, &made, "max_dept = 1", "did you mean `max_depth`?");
    check(Library::Lightgbm, &made, "objective = 'nothing'", "Unknown objective type name: nothing");
    check(Library::Lightgbm, &made, "linear_tree = true", "cannot be set");
    check(Library::Lightgbm, &made, "num_leaves = 1", "LightGBM: ");
    let mut gap = Made::new(Task::Binary, false);
    gap.parts[0].1[4321] = f32::NAN;
    for learner in BOTH {
        check(learner, &gap, "", "row 4321 has no target");
    }
}

#[test]
fn values_that_the_libraries_refuse_are_found_by_a_rehearsal() {
    if !there(&BOTH) {
        return;
    }
    let rehearse = |learner: Library, task, params: &str| {
        let kind = if learner == Library::Xgboost { Kind::Xgboost } else { Kind::Lightgbm };
        let (params, library) = (params.parse().unwrap(), library(learner).ok());
        Learner { kind, params, library, seed: 7, threads: 2 }.rehearse(&Made::new(task, false), task)
    };
    for (learner, params) in [
        (Library::Xgboost, "objective = 'reg:nothing'"),
        (Library::Xgboost, "max_depth = 'deep'"),
        (Library::Xgboost, "eval_metric = 'rmsee'"),
        (Library::Xgboost, "subsample = 7.0"),
        (Library::Lightgbm, "objective = 'nothing'"),
        (Library::Lightgbm, "num_leaves = 1"),
        (Library::Lightgbm, "bagging_fraction = 7.0"),
        (Library::Lightgbm, "max_bin = 1"),
    ] {
        let found = rehearse(learner, Task::Regression, params);
        assert!(matches!(found, Err(FitError::Parameters(_))), "{params}: {found:?}");
    }
    for task in TASKS {
        for (learner, params) in [
            (Library::Xgboost, "num_boost_round = 5000\nsubsample = 0.01\nearly_stopping_rounds = 3"),
            (
                Library::Lightgbm,
                "num_round = 5000\nbagging_fraction = 0.01\nbagging_freq = 1\nnum_leaves = 4000",
            ),
        ] {
            assert_eq!(rehearse(learner, task, params), Ok(()), "{task:?} {params}");
        }
    }
    for (learner, objective) in [
        (Library::Xgboost, "reg:gamma"),
        (Library::Xgboost, "reg:logistic"),
        (Library::Xgboost, "reg:squaredlogerror"),
        (Library::Lightgbm, "gamma"),
        (Library::Lightgbm, "tweedie"),
        (Library::Lightgbm, "cross_entropy"),
    ] {
        // LightGBM takes no constraints together with some.
        let found = rehearse(learner, Task::Regression, &format!("objective = '{objective}'"));
        assert_eq!(found, Ok(()), "{objective}");
    }
}

#[test]
fn the_table_of_lightgbm_is_the_library_s() {
    if !there(&[Library::Lightgbm]) {
        return;
    }
    let json = lightgbm().parameters().unwrap();
    let table = lightgbm::NAMES;
    let first = |(name, others): (&str, &[&str])| {
        let mut others: Vec<_> = others.to_vec();
        others.sort_unstable();
        (name.to_owned(), others.iter().map(|other| (*other).to_owned()).collect::<Vec<_>>())
    };
    let known = table.known.iter().map(|(name, others)| first((name, others)));
    let refused = table.refused.iter().map(|(name, others, _)| first((name, others)));
    let ours: std::collections::BTreeMap<_, _> = known.chain(refused).collect();
    // `"name": ["other", …],` line by line.
    let theirs: std::collections::BTreeMap<_, _> = json
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, others)| {
            let words = |text: &str| -> Vec<String> {
                text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
            };
            let (mut name, mut others) = (words(name), words(others));
            others.sort_unstable();
            (name.remove(0), others)
        })
        .collect();
    assert!(theirs.len() > 100);
    assert_eq!(ours, theirs);
}
