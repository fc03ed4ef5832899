//! What was in Production when, read off the audit.

use serde::Serialize;

use crate::model::Stage;
use crate::registry::index::AuditEntry;

/// A time during which a version answered the plain name from Production.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tenure {
    /// The version.
    pub version: u64,
    /// Since when, RFC 3339.
    pub since: String,
    /// Who put it there.
    pub by: String,
    /// By which verb: promote, rollback, adopt, or the archive of a higher one.
    pub verb: String,
    /// Why.
    pub why: Option<String>,
    /// What that rests on.
    pub evidence: Option<String>,
}

/// Follows the audit of a model.
#[derive(Default)]
struct Follower {
    /// What is in Production.
    production: Vec<u64>,
    tenure: Option<Tenure>,
    /// What rolling back goes through: promotions put a version on top, a rollback takes off what is above its goal.
    stack: Vec<u64>,
}

/// Who answers from Production after these entries.
pub(super) fn last_tenure(entries: &[AuditEntry]) -> Option<Tenure> {
    follow(entries).tenure
}

/// What to go back to after these entries, the nearest first.
pub(super) fn former(entries: &[AuditEntry]) -> Vec<u64> {
    let Follower { mut stack, tenure, .. } = follow(entries);
    let current = tenure.map(|tenure| tenure.version);
    stack.retain(|version| Some(*version) != current);
    stack.reverse();
    stack
}

fn follow(entries: &[AuditEntry]) -> Follower {
    let mut follower = Follower::default();
    // The entries of one change come true together.
    for change in entries.chunk_by(|a, b| a.mutation.is_some() && a.mutation == b.mutation) {
        follower.apply(change);
    }
    follower
}

// === impl Follower ===

impl Follower {
    fn apply(&mut self, change: &[AuditEntry]) {
        let production = Some(Stage::Production.name());
        for entry in change.iter().filter(|entry| entry.alias.is_none()) {
            let Some(version) = entry.version else { continue };
            if entry.to.as_deref() == production {
                self.production.retain(|other| *other != version);
                self.production.push(version);
            } else if entry.from.as_deref() == production {
                self.production.retain(|other| *other != version);
                // It was there before this part of the audit begins.
                if self.stack.is_empty() {
                    self.stack.push(version);
                }
            }
        }
        let now = self.production.iter().max().copied();
        if now == self.tenure.as_ref().map(|tenure| tenure.version) {
            return;
        }
        let Some(version) = now else {
            self.tenure = None;
            return;
        };
        let cause = change.iter().find(|entry| entry.version == now).or(change.last());
        let Some(cause) = cause.cloned() else { return };
        let depth = self.stack.iter().position(|other| *other == version);
        match depth.filter(|_| cause.verb == "rollback") {
            Some(depth) => self.stack.truncate(depth + 1),
            None => {
                self.stack.retain(|other| *other != version);
                self.stack.push(version);
            }
        }
        let AuditEntry { at: since, by, verb, why, evidence, .. } = cause;
        self.tenure = Some(Tenure { version, since, by, verb, why, evidence });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `promote 7`, `archive 6`, … with the changes counted by `|`.
    fn entries(script: &str) -> Vec<AuditEntry> {
        let mut entries = Vec::new();
        for (number, change) in script.split('|').enumerate() {
            for one in change.split(',') {
                let (verb, version) = one.trim().split_once(' ').unwrap();
                let stage =
                    |is_production| Some(if is_production { "Production" } else { "Archived" }.into());
                entries.push(AuditEntry {
                    seq: entries.len() as u64 + 1,
                    at: format!("t{number}"),
                    verb: verb.into(),
                    version: version.parse().ok(),
                    from: stage(verb == "archive"),
                    to: stage(verb != "archive"),
                    mutation: Some(number.to_string()),
                    ..AuditEntry::default()
                });
            }
        }
        entries
    }

    #[test]
    fn going_back_goes_further_each_time() {
        let check = |script: &str, version: u64, former_ones: &[u64]| {
            let entries = entries(script);
            assert_eq!(last_tenure(&entries).map(|t| t.version), Some(version), "{script}");
            assert_eq!(former(&entries), former_ones, "{script}");
        };
        check("promote 5", 5, &[]);
        check("promote 5|archive 5,promote 6|archive 6,promote 7", 7, &[6, 5]);
        check("promote 5|archive 5,promote 6|archive 6,promote 7|archive 7,rollback 6", 6, &[5]);
        check("promote 5|archive 5,promote 6|archive 6,rollback 5|archive 5,promote 7", 7, &[5]);
        check("archive 6,promote 7", 7, &[6]);
        check("promote 5|promote 4", 5, &[]);
        check("promote 5|archive 5,promote 6|archive 6,promote 5", 5, &[6]);
    }
}
