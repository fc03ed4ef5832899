//! The process from start to end: what it prints, what it takes over while it runs, how it goes.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Target, request};
use super::harness::{CANARY, Setup, constant_request, constant_version, run, wait};
use super::load::{Load, Manner, constant_judge};
use super::onnx::{constant, slow};

const INFER: &str = "/v2/models/m/infer";
/// The promise is 2 s; a busy machine gets more.
const SOON: Duration = Duration::from_secs(6);

/// One model `m` that answers 1.
fn small() -> Setup {
    let setup = Setup::new();
    setup.repository().bare("m", 1, &constant(1.0));
    setup
}

/// One model `m` and a request to it that takes its time.
fn long() -> (Setup, Vec<u8>) {
    let setup = Setup::new();
    setup.repository().bare("m", 1, &slow(512, 16));
    let rows = 5000;
    let body = json!({"inputs": [{"name": "x", "shape": [rows, 4], "datatype": "FP32", "data": vec![1.0; rows * 4]}]});
    (setup, request("POST", INFER, &[], body.to_string().as_bytes()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn ended(output: &Output, code: i32) -> String {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    assert!(!err.contains("panicked"), "{err}");
    out + &err
}

// --- start ---

#[test]
fn it_says_where_it_listens_and_what_it_serves() {
    let setup = small().args(&["--uds", "data.sock"]);
    setup.repository().bare("other", 7, &constant(7.0));
    let server = setup.start();
    let line = format!("listening http={} admin={} uds=data.sock", server.http, server.admin);
    assert_eq!(server.output().lines().next(), Some(line.as_str()));
    let output = wait("the command to try", SOON, || {
        let output = server.output();
        output.contains("try: ").then_some(output)
    });
    let lines: Vec<&str> = output.lines().collect();
    for (line, start) in
        lines[1..3].iter().zip(["model m version=1 engine=", "model other version=7 engine="])
    {
        let load = line.strip_prefix(start).and_then(|rest| rest.split_once(" load_ms="));
        let (engine, millis) = load.unwrap_or_else(|| panic!("{line}"));
        assert!(["trees", "ort", "tract"].contains(&engine) && millis.parse::<f64>().is_ok(), "{line}");
    }
    // The command works when pasted: here without curl, by its own words.
    let curl = lines[3].strip_prefix("try: curl -s -H 'content-type: application/json' http://").unwrap();
    let (url, body) = curl.split_once(" -d '").unwrap();
    let path = url.strip_prefix(&server.http.to_string()).unwrap();
    constant_version(&server.data().post(path, body.trim_end_matches('\'')));
    assert_eq!(lines.len(), 4, "{output}");
    assert!(!server.log().contains("listening http="), "the log has a place of its own");
}

#[test]
fn without_a_socket_it_says_so_and_one_file_is_enough() {
    let setup = small();
    let file = setup.path("My model (2).onnx");
    fs::write(&file, constant(1.0)).unwrap();
    let server = setup.single_file(&file).start();
    assert!(server.output().lines().next().unwrap().ends_with(" uds=-"), "{}", server.output());
    assert_eq!(constant_version(&server.data().send(&constant_request("/v2/models/My-model--2-/infer"))), 1);
    let answer = server.data().post("/predict", "[[1,2,3,4]]").ok();
    assert_eq!((&answer["model_version"], &answer["predictions"]), (&json!("1"), &json!([1.0])));
}

#[test]
fn a_port_in_use_is_a_failure() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (flag, what) in [("--http", "http"), ("--admin", "admin")] {
        let said = ended(&small().args(&[flag, &address]).run(), 1);
        assert!(said.contains(&format!("{what} cannot listen on {address}")), "{said}");
        assert!(!said.contains("listening http="), "{said}");
    }
    // A file that is no socket is somebody's.
    let setup = small().args(&["--uds", "precious"]);
    fs::write(setup.path("precious"), "data").unwrap();
    let said = ended(&setup.run(), 1);
    assert!(said.contains("uds cannot listen"), "{said}");
    assert_eq!(fs::read_to_string(setup.path("precious")).unwrap(), "data");
}

#[test]
fn a_socket_that_a_crash_left_behind_is_replaced() {
    let setup = small().args(&["--uds", "data.sock"]);
    drop(std::os::unix::net::UnixListener::bind(setup.path("data.sock")).unwrap());
    let server = setup.start();
    let unix = Target::Unix(server.path("data.sock"));
    assert_eq!(constant_version(&unix.send(&constant_request(INFER))), 1);
    // One that is in use is not.
    let second = Setup::new().args(&["--uds", server.path("data.sock").to_str().unwrap()]);
    ended(&second.run(), 1);
    assert_eq!(constant_version(&unix.send(&constant_request(INFER))), 1);
}

#[test]
fn a_wrong_configuration_lists_every_problem() {
    let config = "http.listn = \"127.0.0.1:0\"\nhttp.workers = \"many\"\nlimits.max_rows = 0\n[models.m]\nengine = \"cuda\"\n";
    let setup = Setup::new()
        .only_config(config)
        .args(&["--log", "xml"])
        .variable("SIDEGATE_HTTP__QUEUE_WAIT_MS", "-1");
    let said = ended(&setup.run(), 2);
    for problem in [
        "6 problems",
        "sidegate.toml:1: http.listn",
        "sidegate.toml:2: http.workers",
        "sidegate.toml:3: limits.max_rows",
        "sidegate.toml:5: models.m.engine",
        "SIDEGATE_HTTP__QUEUE_WAIT_MS: http.queue_wait_ms",
        "--log: log.format",
    ] {
        assert!(said.contains(problem), "{problem} in: {said}");
    }
    assert!(!said.contains("listening"), "{said}");
    for (setup, says) in [
        (Setup::new().only_config("this is not toml"), "sidegate.toml:1"),
        (Setup::new().args(&["--frobnicate"]), "--frobnicate"),
        (Setup::new().args(&["--config", "nowhere.toml"]), ""),
        (Setup::new().variable("SIDEGATE_NO__SUCH_KEY", "1"), "SIDEGATE_NO__SUCH_KEY"),
        (Setup::new().args(&["--admin", "0.0.0.0:0"]), "admin.token_file"),
        (Setup::new().args(&["a.onnx"]), "registry"),
    ] {
        let said = ended(&setup.run(), 2);
        assert!(said.contains(says), "{says} in: {said}");
    }
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let setup = small().config("limits.max_rows = 5\nhttp.request_timeout_ms = 7000\nlog.level = \"debug\"");
    let setup = setup.variable("SIDEGATE_LIMITS__MAX_ROWS", "3").variable("sidegate_http__workers", "2");
    let server = setup.args(&["--workers", "1"]).start();
    let rows = |count: usize| server.data().post("/predict", json!(vec![[1, 2, 3, 4]; count]).to_string());
    assert_eq!(rows(3).status, 200);
    let refused = rows(4).error(400);
    assert!(refused.contains("at most 3"), "{refused}");
    assert_eq!(server.admin().get("/status").ok()["workers"], 1);
}

// --- the commands ---

#[test]
fn help_and_version_are_no_failures() {
    let dir = tempfile::tempdir().unwrap();
    for command in ["serve", "check", "models", "status", "probe"] {
        let said = ended(&run(dir.path(), &[command, "--help"]), 0);
        assert!(said.contains("Examples:") && said.contains(&format!("sidegate {command}")), "{said}");
    }
    assert!(ended(&run(dir.path(), &["--version"]), 0).contains(env!("CARGO_PKG_VERSION")));
    ended(&run(dir.path(), &["frobnicate"]), 2);
}

#[test]
fn check_shows_what_holds_or_all_that_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("models")).unwrap();
    let said = ended(&run(dir.path(), &["check"]), 0);
    assert!(said.contains("queue_wait_ms = 100") && said.contains("no file"), "{said}");
    fs::create_dir(dir.path().join("config")).unwrap();
    fs::write(dir.path().join("config/sidegate.toml"), "limits.max_rows = 7\n").unwrap();
    let report = run(dir.path(), &["check", "--json", "--workers", "2"]);
    ended(&report, 0);
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    let origin = |key: &str| {
        let values = report["values"].as_array().unwrap();
        values.iter().find(|v| v["key"] == key).unwrap()["origin"].as_str().unwrap().to_owned()
    };
    assert_eq!((report["ok"].clone(), origin("http.workers")), (json!(true), "--workers".to_owned()));
    assert!(origin("limits.max_rows").ends_with("sidegate.toml:1"), "{}", origin("limits.max_rows"));
    fs::write(
        dir.path().join("config/sidegate.toml"),
        "limits.max_rows = 0\nx = 1\nregistry.url = \"gone\"\n",
    )
    .unwrap();
    let said = ended(&run(dir.path(), &["check"]), 2);
    assert!(["limits.max_rows", ":2: x", "registry.url"].iter().all(|key| said.contains(key)), "{said}");
}

