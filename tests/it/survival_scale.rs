//! What looking costs: requests and bytes, counted by the bucket.

use std::collections::BTreeMap;
use std::fs;

use serde_json::json;

use super::super::bucket::{Bucket, Request};
use super::super::harness::wait;
use super::super::onnx::constant;
use super::super::repository::{Extras, golden};
use super::{SOON, Site, answered};

/// Looks from one that reads everything to the next.
const FULL_LOOK: usize = 20;
const SERVED: usize = 20;

fn write_hint(site: &Site, generations: &BTreeMap<String, u64>) {
    let models: serde_json::Map<_, _> = generations
        .iter()
        .map(|(model, generation)| (model.clone(), json!({"generation": generation, "epoch": 1})))
        .collect();
    site.repository.replace("_index.json", json!({"format": 1, "models": models}).to_string().as_bytes());
}

fn generation(site: &Site, model: &str) -> u64 {
    let index = fs::read(site.bucket.folder().join(format!("{model}/model.json"))).unwrap();
    serde_json::from_slice::<serde_json::Value>(&index).unwrap()["generation"].as_u64().unwrap()
}

fn is_of(request: &Request, what: &str) -> bool {
    request.target.contains(what)
}

/// The requests of so many whole rounds of looks, of which each has one full look. They begin with `first`.
fn rounds(bucket: &Bucket, count: usize, first: &str) -> Vec<Request> {
    let begins = |requests: &[Request]| requests.iter().filter(|request| is_of(request, first)).count();
    bucket.take_requests();
    wait("looks", SOON * 2, || (begins(&bucket.requests()) > (count + 1) * FULL_LOOK).then_some(()));
    bucket.take_requests()
}

#[test]
fn with_a_hint_an_idle_look_costs_one_request_and_without_it_one_for_every_model() {
    let names: Vec<String> = (0..SERVED).map(|number| format!("m{number:02}")).collect();
    let site = Site::serving(&names.iter().map(String::as_str).collect::<Vec<_>>());
    site.bucket.set_not_modified(true);
    // The last model is new to the hint.
    let hinted = names[..SERVED - 1].iter().map(|name| (name.clone(), generation(&site, name))).collect();
    write_hint(&site, &hinted);
    let server = site.setup().start();
    names.iter().for_each(|name| server.wait_served(name, 1, SOON));
    let requests = rounds(&site.bucket, 2, "/_index.json");
    let looks = requests.iter().filter(|request| is_of(request, "/_index.json")).count();
    let lists = requests.iter().filter(|request| is_of(request, "list-type=2")).count();
    let of_hinted = requests.iter().filter(|request| is_of(request, "/m00/")).count();
    let of_unhinted = requests.iter().filter(|request| is_of(request, "/m19/")).count();
    let full = looks.div_ceil(FULL_LOOK);
    assert!(
        lists <= full && of_hinted <= full,
        "{looks} looks: {lists} lists, {of_hinted} of a hinted model"
    );
    assert!(of_unhinted + 1 >= looks, "what the hint lacks is looked at: {of_unhinted} in {looks} looks");
    // What the hint says is followed at once, what it does not say a little later.
    site.publish("m00", 2);
    let mut moved: BTreeMap<_, _> = hinted;
    moved.insert("m00".into(), generation(&site, "m00"));
    write_hint(&site, &moved);
    server.wait_served("m00", 2, SOON);
    site.publish("m01", 2);
    site.publish("found-later", 1);
    server.wait_served("m01", 2, SOON);
    server.wait_served("found-later", 1, SOON);
    // Nobody writes the hint any more.
    fs::remove_file(site.bucket.folder().join("_index.json")).unwrap();
    wait("a look without it", SOON, || {
        site.bucket.requests().iter().any(|request| is_of(request, "list-type=2")).then_some(())
    });
    site.bucket.take_requests();
    let looks = |requests: &[Request]| requests.iter().filter(|r| is_of(r, "list-type=2")).count();
    wait("looks", SOON, || (looks(&site.bucket.requests()) >= 10).then_some(()));
    let requests = site.bucket.take_requests();
    let looks = looks(&requests);
    let catalogs = requests.iter().filter(|request| is_of(request, "/model.json")).count();
    let models = SERVED + 1;
    assert!((models * (looks - 1)..=models * (looks + 1)).contains(&catalogs), "{catalogs} in {looks} looks");
}

