//! The closed loop on real processes: a schedule trains, the gate judges, the registry promotes, a gateway swaps while it
//! answers, what it answered becomes what the next version learns from, and the monitor watches that one.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::client::{Answer, request};
#[cfg(feature = "parquet")]
use super::harness::Setup;
use super::harness::{Server, run, wait};
use super::load::{Load, Manner};
use super::prediction_log::logged;
use super::registry_cli::ended;
use super::train::{BUILTIN, desk, folder, predict, rentals, result, train};

const SOON: Duration = Duration::from_secs(20);
/// Rows of a request.
const ROWS: usize = 10;
/// By how many rentals more people ride since the first version was trained.
const MORE: f64 = 40.0;

/// What waits for its turn on a busy machine waits, and is not shed.
const GATEWAY: &str = "http.queue_wait_ms = 10000\nmonitor.performance = true\nmonitor.max_rows_per_s = 1000000\nmonitor.window_rows = 512\n\
                       [prediction_log]\nurl = \"log\"\nsegment_ms = 200\n";

/// What a schedule's one turn ends with: its result, and the code of the process.
#[track_caller]
fn turn(dir: &Path, config: &str, code: i32) -> Value {
    result(&train(dir, &["schedule", config, "--once"]), code)
}

fn shown(dir: &Path) -> Value {
    let shown = train(dir, &["schedule", "train.toml", "--show"]);
    serde_json::from_str(ended(&shown, 0).lines().next().unwrap()).unwrap()
}

/// Rows as requests bring them, and what was true of them.
fn rides(rows: u32) -> Vec<(Value, f64)> {
    let text = rentals(rows, "");
    let ride = |line: &str| {
        let [at, weather, temp, seats, count, _]: [&str; 6] =
            line.split(',').collect::<Vec<_>>().try_into().unwrap();
        let at = OffsetDateTime::parse(at, &Rfc3339).unwrap().unix_timestamp();
        let row = json!({"at": at, "weather": weather, "temp": temp.parse::<f64>().ok(), "seats": seats.parse::<u8>().unwrap()});
        (row, count.parse::<f64>().unwrap() + MORE)
    };
    text.lines().skip(1).map(ride).collect()
}

/// Asks for some rows at a time, and tells what was true of those that `is_known` chooses.
fn serve(server: &Server, name: &str, rides: &[(Value, f64)], is_known: impl Fn(usize) -> bool) -> usize {
    let mut known = Vec::new();
    for (number, some) in rides.chunks(ROWS).enumerate() {
        let id = format!("{name}-{number}");
        let rows: Vec<&Value> = some.iter().map(|(row, _)| row).collect();
        let answer = server.data().post_with(
            "/predict?model=rentals",
            &[("x-request-id", &id)],
            json!(rows).to_string(),
        );
        assert_eq!(answer.status, 200, "{}", answer.text());
        if is_known(number) {
            known
                .push(json!({"id": id, "actual": some.iter().map(|(_, actual)| actual).collect::<Vec<_>>()}));
        }
    }
    let posted = server.data().post("/actuals", json!(known).to_string()).json();
    assert_eq!(posted["logged"], known.len() * ROWS, "{posted}");
    known.len()
}

fn judge(answer: &Answer) -> Result<u64, String> {
    let version = answer.json()["model_version"].as_str().and_then(|version| version.parse().ok());
    version.filter(|_| answer.status == 200).ok_or_else(|| format!("{} {}", answer.status, answer.text()))
}

fn performance(server: &Server, version: u32) -> f64 {
    server.metric(&format!("sidegate_performance{{metric=\"rmse\",model=\"rentals\",version=\"{version}\"}}"))
}

