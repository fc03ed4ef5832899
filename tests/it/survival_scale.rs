//! What looking costs: requests and bytes, counted by the bucket.

use std::collections::BTreeMap;
use std::fs;

use serde_json::json;

use super::super::bucket::{Bucket, Request};
use super::super::harness::wait;
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

const MODELS: usize = 1000;

fn name(number: usize) -> String {
    format!("model-{number:04}")
}

/// 1,000 models of 100 versions; those that are `served` have the files of their last one.
fn thousand(served: impl Fn(usize) -> bool) -> Site {
    let site = Site::new();
    let digest = format!("sha256:{}", "a".repeat(64));
    let old: Vec<_> = (1..100_u64)
        .map(|version| {
            json!({"version": version, "stage": "Archived", "manifest": digest,
                "created": "2026-11-23T00:00:00Z", "state": "ready"})
        })
        .collect();
    for (number, name) in (0..MODELS).map(|number| (number, name(number))) {
        if served(number) {
            site.version(&name, 100);
            site.promote(&name, 100);
        } else {
            let empty = json!({"format": 1, "generation": 1, "epoch": 1, "model": name, "versions": []});
            site.repository.replace(&format!("{name}/model.json"), empty.to_string().as_bytes());
        }
        site.edit(&name, |index| {
            let versions = index["versions"].as_array_mut().unwrap();
            versions.splice(0..0, old.iter().cloned());
        });
    }
    site
}

/// With a hint of all models, or without any.
fn set_hint(site: &Site, there: bool) {
    if there {
        let models = (0..MODELS).map(name).map(|name| (name.clone(), generation(site, &name)));
        write_hint(site, &models.collect());
    } else {
        drop(fs::remove_file(site.bucket.folder().join("_index.json")));
    }
}

fn size(site: &Site, key: &str) -> u64 {
    fs::metadata(site.bucket.folder().join(key)).map_or(0, |meta| meta.len())
}

/// What a number of looks cost.
struct Cost {
    looks: usize,
    /// Those of whole looks.
    requests: Vec<Request>,
    /// Of bodies, with a look more at most.
    bytes: u64,
}

/// The cost of so many looks, of which each begins with a request that is `first`.
fn cost(bucket: &Bucket, looks: usize, first: impl Fn(&Request) -> bool) -> Cost {
    bucket.take_requests();
    let sent = bucket.sent();
    let begins = |requests: &[Request]| {
        let found = requests.iter().enumerate().filter(|(_, request)| first(request));
        found.map(|(position, _)| position).collect::<Vec<_>>()
    };
    wait("looks", SOON * 6, || (begins(&bucket.requests()).len() > looks).then_some(()));
    let bytes = bucket.sent() - sent;
    let requests = bucket.take_requests();
    let begins = begins(&requests);
    Cost { looks, requests: requests[begins[0]..begins[looks]].to_vec(), bytes }
}

// === impl Cost ===

impl Cost {
    fn each(&self) -> f64 {
        self.requests.len() as f64 / self.looks as f64
    }

    fn print(&self, what: &str) {
        println!(
            "scale: {what}: {:.2} requests and {:.0} bytes of bodies a look; at 15 s {:.1} requests a minute, {:.0} in a \
             month of 30 days",
            self.each(),
            self.bytes as f64 / self.looks as f64,
            self.each() * 4.0,
            self.each() * 172_800.0,
        );
    }
}

