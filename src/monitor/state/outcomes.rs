//! Outcomes find what they belong to: by the id of a request, a receipt, or a unit.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Performance, State, phase, request_id};
use crate::experiment::Track;
use crate::experiment::sums::{Cell, Place, bucket};
use crate::model::{ModelName, shorten};
use crate::monitor::join::{Joined, join};
use crate::monitor::outcome::{Actual, Form, Item, One, items};
use crate::monitor::pending::Waiting;
use crate::monitor::receipt::{Invalid, NO_PHASE, Receipt};

/// Numbers as large as this leave no others in a sum, and the squares of larger ones none at all.
const MAX_NUMBER: f64 = 1e100;

/// Outcomes that are handed to the log together.
const NOTED: usize = 1024;

/// The model whose prediction waits.
pub(super) fn model<'a>(waiting: &'a Waiting, performance: &'a Performance) -> Option<&'a ModelName> {
    match &waiting.track {
        Some(track) => Some(&track.experiment.model),
        None => performance.model(waiting.version),
    }
}

fn countable(number: f64) -> bool {
    number.abs() <= MAX_NUMBER
}

/// When an outcome happened, in milliseconds since 1970; none where what it says is no time of the past.
pub(super) fn happened(item: &Item, now: u64) -> Option<u64> {
    let Some(text) = &item.t else { return Some(now) };
    let time = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok().filter(|at| *at <= now + 60_000)
}

impl State {
    /// Takes outcomes; the answer says what became of each.
    ///
    /// # Errors
    /// Where the body as a whole cannot be read.
    pub(in crate::monitor) fn outcomes(
        &mut self,
        body: &[u8],
        form: Form,
        now: u64,
    ) -> Result<Value, String> {
        let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
        let mut results = Vec::new();
        let (log, mut noted, mut logged) = (self.log.clone(), Vec::new(), 0);
        for item in items(body, form)? {
            let (joined, detail) = match item {
                Err(problem) => (Joined::Invalid, problem),
                Ok(item) => {
                    let (joined, problem) = match self.outcome(&item, now) {
                        Ok(joined) => (joined, String::new()),
                        Err(failed) => failed,
                    };
                    if let Some(log) = &log {
                        self.note(log, &item, joined, now, &mut noted);
                        // What a body becomes is larger than the body.
                        if noted.len() >= NOTED {
                            logged += log.outcomes(std::mem::take(&mut noted));
                        }
                    }
                    (joined, problem)
                }
            };
            *counts.entry(joined.name()).or_default() += 1;
            let mut result = json!({"status": joined.name()});
            if !joined.is_fine() && !detail.is_empty() {
                result["error"] = detail.into();
            }
            results.push(result);
        }
        for (name, count) in &counts {
            self.metrics.outcomes.with_label_values(&[name]).inc_by(*count);
        }
        let accepted = results.iter().filter(|result| result["error"].is_null()).count();
        let mut answer = json!({"accepted": accepted, "counts": counts, "results": results});
        if let Some(log) = &log {
            answer["logged"] = (logged + log.outcomes(noted)).into();
        }
        Ok(answer)
    }

