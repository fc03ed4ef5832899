//! The buffers of one request, from its first byte to its last. A connection without a request has none.

use std::ops::Range;

use super::http::Answer;
use crate::monitor::{Answered, Logged};
use crate::protocol::Request;
use crate::tensor::Tensor;

/// Buffers larger than this are given back after the request, so that one large body does not stay for good.
const KEEP_BYTES: usize = 1 << 20;

/// Buffers of one request; recycled by the worker.
#[derive(Default)]
pub(super) struct Workspace {
    /// What the connection sent: head, body, and whatever is pipelined behind them.
    pub(super) input: Vec<u8>,
    /// A body that is not in `input` as it stands: unchunked or decompressed.
    pub(super) unpacked: Vec<u8>,
    /// Where the body is.
    pub(super) body: Body,
    /// The decoded request.
    pub(super) request: Request,
    /// What the engine returned.
    pub(super) outputs: Vec<Tensor>,
    /// The answer's head, and for small answers its body behind it.
    pub(super) head: Vec<u8>,
    /// The answer's body.
    pub(super) out: Vec<u8>,
    /// The receipt that the client asked for.
    pub(super) receipt: Vec<u8>,
    /// What is to be copied to shadows, once it is answered.
    pub(super) answered: Option<Answered>,
    /// What is to be logged, once it is answered.
    pub(super) logged: Option<Box<Logged>>,
}

/// Where a request's body lies in its workspace.
#[derive(Clone, Debug, Default)]
pub(super) enum Body {
    #[default]
    Unpacked,
    Input(Range<usize>),
}

impl Workspace {
    /// The body's bytes.
    pub(super) fn body(&self) -> &[u8] {
        match &self.body {
            Body::Unpacked => &self.unpacked,
            Body::Input(range) => &self.input[range.clone()],
        }
    }

    /// Replaces the answer's body by an error in the published form.
    pub(super) fn fail(&mut self, status: u16, code: &str, message: &str) -> Answer {
        self.out.clear();
        self.out.extend_from_slice(b"{\"error\":");
        crate::json::push_string(&mut self.out, message.as_bytes());
        self.out.extend_from_slice(b",\"code\":\"");
        self.out.extend_from_slice(code.as_bytes());
        self.out.extend_from_slice(b"\"}");
        Answer::json(status)
    }

    /// Replaces the answer's body by a JSON value.
    pub(super) fn reply(&mut self, status: u16, value: &serde_json::Value) -> Answer {
        self.out.clear();
        // Writing JSON values into a vector cannot fail.
        drop(serde_json::to_writer(&mut self.out, value));
        Answer::json(status)
    }

    /// Forgets a request, keeping the bytes behind it (`consumed` were its own) and buffers of usual size.
    pub(super) fn recycle(&mut self, consumed: usize) {
        self.input.drain(..consumed);
        self.unpacked.clear();
        self.out.clear();
        self.head.clear();
        self.receipt.clear();
        self.answered = None;
        self.logged = None;
        self.body = Body::Unpacked;
        for buffer in [&mut self.input, &mut self.unpacked, &mut self.out] {
            if buffer.capacity() > KEEP_BYTES {
                buffer.shrink_to(64 << 10);
            }
        }
        if self.request.inputs.iter().chain(&self.outputs).any(|t| t.data.held_bytes() > KEEP_BYTES) {
            self.request.inputs.clear();
            self.outputs.clear();
        }
    }
}
