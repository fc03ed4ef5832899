//! What operators of this one sidecar ask for: sync, unload, pin, rollback. None of them needs the registry to answer.

use std::time::Duration;

use super::{Command, Gone, Loader, ModelState, OpenSync, Refused, Reply, SYNC_WAIT};
use crate::model::{ModelName, Version};
use crate::registry::clock::{self, Clock as _};

impl Loader {
    /// A look out of turn, at one model or at all; what had failed is tried again.
    pub(super) fn sync(&mut self, open: OpenSync) -> Result<(), Gone> {
        let name = open.name.clone();
        let mut quarantined = Vec::new();
        for (known, model) in self.models.iter_mut().filter(|(n, _)| name.as_ref().is_none_or(|w| w == *n)) {
            model.stopped = false;
            model.failed.clear();
            quarantined
                .extend(model.catalog.versions.iter().map(|l| (known.clone(), l.version, l.token.clone())));
        }
        if let Some(cache) = self.cache.as_ref().filter(|_| open.tries_all) {
            quarantined.iter().for_each(|(name, version, token)| cache.release(name, *version, token));
        }
        self.syncs.push(open);
        self.look(name.as_ref())
    }

    /// Carries out what can be decided at once.
    pub(super) fn decide(&mut self, command: Command) {
        match command {
            Command::Unload(name, reply) => {
                let known = self.models.get_mut(&name).map(|model| model.stopped = true);
                let config = self.config.load_full();
                self.end_unwanted(&config);
                self.publish_status(&config);
                drop(reply.send(known.ok_or_else(|| unknown(&name))));
            }
            Command::Pin(name, version, reply) => self.pin(name, version, reply),
            Command::Rollback(name, reply) => match self.before(&name) {
                Ok(version) => self.pin(name, Some(version), reply),
                Err(why) => drop(reply.send(Err(why))),
            },
            Command::Reconfigured => {
                self.reroute();
                self.hurry = true;
            }
            Command::Rule { model, phase, ruling } => self.rule(&model, phase, ruling),
            Command::Sync(..) | Command::Load(..) | Command::Wake | Command::Stop => {}
        }
    }

    /// The version that served a model before the present one: out of memory, else the one that the cache remembers.
    fn before(&self, name: &ModelName) -> Result<Version, Refused> {
        let model = self.models.get(name).ok_or_else(|| unknown(name))?;
        let former = || {
            let former = Version::new(self.cache.as_ref()?.former(name)?.version)?;
            Some(former).filter(|_| model.catalog.listed(former).is_some())
        };
        let in_memory = model.previous.iter().copied().filter(|version| model.loaded.contains_key(version));
        let mut served = in_memory.chain(former()).filter(|version| model.default != Some(*version));
        let may = |version: &Version| !model.unsigned.contains_key(version);
        served.find(may).ok_or_else(|| {
            let why = match model.previous.iter().find_map(|version| model.unsigned.get(version)) {
                Some(error) => error.to_string(),
                None => format!(
                    "no version of `{name}` that served before is loaded, or remembered by the cache and still listed"
                ),
            };
            Refused::Conflict(format!("{why}; pin another one: sidegate pin {name} VERSION"))
        })
    }

    /// Fixes a model to a version, or lets it follow the registry again. A version in memory serves from here on; the
    /// answer for another one waits until it is loaded.
    fn pin(&mut self, name: ModelName, version: Option<Version>, reply: Reply) {
        let Some(model) = self.models.get_mut(&name) else {
            drop(reply.send(Err(unknown(&name))));
            return;
        };
        if let Some(version) = version
            && !model.loaded.contains_key(&version)
            && model.catalog.listed(version).is_none()
        {
            let text = format!("the registry lists no version {version} of `{name}`");
            drop(reply.send(Err(Refused::Unknown(text))));
            return;
        }
        model.pin = version;
        model.stopped = false;
        if let Some(version) = version {
            model.failed.remove(&version);
        }
        self.keep_pin(&name, version);
        let config = self.config.load_full();
        self.check_signatures(&name, &config);
        let serves = |model: &ModelState, version: &Version| {
            model.loaded.contains_key(version) && !model.unsigned.contains_key(version)
        };
        let model = self.models.get(&name);
        let loaded = model.zip(version).is_some_and(|(model, version)| serves(model, &version));
        self.arrange(&name, &config);
        self.publish_status(&config);
        match version {
            Some(pin) => {
                tracing::info!(model = %name, pin = pin.get(), "pinned by an operator of this sidecar");
            }
            None => {
                tracing::info!(model = %name, "the pin was released by an operator; the registry decides again");
            }
        }
        if loaded || version.is_none() {
            drop(reply.send(Ok(())));
            self.hurry = true;
        } else {
            self.syncs.push(OpenSync::new(Some(name), reply));
        }
    }

