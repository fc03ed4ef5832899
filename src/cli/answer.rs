//! Answers of HTTP/1.1 servers as our blocking clients read them: whole or not yet.

/// Most headers that are looked at; ours has a handful, proxies add some.
const MAX_HEADERS: usize = 64;

/// What came back.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// Whether the server ends the connection after it.
    pub(super) closes: bool,
}

/// The answer, once `buffer` holds all of it; `ended` says that nothing more comes. No body may exceed `limit`.
///
/// # Errors
/// When what is there can never become an answer.
pub(super) fn parse(buffer: &[u8], ended: bool, limit: usize) -> Result<Option<Answer>, String> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let early = || {
        if ended { Err("the answer ends early".to_owned()) } else { Ok(None) }
    };
    let head = match response.parse(buffer) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return early(),
        Err(error) => return Err(format!("what answers does not speak HTTP ({error})")),
    };
    let status = response.code.unwrap_or_default();
    let header = |name: &str| {
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| String::from_utf8_lossy(header.value).trim().to_ascii_lowercase())
    };
    let mut closes =
        response.version == Some(0) || header("connection").is_some_and(|words| words == "close");
    let rest = &buffer[head..];
    let body = if header("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        unchunk(rest, ended, limit)?
    } else if let Some(length) = header("content-length") {
        let length: usize = length.parse().map_err(|_| "a content-length that is no number".to_owned())?;
        rest.get(..length).map(<[u8]>::to_vec)
    } else if status == 204 || status == 304 {
        Some(Vec::new())
    } else {
        closes = true;
        ended.then(|| rest.to_vec())
    };
    match body {
        Some(body) => Ok(Some(Answer { status, body, closes })),
        None => early(),
    }
}

/// The body inside of chunks; `None` when the last one is not there yet, with what follows it.
fn unchunk(mut rest: &[u8], ended: bool, limit: usize) -> Result<Option<Vec<u8>>, String> {
    let mut body = Vec::new();
    loop {
        let Ok(size) = httparse::parse_chunk_size(rest) else {
            return Err("a chunk without a size".into());
        };
        let httparse::Status::Complete((start, size)) = size else {
            return Ok(None);
        };
        let size = usize::try_from(size).ok().filter(|size| *size <= limit);
        let Some(size) = size else {
            return Err("a chunk beyond all measure".into());
        };
        if size == 0 {
            // The empty line must be read too, or it would be taken for the start of the next answer.
            let after = &rest[start..];
            let whole = after.starts_with(b"\r\n") || after.windows(4).any(|four| four == b"\r\n\r\n");
            return Ok((whole || ended).then_some(body));
        }
        let Some(chunk) = rest.get(start..start + size) else {
            return Ok(None);
        };
        body.extend_from_slice(chunk);
        let Some(next) = rest.get(start + size + 2..) else {
            return Ok(None);
        };
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_only_with_its_last_byte() {
        for text in [
            "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"a\":1}",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7\r\n{\"a\":1}\r\n0\r\nx: y\r\n\r\n",
        ] {
            for end in 0..text.len() {
                assert_eq!(parse(&text.as_bytes()[..end], false, 99), Ok(None), "{end} of {text:?}");
            }
            let answer = parse(text.as_bytes(), false, 99).unwrap().unwrap();
            assert_eq!(
                (answer.status, answer.body.as_slice(), answer.closes),
                (200, &b"{\"a\":1}"[..], false)
            );
        }
    }

    #[test]
    fn a_server_may_close_after_an_answer() {
        for (text, ended, closes) in [
            ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", false, true),
            ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", false, true),
            ("HTTP/1.1 200 OK\r\n\r\nrest", true, true),
            ("HTTP/1.1 204 No Content\r\n\r\n", false, false),
        ] {
            assert_eq!(parse(text.as_bytes(), ended, 99).unwrap().unwrap().closes, closes, "{text:?}");
        }
        assert!(parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\n", false, 99).is_err());
    }
}
