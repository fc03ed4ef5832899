//! Experiments: which variant of a model answers which request. Pure functions of a definition and a request.
//!
//! A [`Definition`] is what somebody wrote; checked, it is an [`Experiment`]. That decides by a keyed hash of the
//! request's unit (a user, say) and keeps nothing, so all replicas agree. Whether a unit takes part (`coverage`) and
//! which variant it gets (`slots`) are two independent hashes: raising the one or adding to the other moves nobody who
//! is enrolled already.

pub mod analysis;
mod cohort;
mod condition;
mod definition;
mod explain;
mod field;
mod metric;
pub mod pairwise;
mod plan;
mod pointer;
mod rule;
mod serve;
mod share;
pub mod sums;
mod track;
pub mod verdict;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod verdict_tests;

pub use cohort::{Cohort, Layout, Measured, Pair};
pub use condition::Condition;
pub use definition::{Definition, Problem, conflicts};
pub use explain::{Explanation, Given, Held};
pub use field::{EXPECTED as FIELDS, Field, Fields, InvalidField, cookie};
pub use metric::{Guardrail, Kind, Margin, Metric, Predicted, Score, is_outcome};
pub use plan::{Mode, Plan, Step, time};
pub use pointer::Pointer;
pub use rule::{Action, HOLD_OUT, Rule};
pub use serve::{RemoteUrl, Serve};
pub use share::{Share, Slots};
pub use track::Track;
pub use verdict::Ruling;

use core::time::Duration;
use std::ops::Range;

use crate::model::{ModelName, Selector};
use crate::stats::assign::{self, Salt};
use crate::stats::growthbook;

/// An experiment is named by the rule of models.
pub type ExperimentName = ModelName;

/// A definition that holds together.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// Its name.
    pub name: ExperimentName,
    /// The model whose plain name it routes.
    pub model: ModelName,
    /// What its units are.
    pub unit: Field,
    /// What the hashes of units start from.
    pub salt: Salt,
    /// The same of those that decide on enrolment.
    enrol: Salt,
    /// Which hash.
    pub hash: Hash,
    /// Which share of all units is enrolled.
    pub coverage: Share,
    /// What may answer, in the order of the definition.
    pub variants: Vec<Variant>,
    /// The variant of those that are not enrolled; without one, what the plain name means.
    pub default: Option<usize>,
    /// The variant that answers when another fails.
    pub fallback: Option<usize>,
    /// How long a remote variant may take before that one answers; zero: until it fails.
    pub fallback_after: Duration,
    /// What must hold of whoever is enrolled.
    pub segment: Vec<Condition>,
    /// What is looked at before anything else; the first that holds decides.
    pub rules: Vec<Rule>,
    /// The variants that rules choose; none for a hold-out.
    chosen: Vec<Option<usize>>,
    /// Every range with its variant, in order.
    ranges: Vec<(Range<u32>, usize)>,
    /// Milliseconds after which a prediction's outcome is final; 0: whenever it comes.
    pub horizon_millis: u64,
    /// What it is for.
    pub plan: Plan,
    /// Versions that get copies of the model's requests and answer none.
    pub shadows: Vec<Shadow>,
    /// The share of requests that they get.
    pub shadow_share: Share,
    /// How far apart two predicted numbers are the same.
    pub shadow_margin: Margin,
}

/// A version that gets copies of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// What reports and metrics call it.
    pub name: String,
    /// Which version.
    pub serve: Selector,
}

/// Something that may answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// What answers, metrics and reports call it.
    pub name: String,
    /// What that is.
    pub serve: Serve,
    /// The slots of its units.
    pub slots: Slots,
}

/// How a unit becomes a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hash {
    /// XXH3-64 of salt, 0x1f and unit.
    #[default]
    Xxh3,
    /// GrowthBook's, version 2: ten thousand buckets of a hundred slots each.
    GrowthBook,
}

/// What was decided about a request, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The variant that is to answer; none is what the plain name means.
    pub variant: Option<usize>,
    /// Why.
    pub reason: Reason,
    /// The rule that decided.
    pub rule: Option<usize>,
    /// The slot and the hash of a unit that is enrolled.
    pub unit: Option<(u32, u64)>,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why a variant answers. Only [`Reason::Enrolled`] takes part in the experiment.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// Every reason, in the order of the enum.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in metrics and reports.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

reasons! {
    /// By its slot.
    Enrolled = "enrolled",
    /// By a rule.
    Rule = "rule",
    /// A rule leaves it out.
    HoldOut = "hold_out",
    /// It is not in the segment.
    Segment = "segment",
    /// The request has no unit.
    NoUnit = "no_unit",
    /// Its enrol slot is beyond the coverage.
    Coverage = "coverage",
    /// Its slot belongs to no variant.
    Unassigned = "unassigned",
    /// The variant that was to answer cannot.
    Fallback = "fallback",
    /// The variant was rolled back.
    RolledBack = "rolled_back",
    /// A variant was promoted and answers everybody.
    Promoted = "promoted",
    /// It is over: another version is in Production than the one that was promoted, or all variants mean one version.
    Ended = "ended",
}

// === impl Experiment ===

impl Experiment {
    /// The variant that the others are held against: the default one, else the first.
    pub fn control(&self) -> usize {
        self.default.unwrap_or(0)
    }

