use super::{Memory, TASKS, uniform};
use crate::learner::builtin::random::Random;
use crate::learner::builtin::{Linear, Model};
use crate::table::Task;

fn linear(memory: &Memory, kind: &str, task: Task, params: &str) -> Linear {
    match memory.fit(kind, task, params, 2).unwrap().0.model {
        Model::Linear(linear) => linear,
        Model::Booster(_) => panic!(),
    }
}

fn rows(task: Task) -> Memory {
    let mut random = Random::new(8, 8);
    let row = |_| {
        let x = [(); 3].map(|()| uniform(&mut random));
        let sum = 3.0 * x[0] - 20.0 * x[1] + 5.0 + uniform(&mut random);
        let target = match task {
            Task::Regression => sum,
            Task::Binary => f32::from(u8::from(sum > -4.0)),
            Task::Multiclass { .. } => (sum / 5.0 + 2.0).clamp(0.0, 2.0).floor(),
        };
        (vec![x[0], 1000.0 + x[1] * 10.0, x[2], 4.0], target)
    };
    Memory::new(4, (0..1500).map(row))
}

#[test]
fn an_exact_plane_is_found() {
    let memory = Memory::new(
        3,
        (0..50u8).map(|row| {
            let [a, b] = [f32::from(row % 7), f32::from(row % 11)];
            (vec![a, b, 9.0], 2.0 * a - 0.5 * b + 8.0)
        }),
    );
    let linear = linear(&memory, "linear", Task::Regression, "alpha = 0");
    let expected = [2.0, -0.5, 0.0];
    assert!(
        linear.weights[0].iter().zip(expected).all(|(own, expected)| (own - expected).abs() < 1e-9),
        "{linear:?}"
    );
    assert!((linear.intercepts[0] - 8.0).abs() < 1e-9);
}

#[test]
fn features_that_are_sums_of_others_need_a_penalty() {
    let memory =
        Memory::new(2, (0..50u8).map(|row| (vec![row.into(), f32::from(row) * 2.0], f32::from(row % 9))));
    let error = memory.fit("linear", Task::Regression, "alpha = 0", 1).unwrap_err().to_string();
    assert!(error.contains("`alpha` is too small"), "{error}");
    linear(&memory, "linear", Task::Regression, "alpha = 0.1");
}

/// At the optimum, the summed slope of the loss is what the penalty pulls back; features have standard deviations.
#[test]
fn the_optimum_is_stationary() {
    for (kind, task, params) in [
        ("linear", TASKS[0], "alpha = 30"),
        ("logistic", TASKS[1], "C = 0.5; tol = 1e-9"),
        ("logistic", TASKS[2], "C = 0.5; tol = 1e-9"),
    ] {
        let memory = rows(task);
        let penalty = if kind == "linear" { 30.0 } else { 2.0 };
        let linear = linear(&memory, kind, task, params);
        let count = memory.target[0].len();
        for (score, weights) in linear.weights.iter().enumerate() {
            for feature in 0..3 {
                let value = |row: usize| f64::from(memory.row(row)[feature]);
                let mean = (0..count).map(value).sum::<f64>() / count as f64;
                let variance = (0..count).map(|row| (value(row) - mean).powi(2)).sum::<f64>() / count as f64;
                let slope = |row: usize| {
                    let sums: Vec<f64> = linear
                        .weights
                        .iter()
                        .zip(&linear.intercepts)
                        .map(|(weights, own)| {
                            memory
                                .row(row)
                                .iter()
                                .zip(weights)
                                .map(|(x, weight)| f64::from(*x) * weight)
                                .sum::<f64>()
                                + own
                        })
                        .collect();
                    let target = f64::from(memory.target[0][row]);
                    let off = match task {
                        Task::Regression => sums[0] - target,
                        Task::Binary => 1.0 / (1.0 + (-sums[0]).exp()) - target,
                        Task::Multiclass { .. } => {
                            let all: f64 = sums.iter().map(|sum| sum.exp()).sum();
                            sums[score].exp() / all - f64::from(u8::from(score as f64 == target))
                        }
                    };
                    off * (value(row) - mean) / variance.sqrt()
                };
                let pull = (0..count).map(slope).sum::<f64>();
                let held = penalty * weights[feature] * variance.sqrt();
                assert!(
                    (pull + held).abs() < 1e-4 * held.abs().max(1.0),
                    "{kind} {task:?} {feature}: {pull} {held}"
                );
            }
            assert_eq!(weights[3], 0.0);
        }
    }
}

#[test]
fn threads_change_no_bit_of_sums() {
    for (kind, task) in [("linear", TASKS[0]), ("logistic", TASKS[1]), ("logistic", TASKS[2])] {
        let memory = rows(task);
        let text = |threads| format!("{:?}", memory.fit(kind, task, "", threads).unwrap());
        assert_eq!(text(1), text(5), "{kind}");
    }
}
