//! Predictions to test with.

use serde_json::Value;

use crate::evaluate::random::Random;
use crate::evaluate::{Bootstrap, Predictions, Settings};
use crate::table::Task;

pub(super) struct Case {
    pub(super) name: String,
    pub(super) predictions: Predictions,
    pub(super) settings: Settings,
    pub(super) raw: Value,
}

/// Few resamples: what is tested is not their number.
pub(super) fn settings() -> Settings {
    Settings { bootstrap: Bootstrap { resamples: 60, ..Bootstrap::default() }, ..Settings::default() }
}

pub(super) fn cases() -> impl Iterator<Item = Case> {
    let file: Value = serde_json::from_str(include_str!("metrics.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_value(file["cases"].clone()).unwrap();
    cases.into_iter().map(|raw| {
        let task = match raw["task"].as_str().unwrap() {
            "regression" => Task::Regression,
            "binary" => Task::Binary,
            _ => Task::Multiclass { classes: raw["classes"].as_u64().unwrap() as u32 },
        };
        let numbers = |name: &str| serde_json::from_value::<Option<Vec<f64>>>(raw[name].clone()).unwrap();
        let (truth, scores) = (numbers("truth").unwrap(), numbers("scores").unwrap());
        let predictions = Predictions::new(task, truth, scores, numbers("weight")).unwrap();
        let predictions = predictions.at_quantile(raw["quantile"].as_f64().unwrap_or(0.5)).unwrap();
        let settings = Settings { threshold: raw["threshold"].as_f64(), ..settings() };
        Case { name: raw["name"].as_str().unwrap().to_owned(), predictions, settings, raw }
    })
}

/// About normal: mean 0, variance 1.
pub(super) fn normal(random: &mut Random) -> f64 {
    (0..12).map(|_| random.below(1 << 30) as f64 / f64::from(1 << 30)).sum::<f64>() - 6.0
}

/// Numbers with errors of this size and this mean.
pub(super) fn numbers(rows: usize, seed: u64, [mean, spread]: [f64; 2]) -> Predictions {
    let (mut truths, mut errors) = (Random::new(1, 1), Random::new(seed, 2));
    let truth: Vec<f64> = (0..rows).map(|_| 50.0 + 10.0 * normal(&mut truths)).collect();
    let scores = truth.iter().map(|truth| truth + mean + spread * normal(&mut errors)).collect();
    Predictions::new(Task::Regression, truth, scores, None).unwrap()
}

/// Two classes whose scores tell this much; probabilities are right where `skill` is 1.
pub(super) fn classes(rows: usize, seed: u64, skill: f64) -> Predictions {
    let (mut truths, mut noise) = (Random::new(1, 3), Random::new(seed, 4));
    let truth: Vec<f64> = (0..rows).map(|_| f64::from(u8::from(truths.below(3) == 0))).collect();
    let score = |truth: &f64| 1.0 / (1.0 + (0.7 + skill * (0.5 - truth) * 2.0 - normal(&mut noise)).exp());
    let scores = truth.iter().map(score).collect();
    Predictions::new(Task::Binary, truth, scores, None).unwrap()
}
