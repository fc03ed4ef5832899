//! What is looked at once a reference is there: broken data first, then changes of late, then whole windows.

use std::sync::Arc;

use super::alert::{Alerts, Change, Found};
use super::changes::{Changes, Pace, SHARE};
use super::clock::{Clock, HOUR_MILLIS};
use super::compare::{Evaluation, Limits, evaluate};
use super::quality::{self, Problem};
use super::reference::Reference;
use super::watching::Plan;
use super::window::Window;

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

/// Rows that are looked at.
#[derive(Debug)]
pub(super) struct Looking {
    pub(super) reference: Arc<Reference>,
    pub(super) window: Window,
    /// The latest rows, where panes of the window are of any length.
    recent: Option<Window>,
    /// Where windows are hours of the clock.
    clock: Option<Clock>,
    /// None where there is no room for it, or where what follows the clock would always be news.
    changes: Option<Changes>,
    /// When the latest pane was closed, and evaluations.
    closed_at: u64,
    evaluated_at: u64,
    due: bool,
    /// Rows at the latest look at them.
    looked: u64,
    pub(super) problems: Vec<Problem>,
    pub(super) latest: Option<Evaluation>,
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

// === impl Looking ===

impl Looking {
    /// A reference and a window, as large as fits.
    pub(super) fn new(reference: Arc<Reference>, plan: Plan, pace: Pace, now: u64) -> Option<Self> {
        let recent = || Window::new(&reference, (plan.window_rows / PANES as u64).max(1), 1);
        let recent = (plan.same_hour || plan.window_millis > 0).then(recent);
        let kept = reference_bytes(&reference) + recent.as_ref().map_or(0, Window::bytes);
        let left = plan.max_bytes.saturating_sub(kept);
        let (window, changes) = if plan.same_hour {
            let window = Window::timed(&reference, 1);
            (window.bytes() + Clock::bytes(&reference) <= left).then_some((window, None))?
        } else {
            let detector = Changes::new(&reference, pace);
            // Rather a window of fewer panes than no detector.
            match window(&reference, plan, left.saturating_sub(detector.bytes())) {
                Some(window) => (window, Some(detector)),
                None => (window(&reference, plan, left)?, None),
            }
        };
        Some(Self {
            clock: plan.same_hour.then(|| Clock::new(now)),
            window,
            recent,
            changes,
            reference,
            closed_at: now,
            evaluated_at: now,
            due: false,
            looked: 0,
            problems: Vec::new(),
            latest: None,
        })
    }

    pub(super) fn push(&mut self, row: &[u32], now: u64) {
        let Self { reference, window, recent, clock, changes, closed_at, due, .. } = self;
        if let Some(clock) = clock {
            clock.turn(reference, window, now);
        }
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

    /// Looks, where something is due, `rows` having come in all; what became of alerts.
    pub(super) fn look(&mut self, rows: u64, alerts: &mut Alerts, plan: Plan, now: u64) -> Vec<Change> {
        self.close(plan, now);
        let mut changes = self.compare_hours(alerts, plan, now);
        // Rows that were looked at are no news, however often one looks.
        if std::mem::replace(&mut self.looked, rows) == rows {
            return changes;
        }
        let latest = self.recent.as_ref().unwrap_or(&self.window).last(&self.reference, 2);
        if let Some(problems) = quality::problems(&self.reference, &latest) {
            let found: Vec<Found> = problems.iter().map(broken).collect();
            changes.extend(alerts.take(PROBLEMS, &found, now));
            self.problems = problems;
        }
        let detector = self.changes.as_mut();
        if let Some(mut found) =
            detector.and_then(|detector| detector.look(&self.reference, plan.false_alarms, MONTH_MILLIS, now))
        {
            // What is broken is named as that.
            found.retain(|one| self.problems.iter().all(|problem| problem.feature != one.feature));
            changes.extend(alerts.take(CHANGES, &found, now));
        }
        if std::mem::take(&mut self.due) {
            changes.extend(self.compare_window(alerts, plan, now));
        }
        changes
    }

    /// Closes what is over by time.
    fn close(&mut self, plan: Plan, now: u64) {
        let Self { reference, window, clock, closed_at, due, .. } = self;
        let length = plan.pane_millis(window);
        if let Some(clock) = clock {
            clock.turn(reference, window, now);
        } else if plan.window_millis == 0 {
            if now.saturating_sub(*closed_at) >= length && window.close(reference) {
                (*closed_at, *due) = (now, true);
            }
        } else {
            // After a long silence every pane is an old one.
            let over = now.saturating_sub(*closed_at) / length;
            (0..over.min(window.panes() as u64 + 1)).for_each(|_| *due |= window.close(reference));
            *closed_at += over * length;
        }
    }

    fn compare_window(&mut self, alerts: &mut Alerts, plan: Plan, now: u64) -> Vec<Change> {
        let Self { reference, window, evaluated_at, latest, .. } = self;
        // Evaluations as far apart as these come so often in thirty days that each may be wrong so seldom.
        let apart = now.saturating_sub(*evaluated_at).clamp(1, plan.pane_millis(window)) as f64;
        let limits = Limits::of(plan.false_alarms * (1.0 - SHARE), apart);
        *evaluated_at = now;
        let total = window.total(reference);
        let evaluation = evaluate(reference, &total, limits);
        let mut found = Found::all(&evaluation);
        found.extend(
            quality::stuck(reference, &total).iter().map(|stuck| Found { at_once: false, ..broken(stuck) }),
        );
        *latest = Some(evaluation);
        alerts.take(Found::DRIFTS, &found, now)
    }

    /// Holds the hour that is over against the same one of last week, where both are there.
    fn compare_hours(&mut self, alerts: &mut Alerts, plan: Plan, now: u64) -> Vec<Change> {
        let Some((reference, total)) = self.clock.as_mut().and_then(Clock::take) else { return Vec::new() };
        let evaluation = evaluate(&reference, &total, Limits::of(plan.false_alarms, HOUR_MILLIS as f64));
        let found = Found::all(&evaluation);
        self.latest = Some(evaluation);
        alerts.take(Found::DRIFTS, &found, now)
    }

    pub(super) const fn detects_changes(&self) -> bool {
        self.changes.is_some()
    }

    pub(super) const fn hours(&self) -> bool {
        self.clock.is_some()
    }

    pub(super) fn bytes(&self) -> usize {
        let detector = self.changes.as_ref().map_or(0, Changes::bytes);
        let recent = self.recent.as_ref().map_or(0, Window::bytes);
        let hours = self.clock.as_ref().map_or(0, |_| Clock::bytes(&self.reference));
        self.window.bytes() + recent + reference_bytes(&self.reference) + detector + hours
    }
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
