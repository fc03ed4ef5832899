//! What a model sees: broken data and drift, each named with its feature, on a shipped model.

use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{Server, Setup, run, wait};

const SOON: Duration = Duration::from_secs(20);
/// The feature at position 5.
const WIND: &str = "wind_speed";
const INFER: &str = "/v2/models/flight-delay/infer";

/// Requests of 64 flights each, whose rows `edit` changes; numbers look like chance and are the same every time.
struct Flights(u64);

impl Flights {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / 2_f64.powi(53)
    }

    fn row(&mut self) -> [f64; 8] {
        let [delay, distance, minutes, hour, day, wind, rain, visibility] = [(); 8].map(|()| self.uniform());
        [
            (delay * 8.0).floor() * 10.0 - 20.0,
            200.0 + 2300.0 * distance,
            60.0 + 300.0 * minutes,
            6.0 + (hour * 16.0).floor(),
            (day * 7.0).floor(),
            25.0 * wind,
            if rain < 0.8 { 0.0 } else { rain },
            10.0 * visibility,
        ]
    }

    fn send(&mut self, server: &Server, requests: usize, edit: impl Fn(&mut [f64; 8])) {
        for _ in 0..requests {
            let rows: Vec<f64> = (0..64)
                .flat_map(|_| {
                    let mut row = self.row();
                    edit(&mut row);
                    row
                })
                .collect();
            let body =
                json!({"inputs": [{"name": "input", "shape": [64, 8], "datatype": "FP32", "data": rows}]});
            assert_eq!(server.data().post(INFER, body.to_string()).status, 200);
        }
    }
}

fn start() -> Server {
    start_with("")
}

fn start_with(more: &str) -> Server {
    let text = "monitor.max_rows_per_s = 1000000\nmonitor.learn_rows = 1024\nmonitor.window_rows = 1024\n";
    let setup = Setup::with(&["flight-delay"]).without_profile("flight-delay");
    let server = setup.config(&format!("{text}{more}")).start();
    let all = || server.admin().get("/drift").ok()["versions"].clone();
    wait("the version to be watched", SOON, || (all()[0]["state"] == "learning").then_some(()));
    server
}

fn report(server: &Server) -> Value {
    server.admin().get("/drift/flight-delay").ok()
}

/// Features with an alert, and its kind; the detector's word is a test of its own.
fn alerts(server: &Server) -> Vec<(String, String)> {
    all_alerts(server).into_iter().filter(|(_, kind)| kind != "change").collect()
}

fn all_alerts(server: &Server) -> Vec<(String, String)> {
    let report = report(server);
    let text = |alert: &Value, name: &str| alert[name].as_str().unwrap().to_owned();
    let alerts = report["alerts"].as_array().unwrap().iter();
    alerts.map(|alert| (text(alert, "feature"), text(alert, "kind"))).collect()
}

fn learned(server: &Server, flights: &mut Flights) {
    flights.send(server, 16, |_| ());
    wait("the reference", SOON, || (report(server)["state"] == "watching").then_some(()));
}

