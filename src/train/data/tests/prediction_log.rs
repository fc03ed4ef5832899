use std::fs;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema};
use datafusion::arrow::json::ReaderBuilder;
use datafusion::arrow::json::reader::infer_json_schema;
use datafusion::parquet::arrow::ArrowWriter;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};
use sidegate::registry::store::{Folder, Store};

use super::{data_config, numbers, open_split, rows, split_config, texts};
use crate::data::config::DataConfig;
use crate::data::schema::Schema as Rules;
use crate::data::{Access, Data, DataError, Wanted};

/// A folder with a log, whose segments are lines or Parquet.
struct Log {
    folder: tempfile::TempDir,
    parquet: bool,
}

/// As a gateway types what is null in all lines: an input is a list of numbers.
fn settled(fields: &Fields, inputs: bool) -> Vec<Field> {
    let settle = |field: &Arc<Field>| match field.data_type() {
        DataType::Null if inputs => {
            let list = DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true)));
            Some(Field::new(field.name(), list, true))
        }
        DataType::Null => None,
        DataType::Struct(inner) => {
            Some(Field::new(field.name(), DataType::Struct(settled(inner, true).into()), true))
        }
        _ => Some(field.as_ref().clone()),
    };
    fields.iter().filter_map(settle).collect()
}

/// A line of a request of one or more rows.
fn line(id: &str, t: &str, inputs: Value) -> Value {
    let rows = inputs.as_object().unwrap().values().find_map(Value::as_array).map_or(1, Vec::len);
    json!({"format": 1, "kind": "prediction", "t": format!("2026-11-27T{t}.000000Z"), "id": id, "key": format!("k-{id}"),
           "model": "m", "version": "1", "unit": "u", "outcome": "ok", "row": 0, "rows": rows, "inputs": inputs,
           "outputs": {"y": vec![0.5; rows]}})
}

fn actual(id: &str, t: &str, row: u32, actual: Value) -> Value {
    let (number, class) = if actual.is_string() { (Value::Null, actual) } else { (actual, Value::Null) };
    json!({"format": 1, "kind": "outcome", "t": format!("2026-11-28T{t}.000000Z"), "id": id, "key": format!("k-{id}"),
           "model": null, "row": row, "actual": number, "class": class, "status": "unmatched"})
}

impl Log {
    fn new(parquet: bool) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), parquet }
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    /// A segment of the model `m`, or of outcomes, with this name.
    fn segment(&self, key: &str, lines: &[Value]) {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let ending = if self.parquet { "parquet" } else { "ndjson.zst" };
        let path = self.root().join(format!("{key}.{ending}"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if !self.parquet {
            return fs::write(path, compress_to_vec(text.as_bytes(), CompressionLevel::Fastest)).unwrap();
        }
        let (schema, _) = infer_json_schema(text.as_bytes(), None).unwrap();
        let schema = Arc::new(Schema::new(settled(schema.fields(), false)));
        let mut reader = ReaderBuilder::new(schema.clone()).build(text.as_bytes()).unwrap();
        let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), schema, None).unwrap();
        reader.try_for_each(|batch| writer.write(&batch.unwrap())).unwrap();
        writer.close().unwrap();
    }

    fn open(&self, more: &str) -> Result<Data, DataError> {
        self.open_split(more, "")
    }

    fn open_split(&self, more: &str, split: &str) -> Result<Data, DataError> {
        open_split(&config(self.root().to_str().unwrap(), more), split)
    }

    #[track_caller]
    fn refused(&self, more: &str, code: u8, said: &str) {
        let error = self.open(more).err().unwrap();
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(error.exit_code(), code, "{error}");
    }
}

fn config(path: &str, more: &str) -> String {
    let model = if more.contains("model =") { "" } else { "model = \"m\"\n" };
    format!("source = \"prediction_log\"\npath = {path:?}\ntarget_column = \"y\"\n{model}{more}")
}

fn names(data: &Data) -> Vec<&str> {
    data.columns().iter().map(|field| field.name.as_str()).collect()
}

