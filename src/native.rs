//! The only module that may hold `unsafe`: the process's environment, scheduling and limits, and the C APIs of ONNX
//! Runtime and of the learners.
//!
//! `unsafe_code` is denied crate-wide. Each file below opts in with its reason, writes down the invariants it
//! relies on, and offers functions that cannot be misused from safe code.

mod confine;
mod group;
#[cfg(feature = "train")]
pub mod lightgbm;
#[cfg(feature = "ort")]
pub mod ort;
#[cfg(feature = "train")]
mod prefetch;
mod process;
#[cfg(feature = "train")]
mod shared;
pub mod simd;
#[cfg(feature = "train")]
pub mod xgboost;

pub use confine::Confinement;
pub use group::{has_ended, kill_group};
#[cfg(feature = "train")]
pub use prefetch::prefetch;
pub use process::{library_path, lower_priority, prepare_environment, telemetry_is_off, trim_heap};
