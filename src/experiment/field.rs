//! Fields of a request that an experiment may look at: a header, a cookie, a value in the JSON body.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::pointer::Pointer;
use crate::model::shorten;

/// Where in a request something stands. Written `header:x-user-id`, `cookie:uid` or `json:/parameters/user_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// A header field, its name in lower case.
    Header(String),
    /// A cookie.
    Cookie(String),
    /// A value in the JSON body.
    Json(Pointer),
}

/// A text that names no field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidField {
    /// Not of any form.
    #[error("expected {EXPECTED}, got `{0}`")]
    Unknown(String),
    /// The address of whoever connects.
    #[error(
        "`{0}` is the address of the client, which behind a sidecar is always the app's own, so that all users would be \
         one unit; have the app send who the user is, such as header:x-user-id"
    )]
    Address(String),
}

/// The forms of a field, for messages.
pub const EXPECTED: &str = "header:NAME, cookie:NAME or json:/POINTER";

/// What people call the client's address, and header fields that hold nothing else.
const ADDRESSES: &[&str] = &["address", "client", "client-address", "ip", "client-ip", "peer", "remote-addr"];
const ADDRESS_HEADERS: &[&str] = &["forwarded", "x-forwarded-for", "x-real-ip", "true-client-ip"];

/// What can be asked of a request.
pub trait Fields {
    /// The first header field of that name (in lower case).
    fn header(&self, name: &str) -> Option<&[u8]>;

    /// The value of a cookie.
    fn cookie(&self, name: &str) -> Option<&[u8]>;

    /// The body, which need not be JSON.
    fn body(&self) -> &[u8];

    /// The value of a field; none where it is absent, empty, no scalar or no valid text.
    fn value(&self, field: &Field) -> Option<Cow<'_, str>> {
        self.read(field)
    }

    /// The same, by the three above.
    fn read(&self, field: &Field) -> Option<Cow<'_, str>> {
        let text = |bytes| std::str::from_utf8(bytes).ok().map(str::trim_ascii).map(Cow::Borrowed);
        let value = match field {
            Field::Header(name) => self.header(name).and_then(text),
            Field::Cookie(name) => self.cookie(name).and_then(text),
            Field::Json(pointer) => pointer.find(self.body()),
        };
        value.filter(|value| !value.is_empty())
    }
}

/// The value of a cookie in a `Cookie` header field (RFC 6265, 4.2).
pub fn cookie<'a>(field: &'a [u8], name: &str) -> Option<&'a [u8]> {
    field.split(|byte| *byte == b';').find_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        Some(quoted.unwrap_or(value))
    })
}

impl FromStr for Field {
    type Err = InvalidField;

    fn from_str(text: &str) -> Result<Self, InvalidField> {
        let normal = text.to_ascii_lowercase().replace('_', "-");
        let header = normal.strip_prefix("header:").unwrap_or_default();
        if ADDRESSES.contains(&normal.as_str()) || ADDRESS_HEADERS.contains(&header) {
            return Err(InvalidField::Address(text.to_owned()));
        }
        // Both are tokens of HTTP (RFC 9110, 5.6.2).
        let token = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
        };
        let field = match text.split_once(':') {
            Some(("header", name)) if token(name) => Some(Self::Header(name.to_ascii_lowercase())),
            Some(("cookie", name)) if token(name) => Some(Self::Cookie(name.to_owned())),
            Some(("json", pointer)) => Pointer::parse(pointer).map(Self::Json),
            _ => None,
        };
        field.ok_or_else(|| InvalidField::Unknown(shorten(text)))
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Json(pointer) => write!(f, "json:{pointer}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_as_they_are_read() {
        for text in ["header:x-user-id", "cookie:uid", "json:/a/0/b~1c", "json:/"] {
            assert_eq!(text.parse::<Field>().unwrap().to_string(), text);
        }
        assert_eq!("header:X-User".parse(), Ok(Field::Header("x-user".into())));
        for bad in ["", "header:", "header:a b", "json:", "json:a", "query:x", "x-user-id", "Header:a"] {
            assert!(matches!(bad.parse::<Field>(), Err(InvalidField::Unknown(_))), "{bad}");
        }
    }

    #[test]
    fn the_address_of_the_client_is_no_field() {
        for text in ["ip", "client_address", "remote_addr", "header:X-Forwarded-For", "header:x-real-ip"] {
            let error = text.parse::<Field>().unwrap_err().to_string();
            assert!(error.contains("the app's own"), "{error}");
        }
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let field = b"xuid=1; uid=2;other=\"a b\" ; uid=3; empty=";
        let value = |name| cookie(field, name).map(|value| String::from_utf8_lossy(value).into_owned());
        assert_eq!(value("uid").as_deref(), Some("2"));
        assert_eq!(value("other").as_deref(), Some("a b"));
        assert_eq!(value("empty").as_deref(), Some(""));
        assert_eq!((value("id"), value("ui")), (None, None));
    }
}
