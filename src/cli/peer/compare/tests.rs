//! What belongs together, and what is equal.

use super::*;
use crate::cli::peer::reply::read;

/// What comes of our and their answers to requests of `rows` rows.
fn judged(rows: usize, pairs: &[(&str, &str)]) -> Option<Equality> {
    let answers = |(request, (ours, theirs)): (usize, &(&str, &str))| Answers {
        request,
        rows,
        ours: read(ours.as_bytes()).unwrap(),
        theirs: read(theirs.as_bytes()).unwrap(),
    };
    let all: Vec<Answers> = pairs.iter().enumerate().map(answers).collect();
    let mut judge = Judge::new(&all, 1e-5)?;
    all.iter().for_each(|answers| judge.take(answers));
    Some(judge.found)
}

const OURS: &str = r#"{"outputs":{"label":[1],"probabilities":[[0.25,0.75]]}}"#;

#[track_caller]
fn check(theirs: &str, equal: bool, compared: &str) {
    let found = judged(1, &[(OURS, theirs)]).unwrap();
    assert_eq!((found.equal == 1, found.compared.join("; ").as_str()), (equal, compared), "{theirs}");
}

#[test]
fn outputs_find_their_counterpart() {
    check(OURS, true, "`label`; `probabilities`");
    check("[1]", true, "`label` with their `predictions`");
    check("[0.75]", true, "column 1 of `probabilities` with their `predictions`");
    check("[[0.25,0.7500001]]", true, "`probabilities` with their `predictions`");
    check(
        r#"{"prediction":1,"probability":0.75}"#,
        true,
        "`label` with their `prediction`; column 1 of `probabilities` with their `probability`",
    );
    check("[0.625]", false, "column 1 of `probabilities` with their `predictions`");
    check("[0]", false, "column 0 of `probabilities` with their `predictions`");
    check(r#"{"outputs":{"label":[0]}}"#, false, "`label`");
    check(
        r#"[{"0":0.25,"1":0.75}]"#,
        true,
        "column 0 of `probabilities` with their `0`; column 1 of `probabilities` with their `1`",
    );
}

#[test]
fn what_cannot_be_compared_is_none() {
    for theirs in [r#"["a"]"#, "[1,2,3]"] {
        assert!(judged(1, &[(OURS, theirs)]).is_none(), "{theirs}");
    }
    let answers = Answers {
        request: 0,
        rows: 1,
        ours: read(OURS.as_bytes()).unwrap(),
        theirs: read(b"[\"a\"]").unwrap(),
    };
    let (ours, theirs) = side_by_side(&answers);
    assert_eq!(ours, "`label` 1, `probabilities` [0.25, 0.75]");
    assert_eq!(theirs, "`predictions` \"a\"");
}

#[test]
fn the_tolerance_grows_with_the_number_and_nan_equals_nan() {
    for (a, b, expected) in [
        (1.0, 1.000_009, true),
        (1.0, 1.000_02, false),
        (0.0, 0.000_009, true),
        (1e6, 1e6 + 9.0, true),
        (1e6, 1e6 + 11.0, false),
        (f64::NAN, f64::NAN, true),
        (f64::NAN, 0.0, false),
        (f64::INFINITY, f64::INFINITY, true),
        (f64::INFINITY, 1.0, false),
    ] {
        assert_eq!(close(a, b, 1e-5), expected, "{a} {b}");
    }
}

#[test]
fn the_first_differing_row_is_shown() {
    let found = judged(2, &[("[1,2]", "[1,2]"), ("[1,2]", "[1,2.5]"), ("[0,0]", "[3,0]")]).unwrap();
    assert_eq!((found.rows, found.equal, found.largest), (6, 4, 3.0));
    let first = found.first.unwrap();
    assert_eq!((first.request, first.row, first.ours.as_str(), first.theirs.as_str()), (1, 1, "2", "2.5"));
    let found = judged(2, &[("[1,2]", "[1,2]"), ("[1,2]", "[1]")]).unwrap();
    assert_eq!(found.first.unwrap().theirs, "1 values for 2 rows");
}

#[test]
fn a_label_may_flip_where_two_scores_are_equal() {
    let ours = |a: f64| format!(r#"{{"outputs":{{"label":[1],"scores":[[{a},0.5]]}}}}"#);
    let theirs = r#"{"outputs":{"label":[0]}}"#;
    let tie = judged(1, &[(&ours(0.500_000_1), theirs)]).unwrap();
    assert_eq!((tie.equal, tie.ties), (1, 1));
    let clear = judged(1, &[(&ours(0.4), theirs)]).unwrap();
    assert_eq!((clear.equal, clear.ties), (0, 0));
}
