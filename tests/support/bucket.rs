//! A bucket on loopback that can be made to fail: s3s-fs in this process, and faults before it.
//!
//! It is part of the library's own tests and of those of the binary. Its folder is real: a file dropped there is an
//! object.
#![allow(dead_code, reason = "every user of this file uses a part of it")]

#[path = "bucket/body.rs"]
mod body;
#[path = "bucket/disk.rs"]
mod disk;
#[path = "bucket/server.rs"]
mod server;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::Notify;

const BUCKET: &str = "models";
const PREFIX: &str = "team/a";
pub(crate) const ACCESS_KEY: &str = "testkey";
/// It holds the word that may be in no log and no answer.
pub(crate) const SECRET_KEY: &str = "canary-5ecret-d0-not-print-this";

/// A running bucket; it ends when this is dropped.
pub(crate) struct Bucket {
    address: SocketAddr,
    root: TempDir,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

/// What can go wrong on the way or behind it.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Nobody listens, and who is connected is cut off.
    Down,
    /// An answer with this status and code of S3.
    Answer(u16, &'static str),
    /// An answer to somewhere else.
    Redirect(String),
    /// Everything takes this much longer.
    Delay(Duration),
    /// Bodies end after so many bytes, and so does the connection.
    Cut(usize),
    /// Bodies stop after so many bytes; the connection stays.
    Stall(usize),
    /// Bodies come with so many bytes a second.
    Trickle(usize),
    /// The header says so many bytes more than there are.
    Length(i64),
    /// Another object takes its place, once, after an answer was given.
    Replace(Vec<u8>),
    /// The request is carried out and never answered.
    LostReply,
    /// Writes happen whatever their conditions, as in old stores.
    IgnoreConditions,
}

/// A fault, for some requests.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    fault: Fault,
    method: Option<&'static str>,
    key: Option<String>,
    skip: usize,
    left: usize,
}

/// A request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query, with the bucket.
    pub(crate) target: String,
    /// The header `range`.
    pub(crate) range: Option<String>,
    /// Every header, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
}

/// What the server and its owner share.
struct State {
    rules: Mutex<Vec<Rule>>,
    requests: Mutex<Vec<Request>>,
    sent: Mutex<u64>,
    /// Keys and secrets; the first pair is the one that [`Bucket::environment`] hands out.
    credentials: Mutex<Vec<(String, String)>>,
    not_modified: AtomicBool,
    down: AtomicBool,
    ended: AtomicBool,
    changed: Notify,
}

// === impl Request ===

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// The access key it was signed with.
    pub(crate) fn signer(&self) -> Option<&str> {
        self.header("authorization")?.split_once("Credential=")?.1.split('/').next()
    }
}

// === impl Rule ===

impl Rule {
    pub(crate) fn new(fault: Fault) -> Self {
        Self { fault, method: None, key: None, skip: 0, left: usize::MAX }
    }

    /// Only for requests of this method.
    pub(crate) fn method(mut self, method: &'static str) -> Self {
        self.method = Some(method);
        self
    }

    /// Only for requests whose target has this in it.
    pub(crate) fn key(mut self, part: &str) -> Self {
        self.key = Some(part.to_owned());
        self
    }

    /// Not for the first ones.
    pub(crate) fn after(mut self, requests: usize) -> Self {
        self.skip = requests;
        self
    }

    /// Only so often.
    pub(crate) fn times(mut self, requests: usize) -> Self {
        self.left = requests;
        self
    }
}

// === impl Bucket ===

