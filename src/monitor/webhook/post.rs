//! One POST over a connection of its own, within its time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::config::WebhookUrl;

/// Longest first line of an answer.
const LINE: usize = 1024;
/// How long a receiver gets to end the connection; one that is cut off in its answer may take that for a failure.
const END: Duration = Duration::from_millis(200);

/// Posts an event; the status of the answer.
///
/// # Errors
/// When there is no answer within `limit`, in words for the log.
pub(super) fn post(
    url: &WebhookUrl,
    token: Option<&str>,
    body: &[u8],
    limit: Duration,
) -> Result<u16, String> {
    let deadline = Instant::now() + limit;
    let text = |error: std::io::Error| error.to_string();
    let addresses: Vec<SocketAddr> = (url.host.as_str(), url.port).to_socket_addrs().map_err(text)?.collect();
    let mut error = "its name has no address".to_owned();
    let connected = addresses.iter().find_map(|address| {
        let left = left(deadline).ok()?;
        TcpStream::connect_timeout(address, left).map_err(|e| error = e.to_string()).ok()
    });
    let mut stream = connected.ok_or(error)?;
    let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n"));
    let mut request = format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\nuser-agent: sidegate/{}\r\ncontent-type: application/cloudevents+json\r\n\
         content-length: {}\r\n{}connection: close\r\n\r\n",
        url.path,
        url.authority(),
        env!("CARGO_PKG_VERSION"),
        body.len(),
        authorization.unwrap_or_default(),
    )
    .into_bytes();
    request.extend_from_slice(body);
    stream.set_write_timeout(Some(left(deadline)?)).map_err(text)?;
    stream.write_all(&request).map_err(text)?;
    let status = status(&mut stream, deadline)?;
    end(&mut stream, deadline.min(Instant::now() + END));
    Ok(status)
}

fn left(deadline: Instant) -> Result<Duration, String> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err("it did not answer in time".into()) } else { Ok(left) }
}

/// The status, from the first line; what follows is for nobody.
fn status(stream: &mut TcpStream, deadline: Instant) -> Result<u16, String> {
    let (mut line, mut chunk) = (Vec::new(), [0; 512]);
    while !line.contains(&b'\n') {
        if line.len() > LINE {
            return Err("what answers does not speak HTTP".into());
        }
        stream.set_read_timeout(Some(left(deadline)?)).map_err(|e| e.to_string())?;
        match stream.read(&mut chunk) {
            Ok(0) => return Err("it ended the connection without an answer".into()),
            Ok(read) => line.extend_from_slice(&chunk[..read]),
            // Both mean that the time is up, which the next turn says.
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.to_string()),
        }
    }
    let status = line.strip_prefix(b"HTTP/1.").and_then(|rest| std::str::from_utf8(rest.get(2..5)?).ok());
    let status = status.and_then(|status| status.parse().ok());
    status.ok_or_else(|| "what answers does not speak HTTP".into())
}

/// Reads what else comes.
fn end(stream: &mut TcpStream, deadline: Instant) {
    let mut chunk = [0; 4096];
    while let Ok(left) = left(deadline)
        && stream.set_read_timeout(Some(left)).is_ok()
        && stream.read(&mut chunk).is_ok_and(|read| read > 0)
    {}
}
