//! More than can be served, from clients, from the kernel's limits, from requests that an engine fails on: what is
//! admitted stays fast, what is not is told so at little cost, and all is well a moment after.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Answer, Connection, Target, request};
use super::harness::{Server, Setup, constant_request, wait};
use super::load::{Load, Manner, quantile};
use super::onnx::{constant, lookup, slow};

const INFER: &str = "/v2/models/m/infer";

/// A request for so many rows of the slow model.
fn rows(count: usize) -> Vec<u8> {
    let body = json!({"inputs": [{"name": "x", "shape": [count, 4], "datatype": "FP32", "data": vec![1.0; count * 4]}]});
    request("POST", INFER, &[], body.to_string().as_bytes())
}

/// What an open-loop run saw.
#[derive(Default)]
struct Seen {
    served: Vec<Duration>,
    shed: Vec<Duration>,
    other: Vec<String>,
}

/// Offers `rate` requests a second over `clients` keep-alive connections, on a schedule: a client that is late
/// sends at once, it does not slow down with the server.
fn offer(target: &Target, bytes: &[u8], clients: usize, rate: f64, time: Duration) -> Seen {
    let start = Instant::now();
    let pause = Duration::from_secs_f64(clients as f64 / rate);
    let client = |number: usize| {
        let (target, bytes) = (target.clone(), bytes.to_vec());
        std::thread::spawn(move || {
            let mut seen = Seen::default();
            let mut connection = target.connect();
            let mut next = start + pause.mul_f64(number as f64 / clients as f64);
            while start.elapsed() < time {
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
                next = (next + pause)
                    .max(Instant::now().checked_sub(Duration::from_millis(500)).unwrap_or(start));
                let sent = Instant::now();
                let answer = connection.ask(&bytes);
                let took = sent.elapsed();
                match answer.status {
                    200 => seen.served.push(took),
                    503 if is_shed(&answer) => seen.shed.push(took),
                    _ => seen.other.push(format!("{} {:?} {}", answer.status, answer.headers, answer.text())),
                }
            }
            seen
        })
    };
    let clients: Vec<_> = (0..clients).map(client).collect();
    let mut all = Seen::default();
    for client in clients {
        let seen = client.join().unwrap();
        all.served.extend(seen.served);
        all.shed.extend(seen.shed);
        all.other.extend(seen.other);
    }
    all
}

/// A small 503 that says when to come back and keeps the connection.
fn is_shed(answer: &Answer) -> bool {
    let retry: Option<u64> = answer.header("retry-after").and_then(|after| after.parse().ok());
    let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    retry.is_some_and(|seconds| (1..=10).contains(&seconds))
        && json["code"] == "overloaded"
        && json["error"].is_string()
        && answer.body.len() < 200
        && answer.header("connection").is_none()
}

/// A model of which a request of `rows` takes at least so long; the request and the requests a second of one client.
fn calibrate(server: &Server, at_least: Duration) -> (Vec<u8>, f64) {
    let mut count = 1;
    loop {
        let bytes = rows(count);
        let mut connection = server.data().connect();
        let mut times: Vec<Duration> = (0..30)
            .map(|_| {
                let start = Instant::now();
                assert_eq!(connection.ask(&bytes).status, 200);
                start.elapsed()
            })
            .collect();
        let median = quantile(&mut times, 0.5);
        if median >= at_least || count >= 2000 {
            return (bytes, 1.0 / median.as_secs_f64());
        }
        count = count * 3 / 2 + 1;
    }
}

/// Processor time the server has used, in seconds.
fn processor_time(server: &Server) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // utime and stime in ticks of 10 ms.
    [11, 12].iter().map(|i| fields[*i].parse::<f64>().unwrap() / 100.0).sum()
}