    fn keep_pin(&self, name: &ModelName, version: Option<Version>) {
        let at = clock::text(clock::SystemClock.now());
        if let Some(Err(error)) = self.cache.as_ref().map(|cache| cache.keep_pin(name, version, &at)) {
            tracing::warn!(model = %name, %error, "the next process will not know of this; the cache cannot be written");
        }
    }

    /// Answers the syncs whose models are as the registry says, and those that waited long enough.
    pub(super) fn answer_syncs(&mut self) {
        for sync in std::mem::take(&mut self.syncs) {
            let waits = self.pending(sync.name.as_ref()).is_some() && self.outage.is_none();
            if waits && sync.since.elapsed() < SYNC_WAIT {
                self.syncs.push(sync);
            } else {
                drop(sync.reply.send(self.outcome(sync.name.as_ref())));
            }
        }
    }

    /// Answers those whose pinned version serves, whatever else is looked for.
    pub(super) fn answer_pins(&mut self) {
        let serves = |model: &ModelState| model.pin.is_some() && model.default == model.pin;
        for sync in std::mem::take(&mut self.syncs) {
            if sync.name.as_ref().and_then(|name| self.models.get(name)).is_some_and(serves) {
                drop(sync.reply.send(Ok(())));
            } else {
                self.syncs.push(sync);
            }
        }
    }

    /// Answers the syncs that waited long enough for the store, or for a version to be built. What they wait for goes
    /// on.
    pub(super) fn give_up_syncs(&mut self, patience: Duration) {
        let loading = self.models.iter().find_map(|(name, model)| Some((name, model.loading?)));
        let text = match loading {
            Some((name, version)) if self.asking => {
                format!("the registry has not delivered version {version} of `{name}` yet")
            }
            Some((name, version)) => format!("version {version} of `{name}` is not built and tried yet"),
            None => "the registry has not answered yet".to_owned(),
        };
        let text = format!("{text}; what is loaded keeps serving");
        let is_late = |sync: &OpenSync| sync.since.elapsed() >= patience;
        let (late, open) = std::mem::take(&mut self.syncs).into_iter().partition(is_late);
        let (unheard, later): (Vec<_>, _) = std::mem::take(&mut self.later).into_iter().partition(is_late);
        (self.syncs, self.later) = (open, later.into());
        for sync in unheard.into_iter().chain::<Vec<_>>(late) {
            drop(sync.reply.send(Err(Refused::Unreachable(text.clone()))));
        }
    }

    /// The first model, or the named one, with a version that is due and does not serve yet, and why.
    pub(super) fn pending(&self, name: Option<&ModelName>) -> Option<(&ModelName, &'static str)> {
        let mut models = self.models.iter().filter(|(n, _)| name.is_none_or(|name| name == *n));
        models.find_map(|(name, model)| Some((name, model.pending.or_else(|| model.pin_pending())?)))
    }

    /// What to answer a sync or a pin with.
    fn outcome(&self, name: Option<&ModelName>) -> Result<(), Refused> {
        let model = name.and_then(|name| self.models.get(name));
        if model.is_some_and(|model| model.pin.is_some() && model.default == model.pin) {
            return Ok(());
        }
        if let Some(error) = model.and_then(|model| model.unsigned.get(&model.pin?)) {
            return Err(Refused::Load(error.clone()));
        }
        if let Some(outage) = &self.outage {
            let text = format!("{}; what is loaded keeps serving", outage.error.detail);
            return Err(Refused::Unreachable(text));
        }
        if let Some((name, why)) = self.pending(name) {
            let text = format!("a version of model `{name}` is not loaded yet: {why}; sync again");
            return Err(Refused::Conflict(text));
        }
        let Some(name) = name else { return Ok(()) };
        let Some(model) = model else {
            return Err(Refused::Unknown(format!("model `{name}` is not in the registry")));
        };
        let failure = model.problem.as_ref().or_else(|| model.failed.values().next_back().map(|f| &f.error));
        match failure {
            Some(error) => Err(Refused::Load(error.clone())),
            None if model.default.is_none() => {
                Err(Refused::Conflict(format!("model `{name}` has no version to serve")))
            }
            None => Ok(()),
        }
    }
}

impl ModelState {
    /// A pinned version that was not looked for yet.
    fn pin_pending(&self) -> Option<&'static str> {
        if self.problem.is_some() || self.stopped {
            return None;
        }
        let pin = self.pin.filter(|pin| !self.loaded.contains_key(pin) && !self.failed.contains_key(pin))?;
        self.catalog.listed(pin).map(|_| "the pinned version was not loaded yet")
    }
}

fn unknown(name: &ModelName) -> Refused {
    Refused::Unknown(format!("model `{name}` is not known"))
}