#[test]
fn a_running_sidegate_can_be_asked() {
    let setup = small();
    setup.repository().bare("broken", 1, b"<html>");
    let server = setup.start();
    server.wait_state("broken", 1, "failed");
    let admin = server.admin.to_string();
    let ask = |args: &[&str]| run(&server.path(""), &[args, &["--admin", &admin]].concat());
    let models = ended(&ask(&["models"]), 0);
    assert!(models.contains("MODEL") && models.contains("serving") && models.contains("parse: "), "{models}");
    let models: Value = serde_json::from_slice(&ask(&["models", "--json"]).stdout).unwrap();
    assert_eq!((models.clone(), &models[1]["name"]), (server.models(), &json!("m")));
    let status = ended(&ask(&["status"]), 0);
    assert!(status.contains("ready") && status.contains(&admin), "{status}");
    let status: Value = serde_json::from_slice(&ask(&["status", "--json"]).stdout).unwrap();
    assert_eq!((&status["ready"], &status["config"]["last_error"]), (&json!(true), &Value::Null));
    for (probe, word) in [("live", "live\n"), ("ready", "ready\n"), ("startup", "started\n")] {
        assert_eq!(ended(&ask(&["probe", probe]), 0), word);
    }
    assert_eq!(ended(&ask(&["probe"]), 0), "ready\n");
    let empty = Setup::new().start_unready();
    let admin = empty.admin.to_string();
    wait("the first look", SOON, || {
        let said = run(&empty.path(""), &["probe", "--admin", &admin]);
        (said.status.code() == Some(1) && text(&said.stdout).contains("holds no model")).then_some(())
    });
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for command in ["models", "status", "probe"] {
        ended(&run(&server.path(""), &[command, "--admin", &nobody]), 1);
    }
}

