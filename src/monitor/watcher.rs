//! One version as the monitor watches it: first it learns how its features are distributed, then it looks.

use std::sync::Arc;

use serde_json::{Value, json};

use super::changes::{Changes, Pace, SHARE};
use crate::drift::quality::{self, Problem};
use crate::drift::{
    Alerts, Change, Counted, Drift, Evaluation, Found, Learner, Limits, Reference, Window, evaluate,
};
use crate::serving::ServedVersion;

/// Panes of a window.
const PANES: usize = 16;
/// The least panes that a window is worth having with.
const MIN_PANES: usize = 4;
/// Milliseconds after which a pane is closed that did not fill.
const PANE_MILLIS: u64 = 60_000;
const MONTH_MILLIS: f64 = 30.0 * 86_400_000.0;
/// What the detector decides on.
const CHANGES: &[&str] = &["change"];
/// Those of broken data.
const PROBLEMS: &[&str] = &["missing", "infinite", "unseen_category", "unit", "range"];
/// Fewer rows are no reference.
const MIN_LEARNED: usize = 200;

/// How versions are watched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Rows that a reference is learned from.
    pub(super) learn_rows: usize,
    /// Rows of a window.
    pub(super) window_rows: u64,
    /// Milliseconds of a window instead; 0: rows count.
    pub(super) window_millis: u64,
    /// False alarms that a version may raise in thirty days.
    pub(super) false_alarms: f64,
    /// Bytes that may be taken.
    pub(super) max_bytes: usize,
}

impl Plan {
    /// How long a pane is at most.
    fn pane_millis(&self, window: &Window) -> u64 {
        match self.window_millis {
            0 => PANE_MILLIS,
            millis => (millis / window.panes() as u64).max(1),
        }
    }
}

/// A watched version.
pub(super) struct Watcher {
    pub(super) version: Arc<ServedVersion>,
    state: State,
    pub(super) alerts: Alerts,
    /// Rows that it has seen.
    pub(super) rows: u64,
    /// Rows since the rate was looked at last.
    pub(super) fresh: u64,
    /// Rows at the latest look at them.
    looked: u64,
    /// When the first one came.
    since: Option<u64>,
    problems: Vec<Problem>,
}

enum State {
    Learning(Learner),
    Watching(Box<Watching>),
    /// Its features would take too much memory.
    TooLarge,
}

struct Watching {
    reference: Arc<Reference>,
    window: Window,
    /// The latest rows, where panes of the window are of any length.
    recent: Option<Window>,
    /// None where there is no room for it.
    changes: Option<Changes>,
    /// When the latest pane was closed, and evaluations.
    closed_at: u64,
    evaluated_at: u64,
    due: bool,
    latest: Option<Evaluation>,
}

// === impl Watcher ===

impl Watcher {
    pub(super) fn new(version: Arc<ServedVersion>, plan: Plan) -> Self {
        let layout = &version.watch.layout;
        if let Some(reference) = &version.watch.reference {
            let now = super::now();
            let state = watching(reference.clone(), plan, Pace::new(0, now, now), now);
            return Self {
                version,
                state,
                alerts: Alerts::default(),
                rows: 0,
                fresh: 0,
                looked: 0,
                since: None,
                problems: Vec::new(),
            };
        }
        // A learned word is kept until all are there.
        let room = plan.max_bytes / (layout.words() * size_of::<u32>());
        let state = match plan.learn_rows.min(room) {
            rows if rows < MIN_LEARNED.min(plan.learn_rows) => State::TooLarge,
            rows => State::Learning(Learner::new(layout, rows)),
        };
        Self {
            version,
            state,
            alerts: Alerts::default(),
            rows: 0,
            fresh: 0,
            looked: 0,
            since: None,
            problems: Vec::new(),
        }
    }

