//! Experiments of many replicas: what they published, put together, looked at and decided on once for all.

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::published::{self, Stored};
use super::publisher::{self, MAX_BYTES};
use crate::experiment::analysis::Report;
use crate::experiment::sums::Sums;
use crate::experiment::verdict::{Entry, Standing};
use crate::experiment::{Experiment, Mode, Track};
use crate::model::Version;
use crate::registry::index::Ruled;
use crate::registry::operations;
use crate::registry::signature::SigningKey;
use crate::registry::store::{Body, Condition, Read, Store, StoreError};
use crate::registry::writer::{ChangeError, Writer};
use crate::registry::{format::Rest, layout};

/// A replica that has published nothing for this long, and has not said that it ended, is told of.
const SILENT_MILLIS: u64 = 10 * 60_000;

/// The newest phase of an experiment, as all replicas together know it.
#[derive(Debug)]
pub struct Fleet {
    /// The phase.
    pub track: Track,
    /// All sums.
    pub sums: Sums,
    /// Where it stands.
    pub standing: Standing,
    /// The stored standing, and its change token.
    stored: Standing,
    token: Option<String>,
    /// Processes that published.
    pub replicas: usize,
    /// Those that have ended and said so.
    pub closed: usize,
    /// Those that have said nothing for ten minutes: what they knew since their last word may be lost.
    pub silent: Vec<String>,
    /// Records that replicas lost.
    pub dropped: u64,
    /// What could not be used.
    pub problems: Vec<String>,
}

/// Puts together what was published of an experiment; none where nothing was of its present definition.
///
/// # Errors
/// When the store does not answer.
pub fn gather(store: &dyn Store, experiment: &Experiment, now: u64) -> Result<Option<Fleet>, StoreError> {
    let name = experiment.name.as_str();
    let mut newest: Option<((bool, bool, bool, u64), Fleet)> = None;
    for phase in store.list(&layout::experiment(name))? {
        let found = publisher::read(store, name, &phase)?;
        let mut fleet: Option<((bool, u64), Fleet)> = None;
        for object in &found.sums {
            let (header, packed) = match published::header(object) {
                Ok(read) => read,
                Err(error) => {
                    // It may be of this phase or of none; a fleet of other objects tells of it.
                    if let Some((_, fleet)) = &mut fleet {
                        fleet.problems.push(error.to_string());
                    }
                    continue;
                }
            };
            if fleet.is_none() {
                let track = Track::new(experiment.clone(), header.versions.clone());
                if track.phase != phase {
                    break;
                }
                fleet = Some(((header.current, header.at), Fleet::new(track)));
            }
            let Some((at, fleet)) = &mut fleet else { break };
            match published::sums(packed, &fleet.track.layout) {
                Ok(sums) => drop(fleet.sums.merge(&sums)),
                Err(error) => {
                    fleet.problems.push(format!("{}: {error}", header.replica));
                    continue;
                }
            }
            *at = (*at).max((header.current, header.at));
            fleet.replicas += 1;
            fleet.closed += usize::from(header.closed);
            fleet.dropped += header.dropped;
            if !header.closed && header.at + SILENT_MILLIS < now {
                fleet.silent.push(header.replica);
            }
        }
        let Some(((current, at), fleet)) = fleet else { continue };
        // One that requests are in is meant: of another one outcomes may still come. One that nobody is in, or in which a variant cannot answer, is passed over for one that is whole.
        let whole = fleet.track.versions.iter().all(Option::is_some);
        let rank = (current, fleet.sums.arms.iter().any(|arm| arm.requests > 0), whole, at);
        if newest.as_ref().is_none_or(|(newest, _)| rank > *newest) {
            newest = Some((rank, fleet));
        }
    }
    let Some((_, mut fleet)) = newest else { return Ok(None) };
    fleet.sums.mature(now);
    let key = layout::experiment_standing(name, &fleet.track.phase);
    if let Read::Object { bytes, token } = store.read(&key, MAX_BYTES, None)? {
        match Stored::read(&bytes) {
            Ok(standing) => (fleet.stored, fleet.standing) = (standing.clone(), standing),
            Err(error) => fleet.problems.push(format!("what was decided before: {error}")),
        }
        fleet.token = Some(token);
    }
    Ok(Some(fleet))
}

