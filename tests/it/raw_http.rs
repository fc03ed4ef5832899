//! HTTP as bytes: everything that two readers could understand differently is refused, with one answer.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use super::client::{Answer, Connection, Target, chunked, request};
use super::harness::{CANARY, Server, Setup, example, wait};

const INFER: &str = "/v2/models/breast-cancer/infer";
/// The server's limit of a body in these tests.
const BODY_LIMIT: usize = 64 << 10;

fn start() -> Server {
    let setup = Setup::with(&["breast-cancer"]).args(&["--uds", "data.sock"]);
    setup.config(&format!("limits.body_bytes = {BODY_LIMIT}")).start()
}

/// Both transports.
fn targets(server: &Server) -> [Target; 2] {
    [server.data(), Target::Unix(server.path("data.sock"))]
}

fn good_body() -> Vec<u8> {
    example("breast-cancer").0.to_string().into_bytes()
}

/// A POST of these header lines and bytes behind them; nothing is added.
fn raw(lines: &str, rest: &[u8]) -> Vec<u8> {
    let lines = lines.trim_end_matches('\n').replace('\n', "\r\n");
    [format!("POST {INFER} HTTP/1.1\r\n{lines}\r\n\r\n").as_bytes(), rest].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Sends bytes and more that would be a request of its own, and takes everything until the server closes.
fn refused(target: &Target, bytes: &[u8]) -> Vec<Answer> {
    let mut connection = target.connect();
    let mut writer = connection.writer();
    // What follows must never be answered: it could have been smuggled in.
    let bytes = [bytes, &request("GET", "/v2/health/live", &[("x-smuggled", CANARY)], b"")].concat();
    let sender = std::thread::spawn(move || drop(writer.write(&bytes)));
    let answers = connection.answers_until_close();
    sender.join().unwrap();
    answers
}

#[test]
fn malformed_framing_gets_one_answer_and_the_connection_closes() {
    let mut server = start();
    let vitals = server.vitals();
    let body = good_body();
    let length = body.len();
    let many_fields: String = (0..100).map(|n| format!("x-{n}: 1\n")).collect();
    let rows: Vec<(&str, &[u16], Vec<u8>)> = vec![
        // Two lengths, or one that is none (H9).
        ("two different lengths", &[400], raw("host: a\ncontent-length: 3\ncontent-length: 4", b"abc")),
        ("a list of lengths", &[400], raw("host: a\ncontent-length: 3, 3", b"abc")),
        ("a length with a plus", &[400], raw("host: a\ncontent-length: +3", b"abc")),
        ("a negative length", &[400], raw("host: a\ncontent-length: -1", b"abc")),
        ("an empty length", &[400], raw("host: a\ncontent-length:", b"abc")),
        ("a hexadecimal length", &[400], raw("host: a\ncontent-length: 0x3", b"abc")),
        ("a length of 2^64", &[400, 413], raw("host: a\ncontent-length: 18446744073709551616", b"abc")),
        ("a length of 2^63 - 1", &[413], raw("host: a\ncontent-length: 9223372036854775807", b"abc")),
        (
            "a length and chunks",
            &[400],
            raw("host: a\ncontent-length: 3\ntransfer-encoding: chunked", b"0\r\n\r\n"),
        ),
        (
            "chunks and a length",
            &[400],
            raw("host: a\ntransfer-encoding: chunked\ncontent-length: 3", b"0\r\n\r\n"),
        ),
        ("chunked twice", &[400], raw("host: a\ntransfer-encoding: chunked, chunked", b"0\r\n\r\n")),
        (
            "two transfer codings in two fields",
            &[400],
            raw("host: a\ntransfer-encoding: chunked\ntransfer-encoding: chunked", b"0\r\n\r\n"),
        ),
        (
            "gzip as transfer coding",
            &[400, 501],
            raw("host: a\ntransfer-encoding: gzip, chunked", b"0\r\n\r\n"),
        ),
        ("identity as transfer coding", &[400, 501], raw("host: a\ntransfer-encoding: identity", b"abc")),
        (
            "an unknown transfer coding",
            &[400, 501],
            raw("host: a\ntransfer-encoding: xchunked", b"0\r\n\r\n"),
        ),
        ("a hidden transfer coding", &[400], raw("host: a\ntransfer-encoding: \u{b}chunked", b"0\r\n\r\n")),
        (
            "chunks in HTTP/1.0",
            &[400],
            format!("POST {INFER} HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")
                .into_bytes(),
        ),
        // Chunks (H8).
        (
            "a chunk size that is no number",
            &[400],
            raw("host: a\ntransfer-encoding: chunked", b"xyz\r\nabc\r\n0\r\n\r\n"),
        ),
        (
            "a chunk size with a sign",
            &[400],
            raw("host: a\ntransfer-encoding: chunked", b"+3\r\nabc\r\n0\r\n\r\n"),
        ),
        (
            "a chunk size with 0x",
            &[400],
            raw("host: a\ntransfer-encoding: chunked", b"0x3\r\nabc\r\n0\r\n\r\n"),
        ),
        ("no chunk size", &[400], raw("host: a\ntransfer-encoding: chunked", b"\r\nabc\r\n0\r\n\r\n")),
        (
            "a chunk size beyond 64 bits",
            &[400],
            raw("host: a\ntransfer-encoding: chunked", b"10000000000000003\r\nabc\r\n0\r\n\r\n"),
        ),
        (
            "a chunk longer than its size",
            &[400],
            raw("host: a\ntransfer-encoding: chunked", b"3\r\nabcd\r\n0\r\n\r\n"),
        ),
        ("chunk lines without CR", &[400], raw("host: a\ntransfer-encoding: chunked", b"3\nabc\n0\n\n")),
        (
            "a chunk extension of 20 KB",
            &[400],
            raw(
                "host: a\ntransfer-encoding: chunked",
                format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(20_000)).as_bytes(),
            ),
        ),
        (
            "150 long trailers",
            &[400],
            raw(
                "host: a\ntransfer-encoding: chunked",
                format!("0\r\n{}\r\n", "x-trailer: yyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(150)).as_bytes(),
            ),
        ),
        // Heads.
        ("no Host", &[400], raw("content-length: 0", b"")),
        ("two Hosts", &[400], raw("host: a\nhost: a\ncontent-length: 0", b"")),
        (
            "lines without CR",
            &[400],
            format!("POST {INFER} HTTP/1.1\nhost: a\ncontent-length: 0\n\n").into_bytes(),
        ),
        ("a folded line", &[400], raw("host: a\nx-a: b\n  c\ncontent-length: 0", b"")),
        ("NUL in a value", &[400], raw("host: a\nx-a: b\0c\ncontent-length: 0", b"")),
        ("a bare CR in a value", &[400], raw("host: a\nx-a: b\rc\ncontent-length: 0", b"")),
        ("a space before the colon", &[400], raw("host: a\ncontent-length : 3", b"abc")),
        ("a field without a name", &[400], raw("host: a\n: x\ncontent-length: 0", b"")),
        ("a field without a colon", &[400], raw("host: a\nabc\ncontent-length: 0", b"")),
        ("an unknown version", &[400], b"GET /v2 HTTP/9.9\r\nhost: a\r\n\r\n".to_vec()),
        ("no version", &[400], b"GET /v2\r\nhost: a\r\n\r\n".to_vec()),
        ("the preface of HTTP/2", &[400], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("TLS on the plain port", &[400], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec()),
        (
            "another server's address",
            &[400],
            b"GET http://169.254.169.254/latest HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(),
        ),
        ("a target without a slash", &[400], b"GET v2 HTTP/1.1\r\nhost: a\r\n\r\n".to_vec()),
        ("control bytes in the target", &[400], b"GET /v2/\x01 HTTP/1.1\r\nhost: a\r\n\r\n".to_vec()),
        // Sizes (H5, H6, H7, H12, H13).
        (
            "a target of 70 KB",
            &[414],
            format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(70_000)).into_bytes(),
        ),
        (
            "a target of 9 KB",
            &[414],
            format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(9_000)).into_bytes(),
        ),
        (
            "a method of 10,000 letters",
            &[405, 414, 501],
            format!("{} / HTTP/1.1\r\nhost: a\r\n\r\n", "M".repeat(10_000)).into_bytes(),
        ),
        ("101 fields", &[431], raw(&format!("host: a\n{many_fields}content-length: 0"), b"")),
        (
            "a value of 33 KB",
            &[431],
            raw(&format!("host: a\nx-a: {}\ncontent-length: 0", "v".repeat(33 << 10)), b""),
        ),
        (
            "a name of 33 KB",
            &[431],
            raw(&format!("host: a\n{}: v\ncontent-length: 0", "n".repeat(33 << 10)), b""),
        ),
        (
            "a head of 500 KB",
            &[431],
            raw(&format!("host: a\nx-a: {}\ncontent-length: 0", "v".repeat(500_000)), b""),
        ),
        (
            "a boundary of 10 MB",
            &[431],
            raw(
                &format!(
                    "host: a\ncontent-type: multipart/form-data; boundary={}\ncontent-length: 0",
                    "b".repeat(10 << 20)
                ),
                b"",
            ),
        ),
        (
            "a body announced as too large",
            &[413],
            raw(&format!("host: a\ncontent-length: {}", BODY_LIMIT + 1), b""),
        ),
        (
            "a body announced as too large, with Expect",
            &[413],
            raw(&format!("host: a\nexpect: 100-continue\ncontent-length: {}", BODY_LIMIT + 1), b""),
        ),
        (
            "a body that grows too large in chunks",
            &[413],
            raw("host: a\ntransfer-encoding: chunked", &chunked(&vec![b' '; 4 * BODY_LIMIT], 1000)),
        ),
        (
            "a chunk announced as too large",
            &[413],
            raw("host: a\ntransfer-encoding: chunked", b"fffffff\r\n"),
        ),
        (
            "100,000 chunks of one byte",
            &[400, 413],
            raw("host: a\ntransfer-encoding: chunked", &chunked(&vec![b' '; 100_000], 1)),
        ),
        // Expectations and codings (H22, H23).
        ("an unknown expectation", &[417], raw("host: a\nexpect: 200-ok\ncontent-length: 3", b"abc")),
        ("an unknown coding", &[415], raw("host: a\ncontent-encoding: br\ncontent-length: 3", b"abc")),
        ("two codings", &[415], raw("host: a\ncontent-encoding: gzip, gzip\ncontent-length: 3", b"abc")),
        (
            "two coding fields",
            &[415],
            raw("host: a\ncontent-encoding: gzip\ncontent-encoding: deflate\ncontent-length: 3", b"abc"),
        ),
        (
            "two content types",
            &[400],
            raw("host: a\ncontent-type: a/b\ncontent-type: application/json\ncontent-length: 3", b"abc"),
        ),
    ];
    let both = rows.iter().flat_map(|row| targets(&server).map(|target| (row, target)));
    for ((name, statuses, bytes), target) in both {
        let answers = refused(&target, bytes);
        assert_eq!(answers.len(), 1, "{name}: {answers:?}");
        let status = answers[0].status;
        assert!(statuses.contains(&status), "{name}: {status} {}", answers[0].text());
        answers[0].error(status);
        assert_eq!(answers[0].header("connection"), Some("close"), "{name}");
        assert!(!answers[0].text().contains(CANARY), "{name}");
    }
    // Compressed bodies are read whole before they are looked at.
    let bomb = gzip(&vec![b' '; 100 << 20]);
    let large = gzip(&vec![b' '; BODY_LIMIT + 1]);
    let truncated = &gzip(&body)[..length / 4];
    for (name, status, coding, bytes) in [
        ("a bomb", 413, "gzip", bomb.as_slice()),
        ("a body too large once decompressed", 413, "gzip", &large),
        ("truncated gzip", 400, "gzip", truncated),
        ("gzip called deflate", 400, "deflate", &gzip(&body)),
        ("no gzip at all", 400, "gzip", &body),
        ("nothing called gzip", 400, "gzip", b""),
    ] {
        let answers =
            refused(&server.data(), &request("POST", INFER, &[("content-encoding", coding)], bytes));
        assert_eq!(answers.iter().map(|a| a.status).collect::<Vec<_>>(), [status], "{name}: {answers:?}");
    }
    server.stays_up(&vitals, "malformed framing");
    server.settles(&vitals, 8 << 10);
}