/// 1,000 models of 100 versions, of which a sidecar serves 20. The figures are printed; docs may quote them.
#[test]
fn a_thousand_models_of_a_hundred_versions_cost_a_sidecar_what_its_own_models_cost() {
    const MODELS: usize = 1000;
    let site = Site::new();
    let names: Vec<String> = (0..MODELS).map(|number| format!("model-{number:04}")).collect();
    let digest = format!("sha256:{}", "a".repeat(64));
    let old: Vec<_> = (1..100_u64)
        .map(|version| {
            json!({"version": version, "stage": "Archived", "manifest": digest,
                "created": "2026-11-23T00:00:00Z", "state": "ready"})
        })
        .collect();
    for (number, name) in names.iter().enumerate() {
        let extras = Extras { golden: Some(golden(100.0)), ..Extras::default() };
        if number % (MODELS / SERVED) == 0 {
            site.repository.version(name, 100, &constant(100.0), &extras);
            site.promote(name, 100);
        } else {
            site.repository.replace(
                &format!("{name}/model.json"),
                json!({"format": 1, "generation": 1, "epoch": 1, "model": name, "versions": []})
                    .to_string()
                    .as_bytes(),
            );
        }
        site.edit(name, |index| {
            let versions = index["versions"].as_array_mut().unwrap();
            versions.splice(0..0, old.iter().cloned());
        });
    }
    let served: Vec<String> = names.iter().step_by(MODELS / SERVED).cloned().collect();
    let toml = format!("registry.models = {served:?}\nregistry.poll_interval_ms = 50\n");
    site.bucket.set_not_modified(true);
    for hint in [true, false] {
        if hint {
            write_hint(&site, &names.iter().map(|name| (name.clone(), generation(&site, name))).collect());
        } else {
            fs::remove_file(site.bucket.folder().join("_index.json")).unwrap();
        }
        let server = site.with_config(&toml).start();
        served.iter().for_each(|name| assert_eq!(answered(&server, name), Some(100), "{name}"));
        // The cache may serve before the first look is over.
        wait("a whole look", SOON * 2, || (server.metric("sidegate_registry_up") == 1.0).then_some(()));
        site.bucket.take_requests();
        let sent = site.bucket.sent();
        // From one question for the first model to the next one it is a look, or with a hint a round of looks.
        let asked = |requests: &[Request]| requests.iter().filter(|r| is_of(r, "/model-0000/")).count();
        let wanted = if hint { 3 } else { FULL_LOOK + 1 };
        wait("looks", SOON * 3, || (asked(&site.bucket.requests()) >= wanted).then_some(()));
        let bytes = site.bucket.sent() - sent;
        let requests = site.bucket.take_requests();
        let first = requests.iter().position(|r| is_of(r, "/model-0000/")).unwrap();
        let last = requests.iter().rposition(|r| is_of(r, "/model-0000/")).unwrap();
        let looks = if hint { FULL_LOOK * (asked(&requests) - 1) } else { asked(&requests) - 1 };
        let each = (last - first) as f64 / looks as f64;
        println!(
            "scale: {MODELS} models of 100 versions, {SERVED} served, hint {hint}: {each:.2} requests and {:.0} bytes of \
             bodies a look; at 15 s {:.1} requests a minute, {:.0} in a month of 30 days",
            bytes as f64 / looks as f64,
            each * 4.0,
            each * 172_800.0,
        );
        // One for the hint, and each model once in a round; without it each model with every look.
        let due = if hint { 1.0 + SERVED as f64 / FULL_LOOK as f64 } else { SERVED as f64 };
        assert!((due - 0.1..=due + 0.1).contains(&each), "{each} requests a look, {due} are due");
        let lists = requests.iter().filter(|request| is_of(request, "list-type=2")).count();
        assert_eq!(lists, 0, "models that are named need no list");
        assert!(bytes < 2048 * looks as u64, "{bytes} bytes in {looks} looks of what has not changed");
        let size = |key: &str| fs::metadata(site.bucket.folder().join(key)).map_or(0, |meta| meta.len());
        println!(
            "scale: a change costs {} bytes of model.json and {} of the hint",
            size("model-0000/model.json"),
            size("_index.json")
        );
    }
}
