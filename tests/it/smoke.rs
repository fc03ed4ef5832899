//! `sidegate smoke`: what it finds right and wrong of running sidegates, plainly and by TLS.

use std::fs;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{Server, Setup, command, run, shipped, wait};

/// Runs `sidegate smoke` against a server, with the registry of the shipped models.
fn smoke(server: &Server, args: &[&str]) -> Output {
    let (url, models) = (format!("http://{}", server.http), shipped(""));
    let args = [&["smoke", &url, "--registry", models.to_str().unwrap()], args].concat();
    run(tempfile::tempdir().unwrap().path(), &args)
}

#[track_caller]
fn report(output: &Output, code: i32) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{}{error}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What came of an endpoint.
fn check<'a>(report: &'a Value, endpoint: &str) -> &'a Value {
    let mut checks = report["checks"].as_array().unwrap().iter();
    checks
        .find(|check| check["endpoint"] == endpoint)
        .unwrap_or_else(|| panic!("no {endpoint} in {report:#}"))
}

#[test]
fn all_that_is_right_passes() {
    let experiment = "experiments.half.model = \"wine\"\nexperiments.half.unit = \"header:x-user\"\n\
                      experiments.half.variants = { control = \"1\", same = \"production\" }";
    let server = Setup::with(&["penguins", "flight-delay", "wine"]).config(experiment).start();
    let admin = server.admin.to_string();
    // The monitor sees a moment later what serves.
    wait("three models are watched", Duration::from_secs(10), || {
        let watched = server.admin().get("/drift").ok();
        (watched["versions"].as_array()?.len() == 3).then_some(())
    });
    let found = report(&smoke(&server, &["--admin", &admin, "--json"]), 0);
    assert_eq!((&found["passed"], &found["notes"]), (&json!(true), &json!([])), "{found:#}");
    for model in ["penguins", "flight-delay", "wine"] {
        let infer = format!("POST /v2/models/{model}/versions/1/infer");
        let query = format!("?model={model}%401");
        let rows = ["predict", "invocations"].map(|path| format!("POST /{path}{query}"));
        for endpoint in [format!("{infer} (binary)"), infer].iter().chain(&rows) {
            let check = check(&found, endpoint);
            let says = check["says"].as_str().unwrap();
            assert!(says.contains("golden examples") && says.contains("equal within"), "{check}");
            assert!(check["ms"].as_f64().is_some_and(|ms| ms > 0.0), "{check}");
        }
    }
    assert_eq!(check(&found, "POST /actuals")["status"], 202);
    assert_eq!(check(&found, "POST /outcomes")["status"], 202);
    for told in [
        "/v2/models/wine/versions/1",
        "/v2/models/wine/versions/1/ready",
        "/v2/models/wine/versions/1/config",
        "/v2/models/wine/versions/1/stats",
        "/metrics (admin)",
        "/performance/wine (admin)",
        "/experiments/half (admin)",
        "/experiments/half/explain?unit=smoke (admin)",
        "/drift (admin)",
        "/drift/wine?version=1 (admin)",
    ] {
        assert_eq!(check(&found, &format!("GET {told}"))["verdict"], "passed", "{told}");
    }
    for status in ["ok", "unmatched", "not_enrolled"] {
        let metric = format!("sidegate_outcomes_total{{result=\"{status}\"}}");
        assert_eq!(server.metric(&metric), 0.0, "nothing is recorded");
    }

    let output = smoke(&server, &["--model", "wine"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("/v2/models/wine") && !text.contains("/v2/models/penguins/"), "{text}");
    assert!(text.trim_end().ends_with(" 0 failed"), "{text}");
}

#[test]
fn a_model_that_answers_otherwise_than_it_did_fails() {
    let server = Setup::with(&["wine"]).start();
    let models = tempfile::tempdir().unwrap();
    let folder = models.path().join("wine/1");
    fs::create_dir_all(&folder).unwrap();
    let golden = fs::read(shipped("wine").join("1/golden.json")).unwrap();
    let mut golden: Value = serde_json::from_slice(&golden).unwrap();
    for output in golden["cases"][1]["outputs"].as_array_mut().unwrap() {
        for value in output["data"].as_array_mut().unwrap() {
            *value = if value.is_f64() { json!(0.125) } else { value.clone() };
        }
    }
    fs::write(folder.join("golden.json"), golden.to_string()).unwrap();
    let args = ["--registry", models.path().to_str().unwrap(), "--json"];
    let url = format!("http://{}", server.http);
    let output = run(models.path(), &[&["smoke", &url], &args[..]].concat());
    let found = report(&output, 1);
    let failed = found["checks"].as_array().unwrap().iter().filter(|check| check["verdict"] == "failed");
    let failed: Vec<&Value> = failed.collect();
    assert_eq!(failed.len(), 4, "{found:#}");
    for check in failed {
        let says = check["says"].as_str().unwrap();
        assert!(says.starts_with("example 1: row 0: ") && says.contains("expected [0.125, "), "{check}");
    }
}

#[test]
fn without_golden_examples_zeros_are_asked_and_it_is_said() {
    let server = Setup::with(&["penguins", "wine"]).start();
    let nowhere = tempfile::tempdir().unwrap();
    let url = format!("http://{}", server.http);
    let zeros = ["smoke", &url, "--json"];
    let found = report(&run(nowhere.path(), &zeros), 0);
    let notes: Vec<&str> = found["notes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(
        notes.iter().any(|note| note.starts_with("wine@1 was asked zeros: wine/1/golden.json is not in")),
        "{notes:?}"
    );
    // Zeros prove that it answers and not that it answers right.
    let found = report(&run(nowhere.path(), &[&zeros[..], &["--require-golden"]].concat()), 1);
    let failed = found["checks"].as_array().unwrap().iter().filter(|check| check["verdict"] == "failed");
    let failed: Vec<&Value> = failed.collect();
    assert_eq!(failed.len(), 2, "{found:#}");
    for check in failed {
        let says = check["says"].as_str().unwrap();
        assert!(says.starts_with("golden examples are required (--require-golden): "), "{check}");
        assert!(says.contains("/1/golden.json is not in"), "{check}");
    }
    let server = Setup::with(&["wine"]).start();
    report(&smoke(&server, &["--require-golden", "--json"]), 0);
}

#[test]
fn an_ops_port_has_probes_and_metrics_alone() {
    let server = Setup::with(&["wine"]).config("ops.listen = \"127.0.0.1:0\"").start();
    let status = server.admin().get("/status").ok();
    let ops = status["ops"].as_str().unwrap();
    let found = report(&smoke(&server, &["--admin", ops, "--json"]), 0);
    assert_eq!(check(&found, "GET /metrics (admin)")["verdict"], "passed");
    for path in ["/models", "/status", "/experiments", "/drift"] {
        assert_eq!(check(&found, &format!("GET {path} (admin)"))["verdict"], "off");
    }
}

#[test]
fn what_is_not_there_is_said() {
    let dir = tempfile::tempdir().unwrap();
    for (args, code, part) in [
        (&["http://127.0.0.1:1"][..], 1, "no connection to 127.0.0.1:1"),
        (&["127.0.0.1:1"], 2, "begins with http:// or https://"),
        (&["http://127.0.0.1:1/v2"], 2, "without a path"),
        (&["http://127.0.0.1:1", "--header", "nonsense"], 2, "name: value"),
    ] {
        let output = run(dir.path(), &[&["smoke"], args].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{error}");
        assert!(error.contains(part), "{error}");
    }
    let server = Setup::with(&["wine"]).start();
    let output = smoke(&server, &["--model", "churn"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("model `churn` is not served"), "{text}");
}

/// What listens in front of a sidegate with the certificate of `localhost`.
#[cfg(feature = "tls")]
mod tls {
    use std::net::SocketAddr;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::aws_lc_rs;
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
    }

    fn front(behind: SocketAddr) -> u16 {
        let certificate = CertificateDer::from_pem_file(fixture("localhost.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(fixture("localhost.key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let acceptor = acceptor.clone();
                    tokio::spawn(async move {
                        let Ok(mut client) = acceptor.accept(stream).await else { return };
                        let mut server = TcpStream::connect(behind).await.unwrap();
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    });
                }
            });
        });
        port
    }

    #[test]
    fn https_is_spoken_with_whom_this_machine_trusts() {
        let server = Setup::with(&["wine"]).start();
        let port = front(server.http);
        let dir = tempfile::tempdir().unwrap();
        let asked = |host: &str, trusted: &str| {
            let url = format!("https://{host}:{port}");
            let mut command = command(dir.path(), None);
            command.env("SSL_CERT_FILE", trusted).env_remove("SSL_CERT_DIR");
            command.args(["smoke", &url, "--registry", shipped("").to_str().unwrap()]).output().unwrap()
        };
        let output = asked("localhost", fixture("localhost.pem").to_str().unwrap());
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("golden examples") && text.contains(" 0 failed"), "{output:?}");
        for (host, trusted, part) in [
            ("localhost", "/nowhere.pem", "no certificate that this machine trusts was found"),
            ("127.0.0.2", fixture("localhost.pem").to_str().unwrap(), "TLS: "),
        ] {
            let output = asked(host, trusted);
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success() && error.contains(part), "{error}");
        }
    }
}
