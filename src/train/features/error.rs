//! What can go wrong, by whose fault it is.

/// Why features could not be made, or a model not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The configuration's: every problem of it, one a line.
    #[error("{0}")]
    Config(String),
    /// The data's: something is not as configured, or as before.
    #[error("{0}")]
    Data(String),
    /// The model does not fit the features, or cannot be written.
    #[error("{0}")]
    Model(String),
}

/// [`Error::Data`] of a formatted text.
macro_rules! data {
    ($($text:tt)*) => { $crate::features::error::Error::Data(format!($($text)*)) };
}

/// [`Error::Model`] of a formatted text.
macro_rules! model {
    ($($text:tt)*) => { $crate::features::error::Error::Model(format!($($text)*)) };
}

pub(crate) use {data, model};
