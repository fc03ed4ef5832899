//! The client against a socket that says what a test wants it to say.

use std::net::TcpListener;
use std::thread;

use super::*;

/// Answers one connection with `pieces`, a moment apart, and gives the request back.
fn server(pieces: &'static [&'static str]) -> (Client, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let read = stream.read(&mut request).unwrap();
        for piece in pieces {
            stream.write_all(piece.as_bytes()).unwrap();
            stream.flush().unwrap();
        }
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    (Client { port: "admin port", address, token: Some("secret".into()) }, thread)
}

fn args(admin: Option<&str>) -> AdminArgs {
    AdminArgs { admin: admin.map(str::to_owned), ..AdminArgs::default() }
}

fn sources(env: &[(&str, &str)]) -> Sources {
    let env = env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Sources { env, ..Sources::default() }
}

#[test]
fn an_answer_may_come_in_pieces_or_chunks() {
    for pieces in [
        &["HTTP/1.1 200 OK\r\ncontent-le", "ngth: 7\r\n\r\n{\"a\"", ":1}"][..],
        &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n", "4\r\n\":1}\r\n0\r\n\r\n"],
        &["HTTP/1.1 200 OK\r\n\r\n{\"a\":1}"],
    ] {
        let (client, thread) = server(pieces);
        let (value, text) = client.json("/models").unwrap();
        assert_eq!((value["a"].as_u64(), text.as_str()), (Some(1), "{\"a\":1}"));
        let request = thread.join().unwrap();
        assert!(
            request.starts_with("GET /models HTTP/1.1\r\n")
                && request.contains("authorization: Bearer secret\r\n")
        );
    }
}

#[test]
fn failures_name_the_address_and_the_way_out() {
    for (pieces, part) in [
        (&["HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n"][..], "--token-file"),
        (
            &["HTTP/1.1 404 Not Found\r\ncontent-length: 13\r\n\r\n{\"error\":\"x\"}"],
            "status 404: x; is it sidegate's",
        ),
        (&["HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnope"], "is it sidegate's admin port?"),
        (&["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nnope"], "ends early"),
        (&["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx"], "a chunk without a size"),
        (&["SSH-2.0-OpenSSH\r\n"], "does not speak HTTP"),
        (&[], "ends early"),
    ] {
        let (client, thread) = server(pieces);
        let error = client.json("/models").unwrap_err();
        assert!(matches!(error, Failure::Failed(_)), "{error:?}");
        assert!(error.to_string().contains(part) && error.to_string().contains(&client.address), "{error}");
        thread.join().unwrap();
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let error = Client { port: "admin port", address: closed, token: None }.get("/").unwrap_err();
    assert!(error.to_string().contains("is sidegate running?"), "{error}");
    assert!(matches!(
        Client { port: "admin port", address: "nowhere".into(), token: None }.get("/"),
        Err(Failure::Usage(_))
    ));
}

#[test]
fn a_silent_server_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client =
        Client { port: "admin port", address: listener.local_addr().unwrap().to_string(), token: None };
    let start = Instant::now();
    let error = client.get("/readyz").unwrap_err().to_string();
    assert!(error.contains("nothing complete within 2 s"), "{error}");
    assert!(start.elapsed() < TIMEOUT * 2);
}

#[test]
fn the_address_is_that_of_the_flag_or_the_configuration() {
    fn address(args: &AdminArgs, env: &[(&str, &str)]) -> Result<String, Failure> {
        Client::from_sources(args, &sources(env)).map(|client| client.address)
    }
    let listen = |value| [("SIDEGATE_ADMIN__LISTEN", value)];
    assert_eq!(address(&args(None), &[]).unwrap(), "127.0.0.1:8002");
    assert_eq!(address(&args(None), &listen("127.0.0.1:9")).unwrap(), "127.0.0.1:9");
    assert_eq!(address(&args(Some("host:1")), &listen("127.0.0.1:9")).unwrap(), "host:1");
    assert!(matches!(address(&args(None), &listen("127.0.0.1:0")), Err(Failure::Usage(_))));
    assert!(matches!(address(&args(None), &listen("nonsense")), Err(Failure::Usage(_))));
    // What is wrong elsewhere, or taken over by a flag, must not keep a probe from asking.
    assert_eq!(address(&args(None), &[("SIDEGATE_HTTP__WORKERS", "x")]).unwrap(), "127.0.0.1:8002");
    assert_eq!(address(&args(Some("host:1")), &listen("nonsense")).unwrap(), "host:1");
    assert_eq!(reachable("0.0.0.0:5".parse().unwrap(), "k", "so").unwrap().to_string(), "127.0.0.1:5");
    assert_eq!(reachable("[::]:5".parse().unwrap(), "k", "so").unwrap().to_string(), "[::1]:5");
}

#[test]
fn the_first_token_of_the_file_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tokens");
    std::fs::write(&file, "first-token-0123456789\nsecond-token-0123456789\n").unwrap();
    let with = |path| AdminArgs { token_file: Some(path), ..AdminArgs::default() };
    let client = Client::from_sources(&with(file.clone()), &sources(&[])).unwrap();
    assert_eq!(client.token.as_deref(), Some("first-token-0123456789"));
    let env = [("SIDEGATE_ADMIN__TOKEN_FILE", file.to_str().unwrap())];
    let client = Client::from_sources(&AdminArgs::default(), &sources(&env)).unwrap();
    assert_eq!(client.token.as_deref(), Some("first-token-0123456789"));
    let error = Client::from_sources(&with(dir.path().join("gone")), &sources(&[])).unwrap_err();
    assert!(matches!(error, Failure::Usage(_)), "{error}");
    let args = AdminArgs { config: Some(dir.path().join("gone")), ..AdminArgs::default() };
    let asked = Sources { file: args.config.clone(), ..Sources::default() };
    let error = Client::from_sources(&args, &asked).unwrap_err();
    assert!(matches!(error, Failure::Usage(_)), "a file that is named is meant: {error}");
}
