//! Data and registries with which nothing can be trained: each has its exit code, says what to do, and leaves nothing
//! half done behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::bucket::{Bucket, Fault, Rule};
use super::registry_cli::ended;
use super::train::{BUILTIN, command, desk, folder};

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        match entry.path() {
            path if path.is_dir() => found.extend(files(&path)),
            path => found.push(path),
        }
    }
    found.sort();
    found
}

/// Rows whose target has these values in turn, trained with and refused: the report of the validation says so too, and the
/// registry has the record of the run alone.
#[track_caller]
fn refused(targets: &[&str], change: (&str, &str), code: i32, said: &str) {
    let setup = desk("count", "auto_deploy = true", BUILTIN);
    let dir = folder(&setup);
    let text = fs::read_to_string(dir.join("rows.csv")).unwrap();
    if !targets.is_empty() {
        let rows = text.lines().skip(1).zip(targets.iter().cycle());
        let changed = rows.map(|(line, target)| {
            let mut line: Vec<&str> = line.split(',').collect();
            line[4] = target;
            line.join(",") + "\n"
        });
        fs::write(
            dir.join("rows.csv"),
            "at,weather,temp,seats,count,busy\n".to_owned() + &changed.collect::<String>(),
        )
        .unwrap();
    }
    let text = fs::read_to_string(dir.join("train.toml")).unwrap();
    assert!(text.contains(change.0), "{text}");
    fs::write(dir.join("train.toml"), text.replacen(change.0, change.1, 1)).unwrap();
    let output = command(&["run", "train.toml"]).current_dir(&dir).output().unwrap();
    let all = ended(&output, code);
    assert!(all.contains(said), "{all}");
    let result: Value =
        serde_json::from_str(String::from_utf8_lossy(&output.stdout).lines().last().unwrap()).unwrap();
    assert_eq!((result["status"].as_str(), &result["version"]), (Some("failed"), &Value::Null));
    let run = dir.join("runs").join(result["run_id"].as_str().unwrap());
    let report: Value = serde_json::from_slice(&fs::read(run.join("validation.json")).unwrap()).unwrap();
    let first = &report["findings"][0];
    assert!(first["message"].as_str().unwrap().contains(said), "{report}");
    assert_eq!((&report["passed"], &first["action"]), (&false.into(), &"fail".into()), "{report}");
    let page = fs::read_to_string(run.join("validation.html")).unwrap();
    assert!(page.contains("Validation failed") && page.ends_with("</html>\n"), "{page}");
    let left = files(&dir.join("models"));
    let is_record = |path: &PathBuf| path.starts_with(dir.join("models/_runs/rentals"));
    let rest: Vec<&PathBuf> =
        left.iter().filter(|path| !is_record(path) && !path.starts_with(dir.join("models/_locks"))).collect();
    assert!(rest.is_empty(), "{rest:?}");
    assert!(!left.is_empty(), "the run is recorded");
}

const AS_IT_IS: (&str, &str) = ("", "");

#[test]
fn a_missing_value_in_the_target() {
    refused(
        &["1", "2", "3", "", "5"],
        AS_IT_IS,
        3,
        "800 of 4000 rows have no `count`; mend the data, or set `data.missing_target = \"drop\"`",
    );
}

#[test]
fn a_target_without_any_value() {
    let drop = ("[data]", "[data]\nmissing_target = \"drop\"");
    refused(&[""], drop, 3, "4000 of 4000 rows have no `count`");
}

#[test]
fn an_empty_date_range() {
    let range = ("date_column = \"at\"\n", "date_column = \"at\"\ndate_range = { start = \"2031-01-01\" }\n");
    refused(&[], range, 5, "no rows from 2031-01-01 (included) to the end (excluded); see `data.date_range`");
}

#[test]
fn a_constant_target() {
    refused(&["5"], AS_IT_IS, 3, "`count` is 5 in all of 4000 rows: there is nothing to learn");
}

#[test]
fn one_class_only() {
    let said = "all of 4000 rows are of class `yes`: a classifier needs two; see `data.date_range`";
    refused(&["yes"], AS_IT_IS, 3, said);
}

#[test]
fn missing_values_of_which_a_linear_model_makes_nothing() {
    let said = "`temp` has missing or infinite values, of which linear models make nothing; impute it in the features";
    let setup = desk(
        "count",
        "auto_deploy = true",
        "[features.w]\ntype = \"drop\"\ncolumns = [\"weather\"]\n[model]\ntype = \"linear\"\n",
    );
    let dir = folder(&setup);
    let all = ended(&command(&["run", "train.toml"]).current_dir(&dir).output().unwrap(), 3);
    assert!(all.contains(said), "{all}");
    assert!(!dir.join("models/rentals").exists());
}

#[test]
fn a_column_that_vanished() {
    let said =
        "column `chairs` (data.columns) is not in the data, which has: at, weather, temp, seats, count, busy";
    refused(&[], ("\"seats\"]", "\"chairs\"]"), 5, said);
    refused(
        &[],
        ("target_column = \"count\"", "target_column = \"rides\""),
        5,
        "column `rides` (data.target_column)",
    );
}

