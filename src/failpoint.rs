//! Places where a test ends the process as `kill -9` would. In builds without debug assertions they are nothing.

/// The variable that names the place; no key of the configuration.
pub const VARIABLE: &str = "TEST_ABORT_AT";

/// Ends the process here, at once and without any cleaning up, when the environment names this place.
#[inline]
pub fn at(place: &str) {
    #[cfg(debug_assertions)]
    {
        use std::sync::OnceLock;
        static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
        #[expect(clippy::disallowed_methods, reason = "a switch for tests, and no configuration")]
        let chosen = CHOSEN.get_or_init(|| std::env::var(VARIABLE).ok());
        if chosen.as_deref() == Some(place) {
            std::process::abort();
        }
    }
    let _ = place;
}
