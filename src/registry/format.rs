//! What every stored object has in common: it is JSON and says its `format`; a higher one than is known is refused.
//!
//! Whoever may write to a bucket decides what is read here, so nothing is taken apart that is not understood: what a
//! newer program wrote stays text ([`Raw`]), which costs what it is long.

mod rest;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::model::{LoadError, Reason};

pub use rest::{Raw, Rest};
pub(super) use rest::{Splitting, keeps_rest};

/// The highest format this program reads, and the one it writes.
pub const FORMAT: u64 = 1;

/// What is read of an object first.
#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    format: Raw,
}

/// The value of a stored object whose format this program knows.
///
/// # Errors
/// [`Reason::Parse`] with what is wrong with `what`.
pub fn parse<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, LoadError> {
    let refuse = |detail: String| LoadError::new(Reason::Parse, detail);
    let broken = |error: serde_json::Error| match error.classify() {
        Category::Data => refuse(format!("{what}: {error}")),
        Category::Io | Category::Syntax | Category::Eof => refuse(format!("{what} is not JSON: {error}")),
    };
    let envelope: Envelope = serde_json::from_slice(bytes).map_err(broken)?;
    match envelope.format.as_str().parse() {
        Ok(1..=FORMAT) => {}
        Ok(format) => {
            let detail: String =
                format!("{what} has format {format}, this version reads up to {FORMAT}; update sidegate");
            return Err(refuse(detail));
        }
        Err(_) => return Err(refuse(format!("{what} has no `format`"))),
    }
    serde_json::from_slice(bytes).map_err(broken)
}

#[cfg(test)]
mod tests;
