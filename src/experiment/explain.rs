//! What was decided about a request and why, as data.

use serde::Serialize;

use super::field::{Field, Fields, cookie};
use super::{Condition, Experiment, Reason};
use crate::model::shorten;

/// A request as somebody describes it.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Names in lower case, with values.
    pub headers: Vec<(String, String)>,
    /// Names with values.
    pub cookies: Vec<(String, String)>,
    /// The body.
    pub body: String,
    /// The unit itself, wherever the experiment finds it.
    pub unit: Option<(Field, String)>,
}

/// A rule or a condition, and whether it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Held {
    /// As written.
    pub text: String,
    /// Whether it holds.
    pub holds: bool,
}

/// Which rule or slot decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The experiment.
    pub experiment: String,
    /// Its model.
    pub model: String,
    /// Where the unit is looked for.
    pub unit_from: String,
    /// The unit.
    pub unit: Option<String>,
    /// The hash of units.
    pub hash: &'static str,
    /// What it starts from.
    pub salt: String,
    /// The rules, until one holds.
    pub rules: Vec<Held>,
    /// The conditions of the segment, where no rule decides.
    pub segment: Vec<Held>,
    /// What coverage is compared with.
    pub enrol_slot: Option<u32>,
    /// Enrol slots below this are enrolled.
    pub coverage_slots: u32,
    /// What chooses the variant of those that are enrolled.
    pub slot: Option<u32>,
    /// The range that holds it.
    pub range: Option<String>,
    /// Whether the unit takes part.
    pub enrolled: bool,
    /// What decides, by the name that metrics have for it.
    pub reason: &'static str,
    /// The variant that is to answer; none is what the plain name of the model means.
    pub variant: Option<String>,
    /// Which version of the model that is.
    pub serve: Option<String>,
}

// === impl Given ===

impl Given {
    /// Adds a part of the request as somebody writes it: `unit` and `body` with a value, `header` and `cookie` with
    /// `NAME=VALUE`.
    ///
    /// # Errors
    /// When there is no such part, or no value.
    pub fn add(&mut self, experiment: &Experiment, part: &str, value: &str) -> Result<(), String> {
        let pair = || {
            let (name, value) = value.split_once('=').filter(|(name, _)| !name.is_empty())?;
            Some((name.to_owned(), value.to_owned()))
        };
        let pair =
            || pair().ok_or_else(|| format!("expected {part} as NAME=VALUE, got `{}`", shorten(value)));
        match part {
            "unit" => self.unit = Some((experiment.unit.clone(), value.to_owned())),
            "body" => value.clone_into(&mut self.body),
            "header" => self.headers.push(pair().map(|(name, value)| (name.to_ascii_lowercase(), value))?),
            "cookie" => self.cookies.push(pair()?),
            other => return Err(format!("expected unit, header, cookie or body, got `{}`", shorten(other))),
        }
        Ok(())
    }
}

impl Fields for Given {
    fn header(&self, name: &str) -> Option<&[u8]> {
        find(&self.headers, name)
    }

    fn cookie(&self, name: &str) -> Option<&[u8]> {
        find(&self.cookies, name).or_else(|| cookie(find(&self.headers, "cookie")?, name))
    }

    fn body(&self) -> &[u8] {
        self.body.as_bytes()
    }

    fn value(&self, field: &Field) -> Option<std::borrow::Cow<'_, str>> {
        match &self.unit {
            Some((of, unit)) if of == field && !unit.is_empty() => Some(unit.into()),
            _ => self.read(field),
        }
    }
}

fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a [u8]> {
    pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_bytes())
}

// === impl Experiment ===

impl Experiment {
    /// Decides about a request as [`Experiment::decide`] does, and says by what.
    pub fn explain(&self, request: &impl Fields) -> Explanation {
        let decision = self.decide(request);
        let unit = request.value(&self.unit);
        let unit = unit.as_deref();
        let held = |condition: &Condition| Held {
            text: condition.to_string(),
            holds: condition.holds(request, unit),
        };
        let looked_at = decision.rule.map_or(self.rules.len(), |rule| rule + 1);
        let rules = self.rules[..looked_at].iter().enumerate();
        let slot = unit.map(|unit| self.slot(unit));
        let range = slot.and_then(|slot| self.ranges.iter().find(|(range, _)| range.contains(&slot)));
        let variant = decision.variant.map(|variant| &self.variants[variant]);
        Explanation {
            experiment: self.name.to_string(),
            model: self.model.to_string(),
            unit_from: self.unit.to_string(),
            unit: unit.map(str::to_owned),
            hash: self.hash.name(),
            salt: self.salt.as_str().to_owned(),
            rules: rules
                .map(|(at, rule)| Held { text: rule.to_string(), holds: decision.rule == Some(at) })
                .collect(),
            segment: match decision.rule {
                None => self.segment.iter().map(held).collect(),
                Some(_) => Vec::new(),
            },
            enrol_slot: unit.map(|unit| self.enrol_slot(unit)),
            coverage_slots: self.coverage.slots(),
            slot,
            range: range.map(|(range, _)| format!("{}..{}", range.start, range.end)),
            enrolled: decision.reason == Reason::Enrolled,
            reason: decision.reason.name(),
            variant: variant.map(|variant| variant.name.clone()),
            serve: variant.map(|variant| variant.serve.to_string()),
        }
    }
}
