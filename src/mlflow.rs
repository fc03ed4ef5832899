//! An MLflow server: its REST calls over HTTP, for a training that is recorded there and a registry that is followed there.
//!
//! The caller is a plain thread, and all work is done on it, by a runtime that only runs while a call does.

mod body;
mod http;
mod problem;
mod stream;
#[cfg(feature = "tls")]
mod tls;
pub mod types;

#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::{MlflowCredentials, MlflowUrl};
use http::{Answer, Asked, Link};

pub use body::Sent;
pub use problem::Problem;

/// For an answer that is read as a whole.
const ANSWER: Duration = Duration::from_secs(30);
/// Largest answer that is read as a whole.
const ANSWER_BYTES: u64 = 32 << 20;
/// The slowest transfer of a file that is waited for.
const BYTES_PER_SECOND: u64 = 256 << 10;
/// Before a call is repeated, times the number of its repetition.
const PAUSE: Duration = Duration::from_millis(250);

/// A server, and who we are to it.
pub struct Server {
    url: MlflowUrl,
    credentials: Option<MlflowCredentials>,
    /// How often what only reads is asked, the first time included.
    attempts: u32,
    /// When everything has to be over.
    until: Option<Instant>,
    link: Mutex<Link>,
}

// === impl Server ===

impl Server {
    /// A server; nothing is asked of it yet.
    pub fn new(url: MlflowUrl, credentials: Option<MlflowCredentials>) -> Self {
        Self { url, credentials, attempts: 1, until: None, link: Mutex::default() }
    }

    /// Asks so often before it counts as out of reach.
    #[must_use]
    pub fn attempts(self, attempts: u32) -> Self {
        Self { attempts: attempts.max(1), ..self }
    }

    /// From now on every call is over by then.
    pub fn end_by(&mut self, until: Instant) {
        self.until = Some(until);
    }

    /// Where it is.
    pub fn url(&self) -> &MlflowUrl {
        &self.url
    }

    /// A call that reads, such as `runs/get`.
    ///
    /// # Errors
    /// When there is no answer, or another one than was meant.
    pub fn get<T: DeserializeOwned>(&self, call: &str, query: &[(&str, &str)]) -> Result<T, Problem> {
        self.get_path(&format!("/api/2.0/mlflow/{call}"), query)
    }

    /// The same, by its full path.
    ///
    /// # Errors
    /// As [`Server::get`].
    pub fn get_path<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, Problem> {
        let target = target(path, query);
        let mut attempt = 1;
        loop {
            match self.json(Method::GET, &target, Sent::Nothing) {
                Err(problem) if problem.is_outage() && attempt < self.attempts => {
                    std::thread::sleep(PAUSE * attempt);
                    attempt += 1;
                }
                other => return other,
            }
        }
    }

    /// A call that changes something, such as `runs/create`.
    ///
    /// # Errors
    /// As [`Server::get`].
    pub fn post<T: DeserializeOwned>(&self, call: &str, body: &impl Serialize) -> Result<T, Problem> {
        let body = serde_json::to_vec(body).map_err(|error| Problem::Local(error.into()))?;
        self.json(Method::POST, &format!("/api/2.0/mlflow/{call}"), Sent::Json(&body))
    }

    /// Puts a file at a path.
    ///
    /// # Errors
    /// When it cannot be read or is not accepted.
    pub fn upload(&self, path: &str, file: &Path) -> Result<(), Problem> {
        let bytes = std::fs::metadata(file).map_err(Problem::Local)?.len();
        self.exchange(Method::PUT, &target(path, &[]), Sent::File(file), bytes, ANSWER_BYTES, &mut io::sink())
            .map(drop)
    }

    /// Writes what is at a path into `sink` as it arrives; returns how many bytes there were.
    ///
    /// # Errors
    /// [`Problem::TooLarge`] as soon as there are more than `max`, [`Problem::Local`] when the sink fails.
    pub fn download(
        &self,
        path: &str,
        query: &[(&str, &str)],
        max: u64,
        sink: &mut dyn io::Write,
    ) -> Result<u64, Problem> {
        let answer = self.exchange(Method::GET, &target(path, query), Sent::Nothing, max, max, sink)?;
        Ok(answer.received)
    }

    /// How many bytes are at a path, if the server says so.
    ///
    /// # Errors
    /// As [`Server::get`].
    pub fn size(&self, path: &str, query: &[(&str, &str)]) -> Result<Option<u64>, Problem> {
        let answer =
            self.exchange(Method::HEAD, &target(path, query), Sent::Nothing, 0, 0, &mut io::sink())?;
        Ok(answer.length)
    }

    fn json<T: DeserializeOwned>(&self, method: Method, target: &str, sent: Sent<'_>) -> Result<T, Problem> {
        let mut bytes = Vec::new();
        self.exchange(method, target, sent, 0, ANSWER_BYTES, &mut bytes)?;
        serde_json::from_slice(&bytes).map_err(|error| Problem::not_mlflow(&error))
    }

    fn exchange(
        &self,
        method: Method,
        target: &str,
        sent: Sent<'_>,
        bytes: u64,
        max: u64,
        sink: &mut dyn io::Write,
    ) -> Result<Answer, Problem> {
        let allowed = Instant::now() + ANSWER + Duration::from_secs(bytes / BYTES_PER_SECOND);
        let until = self.until.map_or(allowed, |until| until.min(allowed));
        let asked =
            Asked { url: &self.url, credentials: self.credentials.as_ref(), method, target, sent, until };
        self.link.lock().unwrap_or_else(PoisonError::into_inner).exchange(&asked, max, sink)
    }
}

/// A path with its query, escaped.
fn target(path: &str, query: &[(&str, &str)]) -> String {
    let mut target = escaped(path, true);
    for (position, (name, value)) in query.iter().enumerate() {
        target.push(if position == 0 { '?' } else { '&' });
        target.push_str(name);
        target.push('=');
        target.push_str(&escaped(value, false));
    }
    target
}

/// RFC 3986: everything that is not unreserved as `%XX`; a path keeps its `/`.
fn escaped(text: &str, path: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (path && byte == b'/') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}
