//! What is sent and understood, against a server of the test's own that says what it is told to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::thread::JoinHandle;

use serde_json::{Value, json};

use super::http::base64;
use super::*;

/// Answers one connection after another, each with these answers, and returns the requests.
fn server(connections: Vec<Vec<&'static str>>) -> (MlflowUrl, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = MlflowUrl::parse(&format!("http://{}/ml", listener.local_addr().unwrap())).unwrap();
    let serve = move || {
        let mut requests = Vec::new();
        for answers in connections {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            for answer in answers {
                requests.push(request(&mut reader));
                reader.get_mut().write_all(answer.as_bytes()).unwrap();
            }
        }
        requests
    };
    (url, std::thread::spawn(serve))
}

fn request(reader: &mut BufReader<std::net::TcpStream>) -> String {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let start = head.len();
        reader.read_line(&mut head).unwrap();
        let line = head[start..].trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    head + &String::from_utf8(body).unwrap()
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

#[test]
fn calls_are_made_as_mlflow_wants_them() {
    let (url, requests) = server(vec![vec![OK, OK]]);
    let credentials = MlflowCredentials::Basic { user: "me".into(), password: "secret".into() };
    let server = Server::new(url, Some(credentials));
    let _: Value = server.get("model-versions/search", &[("filter", "name='a b'")]).unwrap();
    let _: Value = server.post("runs/create", &json!({ "a": 1 })).unwrap();
    let requests = requests.join().unwrap();
    let begins = "GET /ml/api/2.0/mlflow/model-versions/search?filter=name%3D%27a%20b%27 HTTP/1.1\r\n";
    assert!(requests[0].starts_with(begins), "{}", requests[0]);
    assert!(requests[0].contains("authorization: Basic bWU6c2VjcmV0\r\n"), "{}", requests[0]);
    assert!(requests[1].starts_with("POST /ml/api/2.0/mlflow/runs/create HTTP/1.1\r\n"), "{}", requests[1]);
    assert!(requests[1].ends_with("\r\n\r\n{\"a\":1}"), "{}", requests[1]);
}

#[test]
fn files_are_sent_and_read_as_they_are() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let large = "0123456789".repeat(60_000);
    std::fs::write(file.path(), &large).unwrap();
    let (url, requests) = server(vec![vec![OK, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nmodel"]]);
    let server = Server::new(url, None);
    server.upload("/artifacts/a b", file.path()).unwrap();
    let mut sink = Vec::new();
    assert_eq!(server.download("/artifacts/x", &[], 5, &mut sink).unwrap(), 5);
    assert_eq!(sink, b"model");
    let requests = requests.join().unwrap();
    assert!(requests[0].starts_with("PUT /ml/artifacts/a%20b HTTP/1.1\r\n"));
    assert!(requests[0].ends_with(&large));
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_made_again() {
    let (url, requests) = server(vec![vec![OK], vec![OK]]);
    let server = Server::new(url, None);
    for _ in 0..2 {
        let _: Value = server.get("x", &[]).unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(requests.join().unwrap().len(), 2);
}

#[test]
fn what_is_refused_says_why() {
    const ABSENT: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 67\r\n\r\n\
                          {\"error_code\": \"RESOURCE_DOES_NOT_EXIST\", \"message\": \"no such run\"}";
    const PROXY: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 6\r\n\r\n<html>";
    const ILL: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    const BUG: &str = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 32\r\n\r\n\
                       {\"error_code\": \"INTERNAL_ERROR\"}";
    const DENIED: &str = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";
    const HTML: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>";
    const LARGE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\n123456789";
    let (url, requests) = server(vec![vec![ABSENT, PROXY, BUG, ILL], vec![DENIED, HTML, LARGE]]);
    let server = Server::new(url, None);
    let ask = || server.get::<Value>("x", &[]).unwrap_err();
    let problem = ask();
    assert!(problem.is_absent() && problem.to_string().contains("no such run"), "{problem}");
    let problem = ask();
    assert!(
        !problem.is_absent() && problem.is_unknown_call(),
        "what a proxy does not know may be there: {problem}"
    );
    assert!(!ask().is_outage(), "one call says nothing of the next");
    assert!(matches!(ask(), Problem::Unreachable(_)));
    assert!(matches!(ask(), Problem::Denied(_)));
    let problem = ask();
    assert!(problem.to_string().contains("not MLflow's"), "{problem}");
    let problem = server.download("/x", &[], 8, &mut Vec::new()).unwrap_err();
    assert!(matches!(problem, Problem::TooLarge { bytes: 9, max: 8 }), "{problem}");
    requests.join().unwrap();
}

#[test]
fn what_only_reads_is_asked_again() {
    const ILL: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    let (url, requests) = server(vec![vec![ILL], vec![OK, ILL]]);
    let server = Server::new(url, None).attempts(2);
    assert!(server.get::<Value>("x", &[]).is_ok());
    assert!(server.post::<Value>("x", &json!({})).is_err(), "what changes something is not");
    requests.join().unwrap();
}

#[test]
fn everything_is_over_when_it_has_to_be() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = MlflowUrl::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let mut server = Server::new(url, None);
    let start = Instant::now();
    server.end_by(start + Duration::from_millis(100));
    assert!(server.get::<Value>("x", &[]).unwrap_err().to_string().contains("in time"));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn bytes_are_text_in_base64() {
    for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
        assert_eq!(base64(bytes.as_bytes()), text);
    }
}
