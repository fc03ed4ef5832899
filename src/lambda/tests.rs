//! Events as AWS documents them, and the payloads that go back.

use std::time::{Duration, SystemTime};

use ::http::{HeaderMap, Method, Request, Response};
use hyper::body::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::event::{Form, read};
use super::reply::{Fault, MOST, Reply};
use super::{complete, patience};

/// The example of payload format 2.0 in API Gateway's developer guide, with what this gateway is asked.
fn http_api() -> Value {
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/predict",
        "rawQueryString": "model=churn%40staging&parameter1=value1&parameter1=value2",
        "cookies": ["cookie1=value1", "cookie2=value2"],
        "headers": {"content-type": "application/json", "x-request-id": "mine", "header2": "value1,value2",
            "host": "id.execute-api.us-east-1.amazonaws.com", "content-length": "17"},
        "queryStringParameters": {"model": "churn@staging", "parameter1": "value1,value2"},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api-id",
            "authentication": {"clientCert": {"clientCertPem": "CERT_CONTENT", "subjectDN": "www.example.com",
                "issuerDN": "Example issuer", "serialNumber": "a1:a1:a1:a1:a1:a1:a1:a1:a1:a1:a1:a1:a1:a1:a1:a1",
                "validity": {"notBefore": "May 28 12:30:02 2019 GMT", "notAfter": "Aug  5 09:36:04 2021 GMT"}}},
            "authorizer": {"jwt": {"claims": {"claim1": "value1", "claim2": "value2"}, "scopes": ["scope1", "scope2"]}},
            "domainName": "id.execute-api.us-east-1.amazonaws.com",
            "domainPrefix": "id",
            "http": {"method": "POST", "path": "/predict", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1",
                "userAgent": "agent"},
            "requestId": "id",
            "routeKey": "$default",
            "stage": "$default",
            "time": "12/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1_583_348_638_390_u64
        },
        "body": "[{\"age\": 41.50}]\n",
        "pathParameters": {"parameter1": "value1"},
        "isBase64Encoded": false,
        "stageVariables": {"stageVariable1": "value1", "stageVariable2": "value2"}
    })
}

/// The example of payload format 1.0 in the same guide, shortened by what is read by nobody.
fn rest_api() -> Value {
    json!({
        "version": "1.0",
        "resource": "/{proxy+}",
        "path": "/v2/models/churn/infer",
        "httpMethod": "POST",
        "headers": {"header1": "value1", "header2": "value2"},
        "multiValueHeaders": {"header1": ["value1"], "header2": ["value1", "value2"], "Cookie": ["a=1", "b=2"]},
        "queryStringParameters": {"parameter1": "value2", "parameter2": "a b&c"},
        "multiValueQueryStringParameters": {"parameter1": ["value1", "value2"], "parameter2": ["a b&c"]},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "id",
            "authorizer": {"claims": null, "scopes": null},
            "domainName": "id.execute-api.us-east-1.amazonaws.com",
            "httpMethod": "POST",
            "identity": {"accessKey": null, "sourceIp": "192.0.2.1", "userAgent": "user-agent"},
            "path": "/prod/v2/models/churn/infer",
            "protocol": "HTTP/1.1",
            "requestId": "id=",
            "resourcePath": "/{proxy+}",
            "stage": "prod"
        },
        "pathParameters": null,
        "stageVariables": null,
        "body": "aGVsbG8A/w==",
        "isBase64Encoded": true
    })
}

/// The example of the guide of Application Load Balancers.
fn load_balancer() -> Value {
    json!({
        "requestContext": {"elb": {"targetGroupArn":
            "arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/lambda-279XGJDqGZ5rsrHC2Fjr/49e9d65c45c6791a"}},
        "httpMethod": "GET",
        "path": "/model/info",
        "queryStringParameters": {"query": "1234%20ABCD", "model": "churn%407"},
        "headers": {"accept": "*/*", "host": "lambda-alb-123578498.us-east-2.elb.amazonaws.com", "x-forwarded-port": "80"},
        "body": "",
        "isBase64Encoded": false
    })
}

