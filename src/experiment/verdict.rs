//! What follows from a report: a pure state machine, whose log can be replayed.
//!
//! `warmup → running → promoted | rolled_back | inconclusive | invalid`. Every transition is an [`Entry`] that holds what
//! it was decided on and the hash of the entry before, so that [`Standing::replay`] finds a log that does not follow.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::analysis::{Comparison, MIN_UNITS, Report};
use super::share::Share;
use super::{Experiment, Layout, Plan};
use crate::stats::multiplicity;

/// Most points of a trail.
const MAX_TRAIL: usize = 512;

/// Where an experiment stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// There are too few units to say anything.
    #[default]
    Warmup,
    /// It is being found out.
    Running,
    /// A variant is better.
    Promoted,
    /// No variant but the control is left.
    RolledBack,
    /// What was planned is over and shows no difference.
    Inconclusive,
    /// Nothing it shows can be trusted.
    Invalid,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verb", content = "of")]
pub enum Verb {
    /// There are enough units.
    Begin,
    /// The canary goes on to a step, by its number.
    Step(usize),
    /// This variant takes over.
    Promote(String),
    /// This variant answers nobody any more.
    Rollback(String),
    /// It ends without a result.
    Conclude,
    /// Something is wrong with it.
    Invalidate,
}

/// A transition and what it was decided on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number, from 1.
    pub seq: u64,
    /// The stage after it.
    pub stage: Stage,
    /// What happens.
    #[serde(flatten)]
    pub verb: Verb,
    /// Why, in words.
    pub why: String,
    /// What it was decided on.
    pub evidence: Evidence,
    /// The hash of the entry before; empty for the first.
    pub previous: String,
    /// SHA-256 of this entry without this field, in hex.
    pub hash: String,
}

/// All that a decision looks at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// Variant by variant but for the control.
    pub variants: Vec<Standpoint>,
    /// The checks of validity that failed, in words.
    pub invalid: Vec<String>,
    /// What may still come right, and until then promotes nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsettled: Vec<String>,
}

/// What is known about one variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standpoint {
    /// Its name.
    pub variant: String,
    /// Units of it, and of the control, that are compared.
    pub units: [u64; 2],
    /// The smallest p-value so far of the primary metric, among all variants (Holm).
    pub p: Option<f64>,
    /// Whether the primary metric is better now.
    pub better: bool,
    /// In words, what the primary metric shows.
    pub shows: String,
    /// The harm it does, in words.
    pub harm: Vec<String>,
}

/// Where an experiment stands, and how it came there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The stage.
    pub stage: Stage,
    /// When it first was looked at.
    pub since: u64,
    /// The step of the canary, from 0, and when and with how many units it began.
    pub step: (usize, u64, u64),
    /// The smallest p-value of each comparison so far.
    pub least_p: Vec<f64>,
    /// Variants that answer nobody any more.
    pub out: Vec<String>,
    /// The variant that took over.
    pub promoted: Option<String>,
    /// Every transition so far.
    pub log: Vec<Entry>,
    /// How the primary metric's difference has come about, for the eye; nothing is decided on it.
    #[serde(default)]
    pub trail: Vec<Point>,
}

/// A difference as it was at some number of units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The variant.
    pub variant: String,
    /// Units of both sides.
    pub units: u64,
    /// The difference.
    pub difference: f64,
    /// The ends of the interval that holds at every look.
    pub band: [f64; 2],
}

/// What routing makes of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruling {
    /// Whom the canary's step enrols, in place of the definition's coverage.
    pub coverage: Option<Share>,
    /// Variants in whose place the default one answers.
    pub out: Vec<usize>,
    /// The variant that answers everybody.
    pub settled: Option<usize>,
    /// Since when, in milliseconds since 1970: what people do later counts for more.
    pub settled_at: u64,
    /// It is over: another version was put into Production since a variant was promoted, or all variants mean one. The plain
    /// name answers.
    pub ended: bool,
}

