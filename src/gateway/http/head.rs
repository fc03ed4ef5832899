//! The head of a request: where it ends, and what it says.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::{MAX_FIELDS, MAX_HEAD_BYTES, MAX_TARGET_BYTES, Refusal};

/// Longest request line: the longest target with a method and a version around it.
const MAX_REQUEST_LINE_BYTES: usize = MAX_TARGET_BYTES + 32;

/// What a request's head says that matters here. Ranges point into the connection's buffer.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "one field per header field of the same name")]
pub struct Head {
    pub method: Method,
    pub path: Range<usize>,
    /// Without the question mark; empty when there is none.
    pub query: Range<usize>,
    pub keep_alive: bool,
    pub framing: Framing,
    pub expects_continue: bool,
    pub content_type: Option<Range<usize>>,
    pub coding: Coding,
    pub authorization: Option<Range<usize>>,
    /// `Inference-Header-Content-Length`, as sent.
    pub header_length: Option<Range<usize>>,
    pub request_id: Option<Range<usize>>,
    /// `x-sidegate-receipt`, as sent: `1` asks for one.
    pub receipt: Option<Range<usize>>,
    /// `x-request-timeout-ms`, as sent.
    pub timeout_ms: Option<Range<usize>>,
    /// Bytes of the head, blank line included.
    pub length: usize,
}

/// Methods that something answers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reading.
    Get,
    /// As `Get`, without the body.
    Head,
    /// Asking for a prediction or a change.
    Post,
    /// Taking a model away.
    Delete,
    /// Anything else; answered with 405.
    Other,
}

/// How long the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// This many bytes.
    Length(u64),
    /// Until the last chunk.
    Chunked,
}

/// `Content-Encoding` of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// As it is.
    Identity,
    /// gzip.
    Gzip,
    /// zlib, which HTTP calls deflate.
    Deflate,
}

/// Progress of the search for the end of a head, so that slow heads are not scanned again and again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    position: usize,
    line: usize,
    lines: usize,
}

/// Looks for the end of the head in `bytes`, continuing at `scan`; its length when it is complete.
///
/// # Errors
/// 400 for a line that does not end in CR LF, 431 and 414 beyond the limits.
#[inline]
pub fn find_end(bytes: &[u8], scan: &mut Scan) -> Result<Option<usize>, Refusal> {
    while let Some(offset) = memchr::memchr(b'\n', &bytes[scan.position..]) {
        let end = scan.position + offset;
        if end == scan.line || bytes[end - 1] != b'\r' {
            return Err(Refusal::malformed("a line of the head does not end in CR LF"));
        }
        if end > MAX_HEAD_BYTES {
            break;
        }
        scan.position = end + 1;
        if end == scan.line + 1 {
            // Empty lines before a request line are skipped (RFC 9112, 2.2); parse() does the same.
            if scan.lines > 0 {
                return Ok(Some(end + 1));
            }
        } else {
            if scan.lines == 0 && end - scan.line > MAX_REQUEST_LINE_BYTES {
                return Err(request_line_too_long());
            }
            scan.lines += 1;
            if scan.lines > MAX_FIELDS + 1 {
                return Err(too_large(format!("more than {MAX_FIELDS} header fields")));
            }
        }
        scan.line = end + 1;
    }
    if bytes.len() - scan.line > MAX_REQUEST_LINE_BYTES && scan.lines == 0 {
        return Err(request_line_too_long());
    }
    if bytes.len() > MAX_HEAD_BYTES {
        return Err(too_large(format!("the head is larger than {MAX_HEAD_BYTES} bytes")));
    }
    scan.position = bytes.len();
    Ok(None)
}

fn request_line_too_long() -> Refusal {
    let message = format!("the request line is longer than {MAX_REQUEST_LINE_BYTES} bytes");
    Refusal::new(414, "uri_too_long", message)
}

fn too_large(message: String) -> Refusal {
    Refusal::new(431, "headers_too_large", message)
}

/// Reads a complete head from the start of `bytes`.
///
/// # Errors
/// The refusal to answer with; the connection must be closed after it, since the body's length is in doubt.
#[inline]
pub fn parse(bytes: &[u8]) -> Result<Head, Refusal> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Err(Refusal::malformed("the head is incomplete")),
        Err(error) => return Err(Refusal::malformed(format!("malformed head: {error}"))),
    };
    let (target, minor) = (request.path.unwrap_or_default(), request.version.unwrap_or(1));
    let at = |part: &[u8]| {
        let start = part.as_ptr() as usize - bytes.as_ptr() as usize;
        start..start + part.len()
    };
    let method = match request.method {
        Some("POST") => Method::Post,
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        Some("DELETE") => Method::Delete,
        _ => Method::Other,
    };
    if target.len() > MAX_TARGET_BYTES {
        return Err(Refusal::new(
            414,
            "uri_too_long",
            format!("the target is longer than {MAX_TARGET_BYTES} bytes"),
        ));
    }
    // CONNECT's target is an authority; it is refused by its method further on.
    if !target.starts_with('/') && method != Method::Other {
        return Err(Refusal::malformed("the target must be a path"));
    }
    let (path, query) = target.split_once('?').unwrap_or((target, &target[target.len()..]));
    let mut head = Head {
        method,
        path: at(path.as_bytes()),
        query: at(query.as_bytes()),
        keep_alive: minor == 1,
        framing: Framing::Length(0),
        expects_continue: false,
        content_type: None,
        coding: Coding::Identity,
        authorization: None,
        header_length: None,
        request_id: None,
        receipt: None,
        timeout_ms: None,
        length,
    };
    let mut seen = Seen::default();
    for field in request.headers.iter() {
        head.field(field.name, field.value, at(field.value), &mut seen)?;
    }
    head.keep_alive &= !seen.close;
    if minor == 1 && seen.hosts == 0 {
        return Err(Refusal::malformed("the Host field is missing"));
    }
    if seen.transfer_encoding {
        if seen.length.is_some() {
            return Err(Refusal::malformed("both Content-Length and Transfer-Encoding"));
        }
        if minor == 0 {
            return Err(Refusal::malformed("Transfer-Encoding in HTTP/1.0"));
        }
        head.framing = Framing::Chunked;
    } else {
        head.framing = Framing::Length(seen.length.unwrap_or(0));
    }
    Ok(head)
}

