//! What experiments ask of the loader: versions that no stage or alias names, routers that follow the configuration,
//! and word of every variant that cannot answer.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::{Loader, ModelState};
use crate::config::Config;
use crate::experiment::{Experiment, Ruling, Serve, Track, Variant};
use crate::model::{ModelName, Selector, Stage, Version};
use crate::serving::router::Router;
use crate::serving::status::{ExperimentStatus, ShadowStatus, VariantStatus};

/// What has a version in an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Variant,
    Shadow,
}

impl Loader {
    /// Takes over another configuration of experiments; what is loaded already is routed by it at once.
    pub(super) fn reroute(&mut self) {
        let config = self.config.load_full();
        let names: Vec<ModelName> = self.models.keys().cloned().collect();
        for name in names.iter().filter(|name| self.needs_publishing(name, &config)) {
            self.publish(name, &config);
        }
        self.publish_status(&config);
    }

    /// What was decided about a phase of an experiment: by who decides for all sidecars, else in this process. What was
    /// decided about other versions says nothing of these.
    pub(super) fn ruling(&self, track: &Track) -> Ruling {
        if track.has_nothing_to_compare() {
            return Ruling { ended: true, ..Ruling::default() };
        }
        self.ruled(track).or_else(|| self.own_ruling(track)).unwrap_or_default()
    }

    /// What the model's `model.json` says. Nobody signs it, so where signatures are required it may take a variant out and
    /// no more.
    fn ruled(&self, track: &Track) -> Option<Ruling> {
        let experiment = &track.experiment;
        let index = self.models.get(&experiment.model)?.catalog.index.as_ref()?;
        let ruled = index.experiment.as_ref()?;
        if ruled.name != experiment.name.as_str() || ruled.phase != track.phase {
            return None;
        }
        let at = |name: &String| experiment.variants.iter().position(|variant| variant.name == *name);
        let signed = self.config.load().registry.require_signature;
        let settled = ruled.promoted.as_ref().filter(|_| !signed).and_then(at);
        Some(Ruling {
            coverage: ruled.coverage.as_ref().filter(|_| !signed).and_then(|share| share.parse().ok()),
            out: ruled.rolled_back.iter().filter_map(at).collect(),
            settled,
            settled_at: 0,
            ended: settled.is_some() && index.default_version() != ruled.production,
        })
    }

    /// What this process decided. Once people have promoted, rolled back or held something since, theirs is the word.
    fn own_ruling(&self, track: &Track) -> Option<Ruling> {
        let (ruling, production) = self.rulings.get(&track.phase)?;
        let model = self.models.get(&track.experiment.model)?;
        let index = model.catalog.index.as_ref();
        let since = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ruling.settled_at) * 1_000_000);
        let overruled = since.is_ok_and(|since| index.is_some_and(|index| index.is_decided_after(since)));
        let ended = ruling.settled.is_some() && (overruled || model.production() != *production);
        Some(Ruling { ended, ..ruling.clone() })
    }

    /// Takes over what was decided.
    pub(super) fn rule(&mut self, model: &ModelName, phase: String, ruling: Ruling) {
        let known = self.rulings.get(&phase).map(|(known, _)| known.clone()).unwrap_or_default();
        if known != ruling {
            let coverage = ruling.coverage.map(|share| share.to_string()).unwrap_or_default();
            let (taken_out, promoted) = (&ruling.out, ruling.settled);
            tracing::info!(%model, phase, coverage, ?taken_out, ?promoted, "routing follows a decision");
        }
        let production = self.models.get(model).and_then(ModelState::production);
        // Of what was promoted before it counts what was in Production then.
        let known = self.rulings.get(&phase).filter(|(known, _)| known.settled == ruling.settled);
        let production = known.map_or(production, |(_, production)| *production);
        self.rulings.insert(phase, (ruling, production));
        self.reroute();
    }

    /// Every experiment with what answers for its variants.
    pub(super) fn experiments(&self, config: &Config) -> Vec<ExperimentStatus> {
        config.experiments.iter().map(|experiment| self.experiment(experiment)).collect()
    }

    /// Logs what has changed about variants and shadows that have no version, except of models that load for the first time.
    pub(super) fn say_experiments(&mut self) {
        let status = self.serving.status.load();
        let known = |name: &str| self.models.iter().find(|(known, _)| known.as_str() == name);
        let mut now = BTreeMap::new();
        for experiment in &status.experiments {
            if known(&experiment.model).is_some_and(|(_, model)| !model.tried) {
                return;
            }
            let variants = experiment.variants.iter().map(|v| (Role::Variant, &v.name, &v.problem));
            let shadows = experiment.shadows.iter().map(|s| (Role::Shadow, &s.name, &s.problem));
            for (role, name, problem) in variants.chain(shadows) {
                if let Some(problem) = problem {
                    now.insert((experiment.name.clone(), role, name.clone()), problem.clone());
                }
            }
        }
        for (key, problem) in now.iter().filter(|(key, problem)| self.unanswered.get(*key) != Some(problem)) {
            match key {
                (experiment, Role::Variant, variant) => {
                    tracing::warn!(%experiment, %variant, %problem, "another variant answers in its place");
                }
                (experiment, Role::Shadow, shadow) => {
                    tracing::warn!(%experiment, %shadow, %problem, "nothing is copied to the shadow");
                }
            }
        }
        for (experiment, role, name) in self.unanswered.keys().filter(|key| !now.contains_key(*key)) {
            match role {
                Role::Variant => {
                    tracing::info!(%experiment, variant = name, "the variant answers, or is none any more");
                }
                Role::Shadow => {
                    tracing::info!(%experiment, shadow = name, "the shadow predicts, or is none any more");
                }
            }
        }
        self.unanswered = now;
    }

    fn experiment(&self, experiment: &Experiment) -> ExperimentStatus {
        let snapshot = self.serving.snapshot.load();
        let router = snapshot.models.get(&experiment.model).and_then(|model| model.router.as_ref());
        let router = router.filter(|router| router.experiment() == experiment);
        let variant = |(at, variant): (usize, &Variant)| {
            let version = router.map(|router| router.arms[at].version.as_ref());
            let remote = matches!(variant.serve, Serve::Remote(_));
            VariantStatus {
                name: variant.name.clone(),
                serve: variant.serve.to_string(),
                slots: variant.slots.to_string(),
                version: version.and_then(Result::ok).map(|version| match remote {
                    true => "remote".into(),
                    false => version.version.to_string(),
                }),
                problem: match version {
                    Some(version) => version.err().cloned(),
                    None => Some(format!("model `{}` is not served", experiment.model)),
                },
                ruling: router.and_then(|router| match &router.ruling {
                    ruling if ruling.ended => Some("ended"),
                    ruling if ruling.settled == Some(at) => Some("promoted"),
                    ruling if ruling.out.contains(&at) => Some("rolled back"),
                    _ => None,
                }),
            }
        };
        let shadow = |(at, shadow): (usize, &crate::experiment::Shadow)| {
            let version =
                router.and_then(|router| Some(router.mirror.as_ref()?.shadows[at].version.as_ref()));
            ShadowStatus {
                name: shadow.name.clone(),
                serve: shadow.serve.to_string(),
                version: version.and_then(Result::ok).map(|version| version.version.to_string()),
                problem: match version {
                    Some(version) => version.err().cloned(),
                    None => Some(format!("model `{}` is not served", experiment.model)),
                },
            }
        };
        ExperimentStatus {
            name: experiment.name.to_string(),
            model: experiment.model.to_string(),
            variants: experiment.variants.iter().enumerate().map(variant).collect(),
            shadows: experiment.shadows.iter().enumerate().map(shadow).collect(),
        }
    }
}

