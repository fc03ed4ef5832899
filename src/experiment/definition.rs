//! An experiment as somebody wrote it, and everything that can be wrong with it.

use core::time::Duration;
use std::ops::Range;

use super::rule::{Action, HOLD_OUT};
use super::{
    Condition, Experiment, ExperimentName, Field, Guardrail, Hash, Kind, Margin, Metric, Mode, Plan, Rule,
    Serve, Shadow, Share, Slots, Step, Variant,
};
use crate::model::{ModelName, shorten};
use crate::stats::assign::{self, SLOTS, Salt};

/// Most variants of an experiment: each has series of its own in the metrics.
const MAX_VARIANTS: usize = 16;
/// Most shadows: each runs every request once more.
const MAX_SHADOWS: usize = 4;
/// The unit where nothing else is one.
const REQUEST_ID: &str = "x-request-id";

/// What was written, key by key; empty is what a key says nothing of.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "one field per key of the same name; the configuration documents every key")]
pub struct Definition {
    pub enabled: bool,
    pub model: Option<ModelName>,
    pub unit: Option<Field>,
    pub salt: String,
    pub hash: Hash,
    pub coverage: Share,
    pub variants: Vec<(String, Serve)>,
    pub slots: Vec<(String, Slots)>,
    pub weights: Vec<(String, u64)>,
    pub default: String,
    pub fallback: String,
    pub fallback_after: Duration,
    pub segment: Vec<Condition>,
    pub rules: Vec<Rule>,
    pub metric: Option<Metric>,
    pub guardrails: Vec<Guardrail>,
    pub horizon: Duration,
    pub default_label: String,
    pub planned_units: u64,
    pub confidence: Share,
    pub min_runtime: Duration,
    pub canary: Vec<Step>,
    pub mode: Mode,
    pub shadow: Vec<(String, Serve)>,
    pub shadow_share: Share,
    pub shadow_margin: Margin,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The keys it concerns, the first of all the one to change.
    pub keys: &'static [&'static str],
    /// What is wrong and the way out.
    pub text: String,
}

/// The definition at work: what it looks at, and what it found.
struct Check<'a> {
    definition: &'a Definition,
    problems: Vec<Problem>,
}

// === impl Definition ===

impl Definition {
    /// The experiment that it describes.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn check(&self, name: &ExperimentName) -> Result<Experiment, Vec<Problem>> {
        let mut check = Check { definition: self, problems: Vec::new() };
        check.required();
        check.names();
        check.texts();
        let slots = check.slots();
        let ranges = check.ranges(&slots);
        let default = check.default();
        let fallback = check.fallback();
        let chosen = check.rules();
        let plan = check.plan();
        let shadows = check.shadows();
        // Without anything to assign, a unit is what hangs together: what one request says of it, or that request alone.
        let unit =
            self.unit.clone().or_else(|| check.only_shadows().then(|| Field::Header(REQUEST_ID.into())));
        let (Some(model), Some(unit), []) = (&self.model, unit, check.problems.as_slice()) else {
            return Err(check.problems);
        };
        let salt = if self.salt.is_empty() { name.as_str() } else { &self.salt };
        let variants = self.variants.iter().zip(slots).map(|((name, serve), slots)| Variant {
            name: name.clone(),
            serve: serve.clone(),
            slots,
        });
        Ok(Experiment {
            name: name.clone(),
            model: model.clone(),
            unit,
            enrol: assign::enrol(salt),
            salt: Salt::new(salt),
            hash: self.hash,
            coverage: self.canary.first().map_or(self.coverage, |step| step.coverage),
            variants: variants.collect(),
            default,
            fallback,
            fallback_after: self.fallback_after,
            segment: self.segment.clone(),
            rules: self.rules.clone(),
            chosen,
            ranges,
            horizon_millis: self.horizon.as_millis() as u64,
            plan,
            shadows,
            shadow_share: self.shadow_share,
            shadow_margin: self.shadow_margin,
        })
    }

    fn variant(&self, name: &str) -> Option<usize> {
        self.variants.iter().position(|(known, _)| known == name)
    }
}

