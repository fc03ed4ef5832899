use sidegate::booster::{Forest, Node, Test};

use super::{Memory, TASKS, booster, mixed, uniform};
use crate::learner::builtin::predict::scores;
use crate::learner::builtin::random::Random;
use crate::table::Task;

#[test]
fn the_shown_metric_is_that_of_the_model() {
    for (task, params) in [
        (TASKS[0], "num_iterations = 15"),
        (TASKS[0], "num_iterations = 15; objective = \"l1\""),
        (TASKS[0], "num_iterations = 15; bagging_fraction = 0.5; bagging_freq = 1"),
        (TASKS[1], "num_iterations = 15"),
        (TASKS[2], "num_iterations = 15"),
    ] {
        let memory = mixed(2000, task);
        let (fitted, rounds) = memory.fit("gbdt", task, params, 2).unwrap();
        let booster = booster(fitted);
        let loss = |row: usize| {
            let (answer, target) = (scores(&booster, memory.row(row)), memory.target[0][row]);
            match (task, params.contains("l1")) {
                (Task::Regression, false) => f64::from(answer[0] - target).powi(2),
                (Task::Regression, true) => f64::from((answer[0] - target).abs()),
                (Task::Binary, _) => -f64::from(if target == 1.0 { answer[0] } else { 1.0 - answer[0] }).ln(),
                _ => -f64::from(answer[target as usize]).ln(),
            }
        };
        let mean = (0..2000).map(loss).sum::<f64>() / 2000.0;
        let own = if rounds[0].metric == "rmse" { mean.sqrt() } else { mean };
        let shown = rounds[14].train;
        assert!((shown - own).abs() < 1e-5 * own, "{task:?} {params}: {shown} {own}");
        assert!(shown < 0.8 * rounds[0].train, "{task:?} {params}");
    }
}

/// The least sum of squares that one split of any feature leaves, by trying all.
fn least_squares(memory: &Memory, least: usize) -> f64 {
    let width = memory.columns.len();
    let rows: Vec<usize> = (0..memory.target[0].len()).collect();
    let squares = |rows: &[usize]| {
        let values: Vec<f64> = rows.iter().map(|row| memory.target[0][*row].into()).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|value| (value - mean).powi(2)).sum::<f64>()
    };
    let mut best = squares(&rows);
    for feature in 0..width {
        for cut in &rows {
            for missing_left in [false, true] {
                for all_numbers in [false, true] {
                    let left = |row: &usize| {
                        let value = memory.row(*row)[feature];
                        if value.is_nan() {
                            missing_left
                        } else {
                            all_numbers || value <= memory.row(*cut)[feature]
                        }
                    };
                    let (yes, no): (Vec<usize>, Vec<usize>) = rows.iter().partition(|row| left(row));
                    if yes.len() >= least && no.len() >= least {
                        best = best.min(squares(&yes) + squares(&no));
                    }
                }
            }
        }
    }
    best
}

#[test]
fn one_split_is_the_best_there_is() {
    for seed in 0..30 {
        let mut random = Random::new(seed, 5);
        let row = |_| {
            let a = (uniform(&mut random) * 12.0).floor();
            let b = if uniform(&mut random) < 0.3 { f32::NAN } else { uniform(&mut random) };
            let pull = if b.is_nan() { 1.5 } else { 0.0 };
            (vec![a, b], a * 0.1 + pull + uniform(&mut random))
        };
        let memory = Memory::new(2, (0..60).map(row));
        let params = "num_iterations = 1; learning_rate = 1; num_leaves = 2; min_data_in_leaf = 4; min_data_in_bin = 1";
        let (_, rounds) = memory.fit("gbdt", Task::Regression, params, 1).unwrap();
        let (own, least) = (rounds[0].train.powi(2) * 60.0, least_squares(&memory, 4));
        assert!((own - least).abs() < 1e-4 * least, "seed {seed}: {own} {least}");
        let forest = "n_estimators = 1; bootstrap = false; max_depth = 1; min_samples_leaf = 4";
        let booster = memory.booster("random_forest", Task::Regression, forest);
        let off =
            |row: usize| f64::from(scores(&booster, memory.row(row))[0] - memory.target[0][row]).powi(2);
        let own: f64 = (0..60).map(off).sum();
        assert!((own - least).abs() < 1e-4 * least, "forest, seed {seed}: {own} {least}");
    }
}

#[test]
fn categories_are_split_as_sets() {
    let row =
        |row: usize| (vec![(row % 30) as f32], if [3, 7, 11, 28].contains(&(row % 30)) { 9.0 } else { 1.0 });
    let mut memory = Memory::new(1, (0..3000).map(row));
    memory.columns[0].categories = Some(30);
    let booster = memory.booster("gbdt", Task::Regression, "num_iterations = 1; num_leaves = 2");
    let Forest::Single(trees) = &booster.forest else { panic!() };
    assert!(matches!(trees.nodes[0], Node::Split { test: Test::OneOf(0), .. }));
    assert_eq!(trees.sets.len(), 1);
    let few = [3u32, 7, 11, 28];
    assert!(
        trees.sets[0] == few
            || trees.sets[0].iter().all(|category| !few.contains(category)) && trees.sets[0].len() == 26
    );
}

