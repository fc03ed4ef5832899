//! `sidegate status`: a running sidegate on one page.

use std::process::ExitCode;

use serde_json::Value;

use super::admin_client::Client;
use super::{ShowArgs, models, say, table};

/// Carries the command out.
pub(super) fn run(args: &ShowArgs) -> ExitCode {
    match Client::new(&args.admin).and_then(|client| client.json("/status")) {
        Ok((_, text)) if args.json => say(&format!("{}\n", text.trim_end())),
        Ok((status, _)) => say(&render(&status)),
        Err(failure) => return failure.exit(),
    }
    ExitCode::SUCCESS
}

fn render(status: &Value) -> String {
    let cell = |name: &str| table::cell(&status[name]);
    let title = format!(
        "{} {}, up {}: {}\n\n",
        cell("name"),
        cell("version"),
        table::seconds(&status["uptime_seconds"]),
        state(status)
    );
    let lines = [
        ("data", format!("http {}, uds {}", cell("http"), cell("uds"))),
        ("admin", format!("http {}, ops {}", cell("admin"), cell("ops"))),
        (
            "load",
            format!(
                "workers {}, connections {}, in flight {}",
                cell("workers"),
                cell("connections"),
                cell("inflight")
            ),
        ),
        ("memory", memory(&status["memory"])),
        ("registry", registry(&status["registry"])),
        ("config", config(&status["config"])),
        ("onnxruntime", onnxruntime(&status["onnxruntime"])),
    ];
    let lines: String = lines.iter().map(|(name, text)| format!("{name:<13}{text}\n")).collect();
    format!("{title}{lines}\n{}{}", models::render(&status["models"]), experiments(&status["experiments"]))
}

/// A line per variant and shadow; nothing where there is no experiment.
fn experiments(experiments: &Value) -> String {
    const HEADS: &[&str] =
        &["EXPERIMENT", "MODEL", "VARIANT", "SERVES", "SLOTS", "VERSION", "RULING", "PROBLEM"];
    let mut rows = Vec::new();
    for experiment in experiments.as_array().into_iter().flatten() {
        let list = |name: &str| experiment[name].as_array().into_iter().flatten();
        let shadows = list("shadows").map(|shadow| {
            let mut shadow = shadow.clone();
            shadow["slots"] = "shadow".into();
            shadow
        });
        for variant in list("variants").cloned().chain(shadows) {
            let of_variant = ["name", "serve", "slots", "version", "ruling", "problem"]
                .map(|name| table::cell(&variant[name]));
            let row =
                ["name", "model"].map(|name| table::cell(&experiment[name])).into_iter().chain(of_variant);
            rows.push(row.collect());
        }
    }
    if rows.is_empty() { String::new() } else { format!("\n{}", table::render(HEADS, &["VERSION"], &rows)) }
}

/// The one word that decides, and why.
fn state(status: &Value) -> String {
    let is = |name: &str| status[name].as_bool().unwrap_or_default();
    let word = match (is("draining"), is("ready"), is("live")) {
        (true, ..) => "draining",
        (_, true, _) => "ready",
        (_, _, true) => "live, not ready",
        _ => "not live",
    };
    match status["reason"].as_str() {
        Some(_) => format!("{word} ({})", table::cell(&status["reason"])),
        None => word.into(),
    }
}

fn memory(memory: &Value) -> String {
    let budget = if memory["budget_bytes"].is_null() {
        "no budget".into()
    } else {
        format!("budget {}", table::bytes(&memory["budget_bytes"]))
    };
    format!("{} resident, {budget}", table::bytes(&memory["rss_bytes"]))
}

fn registry(registry: &Value) -> String {
    let up = if registry["up"].as_bool().unwrap_or_default() { "up" } else { "down" };
    let age = table::seconds(&registry["staleness_seconds"]);
    format!(
        "{}, {up}, seen {age} ago, {} models",
        table::cell(&registry["url"]),
        table::cell(&registry["models"])
    )
}

