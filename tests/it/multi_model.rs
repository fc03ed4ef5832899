//! Models that come and go by request, as SageMaker asks a container with many of them: from outside, with all that may be
//! wrong about it. `tests/clients/test_sagemaker.py` has the contract itself.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Answer, request};
use super::harness::{Server, Setup, constant_request, shipped, wait};
use super::load::{Load, Manner};
use super::onnx::{constant, external_data, slow, unknown_operator};
use super::repository::{Extras, golden};

const SOON: Duration = Duration::from_secs(6);

/// A server without a model, for folders below `models`.
fn empty() -> Setup {
    let setup = Setup::new();
    let url = format!("sagemaker://{}", setup.path("models").display());
    setup.registry(&url)
}

/// Asks for a model in a folder of the test.
fn load(server: &Server, name: &str, folder: &str) -> Answer {
    let url = server.path(folder).display().to_string();
    let body = json!({"model_name": name, "url": url}).to_string();
    server.data().post_with("/models", &[("content-type", "application/json")], body)
}

fn unload(server: &Server, name: &str) -> Answer {
    server.data().send(&request("DELETE", &format!("/models/{}", escaped(name)), &[], b""))
}

/// What a model of [`constant`] answers.
fn invoke(server: &Server, name: &str) -> Result<f64, u16> {
    let path = format!("/models/{}/invoke", escaped(name));
    let json = [("content-type", "application/json"), ("x-amzn-sagemaker-target-model", "a/b.tar.gz")];
    let answer = server.data().post_with(&path, &json, r#"{"instances": [[1, 2, 3, 4]]}"#);
    if answer.status == 200 {
        Ok(answer.ok()["predictions"][0].as_f64().unwrap())
    } else {
        Err(answer.status)
    }
}

/// A name as a part of a path.
fn escaped(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn names(list: &Value) -> Vec<&str> {
    list["models"].as_array().unwrap().iter().map(|model| model["modelName"].as_str().unwrap()).collect()
}

#[track_caller]
fn is(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.json()["code"].as_str()), (status, Some(code)), "{}", answer.text());
}

#[test]
fn a_model_comes_and_goes_by_request() {
    let setup = empty();
    setup.repository().bare("one", 1, &constant(1.0));
    setup.repository().bare("two", 1, &constant(2.0));
    let server = setup.start();
    assert_eq!(server.data().get("/ping").status, 200, "without a model");
    assert_eq!(server.data().get("/models").ok(), json!({"models": []}));
    assert_eq!(invoke(&server, "a"), Err(404));
    is(&unload(&server, "a"), 404, "not_found");

    let url = server.path("models/one/1").display().to_string();
    let shown = json!({"modelName": "a", "modelUrl": url});
    assert_eq!(load(&server, "a", "models/one/1").ok(), shown);
    assert_eq!(invoke(&server, "a"), Ok(1.0));
    assert_eq!(server.data().get("/models/a").ok(), shown);
    assert_eq!(server.data().get("/models").ok(), json!({"models": [shown]}));
    // Twice is once, whatever is asked for the second time.
    is(&load(&server, "a", "models/two/1"), 409, "already_loaded");
    assert_eq!(invoke(&server, "a"), Ok(1.0));

    assert_eq!(load(&server, "b", "models/two/1").status, 200);
    assert_eq!((invoke(&server, "a"), invoke(&server, "b")), (Ok(1.0), Ok(2.0)));
    assert_eq!(unload(&server, "a").ok(), shown);
    is(&unload(&server, "a"), 404, "not_found");
    assert_eq!((invoke(&server, "a"), invoke(&server, "b")), (Err(404), Ok(2.0)));
    // The name is free for another model, also one of another signature.
    assert_eq!(load(&server, "a", "models/two/1").status, 200);
    assert_eq!(invoke(&server, "a"), Ok(2.0));
    for (method, path) in [("DELETE", "/models"), ("POST", "/models/a"), ("GET", "/models/a/invoke")] {
        assert_eq!(server.data().send(&request(method, path, &[], b"")).status, 405, "{method} {path}");
    }
}

#[test]
fn a_list_comes_in_pages() {
    let setup = empty();
    setup.repository().bare("one", 1, &constant(1.0));
    let server = setup.start();
    let all = ["a", "b", "c", "a/b", "d"];
    all.iter().for_each(|name| assert_eq!(load(&server, name, "models/one/1").status, 200, "{name}"));
    let (mut found, mut path, mut pages) = (Vec::new(), "/models?limit=2".to_owned(), 0);
    loop {
        let page = server.data().get(&path).ok();
        found.extend(names(&page).into_iter().map(str::to_owned));
        pages += 1;
        let Some(token) = page["nextPageToken"].as_str() else { break };
        path = format!("/models?limit=2&next_page_token={}", escaped(token));
    }
    found.sort();
    assert_eq!((found, pages), (["a", "a/b", "b", "c", "d"].map(str::to_owned).to_vec(), 3));
    assert_eq!(names(&server.data().get("/models?next_page_token=zzz").ok()), [""; 0]);
    for wrong in ["limit=0", "limit=-1", "limit=x", "limit=1001", "limit=1&limit=2", "next_page_token=%ff"] {
        is(&server.data().get(&format!("/models?{wrong}")), 400, "invalid_request");
    }
}

