//! The audit of a model, and what it says of Production at a time.

use time::OffsetDateTime;

use super::production::{self, Tenure};
use super::{LoadError, ModelName, Store, index};
use crate::registry::audit::{self, Trail};
use crate::registry::clock;

/// The changes of a model, the oldest first, up to a time.
///
/// # Errors
/// When there is no such model, or the audit cannot be read.
pub fn log(store: &dyn Store, model: &ModelName, until: Option<OffsetDateTime>) -> Result<Trail, LoadError> {
    let index = index(store, model)?;
    let mut trail = audit::trail(store, model, &index)?;
    if let Some(until) = until {
        // Clocks differ: what was written before the last entry of that time happened before it, whatever it says.
        let is_past = |at: &str| clock::parse(at).is_some_and(|at| at <= until);
        let end = trail.entries.iter().rposition(|entry| is_past(&entry.at)).map_or(0, |last| last + 1);
        trail.entries.truncate(end);
    }
    Ok(trail)
}

/// Which version answered from Production at a time, since when, and who put it there, why and on what evidence;
/// `None` when none did, or the audit does not reach that far back.
///
/// # Errors
/// As [`log`].
pub fn production_at(
    store: &dyn Store,
    model: &ModelName,
    time: OffsetDateTime,
) -> Result<Option<Tenure>, LoadError> {
    Ok(production::last_tenure(&log(store, model, Some(time))?.entries))
}