    /// Takes a row.
    pub(super) fn push(&mut self, row: &[u32], plan: Plan, now: u64) {
        self.rows += 1;
        self.fresh += 1;
        let since = *self.since.get_or_insert(now);
        match &mut self.state {
            State::Learning(learner) => {
                if learner.push(row) {
                    let reference = learner.finish(&self.version.watch.layout);
                    tracing::info!(
                        model = %self.version.model, version = self.version.version.get(),
                        rows = reference.rows, "the reference of its features is learned"
                    );
                    let pace = Pace::new(self.rows, since, now);
                    self.state = watching(Arc::new(reference), plan, pace, now);
                }
            }
            State::Watching(watching) => {
                let Watching { reference, window, recent, changes, closed_at, due, .. } = &mut **watching;
                if let Some(recent) = recent {
                    recent.push(reference, row);
                }
                let closed = match changes {
                    Some(changes) => {
                        let open = changes.open();
                        let closed = window.push_also(reference, row, |cell| open[cell] += 1);
                        changes.row();
                        closed
                    }
                    None => window.push(reference, row),
                };
                if closed {
                    (*closed_at, *due) = (now, true);
                }
            }
            State::TooLarge => {}
        }
    }

    /// Looks, where something is due; what became of alerts.
    pub(super) fn look(&mut self, plan: Plan, now: u64) -> Vec<Change> {
        let State::Watching(watching) = &mut self.state else { return Vec::new() };
        let Watching { reference, window, recent, changes: detector, closed_at, evaluated_at, due, latest } =
            &mut **watching;
        let length = plan.pane_millis(window);
        if plan.window_millis == 0 && now.saturating_sub(*closed_at) >= length && window.close(reference) {
            (*closed_at, *due) = (now, true);
        }
        if plan.window_millis > 0 {
            // After a long silence every pane is an old one.
            let over = now.saturating_sub(*closed_at) / length;
            (0..over.min(window.panes() as u64 + 1)).for_each(|_| *due |= window.close(reference));
            *closed_at += over * length;
        }
        // Rows that were looked at are no news, however often one looks.
        if std::mem::replace(&mut self.looked, self.rows) == self.rows {
            return Vec::new();
        }
        let mut changes = Vec::new();
        if let Some(problems) =
            quality::problems(reference, &recent.as_ref().unwrap_or(window).last(reference, 2))
        {
            let found: Vec<Found> = problems.iter().map(broken).collect();
            changes = self.alerts.take(PROBLEMS, &found, now);
            self.problems = problems;
        }
        let detected = detector
            .as_mut()
            .and_then(|detector| detector.look(reference, plan.false_alarms, MONTH_MILLIS, now));
        if let Some(mut found) = detected {
            // What is broken is named as that.
            found.retain(|one| self.problems.iter().all(|problem| problem.feature != one.feature));
            changes.extend(self.alerts.take(CHANGES, &found, now));
        }
        if std::mem::take(due) {
            // Evaluations as far apart as these come so often in thirty days that each may be wrong so seldom.
            let apart = now.saturating_sub(*evaluated_at).clamp(1, length) as f64;
            let limits = Limits::of(plan.false_alarms * (1.0 - SHARE), apart);
            *evaluated_at = now;
            let total = window.total(reference);
            let evaluation = evaluate(reference, &total, limits);
            let mut found = Found::all(&evaluation);
            found.extend(
                quality::stuck(reference, &total)
                    .iter()
                    .map(|stuck| Found { at_once: false, ..broken(stuck) }),
            );
            changes.extend(self.alerts.take(Found::DRIFTS, &found, now));
            *latest = Some(evaluation);
        }
        changes
    }

    /// Whether rows are of any use to it.
    pub(super) const fn wants_rows(&self) -> bool {
        !matches!(self.state, State::TooLarge)
    }

    /// The latest evaluation.
    pub(super) fn evaluation(&self) -> Option<&Evaluation> {
        match &self.state {
            State::Watching(watching) => watching.latest.as_ref(),
            _ => None,
        }
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        match &self.state {
            State::Learning(learner) => self.version.watch.layout.words() * learner.seen() * size_of::<u32>(),
            State::Watching(watching) => {
                let detector = watching.changes.as_ref().map_or(0, Changes::bytes);
                let recent = watching.recent.as_ref().map_or(0, Window::bytes);
                watching.window.bytes() + recent + reference_bytes(&watching.reference) + detector
            }
            State::TooLarge => 0,
        }
    }

