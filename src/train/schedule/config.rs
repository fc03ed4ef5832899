//! `[schedule]`

use serde::Deserialize;

use super::timetable::Timetable;

/// When trainings begin.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ScheduleConfig {
    /// Minute, hour, day of the month, month, day of the week.
    pub(super) cron: String,
    /// Where it is that time.
    pub(super) time_zone: String,
    /// Trainings begin up to so much later, by chance, so that those of a whole fleet do not begin at once.
    pub(super) jitter_seconds: u64,
    pub(super) catch_up: CatchUp,
}

/// What becomes of times that went by while nothing could be trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CatchUp {
    /// One training for all of them.
    Run,
    /// None.
    #[default]
    Skip,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        let (cron, time_zone) = ("0 2 * * *".to_owned(), "UTC".to_owned());
        Self { cron, time_zone, jitter_seconds: 0, catch_up: CatchUp::Skip }
    }
}

impl ScheduleConfig {
    /// Refuses what is no timetable.
    ///
    /// # Errors
    /// Names what is wrong.
    pub(crate) fn check(&self) -> Result<(), String> {
        Timetable::read(&self.cron, &self.time_zone).map(drop).map_err(|why| format!("schedule: {why}"))
    }
}
