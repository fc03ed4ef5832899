//! Features of many replicas: the window of each, as it published it, put together and looked at once for all.
//!
//! Only windows of a reference that came with the version add up. What is broken each replica tells by itself, at once.

use serde::{Deserialize, Serialize};

use crate::drift::Counted;
use crate::registry::layout;
use crate::registry::store::{Store, StoreError};

use super::publisher::MAX_BYTES;

/// The format of what is published.
const FORMAT: u32 = 1;
/// What was published longer ago is not of now.
const NOW_MILLIS: u64 = 10 * 60_000;
/// What was published longer ago is deleted: its process is gone.
const GONE_MILLIS: u64 = 24 * 3_600_000;

/// What one replica has counted of a version.
#[derive(Debug, Serialize, Deserialize)]
pub struct Published {
    /// [`FORMAT`]
    pub format: u32,
    /// A name that no other process has.
    pub replica: String,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// Whether that was the last word of the process.
    pub closed: bool,
    /// The window.
    #[serde(flatten)]
    pub counted: Counted,
}

/// What all replicas together have counted of a version.
#[derive(Debug)]
pub struct Together {
    /// The sum.
    pub counted: Counted,
    /// Processes that it is of.
    pub replicas: usize,
    /// When the latest of it was published.
    pub at: u64,
    /// What could not be used.
    pub problems: Vec<String>,
}

// === impl Published ===

impl Published {
    /// What is published.
    pub fn new(replica: &str, at: u64, closed: bool, counted: Counted) -> Self {
        Self { format: FORMAT, replica: replica.to_owned(), at, closed, counted }
    }

    /// As it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what is stored.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let unreadable = |error: serde_json::Error| format!("it cannot be read: {error}");
        let Head { format } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if format != FORMAT {
            return Err(format!("it is of format {format}, and this program knows {FORMAT}"));
        }
        let read: Self = serde_json::from_slice(bytes).map_err(unreadable)?;
        Ok(Self { counted: read.counted.checked()?, ..read })
    }
}

/// Puts together what was published of every version within the last ten minutes. What is a day old is deleted.
///
/// # Errors
/// When the store does not answer.
pub fn gather(store: &dyn Store, now: u64) -> Result<Vec<Together>, StoreError> {
    let mut found = Vec::new();
    for model in store.list(layout::DRIFT)? {
        for version in store.list(&layout::drift_model(&model))? {
            found.extend(put_together(store, &layout::drift_version(&model, &version), now)?);
        }
    }
    Ok(found)
}

fn put_together(store: &dyn Store, folder: &str, now: u64) -> Result<Option<Together>, StoreError> {
    let mut keys = store.keys(folder)?;
    keys.sort();
    let (mut all, mut problems): (Option<Together>, Vec<String>) = (None, Vec::new());
    for key in keys {
        let one = match store.read(&key, MAX_BYTES, None) {
            Ok(read) => match read.bytes() {
                Some(bytes) => Published::read(&bytes),
                None => continue,
            },
            // One of them says nothing about the others.
            Err(error) => Err(error.to_string()),
        };
        let one = match one {
            Ok(one) if !one.closed && one.at.saturating_add(NOW_MILLIS) >= now => one,
            Ok(one) => {
                if one.at.saturating_add(GONE_MILLIS) < now {
                    // Who may not delete leaves it to others.
                    drop(store.delete(&key));
                }
                continue;
            }
            Err(problem) => {
                problems.push(format!("{key}: {problem}"));
                continue;
            }
        };
        match &mut all {
            None => {
                all = Some(Together { counted: one.counted, replicas: 1, at: one.at, problems: Vec::new() });
            }
            Some(all) => match all.counted.merge(&one.counted) {
                Ok(()) => (all.replicas, all.at) = (all.replicas + 1, all.at.max(one.at)),
                Err(problem) => problems.push(format!("{key}: {problem}")),
            },
        }
    }
    Ok(all.map(|all| Together { problems, ..all }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::{Feature, Kind, Layout, Learner, Window, number};

    fn sample() -> Published {
        let layout = Layout {
            features: ["x", "prediction"]
                .map(|name| Feature { name: name.into(), kind: Kind::Number })
                .into(),
            widths: vec![1],
            left_out: 0,
        };
        let row = |n: u32| [number(n as f32), number((n % 3) as f32)];
        let mut learner = Learner::new(&layout, 6);
        assert!((0..6).map(|n| learner.push(&row(n))).last().unwrap());
        let reference = learner.finish(&layout);
        let mut window = Window::new(&reference, 64, 1);
        assert!((0..10).all(|n| !window.push(&reference, &row(n))));
        Published::new("pod-a", 1_800_000_000_000, false, Counted::of("m", "7".into(), &reference, &window))
    }

    #[test]
    fn the_first_format_is_read_and_others_are_refused() {
        let bytes = include_bytes!("../../tests/fixtures/formats/drift.json");
        let written = String::from_utf8(sample().to_bytes()).unwrap();
        assert_eq!(written, String::from_utf8_lossy(bytes).trim_end(), "as it is written today");
        let read = Published::read(bytes).unwrap();
        assert_eq!((read.replica.as_str(), read.closed, read.counted.window.rows), ("pod-a", false, 10));
        let text = String::from_utf8_lossy(bytes);
        for (from, to, why) in [
            ("\"format\":1", "\"format\":2", "format 2"),
            ("\"rows\":10", "\"rows\":11", "do not fit"),
            ("\"replica\"", "\"replic\"", "cannot be read"),
        ] {
            let problem = Published::read(text.replacen(from, to, 1).as_bytes()).unwrap_err();
            assert!(problem.contains(why), "{problem}");
        }
    }
}