// --- who may ask ---

#[test]
fn the_data_port_asks_for_a_token_where_it_is_told_to() {
    let setup = small().config("auth.token_file = \"tokens\"").args(&["--uds", "data.sock"]);
    fs::write(setup.path("tokens"), format!("# ours\n{CANARY}\nanother-token-of-ours\n")).unwrap();
    let server = setup.start();
    let ask = |target: &Target, token: &str| {
        let body = br#"{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}]}"#;
        target.send(&request("POST", INFER, &[("authorization", token)], body))
    };
    let good = format!("Bearer {CANARY}");
    let unix = Target::Unix(server.path("data.sock"));
    for target in [server.data(), unix] {
        assert_eq!(
            (ask(&target, &good).status, ask(&target, "bearer another-token-of-ours").status),
            (200, 200)
        );
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            CANARY,
            "Basic eDp4",
            "Bearer x",
            &good[..good.len() - 1],
            "Bearer # ours",
        ] {
            let answer = ask(&target, wrong);
            answer.error(401);
            assert!(!answer.text().contains("canary"), "{}", answer.text());
        }
        target.send(&constant_request(INFER)).error(401);
        for path in ["/v2/models/m", "/v2/models", "/health", "/model/info", "/v2/models/stats"] {
            target.get(path).error(401);
        }
        target.post("/v2/repository/index", "").error(401);
        // Probes tell nothing, and those who probe hold no token.
        assert!(
            ["/v2/health/live", "/v2/health/ready", "/ping"]
                .iter()
                .all(|path| target.get(path).status == 200)
        );
    }
    // A changed file is taken over; a wrong one changes nothing.
    fs::write(server.path("tokens"), "short\n").unwrap();
    server.wait_log("changes nothing");
    assert_eq!(ask(&server.data(), &good).status, 200);
    fs::write(server.path("tokens"), "a-new-token-of-ours\n").unwrap();
    wait("the new token", SOON, || {
        (ask(&server.data(), "Bearer a-new-token-of-ours").status == 200).then_some(())
    });
    ask(&server.data(), &good).error(401);
    assert!(!server.log().contains(CANARY), "a token is in the log");
}

