//! Variants that another server answers, and what stands in for those that fail. The server is the test's own: it
//! records what it is sent, strictly, and answers as it is told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Answer, chunked, request};
use super::harness::{Server, Setup, wait};
use super::onnx::{constant, fails_at};
use super::repository::Extras;

const INFER: &str = "/v2/models/m/infer";
const SOON: Duration = Duration::from_secs(10);

/// What the upstream does with a request.
#[derive(Clone)]
enum Act {
    Write(Vec<u8>),
    /// Writes, then closes.
    Last(Vec<u8>),
    Stall,
}

/// What the upstream saw.
#[derive(Default)]
struct Seen {
    requests: Vec<(Vec<(String, String)>, Value)>,
    connections: usize,
    malformed: Vec<String>,
}

struct Upstream {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    act: Arc<Mutex<Act>>,
}

fn reply(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn outputs(rows: usize) -> Vec<u8> {
    reply(&format!(
        r#"{{"model_name":"far","model_version":"r7","outputs":[{{"name":"y","datatype":"FP32","shape":[{rows},1],"data":{}}}]}}"#,
        json!(vec![42.0; rows])
    ))
}

impl Upstream {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, act) = (Arc::<Mutex<Seen>>::default(), Arc::new(Mutex::new(Act::Write(outputs(1)))));
        let (to, how) = (seen.clone(), act.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                to.lock().unwrap().connections += 1;
                let (to, how) = (to.clone(), how.clone());
                std::thread::spawn(move || serve(stream, &to, &how));
            }
        });
        Self { address, seen, act }
    }

    fn acts(&self, act: Act) {
        *self.act.lock().unwrap() = act;
    }

    fn count(&self) -> usize {
        let seen = self.seen.lock().unwrap();
        assert!(seen.malformed.is_empty(), "{:?}", seen.malformed);
        seen.requests.len()
    }

    fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }
}

/// Reads requests that are as they should be, and takes note of every byte that is not.
fn serve(mut stream: TcpStream, seen: &Mutex<Seen>, act: &Mutex<Act>) {
    let mut buffer: Vec<u8> = Vec::new();
    let mut chunk = [0; 65536];
    loop {
        while let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(buffer[..end].to_vec()).unwrap();
            let mut lines = head.split("\r\n");
            let line = lines.next().unwrap().to_owned();
            let headers: Vec<(String, String)> =
                lines.filter_map(|l| l.split_once(": ")).map(|(n, v)| (n.to_lowercase(), v.into())).collect();
            let values = |name: &str| headers.iter().filter(|(n, _)| n == name).collect::<Vec<_>>();
            let length = values("content-length");
            if line != "POST /v2/models/far/infer HTTP/1.1"
                || length.len() != 1
                || !values("transfer-encoding").is_empty()
            {
                seen.lock().unwrap().malformed.push(head);
                return;
            }
            let length: usize = length[0].1.parse().unwrap();
            while buffer.len() < end + 4 + length {
                match stream.read(&mut chunk) {
                    Ok(0) | Err(_) => return seen.lock().unwrap().malformed.push("cut".into()),
                    Ok(read) => buffer.extend_from_slice(&chunk[..read]),
                }
            }
            let body: Vec<u8> = buffer.drain(..end + 4 + length).skip(end + 4).collect();
            match serde_json::from_slice(&body) {
                Ok(body) => seen.lock().unwrap().requests.push((headers, body)),
                Err(_) => return seen.lock().unwrap().malformed.push(String::from_utf8_lossy(&body).into()),
            }
            let now = act.lock().unwrap().clone();
            match now {
                Act::Write(bytes) => drop(stream.write_all(&bytes)),
                Act::Last(bytes) => return drop(stream.write_all(&bytes)),
                Act::Stall => {}
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => break,
            Ok(read) => buffer.extend_from_slice(&chunk[..read]),
        }
    }
    if !buffer.is_empty() {
        seen.lock().unwrap().malformed.push(String::from_utf8_lossy(&buffer).into());
    }
}

/// Everybody gets the remote candidate.
fn start(upstream: &Upstream, more: &str) -> Server {
    let config = format!(
        "registry.poll_interval_ms = 50\n{}[experiments.far]\nmodel = \"m\"\nunit = \"header:x-user\"\n\
         default = \"control\"\n\
         variants = {{ control = \"production\", candidate = \"remote:http://{}/v2/models/far\" }}\n\
         slots = {{ candidate = \"0..1000000\" }}\n{}\n",
        if more.contains("body_bytes") { "limits.body_bytes = 20000\n" } else { "" },
        upstream.address,
        more.replace("body_bytes", "")
    );
    let setup = Setup::new().only_config(&config);
    let repository = setup.repository();
    repository.version("m", 1, &constant(1.0), &Extras::default());
    repository.index("m", &[(1, "Production")], &[]);
    let server = setup.start();
    wait("the variants", SOON, || {
        let experiments = server.admin().get("/experiments").ok();
        (experiments[0]["variants"][1]["version"] == "remote").then_some(())
    });
    server
}