/// Three segments whose types differ, and outcomes of every kind.
fn fill(log: &Log) {
    let more = line("b", "10:00:02", json!({"n": [2.5], "s": ["y"], "gone": null}));
    let part = json!({"row": 2, "rows": 1, "inputs": {"n": [7], "s": ["z"], "gone": null}});
    let mut second = line("a", "10:00:01", json!({"n": [0], "s": ["x"], "gone": null}));
    part.as_object().unwrap().iter().for_each(|(name, value)| second[name] = value.clone());
    let failed = json!({"outcome": "client_error", "outputs": null});
    let mut third = line("f", "10:00:03", json!({"n": [9], "s": ["x"], "gone": null}));
    failed.as_object().unwrap().iter().for_each(|(name, value)| third[name] = value.clone());
    log.segment(
        "predictions/m/2026-11-27/100000-pod-000001",
        &[line("a", "10:00:01", json!({"n": [5, 6], "s": ["x", ""], "gone": null})), second, third],
    );
    log.segment("predictions/m/2026-11-27/100002-pod-000002", &[more]);
    let again = line("again", "10:00:06", json!({"n": [null], "s": ["late"], "gone": null}));
    log.segment(
        "predictions/m/2026-11-27/100004-pod-000003",
        &[line("again", "10:00:04", json!({"n": [null], "s": ["early"], "gone": null})), again],
    );
    log.segment(
        "predictions/other/2026-11-27/100000-pod-000004",
        &[line("o", "10:00:00", json!({"n": [1]}))],
    );
    let mut foreign = actual("b", "09:00:00", 0, json!(-1.0));
    foreign["model"] = json!("other");
    let mut receipt = actual("again", "00:00:00", 0, json!(4.0));
    receipt["id"] = Value::Null;
    log.segment(
        "outcomes/2026-11-28/000000-pod-000005",
        &[
            actual("a", "00:00:00", 0, json!(1.0)),
            actual("a", "00:00:00", 1, json!(2.0)),
            actual("a", "00:00:00", 2, json!(3.0)),
            // A correction within the same millisecond.
            actual("a", "00:00:00", 1, json!(20.0)),
            receipt,
            actual("f", "00:00:00", 0, json!(9.0)),
            actual("nobody", "00:00:00", 0, json!(9.0)),
            json!({"kind": "outcome", "t": "2026-11-28T00:00:00.000000Z", "key": null, "unit": "u", "metric": "revenue",
                   "value": 1.0, "actual": null, "class": null}),
        ],
    );
    log.segment(
        "outcomes/2026-11-28/010000-pod-000006",
        &[actual("b", "01:00:00", 0, json!(8.0)), actual("a", "01:00:00", 0, json!(10.0)), foreign],
    );
}

#[test]
fn rows_that_were_answered_have_their_last_actual() {
    for parquet in [false, true] {
        let log = Log::new(parquet);
        fill(&log);
        let data = log.open("").unwrap();
        assert_eq!(names(&data), ["n", "s", "y"], "parquet: {parquet}");
        let (found, _) = rows(&data, &Rules::default());
        assert_eq!(numbers(&found[0]), [5.0, 6.0, 7.0, 2.5, -1.0], "parquet: {parquet}");
        assert_eq!(texts(&found[1]), ["x", "", "z", "y", "late"]);
        assert_eq!(numbers(&found[2]), [10.0, 20.0, 3.0, 8.0, 4.0]);
        assert_eq!(data.origin(), format!("{}/predictions/m", log.root().display()));
        // The log is as it was.
        assert!(fs::read_dir(log.root().join("outcomes/2026-11-28")).unwrap().count() == 2);
    }
}

/// A correction may say when the event was that it corrects, or nothing at all; a clock may be wrong.
#[test]
fn the_actual_that_arrived_last_counts_whatever_time_it_names() {
    for parquet in [false, true] {
        let log = Log::new(parquet);
        fill(&log);
        log.segment("outcomes/2026-11-29/020000-pod-000007", &[actual("b", "00:30:00", 0, json!(80.0))]);
        let early = [actual("a", "23:00:00", 2, json!(30.0)), actual("a", "00:00:00", 2, json!(31.0))];
        log.segment("outcomes/2026-11-29/030000-pod-000008", &early);
        let (found, _) = rows(&log.open("").unwrap(), &Rules::default());
        assert_eq!(numbers(&found[2]), [10.0, 20.0, 31.0, 80.0, 4.0], "parquet: {parquet}");
    }
}

