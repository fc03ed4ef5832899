//! An experiment with the versions that its variants mean now: what a request to the model's plain name asks.

use std::sync::Arc;

use super::{ServedModel, ServedVersion};
use crate::experiment::{Experiment, Fields, Reason, Ruling, Track, Variant};
use crate::metrics::{Assignments, Metrics, Outcomes};
use crate::model::{Selector, Version};

/// A model's experiment, ready to route.
pub struct Router {
    /// What decides, with the versions that answer now.
    pub track: Arc<Track>,
    /// What was decided about it.
    pub ruling: Ruling,
    /// Its variants, in their order.
    pub arms: Vec<Arc<Arm>>,
    /// Counts of what the plain name answers.
    plain: Assignments,
}

/// A variant with what answers for it.
pub struct Arm {
    /// The variant's name.
    pub name: String,
    /// The version that answers.
    pub version: Result<Arc<ServedVersion>, String>,
    /// Its series; none where it has no version.
    pub outcomes: Option<Outcomes>,
    assignments: Assignments,
}

/// Where a request goes.
pub struct Routed<'a> {
    /// The version that answers; none where the plain name has none either.
    pub version: Option<&'a Arc<ServedVersion>>,
    /// The variant that it answers as.
    pub arm: Option<&'a Arc<Arm>>,
    /// Why.
    pub reason: Reason,
    /// The unit that takes part, where one does.
    pub enrolled: Option<Enrolled>,
}

/// A unit that takes part in an experiment.
#[derive(Clone, Copy, Debug)]
pub struct Enrolled {
    /// Its variant.
    pub variant: usize,
    /// The slot that chose it.
    pub slot: u32,
    /// What stands for it in sums.
    pub unit: u64,
}

// === impl Router ===

impl Router {
    /// The router of a model, whose versions and aliases are as they are now. Versions that are `held`, variant by variant,
    /// answer on, and series of `before` are taken over.
    pub(super) fn new(
        (experiment, ruling): (&Experiment, Ruling),
        model: &ServedModel,
        held: &[Option<Version>],
        before: Option<&Self>,
        metrics: &Metrics,
        max_series: usize,
    ) -> Self {
        let now = |at: usize| {
            let held = held.get(at).copied().flatten();
            held.map_or_else(|| experiment.variants[at].serve.clone(), Selector::Version)
        };
        let like = experiment.default.and_then(|at| model.resolve_leniently(&now(at)));
        let like = like.or(model.default.as_ref());
        let arm = |(at, variant): (usize, &Variant)| {
            let version = usable(model, &now(at), like);
            let series = version.as_ref().ok().map(|version| {
                let known = before.and_then(|before| before.outcomes(&variant.name, version));
                known.unwrap_or_else(|| {
                    let number = version.version.to_string();
                    metrics.variant(model.name.as_str(), &number, &variant.name, max_series)
                })
            });
            Arc::new(Arm {
                name: variant.name.clone(),
                version,
                outcomes: series,
                assignments: metrics.assignments(experiment.name.as_str(), &variant.name, reasons()),
            })
        };
        let arms: Vec<Arc<Arm>> = experiment.variants.iter().enumerate().map(arm).collect();
        let versions = arms.iter().map(|arm| arm.version.as_ref().ok().map(|version| version.version.get()));
        let track = Track::new(experiment.clone(), versions.collect());
        // Records of one phase share its track.
        let known = before
            .filter(|before| before.track.phase == track.phase && before.track.experiment == *experiment);
        Self {
            track: known.map_or_else(|| Arc::new(track), |before| before.track.clone()),
            plain: metrics.assignments(experiment.name.as_str(), "", reasons()),
            ruling,
            arms,
        }
    }

    /// The experiment as it is defined.
    pub fn experiment(&self) -> &Experiment {
        &self.track.experiment
    }

