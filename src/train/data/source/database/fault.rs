//! What went wrong with a database, and whether another try may do better: a server that is away or busy comes back, a
//! statement that is wrong stays so.

use std::io;

use tokio_postgres::Error;

use crate::data::error::{DataError, passes};

/// Beginnings of SQLSTATE that pass: of connections, of resources that are short (more connections than it takes), of
/// transactions that met others, of an operator (a restart, a statement's timeout) and of the server's own disk, and a lock.
const PASSING: [&str; 6] = ["08", "40", "53", "55P03", "57", "58"];

/// An error of the database's, met at what is said.
pub(super) fn fault(what: &str, error: &Error) -> DataError {
    let reason = error.as_db_error().map_or_else(|| chain(error), ToString::to_string);
    let text = format!("{what}: {reason}");
    if is_passing(error) {
        DataError::unreachable("the database", text)
    } else {
        DataError::refused("the database", text)
    }
}

fn is_passing(error: &Error) -> bool {
    if let Some(code) = error.code() {
        return passing_code(code.code());
    }
    error.is_closed() || of_io(error).is_some_and(passes)
}

/// The error of a connection that lies behind another.
fn of_io<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    error.downcast_ref().or_else(|| of_io(error.source()?))
}

fn passing_code(code: &str) -> bool {
    PASSING.iter().any(|beginning| code.starts_with(beginning))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_from_what_stays() {
        for (code, passes) in [
            ("08006", true),
            ("40001", true),
            ("53300", true),
            ("55P03", true),
            ("57014", true),
            ("57P03", true),
            ("58030", true),
            ("25006", false),
            ("28P01", false),
            ("3D000", false),
            ("42501", false),
            ("42601", false),
            ("42P01", false),
        ] {
            assert_eq!(passing_code(code), passes, "{code}");
        }
    }
}
