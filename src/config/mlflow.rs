//! What names an MLflow server and the way to it: an address, and credentials where MLflow's own tools look for them.

use crate::model::shorten;

/// The URL of an MLflow server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MlflowUrl {
    /// Whether it is spoken to over TLS.
    pub secure: bool,
    /// A name, or an address; one of IPv6 without its brackets.
    pub host: String,
    /// The port; 80 or 443 where none is written.
    pub port: u16,
    /// What every path begins with, without `/` at its end: empty, unless the server has a prefix.
    pub path: String,
}

/// Who we are to the server. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub enum MlflowCredentials {
    /// A bearer token.
    Token(String),
    /// A user with a password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
}

// === impl MlflowUrl ===

impl MlflowUrl {
    /// Reads an `http:` or `https:` URL.
    ///
    /// # Errors
    /// For anything else, and for one with credentials in it, which is not repeated.
    pub fn parse(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "an http: or https: URL such as http://mlflow:5000";
        if text.contains('@') {
            return Err(format!(
                "expected {EXPECTED}, without user info: credentials go into the environment"
            ));
        }
        let uri: Option<http::Uri> = text.parse().ok().filter(|_| !text.contains(['#', '?']));
        let url = uri.and_then(|uri| {
            let secure = match uri.scheme_str()? {
                "http" => false,
                "https" => true,
                _ => return None,
            };
            let authority = uri.authority()?;
            let host = authority.host().trim_start_matches('[').trim_end_matches(']');
            let port = match authority.as_str().strip_prefix(authority.host())? {
                "" if secure => 443,
                "" => 80,
                port => port.strip_prefix(':')?.parse().ok().filter(|port| *port > 0)?,
            };
            let path = uri.path().trim_end_matches('/').to_owned();
            (!host.is_empty()).then(|| Self { secure, host: host.to_ascii_lowercase(), port, path })
        });
        let url = url.ok_or_else(|| format!("expected {EXPECTED}, got `{}`", shorten(text)))?;
        if url.secure && cfg!(not(feature = "tls")) {
            return Err("this build has no TLS: it was made without the feature `tls`".into());
        }
        Ok(url)
    }

    /// Host and port, as a request's `host` field has them.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == if self.secure { 443 } else { 80 } { host } else { format!("{host}:{}", self.port) }
    }
}

impl std::fmt::Display for MlflowUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

// === impl MlflowCredentials ===

impl MlflowCredentials {
    /// Those of MLflow's own variables; a token goes before a user.
    #[expect(clippy::disallowed_methods, reason = "they are no part of a configuration, which can be shown")]
    pub fn from_process() -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(token) = variable("MLFLOW_TRACKING_TOKEN") {
            return Some(Self::Token(token));
        }
        let user = variable("MLFLOW_TRACKING_USERNAME")?;
        Some(Self::Basic { user, password: variable("MLFLOW_TRACKING_PASSWORD").unwrap_or_default() })
    }
}

impl std::fmt::Debug for MlflowCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_host_perhaps_with_a_port_and_a_prefix() {
        for (text, host, port, path, shown) in [
            ("http://mlflow:5000", "mlflow", 5000, "", "http://mlflow:5000"),
            ("http://MLflow/", "mlflow", 80, "", "http://mlflow"),
            ("http://[::1]:5000/team/a/", "::1", 5000, "/team/a", "http://[::1]:5000/team/a"),
        ] {
            let url = MlflowUrl::parse(text).unwrap();
            assert_eq!((url.host.as_str(), url.port, url.path.as_str()), (host, port, path), "{text}");
            assert_eq!(url.to_string(), shown);
        }
    }

    #[test]
    fn https_is_spoken_where_the_build_has_it() {
        match MlflowUrl::parse("https://mlflow") {
            Ok(url) => assert_eq!((url.port, url.to_string().as_str()), (443, "https://mlflow")),
            Err(message) => assert!(cfg!(not(feature = "tls")) && message.contains("`tls`"), "{message}"),
        }
    }

    #[test]
    fn other_urls_are_refused_and_secrets_not_repeated() {
        for text in ["mlflow:5000", "ftp://x", "http://", "http://u:secret@x", "http://x?y", "http://x:0", ""]
        {
            let message = MlflowUrl::parse(text).expect_err(text);
            assert!(message.contains("http: or https:") && !message.contains("secret"), "{message}");
        }
        let shown = format!("{:?}", MlflowCredentials::Token("secret".into()));
        assert!(!shown.contains("secret"));
    }
}
