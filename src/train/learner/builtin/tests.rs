//! Rows in memory, and what all learners must do.

mod bins;
mod forest;
mod gbdt;
mod linear;

use sidegate::booster::Booster;
use sidegate::engine::{Engine, LoadOptions, Scratch, Session, trees};
use sidegate::format;
use sidegate::tensor::{Data, Tensor};

use crate::learner::builtin::predict::scores;
use crate::learner::builtin::random::Random;
use crate::learner::{FitError, Fitted, Model};
use crate::table::{Batch, Column, Part, Round, Rows, Task};

/// Rows of training, and of validation.
#[derive(Clone, Default)]
struct Memory {
    columns: Vec<Column>,
    values: [Vec<f32>; 2],
    target: [Vec<f32>; 2],
    weight: Option<Vec<f32>>,
}

impl Rows for Memory {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn count(&self, part: Part) -> usize {
        self.target.get(part as usize).map_or(0, Vec::len)
    }

    fn scan(&self, part: Part, each: &mut dyn FnMut(Batch<'_>) -> Result<(), String>) -> Result<(), String> {
        let [values, target] = [&self.values, &self.target].map(|both| &both[part as usize]);
        let mut weight = self.weight.as_ref().filter(|_| part == Part::Train).map(|all| all.chunks(700));
        for (values, target) in values.chunks(700 * self.columns.len()).zip(target.chunks(700)) {
            each(Batch { values, target, weight: weight.as_mut().and_then(Iterator::next) })?;
        }
        Ok(())
    }
}

fn column(number: usize) -> Column {
    Column { name: format!("x{number}"), categories: None, monotone: 0 }
}

impl Memory {
    fn new(width: usize, rows: impl IntoIterator<Item = (Vec<f32>, f32)>) -> Self {
        let mut memory = Self { columns: (0..width).map(column).collect(), ..Self::default() };
        for (values, target) in rows {
            memory.values[0].extend(values);
            memory.target[0].push(target);
        }
        memory
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.values[0][row * self.columns.len()..][..self.columns.len()]
    }

    fn fit(
        &self,
        kind: &str,
        task: Task,
        params: &str,
        threads: usize,
    ) -> Result<(Fitted, Vec<Round>), FitError> {
        let learner = match kind {
            "gbdt" => crate::learner::builtin::gbdt,
            "random_forest" => crate::learner::builtin::random_forest,
            "linear" => crate::learner::builtin::linear,
            _ => crate::learner::builtin::logistic,
        };
        let mut rounds = Vec::new();
        let params = params.replace(';', "\n").parse().unwrap();
        let fitted = learner(self, task, &params, 7, threads, &mut |round| rounds.push(round.clone()))?;
        Ok((fitted, rounds))
    }

