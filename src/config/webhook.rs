//! Where events are posted.

use super::setting::Named;
use crate::model::shorten;

/// A plain `http:` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookUrl {
    /// A name, or an address; one of IPv6 without its brackets.
    pub host: String,
    /// The port, 80 where none is written.
    pub port: u16,
    /// The path with its query.
    pub path: String,
}

// === impl WebhookUrl ===

impl WebhookUrl {
    /// Host and port, as a request's `host` field has them.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == 80 { host } else { format!("{host}:{}", self.port) }
    }
}

impl Named for WebhookUrl {
    const EXPECTED: &str = "an http: URL such as http://alerts:8080/events";

    fn parse(text: &str) -> Result<Self, String> {
        if text.contains('@') {
            return Err("holds user info; a token goes into monitor.webhook_token_file".into());
        }
        if text.starts_with("https:") {
            return Err(
                "https is not spoken by this version; name a plain http: URL, such as that of a proxy \
                        beside sidegate"
                    .into(),
            );
        }
        let uri: Option<http::Uri> = text.parse().ok().filter(|_| !text.contains('#'));
        let url = uri.filter(|uri| uri.scheme_str() == Some("http")).and_then(|uri| {
            let authority = uri.authority()?;
            let host = authority.host().trim_start_matches('[').trim_end_matches(']');
            let port = match authority.as_str().strip_prefix(authority.host())? {
                "" => 80,
                port => port.strip_prefix(':')?.parse().ok().filter(|port| *port > 0)?,
            };
            let path = uri.path_and_query().map_or("/", |path| path.as_str());
            (!host.is_empty()).then(|| Self { host: host.to_ascii_lowercase(), port, path: path.into() })
        });
        url.ok_or_else(|| format!("expected {}, got `{}`", Self::EXPECTED, shorten(text)))
    }

    fn text(&self) -> String {
        format!("http://{}{}", self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_url_is_taken_apart_and_reads_back() {
        for (text, host, port, path) in [
            ("http://alerts:8080/events?team=a", "alerts", 8080, "/events?team=a"),
            ("http://alerts/", "alerts", 80, "/"),
            ("http://127.0.0.1:9", "127.0.0.1", 9, "/"),
            ("http://[::1]:9/x", "::1", 9, "/x"),
        ] {
            let url = WebhookUrl::parse(text).unwrap();
            assert_eq!((url.host.as_str(), url.port, url.path.as_str()), (host, port, path), "{text}");
            assert_eq!(WebhookUrl::parse(&url.text()), Ok(url), "{text}: as shown");
        }
    }

    #[test]
    fn what_is_no_such_url_is_refused_with_the_reason() {
        for (text, part) in [
            ("https://alerts/events", "https is not spoken"),
            ("http://u:secret@alerts/", "user info"),
            ("ftp://alerts/", "expected an http: URL"),
            ("alerts:8080", "expected an http: URL"),
            ("http://", "expected an http: URL"),
            ("http://alerts:0/", "expected an http: URL"),
            ("http://alerts:65536/", "expected an http: URL"),
            ("http://alerts:x/", "expected an http: URL"),
            ("http://alerts/#x", "expected an http: URL"),
            ("http://alerts/\r\nx: y", "expected an http: URL"),
            ("/events", "expected an http: URL"),
        ] {
            let error = WebhookUrl::parse(text).unwrap_err();
            assert!(error.contains(part) && !error.contains("secret"), "{text}: {error}");
        }
    }
}
