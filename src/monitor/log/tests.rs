//! What is logged, what is not, and that nothing is lost unseen.

#[cfg(feature = "parquet")]
mod columns;
mod lines;

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::config::Machine;
use crate::engine::{EngineKind, RunError, Scratch, Session};
use crate::format::Format;
use crate::metrics::VersionLabels;
use crate::model::{Signature, TensorSpec, Version};
use crate::registry::store::{Body, Condition, Fault, Folder, Read, Stat, StoreError};
use crate::serving::Statistics;
use crate::serving::circuit::Circuit;
use crate::serving::watch::Watch;
use crate::tensor::{Data, Datatype};

struct Nothing;

impl Session for Nothing {
    fn run(&self, _: &[Tensor], _: &mut Scratch, _: &mut Vec<Tensor>) -> Result<(), RunError> {
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        0
    }
}

/// A store in memory that can be made to fail.
#[derive(Clone, Default)]
struct Memory {
    objects: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    down: Arc<AtomicBool>,
    attempts: Arc<AtomicU64>,
}

impl Store for Memory {
    fn list(&self, _: &str) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    fn keys(&self, _: &str) -> Result<Vec<String>, StoreError> {
        Ok(self.objects.lock().unwrap().keys().cloned().collect())
    }

    fn stat(&self, _: &str) -> Result<Option<Stat>, StoreError> {
        Ok(None)
    }

    fn read(&self, _: &str, _: u64, _: Option<&str>) -> Result<Read, StoreError> {
        Ok(Read::Absent)
    }

    fn download(&self, _: &str, _: u64, _: &mut dyn io::Write) -> Result<Option<Stat>, StoreError> {
        Ok(None)
    }

    fn write(&self, key: &str, body: Body<'_>, condition: Condition<'_>) -> Result<String, StoreError> {
        self.attempts.fetch_add(1, Relaxed);
        if self.down.load(Relaxed) {
            return Err(StoreError::new(key, Fault::Unreachable("down".into())));
        }
        assert_eq!(condition, Condition::None, "a store without conditions will do");
        let Body::Bytes(bytes) = body else { panic!("a segment is written from memory") };
        let before = self.objects.lock().unwrap().insert(key.into(), bytes.to_vec());
        assert_eq!(before, None, "{key} was there");
        Ok(String::new())
    }

