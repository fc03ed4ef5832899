//! Two engines give the same answers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::{Finding, Terms};
use crate::engine::{EngineKind, Session};
use crate::serving::admission::Trial;
use crate::serving::probe::probe;

/// Compares with another engine's session of the same graph, on the sample and on the rows that admission makes up.
pub(crate) fn agreement(
    trial: &mut Trial<'_>,
    terms: &Terms<'_>,
    (kind, session): (EngineKind, &dyn Session),
) -> Finding {
    let started = Instant::now();
    let made_up = (0..4).filter_map(|round| probe(trial.signature, 16, round));
    let rounds: Vec<_> = std::iter::once(terms.sample.to_vec()).chain(made_up).collect();
    let mut compared = 0;
    for inputs in &rounds {
        let both = match catch_unwind(AssertUnwindSafe(|| trial.both(session, inputs))) {
            Ok(both) => both,
            Err(_) => {
                return Finding::new("agreement", Err("one of the engines panicked".to_owned()), started);
            }
        };
        let Some((ours, theirs)) = both else { continue };
        if let Some(detail) = trial.differing_scores(&ours, &theirs) {
            let detail = detail.replace(", expected ", &format!(", {kind} says "));
            return Finding::new("agreement", Err(detail), started);
        }
        compared += 1;
    }
    if compared == 0 {
        return Finding::skipped("agreement", format!("{kind} answers none of the rows"));
    }
    let rows = format!("{} and 64 small made-up rows", terms.sampled());
    Finding::new("agreement", Ok(format!("{rows}: as {kind} answers")), started)
}