#[test]
fn the_time_of_a_request_is_for_ranges_and_its_key_for_groups_and_nothing_is_learned_from_either() {
    let log = Log::new(false);
    fill(&log);
    let more = "date_column = \"log.t\"\ndate_range = { start = \"2026-11-27T10:00:02Z\", end = \"2026-11-27T10:00:05Z\" }\n\
                columns = [\"n\"]";
    let data = log.open_split(more, "group = \"log.key\"").unwrap();
    assert_eq!(names(&data), ["n", "y", "log.t", "log.key"]);
    assert_eq!(data.roles().1, ["log.key", "log.t"]);
    let (found, _) = rows(&data, &Rules::default());
    assert_eq!(numbers(&found[1]), [8.0, 4.0]);
    // A day that is out of reach is not read at all.
    log.segment("predictions/m/2026-11-20/100000-pod-000001", &[json!({"inputs": {"n": [[1]]}})]);
    log.open_split(more, "group = \"log.key\"").unwrap();
    log.refused("columns = [\"log.t\"]", 5, "column `log.t` (data.columns) is not in the data");
}

#[test]
fn what_was_asked_outside_of_the_range_teaches_no_columns() {
    let log = Log::new(false);
    fill(&log);
    log.segment("predictions/m/2026-11-27/0", &[line("z", "09:00:00", json!({"old": [[1, 2]]}))]);
    let since = "date_column = \"log.t\"\ndate_range = { start = \"2026-11-27T10:00:00Z\" }";
    let data = log.open_split(since, "group = \"log.key\"").unwrap();
    assert!(!names(&data).contains(&"old"), "{:?}", names(&data));
    assert!(!rows(&data, &Rules::default()).0.is_empty());
    let never = "date_column = \"log.t\"\ndate_range = { start = \"2031-01-01\" }\ncolumns = [\"n\"]";
    log.refused(never, 5, "no rows from 2031-01-01 (included) to the end (excluded)");
}

/// An app that hands its own request's id on asks several models with it.
#[test]
fn an_actual_that_names_no_model_is_of_the_prediction_that_came_last() {
    for parquet in [false, true] {
        let log = Log::new(parquet);
        fill(&log);
        // Later than `m` was asked with `b`, and earlier than with `again`.
        let [later, earlier, failed] = [("b", "10:00:05"), ("again", "10:00:05"), ("a", "11:00:00")]
            .map(|(id, t)| line(id, t, json!({"n": [1]})));
        let mut failed = failed;
        failed["outcome"] = json!("client_error");
        log.segment("predictions/other/2026-11-27/100005-pod-000009", &[later, earlier, failed]);
        let found = |log: &Log| numbers(&rows(&log.open("").unwrap(), &Rules::default()).0[2]);
        assert_eq!(found(&log), [10.0, 20.0, 3.0, 4.0], "parquet: {parquet}");
        // One that names it is of it, also where another came later.
        let mut named = actual("b", "00:00:00", 0, json!(7.0));
        named["model"] = json!("m");
        log.segment(
            "outcomes/2026-11-28/010000-pod-000007",
            &[named, actual("b", "03:00:00", 0, json!(70.0))],
        );
        assert_eq!(found(&log), [10.0, 20.0, 3.0, 7.0, 4.0], "parquet: {parquet}");
    }
}

#[test]
fn outcomes_from_before_the_predictions_are_not_read() {
    let log = Log::new(false);
    fill(&log);
    // A segment may be open for a day, so that the day before counts.
    log.segment("outcomes/2026-11-26/230000-pod-000001", &[actual("b", "02:00:00", 0, json!(7.0))]);
    let broken = log.root().join("outcomes/2026-11-25");
    fs::create_dir_all(&broken).unwrap();
    fs::write(broken.join("230000-pod-000001.ndjson.zst"), "no segment").unwrap();
    let (found, _) = rows(&log.open("").unwrap(), &Rules::default());
    assert_eq!(numbers(&found[2]), [10.0, 20.0, 3.0, 8.0, 4.0]);
    log.segment(
        "predictions/m/2026-11-26/100000-pod-000001",
        &[line("z", "10:00:00", json!({"n": [1], "s": ["x"]}))],
    );
    log.refused("", 5, "outcomes/2026-11-25/230000-pod-000001.ndjson.zst");
}

