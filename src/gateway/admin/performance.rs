//! How good predictions are, by the actuals that came: `/performance/MODEL`.

use core::time::Duration;

use hyper::StatusCode;
use tokio::sync::oneshot;

use super::{Answer, failure, text};
use crate::experiment::time;
use crate::gateway::Gateway;
use crate::monitor::{Ask, Judged};

/// The windows that can be asked for: those that panes are kept for, in whole ones.
const WINDOWS: std::ops::RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(7 * 86_400);

/// The answer.
pub(super) async fn answer(gateway: &Gateway, model: &str, query: &str) -> Answer {
    let asked = match asked(model, query) {
        Ok(asked) => asked,
        Err(problem) => return failure(StatusCode::BAD_REQUEST, "invalid_request", &problem),
    };
    let missing = format!("no such version of model `{}` is loaded; see /models", asked.model);
    let (reply, result) = oneshot::channel();
    gateway.monitor.ask(Ask::Performance(asked, reply));
    match result.await {
        Ok(Some(known)) => text(StatusCode::OK, &known),
        Ok(None) => failure(StatusCode::NOT_FOUND, "not_found", &missing),
        Err(_) => failure(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "the monitor has ended"),
    }
}

/// What a path and its parameters ask: `version=7` and `window=15m`, both optional.
fn asked(model: &str, query: &str) -> Result<Judged, String> {
    let mut asked =
        Judged { model: model.parse().map_err(|error| format!("{error}"))?, version: None, window: None };
    for (name, value) in query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
    {
        match name {
            "version" => {
                asked.version =
                    Some(value.parse().map_err(|_| "`version` is no number of a version".to_owned())?)
            }
            "window" => {
                let window = time(value).filter(|window| WINDOWS.contains(window));
                let window = window.ok_or("`window` is a time from 1m to 7d, such as 15m, 2h or 7d")?;
                asked.window = Some(window.as_millis() as u64);
            }
            _ => {
                return Err(format!(
                    "`{}` is no parameter; there are version and window",
                    crate::model::shorten(name)
                ));
            }
        }
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_windows_are_asked_for_by_name() {
        let judged = |version: Option<&str>, window| {
            Ok(Judged {
                model: "m".parse().unwrap(),
                version: version.map(|version| version.parse().unwrap()),
                window,
            })
        };
        assert_eq!(asked("m", ""), judged(None, None));
        assert_eq!(asked("m", "window=15m&version=7"), judged(Some("7"), Some(900_000)));
        assert_eq!(asked("m", "window=7d"), judged(None, Some(7 * 86_400_000)));
        for bad in ["window=8d", "window=30s", "window=", "window=1", "version=x", "windows=1h", "window"] {
            assert!(asked("m", bad).is_err(), "{bad}");
        }
        assert!(asked("a/b", "").is_err());
    }
}
