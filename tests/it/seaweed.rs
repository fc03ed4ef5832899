//! The gateway on a real object store: SeaweedFS, whose program `weed` is named by `SIDEGATE_TEST_WEED`.
//! `scripts/test.sh bucket` fetches it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region};
use aws_sdk_s3::primitives::ByteStream;
use tempfile::TempDir;

use super::client::Target;
use super::harness::{Setup, example, shipped, wait};
use super::onnx::constant;

const SECRET: &str = "canary-5ecret-d0-not-print-weed";
/// It takes some seconds to start; a busy machine gets much more.
const START: Duration = Duration::from_secs(90);
const SOON: Duration = Duration::from_secs(20);

/// A running SeaweedFS with one bucket. It is killed when this is dropped: asked to end, it would take half a minute.
struct Seaweed {
    child: Child,
    port: u16,
    dir: TempDir,
    runtime: tokio::runtime::Runtime,
    client: aws_sdk_s3::Client,
}

/// `None`, with a word, where the program is not at hand.
fn seaweed() -> Option<Seaweed> {
    let Some(weed) = std::env::var_os("SIDEGATE_TEST_WEED").map(PathBuf::from) else {
        eprintln!("skipped: SIDEGATE_TEST_WEED names no SeaweedFS; `scripts/test.sh bucket` runs this");
        return None;
    };
    Some(Seaweed::start(&weed))
}

/// A port that is free, as is the one 10000 above, which SeaweedFS takes too.
fn ports<const COUNT: usize>() -> [u16; COUNT] {
    let mut held = Vec::new();
    let mut ports = [0; COUNT];
    for port in &mut ports {
        *port = (20_000 + rand::random_range(0..20_000)..40_000)
            .find(|port| {
                let pair = [*port, *port + 10_000].map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
                let both = pair.iter().all(Option::is_some);
                if both {
                    held.extend(pair);
                }
                both
            })
            .unwrap();
    }
    ports
}

// === impl Seaweed ===

impl Seaweed {
    fn start(weed: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let identities = serde_json::json!({"identities": [{
            "name": "t",
            "credentials": [{"accessKey": "testkey", "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List"],
        }]});
        fs::write(dir.path().join("s3.json"), identities.to_string()).unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        let [master, volume, filer, port] = ports();
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let child = Command::new(weed)
            .current_dir(dir.path())
            .args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-dir=data", "-filer", "-s3"])
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.config=s3.json", "-master.telemetry=false"])
            .args(["-master.volumeSizeLimitMB=64", "-volume.max=0", "-volume.preStopSeconds=0"])
            .args([format!("-master.port={master}"), format!("-volume.port={volume}")])
            .args([format!("-filer.port={filer}"), format!("-s3.port={port}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let config = Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(format!("http://127.0.0.1:{port}"))
            .credentials_provider(Credentials::new("testkey", SECRET, None, None, "test"))
            .force_path_style(true)
            .build();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let seaweed = Self { child, port, dir, runtime, client: aws_sdk_s3::Client::from_conf(config) };
        seaweed.make_bucket();
        seaweed
    }

    fn make_bucket(&self) {
        wait("SeaweedFS", START, || {
            std::net::TcpStream::connect(("127.0.0.1", self.port)).ok()?;
            let status = Target::Tcp(([127, 0, 0, 1], self.port).into()).get("/status");
            let made = self.runtime.block_on(self.client.create_bucket().bucket("models").send());
            // Its parts find each other one by one.
            (status.status == 200 && made.is_ok()).then_some(())
        });
    }

    fn put(&self, key: &str, bytes: Vec<u8>) {
        let body = ByteStream::from(bytes);
        let request = self.client.put_object().bucket("models").key(format!("team/{key}")).body(body);
        self.runtime.block_on(request.send()).unwrap();
    }

    /// A model of this repository, `model.json` last.
    fn publish(&self, model: &str) {
        for file in ["1/model.onnx", "1/golden.json", "1/manifest.json", "model.json"] {
            self.put(&format!("{model}/{file}"), fs::read(shipped(model).join(file)).unwrap());
        }
    }

    fn setup(&self) -> Setup {
        let setup = Setup::new()
            .registry("s3://models/team")
            .config(&format!("registry.endpoint = \"http://127.0.0.1:{}\"", self.port))
            .config("registry.min_swap_interval_ms = 0")
            .variable("AWS_ACCESS_KEY_ID", "testkey")
            .variable("AWS_SECRET_ACCESS_KEY", SECRET)
            .variable("AWS_CONFIG_FILE", "/dev/null")
            .variable("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
        let cache = setup.path("cache").to_str().unwrap().to_owned();
        setup.variable("XDG_CACHE_HOME", &cache)
    }
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!(
                "--- log of SeaweedFS:\n{}",
                fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
            );
        }
    }
}

#[test]
fn seaweed_is_served_and_followed_and_its_refusal_is_told() {
    let Some(seaweed) = seaweed() else { return };
    seaweed.publish("breast-cancer");
    seaweed.put("m/1/model.onnx", constant(1.0));
    let server = seaweed.setup().start();
    let (body, expected) = example("breast-cancer");
    let answer = server.data().post("/v2/models/breast-cancer/infer", body.to_string()).ok();
    assert_eq!(answer["outputs"].as_array().unwrap().len(), expected.as_array().unwrap().len());
    server.wait_served("m", 1, SOON);
    seaweed.put("m/2/model.onnx", constant(2.0));
    server.wait_served("m", 2, SOON);

    let server = seaweed.setup().variable("AWS_SECRET_ACCESS_KEY", "wrong").start_unready();
    wait("the reason", SOON, || {
        let answer = server.admin().get("/readyz");
        (answer.status == 503 && answer.text().contains("access was denied")).then_some(())
    });
    assert_eq!(server.admin().get("/livez").status, 200);
    assert!(!server.log().contains(SECRET));
}
