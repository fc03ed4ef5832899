//! A blocking HTTP/1.1 client that can be as wrong as a test needs.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

/// How long a read waits: longer than any deadline of the server, so that a hang is seen as one.
const PATIENCE: Duration = Duration::from_secs(50);

/// Where a server listens.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// One connection, and what was read of it beyond the last answer.
pub(crate) struct Connection {
    stream: Stream,
    buffer: Vec<u8>,
    /// Whether anything was ever read from it.
    used: bool,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// The bytes of a request with `Host` and, for a body, its length.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
    headers.iter().for_each(|(name, value)| text += &format!("{name}: {value}\r\n"));
    if !body.is_empty() || method == "POST" {
        text += &format!("content-length: {}\r\n", body.len());
    }
    [text.as_bytes(), b"\r\n", body].concat()
}

/// `body` in chunks of `size`, with the last one.
pub(crate) fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in body.chunks(size) {
        out.extend(format!("{:x}\r\n", chunk.len()).bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

// === impl Target ===

impl Target {
    pub(crate) fn connect(&self) -> Connection {
        let connection = self.try_connect();
        connection.unwrap_or_else(|e| panic!("{self:?} does not accept: {e}"))
    }

    pub(crate) fn try_connect(&self) -> io::Result<Connection> {
        let stream = match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, Duration::from_secs(10))?;
                stream.set_nodelay(true)?;
                Stream::Tcp(stream)
            }
            Self::Unix(path) => Stream::Unix(UnixStream::connect(path)?),
        };
        let connection = Connection { stream, buffer: Vec::new(), used: false };
        connection.patience(PATIENCE);
        Ok(connection)
    }

    /// One request on a connection of its own.
    pub(crate) fn send(&self, bytes: &[u8]) -> Answer {
        self.connect().ask(bytes)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send(&request("GET", path, &[], b""))
    }

    pub(crate) fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        self.send(&request("POST", path, &[], body.as_ref()))
    }

    pub(crate) fn post_with(&self, path: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Answer {
        self.send(&request("POST", path, headers, body.as_ref()))
    }
}

// === impl Connection ===

impl Connection {
    /// How long a read waits before it fails.
    pub(crate) fn patience(&self, limit: Duration) {
        match &self.stream {
            Stream::Tcp(s) => s.set_read_timeout(Some(limit)).and(s.set_write_timeout(Some(PATIENCE))),
            Stream::Unix(s) => s.set_read_timeout(Some(limit)).and(s.set_write_timeout(Some(PATIENCE))),
        }
        .unwrap();
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(s) => s.write_all(bytes),
            Stream::Unix(s) => s.write_all(bytes),
        }
    }

    fn read(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 16 << 10];
        let read = match &mut self.stream {
            Stream::Tcp(s) => s.read(&mut chunk),
            Stream::Unix(s) => s.read(&mut chunk),
        }?;
        self.buffer.extend_from_slice(&chunk[..read]);
        self.used |= read > 0;
        Ok(read)
    }

    /// Whether the server has ever said anything on it.
    pub(crate) const fn was_used(&self) -> bool {
        self.used
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&self) {
        // The server may have closed already.
        drop(match &self.stream {
            Stream::Tcp(s) => s.shutdown(Shutdown::Write),
            Stream::Unix(s) => s.shutdown(Shutdown::Write),
        });
    }

    /// Goes away with a reset instead of a farewell.
    pub(crate) fn reset(self) {
        if let Stream::Tcp(stream) = &self.stream {
            socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }

    /// Takes in little that is not read.
    pub(crate) fn small_window(&self) {
        if let Stream::Tcp(stream) = &self.stream {
            socket2::SockRef::from(stream).set_recv_buffer_size(4 << 10).unwrap();
        }
    }

    /// A second handle of the same socket, for writing beside a reader.
    pub(crate) fn writer(&self) -> Self {
        let stream = match &self.stream {
            Stream::Tcp(s) => Stream::Tcp(s.try_clone().unwrap()),
            Stream::Unix(s) => Stream::Unix(s.try_clone().unwrap()),
        };
        Self { stream, buffer: Vec::new(), used: false }
    }

    /// Sends a whole request and takes its answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, bytes: &[u8]) -> Answer {
        // A server that refuses early stops reading; its answer counts, not the broken pipe.
        let written = self.write(bytes);
        match self.answer() {
            Ok(Some(answer)) => answer,
            other => panic!("no answer: {other:?}, writing: {written:?}, read so far: {:?}", self.seen()),
        }
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(&self.buffer[..self.buffer.len().min(500)]).into_owned()
    }

    /// The next answer; `None` when the connection ended before it began.
    pub(crate) fn answer(&mut self) -> io::Result<Option<Answer>> {
        self.answer_to(false)
    }

    /// The answer to a HEAD request, which has a length but no body.
    pub(crate) fn answer_to_head(&mut self) -> io::Result<Option<Answer>> {
        self.answer_to(true)
    }

    fn answer_to(&mut self, head_only: bool) -> io::Result<Option<Answer>> {
        loop {
            if let Some((answer, length)) = parse(&self.buffer, head_only) {
                self.buffer.drain(..length);
                return Ok(Some(answer));
            }
            if self.read()? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// Every answer until the server closes. A reset after the last whole answer counts as closed.
    #[track_caller]
    pub(crate) fn answers_until_close(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        loop {
            match self.answer() {
                Ok(Some(answer)) => answers.push(answer),
                Ok(None) => return answers,
                Err(e) if e.kind() == ErrorKind::ConnectionReset && self.buffer.is_empty() => return answers,
                Err(e) => panic!("not closed: {e}; answers {answers:?}, then {:?}", self.seen()),
            }
        }
    }

    /// Whether the server stays silent and keeps the connection for `time`.
    pub(crate) fn is_silent_for(&mut self, time: Duration) -> bool {
        self.patience(time);
        let silent = self.buffer.is_empty()
            && self.read().is_err_and(|e| matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
        self.patience(PATIENCE);
        silent
    }
}

/// The first answer in `bytes` and its length, once it is whole.
fn parse(bytes: &[u8], head_only: bool) -> Option<(Answer, usize)> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).expect("heads are text");
    let mut lines = head.split("\r\n");
    let status_line = lines.next()?;
    let status = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let status: u16 = status.unwrap_or_else(|| panic!("not a status line: {status_line:?}"));
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").map(|(_, n)| n.parse().unwrap());
    let length: usize = if head_only || status < 200 { 0 } else { length.expect("answers have a length") };
    let body = bytes.get(end..end + length)?.to_vec();
    Some((Answer { status, headers, body }, end + length))
}

// === impl Answer ===

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {} {}", self.status, self.text()))
    }

    /// The body as JSON after its status was checked.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()
    }

    /// Checks the published form of errors; returns the text.
    #[track_caller]
    pub(crate) fn error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        let json = self.json();
        let code = json["code"].as_str().unwrap_or_else(|| panic!("no code: {json}"));
        assert!(!code.is_empty() && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        json["error"].as_str().unwrap_or_else(|| panic!("no error: {json}")).to_owned()
    }

    /// JSON part and binary part of an answer with binary tensors.
    #[track_caller]
    pub(crate) fn parts(&self) -> (Value, &[u8]) {
        let length = self.header("inference-header-content-length").expect("has binary tensors");
        let (json, rest) = self.body.split_at(length.parse().unwrap());
        (serde_json::from_slice(json).unwrap(), rest)
    }
}
