//! Which versions are not needed.

use super::super::rollback;
use crate::model::{LoadError, ModelName, Stage};
use crate::registry::format::Rest;
use crate::registry::index::{Index, State};
use crate::registry::store::Store;

/// The complete versions that may go: those in None or Archived beyond the newest `keep` that nothing points at.
pub(super) fn unneeded(
    store: &dyn Store,
    model: &ModelName,
    index: &Index,
    keep: usize,
) -> Result<Vec<u64>, LoadError> {
    let mut needed: Vec<u64> = index.aliases.values().copied().collect();
    needed.extend(index.default_version());
    needed.extend(index.hold.as_ref().map(|hold| hold.version));
    needed.extend(index.rollout.iter().flat_map(|rollout| [rollout.version, rollout.from]));
    needed.extend(rollback::goal(store, index, model)?);
    let old = |stage| matches!(stage, Stage::None | Stage::Archived);
    let candidates = index.ready().into_iter().filter(|entry| old(entry.stage)).rev().skip(keep);
    let mut unneeded: Vec<u64> =
        candidates.map(|entry| entry.version).filter(|version| !needed.contains(version)).collect();
    unneeded.sort_unstable();
    spare_the_default(index, &mut unneeded);
    Ok(unneeded)
}

/// Where nothing is in Production, the last version with a stage is what keeps the highest of those without one from
/// answering the plain name.
fn spare_the_default(index: &Index, unneeded: &mut Vec<u64>) {
    let mut after = index.clone();
    for entry in after.versions.iter_mut().filter(|entry| unneeded.contains(&entry.version)) {
        entry.state = State::Deleted { at: String::new(), rest: Rest::new() };
    }
    if after.default_version() == index.default_version() {
        return;
    }
    let staged =
        index.ready().into_iter().filter(|entry| entry.stage != Stage::None).map(|e| e.version).next_back();
    unneeded.retain(|version| Some(*version) != staged);
}
