//! What single values cannot tell: contradictions between keys, and values that follow from others.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use super::key::BY_URL;
use super::machine::Machine;
use super::prediction_log::is_among_models;
use super::problem::{self, Origin};
use super::{Config, ModelCheck, ModelConfig, RegistryUrl, SegmentFormat};
use crate::experiment::{Problem, conflicts};

/// `sockaddr_un` has room for this and a final NUL (unix(7)).
const MAX_UDS_BYTES: usize = 107;

/// The rules at work: what they look at, and what they found.
pub(super) struct Check<'a> {
    pub(super) config: &'a mut Config,
    pub(super) machine: &'a Machine,
    /// Where this user's programs keep what they can get again.
    pub(super) cache: Option<&'a Path>,
    /// Who wrote what; defaults are not in it.
    pub(super) origins: &'a BTreeMap<String, Origin>,
    /// Keys whose value could not be read: rules on them would blame a default.
    pub(super) unread: &'a BTreeSet<String>,
    pub(super) problems: Vec<problem::Problem>,
}

// === impl Check ===

impl Check<'_> {
    /// Applies every rule.
    pub(super) fn run(mut self) -> Vec<problem::Problem> {
        self.registry();
        self.limits();
        self.default_model();
        self.models();
        self.checks();
        self.listeners();
        self.busy_poll();
        self.experiments();
        self.read_only();
        self.prediction_log();
        self.problems
    }

    /// Reports a contradiction between `keys`, at the first of them that was written.
    fn report(&mut self, keys: &[&str], text: String) {
        if keys.iter().any(|key| self.unread.contains(*key)) {
            return;
        }
        let written = keys.iter().find(|key| self.origins.contains_key(**key)).or(keys.first());
        let Some(key) = written else { return };
        // What is missing is missing in a table.
        let table = || self.origins.get(key.rsplit_once('.')?.0).cloned();
        let origin = self.origins.get(*key).cloned().or_else(table).unwrap_or(Origin::Default);
        self.problems.push(problem::Problem { origin, key: Some((*key).into()), text });
    }

    fn registry(&mut self) {
        let registry = &mut self.config.registry;
        // Where models come by request a look finds what is known already.
        let slow = registry.url.is_remote() || matches!(registry.url, RegistryUrl::SageMaker(_));
        let remote = registry.url.is_remote();
        let follow = |field: &mut Duration, millis: u64| {
            if *field == BY_URL {
                *field = Duration::from_millis(millis);
            }
        };
        follow(&mut registry.poll_interval, if slow { 15_000 } else { 1000 });
        follow(&mut registry.min_swap_interval, if remote { 5000 } else { 0 });
        if registry.cache_dir.is_none() {
            registry.cache_dir = self.cache.map(|cache| cache.join("sidegate/registry"));
        }
        if registry.pod.is_empty() {
            registry.pod.clone_from(&self.machine.host);
        }
        if registry.require_signature && registry.public_keys_dir.is_none() {
            let text = "needs registry.public_keys_dir, the keys whose signatures count".into();
            self.report(&["registry.require_signature", "registry.public_keys_dir"], text);
        }
    }

    fn limits(&mut self) {
        let limits = &mut self.config.limits;
        let (body, inflight) = (limits.body_bytes, limits.inflight_bytes);
        if body <= inflight {
            return;
        }
        if !self.origins.contains_key("limits.body_bytes") {
            // A small memory limit lowers the default; only a written value can contradict.
            limits.body_bytes = inflight;
            return;
        }
        let text = format!("a body of {body} bytes never fits into limits.inflight_bytes, {inflight}");
        self.report(&["limits.body_bytes", "limits.inflight_bytes"], text);
    }

    fn default_model(&mut self) {
        let claims: Vec<_> =
            self.config.models.iter().filter(|(_, m)| m.default).map(|(n, _)| n.clone()).collect();
        let key = |name| format!("models.{name}.default");
        for name in &claims {
            match &self.config.default_model {
                None => self.config.default_model = Some(name.clone()),
                Some(chosen) if chosen == name => {}
                Some(chosen) => {
                    let text = format!("`{chosen}` is the default model already; keep one of them");
                    self.report(&[&key(name), "default_model"], text);
                }
            }
        }
        let Some(chosen) = &self.config.default_model else {
            return;
        };
        if self.origins.contains_key(&key(chosen)) && !claims.contains(chosen) {
            let text = format!("false, but default_model is `{chosen}`");
            self.report(&[&key(chosen), "default_model"], text);
        }
    }

    fn models(&mut self) {
        let registry = &self.config.registry;
        let single = registry.url.single_model();
        let (models, required) = (registry.models.clone(), registry.required.clone());
        let max_models = registry.max_models;
        if let (Some(single), Some(models)) = (&single, &models)
            && !models.contains(single)
        {
            let text = format!("does not name `{single}`, the only model of {}", registry.url);
            self.report(&["registry.models", "registry.url"], text);
        }
        if let Some(served) = single.map(|name| vec![name]).or(models.clone()) {
            for name in required.iter().filter(|name| !served.contains(name)) {
                let text =
                    format!("`{name}` is not among the models to be served, so readiness would never come");
                self.report(&["registry.required", "registry.models", "registry.url"], text);
            }
            if let Some(name) = self.config.default_model.clone().filter(|name| !served.contains(name)) {
                let own = format!("models.{name}.default");
                let text = format!("`{name}` is not among the models to be served");
                self.report(&["default_model", &own, "registry.models", "registry.url"], text);
            }
        }
        for (key, named) in [("registry.models", models.as_ref()), ("registry.required", Some(&required))] {
            let count = named.map_or(0, Vec::len);
            if count > max_models {
                let text = format!("names {count} models, registry.max_models allows {max_models}");
                self.report(&[key, "registry.max_models"], text);
            }
        }
        if required.is_empty() {
            self.config.registry.required = models.unwrap_or_default();
        }
    }

    /// A range that is asked for and not given would let everything through.
    fn checks(&mut self) {
        let asked = |model: &ModelConfig| model.checks.contains(ModelCheck::Range);
        let missing: Vec<_> = self
            .config
            .models
            .iter()
            .filter(|(_, model)| asked(model) && model.prediction_range.is_none())
            .map(|(name, _)| name.clone())
            .collect();
        for name in missing {
            let keys = [format!("models.{name}.checks"), format!("models.{name}.prediction_range")];
            let text = format!("`range` needs models.{name}.prediction_range, \"MIN..MAX\"");
            self.report(&[&keys[0], &keys[1]], text);
        }
    }

    /// Every definition is checked, also of those that are switched off.
    fn experiments(&mut self) {
        let (mut enabled, mut problems) = (Vec::new(), Vec::new());
        for (name, definition) in &self.config.definitions {
            match definition.check(name) {
                Ok(experiment) if definition.enabled => enabled.push(experiment),
                Ok(_) => {}
                Err(found) => problems.extend(found.into_iter().map(|problem| (name.clone(), problem))),
            }
        }
        for (at, text) in conflicts(&enabled) {
            problems.push((enabled[at].name.clone(), Problem { keys: &["model", "enabled"], text }));
        }
        self.config.experiments = enabled;
        for (name, Problem { keys, text }) in problems {
            let keys: Vec<String> = keys.iter().map(|key| format!("experiments.{name}.{key}")).collect();
            self.report(&keys.iter().map(String::as_str).collect::<Vec<_>>(), text);
        }
    }

    fn read_only(&mut self) {
        let Some(read_only) = only_read(&self.config.registry.url) else { return };
        let intervals = [
            ("monitor.publish_interval_ms", self.config.monitor.publish_interval),
            ("experiments.publish_interval_ms", self.config.trials.publish_interval),
        ];
        for (key, _) in intervals.into_iter().filter(|(_, interval)| !interval.is_zero()) {
            self.report(
                &[key, "registry.url"],
                format!("{read_only}, so nothing can be published there; keep it at 0"),
            );
        }
        if self.config.registry.require_signature {
            self.report(
                &["registry.require_signature", "registry.url"],
                format!("{read_only}, and knows no signatures"),
            );
        }
        let RegistryUrl::SageMaker(_) = self.config.registry.url else { return };
        for key in ["registry.models", "registry.required"] {
            if self.origins.contains_key(key) {
                let text = "SageMaker asks for the models that are to be served; leave it out".to_owned();
                self.report(&[key, "registry.url"], text);
            }
        }
    }

    fn prediction_log(&mut self) {
        let registry = &self.config.registry.url;
        let log = self.config.prediction_log.url.as_ref();
        if let Some(read_only) = log.and_then(only_read) {
            let text = format!("{read_only}; name a folder or a bucket");
            self.report(&["prediction_log.url"], text);
            return;
        }
        if let Some(log) = log.filter(|log| is_among_models(log, registry)) {
            let text = format!(
                "{log} is among the models of {registry}: name a place of its own, or a folder there that begins with `_`"
            );
            self.report(&["prediction_log.url", "registry.url"], text);
        }
        if self.config.prediction_log.format == SegmentFormat::Parquet && !cfg!(feature = "parquet") {
            let text = "this build writes no Parquet; use one made with `--features parquet`, or \"ndjson\"";
            self.report(&["prediction_log.format"], text.into());
        }
    }

    fn listeners(&mut self) {
        let admin = self.config.admin.listen;
        if !is_loopback(admin.ip()) && self.config.admin.token_file.is_none() {
            let text = format!("{admin} can be reached from other machines, which needs admin.token_file");
            self.report(&["admin.listen", "admin.token_file"], text);
        }
        let (http, admin) = (("http.listen", self.config.http.listen), ("admin.listen", admin));
        let mut pairs = vec![(admin, http)];
        if let Some(ops) = self.config.ops.listen {
            pairs.extend([(("ops.listen", ops), http), (("ops.listen", ops), admin)]);
        }
        for ((key, address), (other_key, other)) in pairs {
            if clash(address, other) {
                let text = format!("{key} {address} and {other_key} {other} cannot share a port");
                self.report(&[key, other_key], text);
            }
        }
        let length = self.config.http.uds.as_ref().map_or(0, |path| path.as_os_str().as_bytes().len());
        if length > MAX_UDS_BYTES {
            let text = format!("a socket's path has at most {MAX_UDS_BYTES} bytes, got {length}");
            self.report(&["http.uds"], text);
        }
    }

    fn busy_poll(&mut self) {
        let quota = self.machine.cpu_quota.filter(|_| !self.config.http.busy_poll.is_zero());
        if let Some(quota) = quota {
            let text = format!("spinning would use up the CPU quota of {quota:.2}; leave it 0 under a quota");
            self.report(&["http.busy_poll_us"], text);
        }
    }
}

/// Where nothing can be written, in words.
fn only_read(url: &RegistryUrl) -> Option<&'static str> {
    match url {
        RegistryUrl::Mlflow(_) => Some("the registry of an MLflow server is only read"),
        RegistryUrl::SageMaker(_) => Some("what SageMaker lays there is only read"),
        RegistryUrl::File(_) | RegistryUrl::SingleFile(_) | RegistryUrl::S3 { .. } => None,
    }
}

/// Whether only this machine can reach it; `::ffff:127.0.0.1` counts.
pub(super) fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Whether the second bind would fail; an unspecified address takes the port on all of them.
fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    let same_address = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.port() != 0 && same_address
}
