//! One keep-alive connection to a server. Blocking, so that little else is measured along where that is what it is for.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::transport::{Secure, Stream};
use crate::cli::answer::{Answer, parse};

/// For connecting: beyond it nobody is there.
const CONNECT: Duration = Duration::from_secs(5);

/// Largest answer that is taken; another server's might be endless.
const MAX_ANSWER: usize = 64 << 20;

/// Where to send, and how long to wait.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Peer {
    /// Resolved once: looking names up is not what is measured.
    pub(in crate::cli) address: SocketAddr,
    /// What the `Host` header says.
    pub(in crate::cli) host: String,
    /// More headers for every request, each with its line end.
    pub(in crate::cli) headers: String,
    /// For one answer.
    pub(in crate::cli) patience: Duration,
    /// For https.
    pub(in crate::cli) secure: Option<Box<Secure>>,
}

/// A connection, opened again when the server closed it.
pub(in crate::cli) struct Connection<'a> {
    peer: &'a Peer,
    stream: Option<Box<dyn Stream>>,
    buffer: Vec<u8>,
    chunk: Vec<u8>,
}

// === impl Peer ===

impl Peer {
    /// Who answers at a URL, and the path that it names there; `headers` are `name: value`, for every request.
    ///
    /// # Errors
    /// When it is no URL of a server, or nothing is known by its name; in words that follow the URL.
    pub(in crate::cli) fn at(
        url: &str,
        headers: &[String],
        patience: Duration,
    ) -> Result<(Self, String), String> {
        let (rest, port, https) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
            (Some(rest), _) => (rest, 80, false),
            (_, Some(rest)) => (rest, 443, true),
            _ => return Err("a URL begins with http:// or https://".into()),
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        if authority.is_empty() || authority.contains('@') || !url.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("it is no URL like http://127.0.0.1:8080/v2/models/NAME/infer".into());
        }
        let named = authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        let with_port = if named.is_some() { authority.to_owned() } else { format!("{authority}:{port}") };
        let address = match with_port.to_socket_addrs().map(|mut all| all.next()) {
            Ok(Some(address)) => address,
            Ok(None) => return Err("the name has no address".into()),
            Err(error) => return Err(format!("`{authority}` has no address ({error})")),
        };
        for header in headers {
            let valid = header.split_once(':').is_some_and(|(name, _)| !name.is_empty());
            if !valid || header.contains(['\r', '\n']) {
                return Err("--header takes `name: value`".into());
            }
        }
        let headers = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let host = named.map_or(authority, |(host, _)| host);
        let secure = https.then(|| Secure::new(host).map(Box::new)).transpose()?;
        let peer = Self { address, host: authority.to_owned(), headers, patience, secure };
        Ok((peer, path.to_owned()))
    }

    /// The URL without a path.
    pub(in crate::cli) fn origin(&self) -> String {
        format!("http{}://{}", if self.secure.is_some() { "s" } else { "" }, self.host)
    }

    /// The bytes of a request.
    pub(in crate::cli) fn request(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> Vec<u8> {
        let typed = if method == "GET" { String::new() } else { format!("content-type: {content_type}\r\n") };
        self.request_with(method, path, &typed, body)
    }

    /// The same with headers that say more of the body, each with its line end.
    pub(in crate::cli) fn request_with(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> Vec<u8> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nuser-agent: sidegate/{}\r\naccept: application/json\r\n\
             {headers}{}content-length: {}\r\n\r\n",
            self.host,
            env!("CARGO_PKG_VERSION"),
            self.headers,
            body.len()
        );
        [head.as_bytes(), body].concat()
    }

    /// One request on a connection of its own.
    pub(in crate::cli) fn ask(&self, method: &str, path: &str, body: &[u8]) -> Result<Answer, String> {
        Connection::open(self)?.ask(&self.request(method, path, "application/json", body))
    }
}

// === impl Connection ===

impl<'a> Connection<'a> {
    /// Connects.
    ///
    /// # Errors
    /// When nobody is there.
    pub(in crate::cli) fn open(peer: &'a Peer) -> Result<Self, String> {
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
        self.stream = Some(match &self.peer.secure {
            None => Box::new(stream),
            Some(secure) => {
                secure.over(stream).map_err(|error| format!("{}: {error}", self.peer.origin()))?
            }
        });
        Ok(())
    }

    /// Sends a request and takes its answer. A connection that the server closed while it was idle is opened again.
    ///
    /// # Errors
    /// When there is no answer.
    pub(in crate::cli) fn ask(&mut self, request: &[u8]) -> Result<Answer, String> {
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
        let written = stream.write_all(request).and_then(|()| stream.flush());
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
        Peer {
            address,
            host: "h".into(),
            headers: String::new(),
            patience: Duration::from_millis(300),
            secure: None,
        }
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
