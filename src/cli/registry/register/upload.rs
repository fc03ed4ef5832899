//! How far the upload is, on standard error where somebody watches.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often it turns while a file is on its way.
const TICK: Duration = Duration::from_millis(120);

/// The line; it is wiped when this is dropped.
pub(super) struct Upload(ProgressBar);

impl Upload {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template(
            "{spinner} {bar:24} {msg} {binary_bytes}/{binary_total_bytes} {elapsed}",
        );
        Self(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    /// Says which file is written, and how much of it is there.
    pub(super) fn tell(&self, file: &str, done: u64, of: u64) {
        self.0.enable_steady_tick(TICK);
        self.0.set_length(of);
        self.0.set_position(done);
        self.0.set_message(file.to_owned());
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