// === impl Standing ===

impl Standing {
    /// Looks at a report: what it is decided on, with the p-values of all looks so far.
    pub fn look(&mut self, experiment: &Experiment, report: &Report, at: u64) -> Evidence {
        if self.since == 0 {
            self.since = at;
            self.step.1 = at;
        }
        self.least_p.resize(report.comparisons.len(), 1.0);
        for (least, comparison) in self.least_p.iter_mut().zip(&report.comparisons) {
            let p = comparison.primary.as_ref().and_then(|primary| primary.anytime).map(|anytime| anytime.p);
            *least = p.map_or(*least, |p| least.min(p));
        }
        report.comparisons.iter().for_each(|comparison| self.trace(comparison));
        let adjusted = multiplicity::holm(&self.least_p);
        let variants = report.comparisons.iter().zip(adjusted);
        let failed = report.validity.failed();
        // A variant that was taken out gets no more units, whatever its slots say.
        let failed = failed.filter(|(name, _)| self.out.is_empty() || *name != "sample_ratio");
        let told = failed.map(|(name, check)| (name, format!("{name}: {}", check.detail)));
        // Where outcomes count as they come, those of one variant may be ahead of the other's for a while.
        let passes = |name: &str| name == "label_coverage" && experiment.horizon_millis == 0;
        let (unsettled, invalid): (Vec<_>, Vec<_>) = told.partition(|(name, _)| passes(name));
        let texts = |found: Vec<(&str, String)>| found.into_iter().map(|(_, text)| text).collect();
        Evidence {
            at,
            variants: variants.map(|(comparison, p)| standpoint(experiment, comparison, p)).collect(),
            invalid: texts(invalid),
            unsettled: texts(unsettled),
        }
    }

    /// Takes a point of the trail where there are a fiftieth more units than at the last.
    fn trace(&mut self, comparison: &Comparison) {
        let Some(primary) = &comparison.primary else { return };
        let (Some(difference), Some(anytime)) = (primary.difference, primary.anytime) else { return };
        let units = primary.control.units + primary.treatment.units;
        let last = self.trail.iter().rev().find(|point| point.variant == comparison.variant);
        if last.is_none_or(|last| units > last.units + last.units / 50) {
            let variant = comparison.variant.clone();
            self.trail.push(Point { variant, units, difference, band: [anytime.low, anytime.high] });
        }
        // What is old is thinned, what is new stays dense.
        if self.trail.len() > MAX_TRAIL {
            let mut number = 0;
            self.trail.retain(|_| {
                number += 1;
                number % 2 == 1 || number > MAX_TRAIL / 2
            });
        }
    }