/// The values of the fields of that name in a head that [`parse`] has read: each is on one line, and no space stands
/// before its colon.
pub fn fields<'a>(head: &'a [u8], name: &str) -> impl Iterator<Item = &'a [u8]> {
    let lines = memchr::memchr_iter(b'\n', head).scan(0, move |start, end| {
        let line = &head[*start..end];
        *start = end + 1;
        Some(line)
    });
    lines.filter_map(move |line| {
        let (found, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        found.eq_ignore_ascii_case(name.as_bytes()).then_some(value.trim_ascii())
    })
}

#[derive(Default)]
struct Seen {
    hosts: u32,
    length: Option<u64>,
    transfer_encoding: bool,
    /// `Connection: close`, which wins over `keep-alive` (RFC 9112, 9.3).
    close: bool,
}

impl Head {
    #[inline]
    fn field(
        &mut self,
        name: &str,
        value: &[u8],
        range: Range<usize>,
        seen: &mut Seen,
    ) -> Result<(), Refusal> {
        // By length first: most fields are none of these and cost one comparison.
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => {
                seen.hosts += 1;
                if seen.hosts > 1 {
                    return Err(Refusal::malformed("more than one Host field"));
                }
            }
            6 if name.eq_ignore_ascii_case("expect") => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Refusal::new(
                        417,
                        "expectation_failed",
                        "only `Expect: 100-continue` is understood",
                    ));
                }
                self.expects_continue = true;
            }
            10 if name.eq_ignore_ascii_case("connection") => {
                for option in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                    if option.eq_ignore_ascii_case(b"close") {
                        seen.close = true;
                    } else if option.eq_ignore_ascii_case(b"keep-alive") {
                        self.keep_alive = true;
                    }
                }
            }
            12 if name.eq_ignore_ascii_case("content-type") => once(&mut self.content_type, range, name)?,
            12 if name.eq_ignore_ascii_case("x-request-id") => self.request_id = Some(range),
            13 if name.eq_ignore_ascii_case("authorization") => once(&mut self.authorization, range, name)?,
            14 if name.eq_ignore_ascii_case("content-length") => {
                let length = length(value)?;
                if seen.length.is_some_and(|before| before != length) {
                    return Err(Refusal::malformed("two different Content-Length fields"));
                }
                seen.length = Some(length);
            }
            16 if name.eq_ignore_ascii_case("content-encoding") => {
                if self.coding != Coding::Identity {
                    return Err(unsupported_coding());
                }
                self.coding = coding(value)?;
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                if seen.transfer_encoding {
                    return Err(Refusal::malformed("more than one Transfer-Encoding"));
                }
                transfer_encoding(value)?;
                seen.transfer_encoding = true;
            }
            18 if name.eq_ignore_ascii_case("x-sidegate-receipt") => self.receipt = Some(range),
            20 if name.eq_ignore_ascii_case("x-request-timeout-ms") => self.timeout_ms = Some(range),
            31 if name.eq_ignore_ascii_case("inference-header-content-length") => {
                once(&mut self.header_length, range, name)?;
            }
            _ => {}
        }
        Ok(())
    }
}

fn once(slot: &mut Option<Range<usize>>, value: Range<usize>, name: &str) -> Result<(), Refusal> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Refusal::malformed(format!("more than one {name} field"))),
    }
}

/// Digits only: no sign, no list, no overflow.
fn length(value: &[u8]) -> Result<u64, Refusal> {
    let digits = value.iter().all(u8::is_ascii_digit) && !value.is_empty();
    let text = std::str::from_utf8(value).unwrap_or_default();
    if !digits {
        return Err(Refusal::malformed("Content-Length is not a number"));
    }
    text.parse().map_err(|_| Refusal::new(413, "body_too_large", "Content-Length is beyond any limit"))
}

fn transfer_encoding(value: &[u8]) -> Result<(), Refusal> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let mut codings = value.split(|b| *b == b',').map(<[u8]>::trim_ascii);
    if codings.all(|c| c.eq_ignore_ascii_case(b"chunked")) {
        return Err(Refusal::malformed("chunked is applied more than once"));
    }
    Err(Refusal::new(501, "unsupported_transfer_coding", "the only transfer coding is chunked"))
}

fn coding(value: &[u8]) -> Result<Coding, Refusal> {
    for (names, coding) in [
        (&[&b"identity"[..], b""][..], Coding::Identity),
        (&[b"gzip", b"x-gzip"], Coding::Gzip),
        (&[b"deflate"], Coding::Deflate),
    ] {
        if names.iter().any(|name| value.eq_ignore_ascii_case(name)) {
            return Ok(coding);
        }
    }
    Err(unsupported_coding())
}

fn unsupported_coding() -> Refusal {
    Refusal::new(415, "unsupported_content_encoding", "Content-Encoding is one of gzip, deflate, identity")
}
