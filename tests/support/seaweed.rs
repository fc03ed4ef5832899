//! A real object store: SeaweedFS, whose program `weed` is named by `SIDEGATE_TEST_WEED`; `scripts/test.sh bucket`
//! fetches it. It is part of the library's own tests and of those of the binary.
#![allow(dead_code, reason = "every user of this file uses a part of it")]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test says why it is skipped, and what it saw"
)]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region};
use aws_sdk_s3::primitives::ByteStream;
use tempfile::TempDir;

pub(crate) const BUCKET: &str = "models";
pub(crate) const ACCESS_KEY: &str = "testkey";
pub(crate) const SECRET_KEY: &str = "canary-5ecret-d0-not-print-weed";
/// It takes some seconds to start; a busy machine gets much more.
const START: Duration = Duration::from_secs(90);

/// A running SeaweedFS with one bucket. It is killed when this is dropped: asked to end, it would take half a minute.
pub(crate) struct Seaweed {
    child: Child,
    port: u16,
    dir: TempDir,
    runtime: tokio::runtime::Runtime,
    client: aws_sdk_s3::Client,
}

/// `None`, with a word, where the program is not at hand.
pub(crate) fn seaweed() -> Option<Seaweed> {
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
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
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
            .credentials_provider(Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test"))
            .force_path_style(true)
            .build();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let seaweed = Self { child, port, dir, runtime, client: aws_sdk_s3::Client::from_conf(config) };
        seaweed.make_bucket();
        seaweed
    }

    /// Its parts find each other one by one: it is there when something can be kept in it.
    fn make_bucket(&self) {
        let start = Instant::now();
        loop {
            let made = self.runtime.block_on(async {
                drop(self.client.create_bucket().bucket(BUCKET).send().await);
                let body = ByteStream::from_static(b"first");
                self.client.put_object().bucket(BUCKET).key("first").body(body).send().await
            });
            match made {
                Ok(_) => return,
                Err(error) => assert!(start.elapsed() < START, "SeaweedFS: {error:?}"),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Writes an object, in any case.
    pub(crate) fn put(&self, key: &str, bytes: Vec<u8>) {
        let body = ByteStream::from(bytes);
        let request = self.client.put_object().bucket(BUCKET).key(key).body(body);
        self.runtime.block_on(request.send()).unwrap();
    }

    /// Keys of the first thousand objects below a folder.
    pub(crate) fn keys(&self, folder: &str) -> Vec<String> {
        let request = self.client.list_objects_v2().bucket(BUCKET).prefix(format!("{folder}/"));
        let page = self.runtime.block_on(request.send()).unwrap();
        page.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect()
    }
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            eprintln!("--- log of SeaweedFS:\n{log}");
        }
    }
}
