//! TLS to the server.

use std::sync::{Arc, OnceLock};

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::tls;

/// TLS over a connection.
///
/// # Errors
/// What went wrong, in words.
pub(super) async fn over(host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
    // Reading what the machine trusts takes a while, and a process does it once.
    static CONFIG: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
    let config = CONFIG.get_or_init(config).clone()?;
    let name = ServerName::try_from(host.to_owned()).map_err(|error| format!("`{host}`: {error}"))?;
    TlsConnector::from(config).connect(name, stream).await.map_err(|error| error.to_string())
}

fn config() -> Result<Arc<ClientConfig>, String> {
    let config = tls::client()?.with_root_certificates(tls::trusted()?).with_no_client_auth();
    Ok(Arc::new(config))
}