    fn booster(&self, kind: &str, task: Task, params: &str) -> Booster {
        booster(self.fit(kind, task, params, 2).unwrap().0)
    }
}

fn booster(fitted: Fitted) -> Booster {
    match fitted.model {
        Model::Booster(booster) => booster,
        Model::Linear(linear) => panic!("{linear:?}"),
    }
}

/// A number from 0 to 1.
fn uniform(random: &mut Random) -> f32 {
    (random.next() >> 40) as f32 / (1u64 << 24) as f32
}

/// Numbers, some of them missing, some frequent; a category of 20; a target that depends on all of them.
fn mixed(rows: usize, task: Task) -> Memory {
    let mut random = Random::new(3, 0);
    let row = |_| {
        let [a, b, c, noise] = [(); 4].map(|()| uniform(&mut random));
        let category = random.below(20) as f32;
        let a = if a < 0.1 { f32::NAN } else { a * 100.0 };
        let b = if b < 0.3 { 0.0 } else { b };
        let pull = [1.0, -1.0, 2.0, 0.0][category as usize % 4];
        let y = if a.is_nan() { 3.0 } else { (a / 15.0).sin() } + b * pull + 0.2 * noise;
        let y = match task {
            Task::Regression => y,
            Task::Binary => f32::from(u8::from(y > 1.0)),
            Task::Multiclass { classes } => y.clamp(0.0, classes as f32 - 1.0).floor(),
        };
        let category = if c < 0.02 { f32::NAN } else { category };
        (vec![a, b, category, c, 5.0], y)
    };
    let mut memory = Memory::new(5, (0..rows).map(row));
    memory.columns[2].categories = Some(20);
    memory
}

const TASKS: [Task; 3] = [Task::Regression, Task::Binary, Task::Multiclass { classes: 3 }];

/// What serving answers.
fn served(booster: &Booster, values: &[f32]) -> Vec<f32> {
    let width = booster.columns.len();
    let session: Box<dyn Session> = trees::Trees
        .load(&format::Model::Booster(booster.clone().into()), &LoadOptions { workers: 1 })
        .unwrap();
    let shape = [values.len() / width, width].into_iter().collect();
    let mut outputs = Vec::new();
    session
        .run(&[Tensor { shape, data: Data::Fp32(values.to_vec()) }], &mut Scratch::new(0), &mut outputs)
        .unwrap();
    match &outputs[0].data {
        Data::Fp32(answers) => answers.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn serving_answers_bit_for_bit_what_was_learned() {
    for task in TASKS {
        for (kind, params) in
            [("gbdt", "num_iterations = 20; learning_rate = 0.3"), ("random_forest", "n_estimators = 9")]
        {
            let memory = mixed(3000, task);
            let booster = memory.booster(kind, task, params);
            let mut values = memory.values[0].clone();
            // What training never saw, and what lies next to every threshold.
            let strange = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -0.0, -3.0, 1e9, 77.0, 0.5];
            strange.iter().for_each(|value| values.extend([*value; 5]));
            let sidegate::booster::Forest::Single(trees) = &booster.forest else { panic!() };
            for node in &trees.nodes {
                if let sidegate::booster::Node::Split { test: sidegate::booster::Test::AtMost(end), .. } =
                    node
                {
                    values.extend([*end; 5]);
                    values.extend([end.next_up(); 5]);
                }
            }
            let own: Vec<u32> =
                values.chunks_exact(5).flat_map(|row| scores(&booster, row)).map(f32::to_bits).collect();
            let served: Vec<u32> = served(&booster, &values).into_iter().map(f32::to_bits).collect();
            assert!(own == served, "{kind} {task:?}");
        }
    }
}

#[test]
fn threads_change_no_bit() {
    for task in TASKS {
        for (kind, params) in [
            (
                "gbdt",
                "num_iterations = 5; num_leaves = 60; bagging_fraction = 0.7; bagging_freq = 1; feature_fraction = 0.8",
            ),
            ("gbdt", "num_iterations = 4"),
            ("random_forest", "n_estimators = 5; max_features = 2"),
        ] {
            let mut memory = mixed(20_000, task);
            memory.weight = Some((0..20_000u16).map(|row| f32::from(row % 7) / 3.0).collect());
            let text = |threads| format!("{:?}", memory.fit(kind, task, params, threads).unwrap());
            let one = text(1);
            assert!(one == text(2) && one == text(7), "{kind} {task:?}");
        }
    }
}

#[test]
fn what_cannot_be_learned_is_said_clearly() {
    let good = || Memory::new(2, (0..100u8).map(|row| (vec![row.into(), 1.0], f32::from(row % 2))));
    let with = |change: fn(&mut Memory)| {
        let mut memory = good();
        change(&mut memory);
        memory
    };
    let reg = Task::Regression;
    // A dry run sees the columns; what is in the rows is a matter of the data.
    for (kind, task) in [("linear", reg), ("logistic", Task::Binary)] {
        let refused = |memory: Memory| memory.fit(kind, task, "", 1).unwrap_err();
        let check = |memory: Memory| {
            let none = toml::Table::new();
            match kind {
                "linear" => crate::learner::builtin::check_linear(&memory, task, &none),
                _ => crate::learner::builtin::check_logistic(&memory, task, &none),
            }
        };
        assert_eq!(check(good()), Ok(()), "{kind}");
        for change in
            [|m: &mut Memory| m.columns[0].categories = Some(9), |m: &mut Memory| m.columns[0].monotone = 1]
        {
            let error = check(with(change)).unwrap_err();
            assert!(matches!(error, FitError::Parameters(_)), "{kind}: {error}");
            assert_eq!(refused(with(change)), error, "{kind}");
        }
        let error = refused(with(|m| m.values[0][5] = f32::NAN));
        assert!(matches!(error, FitError::Values(_)), "{kind}: {error:?}");
    }
    for (memory, kind, task, params, expected) in [
        (with(|m| m.target[0][41] = f32::NAN), "gbdt", reg, "", "row 41: the target is missing"),
        (with(|m| m.target[0].fill(4.5)), "random_forest", reg, "", "the target is 4.5 in all 100 rows"),
        (with(|m| m.target[0].fill(1.0)), "logistic", Task::Binary, "", "all 100 rows are of class 1"),
        (
            with(|m| m.target[0][99] = 2.0),
            "gbdt",
            Task::Binary,
            "",
            "row 99: the target is 2, not the number of one of 2",
        ),
        (with(|m| m.weight = Some(vec![-1.0; 100])), "gbdt", reg, "", "row 0: its weight is -1"),
        (with(|m| m.weight = Some(vec![0.0; 100])), "gbdt", reg, "", "all rows have weight 0"),
        (Memory::new(1, []), "gbdt", reg, "", "no rows"),
        (Memory::new(0, []), "linear", reg, "", "no features"),
        (with(|m| m.values[0][5] = f32::NAN), "linear", reg, "", "`x1` has missing or infinite values"),
        (with(|m| m.columns[0].categories = Some(9)), "logistic", Task::Binary, "", "one-hot encode"),
        (
            good(),
            "gbdt",
            reg,
            "num_leafs = 3",
            "`builtin` has no parameter `num_leafs`; did you mean `num_leaves`?",
        ),
        (good(), "random_forest", reg, "num_leaves = 3", "it knows n_estimators, criterion"),
        (good(), "gbdt", reg, "eta = 0.1; learning_rate = 0.1", "is the same as"),
        (good(), "gbdt", reg, "num_leaves = 1", "must be from 2 to"),
        (good(), "gbdt", reg, "lambda_l2 = \"much\"", "is of type string, not a number"),
        (good(), "gbdt", reg, "early_stopping_round = 5", "needs validation rows"),
        (good(), "gbdt", reg, "objective = \"binary\"", "does not suit the task"),
        (good(), "gbdt", reg, "scale_pos_weight = 2", "two classes only"),
        (good(), "gbdt", reg, "max_bin = 1000", "from 2 to 255"),
        (good(), "random_forest", Task::Binary, "criterion = \"entropy\"", "there is `gini`"),
        (good(), "linear", Task::Binary, "", "there is `logistic`"),
        (good(), "logistic", reg, "", "there is `linear`"),
    ] {
        let error = memory.fit(kind, task, params, 1).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} / {expected}");
        // `model.type` knows no such name.
        assert!(!error.contains("gbdt"), "{error}");
    }
}
