//! An experiment with the versions that its variants mean now: what a request to the model's plain name asks.

use std::sync::Arc;

use super::mirror::Mirror;
use super::remote::Remote;
use super::{ServedModel, ServedVersion};
use crate::experiment::{Experiment, Fields, Reason, Ruling, Serve, Share, Track, Variant};
use crate::metrics::{Assignments, Metrics, Outcomes};
use crate::model::{Selector, Version};
use crate::tensor::Datatype;

/// A model's experiment, ready to route.
pub struct Router {
    /// What decides, with the versions that answer now.
    pub track: Arc<Track>,
    /// What was decided about it.
    pub ruling: Ruling,
    /// Its variants, in their order.
    pub arms: Vec<Arc<Arm>>,
    /// Who gets copies of its requests.
    pub mirror: Option<Arc<Mirror>>,
    /// Counts of what the plain name answers.
    plain: Assignments,
}

/// A variant with what answers for it.
pub struct Arm {
    /// The variant's name.
    pub name: String,
    /// The version that answers; of a remote one, the version whose signature its answers have.
    pub version: Result<Arc<ServedVersion>, String>,
    /// Its series; none where it has no version.
    pub outcomes: Option<Outcomes>,
    /// The server that answers in the version's place.
    pub remote: Option<Arc<Remote>>,
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
    /// The variant that answers when this one fails.
    pub fallback: Option<&'a Arc<Arm>>,
    /// The unit that takes part, where one does.
    pub enrolled: Option<Enrolled>,
    /// Who gets a copy of the request, and the unit that it hangs together by, where it has one.
    pub mirror: Option<(&'a Arc<Mirror>, Option<u64>)>,
}

/// A unit that takes part in an experiment.
#[derive(Clone, Copy, Debug, Default)]
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
    /// The router of a model, whose versions and aliases are as they are now; `ruling` says what was decided of its phase. Versions that are `held`, variant by variant,
    /// answer on, and series of `before` are taken over.
    pub(super) fn new(
        experiment: &Experiment,
        ruling: impl FnOnce(&Track) -> Ruling,
        model: &ServedModel,
        held: &[Option<Version>],
        before: Option<&Self>,
        metrics: &Metrics,
        max_series: usize,
    ) -> Self {
        let now = |at: usize| match (held.get(at).copied().flatten(), &experiment.variants[at].serve) {
            (Some(held), _) => Some(Selector::Version(held)),
            (None, Serve::Local(selector)) => Some(selector.clone()),
            (None, Serve::Remote(_)) => None,
        };
        let like = experiment.default.and_then(now).and_then(|selector| model.resolve_leniently(&selector));
        let like = like.or(model.default.as_ref());
        let arm = |(at, variant): (usize, &Variant)| {
            let version = match now(at) {
                Some(selector) => usable(model, &selector, like),
                None => answerable(model, like),
            };
            let remote = match &variant.serve {
                Serve::Local(_) => None,
                Serve::Remote(url) => {
                    let arms = before.into_iter().flat_map(|before| &before.arms);
                    let known = arms.filter_map(|arm| arm.remote.clone()).find(|known| known.url == *url);
                    Some(known.unwrap_or_else(|| Arc::new(Remote::new(url.clone()))))
                }
            };
            let series = version.as_ref().ok().map(|version| {
                let label = label(version, remote.is_some());
                let known = before.and_then(|before| before.outcomes(&variant.name, &label));
                known.unwrap_or_else(|| {
                    metrics.variant(model.name.as_str(), &label, &variant.name, max_series)
                })
            });
            Arc::new(Arm {
                name: variant.name.clone(),
                version,
                outcomes: series,
                remote,
                assignments: metrics.assignments(experiment.name.as_str(), &variant.name, reasons()),
            })
        };
        let arms: Vec<Arc<Arm>> = experiment.variants.iter().enumerate().map(arm).collect();
        // Whatever a remote one is, nobody here knows its number.
        let number =
            |arm: &Arm, version: &ServedVersion| arm.remote.as_ref().map_or(version.version.get(), |_| 0);
        let versions = arms.iter().map(|arm| Some(number(arm, arm.version.as_ref().ok()?)));
        let track = Track::new(experiment.clone(), versions.collect());
        // Records of one phase share its track.
        let known = before
            .filter(|before| before.track.phase == track.phase && before.track.experiment == *experiment);
        let track = known.map_or_else(|| Arc::new(track), |before| before.track.clone());
        let ruling = ruling(&track);
        Self {
            mirror: Mirror::new(&track, model, like, metrics),
            track,
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
        if let Some(mirror) = &self.mirror {
            routed.mirror = self.mirrored(mirror, routed.enrolled, request);
        }
        routed.arm.map_or(&self.plain, |arm| &arm.assignments).count(routed.reason as usize);
        routed
    }

    /// Whether a request is among those that are copied.
    #[cold]
    fn mirrored<'a>(
        &'a self,
        mirror: &'a Arc<Mirror>,
        enrolled: Option<Enrolled>,
        request: &impl Fields,
    ) -> Option<(&'a Arc<Mirror>, Option<u64>)> {
        let experiment = &self.track.experiment;
        let share = experiment.shadow_share;
        if share != Share::ALL && rand::random_range(0..Share::ALL.slots()) >= share.slots() {
            return None;
        }
        let unit = enrolled.map(|enrolled| enrolled.unit);
        let named = || request.value(&experiment.unit).map(|unit| experiment.place(&unit).1);
        Some((mirror, unit.or_else(named)))
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
        let default = self.track.experiment.default.filter(|_| reason != Reason::Ended);
        let arm = chosen.or_else(|| default.and_then(arm));
        let version = arm.and_then(|arm| arm.version.as_ref().ok()).or(model.default.as_ref());
        let fallback = self.track.experiment.fallback.and_then(|at| self.arms.get(at));
        let fallback = fallback
            .filter(|fallback| fallback.version.is_ok() && arm.is_some_and(|arm| arm.name != fallback.name));
        Routed { version, arm, reason, fallback, enrolled: None, mirror: None }
    }

