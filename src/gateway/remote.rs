//! A prediction that another server makes: decoded here, asked for there, checked and encoded here. And what happens
//! to a prediction whose variant failed.

use std::sync::Arc;
use std::time::Instant;

use super::http::Answer;
use super::predict::{Prediction, Runner};
use super::upstream::{Failure, ask};
use super::workspace::Workspace;
use super::{Gateway, worker};
use crate::json::push_string;
use crate::metrics::Outcome;
use crate::protocol::oip::{decode_reply, encode_request};
use crate::serving::remote::Remote;

/// What a failure is to the client, with its code; none where it is asked to come back.
const fn failed(failure: &Failure) -> Option<(Outcome, &'static str)> {
    match failure {
        Failure::Time => Some((Outcome::Timeout, "deadline_exceeded")),
        Failure::Busy => None,
        Failure::Refused(_) | Failure::Unsaid(_) | Failure::Failed(_) => {
            Some((Outcome::Error, "upstream_failed"))
        }
    }
}

impl Prediction {
    /// The server that is to answer.
    #[inline]
    pub(super) fn remote(&self) -> Option<&Arc<Remote>> {
        self.arm.as_ref()?.remote.as_ref()
    }

    /// Has the server of a remote variant answer. None when the fallback is to answer in its place: the prediction is
    /// then one of that.
    pub(super) async fn ask(
        &mut self,
        remote: &Arc<Remote>,
        work: &mut Box<Workspace>,
        gateway: &Gateway,
    ) -> Option<Answer> {
        if let Err(answer) = self.decode(work) {
            return Some(answer);
        }
        let (limit, whole) = {
            let settings = gateway.settings.load();
            (settings.body_bytes, settings.request_timeout)
        };
        let start = Instant::now();
        let patient = self.fallback.is_none() || self.fallback_after.is_zero();
        // What waited here is not the server's time.
        let patience = if patient {
            self.arrived + whole
        } else {
            (start + self.fallback_after).min(self.arrived + whole)
        };
        let deadline = self.deadline.min(patience);
        let mut body = Vec::new();
        let result = match encode_request(&self.version.signature, &work.request, &mut body) {
            Ok(()) => ask(remote, body, &self.request_id, deadline, limit).await,
            Err(error) => Err(Failure::Unsaid(error.0)),
        };
        let rows = work.request.rows();
        let result = result.and_then(|reply| {
            decode_reply(&reply, &self.version.signature, rows, &mut work.outputs)
                .map_err(|error| Failure::Failed(error.0))
        });
        let now = Instant::now();
        self.times.infer = (now - start).as_nanos() as u64;
        match result {
            Ok(version) => {
                self.prefix = self.remote_prefix(version.as_deref().unwrap_or("remote"));
                Some(worker::with(|w| self.complete(rows, work, &mut w.runner, now, || true)))
            }
            Err(failure) => {
                // Who gives it no time, or asks what it refuses or cannot be asked, says nothing about the server.
                let blamed = match failure {
                    Failure::Time => deadline == patience,
                    Failure::Busy | Failure::Refused(_) | Failure::Unsaid(_) => false,
                    Failure::Failed(_) => true,
                };
                let (model, variant) = (&self.version.model, self.arm.as_ref().map_or("", |arm| &arm.name));
                let server = remote.url.authority();
                tracing::warn!(%model, variant, server, %failure, "a remote variant failed");
                if blamed && remote.circuit.fail(now) {
                    tracing::error!(model = %self.version.model, "a remote variant failed too often: left alone for a minute");
                }
                worker::with(|w| {
                    if let Some((outcome, code)) = failed(&failure) {
                        self.keep(outcome, Some(code), work, &mut w.runner);
                    }
                    self.record(false, work, &mut w.runner, now);
                });
                let answer = self.remote_failed(work, &failure);
                if self.fall_back(now) { None } else { Some(answer) }
            }
        }
    }

    fn remote_failed(&self, work: &mut Workspace, failure: &Failure) -> Answer {
        let Some((outcome, code)) = failed(failure) else { return self.shed(work) };
        let (status, message) = match outcome {
            Outcome::Timeout => (504, "the request's time was over before the variant's server answered"),
            _ => (502, "the server of this variant gave no usable answer; the log says why"),
        };
        self.fail(work, status, code, message, outcome)
    }

    /// What the answer of another server begins with.
    fn remote_prefix(&self, version: &str) -> Vec<u8> {
        let mut prefix = b"{\"model_name\":".to_vec();
        push_string(&mut prefix, self.version.model.as_str().as_bytes());
        prefix.extend_from_slice(b",\"model_version\":");
        push_string(&mut prefix, version.as_bytes());
        prefix
    }

    /// Turns to the variant that stands in for one that failed; false where there is none that can.
    #[cold]
    pub(super) fn fall_back(&mut self, now: Instant) -> bool {
        let Some(arm) = self.fallback.take() else { return false };
        let Ok(version) = &arm.version else { return false };
        if version.circuit.is_open(now) || now >= self.deadline {
            return false;
        }
        arm.stood_in();
        self.version = version.clone();
        // The variant that failed has its record; what stands in for it takes no part.
        self.part = None;
        self.fell_back = true;
        self.decoded = false;
        self.arm = Some(arm);
        true
    }

    /// Has the fallback answer instead, where there is one; none leaves it to a lane.
    #[cold]
    pub(super) fn instead(
        &mut self,
        failed: Answer,
        work: &mut Workspace,
        runner: &mut Runner,
        wanted: impl FnOnce() -> bool,
    ) -> Option<Answer> {
        if !self.fall_back(Instant::now()) {
            return Some(failed);
        }
        // The other version may have another order of its inputs.
        if let Err(answer) = self.decode(work) {
            return Some(answer);
        }
        if self.light_only && self.is_heavy(work) {
            return None;
        }
        self.run(work, runner, wanted)
    }
}
