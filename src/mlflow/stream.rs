//! A connection to a server, plain or over TLS.

use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::body::Outgoing;
use crate::config::MlflowUrl;

/// Largest head of an answer.
const HEAD_BYTES: usize = 64 << 10;

/// Connects.
///
/// # Errors
/// What went wrong, in words.
pub(super) async fn connect(url: &MlflowUrl) -> Result<SendRequest<Outgoing>, String> {
    let stream = TcpStream::connect((url.host.as_str(), url.port)).await.map_err(words)?;
    stream.set_nodelay(true).map_err(words)?;
    if !url.secure {
        return shake(stream).await;
    }
    #[cfg(feature = "tls")]
    return shake(super::tls::over(&url.host, stream).await?).await;
    #[cfg(not(feature = "tls"))]
    Err("this build has no TLS: it was made without the feature `tls`".into())
}

async fn shake<S>(stream: S) -> Result<SendRequest<Outgoing>, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    TokioIo<S>: Read + Write,
{
    let mut builder = Builder::new();
    builder.max_buf_size(HEAD_BYTES);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(words)?;
    crate::task::spawn("mlflow", async move { drop(connection.await) });
    Ok(sender)
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}
