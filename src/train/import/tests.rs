use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use serde_json::Value;
use sidegate::config::EngineChoice;
use sidegate::drift::{Layout, Reference};
use sidegate::registry::store::Folder;
use sidegate::registry::writer::Writer;

use super::{Found, ImportArgs, import, read};
use crate::failure::Failure;
use crate::features::{Field, Kind, RawBatch, RawColumn};
use crate::served::Served;

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    args: ImportArgs,
}

/// A registry and files to import.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Imports as `m`.
    fn import(&self, file: &Path, flags: &[&str]) -> Result<Found, Failure> {
        let file = file.to_str().unwrap();
        let line = ["import", "m", file].into_iter().chain(flags.iter().copied());
        let args = Line::try_parse_from(line).unwrap_or_else(|error| panic!("{error}")).args;
        let writer = Writer::new(Box::new(Folder::new(self.path("models"))), "tester");
        import(&args, &writer).map(|(_, found)| found)
    }

    fn refused(&self, file: &Path, flags: &[&str]) -> (u8, String) {
        let failure = self.import(file, flags).err().unwrap();
        assert!(!self.path("models/m").exists(), "something was changed");
        (failure.code(), failure.to_string())
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path("models/m").join(name)).unwrap()).unwrap()
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// So many rows of whole multiples of `scale` in these columns, and what the model answers to them.
fn asked(file: &Path, columns: &[String], rows: usize, scale: f32) -> (Vec<Vec<f32>>, Vec<f64>) {
    let value = |row: usize, column: usize| ((row * 7 + column * 3) % 23 + column * 2) as f32 * scale;
    let table: Vec<Vec<f32>> =
        (0..columns.len()).map(|column| (0..rows).map(|row| value(row, column)).collect()).collect();
    let fields: Vec<Field> = columns
        .iter()
        .map(|name| Field { name: name.clone(), kind: Kind::Number, nullable: false })
        .collect();
    let mut served = Served::of_columns(&read(file).unwrap(), EngineChoice::Auto, &fields, columns).unwrap();
    served.ask(&RawBatch { columns: table.iter().cloned().map(RawColumn::Numbers).collect() }).unwrap();
    let output = &served.outputs[served.prediction()];
    (table, (0..output.data.len()).map(|at| output.data.number(at).unwrap()).collect())
}

/// The columns backwards, with one that nobody asks for, and a target at the end.
fn csv(columns: &[String], table: &[Vec<f32>], target: &dyn Fn(usize) -> String) -> String {
    let names: Vec<&str> = columns.iter().rev().map(String::as_str).collect();
    let mut text = format!("{},other,target\n", names.join(","));
    for row in 0..table[0].len() {
        let values: Vec<String> = table.iter().rev().map(|column| column[row].to_string()).collect();
        writeln!(text, "{},{},{}", values.join(","), row % 3, target(row)).unwrap();
    }
    text
}

#[test]
fn trees_are_imported_with_everything_that_a_version_carries() {
    let (desk, file) = (Desk::new(), fixture("boosters/lgb-penguins.txt"));
    let columns = read(&file).unwrap().columns().to_vec();
    let (table, scores) = asked(&file, &columns, 120, 1.0);
    let species = ["Adelie", "Chinstrap", "Gentoo"];
    let best = |row: usize| {
        let scores = &scores[3 * row..3 * row + 3];
        (0..3).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap()
    };
    // Every fourth one is something else than the model says; all three come.
    let truth = |row: usize| species[if row.is_multiple_of(4) { row / 4 % 3 } else { best(row) }].to_owned();
    let wrong = (0..120).filter(|row| truth(*row) != species[best(*row)]).count();
    fs::write(desk.path("rows.csv"), csv(&columns, &table, &truth)).unwrap();
    let rows = desk.path("rows.csv");
    let flags =
        ["--data", rows.to_str().unwrap(), "--target", "target", "--metric", "cv=0.5", "--tag", "team=birds"];
    let found = desk.import(&file, &[&flags[..], &["--stage", "Staging"]].concat()).unwrap();
    assert_eq!(
        (found.columns.as_slice(), found.labels.as_slice()),
        (&columns[..], &species.map(str::to_owned)[..])
    );

    let manifest = desk.json("1/manifest.json");
    let accuracy = manifest["metrics"]["test_accuracy"].as_f64().unwrap();
    assert!((accuracy - (120 - wrong) as f64 / 120.0).abs() < 1e-9 && wrong > 10, "{accuracy}");
    assert_eq!((&manifest["metrics"]["cv"], &manifest["tags"]["team"]), (&0.5.into(), &"birds".into()));
    assert_eq!(manifest["prediction"], "predict");
    assert_eq!(desk.json("model.json")["versions"][0]["stage"], "Staging");
    for name in ["report.html", "card.md", "card.json", "schema.json", "model.txt"] {
        assert!(desk.path("models/m/1").join(name).is_file(), "{name}");
    }
    let golden = desk.json("1/golden.json");
    let shapes = golden["cases"].as_array().unwrap().iter().map(|case| case["inputs"][0]["shape"][0].clone());
    assert_eq!(shapes.collect::<Vec<_>>(), [1, 1, 14], "engines take one row by another way than many");
    let input = &golden["cases"][2]["inputs"][0];
    assert_eq!(input["shape"], serde_json::json!([14, columns.len()]));
    assert_eq!(input["data"][1].as_f64().unwrap(), f64::from(table[1][2]), "in the model's order");
    let bytes = fs::read(desk.path("models/m/1/profile.json")).unwrap();
    let model = read(&file).unwrap();
    Reference::from_stored(&bytes, &Layout::of(model.signature(), &columns, 0)).unwrap();
}

