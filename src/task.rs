//! Tasks that say in the log when they panic instead of vanishing.

use std::future::Future;

use tokio::task::JoinHandle;

/// Spawns a task with a name for the log.
#[expect(clippy::disallowed_methods, reason = "the one place that may spawn")]
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    struct Alarm(&'static str);
    impl Drop for Alarm {
        fn drop(&mut self) {
            if std::thread::panicking() {
                tracing::error!(task = self.0, "a task panicked");
            }
        }
    }
    tokio::spawn(async move {
        let _alarm = Alarm(name);
        future.await;
    })
}