impl ModelState {
    /// The version that the registry has the plain name mean.
    fn production(&self) -> Option<u64> {
        match &self.catalog.index {
            Some(index) => index.default_version(),
            None => self.catalog.versions.last().map(|listed| listed.version.get()),
        }
    }

    /// The versions that a model's experiment serves and that nothing else asks to have loaded.
    pub(super) fn tested(&self, experiment: Option<&Experiment>) -> Vec<Version> {
        let local = |serve: &'_ Serve| match serve {
            Serve::Local(selector) => Some(selector.clone()),
            Serve::Remote(_) => None,
        };
        let served = |experiment: &Experiment| {
            let variants = experiment.variants.iter().filter_map(|variant| local(&variant.serve));
            let shadows = experiment.shadows.iter().map(|shadow| shadow.serve.clone());
            variants.chain(shadows).collect::<Vec<_>>()
        };
        let versions =
            experiment.map(served).unwrap_or_default().into_iter().filter_map(|serve| match serve {
                Selector::Version(version) => Some(version),
                Selector::Stage(stage) => self.newest(stage),
                Selector::Alias(_) | Selector::Default => None,
            });
        versions.filter(|version| self.catalog.listed(*version).is_some()).collect()
    }

    /// Variant by variant what answers for it on: the version from before, while that of its stage or alias is not loaded
    /// or must not serve.
    pub(super) fn held(
        &self,
        experiment: Option<&Experiment>,
        before: Option<&Router>,
    ) -> Vec<Option<Version>> {
        let variants = experiment.into_iter().flat_map(|experiment| &experiment.variants);
        let held = |variant: &Variant| {
            let goal = match &variant.serve {
                Serve::Local(Selector::Stage(stage)) => self.newest(*stage),
                Serve::Local(Selector::Alias(alias)) => self.catalog.aliases.get(alias).copied(),
                Serve::Local(Selector::Version(_) | Selector::Default) | Serve::Remote(_) => None,
            };
            goal.filter(|goal| !self.loaded.contains_key(goal) || self.unsigned.contains_key(goal))?;
            before?.version_of(variant).filter(|version| self.loaded.contains_key(version))
        };
        variants.map(held).collect()
    }

    /// The newest version that is listed in a stage.
    pub(super) fn newest(&self, stage: Stage) -> Option<Version> {
        let listed = self.catalog.versions.iter().rev().find(|listed| listed.stage == stage);
        listed.map(|listed| listed.version)
    }
}
