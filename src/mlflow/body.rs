//! What is sent: nothing, JSON, or a file as it is read.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

/// Bytes of a file that are read at a time.
const CHUNK: usize = 256 << 10;

/// What a request carries.
#[derive(Clone, Copy)]
pub enum Sent<'a> {
    /// Nothing.
    Nothing,
    /// JSON.
    Json(&'a [u8]),
    /// The bytes of a file.
    File(&'a Path),
}

/// The same, being sent.
pub(super) enum Outgoing {
    Bytes(Option<Bytes>),
    File { file: File, left: u64 },
}

// === impl Outgoing ===

impl Outgoing {
    /// From the start.
    pub(super) fn open(sent: Sent<'_>) -> io::Result<Self> {
        Ok(match sent {
            Sent::Nothing => Self::Bytes(None),
            Sent::Json(json) => Self::Bytes(Some(Bytes::copy_from_slice(json))),
            Sent::File(path) => {
                let file = File::open(path)?;
                let left = file.metadata()?.len();
                Self::File { file, left }
            }
        })
    }

    /// How much is left.
    pub(super) fn left(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            Self::File { left, .. } => *left,
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    /// A file is read right here: nothing else runs on this thread.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let next = match &mut *self {
            Self::Bytes(bytes) => bytes.take().map(Ok),
            Self::File { left: 0, .. } => None,
            Self::File { file, left } => {
                let mut chunk = vec![0; CHUNK.min(usize::try_from(*left).unwrap_or(CHUNK))];
                Some(file.read(&mut chunk).and_then(|read| {
                    if read == 0 {
                        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter"));
                    }
                    chunk.truncate(read);
                    *left -= read as u64;
                    Ok(Bytes::from(chunk))
                }))
            }
        };
        Poll::Ready(next.map(|next| next.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}
