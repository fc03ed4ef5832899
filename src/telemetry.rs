//! Log set-up. Logs go to standard error; they hold names and numbers, never feature values.

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::{Log, LogFormat, LogLevel};

/// Changes the level of a running process.
pub struct LevelHandle(reload::Handle<LevelFilter, Registry>);

/// Starts logging as configured. Does nothing the second time (tests start several gateways).
pub fn start(log: &Log) -> LevelHandle {
    let (filter, handle) = reload::Layer::new(level(log.level));
    let output = match log.format {
        LogFormat::Text => fmt::layer().with_writer(std::io::stderr).with_target(false).boxed(),
        // Control characters are escaped by the encoding, so a name cannot forge a line.
        LogFormat::Json => fmt::layer().with_writer(std::io::stderr).json().flatten_event(true).boxed(),
    };
    drop(tracing_subscriber::registry().with(filter).with(output).try_init());
    LevelHandle(handle)
}

impl LevelHandle {
    /// Takes over another level.
    pub fn set(&self, log: &Log) {
        drop(self.0.reload(level(log.level)));
    }
}

const fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