    fn outcome(&mut self, item: &Item, now: u64) -> Result<Joined, (Joined, String)> {
        let invalid = |text: &str| (Joined::Invalid, text.to_owned());
        match (&item.id, &item.receipt, &item.unit) {
            (Some(id), None, None) => {
                let id = request_id(id.as_bytes());
                let known = self.pending.get_mut(id).is_some_and(|waiting| {
                    let model = model(waiting, &self.performance);
                    item.model.as_ref().is_none_or(|named| model.is_some_and(|model| named == model.as_str()))
                });
                let unmatched = "no prediction with this id waits here: it was answered by another process or too long ago \
                                 (send the answer's receipt), or nobody wanted its actual: it took part in no experiment that \
                                 measures predictions, and monitor.performance was off";
                if known { self.actual(id, item, now) } else { Err((Joined::Unmatched, unmatched.into())) }
            }
            (None, Some(receipt), None) => {
                let max_age = self.config.load().trials.receipt_max_age.as_millis() as u64;
                let (receipt, hash) = self.receipts.open(receipt, now, max_age).map_err(|why| match why {
                    Invalid::Forged => {
                        (Joined::Forged, "this is no receipt of the configured key".to_owned())
                    }
                    Invalid::Expired => (Joined::Expired, "the receipt is too old".to_owned()),
                })?;
                let id = self.remember(receipt, hash, now)?;
                self.actual(id, item, now)
            }
            (None, None, Some(unit)) => self.unit(unit, item, now),
            _ => Err(invalid(
                "give one of `id` and `receipt` (with `actual`), or `unit` (with `metric` and `value`)",
            )),
        }
    }

    /// Makes a prediction of a receipt one that waits, where it does not; under which hash it does.
    fn remember(&mut self, receipt: Receipt, hash: u64, now: u64) -> Result<u64, (Joined, String)> {
        // The process that answered may know it by its id already, and ids may be given twice.
        let version = self.performance.find(&receipt.model, receipt.version);
        let same = |waiting: &Waiting| {
            let of = self.performance.number(waiting.version);
            (waiting.at, waiting.unit) == (receipt.at, receipt.unit)
                && version.is_none_or(|version| version == of)
        };
        if self.pending.get_mut(receipt.id).is_some_and(|waiting| same(waiting)) {
            return Ok(receipt.id);
        }
        if self.pending.get_mut(hash).is_some() {
            return Ok(hash);
        }
        if self.pending.is_spent(hash) {
            return Err((Joined::Duplicate, String::new()));
        }
        let foreign = |text: &str| (Joined::Foreign, text.to_owned());
        let track = match (receipt.phase, version) {
            (NO_PHASE, Some(_)) => None,
            (NO_PHASE, None) => return Err(foreign("the receipt is of a version that is not known here")),
            (_, version) => {
                let track = self.track(&receipt);
                // What became of the prediction says something of its version all the same.
                if track.is_none() && !(version.is_some() && self.config.load().monitor.performance) {
                    return Err(foreign(
                        "the receipt is of an experiment, or of versions, that are not on here",
                    ));
                }
                track
            }
        };
        if let Some(track) = &track {
            phase(&mut self.phases, track, now);
        }
        let Receipt { variant, slot, unit, at, predictions, .. } = receipt;
        let (id, version) = (hash, version.unwrap_or(0));
        let waiting =
            Waiting { track, version, id, unit, at, slot, variant, own: false, predictions, actuals: None };
        self.pending.insert(waiting);
        Ok(hash)
    }

    /// The experiment that a receipt is of.
    fn track(&self, receipt: &Receipt) -> Option<Arc<Track>> {
        let name = format!("{:016x}", receipt.phase);
        let known = self.phases.get(&name).map(|phase| phase.track.clone());
        let track = known.or_else(|| self.current().into_iter().find(|track| track.phase == name));
        track.filter(|track| usize::from(receipt.variant) < track.experiment.variants.len())
    }

