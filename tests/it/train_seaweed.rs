//! `sidegate-train` on a real object store (`tests/support/seaweed.rs`): rows from a bucket, the version into it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::csv::ReaderBuilder;
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

use super::harness::wait;
use super::seaweed::store::{SECRET_KEY, Seaweed, seaweed};
use super::seaweed::{SOON, environment, on};
use super::train::{BUILTIN, command, configuration, predict, rentals, result};

/// Rows of a month.
const MONTH: usize = 672;
const MONTHS: u32 = 5;

/// Rows as a job leaves them that writes by month.
fn publish(seaweed: &Seaweed) {
    let at = DataType::Timestamp(TimeUnit::Millisecond, Some("+00:00".into()));
    let columns = [
        ("at", at),
        ("weather", DataType::Utf8),
        ("temp", DataType::Float64),
        ("seats", DataType::Int64),
        ("count", DataType::Int64),
        ("busy", DataType::Utf8),
    ];
    let schema = Arc::new(Schema::new(columns.map(|(name, kind)| Field::new(name, kind, true)).to_vec()));
    let text = rentals(MONTHS * MONTH as u32, "");
    let rows = ReaderBuilder::new(schema).with_header(true).with_batch_size(MONTH).build(text.as_bytes());
    for (month, batch) in (1..).zip(rows.unwrap()) {
        let batch = batch.unwrap();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        seaweed.put(&format!("rides/month=2024-{month:02}/part-00000.parquet"), bytes);
    }
    seaweed.put("rides/_SUCCESS", Vec::new());
    seaweed.put("rides/_temporary/part-00000.parquet", b"half of it".to_vec());
}

fn written(dir: &Path, path: &str, more: &str) {
    let text = configuration("count", "auto_deploy = true")
        .replace(
            "source = \"file\"\npath = \"rows.csv\"",
            &format!("source = \"s3\"\npath = \"{path}\"\n{more}"),
        )
        .replace("url = \"models\"", "url = \"s3://models/team\"");
    fs::write(dir.join("train.toml"), text + BUILTIN + "[retry]\nretries = 0\n").unwrap();
}

#[test]
fn what_lies_in_a_bucket_by_month_is_trained_on_and_served_from_it() {
    let Some(seaweed) = seaweed() else { return };
    publish(&seaweed);
    let server = on(&seaweed).start_unready();
    let dir = server.path("sidegate.toml").parent().unwrap().to_owned();
    let run = |args: &[&str], code: i32| {
        let output = command(args).envs(environment(&seaweed)).current_dir(&dir).output().unwrap();
        assert!(!String::from_utf8_lossy(&output.stderr).contains(SECRET_KEY));
        result(&output, code)
    };
    let rows = |done: &Value| -> Value {
        let card = dir.join("runs").join(done["run_id"].as_str().unwrap()).join("validation.json");
        serde_json::from_slice::<Value>(&fs::read(card).unwrap()).unwrap()["rows"].clone()
    };
    // A folder, patterns of keys, and one object.
    for (path, months) in [
        ("s3://models/rides", MONTHS as usize),
        ("s3://models/rides/month=2024-0[24]/*.parquet", 2),
        ("s3://models/rides/month=2024-03/part-00000.parquet", 1),
    ] {
        written(&dir, path, "");
        let done = run(&["run", "train.toml", "--until", "validate"], 0);
        assert_eq!(rows(&done), json!(months * MONTH), "{path}");
    }
    written(
        &dir,
        "s3://models/rides/*/*.parquet",
        "date_range = { start = \"2024-02-01\", end = \"2024-05-01\" }",
    );
    let done = run(&["run", "train.toml"], 0);
    assert_eq!(
        (&done["status"], &done["version"], rows(&done)),
        (&json!("success"), &json!(1), json!(3 * MONTH))
    );
    wait("version 1", SOON, || Some(()).filter(|()| predict(&server)["model_version"] == "1"));
    assert!(seaweed.keys("team/rentals/1").iter().any(|key| key.ends_with("/golden.json")));

    written(&dir, "s3://models/nothing/*.parquet", "");
    let missing = run(&["run", "train.toml"], 5);
    assert!(
        missing["reason"].as_str().unwrap().contains("no Parquet or CSV file at `s3://models/nothing"),
        "{missing}"
    );
    written(&dir, "s3://other/rides", "");
    let elsewhere = run(&["run", "train.toml", "--until", "load"], 5);
    assert!(elsewhere["reason"].as_str().unwrap().contains("s3://other/rides"), "{elsewhere}");
}
