//! One look at the registry: what it offers now, held against what is loaded.

use std::time::{Duration, Instant};

use super::hand::Ticket;
use super::outage::{Outage, jittered};
use super::{Due, Gone, Loader, ModelState, Origin, SETTLE, is_chosen};
use crate::config::Config;
use crate::model::{LoadError, ModelName, Reason};
use crate::registry::store::{Fault, StoreError};
use crate::registry::{Catalog, Registry, Survey, unreachable};

/// Every so many looks a remote registry is read in full, whatever its hint says.
const FULL_LOOK: u32 = 20;
/// How long a store may take at a start before the cache answers in its place.
const HEAD_START: Duration = Duration::from_millis(300);
/// So many models of a look may be refused before the store has answered for any; then it is the store that refuses.
const REFUSALS: usize = 3;
/// A load that takes longer may have been overtaken: what the registry says is asked again before it serves.
const OVERTAKEN: Duration = Duration::from_secs(2);
/// Why a swap waits.
const RESTS: &str = "registry.min_swap_interval_ms is not over";

impl Loader {
    /// How long until the next look.
    pub(super) fn pause(&self) -> Duration {
        let poll = self.config.load().registry.poll_interval;
        let rest = self.models.values().filter_map(|model| model.rests_until).min();
        match &self.outage {
            // A folder costs nobody anything.
            Some(outage) if self.remote => jittered(outage.pause(poll)),
            _ if self.hurry => SETTLE,
            _ => {
                let rest = rest.map(|at| at.saturating_duration_since(Instant::now()).max(SETTLE));
                rest.map_or(jittered(poll), |rest| rest.min(jittered(poll)))
            }
        }
    }

    /// One look at the registry: all models, or `only` one. Without an answer to its first question it asks no other.
    ///
    /// # Errors
    /// When the loader is to end, or the work it waited for has panicked.
    pub(super) fn look(&mut self, only: Option<&ModelName>) -> Result<(), Gone> {
        let config = self.config.load_full();
        self.hurry = false;
        if !std::sync::Arc::ptr_eq(&config, &self.looked_with) {
            // Another configuration may accept what this one refused.
            self.models.values_mut().for_each(|model| model.failed.clear());
            self.looked_with = config.clone();
        }
        self.end_unwanted(&config);
        self.refresh_keys(&config);
        let full = only.is_some() || self.outage.is_some() || self.looks.is_multiple_of(FULL_LOOK);
        self.looks = self.looks.wrapping_add(1);
        let named = config.registry.models.clone();
        let survey = self.asked(move |registry| registry.survey(named.as_deref(), full))?;
        match survey {
            Ok(survey) => self.look_through(survey, only, &config)?,
            Err(error) => self.lost(&error),
        }
        if self.outage.is_some() {
            self.recall()?;
            self.recall_pins(&config)?;
        }
        self.recalled = true;
        self.metrics.registry_up.set(i64::from(self.outage.is_none()));
        self.sweep()?;
        // An operator may have hurried it while it looked.
        self.hurry |= self.outage.is_none() && self.expects();
        self.publish_status(&config);
        self.say_experiments();
        Ok(())
    }

    /// Frees what was let go of and is not in use any more.
    pub(super) fn sweep(&mut self) -> Result<(), Gone> {
        let sweeping = self.bench.ask(|bench| bench.retired.sweep());
        // While it waits it may let go of more.
        self.unswept = false;
        let left = self.wait(&sweeping)?;
        self.unswept |= left;
        Ok(())
    }

    fn look_through(
        &mut self,
        survey: Survey,
        only: Option<&ModelName>,
        config: &Config,
    ) -> Result<(), Gone> {
        let gone: Vec<ModelName> =
            self.models.keys().filter(|name| !survey.models.contains(name)).cloned().collect();
        for name in &gone {
            if self.asked { self.forget(name, config) } else { self.missing(name) }
        }
        let names = survey.models.into_iter().filter(|name| is_chosen(name, config));
        let mut names: Vec<ModelName> = names.collect();
        for name in names.split_off(names.len().min(config.registry.max_models)) {
            self.leave_out(&name, config.registry.max_models);
        }
        // Known from here on, so that nobody takes the first ones for all of them.
        for name in &names {
            self.known(name);
        }
        if let Some(behind) = self.behind.take() {
            let first = names.partition_point(|name| *name <= behind);
            names.rotate_left(first);
        }
        // Whether the store answers at all, whether it kept silent last, and what it refused before it answered.
        let (mut answered, mut silent, mut refusals) = (survey.answered, false, Vec::new());
        for name in names {
            if only.is_some_and(|only| *only != name) {
                continue;
            }
            let unchanged = survey.unchanged.contains(&name);
            let catalog = match self.catalog(&name, unchanged)? {
                Ok(catalog) => {
                    (answered, silent) = (answered || !unchanged, silent && unchanged);
                    catalog
                }
                Err(error) => {
                    let refused = matches!(error.fault, Fault::Denied(_) | Fault::Refused(_));
                    // To who may not list, an object that is not there is a forbidden one.
                    if !answered && refused && refusals.len() + 1 < REFUSALS {
                        refusals.push((name, error));
                        continue;
                    }
                    if !answered || silent && !refused {
                        self.behind = Some(name);
                        self.lost(&error);
                        return Ok(());
                    }
                    // One object that cannot be had is its own model's matter.
                    silent = !refused;
                    self.metrics.count_registry_error(error.fault.label());
                    Err(unreachable(error))
                }
            };
            self.look_at(&name, catalog, config)?;
        }
        for (name, error) in refusals {
            if !answered {
                self.behind = Some(name);
                self.lost(&error);
                return Ok(());
            }
            self.metrics.count_registry_error(error.fault.label());
            self.look_at(&name, Err(unreachable(error)), config)?;
        }
        self.registry_seen = Some(Instant::now());
        if let Some(outage) = self.outage.take() {
            let seconds = outage.since.elapsed().as_secs();
            tracing::info!(seconds, failures = outage.failures, "the registry answers again");
        }
        Ok(())
    }