    fn actual(&mut self, id: u64, item: &Item, now: u64) -> Result<Joined, (Joined, String)> {
        let invalid = |text: String| (Joined::Invalid, text);
        let Some(waiting) = self.pending.get_mut(id) else { return Ok(Joined::Unmatched) };
        let rows = waiting.predictions.rows().len();
        let names = self.performance.names(waiting.version, model(waiting, &self.performance));
        let number = |row: usize, one: &One| {
            let predicted = waiting.predictions.rows().get(row).copied();
            let unknown = || match one {
                One::Class(text) => invalid(format!("the model has no class `{}`", shorten(text))),
                One::Number(_) => invalid(format!("the request had no row {row}")),
            };
            predicted.and_then(|predicted| one.truth(predicted, names)).ok_or_else(unknown)
        };
        let actuals: Vec<(usize, f64)> = match &item.actual {
            None => {
                return Err(invalid(
                    "`actual` is missing: a number, true or false, a class, or a list of all rows".into(),
                ));
            }
            Some(Actual::Rows(list)) if list.len() != rows => {
                return Err(invalid(format!("`actual` has {} values for {rows} rows", list.len())));
            }
            Some(Actual::Rows(list)) => {
                let known = list.iter().enumerate().filter_map(|(row, actual)| Some((row, actual.as_ref()?)));
                known.map(|(row, actual)| Ok((row, number(row, actual)?))).collect::<Result<_, _>>()?
            }
            Some(Actual::One(one)) => match item.row {
                None if rows > 1 => {
                    return Err(invalid(format!("the request had {rows} rows: say which by `row`, from 0")));
                }
                row => vec![(row.unwrap_or(0), number(row.unwrap_or(0), one)?)],
            },
        };
        if actuals.iter().any(|(_, actual)| !countable(*actual)) {
            return Err(invalid("`actual` is no number that can be added up".into()));
        }
        let track = waiting.track.clone();
        let mut phase = track.map(|track| phase(&mut self.phases, &track, now));
        if let Some(phase) = &mut phase {
            phase.sums.mature(now);
        }
        let (mut worst, mut late) = (Joined::Duplicate, false);
        for (row, actual) in actuals {
            let sums = phase.as_deref_mut().map(|phase| &mut phase.sums);
            match join(waiting, row, actual, sums, &mut self.performance, now) {
                // The others are somebody's news all the same.
                Joined::Late => late = true,
                Joined::Duplicate => {}
                Joined::Ok if worst == Joined::Corrected => {}
                joined => worst = joined,
            }
        }
        if late {
            return Err((Joined::Late, "it comes too long after the prediction".into()));
        }
        Ok(worst)
    }

    fn unit(&mut self, unit: &str, item: &Item, now: u64) -> Result<Joined, (Joined, String)> {
        let invalid = |text: &str| (Joined::Invalid, text.to_owned());
        let (Some(metric), Some(value)) = (&item.metric, item.value) else {
            return Err(invalid("`metric` and `value` are needed beside `unit`"));
        };
        if !countable(value) {
            return Err(invalid("`value` is no number that can be added up"));
        }
        let at = happened(item, now).ok_or_else(|| invalid("`t` is no time of the past, as RFC 3339"))?;
        let (mut measured, mut found) = (false, Err((Joined::NotEnrolled, String::new())));
        for (track, coverage) in self.covered() {
            let experiment = &track.experiment;
            if item.model.as_ref().is_some_and(|model| *model != *experiment.model.as_str()) {
                continue;
            }
            let Some((series, _)) = track.outcomes.iter().find(|(_, name)| name == metric) else { continue };
            measured = true;
            let (slot, hash) = experiment.place(unit);
            let Some(variant) = experiment.variant_of(slot) else { continue };
            let Some(phase) = self.phases.get_mut(&track.phase) else { continue };
            if experiment.enrol_slot(unit) >= coverage.slots() {
                continue;
            }
            let arms = track.layout.of_unit(variant, slot);
            let place = Place { arms: &arms, bucket: bucket(hash), at };
            let counted = phase.sums.add_late(place, *series, Cell { weight: 0.0, sum: value }, now);
            found = if counted { Ok(Joined::Ok) } else { Err((Joined::Late, "its horizon is over".into())) };
        }
        match (measured, found) {
            (false, _) => {
                Err((Joined::NotEnrolled, format!("no experiment that is on measures outcome:{metric}")))
            }
            (true, Err((Joined::NotEnrolled, _))) => {
                Err((Joined::NotEnrolled, "the unit takes part in no such experiment".into()))
            }
            (true, found) => found,
        }
    }
}
