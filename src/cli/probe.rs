//! `sidegate probe`: one line and an exit code, for health checks of images without curl.

use std::process::ExitCode;

use serde_json::Value;

use super::admin_client::Client;
use super::answer::Answer;
use super::{FAILURE, Probe, ProbeArgs, say, table};

/// Carries the command out.
pub(super) fn run(args: &ProbeArgs) -> ExitCode {
    let (path, word) = match args.probe {
        Probe::Live => ("/livez", "live"),
        Probe::Ready => ("/readyz", "ready"),
        Probe::Startup => ("/startupz", "started"),
    };
    match Client::new(&args.admin).and_then(|client| client.get(path)) {
        Ok(answer) => {
            let (line, passed) = judge(&answer, word);
            say(&line);
            if passed { ExitCode::SUCCESS } else { FAILURE.into() }
        }
        Err(failure) => failure.exit(),
    }
}

/// The line, and whether the probe passed.
fn judge(answer: &Answer, word: &str) -> (String, bool) {
    if (200..300).contains(&answer.status) {
        return (format!("{word}\n"), true);
    }
    let text = String::from_utf8_lossy(&answer.body);
    let json: Value = serde_json::from_str(&text).unwrap_or_default();
    let named = [&json["reason"], &json["error"]].into_iter().find(|value| value.is_string());
    // A probe may answer in plain text.
    let plain = Value::String(text.lines().next().unwrap_or_default().into());
    let reason = match named {
        Some(reason) => table::cell(reason),
        None if json.is_null() && !text.trim().is_empty() => table::cell(&plain),
        None => format!("status {}", answer.status),
    };
    (format!("not {word}: {reason}\n"), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_one_line() {
        for (status, body, expected) in [
            (200, "ok", "ready\n"),
            (503, r#"{"reason":"no model is loaded"}"#, "not ready: no model is loaded\n"),
            (503, r#"{"error":"draining"}"#, "not ready: draining\n"),
            (503, "starting\nmore", "not ready: starting\n"),
            (404, "", "not ready: status 404\n"),
            (503, "{}", "not ready: status 503\n"),
        ] {
            let (line, passed) = judge(&Answer { status, body: body.into(), closes: false }, "ready");
            assert_eq!((line.as_str(), passed), (expected, status == 200), "{body}");
        }
    }
}
