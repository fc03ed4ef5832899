//! The only module that may hold `unsafe`: the process's environment, scheduling and limits, and ONNX Runtime's C API.
//!
//! `unsafe_code` is denied crate-wide. Each file below opts in with its reason, writes down the invariants it
//! relies on, and offers functions that cannot be misused from safe code.

mod confine;
mod group;
#[cfg(feature = "ort")]
pub mod ort;
mod process;
pub mod simd;

pub use confine::Confinement;
pub use group::{has_ended, kill_group};
pub use process::{library_path, lower_priority, prepare_environment, telemetry_is_off, trim_heap};
