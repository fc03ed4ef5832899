//! The chunked transfer coding (RFC 9112, 7.1), resumable at every byte.

use super::{MAX_CHUNKS, Refusal};

/// Longest chunk-size line with its extensions, and longest trailer section, in bytes.
const MAX_LINE_BYTES: usize = 4 << 10;

/// Decoder of one body.
#[derive(Debug)]
pub struct Chunked {
    state: State,
    chunks: usize,
    limit: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before a chunk-size line.
    Size,
    /// This many bytes of a chunk are missing.
    Data(usize),
    /// The line end after a chunk's data.
    DataEnd,
    /// Trailers, of which so many bytes were read.
    Trailer(usize),
}

/// How far a call of [`Chunked::decode`] got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes were used up; more are needed.
    More(usize),
    /// So many bytes were used up; the body is complete.
    Done(usize),
}

impl Chunked {
    /// A decoder that refuses bodies above `limit` bytes.
    pub const fn new(limit: usize) -> Self {
        Self { state: State::Size, chunks: 0, limit }
    }

    /// Decodes from `bytes` and appends the body's bytes to `out`.
    ///
    /// # Errors
    /// 400 for malformed framing or too many chunks, 413 above the limit.
    pub fn decode(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Progress, Refusal> {
        let mut at = 0;
        loop {
            match self.state {
                State::Size => {
                    let Some(line) = line(&bytes[at..], MAX_LINE_BYTES)? else {
                        return Ok(Progress::More(at));
                    };
                    at += line.len() + 2;
                    self.chunks += 1;
                    if self.chunks > MAX_CHUNKS {
                        return Err(Refusal::malformed(format!("more than {MAX_CHUNKS} chunks")));
                    }
                    let size = chunk_size(line)?;
                    if size > self.limit.saturating_sub(out.len()) {
                        let message = format!("the body is larger than {} bytes", self.limit);
                        return Err(Refusal::new(413, "body_too_large", message));
                    }
                    self.state = if size == 0 { State::Trailer(0) } else { State::Data(size) };
                }
                State::Data(missing) => {
                    let take = missing.min(bytes.len() - at);
                    out.extend_from_slice(&bytes[at..at + take]);
                    at += take;
                    if take < missing {
                        self.state = State::Data(missing - take);
                        return Ok(Progress::More(at));
                    }
                    self.state = State::DataEnd;
                }
                State::DataEnd => match bytes.get(at..at + 2) {
                    None => return Ok(Progress::More(at)),
                    Some(b"\r\n") => {
                        at += 2;
                        self.state = State::Size;
                    }
                    Some(_) => return Err(Refusal::malformed("a chunk is longer than its size")),
                },
                State::Trailer(read) => {
                    let Some(line) = line(&bytes[at..], MAX_LINE_BYTES)? else {
                        return Ok(Progress::More(at));
                    };
                    at += line.len() + 2;
                    if line.is_empty() {
                        return Ok(Progress::Done(at));
                    }
                    // Trailers are read over: nothing here is decided by them.
                    if read + line.len() > MAX_LINE_BYTES {
                        return Err(Refusal::malformed("the trailers are too long"));
                    }
                    self.state = State::Trailer(read + line.len());
                }
            }
        }
    }
}

/// The line at the start of `bytes` without its CR LF, once it is complete.
fn line(bytes: &[u8], limit: usize) -> Result<Option<&[u8]>, Refusal> {
    match memchr::memchr(b'\n', bytes) {
        Some(end) if end > 0 && bytes[end - 1] == b'\r' && end <= limit => Ok(Some(&bytes[..end - 1])),
        Some(_) => Err(Refusal::malformed("malformed chunk")),
        None if bytes.len() > limit => Err(Refusal::malformed("a chunk's size line is too long")),
        None => Ok(None),
    }
}

fn chunk_size(line: &[u8]) -> Result<usize, Refusal> {
    let digits = line.split(|b| *b == b';').next().unwrap_or_default().trim_ascii_end();
    let hexadecimal = !digits.is_empty() && digits.len() <= 15 && digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).unwrap_or_default();
    match usize::from_str_radix(text, 16) {
        Ok(size) if hexadecimal && !line.contains(&b'\r') => Ok(size),
        _ => Err(Refusal::malformed("malformed chunk size")),
    }
}
