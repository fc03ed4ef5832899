//! Segments of the prediction log: lines that are gathered until there are enough of them, then compressed as one.
//!
//! Lines are held as they are and compressed in one frame when a segment is closed: one compressor serves all models,
//! and every reader takes a file of one frame. Only then they become Parquet, where that is asked for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::line::moment;
use crate::config::SegmentFormat;
use crate::registry::layout;

/// What a segment holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Predictions of a model.
    Predictions(String),
    /// Outcomes.
    Outcomes,
}

/// A segment that lines are added to.
pub(super) struct Open {
    lines: Vec<u8>,
    records: u64,
    since: Instant,
    /// The time of its first line, in microseconds since 1970.
    first: u64,
}

/// A segment that is to be written.
pub(super) struct Segment {
    pub(super) key: String,
    pub(super) bytes: Vec<u8>,
    pub(super) records: u64,
}

/// All that are open.
pub(super) struct Segments {
    open: BTreeMap<Kind, Open>,
    /// A name that no other process has.
    replica: String,
    closed: u64,
}

/// When a segment is closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of its lines.
    pub(super) bytes: usize,
    /// How old it is.
    pub(super) age: Duration,
    /// Bytes of all that are open.
    pub(super) all: usize,
}

// === impl Segments ===

impl Segments {
    pub(super) fn new(replica: String) -> Self {
        Self { open: BTreeMap::new(), replica, closed: 0 }
    }

    /// Adds lines of something that happened at a moment, in microseconds since 1970.
    pub(super) fn add(&mut self, kind: Kind, at: u64, lines: &[u8], records: u64) {
        let open = self.open.entry(kind).or_insert_with(|| Open {
            lines: Vec::new(),
            records: 0,
            since: Instant::now(),
            first: at,
        });
        open.records += records;
        open.lines.extend_from_slice(lines);
    }

    /// The next one that is due.
    pub(super) fn due(&self, now: Instant, limits: Limits) -> Option<Kind> {
        let is_due = |open: &Open| {
            open.lines.len() >= limits.bytes || now.saturating_duration_since(open.since) >= limits.age
        };
        let found = self.open.iter().find(|(_, open)| is_due(open));
        let all: usize = self.open.values().map(|open| open.lines.len()).sum();
        let largest =
            || self.open.iter().filter(|_| all > limits.all).max_by_key(|(_, open)| open.lines.len());
        found.or_else(largest).map(|(kind, _)| kind.clone())
    }

    /// Any that is open.
    pub(super) fn any(&self) -> Option<Kind> {
        self.open.keys().next().cloned()
    }

    /// Takes one out, with the key that it is written under but for its ending.
    pub(super) fn close(&mut self, kind: &Kind) -> Option<(Open, String)> {
        let open = self.open.remove(kind)?;
        self.closed += 1;
        let moment = moment(open.first);
        let (day, time) = moment.split_at(10);
        let time: String = time[1..9].split(':').collect();
        let name = format!("{time}-{}-{:06}", self.replica, self.closed);
        let key = match kind {
            Kind::Predictions(model) => layout::logged_predictions(model, day, &name),
            Kind::Outcomes => layout::logged_outcomes(day, &name),
        };
        Some((open, key))
    }
}

// === impl Open ===

impl Open {
    /// Bytes of its lines.
    pub(super) fn bytes(&self) -> usize {
        self.lines.len()
    }

    /// Makes a file of it, whose format its key ends with.
    pub(super) fn pack(&self, key: &str, format: SegmentFormat) -> Segment {
        let (ending, mut bytes) = match format {
            #[cfg(feature = "parquet")]
            SegmentFormat::Parquet => match std::panic::catch_unwind(|| super::columns::parquet(&self.lines))
            {
                Ok(Ok(bytes)) => ("parquet", bytes),
                // Whatever happens to them, lines are there.
                failed => {
                    let error = failed.map_or_else(
                        |_| "a panic".into(),
                        |made| made.err().map_or_else(String::new, |e| e.to_string()),
                    );
                    tracing::warn!(key, %error, "a segment of the prediction log cannot be Parquet, and is written as lines");
                    self.compress()
                }
            },
            // Configurations that ask for Parquet are refused where it was left out.
            _ => self.compress(),
        };
        bytes.shrink_to_fit();
        Segment { key: format!("{key}.{ending}"), bytes, records: self.records }
    }

    fn compress(&self) -> (&'static str, Vec<u8>) {
        // The only level of this encoder that compresses.
        ("ndjson.zst", compress_to_vec(self.lines.as_slice(), CompressionLevel::Fastest))
    }
}