    /// What is known, for people.
    pub(super) fn summary(&self) -> Value {
        let mut summary = json!({
            "model": self.version.model.as_str(),
            "version": self.version.version.to_string(),
            "features": self.version.watch.layout.features.len() - 1,
            "left_out": self.version.watch.layout.left_out,
            "rows": self.rows,
            "every": self.version.watch.every(),
            "bytes": self.bytes(),
            "alerts": self.alerts.on(),
        });
        let state = match &self.state {
            State::Learning(learner) => {
                summary["learned"] = json!([learner.seen(), learner.needed()]);
                "learning"
            }
            State::Watching(watching) => {
                summary["detects_changes"] = watching.changes.is_some().into();
                "watching"
            }
            State::TooLarge => "too_large",
        };
        summary["state"] = state.into();
        summary
    }

    /// All of it.
    pub(super) fn report(&self, now: String) -> Value {
        let mut report = self.summary();
        report["timestamp"] = now.into();
        report["problems"] = json!(self.problems);
        if let State::Watching(watching) = &self.state {
            report["reference_rows"] = watching.reference.rows.into();
            let came = self.version.watch.reference.is_some();
            report["reference_from"] = if came { "version" } else { "learned" }.into();
            if let Some(evaluation) = &watching.latest {
                report["method"] = "kolmogorov_smirnov".into();
                report["window_rows"] = evaluation.rows.into();
                report["features"] = by_name(&evaluation.features);
                report["prediction"] = json!(evaluation.prediction);
            }
        }
        report
    }

    /// The reference and the window, cell by cell.
    pub(super) fn counted(&self) -> Option<Counted> {
        let State::Watching(watching) = &self.state else { return None };
        let Watching { reference, window, .. } = &**watching;
        let (model, version) = (self.version.model.as_str(), self.version.version.to_string());
        Some(Counted::of(model, version, reference, window))
    }
}

fn by_name(features: &[Drift]) -> Value {
    features
        .iter()
        .map(|drift| (drift.feature.clone(), json!(drift)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// A reference and a window, as large as fits.
fn watching(reference: Arc<Reference>, plan: Plan, pace: Pace, now: u64) -> State {
    let detector = Changes::new(&reference, pace);
    let recent = || Window::new(&reference, (plan.window_rows / PANES as u64).max(1), 1);
    let recent = (plan.window_millis > 0).then(recent);
    let kept = reference_bytes(&reference) + recent.as_ref().map_or(0, Window::bytes);
    let left = plan.max_bytes.saturating_sub(kept);
    // Rather a window of fewer panes than no detector.
    let beside = window(&reference, plan, left.saturating_sub(detector.bytes()))
        .map(|window| (window, Some(detector)));
    let alone = || window(&reference, plan, left).map(|window| (window, None));
    let Some((window, changes)) = beside.or_else(alone) else { return State::TooLarge };
    State::Watching(Box::new(Watching {
        recent,
        window,
        changes,
        reference,
        closed_at: now,
        evaluated_at: now,
        due: false,
        latest: None,
    }))
}

fn window(reference: &Reference, plan: Plan, room: usize) -> Option<Window> {
    let sizes =
        std::iter::successors(Some(PANES), |panes| Some(panes / 2)).take_while(|panes| *panes >= MIN_PANES);
    let mut windows = sizes.map(|panes| match plan.window_millis {
        0 => Window::new(reference, (plan.window_rows / panes as u64).max(1), panes),
        _ => Window::timed(reference, panes),
    });
    windows.find(|window| window.bytes() <= room)
}

fn reference_bytes(reference: &Reference) -> usize {
    // Edges or hashes, and counts.
    2 * reference.cells() * size_of::<u64>()
}

fn broken(problem: &Problem) -> Found {
    Found {
        feature: problem.feature.clone(),
        kind: problem.kind,
        level: 1.0 + problem.share,
        at_once: true,
        detail: problem.detail.clone(),
    }
}