fn body(rows: usize) -> String {
    let data = vec![1.5; rows * 4];
    json!({"id": "an-id", "inputs": [{"name": "x", "shape": [rows, 4], "datatype": "FP32", "data": data}]})
        .to_string()
}

fn ask(server: &Server) -> Answer {
    server.data().post_with(INFER, &[("x-user", "u")], body(1))
}

fn predictions(server: &Server, outcome: &str) -> f64 {
    let labels = format!("model=\"m\",outcome=\"{outcome}\",variant=\"candidate\",version=\"remote\"");
    server.metric(&format!("model_predictions_total{{{labels}}}"))
}

#[test]
fn a_remote_variant_answers_every_protocol_as_a_local_one() {
    let upstream = Upstream::start();
    let server = start(&upstream, "");
    let answer = ask(&server).ok();
    assert_eq!(answer["outputs"][0]["data"], json!([42.0]));
    assert_eq!(
        (&answer["model_name"], &answer["model_version"], &answer["id"], &answer["parameters"]["variant"]),
        (&json!("m"), &json!("r7"), &json!("an-id"), &json!("candidate"))
    );
    let headers = [("x-user", "u"), ("x-request-id", "rid")];
    let post = |path: &str, body: &str| server.data().post_with(path, &headers, body);
    let predicted = post("/predict", "[[1, 2, 3, 4]]").ok();
    assert_eq!((&predicted["variant"], &predicted["model_version"]), (&json!("candidate"), &json!("r7")));
    assert!(predicted.get("fallback").is_none(), "{predicted}");
    assert_eq!(post("/invocations", r#"{"instances": [[1, 2, 3, 4]]}"#).ok()["variant"], "candidate");
    let binary = json!({"parameters": {"binary_data_output": true}, "inputs": [
        {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]});
    let answer = post(INFER, &binary.to_string());
    assert_eq!(answer.parts().1, 42_f32.to_le_bytes());
    assert_eq!(upstream.count(), 4);
    assert_eq!(upstream.connections(), 1, "kept");
    {
        let seen = upstream.seen.lock().unwrap();
        let (headers, sent) = &seen.requests[1];
        assert_eq!(sent["inputs"][0]["data"], json!([1.0, 2.0, 3.0, 4.0]));
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        assert!(names.contains(&"x-request-id") && !names.contains(&"x-user"), "{names:?}");
    }
    // A version that is named is local, and the client's own mistakes go nowhere.
    assert_eq!(
        server.data().post("/v2/models/m/versions/1/infer", body(1)).ok()["outputs"][0]["data"],
        json!([1.0])
    );
    post(INFER, "{}").error(400);
    assert_eq!(
        (upstream.count(), predictions(&server, "ok"), predictions(&server, "client_error")),
        (4, 4.0, 1.0)
    );
}

#[test]
fn h10_the_upstream_sees_as_many_requests_as_were_made_whatever_bodies_look_like() {
    let upstream = Upstream::start();
    let server = start(&upstream, "");
    let inner = "POST /v2/models/far/infer HTTP/1.1\\r\\nhost: x\\r\\ncontent-length: 2\\r\\n\\r\\n{}";
    let sly = body(1).replace("an-id", inner);
    let headers =
        [("x-user", "u"), ("x-request-id", "a b"), ("upgrade", "h2c"), ("connection", "upgrade, keep-alive")];
    let mut connection = server.data().connect();
    let mut sent = 0;
    for _ in 0..5 {
        assert_eq!(
            connection.ask(&request("POST", INFER, &headers, sly.as_bytes())).ok()["parameters"]["variant"],
            "candidate"
        );
        let mut head = request("POST", INFER, &[("x-user", "u"), ("transfer-encoding", "chunked")], b"");
        let head_text =
            String::from_utf8(std::mem::take(&mut head)).unwrap().replace("content-length: 0\r\n", "");
        let whole = [head_text.as_bytes(), &chunked(sly.as_bytes(), 7)].concat();
        connection.ask(&whole).ok();
        sent += 2;
    }
    // Two at once on one connection.
    let one = request("POST", INFER, &[("x-user", "u")], body(1).as_bytes());
    connection.write(&[one.clone(), one].concat()).unwrap();
    (0..2).for_each(|_| drop(connection.answer().unwrap().unwrap().ok()));
    sent += 2;
    // What is ambiguous about its length is refused here and never gets there.
    let text = body(1);
    for framing in [
        format!("content-length: {}\r\ntransfer-encoding: chunked\r\n", text.len()),
        format!("content-length: {}\r\ncontent-length: 3\r\n", text.len()),
        format!("content-length: +{}\r\n", text.len()),
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n".to_owned(),
        "transfer-encoding: chunked, identity\r\n".to_owned(),
    ] {
        let raw = format!("POST {INFER} HTTP/1.1\r\nhost: x\r\nx-user: u\r\n{framing}\r\n{text}");
        let answer = server.data().send(raw.as_bytes());
        assert!([400, 501].contains(&answer.status), "{framing}: {}", answer.status);
    }
    assert_eq!(upstream.count(), sent);
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_slow_upstream_costs_its_own_requests_no_more_than_their_time() {
    let upstream = Upstream::start();
    let server = start(&upstream, "");
    upstream.acts(Act::Stall);
    let start = Instant::now();
    let waiting = std::thread::scope(|scope| {
        let slow = scope.spawn(|| {
            let headers = [("x-user", "u"), ("x-request-timeout-ms", "1000")];
            server.data().post_with(INFER, &headers, body(1))
        });
        // Others are answered meanwhile.
        for _ in 0..20 {
            server.data().post("/v2/models/m/versions/1/infer", body(1)).ok();
        }
        assert!(!slow.is_finished() || start.elapsed() > Duration::from_millis(900));
        slow.join().unwrap()
    });
    waiting.error(504);
    assert!((900..3000).contains(&(start.elapsed().as_millis() as u64)), "{:?}", start.elapsed());
    assert_eq!(predictions(&server, "timeout"), 1.0);
    upstream.acts(Act::Write(outputs(1)));
    ask(&server).ok();
}

#[test]
fn what_is_no_answer_is_a_502_and_the_connection_goes_on() {
    let json = |text: &str| Act::Write(reply(text));
    let y = |shape: &str, data: &str, kind: &str, name: &str| {
        json(&format!(
            r#"{{"outputs":[{{"name":"{name}","datatype":"{kind}","shape":{shape},"data":{data}}}]}}"#
        ))
    };
    let cases = [
        ("garbage", Act::Last(b"\x00\x01garbage\r\n\r\n".to_vec())),
        ("cut", Act::Last(outputs(1)[..90].to_vec())),
        ("nothing", Act::Last(Vec::new())),
        ("an error", Act::Write(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".to_vec())),
        ("a refusal", Act::Write(b"HTTP/1.1 400 No\r\ncontent-length: 0\r\n\r\n".to_vec())),
        ("a redirect", Act::Write(b"HTTP/1.1 307 No\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n".to_vec())),
        ("no json", json("hello")),
        ("no outputs", json("{}")),
        ("another name", y("[1,1]", "[1]", "FP32", "z")),
        ("another type", y("[1,1]", "[1]", "FP64", "y")),
        ("more rows", y("[2,1]", "[1,2]", "FP32", "y")),
        ("too little data", y("[1,1]", "[]", "FP32", "y")),
        ("another rank", y("[1]", "[1]", "FP32", "y")),
        ("a huge shape", y("[1,99999999999999]", "[1]", "FP32", "y")),
        ("too large", json(&format!("{{\"x\":\"{}\"}}", "x".repeat(30_000)))),
    ];
    for few in cases.chunks(4) {
        // Five failures would open its circuit.
        let upstream = Upstream::start();
        let server = start(&upstream, "body_bytes");
        let mut connection = server.data().connect();
        let one = request("POST", INFER, &[("x-user", "u")], body(1).as_bytes());
        for (what, act) in few {
            upstream.acts(act.clone());
            let answer = connection.ask(&one);
            assert_eq!((answer.status, &answer.json()["code"]), (502, &json!("upstream_failed")), "{what}");
            assert!(!answer.text().contains(&upstream.address.to_string()), "{what}: {}", answer.text());
            upstream.acts(Act::Write(outputs(1)));
            assert_eq!(connection.ask(&one).ok()["outputs"][0]["data"], json!([42.0]), "after {what}");
        }
        assert_eq!(predictions(&server, "error"), few.len() as f64);
        upstream.count();
    }
}

#[test]
fn an_answer_that_nobody_asked_for_is_given_to_nobody() {
    let upstream = Upstream::start();
    let server = start(&upstream, "");
    let second = String::from_utf8(outputs(1)).unwrap().replace("42.0", "66.0");
    upstream.acts(Act::Write([outputs(1), second.into_bytes()].concat()));
    for _ in 0..20 {
        assert_eq!(ask(&server).ok()["outputs"][0]["data"], json!([42.0]));
    }
}

#[test]
fn an_idle_connection_that_was_closed_costs_nothing() {
    let upstream = Upstream::start();
    let server = start(&upstream, "");
    upstream.acts(Act::Last(outputs(1)));
    for _ in 0..10 {
        ask(&server).ok();
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(upstream.count(), 10);
    // One that closes only when it is used again: the request is sent once more, on another connection.
    upstream.acts(Act::Write(outputs(1)));
    ask(&server).ok();
    let before = upstream.connections();
    upstream.acts(Act::Last(Vec::new()));
    let act = upstream.act.clone();
    let seen = upstream.seen.clone();
    let sent = upstream.count();
    let turn = std::thread::spawn(move || {
        wait("the first try", SOON, || (seen.lock().unwrap().requests.len() > sent).then_some(()));
        *act.lock().unwrap() = Act::Write(outputs(1));
    });
    let answer = ask(&server);
    turn.join().unwrap();
    // The second try may have come before the turn; either way there were two, and no third.
    assert!([200, 502].contains(&answer.status), "{}", answer.text());
    assert_eq!((upstream.count(), upstream.connections()), (sent + 2, before + 1));
}

#[test]
fn a_server_that_keeps_failing_is_left_alone() {
    let upstream = Upstream::start();
    let server = start(&upstream, "");
    upstream.acts(Act::Write(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".to_vec()));
    (0..5).for_each(|_| drop(ask(&server).error(502)));
    let answer = ask(&server);
    answer.error(503);
    assert_eq!((answer.json()["code"].as_str(), upstream.count()), (Some("circuit_open"), 5));
    server.data().post("/v2/models/m/versions/1/infer", body(1)).ok();
}

fn fallbacks(server: &Server) -> f64 {
    let labels = "{experiment=\"far\",reason=\"fallback\",variant=\"control\"}";
    server.metric(&format!("sidegate_experiment_assignments_total{labels}"))
}

fn failed(server: &Server) -> Value {
    server.admin().get("/experiments/far").ok()
}

#[test]
fn the_fallback_answers_for_a_server_that_fails_or_takes_too_long() {
    let upstream = Upstream::start();
    let server = start(&upstream, "fallback = \"control\"\nfallback_after_ms = 300");
    assert!(ask(&server).ok()["parameters"].get("fallback").is_none());
    let check = |count: f64| {
        let start = Instant::now();
        let answer = ask(&server).ok();
        assert_eq!(answer["outputs"][0]["data"], json!([1.0]));
        assert_eq!(answer["parameters"], json!({"variant": "control", "fallback": true}));
        assert_eq!((&answer["model_version"], fallbacks(&server)), (&json!("1"), count));
        start.elapsed()
    };
    upstream.acts(Act::Stall);
    assert!(check(1.0) >= Duration::from_millis(300));
    upstream.acts(Act::Write(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".to_vec()));
    check(2.0);
    let predicted = server.data().post_with("/predict", &[("x-user", "u")], "[[1, 2, 3, 4]]").ok();
    assert_eq!((&predicted["fallback"], &predicted["variant"]), (&json!(true), &json!("control")));
    // Two more open the circuit; then nobody is asked.
    for count in [4.0, 5.0] {
        check(count);
    }
    let asked = upstream.count();
    check(6.0);
    assert_eq!(upstream.count(), asked, "an open circuit");
    assert_eq!(
        (predictions(&server, "error"), predictions(&server, "timeout"), predictions(&server, "shed")),
        (4.0, 1.0, 1.0)
    );
    wait("the records", SOON, || failed(&server).to_string().contains("requests").then_some(()));
}

#[test]
fn the_fallback_answers_for_an_engine_that_fails() {
    for (fallback, status) in [("", 500), ("fallback = \"control\"\n", 200)] {
        let config = format!(
            "registry.poll_interval_ms = 50\nmodels.m.engine = \"tract\"\n[experiments.far]\nmodel = \"m\"\n\
             unit = \"header:x-user\"\ndefault = \"control\"\nvariants = {{ control = \"production\", candidate = \"2\" }}\n\
             slots = {{ candidate = \"0..1000000\" }}\n{fallback}"
        );
        let setup = Setup::new().only_config(&config);
        let repository = setup.repository();
        repository.version("m", 1, &constant(1.0), &Extras::default());
        repository.version("m", 2, &fails_at(7, 2.0), &Extras::default());
        repository.index("m", &[(1, "Production"), (2, "None")], &[]);
        let server = setup.start();
        wait("the variants", SOON, || {
            let experiments = server.admin().get("/experiments").ok();
            (experiments[0]["variants"][1]["version"] == "2").then_some(())
        });
        let ask = |rows: usize| server.data().post_with(INFER, &[("x-user", "u")], body(rows));
        assert_eq!(ask(1).ok()["parameters"], json!({"variant": "candidate"}));
        let answer = ask(7);
        assert_eq!(answer.status, status, "{}", answer.text());
        if status == 200 {
            let answer = answer.json();
            assert_eq!(answer["parameters"], json!({"variant": "control", "fallback": true}));
            assert_eq!((&answer["outputs"][0]["data"], fallbacks(&server)), (&json!(vec![1.0; 7]), 1.0));
        }
    }
}
