//! TLS as buckets have it: rustls with aws-lc-rs, and the certificates that this machine trusts.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

/// The side that connects, before it is said whom it believes.
///
/// # Errors
/// When the cryptography lacks what TLS needs.
pub fn client() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, String> {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())
}

/// The authorities that this machine trusts. Reading them takes a while.
///
/// # Errors
/// When there are none; with the way out.
pub fn trusted() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (trusted, _) = roots.add_parsable_certificates(found.certs);
    if trusted == 0 {
        return Err(
            "no certificate that this machine trusts was found; SSL_CERT_FILE names a file of them".into()
        );
    }
    Ok(roots)
}