#[test]
fn the_loop_is_closed() {
    let gate = "[gate]\nrmse = 20\nmin_r2 = 0.8\n[gate.champion]\nrmse = { margin = 0 }\n";
    let setup = desk("count", "auto_deploy = true", &format!("{BUILTIN}{gate}"));
    let dir = folder(&setup);
    let server = setup.only_config(&format!("registry.poll_interval_ms = 50\n{GATEWAY}")).start_unready();

    // A first version: trained, judged, promoted, loaded.
    let first = turn(&dir, "train.toml", 0);
    assert_eq!((&first["status"], &first["version"]), (&json!("success"), &json!(1)));
    let before =
        wait("version 1", SOON, || Some(predict(&server)).filter(|answer| answer["model_version"] == "1"));
    let row = json!([{"at": 1_706_000_400, "weather": "rain", "temp": 12.5, "seats": 3}]).to_string();
    let body = request("POST", "/predict?model=rentals", &[], row.as_bytes());
    let pause = Duration::from_millis(5);
    let load = Load::paced(&server.data(), &body, &[Manner::KeepAlive, Manner::OneEach], pause, judge);
    load.flow(20);

    // Broken data: each row has the count of another.
    let whole = fs::read_to_string(dir.join("rows.csv")).unwrap();
    fs::write(dir.join("rows.csv"), shifted(&whole)).unwrap();
    let refused = turn(&dir, "train.toml", 4);
    assert_eq!((&refused["status"], &refused["version"]), (&json!("refused"), &Value::Null));
    assert!(refused["reason"].as_str().unwrap().contains("the gate refuses: "), "{refused}");
    let last = &shown(&dir)["last"];
    assert_eq!(
        (&last["status"], &last["exit_code"], &last["run"]),
        (&json!("refused"), &json!(4), &refused["run_id"])
    );
    let recorded = dir.join(format!("models/_runs/rentals/{}.json", refused["run_id"].as_str().unwrap()));
    assert!(fs::read_to_string(recorded).unwrap().contains("\"status\":\"refused\""));
    let listed = run(&dir, &["registry", "show", "rentals", "--json"]);
    let listed: Value = serde_json::from_str(&ended(&listed, 0)).unwrap();
    assert_eq!(listed["versions"].as_array().unwrap().len(), 1, "{listed}");
    assert!(!dir.join("models/rentals/2").exists(), "something of a refused version is there");
    load.flow(20);
    assert_eq!(predict(&server)["model_version"], "1", "the champion keeps serving");

    // More people ride than the first version was told; of two requests in three that becomes known.
    wait("predictions to be waited for", SOON, || {
        (server.admin().get("/performance/rentals").json()["on"] == true).then_some(())
    });
    let rides = rides(3000);
    let known = serve(&server, "ride", &rides, |number| number % 3 != 0);
    let log = dir.join("log");
    wait("the log", SOON, || {
        let of_ours = |line: &Value| line["id"].as_str().is_some_and(|id| id.starts_with("ride-"));
        let asked = logged(&log, "predictions").iter().filter(|line| of_ours(line)).count();
        (asked == rides.len() / ROWS && logged(&log, "outcomes").len() == known * ROWS).then_some(())
    });
    wait("what it costs the champion", SOON, || (performance(&server, 1) > MORE - 10.0).then_some(()));

    // What it was asked and what was true of it is what the next version learns from.
    let text = fs::read_to_string(dir.join("train.toml")).unwrap();
    let text =
        text.replace("source = \"file\"\npath = \"rows.csv\"", "source = \"prediction_log\"\npath = \"log\"");
    fs::write(dir.join("log.toml"), format!("{text}[split]\ngroup = \"log.key\"\n")).unwrap();
    let second = turn(&dir, "log.toml", 0);
    assert_eq!((&second["status"], &second["version"]), (&json!("success"), &json!(2)));
    let after =
        wait("version 2", SOON, || Some(predict(&server)).filter(|answer| answer["model_version"] == "2"));
    load.flow(20);
    for row in 0..2 {
        let [before, after] = [&before, &after].map(|answer| answer["predictions"][row].as_f64().unwrap());
        assert!((after - before - MORE).abs() < 15.0, "{before} {after}");
    }
    let manifest: Value =
        serde_json::from_slice(&fs::read(dir.join("models/rentals/2/manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["lineage"]["data_sources"], json!(["log/predictions/rentals"]), "{manifest}");
    let rows = manifest["lineage"]["rows"].as_object().unwrap().values().filter_map(Value::as_u64);
    assert_eq!(rows.sum::<u64>(), (known * ROWS) as u64, "rows of the load have no actual");
    let inputs = manifest["signature"]["inputs"].as_array().unwrap().iter();
    let inputs: Vec<&str> = inputs.map(|input| input["name"].as_str().unwrap()).collect();
    assert_eq!(inputs.len(), 4, "no request brings what the log says of it: {inputs:?}");
    let tally = load.stop();
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    assert_eq!(tally.versions.into_iter().collect::<Vec<_>>(), [1, 2]);

    // It is watched, against the reference that came with it, and does better.
    let drift = || server.admin().get("/drift/rentals").json();
    let mut turn = 0;
    let watched = wait("a window of version 2", SOON, || {
        // Again, for rows that come while the monitor is busy are in no window.
        serve(&server, &format!("later-{turn}"), &rides[..1000], |_| true);
        turn += 1;
        Some(drift()).filter(|known| known["version"] == "2" && known["features"]["temp"]["ks"].is_number())
    });
    assert_eq!(
        (&watched["state"], &watched["reference_from"]),
        (&json!("watching"), &json!("version")),
        "{watched}"
    );
    let score = "data_drift_score{feature=\"temp\",model=\"rentals\",version=\"2\"} ";
    wait("its metric", SOON, || server.metrics().contains(score).then_some(()));
    let rmse = wait("its performance", SOON, || Some(performance(&server, 2)).filter(|rmse| *rmse > 0.0));
    assert!(rmse < 20.0, "{rmse}");
    let broken: Vec<(Value, f64)> = rides[..300]
        .iter()
        .map(|(row, actual)| {
            let mut row = row.clone();
            row["temp"] = json!(row["temp"].as_f64().map(|temp| temp * 1000.0));
            (row, *actual)
        })
        .collect();
    serve(&server, "broken", &broken, |_| false);
    let series = "sidegate_drift_alert{feature=\"temp\",kind=\"unit\",model=\"rentals\",version=\"2\"}";
    wait("the alert", SOON, || (server.metric(series) == 1.0).then_some(()));
}

/// A matrix whose columns a manifest names, in the other form of segments.
#[cfg(feature = "parquet")]
#[test]
fn a_log_of_parquet_is_trained_on() {
    let text = "http.queue_wait_ms = 10000\n[prediction_log]\nurl = \"log\"\nsegment_ms = 200\nformat = \"parquet\"\n";
    let server = Setup::with(&["flight-delay"]).only_config(text).start();
    let (mut known, mut state) = (Vec::new(), 7_u64);
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 24)
    };
    for request in 0..40 {
        let rows: Vec<[f64; 8]> = (0..20).map(|_| [(); 8].map(|()| (random() * 100.0).round())).collect();
        let inputs = json!([{"name": "input", "shape": [20, 8], "datatype": "FP32", "data": rows.concat()}]);
        let id = format!("flight-{request}");
        let body = json!({"id": id, "inputs": inputs}).to_string();
        assert_eq!(server.data().post("/v2/models/flight-delay/infer", body).status, 200);
        known.push(
            json!({"id": id, "actual": rows.iter().map(|row| row[0] - row[1] / 2.0).collect::<Vec<_>>()}),
        );
    }
    assert_eq!(server.data().post("/actuals", json!(known).to_string()).json()["logged"], 800);
    wait("the log", SOON, || (server.metric("sidegate_prediction_log_written_total") == 840.0).then_some(()));
    let dir = server.path("");
    let config = format!(
        "name = \"flight-delay\"\ntarget_column = \"late\"\n[data]\nsource = \"prediction_log\"\npath = \"log\"\n\
         date_column = \"log.t\"\n[split]\nby = \"time\"\n{BUILTIN}[registry]\nurl = \"models\"\n[gate]\nmin_r2 = 0.8\n"
    );
    fs::write(dir.join("train.toml"), config).unwrap();
    let done = result(&train(&dir, &["run", "train.toml", "--until", "prove"]), 0);
    let record = dir.join("runs").join(done["run_id"].as_str().unwrap());
    let schema: Value = serde_json::from_slice(&fs::read(record.join("schema.json")).unwrap()).unwrap();
    let schema = schema.to_string();
    assert!(schema.contains("wind_speed") && !schema.contains("log.t"), "{schema}");
    let report = fs::read_to_string(record.join("validation.json")).unwrap();
    assert!(report.contains("\"rows\": 800"), "{report}");
}

/// The rows with the counts of others.
fn shifted(text: &str) -> String {
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    let line = |at: usize| {
        let mut line = lines[at].clone();
        if at > 0 {
            line[4] = lines[1 + (at + 6) % (lines.len() - 1)][4];
        }
        line.join(",") + "\n"
    };
    (0..lines.len()).map(line).collect()
}