#[test]
fn the_admin_port_is_for_those_who_hold_its_token_and_not_for_browsers() {
    let setup = small().config("admin.token_file = \"tokens\"\nops.listen = \"127.0.0.1:0\"");
    fs::write(setup.path("tokens"), format!("{CANARY}\n")).unwrap();
    let server = setup.start();
    let bearer = format!("Bearer {CANARY}");
    let ask = |fields: &[(&str, &str)], path: &str| server.admin().send(&request("GET", path, fields, b""));
    for path in ["/metrics", "/models", "/status"] {
        assert_eq!(ask(&[("authorization", &bearer)], path).status, 200, "{path}");
        ask(&[], path).error(401);
        ask(&[("authorization", "Bearer wrong-wrong-wrong")], path).error(401);
    }
    server.admin().post("/sync", "").error(401);
    assert!(["/livez", "/readyz", "/startupz"].iter().all(|path| ask(&[], path).status == 200));
    let file = server.path("tokens");
    let admin = server.admin.to_string();
    let args = ["models", "--admin", &admin, "--token-file", file.to_str().unwrap()];
    ended(&run(&server.path(""), &args), 0);
    let refused = ended(&run(&server.path(""), &args[..3]), 1);
    assert!(refused.contains("token"), "{refused}");

    // The ops port is open and reads only.
    let status = ask(&[("authorization", &bearer)], "/status").ok();
    let ops = Target::Tcp(status["ops"].as_str().unwrap().parse().unwrap());
    assert!(["/metrics", "/livez", "/readyz", "/startupz"].iter().all(|path| ops.get(path).status == 200));
    ["/models", "/status", "/sync", "/v2"].iter().for_each(|path| drop(ops.get(path).error(404)));
    assert_eq!(ops.post("/sync", "").status, 404);

    // A page in a browser on the same host.
    let server = small().start();
    let send = |method: &str, fields: &str| {
        let bytes = format!("{method} /sync HTTP/1.1\r\n{fields}\r\ncontent-length: 0\r\n\r\n");
        server.admin().send(bytes.as_bytes())
    };
    assert_eq!(send("POST", "host: localhost").status, 200);
    for fields in [
        "host: evil.example",
        "host: localhost\r\norigin: http://evil.example",
        "host: localhost\r\nsec-fetch-site: cross-site",
        "host: localhost.evil.example",
    ] {
        send("POST", fields).error(403);
    }
    assert_eq!(send("GET", "host: localhost").status, 405);
    // Nothing of it is on the data port.
    ["/metrics", "/models", "/status", "/livez", "/readyz"]
        .iter()
        .for_each(|path| drop(server.data().get(path).error(404)));
}

// --- configuration while it runs ---

#[test]
fn a_changed_configuration_is_taken_over_and_a_bad_one_changes_nothing() {
    let server = small().config("limits.max_rows = 5").start();
    let rows =
        |count: usize| server.data().post("/predict", json!(vec![[1, 2, 3, 4]; count]).to_string()).status;
    let write = |text: &str| {
        fs::write(server.path("sidegate.toml"), format!("registry.poll_interval_ms = 50\n{text}")).unwrap()
    };
    let config = || server.admin().get("/status").ok()["config"].clone();
    assert_eq!((rows(5), rows(6)), (200, 400));
    write("limits.max_rows = 8\n");
    wait("more rows", SOON, || (rows(8) == 200).then_some(()));
    assert_eq!((rows(9), config()["reloads"].clone()), (400, json!(1)));

    write("limits.max_rows = 100\nhttp.listn = 1\nlimits.body_bytes = \"big\"\n");
    let error = wait("the complaint", SOON, || config()["last_error"].as_str().map(str::to_owned));
    for problem in ["2 problems", "sidegate.toml:3: http.listn", "sidegate.toml:4: limits.body_bytes"] {
        assert!(error.contains(problem), "{error}");
    }
    server.wait_log("http.listn");
    assert_eq!((rows(8), rows(9)), (200, 400), "a part of a bad file was taken over");
    assert_eq!(server.metric("sidegate_config_reloads_total{result=\"error\"}"), 1.0);
    let status = text(&run(&server.path(""), &["status", "--admin", &server.admin.to_string()]).stdout);
    assert!(status.contains("http.listn"), "{status}");

    // A file that has gone is not a wish for the defaults.
    write("limits.max_rows = 9\nhttp.workers = 2\nhttp.max_connections = 7\n");
    wait("the repaired file", SOON, || (rows(9) == 200).then_some(()));
    assert_eq!(config()["pending_restart"], json!(["http.workers", "http.max_connections"]));
    assert_eq!(config()["last_error"], Value::Null);
    fs::remove_file(server.path("sidegate.toml")).unwrap();
    wait("the complaint", SOON, || config()["last_error"].as_str().map(str::to_owned));
    assert_eq!((rows(9), rows(10)), (200, 400));
}

