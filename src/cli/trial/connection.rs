//! One keep-alive connection to a server that is measured. Blocking, so that little else is measured along.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::cli::answer::{Answer, parse};

/// For connecting: beyond it nobody is there.
const CONNECT: Duration = Duration::from_secs(5);

/// Largest answer that is taken; another server's might be endless.
const MAX_ANSWER: usize = 64 << 20;

/// Where to send, and how long to wait.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// Resolved once: looking names up is not what is measured.
    pub(super) address: SocketAddr,
    /// What the `Host` header says.
    pub(super) host: String,
    /// More headers for every request, each with its line end.
    pub(super) headers: String,
    /// For one answer.
    pub(super) patience: Duration,
}

/// A connection, opened again when the server closed it.
pub(super) struct Connection<'a> {
    peer: &'a Peer,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    chunk: Vec<u8>,
}

// === impl Peer ===

impl Peer {
    /// The bytes of a request.
    pub(super) fn request(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
        let typed = if method == "GET" { String::new() } else { format!("content-type: {content_type}\r\n") };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nuser-agent: sidegate-try/{}\r\naccept: application/json\r\n\
             {typed}{}content-length: {}\r\n\r\n",
            self.host,
            env!("CARGO_PKG_VERSION"),
            self.headers,
            body.len()
        );
        [head.as_bytes(), body].concat()
    }

    /// One request on a connection of its own.
    pub(super) fn ask(&self, method: &str, path: &str, body: &[u8]) -> Result<Answer, String> {
        Connection::open(self)?.ask(&self.request(method, path, "application/json", body))
    }
}

// === impl Connection ===

impl<'a> Connection<'a> {
    /// Connects.
    ///
    /// # Errors
    /// When nobody is there.
    pub(super) fn open(peer: &'a Peer) -> Result<Self, String> {
        let mut connection = Self { peer, stream: None, buffer: Vec::new(), chunk: vec![0; 64 << 10] };
        connection.connect()?;
        Ok(connection)
    }

    fn connect(&mut self) -> Result<(), String> {
        let stream = TcpStream::connect_timeout(&self.peer.address, CONNECT)
            .map_err(|error| format!("no connection to {}: {error}", self.peer.address))?;
        let set = stream
            .set_nodelay(true)
            .and(stream.set_read_timeout(Some(self.peer.patience)))
            .and(stream.set_write_timeout(Some(self.peer.patience)));
        set.map_err(|error| error.to_string())?;
        self.stream = Some(stream);
        Ok(())
    }

    /// Sends a request and takes its answer. A connection that the server closed while it was idle is opened again.
    ///
    /// # Errors
    /// When there is no answer.
    pub(super) fn ask(&mut self, request: &[u8]) -> Result<Answer, String> {
        let reused = self.stream.is_some();
        match self.exchange(request) {
            Err(Gone::BeforeTheAnswer(_)) if reused => {
                self.stream = None;
                self.exchange(request).map_err(Gone::text)
            }
            other => other.map_err(Gone::text),
        }
    }

    fn exchange(&mut self, request: &[u8]) -> Result<Answer, Gone> {
        if self.stream.is_none() {
            self.connect().map_err(Gone::Failed)?;
        }
        let Some(stream) = &mut self.stream else { return Err(Gone::Failed("not connected".into())) };
        let deadline = Instant::now() + self.peer.patience;
        // A server that refuses early stops reading; its answer counts, not the broken pipe.
        let written = stream.write_all(request);
        self.buffer.clear();
        let result = loop {
            let read = match stream.read(&mut self.chunk) {
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    break Err(Gone::Failed(silent(self.peer.patience)));
                }
                Err(_) if self.buffer.is_empty() => 0,
                Err(error) => break Err(Gone::Failed(error.to_string())),
            };
            if read == 0 && self.buffer.is_empty() {
                let why = written.err().map(|error| format!(" ({error})")).unwrap_or_default();
                break Err(Gone::BeforeTheAnswer(format!(
                    "the connection was closed without an answer{why}"
                )));
            }
            self.buffer.extend_from_slice(&self.chunk[..read]);
            match parse(&self.buffer, read == 0, MAX_ANSWER) {
                Ok(Some(answer)) => break Ok(answer),
                Ok(None) if self.buffer.len() > MAX_ANSWER => {
                    break Err(Gone::Failed(format!("an answer of more than {} MiB", MAX_ANSWER >> 20)));
                }
                Ok(None) if Instant::now() >= deadline => {
                    break Err(Gone::Failed(silent(self.peer.patience)));
                }
                Ok(None) => {}
                Err(error) => break Err(Gone::Failed(error)),
            }
        };
        if !matches!(&result, Ok(answer) if !answer.closes) {
            self.stream = None;
        }
        result
    }
}

/// Why there is no answer.
enum Gone {
    /// The server may have closed an idle connection, so that asking again is right.
    BeforeTheAnswer(String),
    Failed(String),
}

impl Gone {
    fn text(self) -> String {
        match self {
            Self::BeforeTheAnswer(text) | Self::Failed(text) => text,
        }
    }
}

fn silent(patience: Duration) -> String {
    format!("no complete answer within {} s (--timeout)", patience.as_secs())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Answers `answers` in order, one connection for each list.
    fn server(connections: &'static [&'static [&'static str]]) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for answers in connections {
                let (mut stream, _) = listener.accept().unwrap();
                for answer in *answers {
                    let _ = stream.read(&mut [0; 4096]).unwrap();
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            }
        });
        Peer { address, host: "h".into(), headers: String::new(), patience: Duration::from_millis(300) }
    }

    const YES: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\ny";

    #[test]
    fn a_closed_connection_is_opened_again() {
        let peer = server(&[&[YES, YES], &["HTTP/1.1 200 OK\r\nconnection: close\r\n\r\ny"], &[YES]]);
        let mut connection = Connection::open(&peer).unwrap();
        for _ in 0..4 {
            assert_eq!(connection.ask(b"x").unwrap().body, b"y");
        }
        assert!(connection.ask(b"x").unwrap_err().contains("no"), "the last one is gone");
    }

    #[test]
    fn what_never_comes_is_given_up() {
        let peer = server(&[&["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ny", ""], &[]]);
        let start = Instant::now();
        let error = peer.ask("GET", "/", b"").unwrap_err();
        assert!(error.contains("ends early") || error.contains("--timeout"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(3));
        let request = String::from_utf8(peer.request("POST", "/a", "text/csv", b"1")).unwrap();
        assert!(
            request.starts_with("POST /a HTTP/1.1\r\nhost: h\r\n") && request.ends_with("length: 1\r\n\r\n1")
        );
    }
}
