//! All that the monitor knows.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Sender;

use arc_swap::ArcSwap;
use serde_json::{Value, json};

use super::join::{Joined, expect, join};
use super::outcome::{Actual, Form, Item, items};
use super::pending::{Pending, Waiting};
use super::receipt::{Invalid, Receipt, Receipts};
use super::record::Record;
use crate::config::Config;
use crate::experiment::analysis::Report;
use crate::experiment::sums::{Cell, Place, Sums, bucket};
use crate::experiment::verdict::Standing;
use crate::experiment::{Mode, Track};
use crate::metrics::Metrics;
use crate::serving::Serving;
use crate::serving::loader::Command;
use crate::stats::assign;

/// Units whose variant is remembered until the day is over; beyond that they may be counted twice.
const MAX_SEEN: usize = 250_000;
/// Phases of which sums are kept, the current ones among them.
const MAX_PHASES: usize = 32;
const DAY_MILLIS: u64 = 86_400_000;

/// What the monitor's thread owns.
pub(super) struct State {
    config: Arc<ArcSwap<Config>>,
    serving: Arc<Serving>,
    metrics: Arc<Metrics>,
    receipts: Arc<Receipts>,
    loader: Sender<Command>,
    dropped: Arc<AtomicU64>,
    /// Of the count above, what the metric has.
    told_dropped: u64,
    /// By phase.
    phases: HashMap<String, Phase>,
    pending: Pending,
    told_evicted: u64,
}

/// What is known of one phase of an experiment.
struct Phase {
    track: Arc<Track>,
    sums: Sums,
    standing: Standing,
    /// Units of the day, with their variant.
    seen: HashMap<u64, usize>,
    day: u64,
    /// When something of it came last.
    touched: u64,
}

// === impl State ===

impl State {
    pub(super) fn new(
        config: Arc<ArcSwap<Config>>,
        serving: Arc<Serving>,
        metrics: Arc<Metrics>,
        receipts: Arc<Receipts>,
        loader: Sender<Command>,
        dropped: Arc<AtomicU64>,
    ) -> Self {
        let max_bytes = config.load().monitor.max_bytes;
        Self {
            config,
            serving,
            metrics,
            receipts,
            loader,
            dropped,
            told_dropped: 0,
            phases: HashMap::new(),
            pending: Pending::new(max_bytes),
            told_evicted: 0,
        }
    }

    /// Counts an answered request.
    pub(super) fn count(&mut self, record: &Record) {
        let now = record.at;
        let phase = phase(&mut self.phases, &record.track, now);
        phase.expose(record);
        if record.predictions.rows.is_empty() || record.track.scores.is_empty() {
            return;
        }
        let waiting = Waiting {
            track: record.track.clone(),
            variant: record.variant,
            slot: record.slot,
            unit: record.unit,
            at: record.at,
            rows: record.predictions.rows.clone(),
            actuals: Vec::new(),
        };
        expect(&waiting, &mut phase.sums, now);
        self.pending.insert(record.id, waiting);
    }

    /// Lets things mature, and decides.
    pub(super) fn tick(&mut self, now: u64) {
        let dropped = self.dropped.load(Relaxed);
        self.metrics.records_dropped.inc_by(dropped - std::mem::replace(&mut self.told_dropped, dropped));
        let evicted = self.pending.evicted;
        self.metrics.pending_evicted.inc_by(evicted - std::mem::replace(&mut self.told_evicted, evicted));
        let config = self.config.load_full();
        let current: Vec<Arc<Track>> = self.current();
        for track in &current {
            let Some(phase) = self.phases.get_mut(&track.phase) else { continue };
            // The plan may have changed without making another phase.
            phase.track = track.clone();
            phase.sums.mature(now);
            let experiment = &track.experiment;
            let report = Report::of(experiment, &track.layout, &phase.sums);
            let evidence = phase.standing.look(experiment, &report, now);
            while let Some(entry) = phase.standing.next(experiment, &evidence) {
                tracing::info!(experiment = %experiment.name, verb = %entry.verb, why = %entry.why, "an experiment goes on");
                phase.standing.apply(entry);
                if experiment.plan.mode == Mode::Auto && config.trials.only_replica {
                    let ruling = phase.standing.ruling(experiment);
                    drop(self.loader.send(Command::Rule(experiment.name.clone(), ruling)));
                }
            }
        }
        while self.phases.len() > MAX_PHASES {
            let idle =
                self.phases.iter().filter(|(name, _)| current.iter().all(|track| track.phase != **name));
            let Some(name) = idle.min_by_key(|(_, phase)| phase.touched).map(|(name, _)| name.clone()) else {
                return;
            };
            self.phases.remove(&name);
        }
    }