    /// The next transition that follows from evidence, if any.
    pub fn next(&self, experiment: &Experiment, evidence: &Evidence) -> Option<Entry> {
        if !matches!(self.stage, Stage::Warmup | Stage::Running) {
            return None;
        }
        let plan = &experiment.plan;
        let left = || evidence.variants.iter().filter(|variant| !self.out.contains(&variant.variant));
        // Harm comes first and does not wait for enough units: each test of it has its own least number.
        if let Some(bad) = left().find(|variant| !variant.harm.is_empty()) {
            let last = left().count() == 1;
            let stage = if last { Stage::RolledBack } else { self.stage };
            return Some(self.entry(
                stage,
                Verb::Rollback(bad.variant.clone()),
                bad.harm.join("; "),
                evidence,
            ));
        }
        if !evidence.invalid.is_empty() {
            return Some(self.entry(Stage::Invalid, Verb::Invalidate, evidence.invalid.join("; "), evidence));
        }
        let least = left().map(|variant| variant.units[0].min(variant.units[1])).min()?;
        if self.stage == Stage::Warmup {
            let why = format!("every side has at least {MIN_UNITS} units");
            return (least >= MIN_UNITS).then(|| self.entry(Stage::Running, Verb::Begin, why, evidence));
        }
        let (step, began, had) = self.step;
        if let Some((step_now, next)) = plan.canary.get(step).zip(plan.canary.get(step + 1)) {
            let (units, time) = (least.saturating_sub(had), evidence.at.saturating_sub(began));
            let done = units >= step_now.units && u128::from(time) >= step_now.time.as_millis();
            let why = format!("{units} units and {} s at {} without harm", time / 1000, step_now.coverage);
            return done.then(|| {
                self.entry(
                    Stage::Running,
                    Verb::Step(step + 1),
                    format!("{why}; now {}", next.coverage),
                    evidence,
                )
            });
        }
        let young = u128::from(evidence.at.saturating_sub(self.since)) < plan.min_runtime.as_millis();
        if young || !evidence.unsettled.is_empty() {
            return None;
        }
        let best = left().filter(|variant| variant.better && variant.p.is_some_and(|p| p < plan.alpha));
        if let Some(best) = best.min_by(|a, b| a.p.unwrap_or(1.0).total_cmp(&b.p.unwrap_or(1.0))) {
            return Some(self.entry(
                Stage::Promoted,
                Verb::Promote(best.variant.clone()),
                best.shows.clone(),
                evidence,
            ));
        }
        let units = left().map(|variant| variant.units[0] + variant.units[1]).min()?;
        let planned =
            plan.canary.get(step).map_or(plan.planned_units, |last| plan.planned_units.max(last.units));
        if units < planned {
            return None;
        }
        if plan.metric.is_none()
            && let Some(only) = left().next()
        {
            let why = format!("{units} units without harm, and nothing else was asked for");
            return Some(self.entry(Stage::Promoted, Verb::Promote(only.variant.clone()), why, evidence));
        }
        let why = format!("{units} units of {} planned show no difference", plan.planned_units);
        Some(self.entry(Stage::Inconclusive, Verb::Conclude, why, evidence))
    }

    /// Takes a transition.
    pub fn apply(&mut self, entry: Entry) {
        self.stage = entry.stage;
        match &entry.verb {
            Verb::Step(step) => {
                let units =
                    entry.evidence.variants.iter().map(|variant| variant.units[0].min(variant.units[1]));
                self.step = (*step, entry.evidence.at, units.min().unwrap_or(0));
            }
            Verb::Promote(variant) => self.promoted = Some(variant.clone()),
            Verb::Rollback(variant) => self.out.push(variant.clone()),
            Verb::Begin | Verb::Conclude | Verb::Invalidate => {}
        }
        self.log.push(entry);
    }

    /// Decides a log again from what it says it was decided on.
    ///
    /// # Errors
    /// The first entry that does not follow.
    pub fn replay(experiment: &Experiment, since: u64, log: &[Entry]) -> Result<Self, String> {
        let mut standing = Self { since, step: (0, since, 0), ..Self::default() };
        for entry in log {
            match standing.next(experiment, &entry.evidence) {
                Some(found) if found == *entry => standing.apply(found),
                Some(found) => {
                    return Err(format!(
                        "entry {}: what follows is {} ({})",
                        entry.seq, found.verb, found.why
                    ));
                }
                None => return Err(format!("entry {}: nothing follows from its evidence", entry.seq)),
            }
        }
        Ok(standing)
    }

    /// What routing makes of it, where somebody acts.
    pub fn ruling(&self, experiment: &Experiment) -> Ruling {
        let at = |name: &String| experiment.variants.iter().position(|variant| variant.name == *name);
        Ruling {
            coverage: experiment.plan.canary.get(self.step.0).map(|step| step.coverage),
            out: self.out.iter().filter_map(at).collect(),
            settled: self.promoted.as_ref().and_then(at),
            settled_at: self
                .log
                .iter()
                .rfind(|entry| matches!(entry.verb, Verb::Promote(_)))
                .map_or(0, |e| e.evidence.at),
            ended: false,
        }
    }