/// Models with more than one experiment: the later one of each pair, and why.
pub fn conflicts(experiments: &[Experiment]) -> Vec<(usize, String)> {
    let earlier = |at: usize| experiments[..at].iter().find(|other| other.model == experiments[at].model);
    let text = |model: &ModelName, other: &Experiment| {
        format!(
            "`{model}` has the experiment `{}` already, and a unit can be enrolled in one of them only; set enabled = \
             false for one",
            other.name
        )
    };
    (0..experiments.len()).filter_map(|at| Some((at, text(&experiments[at].model, earlier(at)?)))).collect()
}

// === impl Check ===

impl Check<'_> {
    fn report(&mut self, keys: &'static [&'static str], text: String) {
        self.problems.push(Problem { keys, text });
    }

    fn required(&mut self) {
        if self.definition.model.is_none() {
            self.report(&["model"], "is missing: the name of the model whose requests it routes".into());
        }
        if self.definition.unit.is_none() && !self.only_shadows() {
            let text = format!("is missing: what is assigned to a variant, as {}", super::FIELDS);
            self.report(&["unit"], text);
        }
        match self.definition.variants.len() {
            0 if self.only_shadows() => {}
            0 => {
                let text = "is missing: names with the version, stage or alias that each serves";
                self.report(&["variants"], text.into());
            }
            1..=MAX_VARIANTS => {}
            n => self.report(&["variants"], format!("has {n} entries, at most {MAX_VARIANTS} are possible")),
        }
    }

    /// Whether it routes nothing, and just has requests copied.
    const fn only_shadows(&self) -> bool {
        self.definition.variants.is_empty() && !self.definition.shadow.is_empty()
    }

    fn shadows(&mut self) -> Vec<Shadow> {
        let definition = self.definition;
        let mut shadows: Vec<Shadow> = Vec::new();
        for (name, serve) in &definition.shadow {
            if name.parse::<ModelName>().is_err() {
                let rule = "a letter or digit, then at most 63 of letters, digits, `.`, `_`, `-`";
                self.report(&["shadow"], format!("`{}` is no name of a shadow: {rule}", shorten(name)));
            }
            if shadows.iter().any(|known| known.name == *name) {
                self.report(&["shadow"], format!("`{}` is there twice", shorten(name)));
            }
            if definition.variant(name).is_some() {
                self.report(
                    &["shadow", "variants"],
                    format!("`{}` is the name of a variant too", shorten(name)),
                );
            }
            match serve {
                Serve::Local(serve) => shadows.push(Shadow { name: name.clone(), serve: serve.clone() }),
                Serve::Remote(_) => {
                    let text = "is remote; a shadow is a version, a stage or an alias, and what answers may be remote";
                    self.report(&["shadow"], format!("`{}` {text}", shorten(name)));
                }
            }
        }
        if shadows.len() > MAX_SHADOWS {
            let text = format!("has {} entries, at most {MAX_SHADOWS} are possible", shadows.len());
            self.report(&["shadow"], text);
        }
        let serves = |shadow: &Shadow| {
            let of = |(_, serve): &(String, Serve)| *serve == Serve::Local(shadow.serve.clone());
            definition.variants.iter().any(of)
        };
        let useful = definition.variants.len() > 1 && shadows.iter().any(serves);
        if !useful && definition.guardrails.iter().any(|rail| rail.metric.kind == Kind::Disagreement) {
            let text = "watch disagreement, which needs as a shadow what the control serves, written the same way, so that \
                        it predicts what the other variants answer";
            self.report(&["guardrails", "shadow"], text.into());
        }
        shadows
    }

    fn names(&mut self) {
        let variants = &self.definition.variants;
        for (position, (name, _)) in variants.iter().enumerate() {
            if name.parse::<ModelName>().is_err() {
                let rule = "a letter or digit, then at most 63 of letters, digits, `.`, `_`, `-`";
                self.report(&["variants"], format!("`{}` is no name of a variant: {rule}", shorten(name)));
            }
            if name == HOLD_OUT {
                self.report(&["variants"], format!("`{HOLD_OUT}` is what rules call no variant at all"));
            }
            if variants[..position].iter().any(|(other, _)| other == name) {
                self.report(&["variants"], format!("`{name}` is there twice"));
            }
        }
    }

    fn texts(&mut self) {
        if self.definition.salt.chars().any(char::is_control) {
            self.report(
                &["salt"],
                "holds a control character, with which salts and units could be mixed up".into(),
            );
        }
        let rules = &self.definition.rules;
        for (position, rule) in rules.iter().enumerate() {
            if rules[..position].iter().any(|other| other.name == rule.name) {
                self.report(&["rules"], format!("`{}` is there twice", rule.name));
            }
        }
    }

    /// The slots of each variant: as written, or by weight, or the same for all.
    fn slots(&mut self) -> Vec<Slots> {
        let Definition { variants, slots, weights, .. } = self.definition;
        let unknown = |name: &str| format!("`{}` is not among the variants", shorten(name));
        let strangers = |names: Vec<&String>| -> Vec<String> {
            names
                .into_iter()
                .filter(|name| self.definition.variant(name).is_none())
                .map(|n| unknown(n))
                .collect()
        };
        let of_slots = strangers(slots.iter().map(|(name, _)| name).collect());
        let of_weights = strangers(weights.iter().map(|(name, _)| name).collect());
        of_slots.into_iter().for_each(|text| self.report(&["slots", "variants"], text));
        of_weights.into_iter().for_each(|text| self.report(&["weights", "variants"], text));
        if !slots.is_empty() {
            if !weights.is_empty() {
                let text = "are shorthand for slots, and slots are written too; keep one of them";
                self.report(&["weights", "slots"], text.into());
            }
            let written =
                |name: &String| slots.iter().find(|(known, _)| known == name).map(|(_, s)| s.clone());
            return variants.iter().map(|(name, _)| written(name).unwrap_or_default()).collect();
        }
        let weight = |name: &String| match weights.iter().find(|(known, _)| known == name) {
            Some((_, weight)) => *weight,
            None => u64::from(weights.is_empty()),
        };
        let weights: Vec<u64> = variants.iter().map(|(name, _)| weight(name)).collect();
        let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
        if total == 0 {
            if !variants.is_empty() {
                self.report(
                    &["weights", "variants"],
                    "are all 0, so that no variant would get a unit".into(),
                );
            }
            return vec![Slots::default(); variants.len()];
        }
        // Cumulated, so that what is rounded away is lost to nobody.
        let mut sum = 0;
        let mut next = |weight: u64| {
            let start = (sum * u128::from(SLOTS) / total) as u32;
            sum += u128::from(weight);
            start..(sum * u128::from(SLOTS) / total) as u32
        };
        let range = |weight: u64| Some(next(weight)).filter(|range| !range.is_empty());
        weights.into_iter().map(range).map(|range| Slots(range.into_iter().collect())).collect()
    }

    /// All ranges in order, each with its variant.
    fn ranges(&mut self, slots: &[Slots]) -> Vec<(Range<u32>, usize)> {
        let name = |variant: usize| self.definition.variants[variant].0.as_str();
        let all = slots.iter().enumerate();
        let mut ranges: Vec<_> = all
            .flat_map(|(variant, slots)| slots.0.iter().map(move |range| (range.clone(), variant)))
            .collect();
        ranges.sort_by_key(|(range, _)| (range.start, range.end));
        let mut texts = Vec::new();
        for (range, variant) in &ranges {
            let (variant, shown) = (name(*variant), format!("{}..{}", range.start, range.end));
            if range.is_empty() {
                texts.push(format!(
                    "{shown} of `{variant}` is empty; a range is START..END, the end not included"
                ));
            } else if range.end > SLOTS {
                texts.push(format!("{shown} of `{variant}` ends beyond {SLOTS}, the number of slots"));
            }
        }
        let overlap = |(a, of_a): &(Range<u32>, usize), (b, of_b): &(Range<u32>, usize)| {
            let (start, end) = (a.start.max(b.start), a.end.min(b.end));
            let text = || format!("{start}..{end} belongs to `{}` and to `{}`", name(*of_a), name(*of_b));
            (start < end).then(text)
        };
        for (position, a) in ranges.iter().enumerate() {
            texts.extend(ranges[position + 1..].iter().filter_map(|b| overlap(a, b)));
        }
        texts.into_iter().for_each(|text| self.report(&["slots", "variants"], text));
        ranges
    }

    fn plan(&mut self) -> Plan {
        let definition = self.definition;
        let default_label = match definition.default_label.as_str() {
            "" => None,
            text => match text.parse::<f64>() {
                Ok(label) if label.is_finite() => Some(label),
                _ => {
                    self.report(&["default_label"], format!("`{}` is no number", shorten(text)));
                    None
                }
            },
        };
        if default_label.is_some() && definition.horizon.is_zero() {
            let text = "says what no outcome means, which needs horizon_ms: when it has not come";
            self.report(&["default_label", "horizon_ms"], text.into());
        }
        let confidence = f64::from(definition.confidence.slots()) / f64::from(SLOTS);
        if !(0.5..1.0).contains(&confidence) {
            self.report(&["confidence"], format!("{} is not from 50% to below 100%", definition.confidence));
        }
        if definition.canary.windows(2).any(|pair| pair[1].coverage <= pair[0].coverage) {
            self.report(&["canary"], "has a step that enrols no more than the one before".into());
        }
        if !definition.canary.is_empty() && definition.coverage != Share::ALL {
            self.report(
                &["canary", "coverage"],
                "and coverage both say who is enrolled: leave out one".into(),
            );
        }
        if definition.metric.as_ref().is_some_and(|metric| metric.kind == Kind::Disagreement) {
            let text =
                "is disagreement, which can be too large and not become better; name it among guardrails";
            self.report(&["metric", "guardrails"], text.into());
        }
        if definition.variants.len() < 2 && (definition.metric.is_some() || !definition.canary.is_empty()) {
            self.report(&["variants"], "needs a second one to compare with".into());
        }
        Plan {
            metric: definition.metric.clone(),
            guardrails: definition.guardrails.clone(),
            default_label,
            planned_units: definition.planned_units,
            alpha: 1.0 - confidence,
            min_runtime: definition.min_runtime,
            canary: definition.canary.clone(),
            mode: definition.mode,
        }
    }

    fn default(&mut self) -> Option<usize> {
        let name = &self.definition.default;
        let found = self.definition.variant(name);
        if found.is_none() && !name.is_empty() {
            self.report(&["default", "variants"], format!("`{}` is not among the variants", shorten(name)));
        }
        found
    }

    fn fallback(&mut self) -> Option<usize> {
        let Definition { variants, fallback: name, fallback_after, .. } = self.definition;
        if name.is_empty() {
            if !fallback_after.is_zero() {
                let text = "says when another variant answers, which needs fallback: its name";
                self.report(&["fallback_after_ms", "fallback"], text.into());
            }
            return None;
        }
        let found = self.definition.variant(name);
        let text = match found.map(|at| &variants[at].1) {
            None => format!("`{}` is not among the variants", shorten(name)),
            Some(Serve::Remote(_)) => {
                format!(
                    "`{name}` is remote, and could fail as what it is to stand in for; name one that is a version"
                )
            }
            Some(Serve::Local(_)) => return found,
        };
        self.report(&["fallback", "variants"], text);
        found
    }

    fn rules(&mut self) -> Vec<Option<usize>> {
        let definition = self.definition;
        let mut chosen = Vec::new();
        for rule in &definition.rules {
            let variant = match &rule.then {
                Action::HoldOut => None,
                Action::Variant(name) => {
                    let found = definition.variant(name);
                    if found.is_none() {
                        let (rule, name) = (&rule.name, shorten(name));
                        let text = format!("`{rule}` chooses `{name}`, which is not among the variants");
                        self.report(&["rules", "variants"], text);
                    }
                    found
                }
            };
            chosen.push(variant);
        }
        chosen
    }
}
