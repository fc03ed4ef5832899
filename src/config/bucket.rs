//! What names a bucket and the way to it: `s3://bucket/prefix`, an endpoint, a region.

use super::setting::Named;
use super::value::Value;
use crate::model::shorten;

/// S3's own bounds for the name of a bucket.
const BUCKET_LENGTHS: std::ops::RangeInclusive<usize> = 3..=63;
/// S3's bound for a key is 1024 bytes; models, versions and files come below the prefix.
const MAX_PREFIX_BYTES: usize = 512;

/// The URL of an object store that speaks S3: scheme, host and perhaps a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(String);

/// The name of a region, which requests are signed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region(String);

/// Bucket and prefix of what follows `s3:`; the prefix has no `/` at its ends.
pub(super) fn bucket(rest: &str) -> Result<(String, String), String> {
    let Some(rest) = rest.strip_prefix("//") else {
        return Err("a bucket is named as s3://bucket or s3://bucket/prefix".into());
    };
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    // What is no bucket's name may be credentials, so it is not repeated.
    if !is_bucket(bucket) {
        return Err("expected s3://bucket/prefix, where a bucket's name has 3 to 63 lower-case letters, digits, \
                    `.` and `-`; an address of its own goes into registry.endpoint, credentials into the environment"
            .into());
    }
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    if prefix.is_empty() && !rest.ends_with("//") {
        return Ok((bucket.into(), String::new()));
    }
    if prefix.len() > MAX_PREFIX_BYTES {
        return Err(format!("a prefix has at most {MAX_PREFIX_BYTES} bytes"));
    }
    if prefix.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("a prefix has no `//`, `/./` or `/../` in it".into());
    }
    if prefix.contains(|c: char| c.is_control() || matches!(c, '?' | '#')) {
        return Err(
            "a prefix has no control characters, `?` or `#`; region and endpoint are keys of their own, \
                    registry.region and registry.endpoint"
                .into(),
        );
    }
    Ok((bucket.into(), prefix.into()))
}

fn is_bucket(name: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = name.bytes().next().into_iter().chain(name.bytes().last());
    BUCKET_LENGTHS.contains(&name.len())
        && name.bytes().all(|b| alphanumeric(b) || b == b'.' || b == b'-')
        && ends.into_iter().all(alphanumeric)
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err()
}

// === impl Endpoint ===

impl Endpoint {
    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Named for Endpoint {
    const EXPECTED: &str = "an http: or https: URL such as https://minio.example:9000, without a path";

    fn parse(text: &str) -> Result<Self, String> {
        let uri: Option<http::Uri> = text.parse().ok();
        let fits = uri.is_some_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
                && uri.host().is_some_and(|host| !host.is_empty())
                && uri.path_and_query().is_none_or(|path| path.as_str() == "/")
                && !text.contains('#')
        });
        // With an `@` it may hold a password.
        let shown = if text.contains('@') { "one with credentials".into() } else { shorten(text) };
        let wrong = || format!("expected {}, got `{shown}`", Self::EXPECTED);
        if fits { Ok(Self(text.trim_end_matches('/').into())) } else { Err(wrong()) }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

// === impl Region ===

impl Region {
    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Named for Region {
    const EXPECTED: &str = "a region's name such as eu-central-1";

    fn parse(text: &str) -> Result<Self, String> {
        let label = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let fits = text.len() <= 63 && text.bytes().all(label) && !text.starts_with('-');
        if fits { Ok(Self(text.into())) } else { Err(Value::Text(text.into()).expected(Self::EXPECTED)) }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_a_name_by_the_rules_of_s3_and_perhaps_a_prefix() {
        for (rest, name, prefix) in [
            ("//models", "models", ""),
            ("//models/", "models", ""),
            ("//a.b-3/team/models/", "a.b-3", "team/models"),
            ("//bucket/a b/ü%20", "bucket", "a b/ü%20"),
        ] {
            assert_eq!(bucket(rest), Ok((name.into(), prefix.into())), "{rest}");
        }
        for (rest, part) in [
            ("bucket/x", "s3://bucket"),
            ("//", "3 to 63"),
            ("//ab", "3 to 63"),
            ("//Bucket", "3 to 63"),
            ("//under_score", "3 to 63"),
            ("//-bucket", "3 to 63"),
            ("//a..b", "3 to 63"),
            ("//10.0.0.1", "3 to 63"),
            ("//key:secret@bucket", "3 to 63"),
            ("//bucket//", "`//`"),
            ("//bucket//x", "`//`"),
            ("//bucket/x//y", "`//`"),
            ("//bucket/x/../y", "`/../`"),
            ("//bucket/..", "`/../`"),
            ("//bucket/./x", "`/./`"),
            ("//bucket/a\nb", "control"),
            ("//bucket/a?region=x", "registry.region"),
        ] {
            let message = bucket(rest).expect_err(rest);
            assert!(message.contains(part) && !message.contains("secret"), "{rest}: {message}");
        }
        assert!(bucket(&format!("//bucket/{}", "x".repeat(513))).is_err());
    }

    #[test]
    fn an_endpoint_is_a_host_and_perhaps_a_port() {
        for (text, url) in [
            ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
            ("https://[::1]:9000/", "https://[::1]:9000"),
            ("https://minio", "https://minio"),
        ] {
            assert_eq!(Endpoint::parse(text).map(|e| e.0), Ok(url.to_owned()));
        }
        for text in [
            "minio:9000",
            "ftp://minio",
            "http://",
            "https://minio/path",
            "https://minio?x",
            "https://minio#x",
            "https://key:secret@minio",
            "x",
        ] {
            let message = Endpoint::parse(text).expect_err(text);
            assert!(message.contains("http: or https:") && !message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn a_region_is_one_label() {
        assert!(Region::parse("eu-central-1").is_ok() && Region::parse("garage").is_ok());
        for text in ["a.b", "a/b", "-a", "eu central"] {
            assert!(Region::parse(text).is_err(), "{text}");
        }
    }
}
