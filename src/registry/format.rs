//! What every stored object has in common: it is JSON and says its `format`; a higher one than is known is refused.

use serde::Deserialize;
use serde_json::Value;

use crate::model::{LoadError, Reason};

/// The highest format this program reads, and the one it writes.
pub const FORMAT: u64 = 1;

/// The value of a stored object whose format this program knows.
///
/// # Errors
/// [`Reason::Parse`] with what is wrong with `what`.
pub fn parse<T: for<'de> Deserialize<'de>>(what: &str, bytes: &[u8]) -> Result<T, LoadError> {
    let refuse = |detail: String| LoadError::new(Reason::Parse, detail);
    let value: Value =
        serde_json::from_slice(bytes).map_err(|e| refuse(format!("{what} is not JSON: {e}")))?;
    match value.get("format").and_then(Value::as_u64) {
        Some(1..=FORMAT) => {}
        Some(format) => {
            let detail =
                format!("{what} has format {format}, this version reads up to {FORMAT}; update sidegate");
            return Err(refuse(detail));
        }
        None => return Err(refuse(format!("{what} has no `format`"))),
    }
    serde_json::from_value(value).map_err(|e| refuse(format!("{what}: {e}")))
}

#[cfg(test)]
mod tests;
