//! How good predictions are, by the actuals that come later: version by version, by when it was predicted.
//!
//! A window is revised as labels come; nothing is said of what nothing is known of.

mod panes;
mod version;

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::metrics::{Metrics, Performances};
use crate::model::{Labels, ModelName, Version};
use crate::serving::{ServedVersion, Snapshot};
use version::Followed;
pub(super) use version::{Revised, Row};

/// Versions that are not loaded any more, whose labels may come still.
const MAX_GONE: usize = 32;
/// Loads of versions that were loaded before, whose predictions may wait still.
const MAX_AGAIN: usize = 1024;
/// Windows that are told of where none is named, in milliseconds; the first is that of metrics.
const WINDOWS: [u64; 3] = [panes::HOUR, 24 * panes::HOUR, panes::LONG];
/// Between two times that metrics are worked out.
const TELL_MILLIS: u64 = 5000;

/// What is known of every version.
#[derive(Default)]
pub(super) struct Performance {
    /// Whether predictions are counted.
    on: bool,
    /// By the number of the version.
    versions: HashMap<u32, Followed, RandomState>,
    /// The number that a version has here, where it was loaded more than once.
    again: HashMap<u32, u32, RandomState>,
    told_at: u64,
}

// === impl Performance ===

impl Performance {
    /// Follows every version that is loaded, and asks for its predictions where it is `on`.
    pub(super) fn follow(&mut self, snapshot: &Snapshot, on: bool, metrics: &Metrics) {
        if std::mem::replace(&mut self.on, on) && !on {
            self.versions.values().for_each(|known| forget(known, metrics));
        }
        self.versions.values_mut().for_each(|known| known.loaded = false);
        for version in snapshot.versions() {
            version.watch.remember(on);
            let id = self.place(version, metrics);
            let known = self.versions.entry(id).or_insert_with(|| Followed::new(version));
            known.loaded = true;
        }
        let gone = || self.versions.iter().filter(|(_, known)| !known.loaded);
        if gone().count() > MAX_GONE
            && let Some(oldest) = gone().min_by_key(|(_, known)| known.touched).map(|(id, _)| *id)
        {
            self.remove(oldest, metrics);
        }
        if self.again.len() > MAX_AGAIN {
            let loaded: HashSet<u32> = snapshot.versions().map(|version| version.watch.id).collect();
            self.again.retain(|id, _| loaded.contains(id));
        }
    }

    /// The number of a version: loaded again, it goes on under that which it had; of other bytes it begins anew.
    fn place(&mut self, version: &ServedVersion, metrics: &Metrics) -> u32 {
        let id = self.number(version.watch.id);
        if self.versions.contains_key(&id) {
            return id;
        }
        match self.find(version.model.as_str(), version.version.get()) {
            Some(before)
                if self.versions.get(&before).is_some_and(|known| known.digest == version.digest) =>
            {
                self.again.insert(id, before);
                before
            }
            Some(before) => {
                self.remove(before, metrics);
                id
            }
            None => id,
        }
    }

    fn remove(&mut self, id: u32, metrics: &Metrics) {
        self.again.retain(|_, before| *before != id);
        if let Some(known) = self.versions.remove(&id) {
            forget(&known, metrics);
        }
    }

    /// The number under which a version is known.
    pub(super) fn number(&self, id: u32) -> u32 {
        self.again.get(&id).copied().unwrap_or(id)
    }

    /// Counts rows that a version predicted; whether it is to wait for their actuals.
    #[inline]
    pub(super) fn predicted(&mut self, id: u32, at: u64, rows: usize) -> bool {
        if !self.on || rows == 0 {
            return false;
        }
        let Some(known) = self.versions.get_mut(&self.number(id)) else { return false };
        known.predicted(at, rows as u64);
        true
    }

    /// Counts an actual, in place of the one that was counted `before`: also that of a prediction which waited for an
    /// experiment alone, as there are none else while it is off.
    pub(super) fn revise(
        &mut self,
        id: u32,
        row: Row,
        before: Option<f64>,
        actual: f64,
        now: u64,
    ) -> Revised {
        let known = self.versions.get_mut(&self.number(id));
        known.map_or(Revised::No, |known| known.revise(row, before, actual, now))
    }

    /// What the number of a version stands for.
    pub(super) fn model(&self, id: u32) -> Option<&ModelName> {
        self.versions.get(&self.number(id)).map(|known| &known.model)
    }

    /// The number of a version by its name.
    pub(super) fn find(&self, model: &str, version: u64) -> Option<u32> {
        let named = |known: &Followed| known.model.as_str() == model && known.version.get() == version;
        self.versions.iter().find(|(_, known)| named(known)).map(|(id, _)| *id)
    }

    /// What a version calls its classes; where it is not known, any one of its model.
    pub(super) fn names(&self, id: u32, model: Option<&ModelName>) -> Option<&Labels> {
        let other = || self.versions.values().find(|known| model.is_some_and(|model| known.model == *model));
        self.versions.get(&self.number(id)).or_else(other).map(|known| &known.names)
    }

    /// What is known of a model: of all its versions, or of one; over one window in milliseconds, or the usual ones.
    pub(super) fn report(
        &self,
        model: &ModelName,
        version: Option<Version>,
        window: Option<u64>,
        now: u64,
    ) -> Option<Value> {
        let mut known: Vec<&Followed> = self
            .versions
            .values()
            .filter(|known| known.model == *model && version.is_none_or(|version| known.version == version))
            .collect();
        if known.is_empty() {
            return None;
        }
        known.sort_by_key(|known| known.version);
        let windows = window.map_or_else(|| WINDOWS.to_vec(), |window| vec![window]);
        let versions = known.iter().map(|known| {
            let windows = windows.iter().map(|window| known.report(*window, now));
            json!({
                "version": known.version.to_string(),
                "loaded": known.loaded,
                "task": known.task(),
                "windows": windows.collect::<Vec<_>>(),
            })
        });
        Some(json!({
            "model": model.as_str(),
            "on": self.on,
            "at": time(now),
            "versions": versions.collect::<Vec<_>>(),
        }))
    }

    /// Tells metrics, where that is due.
    pub(super) fn tell(&mut self, metrics: &Metrics, now: u64) {
        if !self.on || now.saturating_sub(self.told_at) < TELL_MILLIS {
            return;
        }
        self.told_at = now;
        for known in self.versions.values() {
            let sum = known.window(WINDOWS[0], now);
            let metric = |estimate: crate::score::Estimate| (estimate.name, estimate.value);
            metrics.performance(
                known.model.as_str(),
                &known.version.to_string(),
                &Performances {
                    metrics: sum.sums.values().into_iter().map(metric).collect(),
                    coverage: (sum.predictions > 0).then(|| sum.labelled as f64 / sum.predictions as f64),
                    delays: [0.5, 0.95].map(|share| sum.delays.quantile(share)),
                },
            );
        }
    }
}

fn forget(known: &Followed, metrics: &Metrics) {
    metrics.forget_performance(known.model.as_str(), &known.version.to_string());
}

/// A moment in milliseconds since 1970, as RFC 3339.
fn time(millis: u64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000);
    moment.ok().and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