#[test]
fn an_unload_lets_requests_finish() {
    let setup = empty().config("http.queue_wait_ms = 60000");
    setup.repository().bare("slow", 1, &slow(512, 16));
    let server = setup.start();
    assert_eq!(load(&server, "slow", "models/slow/1").status, 200);
    let before = server.resident();
    let body = json!({"instances": vec![[1.0; 4]; 5000]}).to_string();
    let target = server.data();
    let client = std::thread::spawn(move || {
        let answer = target.post("/models/slow/invoke", body);
        (answer, Instant::now())
    });
    wait("a request in flight", SOON, || (server.metric("sidegate_inflight_requests") >= 1.0).then_some(()));
    // It is decoded first.
    std::thread::sleep(Duration::from_millis(100));
    let begun = Instant::now();
    assert_eq!(unload(&server, "slow").status, 200);
    let unloaded = Instant::now();
    assert_eq!(invoke(&server, "slow"), Err(404));
    let (answer, answered) = client.join().unwrap();
    assert!(answered > begun, "it was answered before");
    assert_eq!(answer.ok()["predictions"].as_array().unwrap().len(), 5000);
    assert!(answered < unloaded + Duration::from_secs(1), "memory was said to be free while it was in use");
    // 16 MiB of weights.
    wait("the memory", SOON, || (server.resident() + (8 << 10) < before).then_some(()));
}

#[test]
fn loads_and_unloads_fail_no_request_of_others() {
    let setup = empty().args(&["--workers", "2"]);
    let repository = setup.repository();
    repository.bare("one", 1, &constant(1.0));
    repository.bare("two", 1, &slow(256, 2));
    repository.bare("broken", 1, b"no model");
    let server = setup.start();
    assert_eq!(load(&server, "one", "models/one/1").status, 200);
    let steady = constant_request("/models/one/invoke");
    let judge = |answer: &Answer| match answer.status {
        200 if answer.json()["predictions"] == json!([1.0]) => Ok(1),
        _ => Err(answer.text()),
    };
    let clients = Load::start(&server.data(), &steady, &[Manner::KeepAlive, Manner::OneEach], judge);
    for round in 0..10 {
        let name = format!("other-{round}");
        assert_eq!(load(&server, &name, "models/two/1").status, 200);
        is(&load(&server, "broken", "models/broken/1"), 400, "parse");
        assert_eq!(unload(&server, &name).status, 200);
        clients.flow(20);
    }
    let tally = clients.stop();
    assert_eq!(tally.failures, [""; 0], "of {}", tally.answered);
    assert!(!server.log().contains("panicked"));
}

