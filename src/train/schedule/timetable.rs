//! Times by cron's rules, in a time zone.

use chrono::DateTime;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use datafusion::arrow::array::timezone::Tz;
use sidegate::registry::clock;
use time::OffsetDateTime;

/// When something is due.
#[derive(Clone, Debug)]
pub(super) struct Timetable {
    cron: Cron,
    zone: Tz,
    /// The zone as it was named.
    name: String,
}

// === impl Timetable ===

impl Timetable {
    /// Reads five fields, or a nickname such as `@daily`, and the name of a zone.
    ///
    /// # Errors
    /// What is wrong with either, or that there is no such time.
    pub(super) fn read(cron: &str, zone: &str) -> Result<Self, String> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let read = parser.parse(cron).map_err(|error| {
            format!(
                "`{cron}` is no timetable ({error}); five fields are one: \"0 2 * * *\" is 02:00 every day"
            )
        })?;
        let zone_read = zone
            .parse()
            .map_err(|_| format!("`{zone}` is no time zone; UTC, Europe/Berlin and +02:00 are"))?;
        let timetable = Self { cron: read, zone: zone_read, name: zone.to_owned() };
        // 30 February is only found out by looking for it.
        timetable.next(OffsetDateTime::UNIX_EPOCH).map(|_| timetable)
    }

    /// The first time after this one.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn next(&self, after: OffsetDateTime) -> Result<OffsetDateTime, String> {
        let found = self.local(after).and_then(|after| self.cron.find_next_occurrence(&after, false).ok());
        found
            .and_then(|found| OffsetDateTime::from_unix_timestamp(found.timestamp()).ok())
            .ok_or_else(|| format!("`{}` never comes", self.cron))
    }

    /// The latest time after the first and not after the second.
    pub(super) fn latest(&self, after: OffsetDateTime, until: OffsetDateTime) -> Option<OffsetDateTime> {
        let found = self.cron.find_previous_occurrence(&self.local(until)?, true).ok()?;
        OffsetDateTime::from_unix_timestamp(found.timestamp()).ok().filter(|found| *found > after)
    }

    /// A time for people, as clocks of the zone show it.
    pub(super) fn shown(&self, time: OffsetDateTime) -> String {
        match self.local(time) {
            Some(local) if self.name != "UTC" => format!("{} ({})", local.naive_local(), self.name),
            _ => clock::text(time),
        }
    }

    fn local(&self, time: OffsetDateTime) -> Option<DateTime<Tz>> {
        Some(DateTime::from_timestamp(time.unix_timestamp(), 0)?.with_timezone(&self.zone))
    }
}