/// Gate G3 in a short form: at four times the capacity.
#[track_caller]
fn sheds_and_recovers(at_least: Duration, clients: usize) {
    let setup = Setup::new().args(&["--uds", "data.sock", "--workers", "1"]);
    setup.repository().bare("m", 1, &slow(256, 4));
    let mut server = setup.start();
    let (bytes, capacity) = calibrate(&server, at_least);
    let before = processor_time(&server);
    let baseline = offer(&server.data(), &bytes, 2, capacity * 0.5, Duration::from_secs(1));
    let cost = (processor_time(&server) - before) / baseline.served.len() as f64;
    assert!(baseline.shed.is_empty() && baseline.other.is_empty(), "{:?}", baseline.other);
    let (resident, swaps) = (server.resident(), server.metric("sidegate_model_swaps_total{model=\"m\"}"));

    // Beside it: probes, scrapes, and somebody who scrapes a hundred times at once (X9, X13).
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = {
        let (admin, stop) = (server.admin(), stop.clone());
        std::thread::spawn(move || {
            let mut times = Vec::new();
            while !stop.load(Relaxed) {
                for path in ["/livez", "/readyz", "/metrics"] {
                    let start = Instant::now();
                    assert_eq!(admin.get(path).status, 200, "{path} under overload");
                    times.push(start.elapsed());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            times
        })
    };
    let time = Duration::from_secs(4);
    let used = processor_time(&server);
    let mut seen = offer(&server.data(), &bytes, clients, capacity * 4.0, time);
    let used = processor_time(&server) - used;
    stop.store(true, Relaxed);
    let mut watched = watcher.join().unwrap();

    assert_eq!(seen.other, [""; 0]);
    let (served, shed) = (seen.served.len() as f64, seen.shed.len() as f64);
    eprintln!(
        "capacity {capacity:.0}/s; {served} served, {shed} shed; served p50 {:?} p99 {:?}; shed p50 {:?}; probes p50 {:?}; \
         {used:.2} s of processor, {cost:.5} s per answer",
        quantile(&mut seen.served, 0.5),
        quantile(&mut seen.served, 0.99),
        quantile(&mut seen.shed, 0.5),
        quantile(&mut watched, 0.5),
    );
    // The machine is shared and so are its two cores: the gates proper are measured by the load tests.
    assert!(served >= 0.4 * capacity * time.as_secs_f64(), "goodput fell to {served}");
    assert!(shed >= 0.2 * served, "nothing was shed: no overload, or a queue without a limit");
    assert!(quantile(&mut seen.served, 0.5) < Duration::from_millis(200), "those admitted wait too long");
    assert!(
        quantile(&mut seen.served, 0.99) < Duration::from_secs(3),
        "some of those admitted wait too long"
    );
    assert!(quantile(&mut seen.shed, 0.5) < Duration::from_millis(250), "being turned away takes too long");
    assert!(quantile(&mut watched, 0.5) < Duration::from_millis(100), "probes wait for predictions");
    // A refusal costs a small part of an answer (X14); both have the loadless admin port in them.
    assert!(
        used < (served + 0.5 * shed) * cost * 1.5 + 1.0,
        "{used} s for {served} answers and {shed} refusals"
    );
    assert!(server.resident() < resident + (64 << 10), "{} KiB, before {resident}", server.resident());
    let counted =
        server.metric("model_predictions_total{model=\"m\",outcome=\"shed\",variant=\"\",version=\"1\"}");
    assert_eq!(counted, shed);

    // No state stays behind: at once as fast as before.
    let after = offer(&server.data(), &bytes, 2, capacity * 0.5, Duration::from_secs(2));
    assert_eq!(after.other, [""; 0]);
    assert!(after.shed.len() * 20 < after.served.len(), "{} shed after the overload", after.shed.len());
    assert!(!server.has_ended());
    assert_eq!(server.metric("sidegate_model_swaps_total{model=\"m\"}"), swaps);
    wait("nothing in flight", Duration::from_secs(5), || {
        (server.metric("sidegate_inflight_requests") == 0.0).then_some(())
    });
}

#[test]
fn light_requests_beyond_the_capacity_are_shed() {
    // Below a millisecond they run on the worker itself.
    sheds_and_recovers(Duration::from_micros(400), 300);
}

#[test]
fn heavy_requests_beyond_the_capacity_are_shed() {
    // Well above it they run on a lane.
    sheds_and_recovers(Duration::from_millis(4), 100);
}

#[test]
fn light_requests_do_not_wait_for_heavy_ones() {
    let setup = Setup::new().args(&["--workers", "1"]);
    setup.repository().bare("m", 1, &slow(256, 4));
    setup.repository().bare("light", 1, &constant(1.0));
    let server = setup.start();
    let (heavy, _) = calibrate(&server, Duration::from_millis(50));
    let judge = |answer: &Answer| if matches!(answer.status, 200 | 503) { Ok(1) } else { Err(answer.text()) };
    let load = Load::start(&server.data(), &heavy, &[Manner::KeepAlive; 8], judge);
    load.flow(8);
    let light = constant_request("/v2/models/light/infer");
    let mut connection = server.data().connect();
    let mut times: Vec<Duration> = (0..100)
        .map(|_| {
            let start = Instant::now();
            assert_eq!(connection.ask(&light).status, 200);
            start.elapsed()
        })
        .collect();
    let tally = load.stop();
    assert_eq!(tally.failures, [""; 0]);
    let median = quantile(&mut times, 0.5);
    assert!(median < Duration::from_millis(25), "{median:?} behind runs of 50 ms");
}

#[test]
fn the_admin_port_bears_a_hundred_scrapes_at_once() {
    let setup = Setup::new();
    setup.repository().bare("m", 1, &constant(1.0));
    let server = setup.start();
    let judge = |answer: &Answer| if answer.status == 200 { Ok(1) } else { Err(answer.text()) };
    let load = Load::start(&server.data(), &constant_request(INFER), &[Manner::KeepAlive; 2], judge);
    load.flow(20);
    // A scraper that never reads keeps its place, not the port.
    let mut lazy = server.admin().connect();
    lazy.small_window();
    lazy.write(&request("GET", "/metrics", &[], b"")).unwrap();
    let scrapers: Vec<_> = (0..100)
        .map(|_| {
            let admin = server.admin();
            std::thread::spawn(move || {
                admin.send(&request("GET", "/metrics", &[("connection", "close")], b"")).status
            })
        })
        .collect();
    assert!(scrapers.into_iter().all(|scraper| scraper.join().unwrap() == 200));
    load.flow(20);
    assert_eq!(load.stop().failures, [""; 0]);
}

#[test]
fn bytes_in_flight_are_limited() {
    let setup = Setup::new().config("limits.inflight_bytes = 1000000\nlimits.body_bytes = 400000");
    setup.repository().bare("m", 1, &constant(1.0));
    let server = setup.start();
    let head = format!("POST {INFER} HTTP/1.1\r\nhost: a\r\ncontent-length: 400000\r\n\r\n");
    let full = [head.as_bytes(), &vec![b' '; 400_000]].concat();
    // What is only claimed is not counted: it would let a few heads keep everybody out.
    let mut held: Vec<Connection> = (0..8).map(|_| server.data().connect()).collect();
    held.iter_mut().for_each(|connection| connection.write(head.as_bytes()).unwrap());
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(server.data().send(&full).status, 400);
    for connection in &mut held[..2] {
        connection.write(&vec![b' '; 390_000]).unwrap();
    }
    std::thread::sleep(Duration::from_millis(300));
    let refused = server.data().send(&full);
    refused.error(503);
    assert!(refused.header("retry-after").is_some(), "{:?}", refused.headers);
    // Small requests are not counted, and what is held is given back.
    assert_eq!(server.data().send(&constant_request(INFER)).status, 200);
    drop(held);
    wait("room", Duration::from_secs(5), || (server.data().send(&full).status == 400).then_some(()));
}

#[test]
fn few_file_descriptors_mean_fewer_connections_and_no_failure() {
    let setup = Setup::with(&["breast-cancer"]).before("ulimit -n 64");
    let mut server = setup.start();
    let vitals = server.vitals();
    server.wait_log("the limit of open files");
    let live = request("GET", "/v2/health/live", &[], b"");
    let mut held: Vec<Connection> = (0..100).map(|_| server.data().connect()).collect();
    held.iter_mut().for_each(|connection| connection.write(&live).unwrap());
    assert_eq!(held[0].answer().unwrap().unwrap().status, 200);
    // The probes have descriptors of their own.
    for _ in 0..20 {
        assert_eq!(server.admin().get("/livez").status, 200);
        assert_eq!(held[0].ask(&live).status, 200);
    }
    drop(held.remove(0));
    drop(held);
    server.stays_up(&vitals, "few descriptors");
    server.settles(&vitals, 8 << 10);
}

#[test]
fn without_file_descriptors_it_waits_and_recovers() {
    let mut server = Setup::with(&["breast-cancer"]).start();
    let vitals = server.vitals();
    let live = request("GET", "/v2/health/live", &[], b"");
    let mut kept = server.data().connect();
    assert_eq!(kept.ask(&live).status, 200);
    let limit = |files: usize| {
        let files = format!("--nofile={files}:4096");
        let done = Command::new("prlimit").args(["--pid", &server.pid().to_string(), &files]).status();
        assert!(done.unwrap().success());
    };
    limit(server.open_files());
    let mut waiting: Vec<Connection> = (0..10).map(|_| server.data().connect()).collect();
    waiting.iter_mut().for_each(|connection| connection.write(&live).unwrap());
    wait("accepts to fail", Duration::from_secs(5), || {
        server.log().contains("a connection cannot be accepted").then_some(())
    });
    // Who is there is served, and waiting for a descriptor costs next to nothing.
    let used = processor_time(&server);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        assert_eq!(kept.ask(&live).status, 200);
        std::thread::sleep(Duration::from_millis(50));
    }
    let used = processor_time(&server) - used;
    assert!(used < 0.5, "{used} s of processor in a second of waiting");
    limit(1024);
    for connection in &mut waiting {
        assert_eq!(connection.answer().unwrap().unwrap().status, 200);
    }
    drop((kept, waiting));
    let lines = server.log().matches("a connection cannot be accepted").count();
    assert!(lines < 100, "{lines} lines in the log");
    server.stays_up(&vitals, "no descriptors");
    server.settles(&vitals, 8 << 10);
}

#[test]
fn requests_that_an_engine_fails_on_harm_nobody_else() {
    let setup = Setup::with(&["breast-cancer"]);
    setup.repository().bare("m", 1, &constant(1.0));
    setup.repository().bare("lookup", 1, &lookup());
    let mut server = setup.start();
    let vitals = server.vitals();
    let path = "/v2/models/lookup/infer";
    let body = |index: &str| {
        format!(r#"{{"inputs":[{{"name":"x","shape":[1,1],"datatype":"INT64","data":[{index}]}}]}}"#)
    };
    assert_eq!(server.data().post(path, body("2")).ok()["outputs"][0]["data"], json!([12.0]));
    let judge = |answer: &Answer| if answer.status == 200 { Ok(1) } else { Err(answer.text()) };
    let load = Load::start(&server.data(), &constant_request(INFER), &[Manner::KeepAlive; 2], judge);
    let mut poisoned = server.data().connect();
    for _ in 0..100 {
        for index in ["4", "-5", "9223372036854775807", "-9223372036854775808"] {
            let answer = poisoned.ask(&request("POST", path, &[], body(index).as_bytes()));
            assert!(matches!(answer.status, 400 | 500), "{} {}", answer.status, answer.text());
            answer.error(answer.status);
        }
        assert_eq!(server.data().post(path, body("3")).ok()["outputs"][0]["data"], json!([13.0]));
    }
    assert_eq!(load.stop().failures, [""; 0]);
    drop(poisoned);
    server.answers_as_before(&vitals, "poison");
    server.settles(&vitals, 16 << 10);
}

#[test]
fn an_engine_that_keeps_failing_is_left_alone() {
    // tract trusts the indices of a Gather.
    let setup = Setup::with(&["breast-cancer"]).config("models.lookup.engine = \"tract\"");
    setup.repository().bare("lookup", 1, &lookup());
    let mut server = setup.start();
    server.wait_state("lookup", 1, "serving");
    let vitals = server.vitals();
    let ask = |index: u32| {
        let body =
            format!(r#"{{"inputs":[{{"name":"x","shape":[1,1],"datatype":"INT64","data":[{index}]}}]}}"#);
        server.data().post("/v2/models/lookup/infer", body)
    };
    assert_eq!(ask(2).ok()["outputs"][0]["data"], json!([12.0]));
    for _ in 0..5 {
        let text = ask(1000).error(500);
        assert!(!text.contains("1000") && !text.contains("index"), "{text}");
    }
    // The circuit is open: nothing is run, and those who ask are told when to come back.
    for index in [1000, 2] {
        let answer = ask(index);
        answer.error(503);
        assert_eq!(answer.json()["code"], "circuit_open");
        assert!(answer.header("retry-after").is_some(), "{:?}", answer.headers);
    }
    let counted = |outcome: &str| {
        let labels = format!("model=\"lookup\",outcome=\"{outcome}\",variant=\"\",version=\"1\"");
        server.metric(&format!("model_predictions_total{{{labels}}}"))
    };
    assert_eq!((counted("ok"), counted("error")), (1.0, 5.0));
    assert_eq!(server.admin().get("/readyz").status, 200);
    server.answers_as_before(&vitals, "an open circuit");
}
