//! All that the monitor knows.

mod notes;
mod outcomes;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Sender;

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use serde_json::{Value, json};

use super::fleet::view;
use super::join::expect;
use super::log::Log;
use super::pending::{Pending, Waiting};
use super::performance::Performance;
use super::published::{self, FORMAT, Header, Stored};
use super::publisher::{Earlier, Job, Publisher};
use super::receipt::Receipts;
use super::record::Record;
use super::webhook::Webhook;
use super::{Judged, now};
use crate::config::Config;
use crate::experiment::analysis::Report;
use crate::experiment::pairwise::Pairs;
use crate::experiment::sums::{Cell, Place, Sums, bucket};
use crate::experiment::verdict::Standing;
use crate::experiment::{Experiment, Mode, Ruling, Share, Track};
use crate::metrics::Metrics;
use crate::registry::layout;
use crate::serving::Serving;
use crate::serving::loader::Command;
use crate::serving::router::Router;
use crate::stats::assign;

/// Units whose variant is remembered; beyond that all are forgotten, and may be counted twice.
const MAX_SEEN: usize = 250_000;
/// Phases of which sums are kept, the current ones among them.
const MAX_PHASES: usize = 32;
/// Where nobody acts on what follows, it is worked out as often as this.
const LOOK_MILLIS: u64 = 1000;
/// Sums that do not change are published as often as this.
const SPEAK_MILLIS: u64 = 5 * 60_000;

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
    phases: Phases,
    performance: Performance,
    pending: Pending,
    told_evicted: u64,
    publisher: Option<Publisher>,
    pub(super) webhook: Webhook,
    /// Where outcomes are kept too.
    pub(super) log: Option<Log>,
    /// A name that no other process has.
    pub(super) replica: String,
    published: u64,
}

/// By name.
type Phases = HashMap<String, Phase, RandomState>;

