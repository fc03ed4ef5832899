//! Versions that predict from copies of a model's requests, for which nobody waits.

use std::sync::Arc;

use super::{ServedModel, ServedVersion};
use crate::experiment::{Experiment, Track};
use crate::metrics::{Metrics, ShadowCounts};
use crate::model::Version;

/// An experiment's shadows, with the versions that they mean now.
pub struct Mirror {
    /// Whose sums get what they predict.
    pub track: Arc<Track>,
    /// In the order of the definition.
    pub shadows: Vec<Shadow>,
}

/// A shadow with what predicts for it.
pub struct Shadow {
    /// Its name.
    pub name: String,
    /// The version, or why there is none.
    pub version: Result<Arc<ServedVersion>, String>,
    /// What became of copies.
    pub counts: ShadowCounts,
}

// === impl Mirror ===

impl Mirror {
    /// The shadows of an experiment; none where it has none.
    pub(super) fn new(
        track: &Arc<Track>,
        model: &ServedModel,
        like: Option<&Arc<ServedVersion>>,
        metrics: &Metrics,
    ) -> Option<Arc<Self>> {
        let Experiment { name, shadows, .. } = &track.experiment;
        let shadow = |shadow: &crate::experiment::Shadow| Shadow {
            name: shadow.name.clone(),
            version: super::router::usable(model, &shadow.serve, like),
            counts: metrics.shadow(name.as_str(), &shadow.name),
        };
        let shadows: Vec<Shadow> = shadows.iter().map(shadow).collect();
        (!shadows.is_empty()).then(|| Arc::new(Self { track: track.clone(), shadows }))
    }

    /// Whether any of them has something to do with what this version answered.
    pub fn has_work(&self, answered: Option<Version>) -> bool {
        self.due(answered).next().is_some()
    }

    /// The shadows whose version is another one than that which answered; none is another server's.
    pub fn due(&self, answered: Option<Version>) -> impl Iterator<Item = (&Shadow, &Arc<ServedVersion>)> {
        let ready = |shadow| Shadow::ready(shadow);
        self.shadows.iter().filter_map(ready).filter(move |(_, version)| Some(version.version) != answered)
    }
}

// === impl Shadow ===

impl Shadow {
    fn ready(&self) -> Option<(&Self, &Arc<ServedVersion>)> {
        self.version.as_ref().ok().map(|version| (self, version))
    }
}
