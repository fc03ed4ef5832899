//! The libraries of XGBoost and LightGBM from a file of rows to answers of the gateway; `scripts/test.sh learners` brings
//! them.

use std::path::{Path, PathBuf};

use super::registry_cli::ended;
use super::train::{desk, folder, predict, result, train, wait_served};

/// The library that a variable names, or that is in `lib/`; none, with a word, unless it is required.
fn library(variable: &str, file: &str) -> Option<PathBuf> {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("lib").join(file);
    let found = std::env::var_os(variable).map_or(kept, PathBuf::from);
    let required = std::env::var_os("SIDEGATE_TEST_REQUIRE_LEARNERS").is_some();
    assert!(found.is_file() || !required, "{variable}: {} is not there", found.display());
    if !found.is_file() {
        eprintln!("skipped: there is no {file}; `scripts/test.sh learners` runs this");
    }
    Some(found).filter(|found| found.is_file())
}

#[test]
fn what_a_library_refuses_is_a_mistake_of_the_configuration_and_found_by_a_dry_run() {
    for (learner, variable, file, objective) in [
        ("xgboost", "SIDEGATE_XGBOOST", "libxgboost.so", "reg:nothing"),
        ("lightgbm", "SIDEGATE_LIGHTGBM", "lib_lightgbm.so", "nothing"),
    ] {
        let Some(library) = library(variable, file) else { return };
        let model = format!(
            "[model]\ntype = \"{learner}\"\nlibrary = {library:?}\nparams = {{ objective = \"{objective}\" }}\n"
        );
        let setup = desk("count", "", &model);
        let dir = folder(&setup);
        let said = ended(&train(&dir, &["run", "train.toml", "--dry-run"]), 2);
        assert!(said.contains("model.params: ") && said.contains("nothing"), "{learner}: {said}");
        // Before features are made, too.
        let said = ended(&train(&dir, &["run", "train.toml"]), 2);
        assert!(!said.contains("\"step\":\"features\""), "{learner}: {said}");
    }
}

#[test]
fn what_the_libraries_train_is_served_as_they_answer() {
    let learners = [
        ("xgboost", "SIDEGATE_XGBOOST", "libxgboost.so", "max_depth = 4"),
        ("lightgbm", "SIDEGATE_LIGHTGBM", "lib_lightgbm.so", "num_leaves = 15, min_data_in_leaf = 5"),
    ];
    for (learner, variable, file, params) in learners {
        let Some(library) = library(variable, file) else { return };
        for target in ["count", "busy"] {
            let model = format!(
                "[model]\ntype = \"{learner}\"\nlibrary = {library:?}\nparams = {{ n_estimators = 60, {params} }}\n"
            );
            let gate = if target == "count" { "[gate]\nmin_r2 = 0.9\n" } else { "[gate]\nmin_auc = 0.95\n" };
            let setup = desk(target, "auto_deploy = true", &(model + gate));
            let dir = folder(&setup);
            // The proof is part of it: the graph that is served against the library's own trees, row by row.
            let done = result(&train(&dir, &["run", "train.toml"]), 0);
            assert_eq!(done["status"], "success", "{learner} {target}: {done}");
            let server = setup.start_unready();
            wait_served(&server);
            let answer = predict(&server);
            if target == "count" {
                assert!((125.0..160.0).contains(&answer["predictions"][0].as_f64().unwrap()), "{answer}");
            }
        }
    }
}
