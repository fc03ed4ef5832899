//! `sidegate check`: the effective configuration with the origin of each value, or every problem.
//!
//! Beyond the configuration itself it looks at what the configuration names: folders, files, sockets.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::{CheckArgs, USAGE, complain, say, store, usage_error};
use crate::config::{
    Config, Loaded, Origin, Problem, Problems, RegistryUrl, Sources, annotated, load_leniently, read_tokens,
    values,
};
use crate::model::Selector;
use crate::registry::signature::Keys;
use crate::registry::{Catalog, Registry};

/// Carries the command out.
pub(super) fn run(args: &CheckArgs) -> ExitCode {
    let (loaded, problems) = examine(&args.serve.sources());
    if args.json {
        say(&format!("{:#}\n", as_json(&loaded, &problems)));
        return if problems.is_empty() { ExitCode::SUCCESS } else { USAGE.into() };
    }
    if !problems.is_empty() {
        return usage_error(&Problems(problems));
    }
    say(&as_text(&loaded));
    for warning in loaded.config.warnings() {
        complain(&format!("warning: {warning}\n"));
    }
    ExitCode::SUCCESS
}

fn examine(sources: &Sources) -> (Loaded, Vec<Problem>) {
    let (loaded, mut problems) = load_leniently(sources);
    let config = &loaded.config;
    let mut look = |key: &str, result: Result<(), String>| {
        // What could not be read is a problem already; what stands there instead is not what is meant.
        let known = problems.iter().any(|problem| problem.key.as_deref() == Some(key));
        if let Err(text) = result
            && !known
        {
            let origin = loaded.origins.get(key).cloned().unwrap_or(Origin::Default);
            problems.push(Problem { origin, key: Some(key.into()), text });
        }
    };
    look("registry.url", registry(&config.registry.url));
    look("http.uds", config.http.uds.as_deref().map_or(Ok(()), socket));
    let tokens = |path: &Path| read_tokens(path).map(drop).map_err(|error| error.to_string());
    look("admin.token_file", config.admin.token_file.as_deref().map_or(Ok(()), tokens));
    look("auth.token_file", config.auth.token_file.as_deref().map_or(Ok(()), tokens));
    look("experiments.receipt_key_file", config.trials.receipt_key_file.as_deref().map_or(Ok(()), tokens));
    let keys = |path: &PathBuf| Keys::load(path).map(drop).map_err(|error| error.to_string());
    look("registry.public_keys_dir", config.registry.public_keys_dir.as_ref().map_or(Ok(()), keys));
    look("engine.onnxruntime", config.engine.onnxruntime.as_deref().map_or(Ok(()), readable));
    for (key, text) in experiments(config) {
        look(&key, Err(text));
    }
    (loaded, problems)
}

/// What experiments name and a folder does not have: a server starts without it, and the default variant answers.
fn experiments(config: &Config) -> Vec<(String, String)> {
    let there = matches!(&config.registry.url, RegistryUrl::File(path) if path.is_dir());
    let Some(store) = store::open(&config.registry, 1).ok().filter(|_| there) else { return Vec::new() };
    let mut registry = Registry::new(store, None);
    let mut found = Vec::new();
    for experiment in &config.experiments {
        let (name, model) = (&experiment.name, &experiment.model);
        let catalog = match registry.catalog(model) {
            Ok(Ok(catalog)) if !catalog.is_empty() => catalog,
            Ok(Err(error)) => {
                found.push((format!("experiments.{name}.model"), format!("model `{model}`: {error}")));
                continue;
            }
            _ => {
                found.push((
                    format!("experiments.{name}.model"),
                    format!("the registry has no model `{model}`"),
                ));
                continue;
            }
        };
        for (key, of, selector) in experiment.serves().filter(|(_, _, selector)| !has(&catalog, selector)) {
            let versions: Vec<String> =
                catalog.versions.iter().map(|listed| listed.version.to_string()).collect();
            let text = format!(
                "`{of}` serves {selector}, which model `{model}` does not have; its versions are {}",
                versions.join(", ")
            );
            found.push((format!("experiments.{name}.{key}"), text));
        }
    }
    found
}

fn has(catalog: &Catalog, selector: &Selector) -> bool {
    match selector {
        Selector::Version(version) => catalog.listed(*version).is_some(),
        // A folder without `model.json` has no stages: its highest version stands for Production.
        Selector::Stage(stage) => {
            !catalog.managed || catalog.versions.iter().any(|listed| listed.stage == *stage)
        }
        Selector::Alias(alias) => catalog.aliases.contains_key(alias),
        Selector::Default => true,
    }
}

/// A server starts without it and waits; somebody who asks wants to know.
fn registry(url: &RegistryUrl) -> Result<(), String> {
    match url {
        RegistryUrl::SingleFile(path) => readable(path),
        RegistryUrl::File(path) => fs::read_dir(path).map(drop).map_err(|error| named(path, &error)),
        // Credentials and network are asked for where something is wanted of the bucket or the server.
        // SageMaker makes its folder with the first model.
        RegistryUrl::S3 { .. } | RegistryUrl::Mlflow(_) | RegistryUrl::SageMaker(_) => Ok(()),
    }
}

fn readable(path: &Path) -> Result<(), String> {
    let file = fs::File::open(path).and_then(|file| file.metadata()).map_err(|error| named(path, &error))?;
    if file.is_file() { Ok(()) } else { Err(format!("{} is not a file", path.display())) }
}