    fn delete(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Memory {
    /// Every line of every segment whose key begins so.
    fn lines(&self, prefix: &str) -> Vec<Value> {
        let objects = self.objects.lock().unwrap();
        let found = objects.iter().filter(|(key, _)| key.starts_with(prefix));
        found.flat_map(|(_, bytes)| lines(bytes)).collect()
    }
}

fn lines(segment: &[u8]) -> Vec<Value> {
    let mut text = String::new();
    ruzstd::decoding::StreamingDecoder::new(segment).unwrap().read_to_string(&mut text).unwrap();
    assert!(text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(super) fn spec(name: &str, datatype: Datatype, shape: &[i64]) -> TensorSpec {
    TensorSpec { name: name.into(), datatype, shape: shape.to_vec(), labels: None }
}

pub(in crate::monitor) fn version(model: &str, signature: Signature, columns: &[&str]) -> Arc<ServedVersion> {
    let labels = VersionLabels { model, version: "7", stage: "None", engine: "trees", digest: "sha256:0" };
    let metrics = Metrics::new().unwrap();
    Arc::new(ServedVersion {
        model: model.parse().unwrap(),
        version: Version::new(7).unwrap(),
        format: Format::Onnx,
        session: Box::new(Nothing),
        engine: EngineKind::Trees,
        engine_reason: String::new(),
        digest: crate::registry::digest::Digest::of(b"", &mut || ()),
        created: None,
        columns: columns.iter().map(ToString::to_string).collect(),
        prediction: 0,
        labels: crate::model::Labels::of(&signature, 0),
        answer_prefix: Vec::new(),
        load_time: Duration::ZERO,
        memory_bytes: 0,
        metrics: metrics.version(&labels, 100),
        statistics: Statistics::default(),
        circuit: Circuit::default(),
        row_nanos: AtomicU64::new(0),
        watch: Watch::new(crate::drift::Layout::of(&signature, &[], 0), None),
        signature,
    })
}

/// A matrix of two columns in, a number out.
pub(super) fn pair() -> Arc<ServedVersion> {
    let signature = Signature {
        inputs: vec![spec("x", Datatype::Fp32, &[-1, 2])],
        outputs: vec![spec("y", Datatype::Fp32, &[-1, 1])],
    };
    version("churn", signature, &["age", "income"])
}

pub(super) fn logged(version: &Arc<ServedVersion>, id: &str) -> Logged {
    Logged {
        version: version.clone(),
        arm: None,
        part: None,
        fell_back: false,
        outcome: Outcome::Ok,
        error: None,
        arrived: Instant::now(),
        times: StageNanos { total: 412_345, infer: 2_150, ..StageNanos::default() },
        id: id.as_bytes().to_vec(),
        key: crate::monitor::request_id(id.as_bytes()),
    }
}

struct Bench {
    log: Log,
    writer: Writer,
    store: Memory,
    metrics: Arc<Metrics>,
}

fn bench(edit: impl FnOnce(&mut Config)) -> Bench {
    let mut config = Config::defaults(&Machine::default());
    edit(&mut config);
    let (store, metrics) = (Memory::default(), Arc::new(Metrics::new().unwrap()));
    let config = Arc::new(ArcSwap::from_pointee(config));
    let (log, writer) = Log::new(config, metrics.clone(), Box::new(store.clone()));
    Bench { log, writer, store, metrics }
}

impl Bench {
    fn send(&self, version: &Arc<ServedVersion>, id: &str, rows: usize) {
        let values = (0..rows * 2).map(|value| value as f32).collect();
        let mut inputs = vec![Tensor::new(&[rows, 2], Data::Fp32(values))];
        let mut outputs = vec![Tensor::new(&[rows, 1], Data::Fp32(vec![0.5; rows]))];
        self.log.send(logged(version, id), &mut inputs, &mut outputs, Hand::Over);
    }

    fn counts(&self) -> (u64, u64) {
        (self.metrics.logged.get(), self.metrics.log_dropped.get())
    }
}

#[test]
fn the_same_requests_are_in_the_sample_everywhere() {
    let Bench { log, .. } = bench(|config| {
        config.prediction_log.sample = "25%".parse().unwrap();
        config.prediction_log.models = Some(vec!["churn".parse().unwrap()]);
    });
    let (churn, other) = ("churn".parse().unwrap(), "other".parse().unwrap());
    let ids: Vec<String> = (0..20_000).map(|n| format!("id-{n}")).collect();
    let wanted: Vec<&String> = ids.iter().filter(|id| log.wants(&churn, id.as_bytes()).is_some()).collect();
    assert!((4_800..5_200).contains(&wanted.len()), "{}", wanted.len());
    assert!(ids.iter().all(|id| log.wants(&other, id.as_bytes()).is_none()));
    // An outcome is logged if its request is.
    for id in &ids {
        let key = super::super::request_id(id.as_bytes());
        assert_eq!(log.wants_outcome(None, Some(key)), log.wants(&churn, id.as_bytes()).is_some());
        assert!(!log.wants_outcome(Some("other"), Some(key)));
    }
    let whole = bench(|_| ()).log;
    assert!(ids.iter().all(|id| whole.wants(&other, id.as_bytes()).is_some()));
}

#[test]
fn what_finds_no_room_is_counted_and_the_rest_is_written() {
    let mut bench = bench(|config| config.prediction_log.max_bytes = 1 << 20);
    let version = pair();
    (0..5_000).for_each(|n| bench.send(&version, &format!("id-{n}"), 1));
    let (written, dropped) = bench.counts();
    assert_eq!(written, 0);
    assert!((2_000..4_000).contains(&dropped), "{dropped}");
    bench.writer.turn();
    // What waits as lines takes less.
    (0..100).for_each(|n| bench.send(&version, &format!("late-{n}"), 1));
    assert_eq!(bench.counts().1, dropped);
    let Bench { writer, store, metrics, log } = bench;
    writer.finish();
    assert_eq!(metrics.logged.get(), 5_100 - dropped);
    assert_eq!(store.lines("predictions/churn/").len() as u64, 5_100 - dropped);
    assert_eq!(log.held.0.load(Relaxed), 0);
}

#[test]
fn the_queue_has_an_end_too() {
    let mut bench = bench(|config| config.prediction_log.max_bytes = 1 << 30);
    let version = pair();
    (0..QUEUE + 10).for_each(|n| bench.send(&version, &format!("id-{n}"), 1));
    assert_eq!(bench.counts(), (0, 10));
    bench.writer.turn();
    bench.send(&version, "one more", 1);
    assert_eq!(bench.counts(), (0, 10));
    let noted = |count| vec![Noted { key: Some(1), ..Noted::default() }; count];
    assert_eq!(bench.log.outcomes(noted(20_000)), 20_000, "outcomes come in large bodies");
    bench.writer.finish();
    assert_eq!(bench.metrics.logged.get(), QUEUE as u64 + 20_001);
}

#[test]
fn a_large_buffer_with_little_in_it_counts_as_large() {
    let bench = bench(|config| config.prediction_log.max_bytes = 1 << 20);
    let mut values = Vec::with_capacity(1 << 20);
    values.extend([1.0_f32, 2.0]);
    let mut inputs = vec![Tensor::new(&[1, 2], Data::Fp32(values))];
    bench.log.send(logged(&pair(), "id"), &mut inputs, &mut Vec::new(), Hand::Over);
    assert_eq!(bench.counts(), (0, 1));
    assert_eq!((inputs.len(), bench.log.held.0.load(Relaxed)), (1, 0));
}

#[test]
fn segments_close_by_size_and_by_age() {
    let mut bench = bench(|config| {
        config.prediction_log.segment_bytes = 65_536;
        config.prediction_log.segment_time = Duration::from_millis(200);
    });
    let version = pair();
    (0..400).for_each(|n| bench.send(&version, &format!("id-{n}"), 1));
    bench.writer.turn();
    let full = bench.store.objects.lock().unwrap().len();
    assert!(full >= 1, "the first 65,536 bytes are written");
    std::thread::sleep(Duration::from_millis(220));
    bench.writer.turn();
    assert_eq!(bench.store.objects.lock().unwrap().len(), full + 1);
    let lines = bench.store.lines("predictions/churn/");
    let ids: Vec<&str> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!(ids, (0..400).map(|n| format!("id-{n}")).collect::<Vec<_>>());
    assert_eq!((bench.counts(), bench.log.held.0.load(Relaxed)), ((400, 0), 0));
    let objects = bench.store.objects.lock().unwrap();
    let key = objects.keys().next().unwrap();
    let parts: Vec<&str> = key.split('/').collect();
    assert!(parts[2].len() == 10 && parts[3].ends_with("-000001.ndjson.zst"), "{key}");
}

#[test]
fn of_many_models_the_largest_segment_gives_way() {
    let mut bench = bench(|config| config.prediction_log.max_bytes = 1 << 20);
    let versions: Vec<_> =
        (0..50).map(|n| version(&format!("m{n}"), pair().signature.clone(), &[])).collect();
    for round in 0..100 {
        for version in &versions {
            bench.send(version, &format!("id-{round}"), 1);
        }
        bench.writer.turn();
    }
    assert_eq!(bench.counts().1, 0);
    assert!(bench.counts().0 > 500);
    assert!(bench.log.held.0.load(Relaxed) <= 1 << 19);
}

#[test]
fn a_store_that_fails_is_asked_again_and_what_waits_is_bounded() {
    let mut bench = bench(|config| {
        config.prediction_log.max_bytes = 1 << 20;
        config.prediction_log.segment_bytes = 65_536;
    });
    let version = pair();
    bench.store.down.store(true, Relaxed);
    let mut sent = 0;
    while bench.counts().1 == 0 {
        // Ids that compress badly, so that what waits fills up.
        for _ in 0..500 {
            bench.send(
                &version,
                &format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>()),
                1,
            );
            sent += 1;
        }
        bench.writer.turn();
        assert!(sent < 1_000_000, "nothing is ever dropped");
    }
    assert!(bench.log.held.0.load(Relaxed) <= 1 << 20);
    assert_eq!(bench.store.attempts.load(Relaxed), 1, "it is not asked again within a second");
    assert_eq!(bench.metrics.log_failures.get(), 1);
    bench.store.down.store(false, Relaxed);
    bench.writer.turn();
    assert_eq!(bench.counts().0, 0);
    let Bench { writer, store, metrics, .. } = bench;
    writer.finish();
    assert_eq!(metrics.logged.get() + metrics.log_dropped.get(), sent);
    assert_eq!(store.lines("predictions/").len() as u64, metrics.logged.get());
}

#[test]
fn what_cannot_be_written_at_the_end_is_counted() {
    let bench = bench(|_| ());
    bench.send(&pair(), "id", 3);
    bench.store.down.store(true, Relaxed);
    let Bench { writer, metrics, .. } = bench;
    writer.finish();
    assert_eq!((metrics.logged.get(), metrics.log_dropped.get()), (0, 1));
}

#[test]
fn a_folder_shows_whole_segments_only() {
    let root = tempfile::tempdir().unwrap();
    let mut config = Config::defaults(&Machine::default());
    config.prediction_log.segment_bytes = 65_536;
    let config = Arc::new(ArcSwap::from_pointee(config));
    let metrics = Arc::new(Metrics::new().unwrap());
    let (log, mut writer) = Log::new(config, metrics.clone(), Box::new(Folder::new(root.path())));
    let version = pair();
    for n in 0..1000 {
        let mut inputs = vec![Tensor::new(&[1, 2], Data::Fp32(vec![1.0, 2.0]))];
        log.send(logged(&version, &format!("id-{n}")), &mut inputs, &mut Vec::new(), Hand::Copied);
    }
    writer.turn();
    writer.finish();
    assert_eq!((metrics.logged.get(), metrics.log_dropped.get()), (1000, 0));
    let keys = Folder::new(root.path()).keys("predictions").unwrap();
    let read = |key: &String| lines(&std::fs::read(root.path().join(key)).unwrap()).len();
    assert_eq!(keys.iter().map(read).sum::<usize>(), 1000);
    assert!(keys.len() > 1 && keys.iter().all(|key| key.ends_with(".ndjson.zst")), "{keys:?}");
}