fn config(config: &Value) -> String {
    let file = if config["file"].is_null() { "no file".into() } else { table::cell(&config["file"]) };
    let mut text = format!("{file}, {} reloads", table::cell(&config["reloads"]));
    let pending: Vec<String> =
        config["pending_restart"].as_array().into_iter().flatten().map(table::cell).collect();
    if !pending.is_empty() {
        text += &format!("\n{:13}waits for a restart: {}", "", pending.join(", "));
    }
    // Several problems, one a line; `cell` would put them into one.
    for line in config["last_error"].as_str().unwrap_or_default().lines() {
        text += &format!("\n{:13}{}", "", table::cell(&Value::String(line.into())));
    }
    text
}

fn onnxruntime(library: &Value) -> String {
    match library {
        Value::Null => "not loaded".into(),
        library if library["error"].is_string() => table::cell(&library["error"]),
        library => format!("{}, {}", table::cell(&library["version"]), table::cell(&library["path"])),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_page_tells_it_all() {
        let status = json!({
            "name": "sidegate", "version": "0.1.0", "uptime_seconds": 7800.5, "live": true, "ready": true,
            "reason": null, "draining": false, "http": "127.0.0.1:8000", "uds": null, "admin": "127.0.0.1:8002",
            "ops": null, "workers": 1, "connections": 3, "inflight": 0,
            "registry": {"url": "file:models", "up": true, "staleness_seconds": 0.4, "models": 1},
            "config": {"file": "c.toml", "reloads": 2, "last_error": "the configuration has a problem:\n  c.toml:1: x",
                       "pending_restart": ["http.workers"]},
            "onnxruntime": {"path": "/lib/o.so", "version": "1.32.0"},
            "memory": {"rss_bytes": 25_165_824, "budget_bytes": null},
            "models": [{"name": "churn", "versions": []}],
            "experiments": [{"name": "e", "model": "churn", "variants": [
                {"name": "control", "serve": "1", "slots": "0..1000000", "version": "1", "problem": null},
                {"name": "candidate", "serve": "Staging", "slots": "", "version": null, "ruling": "rolled back", "problem": "none"}],
                "shadows": [{"name": "next", "serve": "2", "version": "2", "problem": null}]}],
        });
        let expected = "\
sidegate 0.1.0, up 2 h 10 min: ready

data         http 127.0.0.1:8000, uds -
admin        http 127.0.0.1:8002, ops -
load         workers 1, connections 3, in flight 0
memory       24 MiB resident, no budget
registry     file:models, up, seen 0.4 s ago, 1 models
config       c.toml, 2 reloads
             waits for a restart: http.workers
             the configuration has a problem:
               c.toml:1: x
onnxruntime  1.32.0, /lib/o.so

MODEL  VERSION  STAGE  STATE  ENGINE  LOAD  BYTES  REASON
churn  -        -      -      -          -      -  -

EXPERIMENT  MODEL  VARIANT    SERVES   SLOTS       VERSION  RULING       PROBLEM
e           churn  control    1        0..1000000        1  -            -
e           churn  candidate  Staging  -                 -  rolled back  none
e           churn  next       2        shadow            2  -            -
";
        assert_eq!(render(&status), expected);
    }

    #[test]
    fn the_state_is_one_word_with_its_reason() {
        for (status, expected) in [
            (json!({"live": true, "ready": true}), "ready"),
            (json!({"live": true, "ready": false, "reason": "no model"}), "live, not ready (no model)"),
            (json!({"live": true, "ready": false, "draining": true}), "draining"),
            (json!({}), "not live"),
        ] {
            assert_eq!(state(&status), expected);
        }
        assert_eq!(onnxruntime(&json!(null)), "not loaded");
        assert_eq!(onnxruntime(&json!({"error": "too old"})), "too old");
    }
}
