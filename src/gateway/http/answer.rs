//! The head of an answer.

use crate::json::push_u64;
use crate::serving::StageNanos;

/// What an answer's head has to say beside its body.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Of the body.
    pub content_type: ContentType,
    /// Length of the JSON part, when binary tensors follow it.
    pub json_length: Option<usize>,
    /// For `Server-Timing`.
    pub times: Option<StageNanos>,
    /// Seconds for `Retry-After`.
    pub retry_after: Option<u32>,
    /// Close the connection after it.
    pub close: bool,
}

/// Media types of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    /// `application/json`
    Json,
    /// `application/octet-stream`
    Binary,
    /// SageMaker's carrier of the binary tensor extension, which strips other header fields.
    SageMakerBinary,
}

impl Answer {
    /// A JSON answer.
    pub const fn json(status: u16) -> Self {
        Self {
            status,
            content_type: ContentType::Json,
            json_length: None,
            times: None,
            retry_after: None,
            close: false,
        }
    }
}

/// The reason phrase of every status this gateway answers with.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        507 => "Insufficient Storage",
        _ => "Unknown",
    }
}

/// Appends status line and fields, up to and with the blank line.
#[inline]
pub fn write_head(
    out: &mut Vec<u8>,
    answer: &Answer,
    body_length: usize,
    date: &[u8],
    request_id: Option<&[u8]>,
    receipt: &[u8],
) {
    if answer.status == 200 {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-type: ");
    } else {
        out.extend_from_slice(b"HTTP/1.1 ");
        push_u64(out, answer.status.into());
        out.push(b' ');
        out.extend_from_slice(reason(answer.status).as_bytes());
        out.extend_from_slice(b"\r\ncontent-type: ");
    }
    match answer.content_type {
        ContentType::Json => out.extend_from_slice(b"application/json"),
        ContentType::Binary => out.extend_from_slice(b"application/octet-stream"),
        ContentType::SageMakerBinary => {
            out.extend_from_slice(b"application/vnd.sagemaker-triton.binary+json;json-header-size=");
            push_u64(out, answer.json_length.unwrap_or(0) as u64);
        }
    }
    out.extend_from_slice(b"\r\ncontent-length: ");
    push_u64(out, body_length as u64);
    if let Some(length) = answer.json_length {
        out.extend_from_slice(b"\r\ninference-header-content-length: ");
        push_u64(out, length as u64);
    }
    if let Some(times) = &answer.times {
        out.extend_from_slice(b"\r\nserver-timing: queue;dur=");
        push_millis(out, times.queue);
        out.extend_from_slice(b", infer;dur=");
        push_millis(out, times.infer);
        out.extend_from_slice(b", total;dur=");
        push_millis(out, times.total);
    }
    if let Some(seconds) = answer.retry_after {
        out.extend_from_slice(b"\r\nretry-after: ");
        push_u64(out, seconds.into());
    }
    match answer.status {
        401 => out.extend_from_slice(b"\r\nwww-authenticate: Bearer"),
        405 => out.extend_from_slice(b"\r\nallow: GET, HEAD, POST"),
        _ => {}
    }
    if let Some(id) = request_id {
        // Header fields were checked when they were read, so the client's id cannot break out of one here.
        out.extend_from_slice(b"\r\nx-request-id: ");
        out.extend_from_slice(id);
    }
    if !receipt.is_empty() {
        out.extend_from_slice(b"\r\nx-sidegate-receipt: ");
        out.extend_from_slice(receipt);
    }
    if answer.close {
        out.extend_from_slice(b"\r\nconnection: close");
    }
    out.extend_from_slice(b"\r\ndate: ");
    out.extend_from_slice(date);
    out.extend_from_slice(b"\r\n\r\n");
}

/// Milliseconds with three decimals, as `Server-Timing` wants them.
#[inline]
fn push_millis(out: &mut Vec<u8>, nanos: u64) {
    let micros = (nanos + 500) / 1000;
    push_u64(out, micros / 1000);
    let fraction = micros % 1000;
    out.extend_from_slice(&[
        b'.',
        b'0' + (fraction / 100) as u8,
        b'0' + (fraction / 10 % 10) as u8,
        b'0' + (fraction % 10) as u8,
    ]);
}