#[track_caller]
fn request(event: &Value) -> (Form, Request<Bytes>) {
    let (form, request) = read(&event.to_string().into());
    (form, request.unwrap())
}

fn field<'a>(request: &'a Request<Bytes>, name: &str) -> Vec<&'a str> {
    request.headers().get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

fn with(mut event: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    event.pointer_mut(parent).unwrap()[key] = value;
    event
}

#[test]
fn an_event_of_an_http_api_is_the_request_that_came() {
    let (form, request) = request(&http_api());
    assert_eq!((form, request.method()), (Form::Single, &Method::POST));
    assert_eq!(request.uri(), "/predict?model=churn%40staging&parameter1=value1&parameter1=value2");
    assert_eq!(field(&request, "cookie"), ["cookie1=value1; cookie2=value2"]);
    assert_eq!(field(&request, "header2"), ["value1,value2"]);
    assert_eq!(field(&request, "host"), ["id.execute-api.us-east-1.amazonaws.com"]);
    assert!(field(&request, "content-length").is_empty(), "that of the event is not that of its body");
    assert_eq!(request.body(), "[{\"age\": 41.50}]\n", "to the byte");
}

#[test]
fn a_function_url_has_cookies_twice_and_mostly_no_body() {
    let event = with(http_api(), "/headers/cookie", json!("cookie1=value1; cookie2=value2"));
    let event = with(with(event, "/body", Value::Null), "/requestContext/http/method", json!("GET"));
    let (_, request) = request(&event);
    assert_eq!(field(&request, "cookie"), ["cookie1=value1; cookie2=value2"]);
    assert_eq!((request.method(), request.body().len()), (&Method::GET, 0));
}

#[test]
fn the_stage_is_no_part_of_the_path() {
    let at = |stage: &str, path: &str| {
        let event = with(http_api(), "/requestContext/stage", json!(stage));
        request(&with(event, "/rawPath", json!(path))).1.uri().path().to_owned()
    };
    assert_eq!(at("prod", "/prod/predict"), "/predict");
    assert_eq!(at("prod", "/production/predict"), "/production/predict");
    assert_eq!(at("prod", "/predict"), "/predict");
    assert_eq!(at("$default", "/predict"), "/predict");
}

#[test]
fn what_was_decoded_on_the_way_is_encoded_again() {
    let (_, request) = request(&with(http_api(), "/rawPath", json!("/v2/models/a b?#ü/infer%20")));
    assert_eq!(request.uri().path(), "/v2/models/a%20b%3F%23%C3%BC/infer%20");
    assert_eq!(request.uri().query(), Some("model=churn%40staging&parameter1=value1&parameter1=value2"));
}

#[test]
fn an_event_of_a_rest_api_has_lists_and_bytes() {
    let (form, request) = request(&rest_api());
    assert_eq!(form, Form::Multiple);
    assert_eq!(
        request.uri(),
        "/v2/models/churn/infer?parameter1=value1&parameter1=value2&parameter2=a%20b%26c"
    );
    assert_eq!(field(&request, "header2"), ["value1", "value2"]);
    assert_eq!(field(&request, "cookie"), ["a=1", "b=2"]);
    assert_eq!(field(&request, "host"), ["lambda"]);
    assert_eq!(request.body(), &b"hello\0\xff"[..]);
}

#[test]
fn a_load_balancer_passes_queries_on_as_they_came() {
    let (form, request) = request(&load_balancer());
    assert_eq!((form, request.method()), (Form::Single, &Method::GET));
    assert_eq!(request.uri(), "/model/info?model=churn%407&query=1234%20ABCD");
}