#[test]
fn seconds_are_times_where_they_are_to_be() {
    let log = Log::new(false);
    log.segment(
        "predictions/m/2026-11-27/1",
        &[line("a", "10:00:00", json!({"at": [1_704_067_200], "n": [1]}))],
    );
    log.segment("predictions/m/2026-11-27/2", &[line("b", "10:00:01", json!({"at": [null], "n": [1]}))]);
    let actuals = [actual("a", "10:00:00", 0, json!(1.0)), actual("b", "10:00:00", 0, json!(2.0))];
    log.segment("outcomes/2026-11-27/1", &actuals);
    for more in
        ["date_column = \"at\"", "types = { at = \"time\" }", "date_column = \"at\"\ndate_unit = \"s\""]
    {
        let data = log.open(more).unwrap();
        let (found, _) = rows(&data, &Rules::default());
        assert_eq!(found[0], super::times([Some(super::DAY_ONE), None]), "{more}");
    }
    let more = "date_column = \"at\"\ndate_range = { start = \"2024-01-02\" }";
    let error = log.open(more).unwrap().validate(&Rules::default(), false, 0).err().unwrap();
    assert!(matches!(error, DataError::EmptyRange { .. }), "{error}");
}

#[test]
fn classes_are_names_or_numbers_and_not_both() {
    let log = Log::new(false);
    fill(&log);
    log.segment("outcomes/2026-11-29/1", &[actual("b", "02:00:00", 0, json!("yes"))]);
    log.refused("", 5, "came as numbers and as names");
    for (id, row) in [("a", 0), ("a", 1), ("a", 2), ("again", 0)] {
        log.segment(&format!("outcomes/2026-11-30/{id}{row}"), &[actual(id, "02:00:00", row, json!("no"))]);
    }
    let (found, _) = rows(&log.open("").unwrap(), &Rules::default());
    assert_eq!(texts(&found[2]), ["no", "no", "no", "yes", "no"]);
}

#[test]
fn what_cannot_be_learned_from_is_told() {
    let log = Log::new(false);
    log.refused("", 5, "there are no predictions of `m`");
    fill(&log);
    log.refused("model = \"n\"", 5, "there are no predictions of `n`");
    log.refused("columns = [\"gone\"]", 5, "column `gone` (data.columns) is redacted");
    log.refused(
        "columns = [\"x\"]",
        5,
        "column `x` (data.columns) is not in the data, which has: gone, n, s",
    );
    log.segment(
        "predictions/m/2026-11-28/1",
        &[line("c", "11:00:00", json!({"n": [1], "s": ["x"], "e": [[1, 2]]}))],
    );
    log.refused("", 5, "column `e` is a list of several values");
    log.refused("columns = [\"e\"]", 5, "name the others in `data.columns`");
    log.open("columns = [\"n\", \"s\"]").unwrap();
    // Some rows have what others lack.
    log.segment("predictions/m/2026-11-28/2", &[line("d", "12:00:00", json!({"n": null, "s": ["x"]}))]);
    log.refused(
        "columns = [\"n\"]",
        5,
        "column `n` is redacted, or was no input, in some of its predictions",
    );
    log.open("columns = [\"s\"]").unwrap();
    fs::remove_dir_all(log.root().join("outcomes")).unwrap();
    log.refused(
        "columns = [\"s\"]",
        5,
        "none of 8 predicted rows has an actual in the log; what was true is posted to /actuals",
    );
}

#[test]
fn a_damaged_segment_is_named() {
    let log = Log::new(false);
    fill(&log);
    let path = log.root().join("predictions/m/2026-11-27/100002-pod-000002.ndjson.zst");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 20]).unwrap();
    log.refused("", 5, "100002-pod-000002.ndjson.zst");
    let mut other = whole;
    let last = other.len() - 1;
    other[last] ^= 1;
    fs::write(&path, &other).unwrap();
    log.refused("", 5, "its checksum is not that of its lines");
}

