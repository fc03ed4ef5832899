use super::*;
use crate::experiment::Predicted;
use crate::model::{Signature, TensorSpec};
use crate::monitor::log::tests::version;
use crate::monitor::outcome::One;
use crate::tensor::Datatype;

const NOW: u64 = 1_800_000_000_000;

fn performance(datatype: Datatype, labels: Option<&[&str]>) -> Performance {
    let labels = labels.map(|labels| labels.iter().map(|label| (*label).to_owned()).collect());
    let output = TensorSpec { name: "p".into(), datatype, shape: vec![-1, 1], labels };
    let version = version("m", Signature { inputs: Vec::new(), outputs: vec![output] }, &[]);
    let mut known = Performance { on: true, ..Performance::default() };
    known.versions.insert(1, Followed::new(&version));
    known
}

fn truth(known: &Performance, text: &str, predicted: Predicted) -> Option<f64> {
    One::Class(text.into()).truth(predicted, known.names(1, None))
}

fn report(known: &Performance, window: u64, now: u64) -> Value {
    known.report(&"m".parse().unwrap(), None, Some(window), now).unwrap()["versions"][0]["windows"][0].clone()
}

fn row(at: u64, predicted: Predicted) -> Row {
    Row { at, predicted, own: true }
}

#[test]
fn a_window_counts_what_was_predicted_in_it_and_is_revised_as_labels_come() {
    let mut known = performance(Datatype::Fp32, None);
    for minute in 0..90 {
        assert!(known.predicted(1, NOW + minute * panes::MINUTE, 10));
    }
    let now = NOW + 89 * panes::MINUTE;
    let before = report(&known, panes::HOUR, now);
    assert_eq!((&before["predictions"], &before["sample_size"]), (&json!(610), &json!(0)));
    assert_eq!(
        (&before["status"], before.get("rmse")),
        (&json!("insufficient_data"), None),
        "never 0 for no data"
    );
    // A label of the window, one of before it, and one that is corrected.
    let of = |minute: u64| row(NOW + minute * panes::MINUTE, Predicted::Value(5.0));
    for (minute, before, actual) in
        [(80, None, 3.0), (10, None, 105.0), (81, None, 1e15), (81, Some(1e15), 9.0)]
    {
        assert_eq!(known.revise(1, of(minute), before, actual, now), Revised::Counted);
    }
    let hour = report(&known, panes::HOUR, now);
    assert_eq!(
        (&hour["sample_size"], &hour["rmse"], &hour["mean_error"]),
        (&json!(2), &json!(10_f64.sqrt()), &json!(-1.0))
    );
    assert_eq!(hour["label_coverage"], json!(2.0 / 610.0));
    let delay = hour["label_delay_seconds"]["p95"].as_f64().unwrap();
    assert!((540.0..650.0).contains(&delay), "{delay}");
    assert_eq!(hour["over_time"].as_array().unwrap().len(), 61);
    let day = report(&known, 24 * panes::HOUR, now);
    assert_eq!((&day["sample_size"], &day["predictions"]), (&json!(3), &json!(900)));
    // Later, the first of them are in no window of a day, and after a week in none at all.
    let later = report(&known, 24 * panes::HOUR, now + 26 * panes::HOUR);
    assert_eq!((&later["predictions"], &later["status"]), (&json!(0), &json!("insufficient_data")));
    assert_eq!(known.revise(1, of(80), None, 3.0, now + panes::LONG + 2 * panes::HOUR), Revised::Late);
}

#[test]
fn classes_are_told_by_the_names_that_the_model_has_for_them() {
    let mut known = performance(Datatype::Fp32, Some(&["setosa", "versicolor", "virginica"]));
    let class = |text: &str| truth(&known, text, Predicted::Value(0.0));
    assert_eq!([class("virginica"), class("1"), class("rosa")], [Some(2.0), Some(1.0), None]);
    for (predicted, actual) in [(0.0, 0.0), (1.0, 2.0), (2.0, 2.0), (2.0, 2.0)] {
        known.revise(1, row(NOW, Predicted::Value(predicted)), None, actual, NOW);
    }
    let found = report(&known, panes::HOUR, NOW);
    assert_eq!((&found["accuracy"], &found["sample_size"]), (&json!(0.75), &json!(4)));
    assert_eq!(found["confusion"][1], json!({"truth": "virginica", "predicted": "versicolor", "rows": 1}));
    assert_eq!(found["intervals"]["accuracy"].as_array().map(Vec::len), Some(2));
}

#[test]
fn numbers_that_name_classes_are_their_own_and_many_classes_are_one() {
    let mut known = performance(Datatype::Int64, None);
    for class in 0..200 {
        known.revise(1, row(NOW, Predicted::Value(f64::from(class))), None, f64::from(class), NOW);
    }
    known.revise(1, row(NOW, Predicted::Value(190.0)), None, 191.0, NOW);
    let found = report(&known, panes::HOUR, NOW);
    assert_eq!(found["accuracy"], json!(200.0 / 201.0));
    assert!(found["confusion"].as_array().unwrap().len() <= 64, "bounded");
}

#[test]
fn probabilities_are_of_the_second_class() {
    let mut known = performance(Datatype::Fp32, Some(&["3", "8"]));
    for (p, class) in [(0.9, "8"), (0.2, "3"), (0.6, "3"), (0.3, "8"), (f64::NAN, "3")] {
        let actual = truth(&known, class, Predicted::Probability(p)).unwrap();
        known.revise(1, row(NOW, Predicted::Probability(p)), None, actual, NOW);
    }
    assert_eq!(known.revise(1, row(NOW, Predicted::Probability(0.5)), None, 3.0, NOW), Revised::No);
    let found = report(&known, panes::HOUR, NOW);
    assert_eq!((&found["accuracy"], &found["auc"]), (&json!(0.5), &json!(0.75)));
    assert_eq!(found["confusion"][0], json!({"truth": "3", "predicted": "3", "rows": 1}));
    assert_eq!(found["calibration"].as_array().unwrap().iter().filter(|group| group["rows"] == 1).count(), 4);
}

#[test]
fn nothing_is_counted_while_it_is_off_or_nobody_is_known() {
    let mut known = performance(Datatype::Fp32, None);
    assert!(!known.predicted(2, NOW, 1) && !known.predicted(1, NOW, 0));
    known.on = false;
    assert!(!known.predicted(1, NOW, 1));
    // What waited for an experiment counts, and is no part of what was predicted meanwhile.
    let waited = Row { own: false, ..row(NOW, Predicted::Value(1.0)) };
    assert_eq!(known.revise(1, waited, None, 2.0, NOW), Revised::Counted);
    assert_eq!(known.revise(7, waited, None, 2.0, NOW), Revised::No);
    let found = report(&known, panes::HOUR, NOW);
    assert_eq!(
        (&found["sample_size"], &found["label_coverage"], &found["mae"]),
        (&json!(1), &Value::Null, &json!(1.0))
    );
    assert!(known.report(&"other".parse().unwrap(), None, None, NOW).is_none());
}
