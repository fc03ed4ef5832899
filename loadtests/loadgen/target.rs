//! Where requests go and which bytes they are.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use mio::event::Source;

use crate::BoxError;
use crate::args::Args;

/// One server and the one request it is sent again and again.
pub(crate) struct Target {
    address: Address,
    request: Vec<u8>,
}

#[derive(Debug, PartialEq)]
enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// A nonblocking connection of either kind.
pub(crate) enum Stream {
    Tcp(mio::net::TcpStream),
    Unix(mio::net::UnixStream),
}

/// A file's bytes, or an error that names the file.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>, BoxError> {
    std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()).into())
}

// === impl Target ===

impl Target {
    pub(crate) fn new(args: &Args) -> Result<Self, BoxError> {
        let (address, host, path) = match (&args.url, &args.uds) {
            (Some(url), _) => parse_url(url)?,
            (None, Some(socket)) => {
                let path = args.path.clone().ok_or("--uds needs --path")?;
                (Address::Unix(socket.clone()), "localhost".to_owned(), path)
            }
            (None, None) => return Err("--url or --uds is needed".into()),
        };
        let request = build_request(args, &host, &path)?;
        Ok(Self { address, request })
    }

    /// The bytes of one request.
    pub(crate) fn request(&self) -> &[u8] {
        &self.request
    }

    /// Says early, and in words, that nobody listens there.
    pub(crate) fn probe(&self) -> Result<(), BoxError> {
        let connected = match &self.address {
            Address::Tcp(address) => std::net::TcpStream::connect(address).map(drop),
            Address::Unix(path) => std::os::unix::net::UnixStream::connect(path).map(drop),
        };
        connected.map_err(|error| match &self.address {
            Address::Tcp(address) => format!("cannot connect to {address}: {error}").into(),
            Address::Unix(path) => format!("cannot connect to {}: {error}", path.display()).into(),
        })
    }

    /// Starts a connection; it may not be established yet when this returns.
    pub(crate) fn connect(&self) -> io::Result<Stream> {
        match &self.address {
            Address::Tcp(address) => {
                let stream = mio::net::TcpStream::connect(*address)?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Address::Unix(path) => mio::net::UnixStream::connect(path).map(Stream::Unix),
        }
    }
}

fn build_request(args: &Args, host: &str, path: &str) -> Result<Vec<u8>, BoxError> {
    if !path.starts_with('/') || path.bytes().any(|b| b <= b' ') {
        return Err(format!("not a request path: {path:?}").into());
    }
    let body = args.body.as_deref().map(read).transpose()?;
    let method = if body.is_some() { "POST" } else { "GET" };
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n");
    for header in &args.headers {
        if !header.contains(':') || header.contains(['\r', '\n']) {
            return Err(format!("not a header: {header:?}").into());
        }
        head += &format!("{header}\r\n");
    }
    if let Some(body) = &body {
        let typed = args.headers.iter().any(|h| h.to_ascii_lowercase().starts_with("content-type:"));
        if let Some(length) = args.header_length {
            if length > body.len() {
                return Err(
                    format!("--header-length {length} is beyond the body's {} bytes", body.len()).into()
                );
            }
            head += &format!("Inference-Header-Content-Length: {length}\r\n");
        }
        if !typed {
            let kind =
                if args.header_length.is_some() { "application/octet-stream" } else { "application/json" };
            head += &format!("Content-Type: {kind}\r\n");
        }
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    if args.no_keepalive {
        head += "Connection: close\r\n";
    }
    head += "\r\n";
    let mut request = head.into_bytes();
    request.extend(body.unwrap_or_default());
    Ok(request)
}

/// Splits a URL into address, `Host` and path. No names are resolved but `localhost`.
fn parse_url(url: &str) -> Result<(Address, String, String), BoxError> {
    let rest = url.strip_prefix("http://").ok_or("only http:// URLs")?;
    let (host, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => {
            (name, port.parse().map_err(|_| format!("not a port: {port:?}"))?)
        }
        _ => (host, 80),
    };
    let ip: IpAddr = match name {
        "localhost" => Ipv4Addr::LOCALHOST.into(),
        _ => name
            .trim_matches(['[', ']'])
            .parse()
            .map_err(|_| format!("{name:?} is neither localhost nor an IP address"))?,
    };
    if !ip.is_loopback() {
        return Err(
            format!("{ip} is not loopback: this generator only loads servers on its own machine").into()
        );
    }
    Ok((Address::Tcp(SocketAddr::new(ip, port)), host.to_owned(), path.to_owned()))
}

// === impl Stream ===

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream {
    /// What epoll watches.
    pub(crate) fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_a_target() {
        for url in
            ["http://127.0.0.1:8000/x", "http://127.9.9.9/x", "http://localhost:1/x", "http://[::1]:8/x"]
        {
            assert!(parse_url(url).is_ok(), "{url}");
        }
        for url in [
            "http://10.0.0.1:8000/x",
            "http://0.0.0.0:8000/x",
            "http://192.168.1.1/x",
            "http://example.org/x",
            "http://[::]:8/x",
            "https://127.0.0.1/x",
            "http://127.0.0.1:x/",
            "http://127.0.0.1@10.0.0.1/x",
        ] {
            assert!(parse_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn url_gives_address_host_and_path() -> Result<(), BoxError> {
        let (address, host, path) = parse_url("http://localhost:8000/v2?x=1")?;
        assert_eq!(address, Address::Tcp("127.0.0.1:8000".parse()?));
        assert_eq!((host.as_str(), path.as_str()), ("localhost:8000", "/v2?x=1"));
        assert_eq!(parse_url("http://[::1]")?.0, Address::Tcp("[::1]:80".parse()?));
        Ok(())
    }
}