#[test]
fn hangup_reloads_at_once_and_every_live_key_takes_effect() {
    let server = small().start();
    let config = "http.request_timeout_ms = 1\nlimits.body_bytes = 1024\nhttp.reject_non_finite = true\n\
                  http.repository_control = true\nmodels.m.max_rows = 2\nlog.level = \"error\"\nregistry.poll_interval_ms = 50\n";
    fs::write(server.path("sidegate.toml"), config).unwrap();
    server.signal("HUP");
    server.wait_log("configuration reloaded");
    server.data().post("/predict", "[[1,2,3,4],[1,2,3,4],[1,2,3,4]]").error(400);
    server.data().post("/predict", "[[1,2,3,NaN]]").error(400);
    server.data().post("/predict", vec![b' '; 2000]).error(413);
    assert_eq!(server.data().post("/v2/repository/models/m/load", "{}").status, 200);
}

// --- the log ---

#[test]
fn logs_are_structured_and_hold_no_values_of_features() {
    let setup = small().config("log.level = \"trace\"").args(&["--log", "json"]);
    let server = setup.start();
    for body in [
        "[[4242.4242,1,2,3]]",
        "[[\"secret-4242\",1,2,3]]",
        "[[4242.4242,1,2]]",
        "[{\"secret-4242\":1}]",
        "4242.4242",
    ] {
        drop(server.data().post("/predict", body));
        drop(server.data().post(INFER, body));
        drop(server.data().post_with("/predict?model=secret-4242", &[("x-request-id", "secret-4242")], body));
    }
    server.wait_log("now serving");
    let log = server.log();
    assert!(!log.contains("4242"), "{log}");
    for line in log.lines() {
        let json: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(json["level"].is_string() && json["timestamp"].is_string(), "{line}");
    }
}

// --- the end ---

#[test]
fn a_drain_finishes_what_is_in_flight() {
    let (setup, heavy) = long();
    let mut server = setup
        .config("shutdown.drain_delay_ms = 50\nhttp.queue_wait_ms = 60000")
        .args(&["--uds", "data.sock"])
        .start();
    let mut idle = server.data().connect();
    assert_eq!(idle.ask(&request("GET", "/v2/health/live", &[], b"")).status, 200);
    let (target, socket) = (server.data(), Target::Unix(server.path("data.sock")));
    let clients = [target, socket].map(|target| {
        let heavy = heavy.clone();
        std::thread::spawn(move || target.send(&heavy))
    });
    wait("requests in flight", SOON, || (server.metric("sidegate_inflight_requests") >= 1.0).then_some(()));
    server.signal("TERM");
    wait("not ready", SOON, || (server.admin().get("/readyz").status == 503).then_some(()));
    let reason = server.admin().get("/readyz").json()["reason"].clone();
    assert!(reason.as_str().is_some_and(|text| text.contains("draining")), "{reason}");
    assert_eq!(server.admin().get("/livez").status, 200);
    assert_eq!(server.data().get("/v2/health/ready").status, 503);
    for client in clients {
        let answer = client.join().unwrap();
        assert_eq!(answer.ok()["outputs"][0]["shape"], json!([5000, 1]));
    }
    let end = server.wait_end(Duration::from_secs(25));
    assert_eq!(end.code(), Some(0), "{}", server.log());
    assert!(idle.answers_until_close().is_empty());
    assert!(!server.path("data.sock").exists(), "the socket is left behind");
    assert!(server.data().try_connect().is_err());
}