/// What is known of one phase of an experiment.
struct Phase {
    track: Arc<Track>,
    sums: Sums,
    standing: Standing,
    /// Units so far, with their variant.
    seen: HashMap<u64, u8, RandomState>,
    /// Arm by arm, what was predicted last.
    last: Vec<Option<f64>>,
    /// When something of it came last.
    touched: u64,
    /// When it was looked at last.
    looked_at: u64,
    /// When it was published last.
    told_at: u64,
    /// Since when it is counted.
    since: u64,
    /// What ended processes knew; none while it is not known, where this process decides.
    earlier: Option<Sums>,
    /// Whether that was asked for.
    asked: bool,
    /// What routing was told last.
    told: Option<Ruling>,
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
        publisher: Option<Publisher>,
    ) -> Self {
        let max_bytes = config.load().monitor.max_bytes;
        let config_pod = config.load().registry.pod.clone();
        Self {
            config,
            serving,
            metrics,
            receipts,
            loader,
            dropped,
            told_dropped: 0,
            phases: Phases::default(),
            performance: Performance::default(),
            pending: Pending::new(max_bytes),
            told_evicted: 0,
            publisher,
            webhook: Webhook::default(),
            log: None,
            replica: format!("{}-{:x}-{:08x}", config_pod, now(), rand::random::<u32>()),
            published: now(),
        }
    }

    /// Counts an answered request.
    pub(super) fn count(&mut self, record: Record) {
        let (now, rows) = (record.at, record.predictions.rows().len());
        let own = self.performance.predicted(record.version, now, rows);
        let mut waits = own;
        if let Some(track) = &record.track {
            let phase = phase(&mut self.phases, track, now);
            phase.expose(track, &record);
            if rows > 0 && !track.scores.is_empty() {
                expect(track, &record, &mut phase.sums, now);
                waits = true;
            }
        }
        if waits {
            self.pending.insert(Waiting::of(record, own));
        }
    }

    /// Counts what shadows predicted.
    pub(super) fn compared(&mut self, track: &Arc<Track>, pairs: &Pairs) {
        phase(&mut self.phases, track, now()).sums.pairs.merge(pairs);
    }

    /// Lets things mature, and decides.
    pub(super) fn tick(&mut self, now: u64) {
        let dropped = self.dropped.load(Relaxed);
        self.metrics.records_dropped.inc_by(dropped - std::mem::replace(&mut self.told_dropped, dropped));
        let evicted = self.pending.evicted;
        self.metrics.pending_evicted.inc_by(evicted - std::mem::replace(&mut self.told_evicted, evicted));
        let config = self.config.load_full();
        self.performance.follow(&self.serving.snapshot.load(), config.monitor.performance, &self.metrics);
        self.performance.tell(&self.metrics, now);
        let current: Vec<Arc<Track>> = self.current();
        for track in &current {
            let phase = phase(&mut self.phases, track, now);
            if let Some(publisher) =
                self.publisher.as_ref().filter(|_| config.trials.only_replica && !phase.asked)
            {
                phase.asked = true;
                let (experiment, phase) = (track.experiment.name.to_string(), track.phase.clone());
                publisher.submit(Job::Earlier { experiment, phase });
            }
            // The plan may have changed without making another phase.
            phase.track = track.clone();
            phase.sums.mature(now);
            let experiment = &track.experiment;
            let (alone, name) = (config.trials.only_replica, experiment.name.as_str());
            if self.publisher.is_some() && alone && phase.earlier.is_none() {
                // What ended processes knew comes first, or what they rolled back would be tried again.
                if experiment.plan.mode == Mode::Auto {
                    phase.route(&self.loader, paused(experiment));
                }
                continue;
            }
            let acts = alone && experiment.plan.mode == Mode::Auto;
            if !acts && now.saturating_sub(phase.looked_at) < LOOK_MILLIS {
                continue;
            }
            phase.looked_at = now;
            let report = Report::of(track, &phase.all());
            let evidence = phase.standing.look(experiment, &report, now);
            let known = phase.standing.log.len();
            while let Some(entry) = phase.standing.next(experiment, &evidence) {
                // Who is one of many does not decide; what it sees by itself is shown where it is asked.
                if alone {
                    tracing::info!(experiment = name, verb = %entry.verb, why = %entry.why, "an experiment goes on");
                    self.webhook.decided(name, &experiment.model, &entry.verb.to_string(), &entry.why);
                }
                phase.standing.apply(entry);
            }
            if alone
                && known != phase.standing.log.len()
                && let Some(publisher) = &self.publisher
            {
                let bytes = serde_json::to_vec(&Stored::of(&phase.standing)).unwrap_or_default();
                publisher.submit(Job::Put(layout::experiment_standing(name, &track.phase), bytes));
            }
            let ruling = phase.standing.ruling(experiment);
            if acts {
                phase.route(&self.loader, ruling);
            }
        }
        for (name, phase) in &mut self.phases {
            if current.iter().all(|track| track.phase != *name) {
                // Nobody new comes, and this is most of what a phase takes.
                phase.seen = HashMap::default();
            }
        }
        let interval = config.trials.publish_interval.as_millis() as u64;
        if interval > 0 && now.saturating_sub(self.published) >= interval {
            self.publish(now, false);
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

    /// Publishes what every phase knows.
    fn publish(&mut self, now: u64, closed: bool) {
        self.published = now;
        let current = self.current();
        let Some(publisher) = &self.publisher else { return };
        for phase in self.phases.values_mut().filter(|phase| !phase.sums.is_empty()) {
            // Who says nothing for long is taken for lost.
            let stale = phase.touched >= phase.told_at || now.saturating_sub(phase.told_at) >= SPEAK_MILLIS;
            if !stale && !closed {
                continue;
            }
            phase.told_at = now;
            let (track, experiment) = (&phase.track, phase.track.experiment.name.as_str());
            let header = Header {
                format: FORMAT,
                experiment: experiment.to_owned(),
                model: track.experiment.model.to_string(),
                phase: track.phase.clone(),
                current: current.iter().any(|known| known.phase == track.phase),
                versions: track.versions.clone(),
                replica: self.replica.clone(),
                at: now,
                since: phase.since,
                dropped: self.dropped.load(Relaxed),
                closed,
            };
            let key = layout::experiment_sums(experiment, &track.phase, &self.replica);
            publisher.submit(Job::Put(key, published::encode(&header, &phase.sums)));
        }
    }

    /// The last word of this process.
    pub(super) fn close(&mut self, now: u64) {
        self.publish(now, true);
        self.publisher = None;
    }

    /// Takes over what ended processes published of a phase.
    pub(super) fn recall(&mut self, name: &str, earlier: &Earlier) {
        let Some(phase) = self.phases.get_mut(name) else { return };
        let mut sums = Sums::new(&phase.track.layout);
        for object in &earlier.sums {
            let read = published::header(object).and_then(|(header, packed)| {
                let own = header.replica == self.replica;
                Ok((own, published::sums(packed, &phase.track.layout)?))
            });
            match read {
                Ok((true, _)) => {}
                Ok((false, more)) => drop(sums.merge(&more)),
                Err(error) => tracing::warn!(phase = name, %error, "sums of another process cannot be used"),
            }
        }
        phase.earlier = Some(sums);
        if let Some(bytes) = &earlier.standing {
            match Stored::read(bytes) {
                Ok(standing) => phase.standing = standing,
                Err(error) => tracing::warn!(phase = name, %error, "what was decided before cannot be used"),
            }
        }
    }

    /// How good a model's predictions are; see [`Performance::report`].
    pub(super) fn performance(&mut self, asked: &Judged, now: u64) -> Option<Value> {
        // A version that was loaded just now is known.
        let on = self.config.load().monitor.performance;
        self.performance.follow(&self.serving.snapshot.load(), on, &self.metrics);
        self.performance.report(&asked.model, asked.version, asked.window, now)
    }

    /// What is known of an experiment: this process's sums, what they say, and what follows.
    pub(super) fn report(&mut self, name: &str, now: u64) -> Option<Value> {
        let snapshot = self.serving.snapshot.load_full();
        let mut routers = snapshot.models.values().filter_map(|model| model.router.as_ref());
        let router = routers.find(|router| router.experiment().name.as_str() == name)?;
        let (track, ended) = (router.track.clone(), router.ruling.ended);
        let shadows = router.mirror.iter().flat_map(|mirror| &mirror.shadows);
        let dropped_copies: serde_json::Map<_, _> =
            shadows.map(|shadow| (shadow.name.clone(), shadow.counts.dropped.get().into())).collect();
        let dropped_copies = Value::from(dropped_copies);
        let phase = phase(&mut self.phases, &track, now);
        phase.sums.mature(now);
        let report = Report::of(&track, &phase.all());
        let mut view = view(&track, &report, &phase.standing);
        // What this process finds is done by nobody, unless it is the one that decides.
        view["acts"] =
            (self.config.load().trials.only_replica && track.experiment.plan.mode == Mode::Auto).into();
        view["ended"] = ended.into();
        view["copies_dropped"] = dropped_copies;
        view["process"] = json!({
            "immature": phase.sums.immature(),
            "pending": self.pending.len(),
            "evicted": self.pending.evicted,
            "dropped": self.dropped.load(Relaxed),
        });
        Some(view)
    }

    /// The phases that requests are in now, with the share that is enrolled.
    fn covered(&self) -> Vec<(Arc<Track>, Share)> {
        let snapshot = self.serving.snapshot.load();
        let routers = snapshot.models.values().filter_map(|model| model.router.as_ref());
        let coverage = |router: &Router| router.ruling.coverage.unwrap_or(router.experiment().coverage);
        routers.map(|router| (router.track.clone(), coverage(router))).collect()
    }

    /// The phases that requests are in now.
    fn current(&self) -> Vec<Arc<Track>> {
        let snapshot = self.serving.snapshot.load();
        snapshot.models.values().filter_map(|model| Some(model.router.as_ref()?.track.clone())).collect()
    }
}

/// The control answers everybody who is enrolled, until it is known what was decided before.
fn paused(experiment: &Experiment) -> Ruling {
    let out = (0..experiment.variants.len()).filter(|variant| *variant != experiment.control());
    Ruling { out: out.collect(), ..Ruling::default() }
}

// === impl Phase ===

fn phase<'a>(phases: &'a mut Phases, track: &Arc<Track>, now: u64) -> &'a mut Phase {
    // The name is copied once, not at every request.
    if !phases.contains_key(&track.phase) {
        phases.insert(track.phase.clone(), Phase::new(track, now));
    }
    let phase = phases.get_mut(&track.phase).expect("it was put there");
    phase.touched = phase.touched.max(now);
    phase
}

