//! SIGTERM and Ctrl-C: the first ends a schedule as soon as nothing is trained, a second at once.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::turns::Waiting;

/// The longest wait without a look at the clock, which may have been set.
const LOOK: Duration = Duration::from_secs(30);
/// As a shell reports a program that SIGTERM ended.
const TERMINATED: i32 = 128 + 15;

/// Hears them on a thread of its own.
pub(super) struct Signals {
    told: Arc<(Mutex<bool>, Condvar)>,
}

// === impl Signals ===

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the system has no more threads or handlers.
    pub(super) fn listen() -> io::Result<Self> {
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
}

async fn hear(mut terminate: Signal, mut interrupt: Signal, told: &(Mutex<bool>, Condvar)) {
    next(&mut terminate, &mut interrupt).await;
    *told.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
    told.1.notify_all();
    next(&mut terminate, &mut interrupt).await;
    #[expect(
        clippy::disallowed_methods,
        reason = "a training cannot be asked to end; its lock runs out by itself"
    )]
    std::process::exit(TERMINATED);
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

impl Waiting for Signals {
    fn until(&mut self, time: OffsetDateTime) -> bool {
        let (told, changed) = &*self.told;
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if *told {
                return false;
            }
            let left = time - OffsetDateTime::now_utc();
            let Ok(left) = Duration::try_from(left) else { return true };
            if left.is_zero() {
                return true;
            }
            let waited = changed.wait_timeout(told, left.min(LOOK));
            told = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
