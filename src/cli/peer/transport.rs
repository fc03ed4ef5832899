//! What a connection runs over: TCP, or TLS over it where the URL says https.

use std::io::{Read, Write};
use std::net::TcpStream;

/// A connected stream.
pub(in crate::cli) trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

/// What TLS needs to know of a server.
#[cfg(feature = "tls")]
#[derive(Clone, Debug)]
pub(in crate::cli) struct Secure {
    config: std::sync::Arc<tokio_rustls::rustls::ClientConfig>,
    name: tokio_rustls::rustls::pki_types::ServerName<'static>,
}

#[cfg(feature = "tls")]
impl Secure {
    /// TLS to a server of this name, whose certificate an authority that this machine trusts has signed.
    ///
    /// # Errors
    /// When the name is none, or this machine trusts nobody.
    pub(in crate::cli) fn new(host: &str) -> Result<Self, String> {
        let name = host.trim_matches(['[', ']']).to_owned();
        let name = name.try_into().map_err(|error| format!("`{host}` is no name of a server ({error})"))?;
        let roots = crate::tls::trusted()?;
        let config = crate::tls::client()?.with_root_certificates(roots).with_no_client_auth();
        Ok(Self { config: config.into(), name })
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// In the words of who refused.
    pub(in crate::cli) fn over(&self, mut stream: TcpStream) -> Result<Box<dyn Stream>, String> {
        use tokio_rustls::rustls::{ClientConnection, StreamOwned};
        let mut session = ClientConnection::new(self.config.clone(), self.name.clone())
            .map_err(|error| error.to_string())?;
        // Now and not with the first request, so that what is wrong with a certificate is told as that.
        while session.is_handshaking() {
            session.complete_io(&mut stream).map_err(|error| format!("TLS: {error}"))?;
        }
        Ok(Box::new(StreamOwned::new(session, stream)))
    }
}

/// A build without TLS has nobody to talk to.
#[cfg(not(feature = "tls"))]
#[derive(Clone, Debug)]
pub(in crate::cli) enum Secure {}

#[cfg(not(feature = "tls"))]
impl Secure {
    pub(in crate::cli) fn new(_: &str) -> Result<Self, String> {
        Err("this build was made without the feature `tls`, so it does not speak https".into())
    }

    pub(in crate::cli) fn over(&self, _: TcpStream) -> Result<Box<dyn Stream>, String> {
        match *self {}
    }
}
