//! Requests that are well framed and wrong inside: refused with the client's status, never with the server's.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::client::{Answer, request};
use super::harness::{CANARY, Server, Setup, example};

const INFER: &str = "/v2/models/breast-cancer/infer";
const PENGUINS: &str = "/v2/models/penguins/infer";

/// One request and the statuses it may get.
struct Row {
    name: String,
    bytes: Vec<u8>,
    statuses: &'static [u16],
    /// What the text must say.
    says: &'static str,
}

fn post(name: impl Into<String>, path: &str, body: impl AsRef<[u8]>, statuses: &'static [u16]) -> Row {
    Row { name: name.into(), bytes: request("POST", path, &[], body.as_ref()), statuses, says: "" }
}

/// A tensor of breast-cancer with this shape, datatype and data, as they are written.
fn tensor(shape: &str, datatype: &str, data: &str) -> String {
    format!(r#"{{"inputs":[{{"name":"input","shape":{shape},"datatype":"{datatype}","data":{data}}}]}}"#)
}

fn numbers(count: usize) -> String {
    json!(vec![0.5; count]).to_string()
}

/// Thirty numbers of which the first is written as given.
fn with_first(first: &str) -> String {
    format!("[{first}{}]", ",1".repeat(29))
}

/// P1 to P5 and P20: shapes.
fn shapes() -> Vec<Row> {
    let shape = |shape: &str| post(format!("shape {shape}"), INFER, tensor(shape, "FP32", "[1.0]"), &[400]);
    let mut rows: Vec<Row> = [
        "[16,1152921504606846978]",
        "[4,1152921504606846978]",
        "[1,-1]",
        "[-1,30]",
        "[1,9223372036854775808]",
        "[1,18446744073709551616]",
        "[1e0,30]",
        "[1,30.0]",
        "[1,\"30\"]",
        "[1,null]",
        "[1000000,1000000]",
        "[10001,30]",
        "[10000,30]",
        "[]",
        "[30]",
        "[1,1,30]",
        "[0]",
        "[1,0]",
        "\"1,30\"",
        "{}",
        "null",
        "[[1,30]]",
    ]
    .into_iter()
    .map(shape)
    .collect();
    rows.push(post("rank 100", INFER, tensor(&json!(vec![1; 100]).to_string(), "FP32", "[1.0]"), &[400]));
    rows.push(post("no rows", INFER, tensor("[0,30]", "FP32", "[]"), &[200, 400]));
    let many = format!("[{}]", vec!["0"; 30 * 10_001].join(","));
    rows.push(Row {
        says: "at most 10000",
        ..post("too many rows", INFER, tensor("[10001,30]", "FP32", &many), &[400])
    });
    rows
}

/// P6, P7 and P21: datatypes and numbers.
fn values() -> Vec<Row> {
    let mut rows = Vec::new();
    for datatype in ["FP64", "INT64", "BYTES", "BOOL", "fp32", "FP31", "", "TYPE_FP32"] {
        rows.push(post(
            format!("datatype {datatype}"),
            INFER,
            tensor("[1,30]", datatype, &numbers(30)),
            &[400],
        ));
    }
    let says = "expected datatype FP32, got FP64";
    rows.push(Row {
        says,
        ..post("both datatypes named", INFER, tensor("[1,30]", "FP64", &numbers(30)), &[400])
    });
    for (value, statuses) in [
        ("NaN", &[200][..]),
        ("Infinity", &[200]),
        ("-Infinity", &[200]),
        ("null", &[200]),
        ("-0.0", &[200]),
        ("1e-45", &[200]),
        ("4.9e-324", &[200]),
        ("1e999", &[400]),
        ("-1e999", &[400]),
        ("3.5e38", &[400]),
        ("nan", &[400]),
        ("Inf", &[400]),
        ("0x10", &[400]),
        ("01", &[400]),
        ("1.", &[400]),
        ("+1", &[400]),
        ("\"1\"", &[400]),
        ("true", &[400]),
        ("{}", &[400]),
        ("[1]", &[400]),
        ("1_000", &[400]),
    ] {
        rows.push(post(
            format!("value {value}"),
            INFER,
            tensor("[1,30]", "FP32", &with_first(value)),
            statuses,
        ));
    }
    for year in ["2009.5", "9223372036854775808", "-9223372036854775809", "1e30", "null", "NaN", "\"2009\""] {
        let (mut body, _) = example("penguins");
        body["inputs"][2]["data"] = json!(["THE YEAR"]);
        let body = body.to_string().replace("\"THE YEAR\"", year);
        rows.push(post(format!("an integer of {year}"), PENGUINS, body, &[400]));
    }
    rows
}

/// P9 to P13 and P17: the structure of the JSON.
fn structures() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, data) in [
        ("too few", numbers(29)),
        ("too many", numbers(31)),
        ("none", "[]".into()),
        ("nested too deep", format!("[[{}]]", numbers(30))),
        ("ragged", "[[1,2],[3]]".into()),
        ("flat and nested", format!("[1,[{}]]", ["2"; 29].join(","))),
        ("nested and flat", format!("[[1],{}]", ["2"; 29].join(","))),
        ("an object", "{}".into()),
        ("a string", "\"abc\"".into()),
        ("a number", "3".into()),
    ] {
        rows.push(post(format!("data: {name}"), INFER, tensor("[1,30]", "FP32", &data), &[400]));
    }
    for depth in [33, 101, 1000, 250_000] {
        rows.push(post(
            format!("data nested {depth} deep"),
            INFER,
            tensor("[1,30]", "FP32", &"[".repeat(depth)),
            &[400],
        ));
        let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        rows.push(post(format!("nested {depth} deep"), INFER, &deep, &[400]));
        rows.push(post(
            format!("rows nested {depth} deep"),
            "/predict?model=breast-cancer",
            "[".repeat(depth),
            &[400],
        ));
    }
    let good = tensor("[1,30]", "FP32", &numbers(30));
    let input = &good[11..good.len() - 2];
    for (name, body) in [
        ("nothing", String::new()),
        ("white space", "  \r\n".into()),
        ("an array", "[]".into()),
        ("null", "null".into()),
        ("half a document", good[..good.len() / 2].into()),
        ("two documents", format!("{good}{good}")),
        ("text behind it", format!("{good}x")),
        ("a byte order mark", format!("\u{feff}{good}")),
        ("a comma too many", good.replace("]}]}", "]},]}")),
        ("single quotes", good.replace('"', "'")),
        ("inputs twice", format!(r#"{{"inputs":[{input}],"inputs":[{input}]}}"#)),
        ("id twice", format!(r#"{{"id":"a","id":"b","inputs":[{input}]}}"#)),
        ("a key of a tensor twice", good.replace("\"shape\"", "\"datatype\":\"FP32\",\"shape\"")),
        ("data twice", good.replace("\"data\"", "\"data\":[1],\"data\"")),
        ("the same input twice", format!(r#"{{"inputs":[{input},{input}]}}"#)),
        (
            "the same output twice",
            format!(r#"{{"inputs":[{input}],"outputs":[{{"name":"label"}},{{"name":"label"}}]}}"#),
        ),
        ("an unknown output", format!(r#"{{"inputs":[{input}],"outputs":[{{"name":"nope"}}]}}"#)),
        ("an output without a name", format!(r#"{{"inputs":[{input}],"outputs":[{{}}]}}"#)),
        ("no inputs", r#"{"inputs":[]}"#.into()),
        ("inputs of another kind", r#"{"inputs":{"input":[1]}}"#.into()),
        ("an input that is no object", r#"{"inputs":[3]}"#.into()),
        ("an unknown input", good.replace("\"input\"", "\"nope\"")),
        (
            "one input too many",
            format!(r#"{{"inputs":[{input},{}]}}"#, input.replace("\"input\"", "\"more\"")),
        ),
        ("no name", good.replace("\"name\":\"input\",", "")),
        ("no shape", good.replace("\"shape\":[1,30],", "")),
        ("no datatype", good.replace("\"datatype\":\"FP32\",", "")),
        ("no data", good.split(",\"data\"").next().unwrap().to_owned() + "}]}"),
        ("an id of 257 bytes", format!(r#"{{"id":"{}","inputs":[{input}]}}"#, "i".repeat(257))),
        ("an id of 1 MB", format!(r#"{{"id":"{}","inputs":[{input}]}}"#, "i".repeat(1 << 20))),
        ("an id that is a number", format!(r#"{{"id":7,"inputs":[{input}]}}"#)),
        ("65 parameters", {
            let parameters: String = (0..65).map(|n| format!("\"p{n}\":1,")).collect();
            format!(r#"{{"parameters":{{{}}},"inputs":[{input}]}}"#, parameters.trim_end_matches(','))
        }),
        ("parameters that are a list", format!(r#"{{"parameters":[],"inputs":[{input}]}}"#)),
        ("a sequence", format!(r#"{{"parameters":{{"sequence_id":7}},"inputs":[{input}]}}"#)),
        ("a lone surrogate", good.replace("\"input\"", "\"\\ud800\"")),
        ("a lone surrogate in a skipped key", format!(r#"{{"\udc00":1,"inputs":[{input}]}}"#)),
        ("an unknown escape", good.replace("\"input\"", "\"\\q\"")),
        ("a control character", good.replace("\"input\"", "\"in\nput\"")),
    ] {
        rows.push(post(name, INFER, body, &[400]));
    }
    let mut invalid = good.clone().into_bytes();
    invalid[20] = 0xff;
    rows.push(post("invalid UTF-8", INFER, invalid, &[400]));
    let (mut penguin, _) = example("penguins");
    penguin["inputs"].as_array_mut().unwrap().remove(3);
    rows.push(Row {
        says: "bill_length_mm",
        ..post("a missing input", PENGUINS, penguin.to_string(), &[400])
    });
    for (name, value) in
        [("a lone surrogate", r#""\ud800""#), ("a truncated escape", r#""\u12""#), ("a number", "3")]
    {
        let (mut body, _) = example("penguins");
        body["inputs"][0]["data"] = json!(["THE ISLAND"]);
        let body = body.to_string().replace("\"THE ISLAND\"", value);
        rows.push(post(format!("a string that is {name}"), PENGUINS, body, &[400]));
    }
    rows
}

/// P14 to P16: binary tensors.
fn binary() -> Vec<Row> {
    let mut rows = Vec::new();
    let header = |size: &str| {
        format!(
            r#"{{"inputs":[{{"name":"input","shape":[1,30],"datatype":"FP32","parameters":{{"binary_data_size":{size}}}}}]}}"#
        )
    };
    let body =
        |size: &str, bytes: usize| (header(size).len(), [header(size).as_bytes(), &vec![0; bytes]].concat());
    let mut sent = |name: &str, path: &str, length: &str, body: &[u8], statuses| {
        let fields =
            [("inference-header-content-length", length), ("content-type", "application/octet-stream")];
        rows.push(Row { name: name.into(), bytes: request("POST", path, &fields, body), statuses, says: "" });
    };
    let (length, good) = body("120", 120);
    let all = good.len();
    sent("a good binary tensor", INFER, &length.to_string(), &good, &[200]);
    for length in [
        "-5",
        "99999999999",
        "99999999999999999999999",
        "abc",
        "",
        "1e2",
        " ",
        "5, 5",
        &(all + 1).to_string(),
    ] {
        sent(&format!("a header length of {length:?}"), INFER, length, &good, &[400]);
    }
    for length in [1, length - 1, length + 1, all] {
        sent(
            &format!("a header length of {length}, which is elsewhere"),
            INFER,
            &length.to_string(),
            &good,
            &[400],
        );
    }
    for (size, bytes) in [
        ("119", 119),
        ("124", 124),
        ("0", 0),
        ("120", 119),
        ("120", 121),
        ("-120", 120),
        ("18446744073709551615", 120),
        ("18446744073709551616", 120),
        ("120.0", 120),
        ("\"120\"", 120),
        ("null", 120),
    ] {
        let (length, body) = body(size, bytes);
        sent(
            &format!("binary_data_size {size} with {bytes} bytes"),
            INFER,
            &length.to_string(),
            &body,
            &[400],
        );
    }
    let both = header("120").replace("\"parameters\"", "\"data\":[1],\"parameters\"");
    sent(
        "data and binary data",
        INFER,
        &both.len().to_string(),
        &[both.as_bytes(), &[0; 120]].concat(),
        &[400],
    );
    for (name, bytes) in [("too short", 119), ("too long", 121), ("two rows", 240), ("empty", 0)] {
        sent(&format!("a raw tensor that is {name}"), INFER, "0", &vec![0; bytes], &[400]);
    }
    sent("a raw tensor for several inputs", PENGUINS, "0", b"\x03\0\0\0abc", &[400]);
    for (name, island) in [
        ("a length beyond the buffer", &b"\x10\0\0\0abc"[..]),
        ("a length of 2^32 - 1", b"\xff\xff\xff\xffabc"),
        ("no room for a length", b"\x01\0"),
        ("nothing", b""),
        ("two elements instead of one", b"\x01\0\0\0a\x01\0\0\0b"),
        ("bytes behind it", b"\x03\0\0\0abcd"),
    ] {
        let (mut request, _) = example("penguins");
        request["inputs"][0].as_object_mut().unwrap().remove("data");
        request["inputs"][0]["parameters"] = json!({"binary_data_size": island.len()});
        let header = request.to_string();
        let length = header.len().to_string();
        sent(&format!("BYTES with {name}"), PENGUINS, &length, &[header.as_bytes(), island].concat(), &[400]);
    }
    rows
}

/// P18, P19, P22, P23 and P25: names, foreign memory, foreign code, deadlines.
fn names() -> Vec<Row> {
    let good = tensor("[1,30]", "FP32", &numbers(30));
    let mut rows = Vec::new();
    for version in
        ["0", "00", "01", "1e1", "-1", "+1", "1.0", "2", "36893488147419103232", "latest", "%31", "1%00", ""]
    {
        let path = format!("/v2/models/breast-cancer/versions/{version}/infer");
        rows.push(post(format!("version {version:?}"), &path, &good, &[404]));
    }
    let long = "x".repeat(300);
    for name in [
        "..",
        "...",
        "a/../b",
        "%2e%2e",
        "%2e%2e%2fetc",
        "..%5c..",
        "%00",
        "con",
        "nul",
        "%20",
        "+",
        "~",
        "a%0d%0ab",
        "breast-cancer%20",
        "Breast-Cancer",
        "%E2%80%8Bbreast-cancer",
        "%E2%80%AEx",
        "http:%2f%2f169.254.169.254",
        &long,
    ] {
        let path = format!("/v2/models/{name}/infer");
        rows.push(post(format!("model {name:?}"), &path, &good, &[400, 404]));
        rows.push(post(format!("?model={name}"), &format!("/predict?model={name}"), "[[1]]", &[400, 404]));
        rows.push(post(
            format!("loading {name:?}"),
            &format!("/v2/repository/models/{name}/load"),
            "{}",
            &[400, 404],
        ));
    }
    for query in ["model=a&model=b", "model=%", "model=%zz", "model=%ff", "model="] {
        rows.push(post(format!("?{query}"), &format!("/predict?{query}"), "[[1]]", &[400, 404]));
    }
    let (input, output) = (
        "\"data\":",
        "\"parameters\":{\"shared_memory_region\":\"r\",\"shared_memory_byte_size\":4},\"data\":",
    );
    rows.push(post("an input in shared memory", INFER, good.replace(input, output), &[400]));
    let shared = r#""outputs":[{"name":"label","parameters":{"shared_memory_region":"r"}}],"inputs""#;
    rows.push(post("an output in shared memory", INFER, good.replace("\"inputs\"", shared), &[400]));
    for path in [
        "/v2/systemsharedmemory/region/r/register",
        "/v2/cudasharedmemory/status",
        "/v2/trace/setting",
        "/v2/logging",
    ] {
        rows.push(post(path, path, r#"{"key":"/etc/passwd","offset":0,"byte_size":8}"#, &[501]));
    }
    for verb in ["generate", "generate_stream"] {
        rows.push(post(verb, &format!("/v2/models/breast-cancer/{verb}"), "{}", &[501]));
    }
    for media in [
        "application/x-pickle",
        "application/vnd.bentoml+pickle",
        "application/python-pickle",
        "text/csv",
        "application/xml",
    ] {
        for path in [INFER, "/predict?model=breast-cancer"] {
            let bytes = request("POST", path, &[("content-type", media)], b"cposix\nsystem\n(S'true'\ntR.");
            rows.push(Row { name: format!("{media} to {path}"), bytes, statuses: &[415], says: "" });
        }
    }
    for (timeout, statuses) in [
        ("0", &[400][..]),
        ("-1", &[400]),
        ("1.5", &[400]),
        ("soon", &[400]),
        ("", &[400]),
        ("99999999999999999999999", &[400]),
        ("18446744073709551615", &[200]),
        ("600000", &[200]),
    ] {
        let bytes = request("POST", INFER, &[("x-request-timeout-ms", timeout)], good.as_bytes());
        rows.push(Row { name: format!("a time limit of {timeout:?}"), bytes, statuses, says: "" });
    }
    let expired = good.replace("{\"inputs\"", "{\"parameters\":{\"timeout\":1},\"inputs\"");
    rows.push(post("a time limit of 1 µs", INFER, expired, &[504]));
    let endless =
        good.replace("{\"inputs\"", "{\"parameters\":{\"timeout\":18446744073709551615},\"inputs\"");
    rows.push(post("a time limit of 2^64 - 1 µs", INFER, endless, &[200]));
    rows
}

/// The founding endpoints' decoder.
fn tables() -> Vec<Row> {
    let mut rows = Vec::new();
    for body in [
        "",
        "x",
        "3",
        "null",
        "\"x\"",
        "[]",
        "{}",
        "[1,[2]]",
        "[{},[]]",
        "[{}]",
        "[[]]",
        "[[1,2]]",
        "{\"records\":3}",
        "{\"records\":[],\"rows\":[]}",
        "{\"columns\":[1],\"data\":[[1]]}",
        "{\"dataframe_split\":{}}",
        "{\"instances\":[[1],[1,2]]}",
        "[[NaN]]",
        "{\"inputs\":3}",
    ] {
        rows.push(post(format!("/predict with {body}"), "/predict?model=breast-cancer", body, &[400]));
        rows.push(post(
            format!("/invocations with {body}"),
            "/invocations?model=breast-cancer",
            body,
            &[400],
        ));
    }
    let distinct: Vec<String> = (0..10_000).map(|n| format!(r#"{{"a{n}":1}}"#)).collect();
    let ragged = format!("[[{0}],[{0}]]", format_args!("[1,2]{}", ",3".repeat(28)));
    let ragged = ragged.replacen("[1,2],3", "1,[2,3]", 1);
    for (name, body) in
        [("10,000 distinct keys", format!("[{}]", distinct.join(","))), ("ragged rows", ragged)]
    {
        rows.push(post(format!("/predict with {name}"), "/predict?model=breast-cancer", &body, &[400]));
        rows.push(post(
            format!("/invocations with {name}"),
            "/invocations?model=breast-cancer",
            body,
            &[400],
        ));
    }
    for (name, body) in [
        ("ragged", "1,2\n3\n"),
        ("text", "a,b\nc,d\n"),
        ("an open quote", "\"1,2\n"),
        ("NUL", "\0\0\n"),
        ("nothing", ""),
    ] {
        let bytes = request(
            "POST",
            "/invocations?model=breast-cancer",
            &[("content-type", "text/csv")],
            body.as_bytes(),
        );
        rows.push(Row { name: format!("CSV: {name}"), bytes, statuses: &[400], says: "" });
    }
    let sagemaker =
        |size: &str| format!("application/vnd.sagemaker-triton.binary+json;json-header-size={size}");
    for size in ["", "x", "-1", "999999", "99999999999999999999"] {
        let bytes =
            request("POST", "/invocations?model=breast-cancer", &[("content-type", &sagemaker(size))], b"{}");
        rows.push(Row { name: format!("json-header-size={size}"), bytes, statuses: &[400], says: "" });
    }
    rows
}

fn all_rows() -> Vec<Row> {
    [shapes(), values(), structures(), binary(), names(), tables()].into_iter().flatten().collect()
}

fn start() -> Server {
    Setup::with(&["breast-cancer", "penguins"]).start()
}

/// No host path, no address, no source of ours, no secret: whatever the client did, it learns nothing of the host.
#[track_caller]
fn tells_nothing(name: &str, answer: &Answer, server: &Server) {
    let text = answer.text();
    let folder = server.path("").display().to_string();
    for secret in [
        folder.trim_end_matches('/'),
        env!("CARGO_MANIFEST_DIR"),
        "/tmp",
        "/root",
        "/home",
        "/proc",
        ".rs:",
        "0x7f",
        "0x5",
        CANARY,
    ] {
        assert!(!text.contains(secret), "{name}: {secret:?} in {text}");
    }
    let address = server.http.to_string();
    assert!(
        !text.contains(&address) && !text.contains(&server.admin.to_string()),
        "{name}: an address in {text}"
    );
}

#[test]
fn every_row_gets_its_status_and_the_server_stays_up() {
    let mut server = start();
    let rows = all_rows();
    let vitals = server.vitals();
    for Row { name, bytes, statuses, says } in &rows {
        let answer = server.data().send(bytes);
        assert!(statuses.contains(&answer.status), "{name}: {} {}", answer.status, answer.text());
        tells_nothing(name, &answer, &server);
        assert!(answer.body.len() < 2000, "{name}: the answer echoes the request");
        if answer.status != 200 {
            let text = answer.error(answer.status);
            assert!(text.contains(says), "{name}: {text}");
        }
    }
    server.stays_up(&vitals, "the table");
    // Buffers have their size by now; a hundred more of each must not add to it.
    let vitals = server.vitals();
    let mut connection = server.data().connect();
    for Row { bytes, .. } in rows.iter().filter(|row| row.bytes.len() < 64 << 10) {
        for _ in 0..100 {
            if connection.ask(bytes).header("connection") == Some("close") {
                connection = server.data().connect();
            }
        }
    }
    drop(connection);
    server.stays_up(&vitals, "a hundred times the table");
    server.settles(&vitals, 8 << 10);
}

#[test]
fn large_wrong_bodies_leave_no_memory_behind() {
    let mut server = start();
    let large: Vec<Row> = all_rows().into_iter().filter(|row| row.bytes.len() >= 64 << 10).collect();
    let again = |times: usize| {
        for Row { name, bytes, statuses, .. } in &large {
            for _ in 0..times {
                let status = server.data().send(bytes).status;
                assert!(statuses.contains(&status), "{name}: {status}");
            }
        }
    };
    again(2);
    let vitals = server.vitals();
    again(100 / large.len().max(1));
    server.stays_up(&vitals, "large bodies");
    server.settles(&vitals, 8 << 10);
}

#[test]
fn non_finite_numbers_are_refused_where_the_configuration_says_so() {
    let server = Setup::with(&["breast-cancer"]).config("http.reject_non_finite = true").start();
    for value in ["NaN", "Infinity", "-Infinity", "null"] {
        let body = tensor("[1,30]", "FP32", &with_first(value));
        server.data().post(INFER, body).error(400);
    }
    assert_eq!(server.data().post(INFER, tensor("[1,30]", "FP32", &numbers(30))).status, 200);
}

#[test]
fn nul_in_a_string_makes_the_round_trip() {
    let server = start();
    let (mut body, _) = example("penguins");
    body["inputs"][0]["data"] = json!(["Bis\u{0}coe"]);
    body["id"] = json!("a\u{0}b\"\\\u{1f427}");
    let answer = server.data().post(PENGUINS, body.to_string()).ok();
    assert_eq!(answer["id"], body["id"]);
}

/// One change to a request's bytes.
#[derive(Clone, Debug)]
enum Change {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
    Insert(prop::sample::Index, &'static str),
}

const TOKENS: [&str; 16] = [
    "null",
    "[",
    "]",
    "{",
    "}",
    ",",
    "\"",
    "NaN",
    "-",
    "1e999",
    "18446744073709551616",
    "\\ud800",
    "\u{0}",
    "\"data\":",
    "é",
    "0",
];

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, bits)| Change::Flip(at, bits)),
        (at(), 1..40_usize).prop_map(|(at, n)| Change::Cut(at, n)),
        (at(), 1..40_usize).prop_map(|(at, n)| Change::Repeat(at, n)),
        (at(), prop::sample::select(TOKENS.to_vec())).prop_map(|(at, token)| Change::Insert(at, token)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    if bytes.is_empty() {
        return;
    }
    match change {
        Change::Flip(at, bits) => {
            let at = at.index(bytes.len());
            bytes[at] ^= bits;
        }
        Change::Cut(at, count) => {
            let at = at.index(bytes.len());
            bytes.drain(at..(at + count).min(bytes.len()));
        }
        Change::Repeat(at, count) => {
            let at = at.index(bytes.len());
            let piece = bytes[at..(at + count).min(bytes.len())].to_vec();
            bytes.splice(at..at, piece);
        }
        Change::Insert(at, token) => {
            let at = at.index(bytes.len());
            bytes.splice(at..at, token.bytes());
        }
    }
}

/// Path, headers and body of a good request.
type Seed = (String, Vec<(&'static str, String)>, Vec<u8>);

/// Good requests: path, header fields, body.
fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for model in ["breast-cancer", "penguins"] {
        let (body, _) = example(model);
        seeds.push((format!("/v2/models/{model}/infer"), Vec::new(), body.to_string().into_bytes()));
        let row: Vec<Value> = body["inputs"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|i| i["data"].as_array().unwrap().clone())
            .collect();
        seeds.push((
            format!("/predict?model={model}"),
            Vec::new(),
            json!({"rows": [row]}).to_string().into_bytes(),
        ));
        seeds.push((
            format!("/invocations?model={model}"),
            Vec::new(),
            json!({"data": [row, row]}).to_string().into_bytes(),
        ));
    }
    let header = r#"{"inputs":[{"name":"input","shape":[1,30],"datatype":"FP32","parameters":{"binary_data_size":120}}],"parameters":{"binary_data_output":true}}"#;
    let body = [header.as_bytes(), &[63; 120]].concat();
    seeds.push((INFER.to_owned(), vec![("inference-header-content-length", header.len().to_string())], body));
    let csv = vec![("content-type", "text/csv".to_owned())];
    seeds.push((
        "/invocations?model=breast-cancer".to_owned(),
        csv,
        format!("{}\n", ["1.5"; 30].join(",")).into_bytes(),
    ));
    seeds
}

#[test]
fn mutated_requests_are_answered_by_the_rules() {
    let mut server = start();
    let vitals = server.vitals();
    let seeds = seeds();
    for (path, fields, body) in &seeds {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        assert_eq!(server.data().post_with(path, &fields, body).status, 200, "{path}");
    }
    let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
    let strategy = (0..seeds.len(), prop::collection::vec(change(), 1..6));
    let result = TestRunner::new(config).run(&strategy, |(seed, changes)| {
        let (path, fields, mut body) = seeds[seed].clone();
        changes.iter().for_each(|change| apply(&mut body, change));
        let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let answer = server.data().post_with(&path, &fields, &body);
        prop_assert!(answer.status < 500, "{} {}", answer.status, answer.text());
        if answer.status == 200 {
            let json = match answer.header("inference-header-content-length") {
                Some(_) => answer.parts().0,
                None => answer.json(),
            };
            prop_assert!(json["model_name"].is_string(), "{json}");
        } else {
            let json = answer.json();
            prop_assert!(json["error"].is_string() && json["code"].is_string(), "{json}");
        }
        tells_nothing("a mutated request", &answer, &server);
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    server.stays_up(&vitals, "mutated requests");
    server.settles(&vitals, 8 << 10);
}
