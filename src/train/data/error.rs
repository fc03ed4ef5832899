//! What can be wrong with data, and how the pipeline ends then.

use std::io;

use sidegate::registry::store::{Fault, StoreError};

use crate::data::range::DateRange;
use crate::data::validate::report::Check;

/// Why there is no data to train on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataError {
    /// `[data]`, `[split]` or a schema file says something that cannot be.
    #[error("{0}")]
    Config(String),
    /// The data cannot be reached or read; a later try may do better.
    #[error("{from}: {reason}")]
    Unreachable {
        /// Where it should come from.
        from: String,
        /// What happened.
        reason: String,
    },
    /// The data cannot be had, and another try meets the same: access is denied, there is no such folder, bucket or table,
    /// or this machine has no room for a copy.
    #[error("{from}: {reason}")]
    Refused {
        /// Where it should come from.
        from: String,
        /// What happened.
        reason: String,
    },
    /// The data is there but damaged or in disorder.
    #[error("{from}: {reason}")]
    Unreadable {
        /// The file, or what was being read.
        from: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing matched the path.
    #[error(
        "data.path: no {format} file at `{path}`; name a file, a folder or a pattern such as `data/*.parquet`"
    )]
    NoFiles {
        /// As configured.
        path: String,
        /// What was looked for.
        format: &'static str,
    },
    /// Nothing was asked for but all rows.
    #[error("the data has no rows")]
    NoRows,
    /// No row lies in the range.
    #[error("no rows from {start} (included) to {end} (excluded); see `data.date_range`")]
    EmptyRange {
        /// As configured; `the beginning` without one.
        start: String,
        /// As configured; `the end` without one.
        end: String,
    },
    /// A column that is asked for is not in the data.
    #[error("column `{column}` ({role}) is not in the data, which has: {present}")]
    ColumnVanished {
        /// Its name.
        column: String,
        /// What it is for.
        role: &'static str,
        /// The columns there are.
        present: String,
    },
    /// A column holds what no model takes.
    #[error("column `{column}` is {found}, which no model takes; name the others in `data.columns`")]
    Unsupported {
        /// Its name.
        column: String,
        /// Its type.
        found: String,
    },
    /// A value that is not of its column's type.
    #[error(
        "column `{column}`, row {row}: `{value}` is not {wanted}; `data.types` can say what the column is"
    )]
    Malformed {
        /// The column.
        column: String,
        /// Counted from 1 in what was loaded.
        row: u64,
        /// Its beginning.
        value: String,
        /// What the column was taken for.
        wanted: &'static str,
    },
    /// Rows without a target.
    #[error(
        "{missing} of {rows} rows have no `{column}`; mend the data, or set `data.missing_target = \"drop\"`"
    )]
    MissingTarget {
        /// The target.
        column: String,
        /// Rows without.
        missing: u64,
        /// Of so many.
        rows: u64,
    },
    /// Every row has the same target.
    #[error("`{column}` is {value} in all of {rows} rows: there is nothing to learn")]
    ConstantTarget {
        /// The target.
        column: String,
        /// Its only value.
        value: String,
        /// Rows there are.
        rows: u64,
    },
    /// A classification with a single class.
    #[error("all of {rows} rows are of class `{class}`: a classifier needs two; see `data.date_range`")]
    OneClass {
        /// The target.
        column: String,
        /// The class.
        class: String,
        /// Rows there are.
        rows: u64,
    },
    /// More was needed at a time than `data.memory_limit`.
    #[error("more memory was needed than `data.memory_limit` ({limit} MiB) allows: {reason}")]
    Memory {
        /// MiB.
        limit: u64,
        /// As reported.
        reason: String,
    },
    /// The consumer of the rows gave up.
    #[error("{0}")]
    Consumer(String),
}

impl DataError {
    /// What a report says of it, where it is a fault of the data and not of the way to it: the column, if it is one of a
    /// column's, what was checked, and the rows that it concerns.
    pub(crate) fn fault(&self) -> Option<(&str, Check, u64)> {
        Some(match self {
            Self::NoRows | Self::EmptyRange { .. } => ("", Check::Rows, 0),
            Self::ColumnVanished { column, .. } => (column, Check::Present, 0),
            Self::Unsupported { column, .. } => (column, Check::Type, 0),
            Self::Malformed { column, .. } => (column, Check::Type, 1),
            Self::MissingTarget { column, missing, .. } => (column, Check::MissingTarget, *missing),
            Self::ConstantTarget { column, rows, .. } => (column, Check::ConstantTarget, *rows),
            Self::OneClass { column, rows, .. } => (column, Check::OneClass, *rows),
            _ => return None,
        })
    }

