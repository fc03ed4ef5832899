//! The little of HTTP/1.1 that a load generator needs: status, length, and whether the server will close.
//!
//! Only answers with a `Content-Length` (or a status that has no body) are understood; a chunked answer or
//! one that ends with the connection counts as malformed, because sidegate and the reference never send one.

use std::cell::Cell;

use crate::BoxError;

/// What the head of an answer says.
#[derive(Debug, PartialEq, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Bytes of the head, its empty line included.
    pub(crate) head_len: usize,
    pub(crate) body_len: usize,
    /// The server closes the connection after this answer.
    pub(crate) close: bool,
}

/// Bytes that are no answer this generator understands.
#[derive(Debug, PartialEq)]
pub(crate) struct Malformed;

/// Requires that bodies contain certain bytes.
pub(crate) struct BodyCheck {
    needle: Vec<u8>,
    /// Answers are alike, so the place of the last match is nearly always the place of the next.
    last: Cell<usize>,
}

/// Reads the head at the start of `bytes`; `None` as long as it is incomplete.
pub(crate) fn parse_head(bytes: &[u8]) -> Result<Option<Head>, Malformed> {
    let mut at = 0;
    let Some(status_line) = take_line(bytes, &mut at) else {
        return Ok(None);
    };
    let (status, mut close) = parse_status(status_line).ok_or(Malformed)?;
    let mut length = None;
    loop {
        let Some(line) = take_line(bytes, &mut at) else {
            return Ok(None);
        };
        let Some(first) = line.first() else { break };
        match first.to_ascii_lowercase() {
            b'c' => {
                if let Some(value) = header_value(line, b"content-length:") {
                    length = Some(parse_number(value).ok_or(Malformed)?);
                } else if let Some(value) = header_value(line, b"connection:") {
                    close = value.eq_ignore_ascii_case(b"close")
                        || (close && !value.eq_ignore_ascii_case(b"keep-alive"));
                }
            }
            b't' if header_value(line, b"transfer-encoding:").is_some() => return Err(Malformed),
            _ => {}
        }
    }
    let body_len = match (length, status) {
        (_, 204 | 304) => 0,
        (Some(length), _) => length,
        (None, _) => return Err(Malformed),
    };
    Ok(Some(Head { status, head_len: at, body_len, close }))
}

/// The next line without its end; advances `at` behind it.
fn take_line<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let rest = bytes.get(*at..)?;
    let end = rest.iter().position(|&b| b == b'\n')?;
    *at += end + 1;
    let line = &rest[..end];
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

/// Status, and whether this version of HTTP closes unless it says otherwise.
fn parse_status(line: &[u8]) -> Option<(u16, bool)> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let close = *rest.first()? == b'0';
    let digits = rest.get(2..5)?;
    let status = u16::try_from(parse_number(digits)?).ok()?;
    (100..1000).contains(&status).then_some((status, close))
}

fn header_value<'a>(line: &'a [u8], name_and_colon: &[u8]) -> Option<&'a [u8]> {
    let (name, value) = line.split_at_checked(name_and_colon.len())?;
    name.eq_ignore_ascii_case(name_and_colon).then(|| value.trim_ascii())
}

fn parse_number(digits: &[u8]) -> Option<usize> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

// === impl BodyCheck ===

impl BodyCheck {
    pub(crate) fn new(needle: Vec<u8>) -> Result<Self, BoxError> {
        if needle.is_empty() {
            return Err("the file of --expect-body is empty".into());
        }
        Ok(Self { needle, last: Cell::new(0) })
    }

    pub(crate) fn holds(&self, body: &[u8]) -> bool {
        if body.get(self.last.get()..).is_some_and(|rest| rest.starts_with(&self.needle)) {
            return true;
        }
        match body.windows(self.needle.len()).position(|window| window == self.needle) {
            Some(at) => {
                self.last.set(at);
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\ncontent-LENGTH:  5\r\n\r\nhello";

    #[test]
    fn head_is_read_once_it_is_whole() {
        let head = Head { status: 200, head_len: OK.len() - 5, body_len: 5, close: false };
        assert_eq!(parse_head(OK), Ok(Some(head)));
        for cut in 0..OK.len() - 5 {
            assert_eq!(parse_head(&OK[..cut]), Ok(None), "cut at {cut}");
        }
    }

    #[test]
    fn close_is_noticed() {
        let close = |text: &str| parse_head(text.as_bytes()).map(|head| head.map(|head| head.close));
        assert_eq!(close("HTTP/1.1 503 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), Ok(Some(true)));
        assert_eq!(close("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"), Ok(Some(true)));
        assert_eq!(
            close("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"),
            Ok(Some(false))
        );
        assert_eq!(close("HTTP/1.1 204 No Content\r\n\r\n"), Ok(Some(false)));
    }

    #[test]
    fn what_is_not_understood_is_malformed() {
        for text in [
            "SPDY/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 2x0 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert_eq!(parse_head(text.as_bytes()), Err(Malformed), "{text:?}");
        }
    }

    #[test]
    fn body_check_finds_bytes_wherever_they_move() -> Result<(), BoxError> {
        let check = BodyCheck::new(b"data".to_vec())?;
        for (body, holds) in
            [("data", true), ("the data", true), ("the date", false), ("dat", false), ("", false)]
        {
            assert_eq!(check.holds(body.as_bytes()), holds, "{body:?}");
        }
        Ok(())
    }
}
