//! The only reader of the environment.
#![expect(clippy::disallowed_methods, reason = "the one place where it is read")]

use std::ffi::OsString;

/// A variable, if it is set and is text.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A variable, if it is set.
pub(crate) fn variable_os(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}