    /// That no row lies in a range, or there is none at all.
    pub(crate) fn empty(range: Option<&DateRange>) -> Self {
        let Some(range) = range else { return Self::NoRows };
        let of = |end: &Option<String>, else_: &str| end.clone().unwrap_or_else(|| else_.into());
        Self::EmptyRange { start: of(&range.start, "the beginning"), end: of(&range.end, "the end") }
    }

    /// How the process ends: 2 configuration, 3 validation, 5 data.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 2,
            Self::MissingTarget { .. } | Self::ConstantTarget { .. } | Self::OneClass { .. } => 3,
            _ => 5,
        }
    }

    /// Whether trying again later makes sense.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    pub(crate) fn unreachable(from: &str, reason: impl std::fmt::Display) -> Self {
        Self::Unreachable { from: from.to_owned(), reason: reason.to_string() }
    }

    pub(crate) fn refused(from: &str, reason: impl std::fmt::Display) -> Self {
        Self::Refused { from: from.to_owned(), reason: reason.to_string() }
    }

    /// What a file system has answered.
    pub(crate) fn of_io(from: &str, error: &io::Error) -> Self {
        if passes(error) { Self::unreachable(from, error) } else { Self::refused(from, error) }
    }

    /// What a bucket has answered, after the attempts of its own.
    pub(crate) fn of_store(from: &str, error: &StoreError) -> Self {
        match &error.fault {
            Fault::Throttled(_) | Fault::Unreachable(_) | Fault::Changed => Self::unreachable(from, error),
            Fault::Local(fault) if passes(fault) => Self::unreachable(from, error),
            _ => Self::refused(from, error),
        }
    }

    pub(crate) fn unreadable(from: &str, reason: impl std::fmt::Display) -> Self {
        Self::Unreadable { from: from.to_owned(), reason: reason.to_string() }
    }
}

/// Whether an error of a file or a connection is one that passes. A name that no server answers to has no kind of its own,
/// and passes: names come later than clients, often.
pub(crate) fn passes(error: &io::Error) -> bool {
    use io::ErrorKind::{
        AlreadyExists, InvalidData, InvalidFilename, InvalidInput, IsADirectory, NotADirectory, NotFound,
        OutOfMemory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull, Unsupported,
    };
    !matches!(
        error.kind(),
        AlreadyExists
            | InvalidData
            | InvalidFilename
            | InvalidInput
            | IsADirectory
            | NotADirectory
            | NotFound
            | OutOfMemory
            | PermissionDenied
            | QuotaExceeded
            | ReadOnlyFilesystem
            | StorageFull
            | Unsupported
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_try_is_for_what_may_pass() {
        let transient = |fault| DataError::of_store("s3://lake", &StoreError::new("a", fault)).is_transient();
        let text = String::new;
        for fault in [Fault::Throttled(text()), Fault::Unreachable(text()), Fault::Changed] {
            let label = fault.label();
            assert!(transient(fault), "{label}");
        }
        let full = io::Error::from(io::ErrorKind::StorageFull);
        for fault in
            [Fault::Denied(text()), Fault::Missing(text()), Fault::Refused(text()), Fault::Local(full)]
        {
            let label = fault.label();
            assert!(!transient(fault), "{label}");
        }
        for (kind, transient) in [
            (io::ErrorKind::TimedOut, true),
            (io::ErrorKind::ConnectionRefused, true),
            (io::ErrorKind::ConnectionReset, true),
            (io::ErrorKind::StaleNetworkFileHandle, true),
            (io::ErrorKind::NotFound, false),
            (io::ErrorKind::PermissionDenied, false),
        ] {
            assert_eq!(DataError::of_io("rows", &kind.into()).is_transient(), transient, "{kind}");
        }
        let unheard = io::Error::other("failed to lookup address information");
        assert!(DataError::of_io("rows", &unheard).is_transient(), "{unheard}");
        assert_eq!(DataError::refused("rows", "").exit_code(), 5);
    }
}
