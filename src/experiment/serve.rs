//! What a variant serves: a version of the model, or another server that speaks the Open Inference Protocol.

use std::fmt;
use std::str::FromStr;

use crate::model::{Selector, shorten};

/// What answers as a variant.
#[derive(Clone, Debug, PartialEq)]
pub enum Serve {
    /// A version of the model.
    Local(Selector),
    /// A model of another server.
    Remote(RemoteUrl),
}

/// A model of another server: `http://HOST[:PORT]/…/v2/models/NAME[/versions/N]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteUrl {
    /// A name, or an address; one of IPv6 without its brackets.
    pub host: String,
    /// The port, 80 where none is written.
    pub port: u16,
    /// The model's path, without `/infer`.
    pub path: String,
}

/// What begins the text of a remote one.
const REMOTE: &str = "remote:";

// === impl Serve ===

impl FromStr for Serve {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix(REMOTE) {
            Some(url) => RemoteUrl::parse(url).map(Self::Remote),
            None => text.parse().map(Self::Local).map_err(|_| {
                format!("expected a version, a stage, an alias or {REMOTE}URL, got `{}`", shorten(text))
            }),
        }
    }
}

impl fmt::Display for Serve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(selector) => selector.fmt(f),
            Self::Remote(url) => write!(f, "{REMOTE}http://{}{}", url.authority(), url.path),
        }
    }
}

// === impl RemoteUrl ===

impl RemoteUrl {
    /// Host and port, as a request's `host` field has them.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == 80 { host } else { format!("{host}:{}", self.port) }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let shape = "expected remote:http://HOST:PORT/v2/models/NAME, optionally with /versions/N behind it";
        if text.starts_with("https:") {
            return Err(
                "https is not spoken by this version; name a plain http: URL, such as that of a proxy \
                        beside sidegate"
                    .into(),
            );
        }
        let rest = text.strip_prefix("http://").ok_or(shape)?;
        if rest.contains(['?', '#']) {
            return Err("holds a query or a fragment, which no path of a model has".into());
        }
        let (authority, path) = rest.split_at(rest.find('/').ok_or(shape)?);
        if authority.contains('@') {
            return Err("holds user info, which would be sent unencrypted and shown; leave it out".into());
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or(shape)?;
                host.parse::<core::net::Ipv6Addr>().map_err(|_| "the host is no address of IPv6")?;
                (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(shape)?) })
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if host.is_empty() || !host.bytes().all(|b| plain(b) || authority.starts_with('[') && b == b':') {
            return Err("the host is no name or address".into());
        }
        let port = match port {
            None => 80,
            Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
                port.parse().ok().filter(|port| *port > 0).ok_or("the port is not from 1 to 65535")?
            }
            Some(_) => return Err("the port is not from 1 to 65535".into()),
        };
        let parts: Vec<&str> = path[1..].split('/').collect();
        let model = match parts.as_slice() {
            [.., "v2", "models", name, "versions", version] => vec![*name, *version],
            [.., "v2", "models", name] => vec![*name],
            _ => return Err(shape.into()),
        };
        let sound = |part: &str| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && part.bytes().all(|b| plain(b) || b"~%@+:".contains(&b))
        };
        if !parts.iter().all(|part| sound(part)) || model.contains(&"versions") {
            return Err(shape.into());
        }
        Ok(Self { host: host.to_ascii_lowercase(), port, path: path.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_variant_is_a_model_of_another_server_and_reads_back() {
        for text in [
            "remote:http://triton:8000/v2/models/churn",
            "remote:http://triton/v2/models/churn/versions/3",
            "remote:http://127.0.0.1:1/base/v2/models/m",
            "remote:http://[::1]:8000/v2/models/m",
            "production",
            "7",
        ] {
            let serve: Serve = text.parse().unwrap();
            assert_eq!(serve.to_string().to_lowercase(), text);
            assert_eq!(serve.to_string().to_lowercase().parse(), Ok(serve), "{text}: as shown");
        }
    }

    #[test]
    fn what_is_no_such_url_is_refused_with_the_reason() {
        for (url, part) in [
            ("https://h/v2/models/m", "https is not spoken"),
            ("ftp://h/v2/models/m", "expected remote:"),
            ("http://h", "expected remote:"),
            ("http://h/v2/models/m/infer", "expected remote:"),
            ("http://h/v2/models/", "expected remote:"),
            ("http://h/../v2/models/m", "expected remote:"),
            ("http://h/v2/models/m\r\nx", "expected remote:"),
            ("http://h/v2/models/m?x=1", "a query"),
            ("http://u:p@h/v2/models/m", "user info"),
            ("http://:80/v2/models/m", "no name or address"),
            ("http://h h/v2/models/m", "no name or address"),
            ("http://h:0/v2/models/m", "1 to 65535"),
            ("http://h:+80/v2/models/m", "1 to 65535"),
            ("http://h:65536/v2/models/m", "1 to 65535"),
        ] {
            let error = format!("remote:{url}").parse::<Serve>().unwrap_err();
            assert!(error.contains(part), "{url}: {error}");
        }
    }
}