/// The figures are printed; docs may quote them.
#[test]
fn a_thousand_models_of_a_hundred_versions_cost_a_sidecar_what_its_own_models_cost() {
    let site = thousand(|number| number % (MODELS / SERVED) == 0);
    let served: Vec<String> = (0..MODELS).step_by(MODELS / SERVED).map(name).collect();
    let toml = format!("registry.models = {served:?}\nregistry.poll_interval_ms = 50\n");
    for (not_modified, hint) in [(true, true), (true, false), (false, true), (false, false)] {
        site.bucket.set_not_modified(not_modified);
        set_hint(&site, hint);
        let server = site.with_config(&toml).start();
        served.iter().for_each(|name| assert_eq!(answered(&server, name), Some(100), "{name}"));
        // The cache may serve before the first look is over.
        wait("a whole look", SOON * 2, || (server.metric("sidegate_registry_up") == 1.0).then_some(()));
        // Whole rounds, so that one full look is in each.
        let first = if hint { "/_index.json" } else { "/model-0000/" };
        let cost = cost(&site.bucket, 2 * FULL_LOOK, |request| is_of(request, first));
        let what =
            format!("{MODELS} models of 100 versions, {SERVED} served, 304 {not_modified}, hint {hint}");
        cost.print(&what);
        // One for the hint, and each model once in a round; without it each model with every look.
        let due = if hint { 1.0 + SERVED as f64 / FULL_LOOK as f64 } else { SERVED as f64 };
        assert!(
            (due - 0.1..=due + 0.1).contains(&cost.each()),
            "{} requests a look, {due} are due",
            cost.each()
        );
        let lists = cost.requests.iter().filter(|request| is_of(request, "list-type=2")).count();
        assert_eq!(lists, 0, "models that are named need no list");
        let (model, whole) = (size(&site, "model-0000/model.json"), size(&site, "_index.json"));
        println!("scale: model.json has {model} bytes, the hint {whole}");
        // A store that cannot say that nothing has changed says all of it again, and no more than that.
        let most = match (not_modified, hint) {
            (true, _) => 2048,
            (false, true) => whole + SERVED as u64 * model / FULL_LOOK as u64,
            (false, false) => SERVED as u64 * model,
        };
        // What came before the first of the looks and after the last is less than a full look.
        let most = most * cost.looks as u64 + whole + SERVED as u64 * model;
        assert!(cost.bytes <= most, "{} bytes, {most} at most: {what}", cost.bytes);
    }
}

#[test]
fn of_a_thousand_models_that_nobody_named_the_first_ones_serve_and_the_others_cost_nothing() {
    const MOST: usize = 32;
    let site = thousand(|number| number < MOST);
    site.bucket.set_not_modified(true);
    for hint in [true, false] {
        set_hint(&site, hint);
        let server = site.with_config("registry.poll_interval_ms = 50\n").start();
        (0..MOST).map(name).for_each(|name| server.wait_served(&name, 100, SOON * 2));
        wait("all of them", SOON * 2, || (server.models().as_array().unwrap().len() == MODELS).then_some(()));
        let models = server.models();
        for model in &models.as_array().unwrap()[MOST..] {
            let detail = model["problem"]["detail"].as_str().unwrap();
            assert!(detail.contains("beyond registry.max_models = 32"), "{model}");
        }
        let metrics = server.metrics();
        let of_others =
            metrics.lines().filter(|line| line.contains("model-0032") || line.contains("model-0999"));
        assert_eq!(of_others.collect::<Vec<_>>(), [""; 0], "what does not serve has no series of its own");
        let left_out = server.metric("sidegate_model_loads_total{model=\"__other__\",result=\"error\"}");
        assert_eq!(left_out, (MODELS - MOST) as f64);
        let series =
            metrics.lines().filter(|line| !line.starts_with('#') && !line.contains("_bucket{")).count();
        assert!(series < 2000, "{series} series");
        let is_list =
            |request: &Request| is_of(request, "list-type=2") && !is_of(request, "continuation-token");
        let cost = if hint {
            cost(&site.bucket, FULL_LOOK, |request| is_of(request, "/_index.json"))
        } else {
            cost(&site.bucket, FULL_LOOK, is_list)
        };
        cost.print(&format!("{MODELS} models, none named, {MOST} served, hint {hint}; {series} series"));
        // A list, of one page here, and every model that may serve; without a hint a full look asks whether there is one.
        let full = 1.0 + MOST as f64;
        let due = if hint { 1.0 + full / FULL_LOOK as f64 } else { full + 1.0 / FULL_LOOK as f64 };
        assert!(
            (due - 0.1..=due + 0.1).contains(&cost.each()),
            "{} requests a look, {due} are due",
            cost.each()
        );
    }
}