    /// What its variants and shadows serve of the model's versions: the key that says so, the name, and which version.
    pub fn serves(&self) -> impl Iterator<Item = (&'static str, &str, &Selector)> {
        let variants = self.variants.iter().filter_map(|variant| match &variant.serve {
            Serve::Local(selector) => Some(("variants", variant.name.as_str(), selector)),
            Serve::Remote(_) => None,
        });
        variants.chain(self.shadows.iter().map(|shadow| ("shadow", shadow.name.as_str(), &shadow.serve)))
    }

    /// Every metric that is looked at, the primary one first.
    pub fn metrics(&self) -> impl Iterator<Item = &Metric> {
        self.plan.metric.iter().chain(self.plan.guardrails.iter().map(|guardrail| &guardrail.metric))
    }

    /// Decides about a request, while nothing was ruled.
    pub fn decide(&self, request: &impl Fields) -> Decision {
        self.decide_under(&Ruling::default(), request)
    }

    /// Decides about a request.
    pub fn decide_under(&self, ruling: &Ruling, request: &impl Fields) -> Decision {
        let unit = request.value(&self.unit);
        let unit = unit.as_deref();
        let plain = |variant, reason| Decision { variant, reason, rule: None, unit: None };
        let left_out = |reason| plain(self.default, reason);
        if let Some(rule) = self.rules.iter().position(|rule| rule.holds(request, unit)) {
            return match self.chosen[rule] {
                None => Decision { rule: Some(rule), ..left_out(Reason::HoldOut) },
                variant => Decision { rule: Some(rule), ..plain(variant, Reason::Rule) },
            };
        }
        if ruling.ended {
            return plain(None, Reason::Ended);
        }
        if ruling.settled.is_some() {
            return plain(ruling.settled, Reason::Promoted);
        }
        if !self.segment.iter().all(|condition| condition.holds(request, unit)) {
            return left_out(Reason::Segment);
        }
        let Some(unit) = unit else { return left_out(Reason::NoUnit) };
        let coverage = ruling.coverage.unwrap_or(self.coverage);
        // Everybody is enrolled more often than not, and that takes no hash.
        if coverage != Share::ALL && self.enrol_slot(unit) >= coverage.slots() {
            return left_out(Reason::Coverage);
        }
        let (slot, hash) = self.place(unit);
        match self.variant_of(slot) {
            None => left_out(Reason::Unassigned),
            Some(variant) if ruling.out.contains(&variant) => plain(Some(self.control()), Reason::RolledBack),
            variant => Decision { unit: Some((slot, hash)), ..plain(variant, Reason::Enrolled) },
        }
    }

    /// What coverage is compared with.
    pub fn enrol_slot(&self, unit: &str) -> u32 {
        match self.hash {
            Hash::Xxh3 => assign::slot(self.enrol.hash(unit)),
            Hash::GrowthBook => growthbook_slot(self.enrol.as_str(), unit),
        }
    }

    /// What chooses the variant.
    pub fn slot(&self, unit: &str) -> u32 {
        self.place(unit).0
    }

    /// What chooses the variant, and what stands for the unit in sums and receipts.
    #[inline]
    pub fn place(&self, unit: &str) -> (u32, u64) {
        let hash = self.salt.hash(unit);
        let slot = match self.hash {
            Hash::Xxh3 => assign::slot(hash),
            Hash::GrowthBook => growthbook_slot(self.salt.as_str(), unit),
        };
        (slot, assign::unit(hash))
    }

    /// The variant with that slot among its own.
    pub fn variant_of(&self, slot: u32) -> Option<usize> {
        let before = self.ranges.partition_point(|(range, _)| range.end <= slot);
        self.ranges.get(before).filter(|(range, _)| range.contains(&slot)).map(|(_, variant)| *variant)
    }

    /// The slots that belonged to one variant before and belong to another now, under the same salt: whoever is
    /// enrolled with one of them is moved, and what is known of them counts for neither.
    pub fn moved_slots(&self, before: &Self) -> u32 {
        if (&self.salt, self.hash) != (&before.salt, before.hash) {
            return 0;
        }
        let name = |experiment: &Self, variant: usize| experiment.variants[variant].name.clone();
        let pairs = self.ranges.iter().flat_map(|new| before.ranges.iter().map(move |old| (new, old)));
        let common = pairs
            .filter(|(new, old)| name(self, new.1) != name(before, old.1))
            .map(|(new, old)| new.0.end.min(old.0.end).saturating_sub(new.0.start.max(old.0.start)));
        common.sum()
    }
}

/// What to say of experiments that another configuration changes so that units change hands.
pub fn moved(before: &[Experiment], after: &[Experiment]) -> Vec<String> {
    let pairs = after.iter().filter_map(|now| Some((now, before.iter().find(|was| was.name == now.name)?)));
    let moved = pairs.map(|(now, was)| (&now.name, now.moved_slots(was))).filter(|(_, slots)| *slots > 0);
    let text = |(name, slots)| {
        format!(
            "experiment `{name}`: {slots} of {} slots go from one variant to another; what was observed of their units \
             counts for neither, so choose another salt or leave slots where they were",
            assign::SLOTS
        )
    };
    moved.map(text).collect()
}

// === impl Hash ===

impl Hash {
    /// Every hash.
    pub const ALL: &[Self] = &[Self::Xxh3, Self::GrowthBook];

    /// The name in configurations and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xxh3 => "xxh3",
            Self::GrowthBook => "growthbook",
        }
    }
}

/// The first slot of a unit's bucket, of which GrowthBook has ten thousand.
fn growthbook_slot(salt: &str, unit: &str) -> u32 {
    (growthbook::hash_v2(salt, unit) * f64::from(assign::SLOTS)).round() as u32
}
