//! sidegate: an inference gateway that runs as a sidecar next to an app.
//!
//! The code map, from the bottom up (ARCHITECTURE.md says how requests, models and signals flow through it, and
//! `tests/architecture.rs` keeps the directions):
//!
//! - core, no I/O: [`tensor`], [`model`], [`json`], [`protocol`], [`onnx`], [`booster`], [`mod@format`], [`score`],
//!   [`stats`], [`experiment`], [`suggest`]
//! - shared: [`config`], [`mlflow`], [`registry`], [`engine`], [`metrics`], [`process`], [`task`], [`telemetry`], [`mod@tls`],
//!   [`native`]
//! - serving: [`serving`] (what is served, and the loader that keeps it so), [`monitor`] (what is counted and decided
//!   beside it), [`gateway`] (the network side)
//! - [`lambda`]: the gateway as a function of AWS Lambda, in place of ports
//! - [`cli`]: the commands

// The tests of `stats` share a file with an example, to which the crate is `sidegate`.
#[cfg(test)]
extern crate self as sidegate;

pub mod booster;
pub mod cli;
pub mod config;
pub mod drift;
pub mod engine;
pub mod experiment;
pub mod failpoint;
pub mod format;
pub mod gateway;
pub mod json;
pub mod lambda;
pub mod metrics;
pub mod mlflow;
pub mod model;
pub mod monitor;
pub mod native;
pub mod onnx;
pub mod process;
pub mod protocol;
pub mod registry;
pub mod score;
pub mod serving;
pub mod stats;
pub mod suggest;
pub mod task;
pub mod telemetry;
pub mod tensor;
#[cfg(feature = "tls")]
pub mod tls;
