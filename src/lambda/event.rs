//! Events to requests: payload format 2.0 (HTTP APIs, function URLs), 1.0 (REST APIs, HTTP APIs, load balancers), and
//! anything else as the body of a prediction.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding as _};
use http::{Method, Request, header};
use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// What the sender of an event expects for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Status, headers and body, one value a header: format 2.0, and 1.0 where it came so.
    Single,
    /// The same with a list of values for each header: format 1.0 where it came so.
    Multiple,
    /// The body itself; what went wrong is an error of the function.
    Direct,
}

/// Fields of an event that make a request. Those of both formats, each of which leaves out the other's.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    request_context: Context,
    raw_path: Option<String>,
    raw_query_string: Option<String>,
    cookies: Option<Vec<String>>,
    http_method: Option<String>,
    path: Option<String>,
    query_string_parameters: Option<BTreeMap<String, String>>,
    multi_value_query_string_parameters: Option<BTreeMap<String, Vec<String>>>,
    headers: Option<BTreeMap<String, String>>,
    multi_value_headers: Option<BTreeMap<String, Vec<String>>>,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
}

#[derive(Deserialize)]
struct Context {
    http: Option<Http>,
    stage: Option<String>,
    /// Only of a load balancer, which passes on queries as they came.
    elb: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Http {
    method: String,
}

/// The one field of a direct invocation that is not the body's own.
#[derive(Deserialize)]
struct Direct<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
}

/// Fields that are of one connection, and that this one has of its own.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// The request that an event stands for, and how its answer is to look.
pub(super) fn read(payload: &Bytes) -> (Form, Result<Request<Bytes>, String>) {
    // What lacks the context of a request is none, whatever else it has.
    let Some(event) = serde_json::from_slice::<Event>(payload).ok() else { return direct(payload) };
    let method = event.request_context.http.as_ref().map(|http| &http.method).or(event.http_method.as_ref());
    let (Some(method), Some(target)) = (method, event.target()) else { return direct(payload) };
    let method = Method::from_bytes(method.as_bytes());
    let form = if event.multi_value_headers.is_some() { Form::Multiple } else { Form::Single };
    (form, method.map_err(|error| error.to_string()).and_then(|method| event.request(method, &target)))
}

/// A payload that is a prediction's body as it stands: what `/invocations` takes, and which model by `model`.
fn direct(payload: &Bytes) -> (Form, Result<Request<Bytes>, String>) {
    let named = serde_json::from_slice::<Direct<'_>>(payload).ok().and_then(|direct| direct.model);
    // A list under that name is a column.
    let named = named.and_then(|model| serde_json::from_str::<String>(model.get()).ok());
    let query = named.map(|model| format!("?model={}", encoded(&model, is_unreserved)));
    let request = Request::post(format!("/invocations{}", query.unwrap_or_default()))
        .header(header::HOST, "lambda")
        .header(header::CONTENT_TYPE, "application/json")
        .body(payload.clone());
    (Form::Direct, request.map_err(|error| error.to_string()))
}

// === impl Event ===

impl Event {
    /// Path and query; none in what is no event of HTTP.
    fn target(&self) -> Option<String> {
        let (path, query) = match (&self.raw_path, &self.path) {
            (Some(path), _) => (self.without_stage(path), self.raw_query_string.clone().unwrap_or_default()),
            (None, Some(path)) => (path.as_str(), self.query()),
            (None, None) => return None,
        };
        // Some of what sends events has decoded the path, and a space ends a target.
        let path = encoded(path, |byte| stands_in_target(byte) && byte != b'?');
        let query = encoded(&query, stands_in_target);
        Some(if query.is_empty() { path } else { format!("{path}?{query}") })
    }

    /// Format 2.0 begins the path with the stage, unless that is `$default`.
    fn without_stage<'a>(&self, path: &'a str) -> &'a str {
        let stage = self.request_context.stage.as_deref().filter(|stage| !stage.is_empty());
        let rest = stage.and_then(|stage| path.strip_prefix('/')?.strip_prefix(stage));
        rest.filter(|rest| rest.starts_with('/')).unwrap_or(path)
    }

    /// The query of format 1.0, which API Gateway has decoded.
    fn query(&self) -> String {
        let is_raw = self.request_context.elb.is_some();
        let word = |text: &str| if is_raw { text.to_owned() } else { encoded(text, is_unreserved) };
        let pair = |name: &str, value: &str| format!("{}={}", word(name), word(value));
        let pairs: Vec<String> =
            match (&self.multi_value_query_string_parameters, &self.query_string_parameters) {
                (Some(lists), _) => {
                    lists.iter().flat_map(|(name, values)| values.iter().map(|v| pair(name, v))).collect()
                }
                (None, Some(values)) => values.iter().map(|(name, value)| pair(name, value)).collect(),
                (None, None) => Vec::new(),
            };
        pairs.join("&")
    }

    fn request(&self, method: Method, target: &str) -> Result<Request<Bytes>, String> {
        let mut request = Request::builder().method(method).uri(target);
        let mut has_host = false;
        for (name, value) in self.fields() {
            if HOP_BY_HOP.iter().any(|own| name.eq_ignore_ascii_case(own)) {
                continue;
            }
            has_host |= name.eq_ignore_ascii_case("host");
            request = request.header(name, value);
        }
        if let Some(cookies) = self.cookies.as_ref().filter(|_| !self.has("cookie")) {
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        if !has_host {
            request = request.header(header::HOST, "lambda");
        }
        let body = self.body.as_deref().unwrap_or_default();
        let body = if self.is_base64_encoded == Some(true) {
            Base64::decode_vec(body).map_err(|error| format!("the body is not in base64: {error}"))?
        } else {
            body.as_bytes().to_vec()
        };
        request.body(body.into()).map_err(|error| error.to_string())
    }

    fn fields(&self) -> Vec<(&str, &str)> {
        match (&self.multi_value_headers, &self.headers) {
            (Some(lists), _) => lists
                .iter()
                .flat_map(|(name, values)| values.iter().map(move |value| (name.as_str(), value.as_str())))
                .collect(),
            (None, Some(values)) => {
                values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
            }
            (None, None) => Vec::new(),
        }
    }

    fn has(&self, wanted: &str) -> bool {
        self.fields().iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted))
    }
}

/// Percent-encodes what may not stay as it is.
fn encoded(text: &str, stays: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if stays(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// RFC 3986, 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// What a request line may hold, an escape's `%` included.
fn stands_in_target(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte)
}
