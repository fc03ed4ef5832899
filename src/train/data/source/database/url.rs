//! The database's URL: what libpq means by `sslmode` and `sslrootcert`, and the rest as the client library reads it.

use std::path::PathBuf;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// How much of the server's certificate has to be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nothing: whoever listens is kept out, whoever answers in the server's place is not.
    Anybody,
    /// An authority that is trusted signed it.
    Authority,
    /// And it is of the host that was asked for.
    Host,
}

/// What is known of the server.
pub(super) struct Server {
    pub(super) config: Config,
    pub(super) trust: Trust,
    /// Certificates of authorities, instead of those that this machine trusts.
    pub(super) authorities: Option<PathBuf>,
}

/// `sslmode`, by libpq's names.
const MODES: &[(&str, SslMode, Trust)] = &[
    ("disable", SslMode::Disable, Trust::Anybody),
    ("prefer", SslMode::Prefer, Trust::Anybody),
    ("require", SslMode::Require, Trust::Anybody),
    ("verify-ca", SslMode::Require, Trust::Authority),
    ("verify-full", SslMode::Require, Trust::Host),
];

impl Server {
    /// Reads `postgresql://user:password@host/database?sslmode=…`.
    ///
    /// # Errors
    /// What is wrong, without any part of the URL that may be secret.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut trust, mut authorities) = (SslMode::Prefer, Trust::Anybody, None);
        let mut others = Vec::new();
        for pair in query.split('&') {
            // Here a plus is a plus.
            let decoded = pair.replace('+', "%2B");
            let (name, value) = url::form_urlencoded::parse(decoded.as_bytes()).next().unwrap_or_default();
            match &*name {
                "sslmode" => {
                    let known = MODES.iter().find(|(name, ..)| *name == value);
                    let (_, asked, needed) = known.ok_or_else(|| {
                        let names: Vec<&str> = MODES.iter().map(|(name, ..)| *name).collect();
                        format!("its sslmode is none of {}", names.join(", "))
                    })?;
                    (mode, trust) = (*asked, *needed);
                }
                "sslrootcert" => authorities = Some(value.into_owned()),
                _ => others.push(pair),
            }
        }
        // Whoever names authorities wants them asked; so does libpq.
        match authorities.as_deref() {
            Some("system") => (mode, trust, authorities) = (SslMode::Require, Trust::Host, None),
            Some(_) if trust == Trust::Anybody => trust = Trust::Authority,
            _ => {}
        }
        let rest = if others.is_empty() { base.to_owned() } else { format!("{base}?{}", others.join("&")) };
        // The parser's own error may show the password.
        let mut config: Config = rest.parse().map_err(|_| {
            "it is no URL such as postgresql://user:password@host/database?sslmode=verify-full".to_owned()
        })?;
        // What was read past us would be overwritten below.
        if !base.contains("://") || config.get_ssl_mode() != SslMode::Prefer {
            return Err("it is no URL such as postgresql://user:password@host/database?sslmode=verify-full \
                        (`?` in a password is %3F)"
                .to_owned());
        }
        // What stays on this machine is not encrypted.
        let hosts = config.get_hosts();
        let local = !hosts.is_empty() && hosts.iter().all(|host| !matches!(host, Host::Tcp(_)));
        config.ssl_mode(if local { SslMode::Disable } else { mode });
        Ok(Self { config, trust, authorities: authorities.map(PathBuf::from) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_asked_for_as_libpq_does() {
        let check = |more: &str, mode, trust, authorities: Option<&str>| {
            let server = Server::parse(&format!("postgresql://u:p%3F@h:1/d{more}")).unwrap();
            assert_eq!((server.config.get_ssl_mode(), server.trust), (mode, trust), "{more}");
            assert_eq!(server.authorities, authorities.map(PathBuf::from), "{more}");
            assert_eq!(server.config.get_password(), Some(b"p?".as_slice()));
        };
        check("", SslMode::Prefer, Trust::Anybody, None);
        check("?sslmode=disable", SslMode::Disable, Trust::Anybody, None);
        check("?sslmode=require&connect_timeout=3", SslMode::Require, Trust::Anybody, None);
        check("?sslmode=verify-full", SslMode::Require, Trust::Host, None);
        check(
            "?sslrootcert=%2Fa+b.pem&sslmode=require",
            SslMode::Require,
            Trust::Authority,
            Some("/a+b.pem"),
        );
        check("?sslrootcert=c&sslmode=verify-full", SslMode::Require, Trust::Host, Some("c"));
        check("?sslrootcert=system", SslMode::Require, Trust::Host, None);
        let local = Server::parse("postgresql:///d?host=/run/postgresql&sslmode=require").unwrap();
        assert_eq!(local.config.get_ssl_mode(), SslMode::Disable);
    }

    #[test]
    fn what_is_wrong_is_said_without_a_secret() {
        for (url, expected) in [
            ("postgresql://u:secret@h/d?sslmode=on", "disable, prefer, require, verify-ca, verify-full"),
            ("postgresql://u:secret@h:port/d", "no URL such as"),
            ("host=h user=u password=secret sslmode=require", "no URL such as"),
            ("postgresql://u:secret@h/d?sslcert=secret", "no URL such as"),
        ] {
            let error = Server::parse(url).err().unwrap();
            assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        }
    }
}
