//! The network side: listeners, connections, the life of a request, and what is shared between them.
//!
//! The data port is one plain path per request: [`connection`] reads it, [`route`] names what it asks for,
//! [`predict`] decodes, runs and encodes it, inline on the worker that owns the connection or, when it is
//! heavy, on an offload [`lane`]. Admin and ops ports are hyper services on another thread.

pub mod admin;
pub mod http;

mod acceptor;
mod connection;
mod deadline;
mod dispatch;
mod entrance;
mod frontend;
mod id;
mod inflate;
mod lane;
mod listen;
mod overload;
mod predict;
mod remote;
mod route;
mod run;
mod settings;
mod signals;
mod stream;
mod target;
mod upstream;
mod worker;
mod workspace;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::mpsc::Sender;
use std::time::Instant;

use arc_swap::ArcSwap;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::monitor::{self, Receipts};
use crate::registry::store::Shelf;
use crate::serving::Serving;
use crate::serving::loader::Command;

pub use listen::Addresses;
pub use run::{Failure, Running, run, start_unlisted};
pub use settings::Settings;

/// What every request, listener and task shares.
pub struct Gateway {
    /// The served models.
    pub serving: Arc<Serving>,
    /// The configuration in force.
    pub config: Arc<ArcSwap<Config>>,
    /// What the data path needs of it, ready to use.
    pub settings: ArcSwap<Settings>,
    /// Every metric.
    pub metrics: Arc<Metrics>,
    /// Where models are put that are asked for one by one, if that is how they come.
    pub shelf: Option<Shelf>,
    /// Orders for the loader.
    pub loader: Sender<Command>,
    /// What counts exposures and outcomes.
    pub monitor: monitor::Handle,
    /// Signs receipts.
    pub receipts: Arc<Receipts>,
    /// Requests read and not yet answered.
    pub inflight: AtomicUsize,
    /// Bytes of bodies being read or answered.
    pub inflight_bytes: AtomicUsize,
    /// Open connections of the data port.
    pub connections: AtomicUsize,
    /// Set once: no longer ready, connections close after their answer.
    pub draining: AtomicBool,
    /// When the process started.
    pub started: Instant,
    /// What became of configuration reloads.
    pub reloads: ArcSwap<Reloads>,
}

/// What became of configuration reloads.
#[derive(Clone, Debug, Default)]
pub struct Reloads {
    /// The configuration file, if there is one.
    pub file: Option<String>,
    /// Successful reloads.
    pub count: u64,
    /// Why the last one changed nothing.
    pub last_error: Option<String>,
    /// Changed keys that wait for a restart.
    pub pending_restart: Vec<String>,
}

impl Gateway {
    /// Why this process should get no traffic; `None` is ready.
    pub fn not_ready(&self) -> Option<String> {
        if self.draining.load(std::sync::atomic::Ordering::Relaxed) {
            return Some("draining: this process is shutting down".into());
        }
        self.serving.status.load().not_ready.clone()
    }
}