#[test]
fn two_who_ask_at_once_get_one_model() {
    let setup = empty();
    setup.repository().bare("two", 1, &slow(256, 4));
    let server = setup.start();
    let mut statuses: Vec<u16> = std::thread::scope(|scope| {
        let ask = || load(&server, "two", "models/two/1").status;
        let clients: Vec<_> = (0..6).map(|_| scope.spawn(ask)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409, 409, 409]);
    assert_eq!(invoke(&server, "two"), Ok(1.0));
}

#[test]
fn a_model_that_is_refused_leaves_nothing_behind() {
    let setup = empty();
    let repository = setup.repository();
    repository.bare("right", 1, &constant(1.0));
    repository.bare("garbage", 1, b"<html>not found</html>");
    repository.bare("operator", 1, &unknown_operator());
    repository.bare("outside", 1, &external_data());
    repository.bare_file("both", 1, "model.onnx", &constant(1.0));
    repository.bare_file("both", 1, "model.txt", b"tree");
    fs::create_dir_all(setup.path("models/nothing/1")).unwrap();
    repository.version("digest", 1, &constant(1.0), &Extras { wrong_digest: true, ..Extras::default() });
    repository.version("file", 1, &constant(1.0), &Extras { no_model_file: true, ..Extras::default() });
    let examples = Extras { golden: Some(golden(2.0)), ..Extras::default() };
    repository.version("golden", 1, &constant(1.0), &examples);
    let server = setup.start();
    assert_eq!(load(&server, "steady", "models/right/1").status, 200);
    for (folder, code) in [
        ("garbage", "parse"),
        ("operator", "unknown_operator"),
        ("outside", "external_data"),
        ("both", "missing_file"),
        ("nothing", "missing_file"),
        ("gone", "missing_file"),
        ("digest", "bad_digest"),
        ("file", "missing_file"),
        ("golden", "golden_mismatch"),
    ] {
        let answer = load(&server, "m", &format!("models/{folder}/1"));
        is(&answer, 400, code);
        assert!(!answer.text().contains(server.path("").to_str().unwrap()), "{}", answer.text());
        assert_eq!(server.data().get("/models/m").status, 404, "{folder}");
        assert_eq!(names(&server.data().get("/models").ok()), ["steady"]);
        assert_eq!((invoke(&server, "m"), invoke(&server, "steady")), (Err(404), Ok(1.0)), "{folder}");
        assert_eq!(server.data().get("/ping").status, 200);
    }
    assert_eq!(load(&server, "m", "models/right/1").status, 200);
    assert_eq!(invoke(&server, "m"), Ok(1.0));
}

#[test]
fn a_version_of_the_registry_is_what_it_was_under_any_name() {
    let setup = empty();
    let repository = setup.repository();
    let examples = Extras { golden: Some(golden(3.0)), ..Extras::default() };
    repository.version("churn", 7, &constant(3.0), &examples);
    let server = setup.start();
    assert_eq!(load(&server, "5b1df9", "models/churn/7").status, 200);
    assert_eq!(invoke(&server, "5b1df9"), Ok(3.0));
}

#[test]
fn what_lies_elsewhere_is_not_read() {
    let setup = empty();
    setup.repository().bare("one", 1, &constant(1.0));
    let elsewhere = setup.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("model.onnx"), constant(9.0)).unwrap();
    symlink(&elsewhere, setup.path("models/link")).unwrap();
    fs::create_dir(setup.path("models/file")).unwrap();
    symlink(elsewhere.join("model.onnx"), setup.path("models/file/model.onnx")).unwrap();
    let server = setup.start();
    for folder in [
        "elsewhere",
        "models/../elsewhere",
        "models/one/../../elsewhere",
        "models/link",
        "models/file",
        "models",
    ] {
        is(&load(&server, "m", folder), 400, "missing_file");
    }
    let breast_cancer = shipped("breast-cancer").join("1");
    for url in
        [breast_cancer.to_str().unwrap(), "/", "", ".", "models/one/1", "file:///etc", "s3://b/k", "/\0"]
    {
        let body = json!({"model_name": "m", "url": url}).to_string();
        let answer = server.data().post("/models", body);
        assert_eq!(answer.status, 400, "{url}: {}", answer.text());
    }
    assert_eq!(server.data().get("/models").ok(), json!({"models": []}));
    assert_eq!(invoke(&server, "m"), Err(404));
}

#[test]
fn there_is_room_for_so_many() {
    let setup = empty().config("registry.max_models = 2");
    setup.repository().bare("one", 1, &constant(1.0));
    let server = setup.start();
    for name in ["a", "b"] {
        assert_eq!(load(&server, name, "models/one/1").status, 200);
    }
    is(&load(&server, "c", "models/one/1"), 507, "too_many_models");
    is(&load(&server, "a", "models/one/1"), 409, "already_loaded");
    assert_eq!(unload(&server, "a").status, 200);
    assert_eq!(load(&server, "c", "models/one/1").status, 200);
    // A load that fails takes no room.
    assert_eq!(unload(&server, "b").status, 200);
    is(&load(&server, "b", "models/gone"), 400, "missing_file");
    assert_eq!(load(&server, "b", "models/one/1").status, 200);
}

#[test]
fn there_is_room_for_so_many_bytes() {
    let setup = empty().config("memory.budget_bytes = 400000000");
    let repository = setup.repository();
    repository.bare("one", 1, &constant(1.0));
    repository.bare("large", 1, b"");
    repository.stretch("large", 1, 1 << 30);
    let server = setup.start();
    assert_eq!(load(&server, "a", "models/one/1").status, 200);
    is(&load(&server, "large", "models/large/1"), 507, "memory");
    assert_eq!((invoke(&server, "large"), invoke(&server, "a")), (Err(404), Ok(1.0)));
    assert!(server.peak() < 400_000, "{} KiB were in use", server.peak());
}

