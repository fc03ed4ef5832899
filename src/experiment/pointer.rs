//! One value out of a JSON document by a JSON pointer (RFC 6901), without a tree.

use std::borrow::Cow;
use std::fmt;

use crate::json::{Kind, Reader, Result};

/// A path into a document, one step per object or array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

// === impl Pointer ===

impl Pointer {
    /// Reads `/a/0/b`; none for what does not start with a slash or escapes wrongly.
    pub fn parse(text: &str) -> Option<Self> {
        let unescape = |step: &str| {
            let wrong = step.match_indices('~').any(|(at, _)| !step[at + 1..].starts_with(['0', '1']));
            (!wrong).then(|| step.replace("~1", "/").replace("~0", "~"))
        };
        text.strip_prefix('/')?.split('/').map(unescape).collect::<Option<_>>().map(Self)
    }

    /// The value there as text: a string decoded, another scalar as it is written. Nothing for null, for an array or
    /// object, and in what is not JSON. What stands behind the value is not looked at.
    pub fn find<'a>(&self, document: &'a [u8]) -> Option<Cow<'a, str>> {
        let mut reader = Reader::new(document);
        let mut key = Vec::new();
        for step in &self.0 {
            if !enter(&mut reader, step, &mut key).ok()? {
                return None;
            }
        }
        let text = scalar(&mut reader).ok().flatten()?;
        Some(match text {
            Cow::Borrowed(text) => std::str::from_utf8(text).ok()?.into(),
            Cow::Owned(text) => String::from_utf8(text).ok()?.into(),
        })
    }
}

/// Moves to the value of `step` in the next object or array; whether there is one.
fn enter(reader: &mut Reader<'_>, step: &str, key: &mut Vec<u8>) -> Result<bool> {
    match reader.kind()? {
        Kind::Object => {
            reader.begin_object()?;
            let mut first = true;
            while reader.key(std::mem::take(&mut first), key)? {
                if key == step.as_bytes() {
                    return Ok(true);
                }
                pass(reader)?;
            }
        }
        Kind::Array => {
            let plain = step == "0" || !step.starts_with('0') && step.bytes().all(|b| b.is_ascii_digit());
            let Some(index) = step.parse::<usize>().ok().filter(|_| plain) else { return Ok(false) };
            reader.begin_array()?;
            for position in 0.. {
                if !reader.element(position == 0)? {
                    break;
                }
                if position == index {
                    return Ok(true);
                }
                pass(reader)?;
            }
        }
        _ => {}
    }
    Ok(false)
}

/// Skips a value; arrays of numbers, which make bodies large, at once.
fn pass(reader: &mut Reader<'_>) -> Result<()> {
    if reader.skip_numbers() { Ok(()) } else { reader.skip().map(drop) }
}

fn scalar<'a>(reader: &mut Reader<'a>) -> Result<Option<Cow<'a, [u8]>>> {
    let kind = reader.kind()?;
    let written = match kind {
        Kind::String | Kind::Number | Kind::Bool => reader.skip()?,
        Kind::Null | Kind::Array | Kind::Object => return Ok(None),
    };
    Ok(Some(match kind {
        Kind::String if written.contains(&b'\\') => {
            let mut text = Vec::with_capacity(written.len());
            Reader::new(written).string(&mut text)?;
            text.into()
        }
        Kind::String => written[1..written.len() - 1].into(),
        _ => written.into(),
    }))
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| write!(f, "/{}", step.replace('~', "~0").replace('/', "~1")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn find(document: &str, pointer: &str) -> Option<String> {
        let found = Pointer::parse(pointer).unwrap().find(document.as_bytes())?;
        Some(found.into_owned())
    }

    #[test]
    fn scalars_are_found_as_text() {
        let document = r#"{"inputs":[{"data":[1,2.50,-3e2],"name":"a"}, {"data":["x\u00e9\"","y"]}],
            "parameters":{"user":42,"a/b":"slash","m~n":true,"~1":"tilde one","":"empty key","none":null}} binary tail"#;
        for (pointer, expected) in [
            ("/inputs/0/data/1", Some("2.50")),
            ("/inputs/0/data/2", Some("-3e2")),
            ("/inputs/1/data/0", Some("xé\"")),
            ("/inputs/1/data/1", Some("y")),
            ("/parameters/user", Some("42")),
            ("/parameters/a~1b", Some("slash")),
            ("/parameters/m~0n", Some("true")),
            ("/parameters/~01", Some("tilde one")),
            ("/parameters/", Some("empty key")),
            ("/parameters/none", None),
            ("/parameters", None),
            ("/inputs/2/data/0", None),
            ("/inputs/00/data/0", None),
            ("/inputs/-/data", None),
            ("/parameters/user/x", None),
        ] {
            assert_eq!(find(document, pointer).as_deref(), expected, "{pointer}");
        }
        for broken in ["", "{", "[1,", "{\"a\" 1}", "1,2\n3,4", "\0\0\u{1}"] {
            assert_eq!(find(broken, "/a"), None, "{broken:?}");
        }
        assert!(["a", "/~", "/~2", "/a~"].iter().all(|bad| Pointer::parse(bad).is_none()));
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-c~/\\\\\"é]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c~/0]{0,2}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(document in json(), steps in prop::collection::vec("[a-c0-3/~]{0,2}", 1..4)) {
            let pointer = Pointer(steps);
            let expected = match document.pointer(&pointer.to_string()) {
                None | Some(Value::Null | Value::Array(_) | Value::Object(_)) => None,
                Some(Value::String(text)) => Some(text.clone()),
                Some(other) => Some(other.to_string()),
            };
            let found = pointer.find(document.to_string().as_bytes()).map(Cow::into_owned);
            prop_assert_eq!(found, expected);
            prop_assert_eq!(Pointer::parse(&pointer.to_string()), Some(pointer));
        }
    }
}