#[test]
fn a_configuration_that_cannot_be_is_refused() {
    let refused = |text: &str, said: &str| {
        let error = DataConfig::from_table(text.parse().unwrap()).map(drop).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    };
    refused("source = \"prediction_log\"", "path is missing: prediction_log.url");
    refused("source = \"prediction_log\"\npath = \"log\"\nformat = \"parquet\"", "neither format");
    refused("source = \"prediction_log\"\npath = \"log\"\nmodel = \"../m\"", "data.model: ");
    refused("source = \"file\"\npath = \"a.csv\"\nmodel = \"m\"", "data.model is for source");
    let log = Log::new(false);
    fill(&log);
    let text = config(log.root().to_str().unwrap(), "").replace("\"y\"", "\"n\"");
    let error = open_split(&text, "").err().unwrap();
    assert!(error.to_string().contains("`n` is an input"), "{error}");
    assert_eq!(error.exit_code(), 2);
    let gone = open_split(&config("/nowhere/log", ""), "").err().unwrap();
    assert!(!gone.is_transient() && gone.to_string().contains("prediction_log.url"), "{gone}");
}

#[test]
fn a_bucket_is_read_as_a_folder_is() {
    let log = Log::new(false);
    fs::create_dir_all(log.root().join("lake/_log")).unwrap();
    let inner = Log { folder: tempfile::tempdir_in(log.root().join("lake")).unwrap(), parquet: false };
    fill(&inner);
    let prefix = inner.root().file_name().unwrap().to_str().unwrap();
    let root = log.root().to_owned();
    let bucket = move |name: &str| Ok(Box::new(Folder::new(root.join(name))) as Box<dyn Store>);
    let config = data_config(&config(&format!("s3://lake/{prefix}/"), ""));
    let data = Data::open(
        &config,
        &split_config(""),
        &Access { wanted: Wanted::Rows, environment: &|_| None, bucket: &bucket },
    )
    .unwrap();
    let (found, _) = rows(&data, &Rules::default());
    assert_eq!(numbers(&found[2]), [10.0, 20.0, 3.0, 8.0, 4.0]);
    assert_eq!(data.origin(), format!("s3://lake/{prefix}/predictions/m"));
}

#[test]
fn a_log_larger_than_the_limit_is_joined_on_disk() {
    let log = Log::new(false);
    let (segments, each) = (12_u32, 10_000_u32);
    for segment in 0..segments {
        let text = "x".repeat(200);
        // The newest first, in ids that are in no order.
        let id = |row: u32| format!("{:08x}", (segment * each + row).wrapping_mul(2_654_435_761));
        let predictions: Vec<Value> = (0..each)
            .map(|row| {
                let t = format!("{:02}:{:02}:{:02}", 23 - segment, row / 60 % 60, row % 60);
                line(&id(row), &t, json!({"n": [row], "s": [format!("{text}{row}")]}))
            })
            .collect();
        log.segment(&format!("predictions/m/2026-11-27/{segment:06}"), &predictions);
        let outcomes: Vec<Value> =
            (0..each).map(|row| actual(&id(row), "00:00:00", 0, json!(f64::from(row) * 2.0))).collect();
        log.segment(&format!("outcomes/2026-11-28/{segment:06}"), &outcomes);
    }
    let before = peak();
    let data = log.open("memory_limit = 16").unwrap();
    eprintln!("{} MiB at most, {before} MiB before", peak());
    let validated = data.validate(&Rules::default(), false, 0).unwrap();
    assert_eq!(validated.report.rows, u64::from(segments * each));
    let mut hours = 0;
    data.scan(&validated, None, &mut |batch| {
        let n = numbers(&batch.raw.columns[0]);
        assert!(n.iter().zip(&batch.target).all(|(n, y)| *y == n * 2.0));
        hours += n.windows(2).filter(|pair| pair[1] < pair[0]).count();
        Ok(())
    })
    .unwrap();
    assert!(hours >= segments as usize - 1, "rows are in the order of their time");
}

/// The most that was resident at any time, in MiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}
