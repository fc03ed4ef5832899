use super::{Memory, TASKS, booster, mixed};
use crate::learner::builtin::predict::scores;
use crate::table::Task;

#[test]
fn a_deep_tree_of_all_rows_knows_them_by_heart() {
    for task in TASKS {
        let mut memory = mixed(200, task);
        // Without two equal rows of different targets, there is a split for every pair.
        (0..200u16).for_each(|row| memory.values[0][usize::from(row) * 5 + 3] = row.into());
        let booster = memory.booster("random_forest", task, "n_estimators = 3; bootstrap = false");
        for row in 0..200 {
            let (answer, target) = (scores(&booster, memory.row(row)), memory.target[0][row]);
            let right = if let Task::Multiclass { .. } = task {
                answer[target as usize]
            } else {
                1.0 - answer[0] + target
            };
            assert!((right - 1.0).abs() < 1e-5, "{task:?} row {row}: {answer:?} {target}");
        }
    }
}

#[test]
fn leaves_and_depth_are_bounded() {
    let memory = mixed(800, Task::Regression);
    let nodes = |params: &str| match memory.booster("random_forest", Task::Regression, params).forest {
        sidegate::booster::Forest::Single(trees) => trees.nodes.len(),
        sidegate::booster::Forest::Double(_) => panic!(),
    };
    assert_eq!(nodes("n_estimators = 1; max_depth = 1"), 3);
    assert!(nodes("n_estimators = 1; min_samples_leaf = 0.1") <= 19);
    assert!(nodes("n_estimators = 1; min_impurity_decrease = 1e9") == 1);
    assert!(nodes("n_estimators = 1") > 400);
}

#[test]
fn validation_is_told_and_importance_finds_what_matters() {
    let mut memory = mixed(2000, Task::Regression);
    (memory.values[1], memory.target[1]) = (memory.values[0].clone(), memory.target[0].clone());
    let (fitted, rounds) = memory.fit("random_forest", Task::Regression, "n_estimators = 20", 2).unwrap();
    assert_eq!(rounds.len(), 20);
    assert!(rounds[19].validation < rounds[0].validation);
    let gains: Vec<f64> = fitted.importance.iter().map(|importance| importance.gain).collect();
    assert!(gains[0] > 5.0 * gains[3] && gains[4] == 0.0, "{gains:?}");
    let booster = booster(fitted);
    let squares =
        |row: usize| f64::from(scores(&booster, memory.row(row))[0] - memory.target[0][row]).powi(2);
    let own = ((0..2000).map(squares).sum::<f64>() / 2000.0).sqrt();
    assert!((rounds[19].validation.unwrap() - own).abs() < 1e-6);
}

#[test]
fn a_child_of_equal_targets_is_not_split() {
    let memory =
        Memory::new(1, (0..100u8).map(|row| (vec![row.into()], f32::from(u8::from(row > 60)) * 0.1)));
    let booster = memory.booster("random_forest", Task::Regression, "n_estimators = 1; bootstrap = false");
    let sidegate::booster::Forest::Single(trees) = &booster.forest else { panic!() };
    assert_eq!(trees.nodes.len(), 3);
}
