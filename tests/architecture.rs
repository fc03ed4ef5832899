//! The directions of ARCHITECTURE.md, read off the source as text: who may use whom, and what only one place does.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules at the top, and which others each may use.
const MAY_USE: &[(&str, &[&str])] = &[
    // The core: no I/O, no clock, no async; downwards only.
    ("tensor", &[]),
    ("model", &["tensor"]),
    ("json", &["tensor"]),
    ("protocol", &["json", "model", "tensor"]),
    ("onnx", &["model", "tensor"]),
    ("booster", &["json", "model", "tensor"]),
    ("format", &["booster", "model", "onnx"]),
    ("score", &["stats"]),
    ("stats", &[]),
    ("suggest", &[]),
    ("experiment", &["json", "model", "score", "stats", "tensor"]),
    ("drift", &["model", "stats", "tensor"]),
    // What the core does not know.
    ("native", &["tensor"]),
    ("task", &[]),
    ("process", &[]),
    ("failpoint", &[]),
    ("config", &["experiment", "format", "model", "process", "native", "suggest"]),
    ("telemetry", &["config"]),
    ("metrics", &["config", "model"]),
    ("tls", &[]),
    ("mlflow", &["config", "model", "task", "tls"]),
    ("registry", &["config", "failpoint", "format", "json", "mlflow", "model", "score", "tensor"]),
    ("engine", &["booster", "config", "format", "json", "model", "native", "onnx", "tensor"]),
    (
        "serving",
        &[
            "config",
            "drift",
            "engine",
            "experiment",
            "failpoint",
            "format",
            "json",
            "metrics",
            "model",
            "native",
            "process",
            "protocol",
            "registry",
            "task",
            "tensor",
        ],
    ),
    (
        "monitor",
        &[
            "config",
            "drift",
            "engine",
            "experiment",
            "json",
            "metrics",
            "model",
            "native",
            "registry",
            "score",
            "serving",
            "stats",
            "tensor",
        ],
    ),
    (
        "gateway",
        &[
            "config",
            "engine",
            "experiment",
            "json",
            "metrics",
            "model",
            "monitor",
            "native",
            "process",
            "protocol",
            "registry",
            "serving",
            "task",
            "telemetry",
            "tensor",
        ],
    ),
    ("lambda", &["gateway", "metrics", "task"]),
    (
        "cli",
        &[
            "config",
            "drift",
            "engine",
            "experiment",
            "format",
            "gateway",
            "json",
            "lambda",
            "metrics",
            "mlflow",
            "model",
            "monitor",
            "native",
            "process",
            "protocol",
            "registry",
            "score",
            "serving",
            "task",
            "telemetry",
            "tensor",
            "tls",
        ],
    ),
];

/// The same of `src/train/`, a program of its own over the library; what is not named here puts them together.
const TRAIN_MAY_USE: &[(&str, &[&str])] = &[
    ("table", &[]),
    ("environment", &[]),
    ("walk", &[]),
    ("tolerance", &["walk"]),
    ("learner", &["environment", "table", "tolerance"]),
    ("features", &["learner", "table"]),
    ("data", &["features", "table"]),
    ("evaluate", &["table", "walk"]),
    ("mlflow", &["environment", "table"]),
];

/// Beyond this a file has a seam that nobody has looked for. CONTRIBUTING.md asks for far less.
const MOST_LINES: usize = 700;
const MANY_LINES: usize = 400;

/// One file of `src/`: its path there and its text without comments and tests.
struct Source {
    path: String,
    text: String,
    code: String,
}

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            files(&entry.path(), into);
        } else if entry.path().extension().is_some_and(|extension| extension == "rs") {
            into.push(entry.path());
        }
    }
}

/// Every file of the library but those of tests, which may use anything.
fn sources() -> Vec<Source> {
    let mut sources = sources_below("src");
    sources.retain(|source| !source.path.starts_with("train/"));
    sources
}

fn sources_below(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths = Vec::new();
    files(&root, &mut paths);
    paths.sort();
    let named =
        paths.iter().map(|path| (path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(), path));
    let sources: Vec<Source> = named
        .filter(|(path, _)| !path.ends_with("tests.rs") && !path.contains("/tests/"))
        .map(|(path, full)| {
            let text = fs::read_to_string(full).unwrap();
            let code = code(&text);
            Source { path, text, code }
        })
        .collect();
    assert!(sources.len() > 60, "only {} files found", sources.len());
    sources
}

/// The code before the tests, without comments and without what stands in strings.
fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    let mut code = String::new();
    for line in text[..end].lines() {
        let mut quoted = false;
        let mut escaped = false;
        let mut characters = line.chars().peekable();
        while let Some(c) = characters.next() {
            match c {
                '\\' if quoted => escaped = !escaped,
                '"' if !escaped => quoted = !quoted,
                '/' if !quoted && characters.peek() == Some(&'/') => break,
                _ if quoted => {}
                _ => code.push(c),
            }
            if c != '\\' {
                escaped = false;
            }
        }
        code.push('\n');
    }
    code
}

/// `serving/loader/plan.rs` belongs to `serving`.
fn top(path: &str) -> &str {
    path.split('/').next().unwrap().trim_end_matches(".rs")
}