#[test]
fn a_shift_is_an_alert_on_its_feature_and_nowhere_else() {
    let server = start();
    let mut flights = Flights(1);
    learned(&server, &mut flights);
    flights.send(&server, 20, |_| ());
    wait("an evaluation", SOON, || report(&server)["features"]["distance"]["ks"].is_number().then_some(()));
    assert_eq!(alerts(&server), []);
    // It becomes windy.
    flights.send(&server, 8, |row| row[5] = 10.0 + row[5] * 0.6);
    std::thread::sleep(Duration::from_millis(600));
    flights.send(&server, 8, |row| row[5] = 10.0 + row[5] * 0.6);
    let drift = |feature: &str| (feature.to_owned(), "drift".to_owned());
    let windy = wait("the alert", SOON, || Some(alerts(&server)).filter(|alerts| !alerts.is_empty()));
    let known = report(&server);
    assert_eq!(windy, [drift(WIND)], "{known}");
    // The detector has seen it too, on the same feature.
    let changed: Vec<(String, String)> =
        all_alerts(&server).into_iter().filter(|(_, kind)| kind == "change").collect();
    assert_eq!(changed, [(WIND.to_owned(), "change".to_owned())], "{known}");
    let found = &known["features"][WIND];
    assert_eq!(
        (&found["beyond"], &found["drift_detected"], &found["status"]),
        (&json!(true), &json!(true), &json!("ok"))
    );
    let series = format!(
        "sidegate_drift_alert{{feature=\"{WIND}\",kind=\"drift\",model=\"flight-delay\",version=\"1\"}}"
    );
    assert_eq!(server.metric(&series), 1.0);
    let score = format!("data_drift_score{{feature=\"{WIND}\",model=\"flight-delay\",version=\"1\"}}");
    assert!(server.metric(&score) > 0.2);
    server.wait_log("an alert was raised");
    // The commands say the same, and the page draws it.
    let admin = server.output().split("admin=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let told = |args: &[&str]| {
        let output = run(folder.path(), &[args, &["--admin", &admin]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(told(&["drift", "ls"]).contains(&format!("ALERT flight-delay 1: drift of {WIND}")));
    assert!(told(&["drift", "report", "flight-delay", "--html", "page.html"]).contains("DRIFT"));
    let page = std::fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert_eq!(page.matches("<svg").count(), 9, "{page}");
}

#[test]
fn a_window_by_time_forgets_and_still_names_what_is_broken_at_once() {
    let server = start_with("monitor.window_seconds = 2\n");
    let mut flights = Flights(3);
    learned(&server, &mut flights);
    let rows = || report(&server)["window_rows"].as_u64();
    flights.send(&server, 30, |_| ());
    wait("an evaluation of all of them", SOON, || rows().filter(|rows| *rows >= 1500));
    std::thread::sleep(Duration::from_millis(2500));
    flights.send(&server, 2, |_| ());
    wait("the first to be forgotten", SOON, || rows().filter(|rows| *rows <= 130));
    flights.send(&server, 2, |row| row[1] *= 1000.0);
    let distance = ("distance".to_owned(), "unit".to_owned());
    wait("the alert", Duration::from_secs(5), || alerts(&server).contains(&distance).then_some(()));
}

#[test]
fn a_broken_unit_is_named_within_seconds() {
    let server = start();
    let mut flights = Flights(2);
    learned(&server, &mut flights);
    // Metres for kilometres, and a sensor that has stopped.
    flights.send(&server, 2, |row| row[1] *= 1000.0);
    let distance = ("distance".to_owned(), "unit".to_owned());
    wait("the alert", Duration::from_secs(5), || (alerts(&server) == [distance.clone()]).then_some(()));
    let known = report(&server);
    let unit = known["alerts"].as_array().unwrap().iter().find(|alert| alert["kind"] == "unit").unwrap();
    let detail = unit["detail"].as_str().unwrap();
    assert!(detail.contains("about 1000 times"), "{detail}");
    assert_eq!(server.metric("sidegate_monitor_rows_dropped_total"), 0.0);
}

#[test]
fn what_is_not_to_be_watched_is_not() {
    let server = Setup::with(&["flight-delay"]).config("monitor.drift = false").start();
    Flights(3).send(&server, 20, |_| ());
    std::thread::sleep(Duration::from_millis(600));
    let all = server.admin().get("/drift").ok();
    assert_eq!((&all["on"], &all["versions"]), (&json!(false), &json!([])));
    let missing = server.admin().get("/drift/flight-delay");
    assert_eq!(
        (missing.status, missing.json()["code"].as_str().unwrap().to_owned()),
        (404, "not_found".to_owned())
    );
}

#[test]
fn a_reference_that_comes_with_a_version_is_used_from_its_first_row() {
    let server = start();
    let mut flights = Flights(4);
    learned(&server, &mut flights);
    let admin = server.admin.to_string();
    let sidegate = |args: &[&str]| {
        let output = run(&server.path(""), args);
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let written = sidegate(&["drift", "profile", "flight-delay", "--out", "profile.json", "--admin", &admin]);
    assert!(written.0, "{}", written.1);
    let register = |profile: &str| {
        let folder = "models/flight-delay/1";
        let stage = ["--stage", "Production", "--breaking"];
        let args = ["registry", "register", "flight-delay", folder, "--profile", profile];
        sidegate(&[&args[..], &stage[..]].concat())
    };
    let foreign = std::fs::read_to_string(server.path("profile.json")).unwrap().replace(WIND, "temperature");
    std::fs::write(server.path("foreign.json"), foreign).unwrap();
    let refused = register("foreign.json");
    assert!(!refused.0 && refused.1.contains("no feature `wind_speed`"), "{}", refused.1);
    let registered = register("profile.json");
    assert!(registered.0, "{}", registered.1);
    server.wait_state("flight-delay", 2, "serving");
    let known = wait("the new version", SOON, || {
        let known = server.admin().get("/drift/flight-delay");
        (known.status == 200 && known.json()["version"] == "2").then(|| known.json())
    });
    assert_eq!((&known["state"], &known["reference_from"]), (&json!("watching"), &json!("version")));
    assert_eq!(known["reference_rows"], 1024);
    flights.send(&server, 4, |row| row[1] *= 1000.0);
    let distance = ("distance".to_owned(), "unit".to_owned());
    wait("the alert", SOON, || alerts(&server).contains(&distance).then_some(()));
    // Two replicas with the same reference are one.
    let shown = server.admin().get("/drift/flight-delay/profile").ok();
    std::fs::write(server.path("a.json"), shown.to_string()).unwrap();
    flights.send(&server, 2, |_| ());
    let more = wait("more rows", SOON, || {
        let now = server.admin().get("/drift/flight-delay/profile").ok();
        (now["window"]["rows"] != shown["window"]["rows"]).then_some(now)
    });
    std::fs::write(server.path("b.json"), more.to_string()).unwrap();
    let merged = |files: [&str; 2], out: &str| {
        let done = sidegate(&["drift", "merge", files[0], files[1], "--out", out]);
        assert!(done.0, "{}", done.1);
        std::fs::read(server.path(out)).unwrap()
    };
    let one = merged(["a.json", "b.json"], "ab.json");
    assert_eq!(one, merged(["b.json", "a.json"], "ba.json"));
    let rows = |counted: &Value| counted["window"]["rows"].as_u64().unwrap();
    let sum: Value = serde_json::from_slice(&one).unwrap();
    assert_eq!(rows(&sum), rows(&shown) + rows(&more));
}

#[test]
fn what_replicas_see_is_put_together() {
    let first = start();
    let mut flights = Flights(7);
    learned(&first, &mut flights);
    let folder = tempfile::tempdir().unwrap();
    let does = |args: &[&str]| {
        let output = run(folder.path(), args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let admin = first.output().split("admin=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    does(&["drift", "profile", "flight-delay", "--out", "profile.json", "--admin", &admin]);
    // With its manifest, which names the columns.
    let model = super::harness::shipped("flight-delay").join("1");
    let model = model.to_str().unwrap();
    std::fs::create_dir(folder.path().join("models")).unwrap();
    does(&[
        "registry",
        "register",
        "flight-delay",
        model,
        "--profile",
        "profile.json",
        "--registry",
        "models",
    ]);
    let text =
        "monitor.max_rows_per_s = 1000000\nmonitor.window_rows = 1024\nmonitor.publish_interval_ms = 200\n";
    std::fs::write(folder.path().join("sidegate.toml"), text).unwrap();
    let registry = folder.path().join("models");
    let replicas: Vec<Server> =
        (0..3).map(|_| Setup::new().only_config(text).registry(registry.to_str().unwrap()).start()).collect();
    for replica in &replicas {
        wait("the version to be watched", SOON, || {
            let known = replica.admin().get("/drift").ok();
            (known["versions"][0]["state"] == "watching").then_some(())
        });
        // No one of them sees enough of it by itself.
        flights.send(replica, 2, |row| row[5] = 5.0 + row[5] * 0.8);
    }
    let look = ["monitor", "--once", "--json", "--registry", "models", "--config", "sidegate.toml"];
    let seen = wait("all rows", SOON, || {
        let text = does(&look);
        let seen: Value = serde_json::from_str(text.lines().next()?).ok()?;
        (seen["window_rows"] == 3 * 2 * 64).then_some(seen)
    });
    assert_eq!(
        (&seen["model"], &seen["processes"], &seen["problems"]),
        (&json!("flight-delay"), &json!(3), &json!([]))
    );
    let drifting: Vec<&str> =
        seen["drifting"].as_array().unwrap().iter().map(|one| one["feature"].as_str().unwrap()).collect();
    assert_eq!(drifting, [WIND], "{seen}");
    // Who ends says so, and is no part of it any more.
    replicas[0].signal("TERM");
    wait("the rows of two", SOON, || {
        let seen: Value = serde_json::from_str(does(&look).lines().next()?).ok()?;
        (seen["window_rows"] == 2 * 2 * 64).then_some(())
    });
}
