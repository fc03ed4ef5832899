//! `bare_hyper`: the reference that sidegate is measured against.
//!
//! hyper's HTTP/1.1 on one current-thread tokio runtime; reads every request to its end and answers the same
//! bytes. No routing, no timers, no limits: the least that an answer over this transport costs with this HTTP
//! library. It is a yardstick, not a server to expose.
//!
//! ```text
//! cargo run --release --example bare_hyper -- --http 127.0.0.1:8100 --uds /tmp/bare.sock --answer-bytes 250
//! ```
#![expect(clippy::disallowed_methods, reason = "it is hyper and tokio with nothing of ours")]

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

/// The reference server: hyper with a fixed answer.
#[derive(clap::Parser)]
#[command(name = "bare_hyper")]
struct Args {
    /// Address to listen on; port 0 is allowed
    #[arg(long, default_value = "127.0.0.1:0")]
    http: SocketAddr,
    /// Unix domain socket to listen on as well (replaced if it exists)
    #[arg(long)]
    uds: Option<PathBuf>,
    /// Length of the answer's body
    #[arg(long, default_value_t = 250)]
    answer_bytes: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let args = Args::parse();
    if !args.http.ip().is_loopback() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "--http: loopback only"));
    }
    let answer = answer(args.answer_bytes);
    let listener = TcpListener::bind(args.http).await?;
    let uds = match &args.uds {
        Some(path) => {
            let _ = std::fs::remove_file(path);
            let unix = UnixListener::bind(path)?;
            tokio::spawn(accept_unix(unix, answer.clone()));
            path.display().to_string()
        }
        None => "-".to_owned(),
    };
    writeln!(io::stdout(), "listening http={} admin=- uds={uds}", listener.local_addr()?)?;
    loop {
        // A failed accept is the client's doing (it hung up), or too many files: nothing to be done here.
        if let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true)?;
            tokio::spawn(serve(stream, answer.clone()));
        }
    }
}

async fn accept_unix(listener: UnixListener, answer: Bytes) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer.clone()));
        }
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send, answer: Bytes) {
    let service = service_fn(move |request| respond(request, answer.clone()));
    // The error of a connection that ended badly concerns only its client.
    let _ =
        http1::Builder::new().header_read_timeout(None).serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(request: Request<Incoming>, answer: Bytes) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    let mut response = Response::new(Full::new(answer));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// A JSON object of exactly `length` bytes (at least the smallest one).
fn answer(length: usize) -> Bytes {
    let padding = length.saturating_sub(r#"{"pad":""}"#.len());
    Bytes::from(format!(r#"{{"pad":"{}"}}"#, "x".repeat(padding)))
}
