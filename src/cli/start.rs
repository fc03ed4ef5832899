//! What comes before a gateway, whichever way requests reach it: configuration, log, engines, stores.

use super::failure::Failure;
use super::store;
use crate::config::{self, Config, Problems, Sources};
use crate::monitor::Stores;
use crate::registry::Registry;
use crate::registry::cache::Cache;
use crate::telemetry::{self, LevelHandle};

/// What a gateway is started with.
pub(super) struct Prepared {
    pub(super) config: Config,
    pub(super) log: LevelHandle,
    pub(super) registry: Registry,
    pub(super) cache: Option<Cache>,
    pub(super) stores: Stores,
}

/// Reads the configuration and starts what does not depend on a gateway. The registry is asked `attempts` times before it
/// counts as out of reach.
///
/// # Errors
/// Everything that is wrong with the configuration, or a store that this build cannot speak to.
pub(super) fn prepare(sources: &Sources, attempts: u32) -> Result<Prepared, Failure> {
    let (loaded, problems) = config::load_leniently(sources);
    if !problems.is_empty() {
        return Err(Problems(problems).into());
    }
    let config = loaded.config;
    let log = telemetry::start(&config.log);
    config.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    crate::engine::configure(&config.engine);
    let cache = store::cache(&config.registry);
    let registry = Registry::new(store::open(&config.registry, attempts)?, cache.clone());
    let publishes = !(config.trials.publish_interval.is_zero() && config.monitor.publish_interval.is_zero());
    let publish = publishes.then(|| store::open(&config.registry, 2)).transpose()?;
    // It has a back-off of its own.
    let place = config.prediction_log.url.clone();
    let open = |url| store::open(&config::Registry { url, ..config.registry.clone() }, 1);
    let log_store = place.map(open).transpose()?;
    Ok(Prepared { config, log, registry, cache, stores: Stores { publish, log: log_store } })
}
