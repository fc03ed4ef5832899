//! The ports of a gateway, bound before anything else is started.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::Failure;
use crate::config::Config;

/// Everything that was bound before any thread was started.
pub(super) struct Listeners {
    pub(super) http: TcpListener,
    pub(super) uds: Option<UnixListener>,
    pub(super) admin: TcpListener,
    pub(super) ops: Option<TcpListener>,
    pub(super) addresses: Addresses,
}

/// The bound addresses.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "one field per listener")]
pub struct Addresses {
    pub http: SocketAddr,
    pub admin: SocketAddr,
    pub ops: Option<SocketAddr>,
    pub uds: Option<PathBuf>,
}

// === impl Listeners ===

impl Listeners {
    /// Binds what the configuration names.
    ///
    /// # Errors
    /// The listener and its address, where that is taken or not ours.
    pub(super) fn bind(config: &Config) -> Result<Self, Failure> {
        let tcp = |what: &'static str, address: SocketAddr| {
            let failure = |error| Failure::Bind { what, address: address.to_string(), error };
            let listener = TcpListener::bind(address).map_err(failure)?;
            listener.set_nonblocking(true).map_err(failure)?;
            let bound = listener.local_addr().map_err(failure)?;
            Ok::<_, Failure>((listener, bound))
        };
        let (http, http_address) = tcp("http", config.http.listen)?;
        let (admin, admin_address) = tcp("admin", config.admin.listen)?;
        let ops = config.ops.listen.map(|address| tcp("ops", address)).transpose()?;
        let uds = config.http.uds.as_deref().map(bind_unix).transpose()?;
        let addresses = Addresses {
            http: http_address,
            admin: admin_address,
            ops: ops.as_ref().map(|(_, address)| *address),
            uds: config.http.uds.clone(),
        };
        Ok(Self { http, uds, admin, ops: ops.map(|(listener, _)| listener), addresses })
    }
}

/// Binds a Unix socket. A socket file that nobody listens on any more is replaced; anything else is left alone.
fn bind_unix(path: &Path) -> Result<UnixListener, Failure> {
    let failure = |error| Failure::Bind { what: "uds", address: path.display().to_string(), error };
    let stale = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket())
        && UnixStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused);
    if stale {
        std::fs::remove_file(path).map_err(failure)?;
    }
    let listener = UnixListener::bind(path).map_err(failure)?;
    listener.set_nonblocking(true).map_err(failure)?;
    // The app's container may run as another user; who may reach the socket is decided by its folder.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).map_err(failure)?;
    Ok(listener)
}

// === impl Addresses ===

impl Addresses {
    /// The line on standard output that others wait for.
    pub fn line(&self) -> String {
        let uds = self.uds.as_ref().map_or_else(|| "-".to_owned(), |path| path.display().to_string());
        format!("listening http={} admin={} uds={uds}", self.http, self.admin)
    }
}
