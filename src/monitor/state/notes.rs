//! Outcomes as the prediction log keeps them: whatever can be understood, whether or not an experiment waits for it.

use super::outcomes::{happened, model};
use super::{State, request_id};
use crate::monitor::join::Joined;
use crate::monitor::log::{Log, Noted};
use crate::monitor::outcome::{Actual, Item, One};

/// Bytes of the longest id that a request can have; names of models are shorter.
const MAX_TEXT: usize = 256;

impl State {
    /// Takes note of an outcome: a row each of an actual, an experiment each that measures what a unit did.
    pub(super) fn note(&mut self, log: &Log, item: &Item, joined: Joined, now: u64, noted: &mut Vec<Noted>) {
        if matches!(joined, Joined::Invalid | Joined::Forged | Joined::Expired) {
            return;
        }
        let long = |text: &Option<String>| text.as_ref().is_some_and(|text| text.len() > MAX_TEXT);
        if long(&item.id) || long(&item.model) {
            return;
        }
        let whole = Noted {
            id: item.id.clone(),
            model: item.model.clone(),
            at: happened(item, now).unwrap_or(now),
            status: joined.name(),
            ..Noted::default()
        };
        if let Some(unit) = &item.unit {
            return self.note_unit(log, item, unit, &whole, noted);
        }
        let (key, of) = match (&item.id, &item.receipt) {
            (Some(id), _) => {
                let key = request_id(id.as_bytes());
                // Who does not say of which model it is may mean one that is not to be logged.
                let known = || Some(model(self.pending.get_mut(key)?, &self.performance)?.to_string());
                (key, item.model.clone().or_else(known))
            }
            (None, Some(receipt)) => {
                let max_age = self.config.load().trials.receipt_max_age.as_millis() as u64;
                let Ok((receipt, _)) = self.receipts.open(receipt, now, max_age) else { return };
                (receipt.id, Some(receipt.model))
            }
            (None, None) => return,
        };
        if !log.wants_outcome(of.as_deref(), Some(key)) {
            return;
        }
        let row = |row: usize, actual: &One| {
            let (actual, class) = match actual {
                One::Number(number) => (Some(*number), None),
                One::Class(class) => (None, Some(class.chars().take(MAX_TEXT).collect())),
            };
            Noted { key: Some(key), model: of.clone(), row: Some(row), actual, class, ..whole.clone() }
        };
        match &item.actual {
            None => {}
            Some(Actual::One(actual)) => noted.push(row(item.row.unwrap_or(0), actual)),
            Some(Actual::Rows(rows)) => {
                let known = rows.iter().enumerate().filter_map(|(at, actual)| Some((at, actual.as_ref()?)));
                noted.extend(known.map(|(at, actual)| row(at, actual)));
            }
        }
    }

    fn note_unit(&self, log: &Log, item: &Item, unit: &str, whole: &Noted, noted: &mut Vec<Noted>) {
        let (Some(metric), Some(value)) = (&item.metric, item.value) else { return };
        for (track, _) in self.covered() {
            let experiment = &track.experiment;
            let model = experiment.model.as_str();
            let meant = item.model.as_ref().is_none_or(|named| *named == *model);
            let measured = track.outcomes.iter().any(|(_, name)| name == metric);
            if meant && measured && log.wants_outcome(Some(model), None) {
                noted.push(Noted {
                    model: Some(model.to_owned()),
                    unit: Some((experiment.name.to_string(), track.experiment.place(unit).1)),
                    metric: Some((metric.clone(), value)),
                    ..whole.clone()
                });
            }
        }
    }
}