#[test]
fn anything_else_is_the_body_of_a_prediction() {
    for (payload, target) in [
        (r#"{"model": "churn@7 ü", "inputs": [{"name": "x"}]}"#, "/invocations?model=churn%407%20%C3%BC"),
        (r#"{"model": ["T5", "T7"], "age": [4, 5]}"#, "/invocations"),
        (r#"{"rawPath": "/predict", "headers": [1, 2]}"#, "/invocations"),
        (r#"{"requestContext": {"stage": "x"}, "body": "y"}"#, "/invocations"),
        (r#"[[1.50, null]]"#, "/invocations"),
        ("null", "/invocations"),
        ("", "/invocations"),
    ] {
        let (form, request) = read(&payload.into());
        let request = request.unwrap();
        assert_eq!((form, request.method()), (Form::Direct, &Method::POST), "{payload}");
        assert_eq!((request.uri().to_string().as_str(), request.body()), (target, &Bytes::from(payload)));
    }
}

#[test]
fn an_event_that_no_request_can_be_made_of_says_why() {
    for (pointer, value, why) in [
        ("/isBase64Encoded", json!(true), "base64"),
        ("/requestContext/http/method", json!("P ST"), "method"),
        ("/headers/x", json!("a\nb"), "header value"),
        ("/headers/x y", json!("a"), "header name"),
        ("/rawPath", json!(""), "invalid format"),
    ] {
        let (form, request) = read(&with(http_api(), pointer, value).to_string().into());
        let problem = request.unwrap_err();
        assert!(form == Form::Single && problem.contains(why), "{pointer}: {problem}");
    }
}

fn response(status: u16, kind: &str, body: impl Into<Bytes>) -> Response<Bytes> {
    let response = Response::builder().status(status).header("content-type", kind);
    let response =
        response.header("content-length", "1").header("date", "today").header("connection", "close");
    response.header("x-one", "1").header("x-two", "a").header("x-two", "b").body(body.into()).unwrap()
}

#[track_caller]
fn payload(reply: Reply) -> Value {
    let Reply::Payload(payload) = reply else { panic!("{reply:?}") };
    serde_json::from_slice(&payload).unwrap()
}

#[test]
fn json_goes_back_as_text_and_all_else_in_base64() {
    let kind = "application/json";
    let expected = json!({
        "statusCode": 404, "isBase64Encoded": false, "body": "{\"error\": \"ü\"}",
        "headers": {"content-type": kind, "x-one": "1", "x-two": "a, b"},
    });
    assert_eq!(payload(Reply::new(Form::Single, response(404, kind, "{\"error\": \"ü\"}"))), expected);

    let kind = "application/octet-stream";
    let expected = json!({
        "statusCode": 200, "isBase64Encoded": true, "body": "eyJhIjowfQAB/w==",
        "multiValueHeaders": {"content-type": [kind], "x-one": ["1"], "x-two": ["a", "b"]},
    });
    assert_eq!(
        payload(Reply::new(Form::Multiple, response(200, kind, &b"{\"a\":0}\x00\x01\xff"[..]))),
        expected
    );
    let text = payload(Reply::new(Form::Single, response(200, kind, "text")));
    assert_eq!((&text["body"], &text["isBase64Encoded"]), (&json!("dGV4dA=="), &json!(true)));
}

#[test]
fn a_direct_answer_is_the_body_and_a_refusal_an_error_of_the_function() {
    let json = "application/json";
    let reply = Reply::new(Form::Direct, response(200, json, "{\"predictions\": [1.50]}"));
    assert_eq!(reply, Reply::Payload(b"{\"predictions\": [1.50]}".to_vec()));
    let fault =
        |kind: &str, message: &str| Reply::Fault(Fault { kind: kind.into(), message: message.into() });
    let reply =
        Reply::new(Form::Direct, response(404, json, "{\"error\": \"no `x`\", \"code\": \"not_found\"}"));
    assert_eq!(reply, fault("not_found", "no `x`"));
    let reply = Reply::new(Form::Direct, response(417, json, ""));
    assert_eq!(reply, fault("417", "answered 417 Expectation Failed"));
    let reply = Reply::new(Form::Direct, response(200, "application/octet-stream", "{}"));
    assert!(matches!(reply, Reply::Fault(Fault { kind, .. }) if kind == "binary_answer"));
    let Reply::Fault(fault) = fault("k", "m\"") else { unreachable!() };
    let body: Value = serde_json::from_slice(&fault.payload()).unwrap();
    assert_eq!(body, json!({"errorType": "k", "errorMessage": "m\"", "stackTrace": []}));
}

#[test]
fn an_answer_that_lambda_would_not_carry_is_a_413_of_ours() {
    let binary = "application/octet-stream";
    // A third more in base64, and then the head.
    let fits = MOST / 4 * 3 - 600;
    for form in [Form::Single, Form::Multiple] {
        assert_eq!(payload(Reply::new(form, response(200, binary, vec![0; fits])))["statusCode"], 200);
        let refused = payload(Reply::new(form, response(200, binary, vec![0; fits + 600])));
        assert_eq!((&refused["statusCode"], &refused["isBase64Encoded"]), (&json!(413), &json!(false)));
        let body: Value = serde_json::from_str(refused["body"].as_str().unwrap()).unwrap();
        assert_eq!(body["code"], "answer_too_large");
        assert!(body["error"].as_str().unwrap().contains("6291556; ask for fewer rows"), "{body}");
    }
    let json = format!("\"{}\"", "x".repeat(MOST - 2));
    let Reply::Payload(payload) = Reply::new(Form::Direct, response(200, "application/json", json.clone()))
    else {
        panic!("it fits")
    };
    assert_eq!(payload.len(), MOST);
    let reply = Reply::new(Form::Direct, response(200, "application/json", json + " "));
    assert!(matches!(reply, Reply::Fault(Fault { kind, .. }) if kind == "answer_too_large"));
}

#[test]
fn an_answer_has_the_time_to_arrive() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let left = |millis: u64| patience(Some(now + Duration::from_millis(millis)), now).as_millis();
    assert_eq!((left(60_000), left(500), left(0)), (59_900, 450, 1));
    assert_eq!(patience(Some(now - Duration::from_secs(1)), now).as_millis(), 1);
    assert_eq!(patience(None, now).as_secs(), 900);
}

#[test]
fn the_deadline_is_the_requests_unless_the_client_has_less_time() {
    let header = |name: &'static str, given: Option<&str>| {
        let mut headers = HeaderMap::new();
        if let Some(value) = given {
            headers.insert(name, value.parse().unwrap());
        }
        complete(&mut headers, "8476a536-e9f4-11e8-9739-2dfe598c3fcd", Duration::from_millis(450));
        headers[name].to_str().unwrap().to_owned()
    };
    for (given, expected) in
        [(None, "450"), (Some("20"), "20"), (Some("9000"), "450"), (Some("soon"), "soon")]
    {
        assert_eq!(header("x-request-timeout-ms", given), expected);
    }
    assert_eq!(header("x-request-id", None), "8476a536-e9f4-11e8-9739-2dfe598c3fcd");
    assert_eq!(header("x-request-id", Some("mine")), "mine");
}

proptest! {
    #[test]
    fn no_payload_makes_it_panic_or_a_request_that_is_none(
        path in "[^\u{0}]{0,20}", query in ".{0,20}", body in ".{0,20}", value in ".{0,8}", base64: bool,
    ) {
        let mut event = http_api();
        event["rawPath"] = json!(format!("/{path}"));
        event["rawQueryString"] = json!(query);
        event["body"] = json!(body);
        event["headers"] = json!({"x-value": value});
        event["isBase64Encoded"] = json!(base64);
        let (_, request) = read(&event.to_string().into());
        if let Ok(request) = request {
            prop_assert!(request.uri().path().starts_with('/'));
            prop_assert_eq!(request.headers()["x-value"].as_bytes(), value.as_bytes());
        }
        let (form, _) = read(&Bytes::from(body));
        prop_assert_eq!(form, Form::Direct);
    }

    #[test]
    fn bytes_come_back_as_they_went(bytes: Vec<u8>) {
        let reply = payload(Reply::new(Form::Single, response(200, "application/octet-stream", bytes.clone())));
        let event = with(with(http_api(), "/body", reply["body"].clone()), "/isBase64Encoded", json!(true));
        prop_assert_eq!(request(&event).1.into_body(), Bytes::from(bytes));
    }
}

#[test]
fn statuses_are_those_of_the_data_port() {
    for status in [200, 202, 400, 503] {
        let reply = Reply::new(Form::Single, response(status, "application/json", "{}"));
        assert_eq!(payload(reply)["statusCode"], status);
    }
}
