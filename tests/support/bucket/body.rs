//! A body that ends early, stops, or takes its time.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame};
use tokio::time::{Sleep, sleep};

use super::State;

/// The body of an answer, counted and perhaps spoiled.
pub(crate) struct Shaped {
    inner: s3s::Body,
    state: Arc<State>,
    shape: Shape,
    sent: usize,
    /// Since the last pause of a trickle.
    ticked: usize,
    rest: Bytes,
    pause: Option<Pin<Box<Sleep>>>,
    ending: bool,
}

/// How it goes.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    Whole,
    Cut(usize),
    Stall(usize),
    Trickle(usize),
}

/// Between two pieces of a trickle.
const TICK: Duration = Duration::from_millis(20);

impl Shaped {
    pub(crate) fn new(inner: s3s::Body, state: Arc<State>, shape: Shape) -> Self {
        Self { inner, state, shape, sent: 0, ticked: 0, rest: Bytes::new(), pause: None, ending: false }
    }
}

impl Body for Shaped {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        let most = match self.shape {
            Shape::Whole => usize::MAX,
            Shape::Trickle(rate) => (rate as f64 * TICK.as_secs_f64()).ceil() as usize - self.ticked,
            Shape::Cut(at) | Shape::Stall(at) => at - self.sent,
        };
        if most == 0 {
            if let Shape::Stall(_) = self.shape {
                return Poll::Pending;
            }
            // What was sent is written out before the connection ends.
            if !std::mem::replace(&mut self.ending, true) {
                let mut pause = Box::pin(sleep(TICK));
                let pending = pause.as_mut().poll(context);
                self.pause = Some(pause);
                ready!(pending);
            }
            return Poll::Ready(Some(Err(io::Error::other("cut"))));
        }
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(io::Error::other(error)))),
                Some(Ok(frame)) => self.rest = frame.into_data().unwrap_or_default(),
            }
        }
        let count = most.min(self.rest.len());
        let piece = self.rest.split_to(count);
        self.sent += piece.len();
        *self.state.sent.lock().unwrap() += piece.len() as u64;
        if let Shape::Trickle(_) = self.shape {
            self.ticked += piece.len();
            if piece.len() == most {
                self.ticked = 0;
                self.pause = Some(Box::pin(sleep(TICK)));
            }
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}
