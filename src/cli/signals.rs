//! SIGTERM and Ctrl-C for commands that go on until they are told to end: the first ends them as soon as nothing is half
//! done, a second at once. The first process of a container hears of neither unless it listens.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// As a shell reports a program that SIGTERM ended.
const TERMINATED: i32 = 128 + 15;

/// Hears them on a thread of its own.
pub struct Signals {
    told: Arc<(Mutex<bool>, Condvar)>,
}

// === impl Signals ===

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the system has no more threads or handlers.
    pub fn listen() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (terminate, interrupt) = {
            let _within = runtime.enter();
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
        };
        let told = Arc::new((Mutex::new(false), Condvar::new()));
        let to = Arc::clone(&told);
        let hear = move || runtime.block_on(hear(terminate, interrupt, &to));
        std::thread::Builder::new().name("signals".to_owned()).spawn(hear)?;
        Ok(Self { told })
    }

    /// From now on the first signal ends this process at once, for work that may end at any place.
    ///
    /// # Errors
    /// As [`Signals::listen`].
    pub fn end_at_once() -> io::Result<()> {
        let signals = Self::listen()?;
        let wait = move || {
            while signals.wait(Duration::from_secs(3600)) {}
            exit()
        };
        std::thread::Builder::new().name("end".to_owned()).spawn(wait).map(drop)
    }

    /// Waits so long, and no longer than to a signal; whether it may go on.
    pub fn wait(&self, time: Duration) -> bool {
        let (told, changed) = &*self.told;
        let told = told.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_timeout_while(told, time, |told| !*told);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

async fn hear(mut terminate: Signal, mut interrupt: Signal, told: &(Mutex<bool>, Condvar)) {
    next(&mut terminate, &mut interrupt).await;
    *told.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
    told.1.notify_all();
    next(&mut terminate, &mut interrupt).await;
    exit()
}

fn exit() -> ! {
    #[expect(
        clippy::disallowed_methods,
        reason = "what is under way cannot be asked to end, and may end at any place"
    )]
    std::process::exit(TERMINATED)
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