    /// The version that answers for a variant that is as it was.
    pub(super) fn version_of(&self, variant: &Variant) -> Option<Version> {
        let variants = &self.track.experiment.variants;
        let at = variants.iter().position(|was| was.name == variant.name && was.serve == variant.serve)?;
        let arm = self.arms.get(at).filter(|arm| arm.remote.is_none())?;
        arm.version.as_ref().ok().map(|version| version.version)
    }

    fn outcomes(&self, name: &str, label: &str) -> Option<Outcomes> {
        let same = |arm: &&Arc<Arm>| arm.name == name && arm.label().is_some_and(|known| known == label);
        self.arms.iter().find(same)?.outcomes.clone()
    }

    /// Drops the series that `after` does not go on with.
    pub(super) fn forget(&self, after: Option<&Self>, metrics: &Metrics) {
        for arm in &self.arms {
            let Some(label) = arm.label() else { continue };
            if after.is_none_or(|after| after.outcomes(&arm.name, &label).is_none()) {
                metrics.forget_variant(self.experiment().model.as_str(), &label, &arm.name);
            }
        }
        let after = after.filter(|after| after.experiment().name == self.experiment().name);
        for shadow in &self.experiment().shadows {
            let mut goes_on = after.into_iter().flat_map(|after| &after.experiment().shadows);
            if !goes_on.any(|known| known.name == shadow.name) {
                metrics.forget_shadow(self.experiment().name.as_str(), &shadow.name);
            }
        }
        let goes_on = |name: &str| after.is_some_and(|after| after.arms.iter().any(|arm| arm.name == name));
        let names = self.arms.iter().map(|arm| arm.name.as_str()).filter(|name| !goes_on(name));
        for name in names.chain(Some("").filter(|_| after.is_none())) {
            metrics.forget_assignments(self.experiment().name.as_str(), name, reasons());
        }
    }
}

// === impl Arm ===

impl Arm {
    /// The version in its series; none where it has none.
    fn label(&self) -> Option<String> {
        self.version.as_ref().ok().map(|version| label(version, self.remote.is_some()))
    }

    /// An arm of no experiment, for tests of what is told of one.
    #[cfg(test)]
    pub(crate) fn alone(name: &str, version: &Arc<ServedVersion>) -> Self {
        let assignments = Metrics::new().unwrap().assignments("e", name, reasons());
        Self { name: name.into(), version: Ok(version.clone()), outcomes: None, remote: None, assignments }
    }

    /// Counts a request that it answered in place of one that failed.
    #[cold]
    pub fn stood_in(&self) {
        self.assignments.count(Reason::Fallback as usize);
    }
}

/// What series call the version of a variant.
fn label(version: &ServedVersion, remote: bool) -> String {
    if remote { "remote".into() } else { version.version.to_string() }
}

/// The version whose signature a remote variant has, or why it cannot answer.
fn answerable(model: &ServedModel, like: Option<&Arc<ServedVersion>>) -> Result<Arc<ServedVersion>, String> {
    let Some(like) = like else {
        return Err(format!(
            "no version of model `{}` is loaded that says what its answers look like",
            model.name
        ));
    };
    let signature = &like.signature;
    let half = |datatype: Datatype| matches!(datatype, Datatype::Fp16 | Datatype::Bf16);
    match signature.inputs.iter().chain(&signature.outputs).find(|spec| half(spec.datatype)) {
        Some(spec) => Err(format!(
            "`{}` is {}, which has no JSON form to ask another server with",
            spec.name, spec.datatype
        )),
        None => Ok(like.clone()),
    }
}

/// The version of a variant, or why it cannot answer: clients of the plain name must not notice which one they get.
pub(super) fn usable(
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