impl Bucket {
    /// An empty bucket on a free port.
    pub(crate) fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join(BUCKET).join(PREFIX)).unwrap();
        let state = Arc::new(State {
            rules: Mutex::default(),
            requests: Mutex::default(),
            sent: Mutex::default(),
            credentials: Mutex::new(vec![(ACCESS_KEY.into(), SECRET_KEY.into())]),
            not_modified: AtomicBool::new(false),
            down: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            changed: Notify::new(),
        });
        let (address, thread) = server::start(root.path(), state.clone());
        Self { address, root, state, thread: Some(thread) }
    }

    pub(crate) fn name(&self) -> &'static str {
        BUCKET
    }

    pub(crate) fn prefix(&self) -> &'static str {
        PREFIX
    }

    /// For `registry.url`.
    pub(crate) fn url(&self) -> String {
        format!("s3://{BUCKET}/{PREFIX}")
    }

    /// For `registry.endpoint`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Variables for a process that uses the bucket, and nothing else that this machine may know of AWS.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let (key, secret) = self.state.credentials.lock().unwrap()[0].clone();
        let endpoint = self.endpoint();
        [
            ("AWS_ACCESS_KEY_ID", key.as_str()),
            ("AWS_SECRET_ACCESS_KEY", &secret),
            ("AWS_ENDPOINT_URL", &endpoint),
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("NO_PROXY", "127.0.0.1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// What is below the prefix: files dropped here are objects, at once.
    pub(crate) fn folder(&self) -> PathBuf {
        self.root.path().join(BUCKET).join(PREFIX)
    }

    /// One fault, for every request from now on.
    pub(crate) fn set_fault(&self, fault: Fault) {
        self.set_rules(vec![Rule::new(fault)]);
    }

    /// What goes wrong from now on: for each request the first rule that is meant for it.
    pub(crate) fn set_rules(&self, rules: Vec<Rule>) {
        let down = rules.iter().any(|rule| matches!(rule.fault, Fault::Down));
        *self.state.rules.lock().unwrap() = rules;
        self.state.down.store(down, Ordering::SeqCst);
        self.state.changed.notify_one();
        // Whoever asks next must find it so.
        while down != std::net::TcpStream::connect(self.address).is_err() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Nothing goes wrong any more.
    pub(crate) fn heal(&self) {
        self.set_rules(Vec::new());
    }

    /// Whether `If-None-Match` of a read is answered with 304; s3s-fs sends the object again.
    pub(crate) fn set_not_modified(&self, on: bool) {
        self.state.not_modified.store(on, Ordering::SeqCst);
    }

    /// The credentials that count from now on.
    pub(crate) fn set_credentials(&self, key: &str, secret: &str) {
        self.state.credentials.lock().unwrap().clear();
        self.add_credentials(key, secret);
    }

    /// Credentials that count as well from now on.
    pub(crate) fn add_credentials(&self, key: &str, secret: &str) {
        self.state.credentials.lock().unwrap().push((key.to_owned(), secret.to_owned()));
    }

    /// The requests since the last call of this.
    pub(crate) fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut *self.state.requests.lock().unwrap())
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    /// How many requests of a method came so far.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.requests().iter().filter(|request| request.method == method).count()
    }

    /// Bytes of bodies that were sent so far.
    pub(crate) fn sent(&self) -> u64 {
        *self.state.sent.lock().unwrap()
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        self.state.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

// === impl State ===

impl State {
    /// Notes a request, and says what goes wrong with it.
    fn fault_for(&self, request: Request) -> Option<Fault> {
        let mut rules = self.rules.lock().unwrap();
        let mut meant = None;
        for rule in rules.iter_mut() {
            let fits = rule.method.is_none_or(|method| method == request.method)
                && rule.key.as_ref().is_none_or(|key| request.target.contains(key.as_str()));
            match (rule.skip, rule.left) {
                _ if !fits => {}
                (0, 0) => {}
                (0, _) => {
                    rule.left -= 1;
                    meant = Some(rule.fault.clone());
                    break;
                }
                _ => rule.skip -= 1,
            }
        }
        self.requests.lock().unwrap().push(request);
        meant
    }

    /// Whether writes happen whatever their conditions.
    fn ignores_conditions(&self) -> bool {
        self.rules.lock().unwrap().iter().any(|rule| matches!(rule.fault, Fault::IgnoreConditions))
    }

    fn path(root: &Path, bucket: &str, key: &str) -> PathBuf {
        root.join(bucket).join(key)
    }
}
