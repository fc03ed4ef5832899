//! Every case of the reference vectors, answered by the code of `examples/stats_eval`.

use std::collections::BTreeMap;

use serde_json::Value;

#[path = "../../examples/stats_eval/answer.rs"]
mod answer;

/// Fields whose floor is that of tails, as the README of the vectors has it.
const TAILS: [&str; 6] = ["pvalue", "p", "psi_pvalue", "p_always_valid", "bh", "by"];

fn number(value: &Value) -> Option<f64> {
    value
        .as_f64()
        .or_else(|| value.as_str().filter(|text| matches!(*text, "nan" | "inf" | "-inf"))?.parse().ok())
}

/// Whether `got` agrees with `want`, exactly but for numbers that are not whole.
fn agrees(want: &Value, got: &Value, relative: f64, floor: f64) -> bool {
    match (want, number(want)) {
        (Value::Array(want), _) => got.as_array().is_some_and(|got| {
            want.len() == got.len()
                && want.iter().zip(got).all(|(want, got)| agrees(want, got, relative, floor))
        }),
        (Value::Number(whole), _) if !whole.is_f64() => number(got) == number(want),
        (_, Some(want)) if want.is_finite() => {
            number(got).is_some_and(|got| (got - want).abs() <= relative * want.abs() + floor)
        }
        _ => want == got,
    }
}

#[test]
fn every_case_of_the_vectors_agrees_with_scipy_and_scikit_learn() {
    let file: Value = serde_json::from_str(include_str!("../../tests/fixtures/stats/stats.json")).unwrap();
    let answers = answer::answers(&file);
    let mut passed: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for case in file["cases"].as_array().unwrap() {
        let (id, relative) = (case["id"].as_str().unwrap(), case["rtol"].as_f64().unwrap());
        let expected = case["expect"].as_object().unwrap();
        let before = wrong.len();
        for (field, want) in expected {
            let got = &answers[id][field];
            let floor = if TAILS.contains(&field.as_str()) { 1e-300 } else { 1e-12 };
            if !agrees(want, got, relative, floor) {
                wrong.push(format!("{id}: {field} is {got} and not {want}"));
            }
        }
        *passed.entry(case["fn"].as_str().unwrap()).or_default() += usize::from(wrong.len() == before);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((passed.len(), passed.values().sum::<usize>()), (24, 639));
}

#[test]
fn the_comparison_sees_what_differs() {
    let check = |want: &str, got: &str, relative: f64| {
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        agrees(&parse(want), &parse(got), relative, 1e-12)
    };
    assert!(
        check("1.0", "1.0000000001", 1e-9)
            && check("[0.5, \"nan\"]", "[0.5, \"nan\"]", 0.0)
            && check("1.0", "1", 0.0)
    );
    for (want, got) in [
        ("1.0", "1.01"),
        ("1.0", "null"),
        ("3", "4"),
        ("\"nan\"", "0.0"),
        ("\"inf\"", "\"-inf\""),
        ("[1.0]", "[]"),
        ("true", "false"),
        ("\"1\"", "\"2\""),
    ] {
        assert!(!check(want, got, 1e-9), "{want} {got}");
    }
}
