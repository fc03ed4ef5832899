//! One version as it is watched: first it is learned how its features are distributed, then they are looked at.

use std::sync::Arc;

use super::alert::{Alerts, Change};
use super::changes::Pace;
use super::compare::Evaluation;
use super::feature::Layout;
use super::looking::Looking;
use super::quality::Problem;
use super::reference::{Learner, Reference};
use super::window::Window;

/// Fewer rows are no reference.
pub(super) const MIN_LEARNED: usize = 200;

/// How versions are watched.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Rows that a reference is learned from.
    pub learn_rows: usize,
    /// Rows of a window.
    pub window_rows: u64,
    /// Milliseconds of a window instead; 0: rows count.
    pub window_millis: u64,
    /// Windows are hours of the clock, each held against the same one of last week.
    pub same_hour: bool,
    /// False alarms that a version may raise in thirty days.
    pub false_alarms: f64,
    /// Bytes that may be taken.
    pub max_bytes: usize,
}

/// A version that is watched. Times are milliseconds since 1970.
#[derive(Debug)]
pub struct Watching {
    layout: Layout,
    state: State,
    alerts: Alerts,
    /// Rows that it has seen.
    rows: u64,
    /// When the first one came.
    since: Option<u64>,
}

#[derive(Debug)]
enum State {
    Learning(Learner),
    Looking(Box<Looking>),
    /// Its features would take too much memory.
    TooLarge,
}

// === impl Watching ===

impl Watching {
    /// Of a version with these features, and the reference that came with it.
    pub fn new(layout: Layout, reference: Option<&Arc<Reference>>, plan: Plan, now: u64) -> Self {
        // A learned word is kept until all are there.
        let room = plan.max_bytes / (layout.words() * size_of::<u32>());
        let state = match (reference, plan.learn_rows.min(room)) {
            (Some(reference), _) => State::of(reference.clone(), plan, Pace::new(0, now, now), now),
            (None, rows) if rows < MIN_LEARNED.min(plan.learn_rows) => State::TooLarge,
            (None, rows) => State::Learning(Learner::new(&layout, rows)),
        };
        Self { layout, state, alerts: Alerts::default(), rows: 0, since: None }
    }

    /// Takes a row; the reference, where this was the last row that was needed to learn it.
    pub fn push(&mut self, row: &[u32], plan: Plan, now: u64) -> Option<&Reference> {
        self.rows += 1;
        let since = *self.since.get_or_insert(now);
        match &mut self.state {
            State::Looking(looking) => looking.push(row, now),
            State::Learning(learner) => {
                if learner.push(row) {
                    let reference = Arc::new(learner.finish(&self.layout));
                    self.state = State::of(reference, plan, Pace::new(self.rows, since, now), now);
                    return self.reference();
                }
            }
            State::TooLarge => {}
        }
        None
    }

    /// Looks, where something is due; what became of alerts.
    pub fn look(&mut self, plan: Plan, now: u64) -> Vec<Change> {
        match &mut self.state {
            State::Looking(looking) => looking.look(self.rows, &mut self.alerts, plan, now),
            State::Learning(_) | State::TooLarge => Vec::new(),
        }
    }

    /// Rows that it has seen.
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Alerts.
    pub const fn alerts(&self) -> &Alerts {
        &self.alerts
    }

    /// Ends all alerts, as where nobody looks any more; what became of each.
    pub fn end(&mut self, now: u64) -> Vec<Change> {
        self.alerts.end(now)
    }

    /// `learning`, `watching` or `too_large`.
    pub const fn state(&self) -> &'static str {
        match self.state {
            State::Learning(_) => "learning",
            State::Looking(_) => "watching",
            State::TooLarge => "too_large",
        }
    }

    /// Whether rows are of any use to it.
    pub const fn wants_rows(&self) -> bool {
        !matches!(self.state, State::TooLarge)
    }

    /// Rows that were learned from so far, and how many it takes; none where the reference is there.
    pub fn learned(&self) -> Option<(usize, usize)> {
        match &self.state {
            State::Learning(learner) => Some((learner.seen(), learner.needed())),
            State::Looking(_) | State::TooLarge => None,
        }
    }

    /// The reference, once it is there.
    pub fn reference(&self) -> Option<&Reference> {
        self.looking().map(|looking| &*looking.reference)
    }

    /// The window, once there is one.
    pub fn window(&self) -> Option<&Window> {
        self.looking().map(|looking| &looking.window)
    }

    /// Whether changes are looked for at several scales.
    pub fn detects_changes(&self) -> bool {
        self.looking().is_some_and(Looking::detects_changes)
    }

    /// Whether windows are hours of the clock.
    pub fn hours(&self) -> bool {
        self.looking().is_some_and(Looking::hours)
    }

    /// The latest evaluation.
    pub fn evaluation(&self) -> Option<&Evaluation> {
        self.looking().and_then(|looking| looking.latest.as_ref())
    }

    /// What is broken.
    pub fn problems(&self) -> &[Problem] {
        self.looking().map_or(&[], |looking| &looking.problems)
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        match &self.state {
            State::Learning(learner) => self.layout.words() * learner.seen() * size_of::<u32>(),
            State::Looking(looking) => looking.bytes(),
            State::TooLarge => 0,
        }
    }

    fn looking(&self) -> Option<&Looking> {
        match &self.state {
            State::Looking(looking) => Some(looking),
            State::Learning(_) | State::TooLarge => None,
        }
    }
}

// === impl State ===

impl State {
    fn of(reference: Arc<Reference>, plan: Plan, pace: Pace, now: u64) -> Self {
        Looking::new(reference, plan, pace, now)
            .map_or(Self::TooLarge, |looking| Self::Looking(Box::new(looking)))
    }
}