/// Whether a socket can be made there. Mode bits do not tell (read-only mounts, capabilities), so a file is made.
fn socket(path: &Path) -> Result<(), String> {
    match fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => {
            return Err(format!("{} is there and not a socket; it would not be replaced", path.display()));
        }
        _ => {}
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let trial = folder.join(format!(".sidegate-check-{}", std::process::id()));
    let made = fs::File::options().write(true).create_new(true).open(&trial);
    made.and_then(|_| fs::remove_file(&trial)).map_err(|error| named(folder, &error))
}

fn named(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

fn as_text(loaded: &Loaded) -> String {
    let file = loaded.file.as_ref().map_or("no file".into(), |file| file.display().to_string());
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "# What sidegate {version} would run with ({file}); a comment names the origin of what is not a default.\n{}",
        annotated(loaded)
    )
}

fn as_json(loaded: &Loaded, problems: &[Problem]) -> Value {
    let value = |toml: &str| serde_json::from_str(toml).unwrap_or_else(|_| Value::String(toml.into()));
    let values: Vec<Value> = values(loaded)
        .iter()
        .map(|shown| json!({"key": shown.key, "value": value(&shown.value), "origin": shown.origin.to_string()}))
        .collect();
    let problems: Vec<Value> = problems
        .iter()
        .map(
            |problem| json!({"key": problem.key, "origin": problem.origin.to_string(), "text": problem.text}),
        )
        .collect();
    json!({
        "ok": problems.is_empty(),
        "file": loaded.file,
        "values": values,
        "problems": problems,
        "warnings": loaded.config.warnings(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(flags: &[(&str, &str)]) -> (Loaded, Vec<Problem>) {
        let flags = flags.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        examine(&Sources { flags, ..Sources::default() })
    }

    #[test]
    fn what_the_configuration_names_is_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let (folder, file, gone) = (path("."), path("token"), path("gone/x"));
        fs::write(&file, "0123456789abcdef").unwrap();
        let good = [
            ("registry.url", folder.as_str()),
            ("http.uds", &path("s.sock")),
            ("admin.token_file", &file),
            ("auth.token_file", &file),
            ("registry.public_keys_dir", &folder),
            ("engine.onnxruntime", &file),
        ];
        assert_eq!(with(&good).1, []);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left behind");
        let bad = good.map(|(key, _)| (key, gone.as_str()));
        let (_, problems) = with(&bad);
        assert_eq!(
            problems.iter().filter_map(|p| p.key.as_deref()).collect::<Vec<_>>(),
            bad.map(|(key, _)| key)
        );
        assert!(problems.iter().all(|p| matches!(p.origin, Origin::Flag(_))), "{problems:?}");
        let (_, problems) = with(&[good[0], ("http.uds", &file), ("engine.onnxruntime", &folder)]);
        let texts: Vec<&str> = problems.iter().map(|problem| problem.text.as_str()).collect();
        assert!(texts[0].contains("not a socket") && texts[1].contains("not a file"), "{texts:?}");
    }

    #[test]
    fn what_experiments_name_is_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        for version in ["1", "2"] {
            fs::create_dir_all(path(&format!("models/m/{version}"))).unwrap();
            fs::write(path(&format!("models/m/{version}/model.onnx")), "x").unwrap();
        }
        let text = "[experiments.one]\nmodel = \"m\"\nunit = \"header:u\"\n\
            variants = { a = 1, b = \"production\", c = 9 }\nshadow = { d = \"champion\", e = \"2\" }\n\
            [experiments.two]\nmodel = \"n\"\nunit = \"header:u\"\nvariants = { a = 1 }\n";
        fs::write(path("c.toml"), text).unwrap();
        let flags = vec![("registry.url".to_owned(), path("models"))];
        let sources = Sources { file: Some(path("c.toml").into()), flags, ..Sources::default() };
        let (_, problems) = examine(&sources);
        let found: Vec<(&str, &str)> =
            problems.iter().map(|problem| (problem.key.as_deref().unwrap(), problem.text.as_str())).collect();
        let expected = [
            (
                "experiments.one.variants",
                "`c` serves 9, which model `m` does not have; its versions are 1, 2",
            ),
            (
                "experiments.one.shadow",
                "`d` serves champion, which model `m` does not have; its versions are 1, 2",
            ),
            ("experiments.two.model", "the registry has no model `n`"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_report_is_text_or_json() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().to_str().unwrap();
        let (loaded, problems) =
            with(&[("registry.url", folder), ("http.workers", "x"), ("http.listen", "0.0.0.0:1")]);
        let text = as_text(&loaded);
        assert!(text.contains("# --registry\n") && text.contains("\nqueue_wait_ms = 100\n"), "{text}");
        let report = as_json(&loaded, &problems);
        assert_eq!((&report["ok"], &report["problems"][0]["origin"]), (&json!(false), &json!("--workers")));
        assert_eq!(report["warnings"].as_array().unwrap().len(), 1);
        let shown =
            |key: &str| report["values"].as_array().unwrap().iter().find(|v| v["key"] == key).cloned();
        let expected = json!({"key": "limits.max_rows", "value": 10000, "origin": "default"});
        assert_eq!(shown("limits.max_rows"), Some(expected));
    }
}
