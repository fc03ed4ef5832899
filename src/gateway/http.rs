//! HTTP/1.1 as the data port reads and writes it: strict framing over `httparse`, no sockets.
//!
//! RFC 9112, with everything refused that two readers of one message could understand differently: both
//! lengths, other transfer codings, line ends without CR, several `Host` fields.

mod answer;
mod chunked;
mod head;

pub use answer::{Answer, ContentType, write_head};
pub use chunked::{Chunked, Progress};
pub use head::{Coding, Framing, Head, Method, Scan, fields, find_end, parse};

/// Largest head (request line and fields), in bytes.
pub const MAX_HEAD_BYTES: usize = 32 << 10;
/// Most header fields.
pub const MAX_FIELDS: usize = 64;
/// Longest request target, in bytes.
pub const MAX_TARGET_BYTES: usize = 8 << 10;
/// Most chunks of one body.
pub const MAX_CHUNKS: usize = 1 << 16;

/// A request that is refused before any model is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// Stable code beside the text.
    pub code: &'static str,
    /// What is wrong, for people.
    pub message: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// 400 with a text.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(400, "malformed", message)
    }
}

#[cfg(test)]
mod tests;
