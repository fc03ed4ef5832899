//! The child as a process: started, fed, watched, and ended whatever happens.

use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::{Builder, Scope, ScopedJoinHandle, scope};
use std::time::{Duration, Instant};

use super::ending::{self, Ending};
use super::message::Header;
use super::{CLOCK, COMMAND, ChildLoad, NotLoaded};
use crate::native;

/// What is kept of its output and of the end of its log.
const OUTPUT_BYTES: usize = 64 << 10;
const LOG_BYTES: usize = 4 << 10;

/// The longest pause between two looks at it.
const LOOK: Duration = Duration::from_millis(20);

/// Stops a child that is still there with all it started, and leaves no zombie: what holds its output open would be
/// waited for.
struct Held {
    child: Child,
    waited: bool,
}

impl Held {
    fn end(&mut self) -> io::Result<ExitStatus> {
        // In this order: who has been waited for may share its number with a stranger.
        native::kill_group(&self.child);
        self.waited = true;
        self.child.wait()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.waited {
            drop(self.end());
        }
    }
}

impl ChildLoad<'_> {
    /// Loads the version in a child process and waits for it. `go_on` is asked every few milliseconds; once it says
    /// no, the child is killed.
    ///
    /// The child inherits the priority of the calling thread.
    ///
    /// # Errors
    /// See [`NotLoaded`].
    pub fn run(&self, go_on: &mut dyn FnMut() -> bool) -> Result<(), NotLoaded> {
        if !cfg!(target_os = "linux") {
            return Err(NotLoaded::Unavailable("child processes are confined on Linux only".to_owned()));
        }
        // The running file itself, also when another one has taken its place on disk.
        let mut command = Command::new("/proc/self/exe");
        command.arg0("sidegate").arg(COMMAND).current_dir("/");
        // Neither settings nor secrets: what the child must know, it is told. Sockets and files of this process are
        // closed when the child starts; the standard library opens all of them so.
        command.env_clear().envs(crate::native::library_path().map(|path| ("LD_LIBRARY_PATH", path)));
        self.run_as(command, go_on)
    }

    /// How long it may take by the clock.
    pub(super) fn longest(&self) -> Duration {
        self.timeout.saturating_mul(CLOCK)
    }

    /// As [`ChildLoad::run`], with another program.
    pub(super) fn run_as(
        &self,
        mut command: Command,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<(), NotLoaded> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A key that interrupts this process in a terminal is this process's to answer, and a group can be killed.
        command.process_group(0);
        let start = Instant::now();
        let (ended, output, log) =
            self.watch(&mut command, start + self.longest(), go_on).map_err(unavailable)?;
        if !log.is_empty() {
            tracing::debug!(log = %String::from_utf8_lossy(&log), "the trial load wrote");
        }
        let result = ending::judge(ended, &output, &log, self);
        tracing::debug!(?result, took_ms = start.elapsed().as_millis() as u64, "trial load ended");
        result
    }

    /// Starts and feeds it until it ends; gives its output and the end of its log.
    fn watch(
        &self,
        command: &mut Command,
        deadline: Instant,
        go_on: &mut dyn FnMut() -> bool,
    ) -> io::Result<(Ending, Vec<u8>, Vec<u8>)> {
        let header = Header::new(self);
        // The threads end with the pipes, which end with the child: `held` is dropped before they are waited for.
        scope(|threads| {
            let mut held = Held { child: command.spawn()?, waited: false };
            let child = &mut held.child;
            let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
            let output = thread(threads, move || stdout.map(first).unwrap_or_default())?;
            let log = thread(threads, move || stderr.map(last).unwrap_or_default())?;
            // One that ends early does not read to the end; its end says more than the broken pipe.
            let feed = move || stdin.map(|mut stdin: ChildStdin| header.send(self, &mut stdin));
            thread(threads, move || drop(feed()))?;
            let ending = until_end(&mut held, deadline, go_on)?;
            drop(held);
            Ok((ending, output.join().unwrap_or_default(), log.join().unwrap_or_default()))
        })
    }
}

fn unavailable(error: io::Error) -> NotLoaded {
    NotLoaded::Unavailable(error.to_string())
}

fn thread<'scope, T: Send + 'scope>(
    threads: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    Builder::new().name("trial-load".into()).spawn_scoped(threads, work)
}

fn until_end(held: &mut Held, deadline: Instant, go_on: &mut dyn FnMut() -> bool) -> io::Result<Ending> {
    let mut pause = Duration::from_millis(1);
    loop {
        if native::has_ended(&held.child)? {
            return held.end().map(Ending::Ended);
        }
        if !go_on() {
            return Ok(Ending::Stopped);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Ending::TimedOut);
        }
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(LOOK);
    }
}

/// The beginning of its output; the rest is read so that it need not wait, and let go.
fn first(mut stream: ChildStdout) -> Vec<u8> {
    let mut kept = Vec::new();
    drop(stream.by_ref().take(OUTPUT_BYTES as u64).read_to_end(&mut kept));
    drop(io::copy(&mut stream, &mut io::sink()));
    kept
}

/// The end of its log.
fn last(mut stream: ChildStderr) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut chunk = [0; 1024];
    while let Ok(length @ 1..) = stream.read(&mut chunk) {
        kept.extend_from_slice(&chunk[..length]);
        let surplus = kept.len().saturating_sub(LOG_BYTES);
        kept.drain(..surplus);
    }
    kept
}