// === impl Fleet ===

impl Fleet {
    fn new(track: Track) -> Self {
        Self {
            sums: Sums::new(&track.layout),
            track,
            standing: Standing::default(),
            stored: Standing::default(),
            token: None,
            replicas: 0,
            closed: 0,
            silent: Vec::new(),
            dropped: 0,
            problems: Vec::new(),
        }
    }

    /// What the sums say.
    pub fn report(&self) -> Report {
        Report::of(&self.track, &self.sums)
    }

    /// Takes the transitions that follow now, and gives them back.
    pub fn decide(&mut self, now: u64) -> Vec<Entry> {
        let (experiment, report) = (&self.track.experiment, self.report());
        let evidence = self.standing.look(experiment, &report, now);
        let before = self.standing.log.len();
        while let Some(entry) = self.standing.next(experiment, &evidence) {
            self.standing.apply(entry);
        }
        self.standing.log[before..].to_vec()
    }

    /// Whether there is something to keep: a transition, or a smaller p-value than any before.
    fn has_changed(&self) -> bool {
        self.standing != self.stored
    }

    /// Keeps what was decided, and brings `model.json` in line with it where the experiment says so: in this order, so that
    /// of two who decide at once one does, and at every look, so that what a hold or a lost write left undone is done later.
    ///
    /// # Errors
    /// When somebody else decided meanwhile, a hold forbids it or the registry cannot be written.
    pub fn act(&self, writer: &Writer, key: Option<&SigningKey>) -> Result<(), ChangeError> {
        let (experiment, phase) = (&self.track.experiment, &self.track.phase);
        let (name, model) = (experiment.name.as_str(), &experiment.model);
        if self.has_changed() {
            let bytes = serde_json::to_vec(&Stored::of(&self.standing)).unwrap_or_default();
            let condition = self.token.as_deref().map_or(Condition::Absent, Condition::Token);
            let key = layout::experiment_standing(name, phase);
            writer.store().write(&key, Body::Bytes(&bytes), condition)?;
        }
        let last = self.standing.log.iter().rev().find(|entry| entry.verb.acts());
        if let Some(last) = last.filter(|_| experiment.plan.mode == Mode::Auto) {
            let ruling = self.standing.ruling(experiment);
            let ruled = Ruled {
                name: name.to_owned(),
                phase: phase.clone(),
                coverage: ruling.coverage.map(|share| share.to_string()),
                rolled_back: self.standing.out.clone(),
                promoted: self.standing.promoted.clone(),
                production: None,
                at: writer.clock().now().format(&Rfc3339).unwrap_or_default(),
                rest: Rest::new(),
            };
            let winner = ruling.settled.and_then(|at| self.track.versions[at]).and_then(Version::new);
            let evidence = format!("experiment:{name}/{phase}#{}", last.seq);
            operations::rule(writer, model, &ruled, winner, (&last.why, &evidence), key)?;
        }
        Ok(())
    }

    /// Everything that is known, as the admin port of a sidecar tells it of itself.
    pub fn view(&self) -> Value {
        let mut view = view(&self.track, &self.report(), &self.standing);
        view["fleet"] = json!({
            "replicas": self.replicas,
            "ended": self.closed,
            "silent": self.silent,
            "dropped": self.dropped,
            "immature": self.sums.immature(),
            "problems": self.problems,
        });
        view
    }
}

/// What is known of an experiment.
pub(super) fn view(track: &Track, report: &Report, standing: &Standing) -> Value {
    let experiment = &track.experiment;
    let mut report = json!(report);
    if !standing.out.is_empty() {
        // Who is taken out gets no more units, whatever its slots say.
        report["validity"]["sample_ratio"] = json!({
            "ok": true, "value": null, "detail": format!("not judged since `{}` was taken out", standing.out.join("`, `")),
        });
    }
    json!({
        "name": experiment.name.as_str(),
        "model": experiment.model.as_str(),
        "mode": experiment.plan.mode.name(),
        "phase": track.phase,
        "versions": track.versions,
        "stage": standing.stage.name(),
        "promoted": standing.promoted,
        "rolled_back": standing.out,
        "planned_units": experiment.plan.planned_units,
        "alpha": experiment.plan.alpha,
        "report": report,
        "decisions": standing.log,
        "trail": standing.trail,
    })
}