#[test]
fn monotone_features_are_monotone() {
    let mut random = Random::new(9, 9);
    let rows: Vec<_> = (0..4000)
        .map(|_| {
            let [a, b] = [(); 2].map(|()| uniform(&mut random));
            (vec![a, b], (a * 9.0).sin() + a * 2.0 - b + (b * 20.0).cos() * 0.5 + uniform(&mut random) * 0.3)
        })
        .collect();
    for task in [Task::Regression, Task::Binary] {
        let target = |y: f32| if task == Task::Binary { f32::from(u8::from(y > 0.6)) } else { y };
        let mut memory = Memory::new(2, rows.iter().map(|(x, y)| (x.clone(), target(*y))));
        let turns = |memory: &Memory| {
            let booster = memory.booster("gbdt", task, "num_iterations = 40");
            let at = |a: f32, b: f32| scores(&booster, &[a, b])[0];
            let grid = || (0..100u8).map(|step| f32::from(step) / 100.0);
            let up = grid()
                .flat_map(|b| grid().map(move |a| (a, b)))
                .filter(|(a, b)| at(a + 0.01, *b) < at(*a, *b));
            let down = grid()
                .flat_map(|b| grid().map(move |a| (a, b)))
                .filter(|(a, b)| at(*a, b + 0.01) > at(*a, *b));
            (up.count(), down.count())
        };
        let (up, down) = turns(&memory);
        assert!(up > 0 && down > 0);
        (memory.columns[0].monotone, memory.columns[1].monotone) = (1, -1);
        assert_eq!(turns(&memory), (0, 0));
        let error = memory.fit("gbdt", Task::Regression, "objective = \"l1\"", 1).unwrap_err().to_string();
        assert!(error.contains("cannot keep `x0` monotone"), "{error}");
    }
}

#[test]
fn training_stops_when_validation_no_longer_gains() {
    let mut random = Random::new(4, 4);
    let mut memory = Memory::new(1, (0..600).map(|_| (vec![uniform(&mut random)], uniform(&mut random))));
    memory.values[1] = (0..300).map(|_| uniform(&mut random)).collect();
    memory.target[1] = (0..300).map(|_| uniform(&mut random)).collect();
    let (fitted, rounds) =
        memory.fit("gbdt", Task::Regression, "early_stopping_round = 5; num_iterations = 500", 1).unwrap();
    let best = rounds.iter().map(|round| round.validation.unwrap()).fold(f64::INFINITY, f64::min);
    assert_eq!(rounds.len() as u32, fitted.rounds + 5);
    assert_eq!(rounds[fitted.rounds as usize - 1].validation, Some(best));
    let Forest::Single(trees) = booster(fitted.clone()).forest else { panic!() };
    assert_eq!(trees.trees.len() as u32, fitted.rounds);
}

#[test]
fn quantiles_cover_their_share() {
    let mut random = Random::new(6, 6);
    let row = |_| {
        let x = uniform(&mut random);
        (vec![x], x + x * uniform(&mut random))
    };
    let memory = Memory::new(1, (0..5000).map(row));
    for alpha in [0.1, 0.5, 0.9] {
        let booster = memory.booster(
            "gbdt",
            Task::Regression,
            &format!("objective = \"quantile\"; alpha = {alpha}; num_leaves = 8"),
        );
        let below =
            (0..5000).filter(|row| memory.target[0][*row] <= scores(&booster, memory.row(*row))[0]).count();
        assert!((below as f64 / 5000.0 - alpha).abs() < 0.02, "{alpha}: {below}");
    }
}

#[test]
fn a_weight_counts_like_repeated_rows() {
    for task in TASKS {
        let mut memory = mixed(200, task);
        let repeated: Vec<_> = (0..200)
            .flat_map(|row| {
                std::iter::repeat_n((memory.row(row).to_vec(), memory.target[0][row]), 1 + row % 3)
            })
            .collect();
        let mut expected = Memory::new(5, repeated);
        expected.columns = memory.columns.clone();
        memory.weight = Some((0..200u16).map(|row| f32::from(1 + row % 3)).collect());
        // Category rules count rows, so that one category at a time is compared.
        let params = "num_iterations = 5; min_data_in_leaf = 1; min_data_in_bin = 1; min_sum_hessian_in_leaf = 5; max_cat_to_onehot = 99; num_leaves = 8";
        let [own, expected] = [&memory, &expected].map(|rows| rows.fit("gbdt", task, params, 1).unwrap().1);
        let (own, expected) = (own[4].train, expected[4].train);
        assert!((own - expected).abs() < 1e-3 * expected, "{task:?} {own} {expected}");
        if task == Task::Binary {
            let positive =
                memory.target[0].iter().map(|target| if *target == 1.0 { 3.0 } else { 1.0 }).collect();
            let plain = Memory { weight: None, ..memory.clone() };
            let weighted = Memory { weight: Some(positive), ..memory };
            let one = plain.booster("gbdt", task, "scale_pos_weight = 3");
            assert_eq!(
                format!("{:?}", one.forest),
                format!("{:?}", weighted.booster("gbdt", task, "").forest)
            );
        }
    }
}

#[test]
fn leaves_have_the_rows_they_must() {
    let memory = mixed(1500, Task::Binary);
    let booster = memory.booster(
        "gbdt",
        Task::Binary,
        "num_iterations = 1; min_data_in_leaf = 37; num_leaves = 99; max_depth = 6",
    );
    let mut counts = std::collections::HashMap::new();
    (0..1500).for_each(|row| *counts.entry(scores(&booster, memory.row(row))[0].to_bits()).or_insert(0) += 1);
    assert!(counts.len() > 8 && counts.values().all(|count| *count >= 37), "{counts:?}");
}
