//! The trail of a model's changes. `model.json` keeps the latest entries; older ones are in segments beside it, which
//! are written once and never change. Entries are numbered from 1 on without a gap, so that a gap shows.

use serde::{Deserialize, Serialize};

use super::format::{self, FORMAT, Rest, keeps_rest};
use super::index::{AuditEntry, Index};
use super::store::Store;
use super::{MAX_JSON_BYTES, layout, unreachable};
use crate::model::{LoadError, ModelName, Reason};

/// So many entries in `model.json` are a reason to move some.
const FULL: usize = 100;
/// So many are moved at a time; at least as many stay.
const SEGMENT: usize = 50;

/// `audit/<first>-<last>.json`: entries that `model.json` no longer has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Segment {
    format: u64,
    /// The model's name.
    pub model: String,
    /// The oldest first.
    pub entries: Vec<AuditEntry>,
    /// What a newer program wrote.
    #[serde(flatten, skip_deserializing)]
    rest: Rest,
}

/// Everything that is known of a model's changes.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    /// The oldest first.
    pub entries: Vec<AuditEntry>,
    /// First and last number of entries that ought to be there and are not.
    pub gaps: Vec<(u64, u64)>,
}

keeps_rest!(Segment);

// === impl Segment ===

impl Segment {
    /// Reads a segment.
    ///
    /// # Errors
    /// [`Reason::Parse`] with what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, LoadError> {
        format::parse("the audit segment", bytes)
    }

    /// The stored form.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Numbers of its first and last entry.
    pub fn range(&self) -> (u64, u64) {
        (self.entries.first().map_or(0, |e| e.seq), self.entries.last().map_or(0, |e| e.seq))
    }

    /// Takes the oldest entries off an index that has too many. They are part of every later state, so whoever
    /// moves them moves the same ones.
    pub(super) fn take(index: &mut Index) -> Option<Self> {
        if index.audit.len() < FULL {
            return None;
        }
        let entries = index.audit.drain(..SEGMENT).collect();
        Some(Self { format: FORMAT, model: index.model.clone(), entries, rest: Rest::new() })
    }
}

/// Numbers the entries of programs that did not.
pub(super) fn number(entries: &mut [AuditEntry]) {
    let mut last = 0;
    for entry in entries {
        if entry.seq == 0 {
            entry.seq = last + 1;
        }
        last = entry.seq;
    }
}

/// The whole trail of a model whose index this is.
///
/// # Errors
/// [`Reason::Unreachable`] when the store fails, [`Reason::Parse`] for a segment that cannot be used.
pub fn trail(store: &dyn Store, model: &ModelName, index: &Index) -> Result<Trail, LoadError> {
    let mut kept = index.audit.clone();
    number(&mut kept);
    let first = kept.first().map_or(1, |entry| entry.seq);
    let mut trail = Trail::default();
    if first > 1 {
        for segment in segments(store, model, first)? {
            join(&mut trail, segment.entries);
        }
    }
    join(&mut trail, kept);
    Ok(trail)
}

/// The segments that begin before `end`, in order.
fn segments(store: &dyn Store, model: &ModelName, end: u64) -> Result<Vec<Segment>, LoadError> {
    let mut keys = store.keys(&layout::segments(model)).map_err(unreachable)?;
    keys.retain(|key| layout::segment_range(key).is_some_and(|(first, _)| first < end));
    keys.sort();
    let mut segments = Vec::new();
    for key in keys {
        let Some(bytes) = store.read(&key, MAX_JSON_BYTES, None).map_err(unreachable)?.bytes() else {
            continue;
        };
        let segment = Segment::parse(&bytes)
            .map_err(|error| LoadError::new(Reason::Parse, format!("{key}: {}", error.detail)))?;
        segments.push(segment);
    }
    Ok(segments)
}

/// Appends what is newer, noting what is missing in between.
fn join(trail: &mut Trail, entries: Vec<AuditEntry>) {
    for entry in entries {
        let next = trail.entries.last().map_or(1, |last| last.seq + 1);
        if entry.seq < next {
            continue;
        }
        if entry.seq > next {
            trail.gaps.push((next, entry.seq - 1));
        }
        trail.entries.push(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::store::{Body, Condition, Folder};

    fn entries(range: std::ops::RangeInclusive<u64>) -> Vec<AuditEntry> {
        range.map(|seq| AuditEntry { seq, verb: "promote".into(), ..AuditEntry::default() }).collect()
    }

    #[test]
    fn a_full_index_gives_its_oldest_entries_away() {
        let mut index = Index::new(&"m".parse().unwrap());
        index.audit = entries(1..=99);
        assert_eq!(Segment::take(&mut index), None);
        index.audit = entries(1..=100);
        let segment = Segment::take(&mut index).unwrap();
        assert_eq!((segment.range(), index.audit.len(), index.audit[0].seq), ((1, 50), 50, 51));
        assert_eq!(Segment::parse(&segment.to_bytes()).unwrap(), segment);
    }

    #[test]
    fn entries_without_a_number_get_one() {
        let mut some = entries(0..=0);
        some.extend(entries(0..=0));
        some.extend(entries(7..=7));
        number(&mut some);
        assert_eq!(some.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2, 7]);
    }

    #[test]
    fn the_trail_joins_segments_and_shows_what_is_missing() {
        let root = tempfile::tempdir().unwrap();
        let store = Folder::new(root.path());
        let model = "m".parse().unwrap();
        let put = |range: std::ops::RangeInclusive<u64>| {
            let mut index = Index::new(&model);
            index.audit = entries(*range.start()..=range.end() + 50);
            let segment = Segment::take(&mut index).unwrap();
            let key = layout::segment(&model, *range.start(), *range.end());
            store.write(&key, Body::Bytes(&segment.to_bytes()), Condition::Absent).unwrap();
        };
        put(51..=100);
        let mut index = Index::new(&model);
        index.audit = entries(101..=160);
        let found = trail(&store, &model, &index).unwrap();
        assert_eq!((found.entries.len(), found.gaps), (110, vec![(1, 50)]));
        put(1..=50);
        let found = trail(&store, &model, &index).unwrap();
        assert_eq!((found.entries.len(), found.gaps), (160, vec![]));
    }
}