/// Three more tries a minute apart would be in vain.
#[test]
fn data_that_may_not_be_read_is_not_asked_for_again() {
    let bucket = Bucket::start();
    bucket.set_rules(vec![Rule::new(Fault::Answer(403, "AccessDenied")).key("lake")]);
    let setup = desk("count", "", BUILTIN);
    let dir = folder(&setup);
    let text = fs::read_to_string(dir.join("train.toml")).unwrap();
    let text = text.replace("source = \"file\"", "source = \"s3\"").replace("rows.csv", "s3://lake/rows.csv");
    fs::write(dir.join("train.toml"), text).unwrap();
    let started = Instant::now();
    let output =
        command(&["run", "train.toml"]).envs(bucket.environment()).current_dir(&dir).output().unwrap();
    let said = ended(&output, 5);
    assert!(said.contains("access was denied") && !said.contains("retries_left"), "{said}");
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

/// What passes is waited for, and said.
#[test]
fn data_that_cannot_be_read_now_is_asked_for_again() {
    let bucket = Bucket::start();
    let setup = desk("count", "", BUILTIN);
    let dir = folder(&setup);
    let rows = bucket.folder().join("data");
    fs::create_dir_all(&rows).unwrap();
    fs::copy(dir.join("rows.csv"), rows.join("rows.csv")).unwrap();
    let text = fs::read_to_string(dir.join("train.toml")).unwrap();
    let place = format!("{}/data/rows.csv", bucket.url());
    let text = text.replace("source = \"file\"", "source = \"s3\"").replace("rows.csv", &place)
        + "\n[retry]\nretries = 2\ndelay_seconds = 0\n";
    fs::write(dir.join("train.toml"), text).unwrap();
    let run = |code| {
        let mut command = command(&["run", "train.toml", "--until", "validate"]);
        ended(&command.envs(bucket.environment()).current_dir(&dir).output().unwrap(), code)
    };
    // More than the client tries by itself.
    bucket.set_rules(vec![Rule::new(Fault::Answer(503, "SlowDown")).key("data").times(4)]);
    let said = run(0);
    assert!(said.contains("\"retries_left\":2") && said.contains("4000 of them kept"), "{said}");
    bucket.set_rules(vec![Rule::new(Fault::Answer(503, "SlowDown")).key("data")]);
    let said = run(5);
    assert!(said.contains("\"retries_left\":1") && said.contains("status 503"), "{said}");
}

/// A training into a bucket that goes wrong in some way; what was said, and what is left below the model.
#[track_caller]
fn into(bucket: &Bucket, code: i32) -> String {
    let setup = desk("count", "auto_deploy = true", BUILTIN);
    let dir = folder(&setup);
    let text = fs::read_to_string(dir.join("train.toml")).unwrap();
    fs::write(dir.join("train.toml"), text.replace("\"models\"", &format!("{:?}", bucket.url()))).unwrap();
    let mut command = command(&["run", "train.toml"]);
    let output = command.envs(bucket.environment()).current_dir(&dir).output().unwrap();
    ended(&output, code)
}

fn versions(bucket: &Bucket) -> Vec<Value> {
    let index = fs::read(bucket.folder().join("rentals/model.json")).unwrap();
    serde_json::from_slice::<Value>(&index).unwrap()["versions"].as_array().unwrap().clone()
}

#[test]
fn a_bucket_that_may_not_be_written_is_told_before_anything_is_trained() {
    let bucket = Bucket::start();
    bucket.set_rules(vec![Rule::new(Fault::Answer(403, "AccessDenied")).method("PUT")]);
    let said = into(&bucket, 6);
    for words in ["access was denied", "do the credentials allow s3:"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("\"step\":\"train\""), "{said}");
    assert_eq!(files(&bucket.folder()), Vec::<PathBuf>::new());
}

#[test]
fn a_version_that_may_not_be_written_as_a_whole_is_not_visible() {
    let bucket = Bucket::start();
    bucket.set_rules(vec![
        Rule::new(Fault::Answer(403, "AccessDenied")).method("PUT").key("/rentals/1/manifest.json"),
    ]);
    let said = into(&bucket, 6);
    assert!(said.contains("version 1 was reserved, and is not visible"), "{said}");
    let all = versions(&bucket);
    assert!(all.len() == 1 && all[0]["state"] != "ready" && all[0]["stage"] == "None", "{all:?}");
    assert!(!bucket.folder().join("rentals/1/manifest.json").exists());
    // The next training is a version of its own, and what was left hinders nobody.
    bucket.heal();
    into(&bucket, 0);
    let all = versions(&bucket);
    assert_eq!(
        (all.len(), &all[1]["version"], &all[1]["stage"]),
        (2, &2.into(), &"Production".into()),
        "{all:?}"
    );
}
