use std::fmt::Write as _;
use std::fs;

use super::{file, numbers, open_split, rows, split_config, texts};
use crate::data::schema::Schema;
use crate::data::split::{Split, SplitConfig};
use crate::table::Part;

fn share(parts: &[Part], part: Part) -> f64 {
    parts.iter().filter(|found| **found == part).count() as f64 / parts.len() as f64
}

#[test]
fn shares_are_met_and_a_seed_is_one_split() {
    let parts = |text: &str| {
        let split = Split::hash(&split_config(text), None);
        (0..50_000).map(|row| split.part(row, 0, &[])).collect::<Vec<_>>()
    };
    let default = parts("");
    assert!((share(&default, Part::Test) - 0.2).abs() < 0.01);
    assert_eq!(share(&default, Part::Validation), 0.0);
    // What was split so once must always be: a champion is judged on rows that it was not trained on.
    let first: String =
        default[..40].iter().map(|part| if *part == Part::Test { 'T' } else { '.' }).collect();
    assert_eq!(first, GOLDEN);
    let three = parts("test = 0.3\nvalidation = 0.1");
    assert!((share(&three, Part::Test) - 0.3).abs() < 0.01);
    assert!((share(&three, Part::Validation) - 0.1).abs() < 0.01);
    assert_ne!(default, parts("seed = 43"));
}

const GOLDEN: &str = ".........T.T.T.T..T..........T..........";

#[test]
fn equal_groups_stay_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let mut text = "g,v\n".to_owned();
    (0..2000).for_each(|row| writeln!(text, "c{},{row}", row % 100).unwrap());
    fs::write(&path, text).unwrap();
    let data = open_split(&file(&path, "columns = [\"v\"]"), "group = \"g\"").unwrap();
    let (columns, parts) = rows(&data, &Schema::default());
    let groups = texts(&columns[1]);
    for group in 0..100 {
        let name = format!("c{group}");
        let of: Vec<Part> = groups.iter().zip(&parts).filter(|(g, _)| **g == name).map(|(_, p)| *p).collect();
        assert!(of.iter().all(|part| *part == of[0]), "{name}");
    }
    assert!((share(&parts, Part::Test) - 0.2).abs() < 0.15);
}

#[test]
fn the_newest_rows_are_the_test() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let mut text = "d,v\n".to_owned();
    (0..100)
        .rev()
        .for_each(|row| writeln!(text, "2024-01-01T{:02}:{:02}:00,{row}", row / 60, row % 60).unwrap());
    fs::write(&path, text).unwrap();
    let config = file(&path, "date_column = \"d\"");
    let data = open_split(&config, "by = \"time\"\nvalidation = 0.1").unwrap();
    let (columns, parts) = rows(&data, &Schema::default());
    for (value, part) in numbers(&columns[1]).iter().zip(parts) {
        let expected = match *value {
            value if value >= 80.0 => Part::Test,
            value if value >= 70.0 => Part::Validation,
            _ => Part::Train,
        };
        assert_eq!(part, expected, "{value}");
    }
}

#[test]
fn shares_that_leave_nothing_are_refused() {
    for text in [
        "test = 1.0",
        "test = -0.1",
        "test = 0.6\nvalidation = 0.4",
        "by = \"time\"\ngroup = \"g\"",
        "tset = 0.1",
    ] {
        assert!(SplitConfig::from_table(text.parse().unwrap()).is_err(), "{text}");
    }
}
