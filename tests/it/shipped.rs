//! The models of `models/` are what `sidegate-train` makes of the committed rows, today and every time.

use std::fs;
use std::path::{Path, PathBuf};

use super::registry_cli::ended;
use super::train::command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What `run` trains, and the library that it takes: the variable that names it, and what it is called.
const TRAINED: [(&str, Option<(&str, &str)>); 4] = [
    ("penguins", None),
    ("wine", None),
    ("breast-cancer", Some(("SIDEGATE_XGBOOST", "libxgboost.so"))),
    ("flight-delay", Some(("SIDEGATE_LIGHTGBM", "lib_lightgbm.so"))),
];

/// Trains with the configuration that is shipped, in a folder of its own; the version's folder.
fn train(dir: &Path, name: &str, library: Option<(&str, &Path)>) -> PathBuf {
    let there = |file: &str| Path::new(ROOT).join(file);
    fs::create_dir_all(dir.join("models/_data")).unwrap();
    fs::copy(there(&format!("models/_data/{name}.csv")), dir.join(format!("models/_data/{name}.csv")))
        .unwrap();
    let config = there(&format!("config/train.{name}.toml"));
    let mut command = command(&["run", config.to_str().unwrap()]);
    command.envs(library);
    ended(&command.current_dir(dir).output().unwrap(), 0);
    dir.join("target/make-models/models").join(name).join("1")
}

#[test]
fn the_same_rows_seed_and_threads_give_the_shipped_bytes() {
    for (name, library) in TRAINED {
        let library = library.map(|(variable, file)| {
            let named = std::env::var_os(variable).map(PathBuf::from);
            (variable, named.unwrap_or_else(|| Path::new(ROOT).join("lib").join(file)))
        });
        let library = library.as_ref().map(|(variable, path)| (*variable, path.as_path()));
        if library.is_some_and(|(_, path)| !path.exists()) {
            eprintln!("{name} is not trained: scripts/learners.sh fetches its library");
            continue;
        }
        let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let [first, second] = [&first, &second].map(|dir| train(dir.path(), name, library));
        for file in ["model.onnx", "golden.json", "profile.json", "schema.json"] {
            let read = |folder: &Path| fs::read(folder.join(file)).unwrap();
            let shipped = Path::new(ROOT).join("models").join(name).join("1");
            assert!(read(&first) == read(&second), "{name}: {file} differs from run to run");
            assert!(
                read(&first) == read(&shipped),
                "{name}: models/ has another {file}; scripts/make-models.sh makes it"
            );
        }
    }
}
