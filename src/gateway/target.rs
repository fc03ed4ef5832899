//! Which version answers a request for a prediction: what it names, or what an experiment makes of the plain name.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::http::{Answer, Head, fields};
use super::worker;
use super::workspace::Workspace;
use crate::experiment::{Fields, Track, cookie};
use crate::metrics::Outcome;
use crate::model::Selector;
use crate::monitor::{Predictions, Record};
use crate::serving::circuit::Circuit;
use crate::serving::mirror::Mirror;
use crate::serving::router::{Arm, Enrolled};
use crate::serving::{NotServed, ServedVersion, Snapshot};

/// A version, and the variant that it answers as.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) version: &'a Arc<ServedVersion>,
    pub(super) arm: Option<&'a Arc<Arm>>,
    /// The experiment that it takes part in.
    pub(super) part: Option<(&'a Arc<Track>, Enrolled)>,
    /// What answers when that one fails, and after which time.
    pub(super) fallback: Option<(&'a Arc<Arm>, Duration)>,
    /// Who gets a copy of the request, and the unit that it hangs together by.
    pub(super) mirror: Option<(&'a Arc<Mirror>, Option<u64>)>,
}

/// What an experiment may see of a request.
struct Seen<'a> {
    head: &'a [u8],
    body: &'a [u8],
}

// === impl Target ===

impl<'a> Target<'a> {
    /// What a name and selector mean to this request. Only the plain name is an experiment's matter.
    ///
    /// # Errors
    /// 404 with the name.
    pub(super) fn of(
        snapshot: &'a Snapshot,
        model: &str,
        selector: &Selector,
        head: &Head,
        work: &mut Workspace,
    ) -> Result<Self, Answer> {
        let served = snapshot.model(model).map_err(|error| not_served(work, &error))?;
        let (version, arm, part, fallback, mirror) = match (&served.router, selector) {
            (Some(router), Selector::Default) => {
                let seen = Seen { head: &work.input[..head.length], body: work.body() };
                let routed = router.route(served, &seen);
                let part = routed.enrolled.map(|enrolled| (&router.track, enrolled));
                let fallback = routed.fallback.map(|arm| (arm, router.experiment().fallback_after));
                (routed.version, routed.arm, part, fallback, routed.mirror)
            }
            _ => (served.resolve(selector), None, None, None, None),
        };
        let none = || NotServed::version(model, selector);
        let version = version.ok_or_else(|| not_served(work, &none()))?;
        Ok(Self { version, arm, part, fallback, mirror })
    }

    /// Counts a request that was refused before its body was looked at.
    pub(super) fn refused(self) {
        self.count(Outcome::ClientError);
    }

    /// What is open while it keeps failing.
    pub(super) fn circuit(self) -> &'a Circuit {
        match self.arm.and_then(|arm| arm.remote.as_ref()) {
            Some(remote) => &remote.circuit,
            None => &self.version.circuit,
        }
    }

    /// What stands in for it, which takes no part in the experiment.
    #[cold]
    pub(super) fn instead(self) -> Option<Self> {
        let (arm, _) = self.fallback?;
        let version = arm.version.as_ref().ok()?;
        Some(Self { version, arm: Some(arm), part: None, fallback: None, mirror: self.mirror })
    }

    /// Tells the monitor that a variant failed a request before it could run.
    #[cold]
    pub(super) fn failed(self, arrived: Instant) {
        let Some((track, Enrolled { variant, slot, unit })) = self.part else { return };
        let (track, version, variant) = (Some(track.clone()), 0, variant as u8);
        let predictions = Predictions::default();
        worker::with(|worker| {
            let recorder = &mut worker.runner.recorder;
            let at = recorder.millis(arrived);
            let (id, seconds, failed) = (0, 0.0, true);
            recorder.record(Record {
                track,
                version,
                unit,
                id,
                at,
                seconds,
                predictions,
                slot,
                variant,
                failed,
            });
        });
    }

    /// Counts how a request ended.
    pub(super) fn count(self, outcome: Outcome) {
        self.version.count(self.arm.map(|arm| &**arm), outcome);
    }
}

fn not_served(work: &mut Workspace, error: &NotServed) -> Answer {
    work.fail(404, "not_found", &error.to_string())
}

// === impl Seen ===

impl Fields for Seen<'_> {
    fn header(&self, name: &str) -> Option<&[u8]> {
        fields(self.head, name).next()
    }

    fn cookie(&self, name: &str) -> Option<&[u8]> {
        fields(self.head, "cookie").find_map(|field| cookie(field, name))
    }

    fn body(&self) -> &[u8] {
        self.body
    }
}
