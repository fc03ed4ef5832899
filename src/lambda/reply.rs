//! Answers to payloads: what Lambda hands to whoever sent the event.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding as _};
use http::{HeaderMap, Response, StatusCode, header};
use hyper::body::Bytes;
use serde_json::{Value, json};

use super::event::Form;

/// Most bytes that Lambda takes for the answer to an invocation.
pub(super) const MOST: usize = 6_291_556;

/// What is said of an invocation.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// It was answered, if only by an error of HTTP.
    Payload(Vec<u8>),
    /// The function failed.
    Fault(Fault),
}

/// An error as Lambda knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What it is called, for programs.
    pub kind: String,
    /// What it is, for people.
    pub message: String,
}

/// The gateway's own connection says these, which mean nothing to who asked through an API.
const DROPPED: [header::HeaderName; 3] = [header::CONNECTION, header::CONTENT_LENGTH, header::DATE];

/// An answer that this module gives, in the form of all errors.
pub(super) fn problem(status: StatusCode, code: &str, text: &str) -> Response<Bytes> {
    let mut response = Response::new(json!({"error": text, "code": code}).to_string().into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

// === impl Reply ===

impl Reply {
    /// What an answer of the data port is to who sent the event.
    pub(super) fn new(form: Form, response: Response<Bytes>) -> Self {
        let size = response.body().len();
        match Self::of(form, response) {
            Self::Payload(payload) if payload.len() > MOST => {
                let text = format!(
                    "the answer's {size} bytes are {} in the function's response, and AWS Lambda carries at most {MOST}; \
                     ask for fewer rows or outputs at once",
                    payload.len()
                );
                Self::of(form, problem(StatusCode::PAYLOAD_TOO_LARGE, "answer_too_large", &text))
            }
            reply => reply,
        }
    }

    fn of(form: Form, response: Response<Bytes>) -> Self {
        let (head, body) = response.into_parts();
        let is_json = head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
        if form == Form::Direct {
            return match (head.status.is_success(), is_json) {
                (true, true) => Self::Payload(body.into()),
                (true, false) => Self::Fault(Fault {
                    kind: "binary_answer".into(),
                    message: "a direct invocation is answered in JSON: ask for no binary outputs".into(),
                }),
                (false, _) => Self::Fault(Fault::of(head.status, &body)),
            };
        }
        let (body, is_base64) = match String::from_utf8(body.into()) {
            Ok(text) if is_json => (text, false),
            Ok(text) => (Base64::encode_string(text.as_bytes()), true),
            Err(error) => (Base64::encode_string(error.as_bytes()), true),
        };
        let mut payload = json!({"statusCode": head.status.as_u16(), "isBase64Encoded": is_base64});
        payload["body"] = Value::String(body);
        match form {
            Form::Multiple => payload["multiValueHeaders"] = json!(fields(&head.headers)),
            _ => {
                let joined =
                    fields(&head.headers).into_iter().map(|(name, values)| (name, values.join(", ")));
                payload["headers"] = json!(joined.collect::<BTreeMap<_, _>>());
            }
        }
        Self::Payload(payload.to_string().into())
    }
}

/// The fields that go on, each with its values.
fn fields(headers: &HeaderMap) -> BTreeMap<&str, Vec<String>> {
    let mut fields = BTreeMap::<&str, Vec<String>>::new();
    for (name, value) in headers.iter().filter(|(name, _)| !DROPPED.contains(name)) {
        fields.entry(name.as_str()).or_default().push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    fields
}

// === impl Fault ===

impl Fault {
    /// An error of the data port.
    fn of(status: StatusCode, body: &[u8]) -> Self {
        let error: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |key: &str| error.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
        Self {
            kind: text("code").unwrap_or_else(|| status.as_u16().to_string()),
            message: text("error").unwrap_or_else(|| format!("answered {status}")),
        }
    }

    /// The body that Lambda takes for it.
    pub(super) fn payload(&self) -> Vec<u8> {
        let body = json!({"errorType": self.kind, "errorMessage": self.message, "stackTrace": []});
        body.to_string().into()
    }
}
