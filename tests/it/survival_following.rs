//! What must not keep a sidecar from following: models that are forbidden, loads that take long, an index that means
//! harm. And folders, which survive what buckets survive.

use std::time::Duration;

use serde_json::json;

use super::super::bucket::{Fault, Rule};
use super::super::harness::{Setup, wait};
use super::super::onnx::constant;
use super::super::repository::{Extras, Repository, golden};
use super::{SOON, Site, answered, is_ready};

#[test]
fn forbidden_models_at_the_front_do_not_hold_up_the_others() {
    let site = Site::serving(&["m"]);
    // To who may not list, an object that is not there is a forbidden one.
    let denied = |key: &str| Rule::new(Fault::Answer(403, "AccessDenied")).key(key);
    site.bucket.set_rules(["/_index.json", "/aa/", "/bb/", "/cc/", "/dd/"].map(denied).to_vec());
    for names in ["\"aa\", \"m\"", "\"aa\", \"bb\", \"cc\", \"dd\", \"m\""] {
        let toml = format!(
            "registry.poll_interval_ms = 50\nregistry.min_swap_interval_ms = 0\nregistry.models = [{names}]\n\
             registry.required = [\"m\"]\nregistry.cache_dir = \"{}\"\n",
            tempfile::tempdir().unwrap().path().display()
        );
        let server = site.with_config(&toml).start_unready();
        // After three refusals it is the store that refuses; the next look, half a minute later, begins behind them.
        server.wait_served("m", 1, SOON * 4);
        assert!(is_ready(&server) && server.metric("sidegate_registry_up") == 1.0, "{names}");
    }
}

#[test]
fn a_version_that_was_withdrawn_while_it_loaded_is_not_swapped_in() {
    let site = Site::serving(&["m"]);
    let server = site.setup().start();
    let swaps = || server.metric("sidegate_model_swaps_total{model=\"m\"}");
    let before = swaps();
    let late = Rule::new(Fault::Delay(Duration::from_secs(3))).key("/m/2/golden.json");
    site.bucket.set_rules(vec![late]);
    site.publish("m", 2);
    wait("the download", SOON, || (server.version("m", 2)["state"] == "loading").then_some(()));
    site.promote("m", 1);
    wait("the load's end", SOON, || (server.version("m", 2)["state"] != "loading").then_some(()));
    site.bucket.heal();
    site.publish("m", 3);
    server.wait_served("m", 3, SOON);
    assert_eq!(swaps() - before, 1.0, "version 2 served nobody");
}

#[test]
fn a_rollout_beyond_the_calendar_stops_nothing() {
    let site = Site::serving(&["m"]);
    let server = site.setup().start();
    site.publish("m", 2);
    site.edit("m", |index| {
        let seconds = 1_000_000_000_000_000_u64;
        index["rollout"] =
            json!({"version": 2, "from": 1, "start": "9999-12-31T23:59:59Z", "seconds": seconds});
        index["generation"] = json!(100);
    });
    server.wait_served("m", 2, SOON);
    assert_eq!(server.metric("sidegate_panics_total"), 0.0);
}

#[test]
fn a_folder_whose_production_cannot_be_loaded_serves_what_served_last_after_a_restart() {
    let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let repository = Repository::new(folder.path());
    let version = |number: u64, wrong_digest: bool| {
        let extras = Extras { golden: Some(golden(number as f32)), wrong_digest, ..Extras::default() };
        repository.version("m", number, &constant(number as f32), &extras);
    };
    let setup = || {
        Setup::new()
            .registry(folder.path().to_str().unwrap())
            .only_config("registry.poll_interval_ms = 50\n")
            .variable("XDG_CACHE_HOME", cache.path().to_str().unwrap())
    };
    version(1, false);
    repository.index("m", &[(1, "Production")], &[]);
    let server = setup().start();
    version(2, true);
    repository.index("m", &[(1, "Archived"), (2, "Production")], &[]);
    server.wait_state("m", 2, "failed");
    drop(server);
    let server = setup().start();
    server.wait_served("m", 1, SOON);
    assert!(is_ready(&server));
    assert_eq!(server.version("m", 2)["state"], "failed");
    version(3, false);
    repository.index("m", &[(1, "Archived"), (2, "Archived"), (3, "Production")], &[]);
    server.wait_served("m", 3, SOON);
    assert_eq!(answered(&server, "m"), Some(3));
}
