//! TLS to the database, by rustls.

mod believe;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::{fmt, io};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream as Secured};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error};

use super::url::Trust;
use crate::data::error::DataError;

/// Makes connections secret.
#[derive(Clone)]
pub(super) struct Connector(Arc<ClientConfig>);

/// The same, to a host.
pub(super) struct ToHost {
    config: Arc<ClientConfig>,
    host: String,
}

/// A connection that nobody else can read.
pub(super) struct Secret(Box<TlsStream<Socket>>);

/// Why there is none: in words, or a connection that broke off meanwhile.
#[derive(Debug)]
pub(super) struct Refused(String, Option<io::Error>);

// === impl Connector ===

impl Connector {
    /// That believes servers as far as `trust` says. Authorities are read from a file of PEM, or they are those that
    /// this machine trusts.
    ///
    /// # Errors
    /// When there are none.
    pub(super) fn new(trust: Trust, authorities: Option<&Path>) -> Result<Self, DataError> {
        believe::config(trust, authorities).map(|config| Self(Arc::new(config))).map_err(DataError::Config)
    }
}

impl MakeTlsConnect<Socket> for Connector {
    type Stream = Secret;
    type TlsConnect = ToHost;
    type Error = Refused;

    fn make_tls_connect(&mut self, host: &str) -> Result<ToHost, Refused> {
        // A name that is none matters only if the server knows TLS.
        Ok(ToHost { config: self.0.clone(), host: host.to_owned() })
    }
}

impl TlsConnect<Socket> for ToHost {
    type Stream = Secret;
    type Error = Refused;
    type Future = Pin<Box<dyn Future<Output = Result<Secret, Refused>> + Send>>;

    fn connect(self, stream: Socket) -> Self::Future {
        Box::pin(async move {
            let name = ServerName::try_from(self.host.clone())
                .map_err(|error| Refused(format!("`{}`: {error}", self.host), None))?;
            let connected = TlsConnector::from(self.config).connect(name, stream).await;
            connected.map(|stream| Secret(Box::new(stream))).map_err(|error| Refused::new(error, &self.host))
        })
    }
}

// === impl Refused ===

impl Refused {
    fn new(error: io::Error, host: &str) -> Self {
        let fault = match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::InvalidCertificate(fault)) => fault,
            Some(other) => return Self(other.to_string(), None),
            None => return Self("the connection broke off".to_owned(), Some(error)),
        };
        let words = match fault {
            CertificateError::UnknownIssuer => {
                "the server's certificate was signed by nobody who is trusted here; sslrootcert in the URL names a file with the certificate of who did".to_owned()
            }
            CertificateError::NotValidForName => format!("the server's certificate is not for `{host}`"),
            CertificateError::NotValidForNameContext { presented, .. } => format!(
                "the server's certificate is not for `{host}` but for {}; name the server so, or say sslmode=verify-ca",
                presented.iter().map(|name| bare(name)).collect::<Vec<_>>().join(", ")
            ),
            fault => format!("the server's certificate: {fault}"),
        };
        Self(words, None)
    }
}

/// `localhost` of `DnsName("localhost")`, as rustls has it.
fn bare(name: &str) -> &str {
    name.split_once('(').map_or(name, |(_, name)| name.trim_matches(['"', ')']))
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.1.as_ref().map(|error| error as _)
    }
}

// === impl Secret ===

impl Secured for Secret {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Secret {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Secret {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
