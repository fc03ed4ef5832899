//! Clients that keep asking in threads of their own while a test does something to the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::client::{Answer, Connection, Target};

/// Running clients.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Tally>>,
}

/// What the clients saw.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) answered: u64,
    /// Everything that is not a good answer, in words.
    pub(crate) failures: Vec<String>,
    /// Time of each answer that `judge` took for good.
    pub(crate) times: Vec<Duration>,
    /// Versions that answered, as `judge` read them.
    pub(crate) versions: std::collections::BTreeSet<u64>,
}

/// How a client uses connections.
#[derive(Clone, Copy)]
pub(crate) enum Manner {
    KeepAlive,
    /// A new connection for every request.
    OneEach,
}

impl Load {
    /// Starts one client per manner; `judge` says whether an answer is good, and its version.
    pub(crate) fn start(
        target: &Target,
        request: &[u8],
        manners: &[Manner],
        judge: impl Fn(&Answer) -> Result<u64, String> + Clone + Send + 'static,
    ) -> Self {
        Self::paced(target, request, manners, Duration::ZERO, judge)
    }

    /// As [`Load::start`], with a pause after each request, for tests of what runs in the processor's spare time.
    pub(crate) fn paced(
        target: &Target,
        request: &[u8],
        manners: &[Manner],
        pause: Duration,
        judge: impl Fn(&Answer) -> Result<u64, String> + Clone + Send + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let client = |manner: &Manner| {
            let (target, request, judge) = (target.clone(), request.to_vec(), judge.clone());
            let (stop, done) = (stop.clone(), done.clone());
            let client = Client { target, request, stop, done, manner: *manner, pause };
            std::thread::spawn(move || client.run(judge))
        };
        let clients = manners.iter().map(client).collect();
        Self { stop, done, clients }
    }

    /// Waits until so many more requests were answered well, so that the load is known to flow.
    pub(crate) fn flow(&self, more: u64) {
        let goal = self.done.load(Relaxed) + more;
        super::harness::wait("answers under load", Duration::from_secs(20), || {
            (self.done.load(Relaxed) >= goal).then_some(())
        });
    }

    pub(crate) fn stop(self) -> Tally {
        self.stop.store(true, Relaxed);
        let mut all = Tally::default();
        for client in self.clients {
            let tally = client.join().unwrap();
            all.answered += tally.answered;
            all.failures.extend(tally.failures);
            all.times.extend(tally.times);
            all.versions.extend(tally.versions);
        }
        all
    }
}

struct Client {
    target: Target,
    request: Vec<u8>,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    manner: Manner,
    pause: Duration,
}

impl Client {
    fn run(self, judge: impl Fn(&Answer) -> Result<u64, String>) -> Tally {
        let mut tally = Tally::default();
        let mut connection: Option<Connection> = None;
        while !self.stop.load(Relaxed) && tally.failures.len() < 20 {
            let mut open = match connection.take().map_or_else(|| self.target.try_connect(), Ok) {
                Ok(open) => open,
                // Nobody listens any more: the server has drained, and no request of ours was lost.
                Err(e)
                    if matches!(
                        e.kind(),
                        std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::NotFound
                    ) =>
                {
                    break;
                }
                Err(e) if is_reset(&e) && self.target.try_connect().is_err() => break,
                Err(e) => {
                    tally.failures.push(format!("connect: {e}"));
                    continue;
                }
            };
            let fresh = !open.was_used();
            let start = Instant::now();
            let answer = match open.write(&self.request).and_then(|()| open.answer()) {
                Ok(Some(answer)) => answer,
                Ok(None) => {
                    tally.failures.push("closed without an answer".into());
                    continue;
                }
                // The kernel resets what connects in the instant in which a port is closed.
                Err(e) if fresh && is_reset(&e) && self.target.try_connect().is_err() => break,
                Err(e) => {
                    tally.failures.push(format!("no answer: {e}"));
                    continue;
                }
            };
            tally.answered += 1;
            match judge(&answer) {
                Ok(version) => {
                    tally.times.push(start.elapsed());
                    tally.versions.insert(version);
                    self.done.fetch_add(1, Relaxed);
                }
                Err(why) => tally.failures.push(why),
            }
            let closes = answer.header("connection") == Some("close");
            if matches!(self.manner, Manner::KeepAlive) && !closes {
                connection = Some(open);
            }
            std::thread::sleep(self.pause);
        }
        tally
    }
}

fn is_reset(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe)
}

/// For models of [`super::onnx::constant`]: 200, and the number is that of the version it names.
pub(crate) fn constant_judge(answer: &Answer) -> Result<u64, String> {
    if answer.status != 200 {
        return Err(format!("{} {}", answer.status, answer.text()));
    }
    let json = answer.json();
    let version: u64 =
        json["model_version"].as_str().and_then(|v| v.parse().ok()).ok_or("no model_version")?;
    if json["outputs"][0]["data"] == serde_json::json!([version as f64]) {
        Ok(version)
    } else {
        Err(format!("the answer of another version: {json}"))
    }
}

/// The value below which a share of the times lies.
pub(crate) fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    times.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}
