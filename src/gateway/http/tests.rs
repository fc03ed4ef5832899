use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Result<Head, Refusal> {
    let mut scan = Scan::default();
    match find_end(text.as_bytes(), &mut scan)? {
        Some(length) => {
            let head = parse(text.as_bytes())?;
            assert_eq!(head.length, length);
            Ok(head)
        }
        None => Err(Refusal::malformed("incomplete")),
    }
}

#[track_caller]
fn refused(text: &str, status: u16) {
    let got = read(text).map(|_| 200).unwrap_or_else(|r| r.status);
    assert_eq!(got, status, "{:?}", &text[..text.len().min(120)]);
}

#[test]
fn any_field_can_be_looked_up_by_its_whole_name() {
    let head = b"\r\nPOST /uid:1 HTTP/1.1\r\nHost: a\r\nX-Uid: no\r\nuId:  u 1 \r\nuid-2: no\r\nUID: u2\r\nempty:\r\n\r\n";
    let found =
        |name| fields(head, name).map(|value| std::str::from_utf8(value).unwrap()).collect::<Vec<_>>();
    assert_eq!(found("uid"), ["u 1", "u2"]);
    assert_eq!(found("empty"), [""]);
    assert!(["id", "ui", "", "none"].iter().all(|name| found(name).is_empty()));
}

#[test]
fn a_usual_head() {
    let text = "POST /v2/models/m/infer?x=1 HTTP/1.1\r\nHost: a\r\ncontent-length: 5\r\nX-Request-Id: r7\r\n\r\nhello";
    let head = read(text).unwrap();
    assert_eq!((&text[head.path.clone()], &text[head.query.clone()]), ("/v2/models/m/infer", "x=1"));
    assert_eq!((head.method, head.framing, head.keep_alive), (Method::Post, Framing::Length(5), true));
    assert_eq!(&text[head.request_id.unwrap()], "r7");
    assert!(read("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").is_ok(), "empty lines before the request line");
    assert!(!read("GET / HTTP/1.0\r\n\r\n").unwrap().keep_alive);
    assert!(read("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").unwrap().keep_alive);
    assert!(!read("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n").unwrap().keep_alive);
}

#[test]
fn ambiguous_framing_is_refused() {
    let with = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
    for (fields, status) in [
        ("Content-Length: 3\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 3", 400),
        ("Content-Length: 3\r\nContent-Length: 4", 400),
        ("Content-Length: 3\r\nContent-Length: 3", 200),
        ("Content-Length: 3, 3", 400),
        ("Content-Length: +3", 400),
        ("Content-Length: -1", 400),
        ("Content-Length:", 400),
        ("Content-Length: 18446744073709551616", 413),
        ("Transfer-Encoding: chunked, chunked", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: gzip, chunked", 501),
        ("Transfer-Encoding: identity", 501),
        ("Transfer-Encoding: xchunked", 501),
        ("Transfer-Encoding: Chunked", 200),
        ("Host: b", 400),
        ("Expect: 200-ok", 417),
        ("Expect: 100-continue", 200),
        ("Content-Encoding: br", 415),
        ("Content-Encoding: gzip\r\nContent-Encoding: gzip", 415),
        ("Content-Encoding: gzip", 200),
        ("a : b", 400),
        (" folded", 400),
        ("a: b\r\n folded", 400),
        ("a: b\0c", 400),
        ("a: b\rc", 400),
        ("Inference-Header-Content-Length: 1\r\nInference-Header-Content-Length: 2", 400),
    ] {
        refused(&with(fields), status);
    }
    refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
    refused("POST / HTTP/1.1\r\n\r\n", 400);
    refused("POST / HTTP/1.1\nHost: a\n\n", 400);
    refused("POST / HTTP/1.1\r\nHost: a\nb: c\r\n\r\n", 400);
    refused("GET http://169.254.169.254/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    refused("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 400);
    refused("\x16\x03\x01\x02\x00\x01\r\n\r\n", 400);
}

#[test]
fn sizes_are_limited() {
    refused(&format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(70_000)), 414);
    refused(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(100)), 431);
    refused(&format!("GET / HTTP/1.1\r\nHost: a\r\nb: {}\r\n\r\n", "x".repeat(40_000)), 431);
    let method = "M".repeat(7000);
    assert_eq!(read(&format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap().method, Method::Other);
}

fn chunked(text: &str, limit: usize) -> Result<(Vec<u8>, usize), Refusal> {
    // Byte by byte, so that every state is left and entered again.
    let (mut decoder, mut out, mut from) = (Chunked::new(limit), Vec::new(), 0);
    for to in 1..=text.len() {
        match decoder.decode(&text.as_bytes()[from..to], &mut out)? {
            Progress::More(used) => from += used,
            Progress::Done(used) => return Ok((out, from + used)),
        }
    }
    Err(Refusal::malformed("incomplete"))
}

#[test]
fn chunked_bodies() {
    let text = "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\ntrailer: 1\r\n\r\nNEXT";
    assert_eq!(chunked(text, 5).unwrap(), (b"abcde".to_vec(), text.len() - 4));
    let status = |text: &str, limit| chunked(text, limit).unwrap_err().status;
    assert_eq!(status(text, 4), 413);
    for bad in [
        "3\r\nabcd\r\n",
        "x\r\n",
        "\r\n",
        "-1\r\n",
        "3\nabc\r\n",
        "ffffffffffffffff1\r\n",
        "0x3\r\nabc\r\n",
        "3 3\r\nabc",
    ] {
        assert_eq!(status(bad, 100), 400, "{bad:?}");
    }
    assert_eq!(status(&"1\r\na\r\n".repeat(70_000), 1 << 20), 400, "too many chunks");
    assert_eq!(status(&format!("3;{}\r\n", "e".repeat(20_000)), 100), 400);
}

proptest! {
    #[test]
    fn any_bytes_end_in_a_head_or_a_refusal(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut scan = Scan::default();
        if let Ok(Some(_)) = find_end(&bytes, &mut scan) {
            drop(parse(&bytes));
        }
        drop(Chunked::new(100).decode(&bytes, &mut Vec::new()));
    }
}