#[test]
fn a_drain_under_load_fails_nobody() {
    let mut server = small()
        .config("shutdown.drain_delay_ms = 200")
        .args(&["--uds", "data.sock", "--workers", "2"])
        .start();
    let request = constant_request(INFER);
    let manners = [Manner::KeepAlive, Manner::KeepAlive, Manner::OneEach];
    let loads = [server.data(), Target::Unix(server.path("data.sock"))]
        .map(|target| Load::start(&target, &request, &manners, constant_judge));
    loads.iter().for_each(|load| load.flow(50));
    server.signal("TERM");
    let end = server.wait_end(Duration::from_secs(25));
    assert_eq!(end.code(), Some(0), "{}", server.log());
    for load in loads {
        let tally = load.stop();
        assert_eq!(tally.failures, [""; 0], "of {}", tally.answered);
    }
}

#[test]
fn connections_that_were_there_are_answered_after_the_port_is_closed() {
    let mut server = small().args(&["--uds", "data.sock", "--workers", "2"]).start();
    let request = constant_request(INFER);
    let targets = [server.data(), Target::Unix(server.path("data.sock"))];
    let mut open: Vec<_> = (0..20).map(|n| targets[n % 2].connect()).collect();
    // Some have spoken before, some have not.
    open[..10].iter_mut().for_each(|connection| assert_eq!(constant_version(&connection.ask(&request)), 1));
    wait("all to be accepted", SOON, || (server.metric("sidegate_connections") == 20.0).then_some(()));
    server.signal("TERM");
    // Idle connections get half a second from the moment the ports close.
    wait("the ports to close", SOON, || targets.iter().all(|t| t.try_connect().is_err()).then_some(()));
    for connection in &mut open {
        let answer = connection.ask(&request);
        assert_eq!(constant_version(&answer), 1);
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(connection.answers_until_close().is_empty());
    }
    assert_eq!(server.wait_end(Duration::from_secs(10)).code(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    for (first, second) in [("TERM", "TERM"), ("INT", "TERM"), ("TERM", "INT")] {
        let mut server = small().config("shutdown.drain_delay_ms = 60000").start();
        server.signal(first);
        wait("the drain", SOON, || (server.admin().get("/readyz").status == 503).then_some(()));
        // It still serves those who have not noticed yet.
        assert_eq!(constant_version(&server.data().send(&constant_request(INFER))), 1);
        assert!(!server.has_ended());
        let start = Instant::now();
        server.signal(second);
        server.wait_end(Duration::from_secs(10));
        assert!(start.elapsed() < Duration::from_secs(10), "{first}, {second}");
        server.wait_log("second signal");
    }
}

#[test]
fn a_drain_does_not_wait_for_ever() {
    let mut server = small().config("shutdown.timeout_ms = 1000").start();
    // A body that does not end is nobody's request in flight.
    let mut stalled = server.data().connect();
    let whole = constant_request(INFER);
    stalled.write(&whole[..whole.len() - 1]).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    server.signal("TERM");
    let end = server.wait_end(Duration::from_secs(8));
    assert_eq!(end.code(), Some(0), "{}", server.log());
}

#[test]
fn a_signal_during_a_load_ends_it() {
    let setup = small();
    let repository = setup.repository();
    let mut server = setup.start();
    repository.bare("big", 1, &slow(2048, 4));
    wait("the load", SOON, || (server.version("big", 1)["state"] == "loading").then_some(()));
    server.signal("TERM");
    let end = server.wait_end(Duration::from_secs(8));
    assert_eq!(end.code(), Some(0), "{}", server.log());
}

#[test]
fn whoever_connects_once_it_listens_is_served() {
    let server = small().start_unready();
    let mut stream = std::net::TcpStream::connect(server.http).unwrap();
    stream.write_all(b"GET /v2/health/live HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(server.admin().get("/livez").status, 200);
}