    /// What a model offers; see [`Registry::catalog`].
    fn catalog(
        &mut self,
        name: &ModelName,
        unchanged: bool,
    ) -> Result<Result<Result<Catalog, LoadError>, StoreError>, Gone> {
        let name = name.clone();
        self.asked(move |registry| match registry.known(&name).filter(|_| unchanged) {
            Some(catalog) => Ok(Ok(catalog)),
            None => registry.catalog(&name),
        })
    }

    /// Asks the store. When a process has just started and the store is slow to answer, what the cache holds serves
    /// in the meantime.
    fn asked<T: Send + 'static>(
        &mut self,
        job: impl FnOnce(&mut Registry) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let ticket = self.registry.ask(job);
        self.answer_to(&ticket)
    }

    /// Waits for the store; see [`Loader::asked`].
    pub(super) fn answer_to<T>(&mut self, ticket: &Ticket<T>) -> Result<T, Gone> {
        self.asking = true;
        let deadline = (!self.recalled).then_some(self.started + HEAD_START);
        let mut answer = self.wait_until(ticket, deadline);
        if let Ok(None) = answer {
            self.asking = false;
            self.recall()?;
            self.asking = true;
            answer = self.wait(ticket).map(Some);
        }
        self.asking = false;
        match answer? {
            Some(answer) => Ok(answer),
            None => Err(Gone),
        }
    }

    /// Brings one model to what the registry says of it.
    fn look_at(
        &mut self,
        name: &ModelName,
        catalog: Result<Catalog, LoadError>,
        config: &Config,
    ) -> Result<(), Gone> {
        let model = self.known(name);
        (model.pending, model.rests_until) = (None, None);
        match catalog {
            Ok(catalog) if catalog.is_empty() => {
                self.recall_model(name, config)?;
                self.missing(name);
                return Ok(());
            }
            Ok(catalog) => {
                model.catalog = catalog;
                model.problem = None;
            }
            Err(error) => {
                model.tried = true;
                if model.problem.as_ref() != Some(&error) {
                    tracing::warn!(model = %name, code = %error.code, detail = %error.detail, "model cannot be read");
                    model.problem = Some(error.clone());
                    self.metrics.count_load(name.as_str(), Some(error.code));
                }
                self.recall_model(name, config)?;
                return self.recall_pin(name, config);
            }
        }
        self.check_signatures(name, config);
        // What is in memory serves at once, as after a rollback; what else has to be loaded takes its time.
        self.arrange(name, config);
        let mut position = 0;
        let (mut complete, mut pending, mut rests_until) = (true, None, None);
        // What is wanted may change while a version loads: an operator may have pinned another one.
        while let Some(version) = self.wanted(name, config).get(position).copied() {
            let Some(model) = self.models.get(name) else { return Ok(()) };
            // Below the first choice only what is asked for by stage or alias, or a stand-in when nothing serves.
            let stand_in = position > 0 && !model.is_named(version, config, name);
            if stand_in && (model.default.is_some() || model.serves_any(&self.wanted(name, config))) {
                break;
            }
            position += 1;
            let goal = self.goal(name, config) == Some(version);
            let rests = model.rest(version, config).filter(|_| goal);
            match self.due(name, version, config) {
                Due::Loaded | Due::Failed => {}
                Due::Settling => (complete, pending) = (false, Some("its files may still be written")),
                Due::Load if rests.is_some() => (pending, rests_until) = (Some(RESTS), rests),
                Due::Load => {
                    let start = Instant::now();
                    self.load(name, version, Origin::Registry, config)?;
                    if start.elapsed() > OVERTAKEN {
                        self.ask_again(name, config)?;
                    }
                }
            }
        }
        self.arrange(name, config);
        self.stand_in(name, config)?;
        let goal = self.goal(name, config);
        let model = self.known(name);
        model.tried |= complete;
        let held = goal.filter(|goal| model.default != Some(*goal) && model.loaded.contains_key(goal));
        if let Some(until) = held.and_then(|goal| model.rest(goal, config)) {
            (pending, rests_until) = (pending.or(Some(RESTS)), Some(until));
        }
        (model.pending, model.rests_until) = (pending, rests_until);
        Ok(())
    }

    /// Takes over what the registry says of a model by now, if it says anything.
    fn ask_again(&mut self, name: &ModelName, config: &Config) -> Result<(), Gone> {
        if let Ok(Ok(catalog)) = self.catalog(name, false)?
            && !catalog.is_empty()
            && let Some(model) = self.models.get_mut(name)
        {
            model.catalog = catalog;
            self.check_signatures(name, config);
        }
        Ok(())
    }

    /// Whether what is due comes soon: files that may still be written, a pin.
    fn expects(&self) -> bool {
        let names: Vec<&ModelName> = self
            .models
            .iter()
            .filter(|(_, model)| model.rests_until.is_none())
            .map(|(name, _)| name)
            .collect();
        names.into_iter().any(|name| self.pending(Some(name)).is_some())
    }

    /// What is known of a model; nothing yet, if it is new.
    pub(super) fn known(&mut self, name: &ModelName) -> &mut ModelState {
        self.metrics.announce_model(name.as_str(), self.config.load().metrics.max_series);
        self.state(name)
    }

    fn state(&mut self, name: &ModelName) -> &mut ModelState {
        let pin = || self.cache.as_ref().and_then(|cache| cache.pin(name));
        self.models.entry(name.clone()).or_insert_with(|| ModelState { pin: pin(), ..ModelState::default() })
    }

    /// Takes note of a store that does not answer.
    fn lost(&mut self, error: &StoreError) {
        self.metrics.count_registry_error(error.fault.label());
        let denied = matches!(error.fault, Fault::Denied(_));
        let error = LoadError::new(Reason::Unreachable, format!("the registry cannot be read: {error}"));
        let before = self.outage.take();
        if before.as_ref().is_none_or(|before| before.error != error) {
            let config = self.config.load();
            let (registry, endpoint) = (&config.registry.url, config.registry.endpoint.as_ref());
            let endpoint = endpoint.map(|endpoint| endpoint.as_str());
            tracing::warn!(
                error = %error.detail, %registry, endpoint,
                "the registry did not answer; what is loaded keeps serving"
            );
        }
        let failures = before.as_ref().map_or(0, |before| before.failures) + 1;
        let since = before.map_or_else(Instant::now, |before| before.since);
        self.outage = Some(Outage { error, failures, since, denied });
    }

    /// Ends what an operator unloaded or took out of `registry.models`, whatever the registry says of it.
    pub(super) fn end_unwanted(&mut self, config: &Config) {
        let chosen = |name: &ModelName| is_chosen(name, config);
        let unwanted = self.models.iter().filter(|(name, model)| model.stopped || !chosen(name));
        let unwanted: Vec<ModelName> = unwanted.map(|(name, _)| name.clone()).collect();
        for name in unwanted {
            if let Some(model) = self.models.get_mut(&name) {
                (model.stopped, model.pending, model.rests_until) = (true, None, None);
            }
            self.arrange(&name, config);
            if !chosen(&name) {
                self.models.remove(&name);
            }
        }
    }

    /// Ends a model that nobody asks for any more, and keeps nothing of it: names that come and go may be any number.
    fn forget(&mut self, name: &ModelName, config: &Config) {
        if let Some(model) = self.models.get_mut(name) {
            model.stopped = true;
        }
        self.arrange(name, config);
        self.models.remove(name);
        self.metrics.forget_model(name.as_str());
    }

    /// Says of a model whose folder is gone, or never was, that it serves on what is loaded.
    fn missing(&mut self, name: &ModelName) {
        let model = self.state(name);
        let detail = if model.loaded.is_empty() {
            format!("model `{name}` is not in the registry")
        } else {
            "the model is no longer in the registry; what is loaded of it keeps serving".to_owned()
        };
        let problem = Some(LoadError::new(Reason::MissingFile, detail));
        if model.problem != problem {
            tracing::warn!(model = %name, "model is missing");
        }
        (model.problem, model.pending, model.rests_until, model.tried) = (problem, None, None, true);
    }

    fn leave_out(&mut self, name: &ModelName, cap: usize) {
        let detail =
            format!("beyond registry.max_models = {cap}; raise it or name models in registry.models");
        // Not announced: a model that is left out has no series of its own.
        if self.state(name).problem.is_none() {
            tracing::warn!(model = %name, %detail, "model is left out");
            self.metrics.count_load(name.as_str(), Some(Reason::Unsupported));
        }
        let model = self.state(name);
        model.problem = Some(LoadError::new(Reason::Unsupported, detail));
        (model.pending, model.rests_until, model.tried) = (None, None, true);
    }
}