#[test]
fn what_is_merely_unusual_is_answered_and_the_connection_goes_on() {
    let mut server = start();
    let vitals = server.vitals();
    let body = good_body();
    let expected = server.data().post(INFER, &body).body;
    let sized = |lines: &str| raw(&format!("{lines}\ncontent-length: {}", body.len()), &body);
    let in_chunks = |size: usize| raw("host: a\ntransfer-encoding: chunked", &chunked(&body, size));
    let compressed = |coding, bytes: &[u8]| request("POST", INFER, &[("content-encoding", coding)], bytes);
    let mut extended =
        raw("Host: a\nTransfer-Encoding: Chunked", format!("{:X} ;a=\"b\"\r\n", body.len()).as_bytes());
    extended.extend_from_slice(
        &[&body, &b"\r\n0;last\r\ncontent-length: 5\r\nx-trailer: 1\r\n\r\n"[..]].concat(),
    );
    let rows: Vec<(&str, u16, Vec<u8>)> = vec![
        ("two equal lengths", 200, sized(&format!("host: a\ncontent-length: {}", body.len()))),
        (
            "names in any case, values without a space",
            200,
            sized("HOST:a\nCONTENT-TYPE:application/json; charset=utf-8"),
        ),
        (
            "an upgrade to h2c",
            200,
            sized("host: a\nconnection: upgrade, http2-settings\nupgrade: h2c\nhttp2-settings: AA"),
        ),
        ("an upgrade to websocket", 200, sized("host: a\nconnection: upgrade\nupgrade: websocket")),
        ("empty lines before the request", 200, [b"\r\n\r\n", sized("host: a").as_slice()].concat()),
        (
            "64 fields",
            200,
            sized(&format!(
                "host: a\n{}",
                (0..62).map(|n| format!("x-{n}: 1\n")).collect::<String>().trim_end()
            )),
        ),
        ("one chunk", 200, in_chunks(1 << 20)),
        ("chunks of one byte", 200, in_chunks(1)),
        ("chunk extensions and trailers", 200, extended),
        ("gzip", 200, compressed("gzip", &gzip(&body))),
        ("GZIP in capitals", 200, compressed("GZIP", &gzip(&body))),
        ("deflate", 200, compressed("deflate", &zlib(&body))),
        ("identity", 200, compressed("identity", &body)),
        ("gzip within gzip", 400, compressed("gzip", &gzip(&gzip(&body)))),
        ("a query that means nothing here", 200, request("POST", &format!("{INFER}?x=1"), &[], &body)),
        ("no type", 200, request("POST", INFER, &[], &body)),
        ("octet-stream", 200, request("POST", INFER, &[("content-type", "application/octet-stream")], &body)),
        ("text", 415, request("POST", INFER, &[("content-type", "text/plain")], &body)),
        (
            "a form",
            415,
            request("POST", INFER, &[("content-type", "multipart/form-data; boundary=x")], &body),
        ),
        (
            "a pickle",
            415,
            request("POST", INFER, &[("content-type", "application/vnd.bentoml+pickle")], &body),
        ),
        ("GET with a body", 200, request("GET", "/v2/health/live", &[], b"hello")),
        ("GET where POST is wanted", 405, request("GET", INFER, &[], b"")),
        ("DELETE", 405, request("DELETE", INFER, &[], b"")),
        ("a method of one's own", 405, request("FROBNICATE", INFER, &[], &body)),
        ("CONNECT", 405, b"CONNECT 169.254.169.254:80 HTTP/1.1\r\nhost: a\r\n\r\n".to_vec()),
        ("OPTIONS of the server", 405, b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n".to_vec()),
        ("PUT to another server", 405, b"PUT http://169.254.169.254/ HTTP/1.1\r\nhost: a\r\n\r\n".to_vec()),
        ("an unknown path", 404, request("GET", "/nothing", &[], b"")),
        ("the root", 404, request("GET", "/", &[], b"")),
        ("dots", 404, request("GET", "/v2/models/../../../../etc/passwd", &[], b"")),
        ("encoded dots", 404, request("GET", "/v2/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd", &[], b"")),
        ("an encoded NUL", 404, request("GET", "/v2/models/breast-cancer%00", &[], b"")),
        ("a fragment", 404, request("GET", "/v2/models/breast-cancer#x", &[], b"")),
        ("two slashes", 404, request("GET", "//v2", &[], b"")),
    ];
    let both = rows.iter().flat_map(|row| targets(&server).map(|target| (row, target)));
    for ((name, status, bytes), target) in both {
        let mut connection = target.connect();
        let answer = connection.ask(bytes);
        assert_eq!(answer.status, *status, "{name}: {}", answer.text());
        if *status == 200 && bytes.starts_with(b"POST") {
            assert_eq!(answer.body, expected, "{name}");
        } else if *status != 200 {
            answer.error(*status);
        }
        assert_eq!(answer.header("connection"), None, "{name}");
        // The next request on the connection proves where the first one ended.
        let next = connection.ask(&request("POST", INFER, &[], &body));
        assert_eq!(next.status, 200, "after {name}: {}", next.text());
    }
    server.stays_up(&vitals, "unusual requests");
    server.settles(&vitals, 8 << 10);
}

#[test]
fn closing_is_the_clients_choice() {
    let server = start();
    for (name, head, stays) in [
        ("1.1", "HTTP/1.1\r\nhost: a", true),
        ("1.1 with close", "HTTP/1.1\r\nhost: a\r\nconnection: close", false),
        ("1.1 with Close among others", "HTTP/1.1\r\nhost: a\r\nconnection: x, Close", false),
        ("1.1 with close before keep-alive", "HTTP/1.1\r\nhost: a\r\nconnection: close, keep-alive", false),
        ("1.1 with keep-alive before close", "HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, close", false),
        (
            "1.1 with close and keep-alive in two fields",
            "HTTP/1.1\r\nhost: a\r\nconnection: close\r\nconnection: keep-alive",
            false,
        ),
        ("1.0", "HTTP/1.0", false),
        ("1.0 with keep-alive", "HTTP/1.0\r\nconnection: keep-alive", true),
    ] {
        let mut connection = server.data().connect();
        let bytes = format!("GET /v2/health/live {head}\r\n\r\n");
        let answer = connection.ask(bytes.as_bytes());
        assert_eq!(answer.status, 200, "{name}");
        assert_eq!(answer.header("connection") != Some("close"), stays, "{name}: {:?}", answer.headers);
        if stays {
            assert_eq!(connection.ask(bytes.as_bytes()).status, 200, "{name}");
        } else {
            assert!(connection.answers_until_close().is_empty(), "{name}");
        }
    }
}

#[test]
fn a_thousand_pipelined_requests_are_answered_in_order() {
    let mut server = start();
    let vitals = server.vitals();
    let (mut body, _) = example("breast-cancer");
    let mut bytes = Vec::new();
    for n in 0..1000 {
        body["id"] = format!("n{n}").into();
        bytes.extend(request("POST", INFER, &[], body.to_string().as_bytes()));
    }
    let mut connection = server.data().connect();
    let mut writer = connection.writer();
    let sender = std::thread::spawn(move || writer.write(&bytes).unwrap());
    for n in 0..1000 {
        let answer = connection.answer().unwrap().unwrap();
        assert_eq!(answer.ok()["id"], format!("n{n}"));
        // Others are not kept waiting by a pipeline.
        if n == 500 {
            assert_eq!(server.data().get("/v2/health/live").status, 200);
        }
    }
    sender.join().unwrap();
    drop(connection);
    server.stays_up(&vitals, "pipelining");
    server.settles(&vitals, 8 << 10);
}

#[test]
fn a_head_request_has_the_length_but_not_the_body() {
    let server = start();
    let mut connection = server.data().connect();
    for path in ["/v2/health/live", "/v2/models/breast-cancer", "/nothing"] {
        let get = server.data().get(path);
        connection.write(&request("HEAD", path, &[], b"")).unwrap();
        let head = connection.answer_to_head().unwrap().unwrap();
        assert_eq!(
            (head.status, head.header("content-length")),
            (get.status, get.header("content-length")),
            "{path}"
        );
    }
    // Nothing was left over between the answers.
    assert_eq!(connection.ask(&request("GET", "/v2", &[], b"")).ok()["name"], "sidegate");
}

#[test]
fn a_client_that_has_finished_sending_still_gets_its_answer() {
    let server = start();
    let mut connection = server.data().connect();
    connection.write(&request("POST", INFER, &[], &good_body())).unwrap();
    connection.finish();
    let answers = connection.answers_until_close();
    assert_eq!(answers.iter().map(|a| a.status).collect::<Vec<_>>(), [200]);
    // In the middle of a request there is nobody to answer.
    let mut connection = server.data().connect();
    connection.write(&request("POST", INFER, &[], &good_body())[..100]).unwrap();
    connection.finish();
    assert!(connection.answers_until_close().is_empty());
}

#[test]
fn clients_that_reset_leave_nothing_behind() {
    let mut server = Setup::with(&["breast-cancer"]).start();
    let vitals = server.vitals();
    let heavy = heavy_request();
    for round in 0..100 {
        for bytes in [&request("POST", INFER, &[], &good_body()), &heavy] {
            let mut connection = server.data().connect();
            let cut = if round % 3 == 0 { bytes.len() / 2 } else { bytes.len() };
            drop(connection.write(&bytes[..cut]));
            connection.reset();
        }
    }
    server.stays_up(&vitals, "resets");
    server.settles(&vitals, 24 << 10);
}

/// A request of many rows, which leaves the worker for an offload lane.
pub(crate) fn heavy_request() -> Vec<u8> {
    let rows = 4000;
    let header = format!(
        r#"{{"inputs":[{{"name":"input","shape":[{rows},30],"datatype":"FP32","parameters":{{"binary_data_size":{}}}}}],"outputs":[{{"name":"probabilities","parameters":{{"binary_data":true}}}}]}}"#,
        rows * 30 * 4
    );
    let length = header.len().to_string();
    let body = [header.as_bytes(), &vec![0; rows * 30 * 4]].concat();
    request("POST", INFER, &[("inference-header-content-length", &length)], &body)
}

#[test]
fn a_million_chunks_cost_no_memory() {
    let mut server = start();
    let bytes = raw("host: a\ntransfer-encoding: chunked", &chunked(&vec![b' '; 1_000_000], 1));
    let short = raw("host: a\ntransfer-encoding: chunked", &chunked(&vec![b' '; 80_000], 1));
    for bytes in [&bytes, &short, &short, &short] {
        assert_eq!(refused(&server.data(), bytes)[0].status, 400);
    }
    let vitals = server.vitals();
    for _ in 0..100 {
        assert_eq!(refused(&server.data(), &short)[0].status, 400);
    }
    assert_eq!(refused(&server.data(), &bytes)[0].status, 400);
    server.stays_up(&vitals, "a million chunks");
    server.settles(&vitals, 1 << 10);
}

#[test]
fn beyond_the_connection_cap_newcomers_wait_and_others_are_served() {
    let mut server = Setup::with(&["breast-cancer"]).config("http.max_connections = 8").start();
    let vitals = server.vitals();
    let live = request("GET", "/v2/health/live", &[], b"");
    let mut held: Vec<Connection> = (0..8).map(|_| server.data().connect()).collect();
    held.iter_mut().for_each(|connection| assert_eq!(connection.ask(&live).status, 200));
    let mut waiting: Vec<Connection> = (0..20).map(|_| server.data().connect()).collect();
    waiting.iter_mut().for_each(|connection| connection.write(&live).unwrap());
    assert!(waiting[0].is_silent_for(Duration::from_millis(300)), "the cap does not hold");
    held.iter_mut().for_each(|connection| assert_eq!(connection.ask(&live).status, 200));
    assert_eq!(server.metric("sidegate_connections"), 8.0);
    drop(held);
    // Each that is served and leaves makes room for the next.
    for mut connection in waiting {
        assert_eq!(connection.answer().unwrap().unwrap().status, 200);
    }
    server.stays_up(&vitals, "the cap");
    server.settles(&vitals, 8 << 10);
}

#[test]
fn unknown_names_make_no_series() {
    let server = start();
    let series = || server.metrics().lines().filter(|line| !line.starts_with('#')).count();
    // One for each status.
    server.data().get("/nothing").error(404);
    server.data().get("/predict").error(405);
    let before = series();
    for n in 0..300 {
        for bytes in [
            request(&format!("M{n}"), "/predict", &[], b""),
            request("GET", &format!("/path{n}"), &[], b""),
            request("POST", &format!("/v2/models/m{n}/infer"), &[], b"{}"),
            request("POST", &format!("/v2/models/breast-cancer/versions/{}/infer", n + 2), &[], b"{}"),
            request("POST", &format!("/predict?model=m{n}"), &[("x-request-id", &format!("id{n}"))], b"{}"),
        ] {
            assert!(matches!(server.data().send(&bytes).status, 404 | 405));
        }
    }
    assert_eq!(series(), before, "{}", server.metrics());
    let counted = |status| server.metric(&format!("sidegate_http_errors_total{{status=\"{status}\"}}"));
    assert_eq!((counted(405), counted(404)), (301.0, 1201.0));
}

#[test]
fn random_garbage_is_refused_or_ignored() {
    let mut server = start();
    let vitals = server.vitals();
    let clients: Vec<_> = (0..4_u64)
        .map(|client| {
            let target = server.data();
            std::thread::spawn(move || {
                // xorshift (Marsaglia): the same garbage every time.
                let mut state = 0x9e37_79b9_7f4a_7c15 ^ client;
                let mut next = move || {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state
                };
                for _ in 0..250 {
                    let length = 1 + next() as usize % 600;
                    let garbage: Vec<u8> = (0..length).map(|_| next() as u8).collect();
                    let mut connection = target.connect();
                    drop(connection.write(&garbage));
                    connection.finish();
                    let answers = connection.answers_until_close();
                    assert!(
                        answers.len() <= 1 && answers.iter().all(|a| (400..500).contains(&a.status)),
                        "{answers:?}"
                    );
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    server.stays_up(&vitals, "garbage");
    server.settles(&vitals, 8 << 10);
    wait("no connection left", Duration::from_secs(5), || {
        (server.metric("sidegate_connections") == 0.0).then_some(())
    });
}