impl Phase {
    fn new(track: &Arc<Track>, now: u64) -> Self {
        Self {
            sums: Sums::new(&track.layout),
            track: track.clone(),
            standing: Standing::default(),
            seen: HashMap::default(),
            last: vec![None; track.layout.arms()],
            touched: now,
            looked_at: 0,
            told_at: 0,
            since: now,
            earlier: None,
            asked: false,
            told: None,
        }
    }

    /// Has routing follow a ruling, where it does not.
    fn route(&mut self, loader: &Sender<Command>, ruling: Ruling) {
        if self.told.as_ref() != Some(&ruling) {
            self.told = Some(ruling.clone());
            let (model, phase) = (self.track.experiment.model.clone(), self.track.phase.clone());
            drop(loader.send(Command::Rule { model, phase, ruling }));
        }
    }

    fn expose(&mut self, track: &Track, record: &Record) {
        let arms = track.layout.of_unit(record.variant.into(), record.slot);
        let place = Place { arms: &arms, bucket: bucket(record.unit), at: record.at };
        if self.seen.len() >= MAX_SEEN {
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
        let (outputs, seconds) = (record.predictions.outputs(), f64::from(record.seconds));
        for arm in &arms {
            let tally = &mut sums.arms[*arm];
            tally.requests += 1;
            // What fails at once is no fast answer.
            if !record.failed {
                tally.latency.push(seconds);
                tally.seconds.add(place.bucket, Cell { weight: 1.0, sum: seconds });
            }
            sums.add_outputs(*arm, place.bucket, &outputs, self.last[*arm]);
            self.last[*arm] = outputs.ends().map(|[_, last]| last).or(self.last[*arm]);
        }
        sums.add(place, track.errors, Cell { weight: 1.0, sum: f64::from(record.failed) });
        if let Some(latency) = track.latency.filter(|_| !record.failed) {
            sums.add(place, latency, Cell { weight: 1.0, sum: seconds });
        }
    }

    /// What this process knows and, where it is the only one, what those before it knew.
    fn all(&mut self) -> Cow<'_, Sums> {
        let Some(earlier) = &self.earlier else { return Cow::Borrowed(&self.sums) };
        let mut all = earlier.clone();
        all.merge(&self.sums);
        all.mature(self.touched);
        Cow::Owned(all)
    }
}

/// The hash of a request's id.
#[inline]
pub fn request_id(id: &[u8]) -> u64 {
    assign::bytes(id)
}

#[cfg(test)]
pub(super) mod tests;
