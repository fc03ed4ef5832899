//! The gateway on a bucket: s3s-fs in this process, which can be made to fail (`tests/support/bucket.rs`).

use std::time::Duration;

use super::bucket::{Bucket, Fault, SECRET_KEY};
use super::harness::{Server, Setup, constant_request, constant_version, wait};
use super::onnx::constant;
use super::repository::{Extras, Repository, golden};

/// A temporary credential's third part.
const TOKEN: &str = "canary-5ecret-d0-not-print-token";
/// Looks come every 50 ms here; a busy machine gets much more.
const SOON: Duration = Duration::from_secs(10);

fn on(bucket: &Bucket) -> Setup {
    let setup = Setup::new().registry(&bucket.url()).config("registry.min_swap_interval_ms = 0");
    let setup = bucket.environment().iter().fold(setup, |setup, (name, value)| setup.variable(name, value));
    // Copies of one test are no business of another.
    let cache = setup.path("cache").to_str().unwrap().to_owned();
    setup.variable("XDG_CACHE_HOME", &cache)
}

fn version(server: &Server) -> u64 {
    constant_version(&server.data().send(&constant_request("/v2/models/m/infer")))
}

/// Live, not ready, and the reason has these words.
#[track_caller]
fn waits_because(server: &Server, words: &str) {
    wait(words, SOON, || {
        let answer = server.admin().get("/readyz");
        (answer.status == 503 && answer.text().contains(words)).then_some(())
    });
    assert_eq!(server.admin().get("/livez").status, 200);
    let answer = server.admin().get("/readyz").text();
    assert!(!server.log().contains(SECRET_KEY) && !answer.contains(SECRET_KEY), "a secret got out");
}

#[test]
fn a_bucket_is_served_and_followed() {
    let bucket = Bucket::start();
    let repository = Repository::new(&bucket.folder());
    repository.version("m", 1, &constant(1.0), &Extras { golden: Some(golden(1.0)), ..Extras::default() });
    repository.index("m", &[(1, "Production")], &[]);
    let setup = on(&bucket).config("log.level = \"trace\"").variable("AWS_SESSION_TOKEN", TOKEN);
    let server = setup.start();
    assert_eq!(version(&server), 1);
    repository.version("m", 2, &constant(2.0), &Extras::default());
    repository.index("m", &[(1, "Archived"), (2, "Production")], &[]);
    server.wait_served("m", 2, SOON);
    assert_eq!(bucket.count("PUT") + bucket.count("DELETE"), 0, "serving needs to read only");
    // Even where everything is logged: what libraries say of a request is theirs, and holds its headers.
    let log = server.log();
    for secret in [SECRET_KEY, TOKEN, "Credential="] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn a_bucket_that_says_no_is_waited_for_with_its_reason() {
    let bucket = Bucket::start();
    Repository::new(&bucket.folder()).bare("m", 1, &constant(1.0));
    for (fault, words) in [
        (Fault::Answer(403, "AccessDenied"), "access was denied"),
        (Fault::Answer(403, "RequestTimeTooSkewed"), "set this machine's clock"),
        (Fault::Answer(503, "SlowDown"), "throttling"),
        (Fault::Down, "no answer"),
        (Fault::Redirect("http://127.0.0.1:9/".into()), "redirects to other hosts are not followed"),
    ] {
        bucket.set_fault(fault);
        let server = on(&bucket).start_unready();
        waits_because(&server, words);
        bucket.heal();
        // Left alone it comes back within a back-off step, which is half a minute where credentials were the matter.
        server.admin().post("/sync", "").ok();
        server.wait_served("m", 1, SOON);
    }
    let server = on(&bucket).variable("AWS_SECRET_ACCESS_KEY", "wrong").start_unready();
    waits_because(&server, "access was denied");
}
