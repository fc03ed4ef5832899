//! `sidegate models`: what a running sidegate serves, and why something is not served.

use std::process::ExitCode;

use serde_json::Value;

use super::admin_client::Client;
use super::{ShowArgs, say, table};

const HEADS: &[&str] = &["MODEL", "VERSION", "STAGE", "STATE", "ENGINE", "LOAD", "BYTES", "REASON"];

/// Carries the command out.
pub(super) fn run(args: &ShowArgs) -> ExitCode {
    match Client::new(&args.admin).and_then(|client| client.json("/models")) {
        Ok((_, text)) if args.json => say(&format!("{}\n", text.trim_end())),
        Ok((models, _)) => say(&render(&models)),
        Err(failure) => return failure.exit(),
    }
    ExitCode::SUCCESS
}

/// A line per version; a model without one has a line of its own.
pub(super) fn render(models: &Value) -> String {
    let mut rows = Vec::new();
    for model in models.as_array().into_iter().flatten() {
        let name = table::cell(&model["name"]);
        let versions = model["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
        if versions.is_empty() {
            let row = HEADS.iter().map(|head| match *head {
                "MODEL" => name.clone(),
                "REASON" => reason(&model["problem"]),
                _ => "-".into(),
            });
            rows.push(row.collect());
        }
        rows.extend(versions.iter().map(|version| row(&name, version)));
    }
    if rows.is_empty() {
        return "no models\n".into();
    }
    table::render(HEADS, &["LOAD", "BYTES"], &rows)
}

fn reason(reason: &Value) -> String {
    match reason {
        Value::Object(reason) => {
            let part = |name| table::cell(reason.get(name).unwrap_or(&Value::Null));
            format!("{}: {}", part("code"), part("detail"))
        }
        other => table::cell(other),
    }
}

fn row(name: &str, version: &Value) -> Vec<String> {
    vec![
        name.to_owned(),
        table::cell(&version["version"]),
        table::cell(&version["stage"]),
        table::cell(&version["state"]),
        table::cell(&version["engine"]),
        table::milliseconds(&version["load_ms"]),
        table::bytes(&version["bytes"]),
        reason(&version["reason"]),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn versions_are_lines() {
        let models = json!([
            {"name": "churn", "versions": [
                {"version": "7", "stage": "Production", "state": "serving", "engine": "trees", "load_ms": 12.4, "bytes": 318_672, "reason": null},
                {"version": "8", "stage": "Staging", "state": "failed", "engine": null, "load_ms": null, "bytes": null,
                 "reason": {"code": "parse", "detail": "not a model"}},
            ]},
            {"name": "empty", "versions": []},
            {"name": "lost", "versions": [], "problem": {"code": "stale", "detail": "put it back"}},
        ]);
        let expected = "\
MODEL  VERSION  STAGE       STATE    ENGINE   LOAD    BYTES  REASON
churn  7        Production  serving  trees   12 ms  311 KiB  -
churn  8        Staging     failed   -           -        -  parse: not a model
empty  -        -           -        -           -        -  -
lost   -        -           -        -           -        -  stale: put it back
";
        assert_eq!(render(&models), expected);
    }

    #[test]
    fn no_models_is_said() {
        assert_eq!(render(&json!([])), "no models\n");
        assert_eq!(render(&json!({"unexpected": 1})), "no models\n");
    }
}
