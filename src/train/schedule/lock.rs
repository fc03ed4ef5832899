//! One training of a model at a time, wherever schedules run: an object beside the models says who is at it and until
//! when, and how the last one ended. It is written on conditions; whoever is not heard of any more is passed over.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sidegate::model::ModelName;
use sidegate::registry::store::{Body, Condition, Fault, Read, StoreError};
use sidegate::registry::writer::Writer;
use sidegate::registry::{MAX_JSON_BYTES, clock, layout};
use time::OffsetDateTime;

use crate::failure::Failure;

/// How long a lock lasts after its owner was heard of.
pub(super) const LEASE: Duration = Duration::from_secs(300);
/// Clocks of two machines differ by less.
const SKEW: Duration = Duration::from_secs(60);
/// How often a write is tried while others write too, or the store does not answer.
const ATTEMPTS: u32 = 5;
/// Between two of them.
const PAUSE: Duration = Duration::from_secs(1);
/// The form of the object.
const FORMAT: u32 = 1;

/// The object: who trains, and how the last training ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Standing {
    format: u32,
    /// Who trains; nobody does where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// Until when nobody else does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline: Option<String>,
    /// The latest time of the timetable that was trained for; what somebody asked for in between does not change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<String>,
    /// The last training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<Last>,
}

/// A training that is over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Last {
    /// The time of the timetable that it was for; none where somebody asked for it.
    pub(super) due: Option<String>,
    pub(super) started: String,
    pub(super) ended: String,
    pub(super) by: String,
    /// `success`, `refused` or `failed`.
    pub(super) status: String,
    pub(super) exit_code: u8,
    pub(super) run: Option<String>,
    pub(super) version: Option<u64>,
    pub(super) reason: Option<String>,
}

/// Who is at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Held {
    pub(super) by: String,
    pub(super) until: String,
}

/// What came of asking for the lock.
pub(super) enum Taken<'a> {
    /// It is ours until it is let go, or not renewed in time.
    Ours(Lock<'a>),
    /// Somebody else trains.
    Held(Held),
    /// Somebody else has trained for this very time.
    Over(Last),
}

/// The lock, held.
pub(super) struct Lock<'a> {
    writer: &'a Writer,
    key: String,
    owner: String,
    conditional: bool,
    token: String,
    standing: Standing,
}

// === impl Standing ===

impl Standing {
    /// What is known of a model.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub(super) fn read(writer: &Writer, model: &ModelName) -> Result<Self, Failure> {
        Ok(look(writer, &layout::training_lock(model))?.0)
    }

    /// Who trains.
    pub(super) fn held(&self, now: OffsetDateTime) -> Option<Held> {
        let (by, until) = self.owner.clone().zip(self.deadline.clone())?;
        let deadline = clock::parse(&until)?;
        (now <= deadline + SKEW).then_some(Held { by, until })
    }

    /// The time of the timetable that was trained for last.
    pub(super) fn last_due(&self) -> Option<OffsetDateTime> {
        clock::parse(self.due.as_deref()?)
    }
}

// === impl Last ===

impl Last {
    /// For people.
    pub(super) fn words(&self) -> String {
        let version = self.version.map(|version| format!(", version {version}")).unwrap_or_default();
        let reason = self.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("last: {} at {} by {}{version}{reason}", self.status, self.ended, self.by)
    }
}

// === impl Lock ===

