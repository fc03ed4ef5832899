//! HTTP/1.1 as a client, on a connection that exists.

use std::io;

use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// A connection on which requests go one after another.
pub(super) type Sender = SendRequest<Full<Bytes>>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// There is no connection.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It broke, or what came is no HTTP.
    #[error(transparent)]
    Http(#[from] hyper::Error),
}

/// Speaks HTTP on a stream.
pub(super) async fn open<S>(stream: S) -> Result<Sender, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    crate::task::spawn("lambda-connection", async move { drop(connection.await) });
    Ok(sender)
}

/// The whole answer to a request.
pub(super) async fn exchange(
    sender: &mut Sender,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, Error> {
    let (head, body) = sender.send_request(request).await?.into_parts();
    Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
}
