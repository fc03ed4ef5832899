//! Calls that may fail: what went wrong is said, and after an outage nothing more is asked.

use std::path::Path;
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sidegate::mlflow::{Problem, Server};

/// A server, and who is told of trouble.
pub(super) struct Client<'a> {
    server: Server,
    say: &'a mut dyn FnMut(&str),
    failures: usize,
    /// It does not answer.
    is_out: bool,
}

impl<'a> Client<'a> {
    pub(super) fn new(mut server: Server, until: Instant, say: &'a mut dyn FnMut(&str)) -> Self {
        server.end_by(until);
        Self { server, say, failures: 0, is_out: false }
    }

    /// From now on there is time until then.
    pub(super) fn until(&mut self, until: Instant) {
        self.server.end_by(until);
        self.is_out = false;
    }

    /// How many things could not be told.
    pub(super) fn failures(&self) -> usize {
        self.failures
    }

    pub(super) fn say(&mut self, words: &str) {
        (self.say)(words);
    }

    /// A call that reads; none when it failed, which is said.
    pub(super) fn get<T: DeserializeOwned>(
        &mut self,
        what: &str,
        call: &str,
        query: &[(&str, &str)],
    ) -> Option<T> {
        self.tell(what, |server| server.get(call, query))
    }

    /// A call that changes something; none when it failed, which is said.
    pub(super) fn post<T: DeserializeOwned>(
        &mut self,
        what: &str,
        call: &str,
        body: &impl Serialize,
    ) -> Option<T> {
        self.tell(what, |server| server.post(call, body))
    }

    /// Puts a file; whether it is there.
    pub(super) fn upload(&mut self, what: &str, path: &str, file: &Path) -> bool {
        self.tell(what, |server| server.upload(path, file)).is_some()
    }

    /// Does anything; none when it failed, which is said of `what`.
    fn tell<T>(&mut self, what: &str, ask: impl FnOnce(&Server) -> Result<T, Problem>) -> Option<T> {
        match self.ask(ask) {
            Ok(done) => Some(done),
            Err(Some(problem)) => self.failed(what, &problem),
            Err(None) => {
                self.failures += 1;
                None
            }
        }
    }

    /// Does what may fail in ways that are none; no problem is an outage that was said already.
    pub(super) fn ask<T>(
        &mut self,
        ask: impl FnOnce(&Server) -> Result<T, Problem>,
    ) -> Result<T, Option<Problem>> {
        if self.is_out {
            return Err(None);
        }
        ask(&self.server).map_err(|problem| {
            self.is_out = problem.is_outage();
            Some(problem)
        })
    }

    /// Says what could not be done.
    pub(super) fn failed<T>(&mut self, what: &str, problem: &Problem) -> Option<T> {
        self.failures += 1;
        (self.say)(&format!("{what} could not be tracked at {}: {problem}", self.server.url()));
        None
    }
}
