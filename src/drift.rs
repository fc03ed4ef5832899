//! Whether what a model sees now is what it was made for. Pure functions of what came: no I/O and no clock.
//!
//! A [`Layout`] says which columns of a request are features. A [`Reference`] is how they were distributed, feature by
//! feature, in cells: bins that held the same share each, categories, and what is missing. What comes is counted into
//! the same cells, pane by pane; a [`Window`] is a sum of panes, so that windows of replicas add up. [`evaluate`] holds
//! a window against the reference, [`quality`] names data that is broken rather than drifting, [`detector`] sees
//! changes of late, and [`Alerts`] says when somebody is told. [`Watching`] puts them together.

mod alert;
mod changes;
mod clock;
mod compare;
mod counted;
pub mod detector;
mod feature;
mod hours;
mod looking;
pub mod quality;
mod reference;
mod row;
mod stored;
mod watching;
mod window;

#[cfg(test)]
mod tests;

pub use alert::{Alert, Alerts, Change, Found};
pub use compare::{Drift, Evaluation, Limits, Psi, evaluate};
pub use counted::{Cells, Counted};
pub use feature::{Feature, Kind, Layout, MAX_FEATURES, category, number};
pub use hours::Hours;
pub use reference::{Learner, Profile, Reference, Shape};
pub use watching::{Plan, Watching};
pub use window::{Counts, Tally, Window};