impl<'a> Lock<'a> {
    /// Asks for the lock of a model, to train for this time of its timetable.
    ///
    /// # Errors
    /// When the registry cannot be reached, or keeps to no conditions.
    pub(super) fn take(
        writer: &'a Writer,
        model: &ModelName,
        due: Option<OffsetDateTime>,
    ) -> Result<Taken<'a>, Failure> {
        let key = layout::training_lock(model);
        let owner = format!("{}/{:016x}", writer.who(), writer.clock().random());
        let conditional = writer.is_conditional()?;
        let mut lock =
            Lock { writer, key, owner, conditional, token: String::new(), standing: Standing::default() };
        for _ in 0..ATTEMPTS {
            let (standing, token) = look(writer, &lock.key)?;
            if standing.owner.as_ref() == Some(&lock.owner) {
                // It was written, and the answer was lost.
                (lock.standing, lock.token) = (standing, token.unwrap_or_default());
                return Ok(Taken::Ours(lock));
            }
            if let Some(held) = standing.held(writer.clock().now()) {
                return Ok(Taken::Held(held));
            }
            if let (Some(due), Some(last), Some(latest)) = (due, &standing.last, standing.last_due())
                && latest >= due
            {
                return Ok(Taken::Over(last.clone()));
            }
            lock.standing = Standing { format: FORMAT, ..standing };
            if lock.prolong(token.as_deref())? {
                return Ok(Taken::Ours(lock));
            }
            writer.clock().sleep(PAUSE);
        }
        Err(Failure::Registry(format!("{}: others write it over and over", lock.key)))
    }

    /// Says that its owner is still there; false when it is somebody else's by now.
    ///
    /// # Errors
    /// When that cannot be said now.
    pub(super) fn renew(&mut self) -> Result<bool, Failure> {
        let token = self.token.clone();
        if self.prolong(Some(&token))? {
            return Ok(true);
        }
        let (standing, token) = look(self.writer, &self.key)?;
        let ours = standing.owner.as_ref() == Some(&self.owner);
        if let (true, Some(token)) = (ours, token) {
            self.token = token;
        }
        Ok(ours)
    }

    /// Lets it go and says how the training ended; false when it is somebody else's by now.
    ///
    /// # Errors
    /// When that cannot be said; the lock runs out then.
    pub(super) fn release(mut self, last: Last) -> Result<bool, Failure> {
        let due = last.due.clone().or_else(|| self.standing.due.take());
        self.standing = Standing { format: FORMAT, owner: None, deadline: None, due, last: Some(last) };
        let mut token = self.token.clone();
        for _ in 0..ATTEMPTS {
            if self.write(Some(&token))? {
                return Ok(true);
            }
            let (standing, now) = look(self.writer, &self.key)?;
            if standing == self.standing {
                return Ok(true);
            }
            if standing.owner.as_ref() != Some(&self.owner) {
                return Ok(false);
            }
            token = now.unwrap_or_default();
            self.writer.clock().sleep(PAUSE);
        }
        Err(Failure::Registry(format!("{}: it could not be let go", self.key)))
    }

    fn prolong(&mut self, token: Option<&str>) -> Result<bool, Failure> {
        self.standing.owner = Some(self.owner.clone());
        self.standing.deadline = Some(clock::text(self.writer.clock().now() + LEASE));
        self.write(token)
    }

    /// Writes the object in the place of the one with that token; false when it may not have been.
    fn write(&mut self, token: Option<&str>) -> Result<bool, Failure> {
        let condition = match token {
            _ if !self.conditional => Condition::None,
            Some(token) => Condition::Token(token),
            None => Condition::Absent,
        };
        let bytes = serde_json::to_vec(&self.standing).unwrap_or_default();
        match self.writer.store().write(&self.key, Body::Bytes(&bytes), condition) {
            Ok(token) => {
                self.token = token;
                Ok(true)
            }
            Err(StoreError { fault: Fault::Conflict, .. }) => Ok(false),
            Err(error) if error.fault.may_have_happened() => Ok(false),
            Err(error) => Err(unreachable(&error)),
        }
    }
}

/// The object and its token; nothing is known where there is none.
fn look(writer: &Writer, key: &str) -> Result<(Standing, Option<String>), Failure> {
    match writer.store().read(key, MAX_JSON_BYTES, None).map_err(|error| unreachable(&error))? {
        Read::Absent | Read::Unchanged => Ok((Standing::default(), None)),
        Read::Object { bytes, token } => {
            let standing: Standing = serde_json::from_slice(&bytes).map_err(|error| {
                Failure::Registry(format!("{key}: it cannot be read ({error}); delete it if nobody trains"))
            })?;
            if standing.format > FORMAT {
                let found = standing.format;
                return Err(Failure::Registry(format!(
                    "{key}: format {found} is not known; update sidegate-train"
                )));
            }
            Ok((standing, Some(token)))
        }
    }
}

fn unreachable(error: &StoreError) -> Failure {
    Failure::Registry(error.to_string())
}
