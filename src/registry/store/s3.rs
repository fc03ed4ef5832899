//! A bucket of S3, or of what speaks like it, as a store.
//!
//! The caller is a plain thread, and all work is done on it, by a runtime that only runs while a call does: what the
//! loader asks for costs no more than the loader may. Nothing is asked of a server but `GET` with ranges, `HEAD`,
//! `ListObjectsV2` and, for writers, `PUT` on conditions. Tokens are ETags.

mod client;
mod fault;
mod object;
mod transfer;
mod write;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_config::ConfigLoader;
use aws_sdk_s3::Client;
use tokio::runtime::{Builder, Runtime};

use super::{Body, Condition, Fault, Read, Stat, Store, StoreError};
use crate::config::PathStyle;

/// Which bucket, and the way to it.
#[derive(Clone, Debug)]
pub struct S3Options {
    /// The bucket's name.
    pub bucket: String,
    /// What every key begins with, without `/` at its ends; empty is the whole bucket.
    pub prefix: String,
    /// URL of the server; `None`: AWS, or what the environment or the profile says.
    pub endpoint: Option<String>,
    /// The region; `None`: what the environment or the profile says.
    pub region: Option<String>,
    /// Whether the bucket stands in the path of a URL or in its host.
    pub path_style: PathStyle,
    /// How often a request is tried, the first time included. One for a caller that comes back by itself.
    pub attempts: u32,
}

/// A bucket. Credentials come from where AWS's own tools look for them.
pub struct S3 {
    options: S3Options,
    limits: Limits,
    /// Where region, credentials and the like are looked for.
    places: Box<dyn Fn() -> ConfigLoader + Send + Sync>,
    connection: Mutex<Connection>,
}

/// What is made at the first call.
#[derive(Default)]
struct Connection {
    runtime: Option<Runtime>,
    client: Option<Client>,
}

/// How long things may take and how large they may be.
#[derive(Clone, Debug)]
struct Limits {
    /// For a connection.
    connect: Duration,
    /// From a request to the head of its answer.
    head: Duration,
    /// For an answer that is read as a whole, such as a page of a list.
    answer: Duration,
    /// For each `progress_bytes` of a body.
    progress: Duration,
    progress_bytes: usize,
    /// What a large object is read by.
    part_bytes: u64,
    /// Parts on the way at a time; all of them are in memory.
    parts: usize,
    /// How often a part is taken up again where it broke off.
    resumes: u32,
    /// Before a request is repeated, times the number of its repetition.
    pause: Duration,
    /// The slowest writing that is waited for.
    write_bytes_per_second: u64,
}

/// One call: a client, and what the call is about.
struct Session<'a> {
    client: Client,
    options: &'a S3Options,
    limits: &'a Limits,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            head: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            progress: Duration::from_secs(10),
            progress_bytes: 64 << 10,
            part_bytes: 2 << 20,
            parts: 4,
            resumes: 3,
            pause: Duration::from_millis(250),
            write_bytes_per_second: 256 << 10,
        }
    }
}

// === impl S3 ===

impl S3 {
    /// A store on a bucket; nothing is asked of it yet.
    pub fn new(options: S3Options) -> Self {
        Self::with(options, Limits::default(), Box::new(client::places))
    }

    fn with(options: S3Options, limits: Limits, places: Box<dyn Fn() -> ConfigLoader + Send + Sync>) -> Self {
        Self { options, limits, places, connection: Mutex::default() }
    }

    /// Does one thing, and says what became of it.
    fn call<T>(
        &self,
        key: &str,
        work: impl AsyncFnOnce(&Session<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let Connection { runtime, client } = &mut *connection;
        let runtime = match runtime {
            Some(runtime) => runtime,
            None => {
                let made = Builder::new_current_thread().enable_all().build();
                runtime.insert(made.map_err(|error| StoreError::new(key, Fault::Local(error)))?)
            }
        };
        let result = runtime.block_on(async {
            let client = match client {
                Some(client) => client,
                None => client.insert(client::connect(&self.options, &self.limits, (self.places)()).await),
            };
            let session = Session { client: client.clone(), options: &self.options, limits: &self.limits };
            // Connections that the server closed since the last call are noticed now, not by the request that
            // would have been the first to use them.
            tokio::task::yield_now().await;
            work(&session).await
        });
        if matches!(result, Err(Fault::Denied(_))) {
            // Files with credentials are replaced without a word: the next call looks for all of them anew.
            *client = None;
        }
        result.map_err(|fault| StoreError::new(key, fault))
    }
}

impl Store for S3 {
    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.call(prefix, async |session| session.list(prefix).await)
    }

    fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.call(prefix, async |session| session.keys(prefix).await)
    }

    fn stat(&self, key: &str) -> Result<Option<Stat>, StoreError> {
        self.call(key, async |session| session.stat(key).await)
    }

    fn read(&self, key: &str, max: u64, known: Option<&str>) -> Result<Read, StoreError> {
        self.call(key, async |session| session.read(key, max, known).await)
    }

    fn download(&self, key: &str, max: u64, sink: &mut dyn io::Write) -> Result<Option<Stat>, StoreError> {
        self.call(key, async |session| session.download(key, max, sink).await)
    }

    fn write(&self, key: &str, body: Body<'_>, condition: Condition<'_>) -> Result<String, StoreError> {
        self.call(key, async |session| session.write(key, body, condition).await)
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.call(key, async |session| session.delete(key).await)
    }

    fn is_remote(&self) -> bool {
        true
    }
}

// === impl Connection ===

impl Drop for Connection {
    /// A runtime must not wait for its threads where others are asynchronous, which is where a store may end.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

// === impl Session ===

impl Session<'_> {
    /// The key in the bucket.
    fn key(&self, key: &str) -> String {
        let prefix = &self.options.prefix;
        if prefix.is_empty() { key.to_owned() } else { format!("{prefix}/{key}") }
    }

    /// What a failed request means.
    fn fault(&self, failure: fault::Failure, asked: fault::Asked) -> Fault {
        if failure.lacks_bucket() {
            return Fault::Refused(format!("there is no bucket `{}`", self.options.bucket));
        }
        failure.into_fault(asked)
    }

    /// What the keys of everything below `prefix` begin with in the bucket; empty for all of it.
    fn folder(&self, prefix: &str) -> String {
        match self.key(prefix) {
            key if key.is_empty() || key.ends_with('/') => key,
            key => key + "/",
        }
    }
}