    /// The version that answers a request, counted.
    #[inline]
    pub fn route<'a>(&'a self, model: &'a ServedModel, request: &impl Fields) -> Routed<'a> {
        let decision = self.track.experiment.decide_under(&self.ruling, request);
        let mut routed = self.answer(model, decision.variant, decision.reason);
        if routed.reason == Reason::Enrolled {
            let enrolled = |(variant, (slot, unit))| Enrolled { variant, slot, unit };
            routed.enrolled = decision.variant.zip(decision.unit).map(enrolled);
        }
        routed.arm.map_or(&self.plain, |arm| &arm.assignments).count(routed.reason as usize);
        routed
    }

    /// What answers for a variant: its version, else that of the default variant, else what the plain name means.
    pub fn answer<'a>(
        &'a self,
        model: &'a ServedModel,
        variant: Option<usize>,
        reason: Reason,
    ) -> Routed<'a> {
        let arm = |at: usize| self.arms.get(at).filter(|arm| arm.version.is_ok());
        let chosen = variant.and_then(arm);
        let reason = if variant.is_some() && chosen.is_none() { Reason::Fallback } else { reason };
        let arm = chosen.or_else(|| self.track.experiment.default.and_then(arm));
        let version = arm.and_then(|arm| arm.version.as_ref().ok()).or(model.default.as_ref());
        Routed { version, arm, reason, enrolled: None }
    }

    /// The version that answers for a variant that is as it was.
    pub(super) fn version_of(&self, variant: &Variant) -> Option<Version> {
        let variants = &self.track.experiment.variants;
        let at = variants.iter().position(|was| was.name == variant.name && was.serve == variant.serve)?;
        self.arms[at].version.as_ref().ok().map(|version| version.version)
    }

    /// The versions that answer as variants, each with the variant's name.
    pub(super) fn series(&self) -> impl Iterator<Item = (&str, &Arc<ServedVersion>)> {
        self.arms.iter().filter_map(|arm| Some((arm.name.as_str(), arm.version.as_ref().ok()?)))
    }

    fn outcomes(&self, name: &str, version: &ServedVersion) -> Option<Outcomes> {
        let same = |arm: &&Arc<Arm>| {
            arm.name == name && arm.version.as_ref().is_ok_and(|known| known.version == version.version)
        };
        self.arms.iter().find(same)?.outcomes.clone()
    }

    /// Drops the series that `after` does not go on with.
    pub(super) fn forget(&self, after: Option<&Self>, metrics: &Metrics) {
        for (name, version) in self.series() {
            if after.is_none_or(|after| after.outcomes(name, version).is_none()) {
                metrics.forget_variant(version.model.as_str(), &version.version.to_string(), name);
            }
        }
        let after = after.filter(|after| after.experiment().name == self.experiment().name);
        let goes_on = |name: &str| after.is_some_and(|after| after.arms.iter().any(|arm| arm.name == name));
        let names = self.arms.iter().map(|arm| arm.name.as_str()).filter(|name| !goes_on(name));
        for name in names.chain(Some("").filter(|_| after.is_none())) {
            metrics.forget_assignments(self.experiment().name.as_str(), name, reasons());
        }
    }
}

/// The version of a variant, or why it cannot answer: clients of the plain name must not notice which one they get.
fn usable(
    model: &ServedModel,
    serve: &Selector,
    like: Option<&Arc<ServedVersion>>,
) -> Result<Arc<ServedVersion>, String> {
    let Some(version) = model.resolve_leniently(serve) else {
        let kind = match serve {
            Selector::Version(_) => "version",
            Selector::Stage(_) => "stage",
            Selector::Alias(_) | Selector::Default => "alias",
        };
        return Err(format!("no version is loaded for {kind} `{serve}` of model `{}`", model.name));
    };
    match like.and_then(|like| like.signature.breaking_change(&version.signature)) {
        Some(change) => Err(format!("version {} has another signature: {change}", version.version)),
        None => Ok(version.clone()),
    }
}

fn reasons() -> impl Iterator<Item = &'static str> {
    Reason::ALL.iter().map(|reason| reason.name())
}