    fn entry(&self, stage: Stage, verb: Verb, why: String, evidence: &Evidence) -> Entry {
        let previous = self.log.last().map_or_else(String::new, |entry| entry.hash.clone());
        let seq = self.log.len() as u64 + 1;
        let mut entry =
            Entry { seq, stage, verb, why, evidence: evidence.clone(), previous, hash: String::new() };
        // Numbers and texts always are JSON.
        let bytes = serde_json::to_vec(&entry).unwrap_or_default();
        entry.hash = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        entry
    }
}

impl Stage {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warmup => "warmup",
            Self::Running => "running",
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled_back",
            Self::Inconclusive => "inconclusive",
            Self::Invalid => "invalid",
        }
    }

    /// Whether nothing more follows.
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Warmup | Self::Running)
    }
}

impl Verb {
    /// Whether routing changes by it.
    pub const fn acts(&self) -> bool {
        matches!(self, Self::Step(_) | Self::Promote(_) | Self::Rollback(_))
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin => f.write_str("begin"),
            Self::Step(step) => write!(f, "step {}", step + 1),
            Self::Promote(variant) => write!(f, "promote `{variant}`"),
            Self::Rollback(variant) => write!(f, "roll back `{variant}`"),
            Self::Conclude => f.write_str("conclude"),
            Self::Invalidate => f.write_str("invalidate"),
        }
    }
}

fn standpoint(experiment: &Experiment, comparison: &Comparison, p: f64) -> Standpoint {
    let primary = comparison.primary.as_ref();
    let all = primary.into_iter().chain(&comparison.guardrails);
    let harm = all.filter_map(|difference| difference.harm.as_ref()?.why.clone());
    let shows = primary.map_or_else(String::new, |primary| {
        let mean = |mean: Option<f64>| mean.map_or_else(|| "nothing".to_owned(), |mean| format!("{mean:.6}"));
        let (control, treatment) = (mean(primary.control.mean), mean(primary.treatment.mean));
        format!("{} is {treatment} and that of the control {control}, always-valid p {p:.2e}", primary.metric)
    });
    // Units that are compared: those of the primary metric, which may have to mature, else all.
    let counted = primary.or_else(|| comparison.guardrails.first());
    let units = counted.map_or([0, 0], |difference| [difference.treatment.units, difference.control.units]);
    Standpoint {
        variant: comparison.variant.clone(),
        units: if experiment.plan.metric.is_some() { units } else { comparison.units },
        p: primary.and_then(|primary| primary.anytime).map(|_| p),
        better: primary.and_then(|primary| primary.better).unwrap_or(false),
        shows,
        harm: harm.collect(),
    }
}

/// The phase of an experiment: whatever has another one does not add up with it. `versions` are those that answer now.
///
/// Everything is in it that gives sums their meaning: who is assigned how, what is compared with what, in which shares,
/// what is measured, and what the intervals were promised for.
pub fn phase(experiment: &Experiment, layout: &Layout, versions: &[Option<u64>]) -> String {
    let variants: Vec<(&str, String, String)> = experiment
        .variants
        .iter()
        .map(|variant| (variant.name.as_str(), variant.serve.to_string(), variant.slots.to_string()))
        .collect();
    let metrics: Vec<String> = experiment.metrics().map(ToString::to_string).collect();
    let Plan { default_label, planned_units, alpha, .. } = experiment.plan;
    let assigned = (experiment.salt.as_str(), experiment.hash.name(), experiment.unit.to_string());
    let text = format!(
        "{}\n{}\n{assigned:?}\n{variants:?}\n{}\n{versions:?}\n{metrics:?}\n{}\n{default_label:?} {planned_units} {alpha}",
        experiment.name,
        experiment.model,
        experiment.control(),
        layout.horizon_millis,
    );
    Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