#[test]
fn metrics_are_of_what_the_file_says_against_what_the_model_answers() {
    let check = |file: &str, target: &dyn Fn(f64, usize) -> String, expected: &[(&str, f64)]| {
        let (desk, file) = (Desk::new(), fixture(file));
        let columns = read(&file).unwrap().columns().to_vec();
        let (table, scores) = asked(&file, &columns, 60, 1.0);
        fs::write(desk.path("rows.csv"), csv(&columns, &table, &|row| target(scores[row], row))).unwrap();
        let rows = desk.path("rows.csv");
        let found = desk.import(&file, &["--data", rows.to_str().unwrap(), "--target", "target"]).unwrap();
        for (name, value) in expected {
            let got = found.metrics[*name].as_f64().unwrap();
            assert!((got - value).abs() < 1e-5, "{name}: {got}");
        }
    };
    check(
        "boosters/xgb-flights.ubj",
        &|score, row| (score + [2.0, -2.0][row % 2]).to_string(),
        &[("test_rmse", 2.0), ("test_mae", 2.0)],
    );
    // Of one probability: who is above the middle is the second class.
    let (_, scores) = asked(
        &fixture("boosters/lgb-flights-late.txt"),
        read(&fixture("boosters/lgb-flights-late.txt")).unwrap().columns(),
        60,
        1.0,
    );
    let mut sorted = scores;
    sorted.sort_by(f64::total_cmp);
    let middle = (sorted[29] + sorted[30]) / 2.0;
    let late = |score: f64, _: usize| if score > middle { "late" } else { "in time" }.to_owned();
    let flipped = |score: f64, _: usize| u8::from(score < middle).to_string();
    check("boosters/lgb-flights-late.txt", &flipped, &[("test_auc", 0.0)]);
    let text = |score: f64, row: usize| late(score, row).replace("in time", "early");
    check("boosters/lgb-flights-late.txt", &text, &[("test_auc", 1.0)]);
}

#[test]
fn a_matrix_without_names_takes_the_columns_of_the_file_or_those_that_are_named() {
    let file = fixture("boosters/lgb-forest.txt");
    let width = crate::served::width(&read(&file).unwrap().signature().inputs[0]).unwrap();
    let names: Vec<String> = (0..width).map(|at| format!("c{at}")).collect();
    let (table, scores) = asked(&file, &names, 60, 0.004);
    let row = |row: usize| table.iter().map(|column| column[row].to_string()).collect::<Vec<_>>().join(",");
    let lines: Vec<String> = (0..60).map(|at| format!("{},{}", row(at), scores[at])).collect();
    let desk = Desk::new();
    let path = desk.path("rows.csv");
    fs::write(&path, format!("{},target\n{}\n", names.join(","), lines.join("\n"))).unwrap();
    let flags = ["--data", path.to_str().unwrap(), "--target", "target"];
    let found = desk.import(&file, &flags).unwrap();
    assert_eq!(found.columns, names);
    assert!(found.metrics["test_rmse"].as_f64().unwrap() < 1e-5);
    assert_eq!(desk.json("1/manifest.json")["columns"], serde_json::json!(names));
    // Named in another order they are other rows.
    let backwards = names.iter().rev().cloned().collect::<Vec<_>>().join(",");
    let other = desk.import(&file, &[&flags[..], &["--columns", &backwards]].concat()).unwrap();
    assert!(other.metrics["test_rmse"].as_f64().unwrap() > 1e-3);
    let fresh = Desk::new();
    let (code, text) = fresh.refused(&file, &[&flags[..], &["--columns", "c0,c1"]].concat());
    assert_eq!(code, 5);
    assert!(text.contains(&format!("takes {width} columns, and there are 2: c0, c1")), "{text}");
    let (_, text) = fresh.refused(&file, &["--data", path.to_str().unwrap()]);
    assert!(text.contains(&format!("there are {}", width + 1)), "{text}");
}

