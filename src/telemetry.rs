//! Log set-up. Logs go to standard error; they hold names and numbers, never feature values.

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
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
    let lines = tracing_subscriber::registry().with(filter).with(filter_fn(is_discreet)).with(output);
    drop(lines.try_init());
    LevelHandle(handle)
}

impl LevelHandle {
    /// Takes over another level.
    pub fn set(&self, log: &Log) {
        drop(self.0.reload(level(log.level)));
    }
}

/// At its most talkative the SDK writes out whole requests: with the token that the metadata service of a machine
/// takes for a password.
fn is_discreet(line: &Metadata<'_>) -> bool {
    *line.level() != Level::TRACE || !line.target().starts_with("aws_")
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
