//! Places where a test ends the process as `kill -9` would. In builds without debug assertions they are nothing.

/// The variable that names the place; no key of the configuration.
pub const VARIABLE: &str = "TEST_ABORT_AT";

/// Before the name of a place: the process is ended by SIGKILL from outside, not by itself.
pub const KILLED: &str = "KILL ";

/// Ends the process here, at once and without any cleaning up, when the environment names this place.
#[inline]
pub fn at(place: &str) {
    #[cfg(debug_assertions)]
    {
        use std::sync::OnceLock;
        static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
        #[expect(clippy::disallowed_methods, reason = "a switch for tests, and no configuration")]
        let chosen = CHOSEN.get_or_init(|| std::env::var(VARIABLE).ok());
        match chosen.as_deref() {
            Some(chosen) if chosen == place => std::process::abort(),
            Some(chosen) if chosen.strip_prefix(KILLED) == Some(place) => {
                drop(std::process::Command::new("/bin/sh").args(["-c", "kill -KILL $PPID"]).status());
            }
            _ => {}
        }
    }
    let _ = place;
}