#[test]
fn a_model_that_predicts_a_class_is_measured_by_its_probabilities() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let rows = root.join("_data/digits-held-out.csv");
    let desk = Desk::new();
    let flags = ["--data", rows.to_str().unwrap(), "--target", "digit", "--prediction", "label"];
    let found = desk.import(&root.join("digits/1/model.onnx"), &flags).unwrap();
    assert!(found.metrics["test_accuracy"].as_f64().unwrap() > 0.95, "{:?}", found.metrics);
    assert!(found.metrics["test_log_loss"].as_f64().unwrap() < 0.3, "{:?}", found.metrics);
    let manifest = desk.json("1/manifest.json");
    assert_eq!(manifest["prediction"], "label");
    assert_eq!(manifest["columns"].as_array().unwrap().len(), 64);
    assert_eq!(desk.json("1/card.json")["features"].as_array().unwrap().len(), 64);
    let bytes = fs::read(desk.path("models/m/1/profile.json")).unwrap();
    let model = read(&root.join("digits/1/model.onnx")).unwrap();
    Reference::from_stored(&bytes, &Layout::of(model.signature(), &found.columns, 0)).unwrap();
}

#[test]
fn what_cannot_be_served_or_asked_is_refused() {
    let desk = Desk::new();
    let file = fixture("boosters/lgb-penguins.txt");
    let columns = read(&file).unwrap().columns().to_vec();
    let (table, _) = asked(&file, &columns, 60, 1.0);
    let rows = desk.path("rows.csv");
    let flags = ["--data", rows.to_str().unwrap(), "--target", "target"];
    let write = |text: &str| fs::write(&rows, text).unwrap();

    let broken = desk.path("broken.txt");
    fs::write(&broken, "tree\nversion=v4\n").unwrap();
    let (code, text) = desk.refused(&broken, &[]);
    assert!(code == 1 && text.contains("it cannot be served"), "{text}");
    let (code, text) = desk.refused(Path::new("model.pkl"), &[]);
    assert!(code == 2 && text.contains("ends with none of .onnx"), "{text}");

    let good = csv(&columns, &table, &|row| ["a", "b", "c"][row % 3].to_owned());
    write(&good.replacen(&columns[2], "bill", 1));
    let (code, text) = desk.refused(&file, &flags);
    assert!(code == 5 && text.contains(&format!("no column `{}`", columns[2])), "{text}");
    write(&good.replacen("\n", "\nx", 2));
    let (_, text) = desk.refused(&file, &flags);
    assert!(text.contains("row 1") || text.contains("is text"), "{text}");
    write(&csv(&columns, &table, &|row| ["a", "b"][row % 2].to_owned()));
    let (code, text) = desk.refused(&file, &flags);
    assert!(code == 5 && text.contains("has 2 values, and the model tells 3 classes apart"), "{text}");
    write(&good);
    let (_, text) = desk.refused(&file, &[&flags[..], &["--labels", "a,b,d"]].concat());
    assert!(text.contains("row 3: `target` is none of the classes a, b, d"), "{text}");
    let (_, text) = desk.refused(&file, &[&flags[..], &["--labels", "a,b"]].concat());
    assert!(text.contains("2 labels for 3 classes"), "{text}");
    let (code, text) = desk.refused(&file, &[&flags[..], &["--prediction", "nothing"]].concat());
    assert!(code == 2 && text.contains("it has no output `nothing`; it has predict"), "{text}");
    let (code, text) = desk.refused(&file, &[&flags[..3], &["nowhere"]].concat());
    assert!(code == 5 && text.contains("nowhere"), "{text}");
    desk.import(&file, &flags).unwrap();
}

#[test]
fn without_rows_it_is_registered_with_what_is_said_of_it() {
    let desk = Desk::new();
    let file = fixture("boosters/xgb-flights.ubj");
    let found = desk.import(&file, &["--labels", "a,b", "--why", "moved"]).unwrap();
    assert!(found.golden.is_none() && found.metrics.is_empty());
    assert!(desk.path("models/m/1/model.ubj").is_file() && !desk.path("models/m/1/golden.json").exists());
    let (code, text) = Desk::new().refused(&file, &["--columns", "a,b"]);
    assert!(code == 2 && text.starts_with("--columns: 2 names for 7 columns"), "{text}");
    for (flags, what) in [
        (["--target", "y"], "--data"),
        (["--alias", "7"], "neither a whole number"),
        (["--metric", "auc=high"], "a number"),
        (["--stage", "Prod"], "Production"),
    ] {
        let line = ["import", "m", "model.onnx"].into_iter().chain(flags);
        let error = Line::try_parse_from(line).err().unwrap().to_string();
        assert!(error.contains(what), "{error}");
    }
}