#[test]
fn any_text_is_a_name() {
    let setup = empty();
    setup.repository().bare("one", 1, &constant(1.0));
    let server = setup.start();
    let long = "x".repeat(500);
    let strange = [
        "../../etc/passwd",
        "a/b",
        "a\"}\nfake{x=\"",
        "ü ñ",
        "a@1",
        "a+b",
        "a%2Fb",
        ".",
        "..",
        "_x",
        "[0]",
        &long,
    ];
    for name in strange {
        let shown = load(&server, name, "models/one/1").ok();
        assert_eq!(shown["modelName"], name);
        assert_eq!(invoke(&server, name), Ok(1.0), "{name}");
        assert_eq!(server.data().get(&format!("/models/{}", escaped(name))).ok(), shown);
    }
    let mut listed: Vec<String> =
        names(&server.data().get("/models").ok()).into_iter().map(str::to_owned).collect();
    listed.sort();
    let mut wanted = strange.map(str::to_owned).to_vec();
    wanted.sort();
    assert_eq!(listed, wanted);
    let metrics = server.metrics();
    assert_eq!(metrics.matches("sidegate_model_info{").count(), strange.len());
    for name in ["passwd", "fake", "ü", "a@1", "a+b"] {
        assert!(!metrics.contains(name), "{name}");
    }
    assert!(server.log().lines().all(|line| !line.starts_with("fake")), "{}", server.log());
    strange.iter().for_each(|name| assert_eq!(unload(&server, name).status, 200, "{name}"));
    assert_eq!(names(&server.data().get("/models").ok()), [""; 0]);
    for (name, url) in [("", "/x"), (&*"x".repeat(5000), "/x")] {
        let body = json!({"model_name": name, "url": url}).to_string();
        is(&server.data().post("/models", body), 400, "invalid_request");
    }
}

#[test]
fn models_that_have_gone_leave_no_series_and_no_state() {
    let setup = empty();
    setup.repository().bare("one", 1, &constant(1.0));
    let server = setup.start();
    assert_eq!(load(&server, "stays", "models/one/1").status, 200);
    for round in 0..30 {
        let name = format!("passing-{round}");
        assert_eq!(load(&server, &name, "models/one/1").status, 200);
        assert_eq!(invoke(&server, &name), Ok(1.0));
        assert_eq!(unload(&server, &name).status, 200);
        is(&load(&server, &format!("broken-{round}"), "models/gone"), 400, "missing_file");
    }
    wait("the last to be forgotten", SOON, || {
        let (metrics, models) = (server.metrics(), server.models().to_string());
        let gone = |text: &str| !text.contains("passing-") && !text.contains("broken-");
        (gone(&metrics) && gone(&models)).then_some(())
    });
    assert!(server.metrics().contains("model=\"stays\"") && invoke(&server, "stays") == Ok(1.0));
}

#[test]
fn a_request_that_cannot_be_read_is_refused() {
    let server = empty().start();
    for body in ["", "{", "[]", "{}", r#"{"model_name": "a"}"#, r#"{"model_name": 5, "url": "/x"}"#] {
        is(&server.data().post("/models", body), 400, "invalid_request");
    }
    let typed = |kind| server.data().post_with("/models", &[("content-type", kind)], "{}");
    is(&typed("application/json; charset=utf-8"), 400, "invalid_request");
    is(&typed("text/plain"), 415, "unsupported_media_type");
    let large = vec![b' '; 9 << 20];
    assert_eq!(server.data().post("/models", large).status, 413);
    for path in ["/models/%ff", "/models/%", "/models/%zz/invoke"] {
        let method = if path.ends_with("invoke") { "POST" } else { "GET" };
        assert_eq!(server.data().send(&request(method, path, &[], b"")).status, 404, "{path}");
    }
}

#[test]
fn nobody_brings_models_where_nobody_allowed_it() {
    let setup = Setup::new();
    setup.repository().bare("one", 1, &constant(1.0));
    let server = setup.start();
    let folder = server.path("models/one/1").display().to_string();
    let body = json!({"model_name": "m", "url": folder}).to_string();
    for (method, path) in [
        ("GET", "/models"),
        ("POST", "/models"),
        ("GET", "/models/one"),
        ("DELETE", "/models/one"),
        ("POST", "/models/one/invoke"),
    ] {
        is(&server.data().send(&request(method, path, &[], body.as_bytes())), 404, "not_found");
    }
    assert_eq!(server.models().as_array().unwrap().len(), 1);
}

#[test]
fn a_token_of_the_data_port_is_asked_for_here_too() {
    let setup = empty().config("auth.token_file = \"token\"");
    fs::write(setup.path("token"), "0123456789abcdef0123456789abcdef\n").unwrap();
    setup.repository().bare("one", 1, &constant(1.0));
    let server = setup.start();
    assert_eq!(server.data().get("/ping").status, 200);
    assert_eq!(load(&server, "m", "models/one/1").status, 401);
    assert_eq!(unload(&server, "m").status, 401);
    assert_eq!(invoke(&server, "m"), Err(401));
    let bearer = [("authorization", "Bearer 0123456789abcdef0123456789abcdef")];
    let list = server.data().send(&request("GET", "/models", &bearer, b""));
    assert_eq!(list.ok(), json!({"models": []}));
}
