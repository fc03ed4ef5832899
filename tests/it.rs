//! The real binary, from outside: sockets, signals, files. Everything here sees only what a user sees.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test fails by panicking and shows what it saw"
)]

#[cfg(feature = "s3")]
#[path = "support/bucket.rs"]
mod bucket;
#[path = "it/client.rs"]
mod client;
#[path = "it/harness.rs"]
mod harness;
#[path = "it/load.rs"]
mod load;
#[path = "it/onnx.rs"]
mod onnx;
#[path = "it/repository.rs"]
mod repository;

#[path = "it/bad_input.rs"]
mod bad_input;
#[cfg(feature = "s3")]
#[path = "it/buckets.rs"]
mod buckets;
#[cfg(feature = "train")]
#[path = "it/closed_loop.rs"]
mod closed_loop;
#[cfg(feature = "s3")]
#[path = "it/credentials.rs"]
mod credentials;
#[path = "it/drift.rs"]
mod drift;
#[path = "it/experiments.rs"]
mod experiments;
#[path = "it/fleet.rs"]
mod fleet;
#[path = "it/hostile.rs"]
mod hostile;
#[path = "it/hot_load.rs"]
mod hot_load;
#[path = "it/model_test.rs"]
mod model_test;
#[path = "it/multi_model.rs"]
mod multi_model;
#[path = "it/native.rs"]
mod native;
#[path = "it/outcomes.rs"]
mod outcomes;
#[path = "it/overload.rs"]
mod overload;
#[path = "it/performance.rs"]
mod performance;
#[path = "it/prediction_log.rs"]
mod prediction_log;
#[path = "it/process.rs"]
mod process;
#[path = "it/protocol.rs"]
mod protocol;
#[path = "it/raw_http.rs"]
mod raw_http;
#[cfg(feature = "s3")]
#[path = "it/registry_bucket.rs"]
mod registry_bucket;
#[path = "it/registry_cli.rs"]
mod registry_cli;
#[path = "it/registry_words.rs"]
mod registry_words;
#[path = "it/remote.rs"]
mod remote;
#[cfg(feature = "s3")]
#[path = "it/seaweed.rs"]
mod seaweed;
#[path = "it/shadow.rs"]
mod shadow;
#[cfg(feature = "train")]
#[path = "it/shipped.rs"]
mod shipped;
#[path = "it/slow_clients.rs"]
mod slow_clients;
#[path = "it/smoke.rs"]
mod smoke;
#[cfg(feature = "s3")]
#[path = "it/survival.rs"]
mod survival;
#[cfg(feature = "train")]
#[path = "it/train.rs"]
mod train;
#[cfg(feature = "train")]
#[path = "it/train_learners.rs"]
mod train_learners;
#[cfg(feature = "train")]
#[path = "it/train_refusals.rs"]
mod train_refusals;
#[cfg(feature = "train")]
#[path = "it/train_seaweed.rs"]
mod train_seaweed;
#[path = "it/trial.rs"]
mod trial;