/// The modules at the top that code names as `crate::…`, alone or in a list.
fn uses(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let flat: String = code.split_whitespace().collect::<Vec<_>>().join(" ");
    for (at, _) in flat.match_indices("crate::") {
        // `$crate::` and `some_crate::` are others.
        if flat[..at].ends_with(|c: char| c == '_' || c.is_alphanumeric()) {
            continue;
        }
        let rest = &flat[at + "crate::".len()..];
        let word = |text: &str| {
            text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
        };
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut start = 0;
            for (position, c) in list.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => {
                        found.insert(word(&list[start..position]));
                        break;
                    }
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        found.insert(word(&list[start..position]));
                        start = position + 1;
                    }
                    _ => {}
                }
            }
        } else {
            found.insert(word(rest));
        }
    }
    found.remove("");
    found
}

/// Fails with every file in which `pattern` occurs and which is not among those allowed.
#[track_caller]
fn only_in(pattern: &str, allowed: &[&str]) {
    let is_allowed =
        |path: &str| allowed.iter().any(|a| path == *a || (a.ends_with('/') && path.starts_with(a)));
    let sources = sources();
    let found: Vec<&str> =
        sources.iter().filter(|s| s.code.contains(pattern)).map(|s| s.path.as_str()).collect();
    assert!(found.iter().any(|path| is_allowed(path)), "`{pattern}` is nowhere any more: {allowed:?}");
    let strange: Vec<_> = found.into_iter().filter(|path| !is_allowed(path)).collect();
    assert!(strange.is_empty(), "`{pattern}` belongs to {allowed:?}, and is in {strange:?}");
}

#[test]
fn the_reader_of_sources_reads_them() {
    let text = "use crate::{config::{Config, Key}, json};\n// crate::gateway\nlet a = \"crate::cli\"; crate::tensor::x();\n\
                $crate::model::y(); my_crate::onnx::z();\n#[cfg(test)]\nmod tests { use crate::serving; }";
    let found: Vec<String> = uses(&code(text)).into_iter().collect();
    assert_eq!(found, ["config", "json", "model", "tensor"]);
}

#[test]
fn modules_use_only_those_below_them() {
    let table: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let train: BTreeMap<&str, &[&str]> = TRAIN_MAY_USE.iter().copied().collect();
    let mut wrong = Vec::new();
    for source in sources_below("src/train") {
        let module = top(&source.path);
        let Some(allowed) = train.get(module) else { continue };
        for used in
            uses(&source.code).iter().filter(|used| *used != module && !allowed.contains(&used.as_str()))
        {
            wrong.push(format!("train/{}: {module} must not use {used}", source.path));
        }
    }
    for source in sources() {
        let module = top(&source.path);
        if matches!(module, "lib" | "main") {
            continue;
        }
        let allowed =
            table.get(module).unwrap_or_else(|| panic!("`{module}` is new: give it a place in MAY_USE"));
        for used in uses(&source.code) {
            if table.contains_key(used.as_str()) && used != module && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{}: {module} must not use {used}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_directions_have_no_circle() {
    let table: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    for (position, (module, allowed)) in MAY_USE.iter().enumerate() {
        for used in *allowed {
            let below = MAY_USE[..position].iter().any(|(name, _)| name == used);
            assert!(below || !table[used].contains(module), "{module} and {used} use each other");
        }
    }
}

#[test]
fn the_core_does_no_io_and_knows_no_clock() {
    let outside = [
        "std::fs",
        "std::net",
        "std::io",
        "std::thread",
        "std::time",
        "tokio",
        "Instant",
        "SystemTime",
        "async fn",
        ".await",
    ];
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|s| {
        matches!(
            top(&s.path),
            "tensor"
                | "model"
                | "json"
                | "protocol"
                | "onnx"
                | "booster"
                | "format"
                | "score"
                | "stats"
                | "experiment"
                | "drift"
        )
    }) {
        wrong.extend(
            outside
                .iter()
                .filter(|word| source.code.contains(**word))
                .map(|word| format!("{}: {word}", source.path)),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn one_place_does_what_only_one_place_should() {
    only_in("unsafe", &["native.rs", "native/"]);
    only_in("unsafe_code", &["native.rs", "native/"]);
    only_in("std::env::var", &["config.rs", "config/", "failpoint.rs", "native/process.rs"]);
    only_in("tokio::spawn", &["task.rs"]);
    only_in("prometheus::", &["metrics.rs", "metrics/performance.rs", "metrics/totals.rs"]);
    only_in("Arc::new(Snapshot", &["serving/loader/publish.rs"]);
    only_in("httparse", &["gateway/http/", "cli/answer.rs"]);
    only_in(
        "hyper::",
        &["gateway/admin.rs", "gateway/admin/", "gateway/upstream.rs", "lambda.rs", "lambda/", "mlflow/"],
    );
    only_in("clap::", &["cli.rs", "cli/"]);
    only_in("tracing_subscriber", &["telemetry.rs"]);
    only_in("toml::", &["config.rs", "config/"]);
}

#[test]
fn every_module_says_what_it_is() {
    let sources = sources();
    let silent: Vec<&str> =
        sources.iter().filter(|s| !s.text.starts_with("//! ")).map(|s| s.path.as_str()).collect();
    assert!(silent.is_empty(), "no `//!` at the start of {silent:?}");
}

#[test]
fn files_are_small_enough_to_read() {
    let mut long = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > MANY_LINES {
            println!("{} has {lines} lines", source.path);
        }
        if lines > MOST_LINES {
            long.push(format!("{}: {lines} lines", source.path));
        }
    }
    assert!(long.is_empty(), "look for the seam in {long:?}");
}