    /// Takes outcomes; the answer says what became of each.
    ///
    /// # Errors
    /// Where the body as a whole cannot be read.
    pub(super) fn outcomes(&mut self, body: &[u8], form: Form, now: u64) -> Result<Value, String> {
        let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
        let mut results = Vec::new();
        for item in items(body, form)? {
            let (joined, detail) = match item {
                Err(problem) => (Joined::Invalid, problem),
                Ok(item) => match self.outcome(&item, now) {
                    Ok(joined) => (joined, String::new()),
                    Err((joined, problem)) => (joined, problem),
                },
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
        Ok(json!({"accepted": accepted, "counts": counts, "results": results}))
    }

    fn outcome(&mut self, item: &Item, now: u64) -> Result<Joined, (Joined, String)> {
        let invalid = |text: &str| (Joined::Invalid, text.to_owned());
        match (&item.id, &item.receipt, &item.unit) {
            (Some(id), None, None) => {
                let id = request_id(id.as_bytes());
                let known = self.pending.get_mut(id).is_some_and(|waiting| {
                    item.model.as_ref().is_none_or(|model| *model == *waiting.track.experiment.model.as_str())
                });
                let unmatched = "no prediction with this id waits here: it took part in no experiment that measures \
                                 predictions, was answered by another process, or too long ago; send the answer's receipt";
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
                self.remember(receipt, hash, now)?;
                self.actual(hash, item, now)
            }
            (None, None, Some(unit)) => self.unit(unit, item, now),
            _ => Err(invalid(
                "give one of `id` and `receipt` (with `actual`), or `unit` (with `metric` and `value`)",
            )),
        }
    }

    /// Makes a prediction of a receipt that is not known yet one that waits.
    fn remember(&mut self, receipt: Receipt, hash: u64, now: u64) -> Result<(), (Joined, String)> {
        if self.pending.get_mut(hash).is_some() {
            return Ok(());
        }
        let name = format!("{:016x}", receipt.phase);
        let known = self.phases.get(&name).map(|phase| phase.track.clone());
        let track = known.or_else(|| self.current().into_iter().find(|track| track.phase == name));
        let Some(track) =
            track.filter(|track| usize::from(receipt.variant) < track.experiment.variants.len())
        else {
            let text = "the receipt is of an experiment, or of versions, that are not on here";
            return Err((Joined::Foreign, text.into()));
        };
        phase(&mut self.phases, &track, now);
        let variant = usize::from(receipt.variant);
        let Receipt { slot, unit, at, rows, .. } = receipt;
        self.pending.insert(hash, Waiting { track, variant, slot, unit, at, rows, actuals: Vec::new() });
        Ok(())
    }

    fn actual(&mut self, id: u64, item: &Item, now: u64) -> Result<Joined, (Joined, String)> {
        let invalid = |text: String| (Joined::Invalid, text);
        let Some(waiting) = self.pending.get_mut(id) else { return Ok(Joined::Unmatched) };
        let rows = waiting.rows.len();
        let actuals: Vec<(usize, f64)> = match &item.actual {
            None => {
                return Err(invalid(
                    "`actual` is missing: a number, true or false, or a list of all rows".into(),
                ));
            }
            Some(Actual::Rows(list)) if list.len() != rows => {
                return Err(invalid(format!("`actual` has {} values for {rows} rows", list.len())));
            }
            Some(Actual::Rows(list)) => {
                list.iter().enumerate().filter_map(|(row, actual)| Some((row, (*actual)?))).collect()
            }
            Some(one) => {
                let number = match one {
                    Actual::Flag(flag) => f64::from(*flag),
                    Actual::Number(number) => *number,
                    Actual::Rows(_) => f64::NAN,
                };
                match item.row {
                    None if rows > 1 => {
                        return Err(invalid(format!(
                            "the request had {rows} rows: say which by `row`, from 0"
                        )));
                    }
                    Some(row) if row >= rows => return Err(invalid(format!("the request had no row {row}"))),
                    row => vec![(row.unwrap_or(0), number)],
                }
            }
        };
        if actuals.iter().any(|(_, actual)| !actual.is_finite()) {
            return Err(invalid("`actual` is no finite number".into()));
        }
        let phase = phase(&mut self.phases, &waiting.track, now);
        phase.sums.mature(now);
        let mut worst = Joined::Duplicate;
        for (row, actual) in actuals {
            match join(waiting, row, actual, &mut phase.sums, now) {
                Joined::Late => return Err((Joined::Late, "the prediction's horizon is over".into())),
                Joined::Duplicate => {}
                Joined::Ok if worst == Joined::Corrected => {}
                joined => worst = joined,
            }
        }
        Ok(worst)
    }

    fn unit(&mut self, unit: &str, item: &Item, now: u64) -> Result<Joined, (Joined, String)> {
        let invalid = |text: &str| (Joined::Invalid, text.to_owned());
        let (Some(metric), Some(value)) = (&item.metric, item.value) else {
            return Err(invalid("`metric` and `value` are needed beside `unit`"));
        };
        if !value.is_finite() {
            return Err(invalid("`value` is no finite number"));
        }
        let at = match &item.t {
            None => now,
            Some(text) => {
                let time = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339);
                let millis =
                    time.ok().and_then(|time| u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok());
                millis
                    .filter(|at| *at <= now + 60_000)
                    .ok_or_else(|| invalid("`t` is no time of the past, as RFC 3339"))?
            }
        };
        let (mut measured, mut found) = (false, Err((Joined::NotEnrolled, String::new())));
        for track in self.current() {
            let experiment = &track.experiment;
            if item.model.as_ref().is_some_and(|model| *model != *experiment.model.as_str()) {
                continue;
            }
            let Some((series, _)) = track.outcomes.iter().find(|(_, name)| name == metric) else { continue };
            measured = true;
            let slot = experiment.slot(unit);
            let Some(variant) = experiment.variant_of(slot) else { continue };
            let Some(phase) = self.phases.get_mut(&track.phase) else { continue };
            let hash = track.unit(unit);
            if !phase.covers(unit) {
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

    /// What is known of an experiment: this process's sums, what they say, and what follows.
    pub(super) fn report(&mut self, name: &str, now: u64) -> Option<Value> {
        let track = self.current().into_iter().find(|track| track.experiment.name.as_str() == name)?;
        let phase = phase(&mut self.phases, &track, now);
        phase.sums.mature(now);
        let experiment = &track.experiment;
        let report = Report::of(experiment, &track.layout, &phase.sums);
        Some(json!({
            "name": name,
            "model": experiment.model.as_str(),
            "mode": experiment.plan.mode.name(),
            "phase": track.phase,
            "versions": track.versions,
            "stage": phase.standing.stage.name(),
            "promoted": phase.standing.promoted,
            "rolled_back": phase.standing.out,
            "report": report,
            "decisions": phase.standing.log,
            "process": {
                "immature": phase.sums.immature(),
                "pending": self.pending.len(),
                "evicted": self.pending.evicted,
                "dropped": self.dropped.load(Relaxed),
            },
        }))
    }

    /// The phases that requests are in now.
    fn current(&self) -> Vec<Arc<Track>> {
        let snapshot = self.serving.snapshot.load();
        snapshot.models.values().filter_map(|model| Some(model.router.as_ref()?.track.clone())).collect()
    }
}

// === impl Phase ===

fn phase<'a>(phases: &'a mut HashMap<String, Phase>, track: &Arc<Track>, now: u64) -> &'a mut Phase {
    let phase = phases.entry(track.phase.clone()).or_insert_with(|| Phase {
        sums: Sums::new(&track.layout),
        track: track.clone(),
        standing: Standing::default(),
        seen: HashMap::new(),
        day: 0,
        touched: now,
    });
    phase.touched = phase.touched.max(now);
    phase
}

impl Phase {
    fn expose(&mut self, record: &Record) {
        let track = &record.track;
        let arms = track.layout.of_unit(record.variant, record.slot);
        let place = Place { arms: &arms, bucket: bucket(record.unit), at: record.at };
        let day = record.at / DAY_MILLIS;
        if day != self.day || self.seen.len() >= MAX_SEEN {
            self.day = day;
            self.seen.clear();
        }
        let sums = &mut self.sums;
        match self.seen.insert(record.unit, record.variant) {
            Some(before) if before == record.variant => {}
            Some(_) => sums.moved += 1,
            None => {
                let one = Cell { weight: 1.0, sum: 0.0 };
                arms.iter().for_each(|arm| sums.arms[*arm].units.add(place.bucket, one));
                for (series, _) in &track.outcomes {
                    sums.add_late(place, *series, one, record.at);
                }
            }
        }
        for arm in &arms {
            let tally = &mut sums.arms[*arm];
            tally.requests += 1;
            tally.latency.push(record.seconds);
            tally.outputs.merge(&record.predictions.outputs);
        }
        sums.add(place, track.errors, Cell { weight: 1.0, sum: f64::from(record.failed) });
        if let Some(latency) = track.latency {
            sums.add(place, latency, Cell { weight: 1.0, sum: record.seconds });
        }
    }

    /// Whether a unit is enrolled now.
    fn covers(&self, unit: &str) -> bool {
        let experiment = &self.track.experiment;
        let ruling = self.standing.ruling(experiment);
        experiment.enrol_slot(unit) < ruling.coverage.unwrap_or(experiment.coverage).slots()
    }
}

/// The hash of a request's id.
#[inline]
pub fn request_id(id: &[u8]) -> u64 {
    assign::bytes(id)
}
