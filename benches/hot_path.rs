//! The hot path in process: decode, run, encode, and one whole request without its socket, each beside a reference.
//!
//! `cargo bench --bench hot_path [-- FILTER]`. Every row interleaves ours with its reference and prints the medians, so that a
//! machine whose speed drifts does not favour either. No figure here is a test.

use std::hash::Hasher;
use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use serde::Deserialize;
use sidegate::config::{Config, EngineChoice, Machine};
use sidegate::drift::Layout;
use sidegate::engine::{self, EngineKind, LoadOptions, RunError, Scratch, Session};
use sidegate::experiment::{Definition, Given, Predicted, Ruling, Track};
use sidegate::format::Format;
use sidegate::gateway::http::{Answer, Scan, find_end, parse, write_head};
use sidegate::metrics::{Metrics, Outcome, VersionLabels};
use sidegate::model::{Labels, Signature, TensorSpec, Version};
use sidegate::monitor::{Hand, Log, Logged, Predictions, Receipt, Receipts, Record, Records, Taps};
use sidegate::protocol::oip::{AnswerHead, decode, encode};
use sidegate::protocol::{Policy, Request};
use sidegate::registry::digest::Digest;
use sidegate::serving::circuit::Circuit;
use sidegate::serving::watch::Watch;
use sidegate::serving::{ServedVersion, StageNanos, Statistics};
use sidegate::stats::assign::{Salt, slot};
use sidegate::stats::{Edges, Moments, ks};
use sidegate::tensor::{Data, Datatype, Tensor};

const POLICY: Policy = Policy { max_rows: 100_000, reject_non_finite: false };
const ROUNDS: usize = 41;

/// The reference decoder: serde_json into typed structures.
#[derive(Deserialize)]
struct SerdeRequest {
    inputs: Vec<SerdeInput>,
}

#[derive(Deserialize)]
struct SerdeInput {
    #[expect(dead_code, reason = "read to cost what reading costs")]
    name: String,
    #[expect(dead_code, reason = "read to cost what reading costs")]
    shape: Vec<usize>,
    data: Vec<f32>,
}

fn spec(name: &str, datatype: Datatype, shape: &[i64]) -> TensorSpec {
    TensorSpec { name: name.into(), datatype, shape: shape.to_vec(), labels: None }
}

fn signature(columns: usize) -> Signature {
    Signature {
        inputs: vec![spec("input", Datatype::Fp32, &[-1, columns as i64])],
        outputs: vec![spec("label", Datatype::Int64, &[-1]), spec("probabilities", Datatype::Fp32, &[-1, 2])],
    }
}

fn values(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i as f32 * 0.618_034).fract() * 8.0 - 4.0).collect()
}

/// A body as the Python clients write it: every f32 as the f64 it is.
fn body(rows: usize, columns: usize) -> Vec<u8> {
    let data: Vec<String> = values(rows * columns).iter().map(|v| format!("{}", f64::from(*v))).collect();
    format!(
        r#"{{"id":"42","inputs":[{{"name":"input","shape":[{rows},{columns}],"datatype":"FP32","data":[{}]}}]}}"#,
        data.join(",")
    )
    .into_bytes()
}

fn binary(rows: usize, columns: usize) -> (Vec<u8>, usize) {
    let header = format!(
        r#"{{"inputs":[{{"name":"input","shape":[{rows},{columns}],"datatype":"FP32","parameters":{{"binary_data_size":{}}}}}]}}"#,
        rows * columns * 4
    );
    let tail: Vec<u8> = values(rows * columns).iter().flat_map(|v| v.to_le_bytes()).collect();
    ([header.as_bytes(), &tail].concat(), header.len())
}

/// Prints the medians of two pieces of work, run in turn.
fn row<'a>(name: &str, ours: &mut (dyn FnMut() + 'a), reference: &mut (dyn FnMut() + 'a)) {
    if std::env::args().skip(1).any(|filter| !filter.starts_with('-') && !name.contains(&filter)) {
        return;
    }
    let once = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed().as_nanos().max(1)
    };
    let repeat = (1_000_000 / once(ours)).clamp(1, 5000) as u32;
    let mut samples = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (work, samples) in [&mut *ours, &mut *reference].into_iter().zip(&mut samples) {
            let start = Instant::now();
            (0..repeat).for_each(|_| work());
            samples.push(start.elapsed().as_secs_f64() * 1e6 / f64::from(repeat));
        }
    }
    let [ours, reference] = samples.map(|mut s| {
        s.sort_by(f64::total_cmp);
        s[s.len() / 2]
    });
    let line = format!(
        "{name:<34} {ours:>10.3} µs   reference {reference:>10.3} µs   ratio {:>6.2}\n",
        ours / reference
    );
    std::io::stdout().write_all(line.as_bytes()).expect("standard output is there");
}

fn decoding() {
    for (rows, columns) in [(1, 28), (1, 784), (64, 784)] {
        let (signature, json) = (signature(columns), body(rows, columns));
        let mut request = Request::default();
        let mut ours =
            || decode(black_box(&json), None, &signature, POLICY, &mut request).expect("a good request");
        let mut serde = || {
            let request: SerdeRequest = serde_json::from_slice(black_box(&json)).expect("a good request");
            black_box(request.inputs[0].data.len());
        };
        row(&format!("decode json {rows}x{columns} / serde_json"), &mut ours, &mut serde);
        let (bytes, length) = binary(rows, columns);
        let mut other = Request::default();
        let mut ours =
            || decode(black_box(&bytes), Some(length), &signature, POLICY, &mut other).expect("good");
        let mut copy = || drop(black_box(black_box(&bytes[length..]).to_vec()));
        row(&format!("decode binary {rows}x{columns} / memcpy"), &mut ours, &mut copy);
    }
}

fn encoding() {
    for rows in [1, 64] {
        let (signature, request) = (signature(28), Request { id: b"42".to_vec(), ..Request::default() });
        let outputs = [
            Tensor::new(&[rows], Data::Int64(vec![1; rows])),
            Tensor::new(&[rows, 2], Data::Fp32(values(rows * 2))),
        ];
        let mut out = Vec::new();
        let mut ours = || {
            out.clear();
            let head = AnswerHead {
                prefix: br#"{"model_name":"gbt","model_version":"1""#,
                id: b"42",
                variant: None,
                fallback: false,
            };
            encode(head, &signature, &request, &outputs, &mut out).expect("JSON has a form for these");
        };
        let floats = values(rows * 2);
        let mut serde = || drop(black_box(serde_json::to_vec(black_box(&floats)).expect("floats")));
        row(&format!("encode json {rows} rows / serde_json floats"), &mut ours, &mut serde);
    }
}

/// One request from its bytes to its answer's bytes, beside the engine's run alone.
fn whole(path: &str) {
    let file = std::fs::read(path).expect("the model is in the repository");
    let model = sidegate::format::Model::from(sidegate::onnx::parse(file).expect("a good model"));
    let loaded =
        engine::load(&model, EngineChoice::Auto, &LoadOptions { workers: 1 }).expect("an engine runs it");
    let session: &dyn Session = &*loaded.session;
    let columns = model.signature().inputs[0].shape[1] as usize;
    let json = body(1, columns);
    let mut bytes = format!(
        "POST /v2/models/m/infer HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        json.len()
    )
    .into_bytes();
    bytes.extend_from_slice(&json);
    let (mut request, mut outputs, mut scratch) = (Request::default(), Vec::new(), Scratch::new(0));
    let (mut out, mut head) = (Vec::new(), Vec::new());
    let mut ours = || {
        let bytes = black_box(bytes.as_slice());
        let length = find_end(bytes, &mut Scan::default()).expect("a good head").expect("a whole head");
        let parsed = parse(&bytes[..length]).expect("a good head");
        decode(&bytes[parsed.length..], None, model.signature(), POLICY, &mut request)
            .expect("a good request");
        session.run(&request.inputs, &mut scratch, &mut outputs).expect("a good run");
        out.clear();
        head.clear();
        let prefix = AnswerHead {
            prefix: br#"{"model_name":"m","model_version":"1""#,
            id: &request.id,
            variant: None,
            fallback: false,
        };
        encode(prefix, model.signature(), &request, &outputs, &mut out).expect("JSON has a form for these");
        write_head(&mut head, &Answer::json(200), out.len(), b"Mon, 23 Nov 2026 20:05:07 GMT", None, b"");
        black_box((&head, &out));
    };
    let mut fixed = Request::default();
    decode(&json, None, model.signature(), POLICY, &mut fixed).expect("a good request");
    let (mut other, mut other_scratch) = (Vec::new(), Scratch::new(0));
    let mut alone =
        || session.run(black_box(&fixed.inputs), &mut other_scratch, &mut other).expect("a good run");
    let name = path.split('/').nth_back(2).unwrap_or(path);
    row(&format!("whole {name} ({}) / run alone", loaded.kind.name()), &mut ours, &mut alone);
}

/// A thousand steps of what experiments and monitors do per request, so that a line's µs are nanoseconds per step.
fn statistics() {
    let keys: Vec<String> = (0..1000).map(|unit| format!("{unit:08x}-0000-4000-8000-000000000000")).collect();
    let salt = Salt::new("checkout-button");
    let mut ours = || {
        for key in &keys {
            black_box(slot(salt.hash(key)));
        }
    };
    let mut reference = || {
        for key in &keys {
            let mut hasher = std::hash::DefaultHasher::new();
            hasher.write(b"checkout-button");
            hasher.write(key.as_bytes());
            black_box(hasher.finish());
        }
    };
    row("assign 52 bytes x1000 / SipHash", &mut ours, &mut reference);
    let numbers: Vec<f64> = values(1000).into_iter().map(f64::from).collect();
    let mut moments = || {
        black_box(black_box(&numbers).iter().copied().collect::<Moments>());
    };
    let mut sum = || {
        black_box(black_box(&numbers).iter().sum::<f64>());
    };
    row("moments x1000 / sum", &mut moments, &mut sum);
    let edges = Edges::quantiles(&numbers, 32).expect("there are values");
    let mut counts = vec![0_u64; edges.cells()];
    let mut bins = || black_box(&numbers).iter().for_each(|value| counts[edges.cell(*value)] += 1);
    row("bins 32 x1000 / sum", &mut bins, &mut sum);
    let mut exact = || {
        black_box(ks::exact(black_box(30_000_000), 10_000, 9_999));
    };
    let mut square = || {
        black_box(ks::exact(black_box(30_000_000), 10_000, 10_000));
    };
    row("exact KS 10000x9999 / 10000x10000", &mut exact, &mut square);
}

/// A thousand requests' part in an experiment: deciding, reading the prediction, leaving a record that another thread takes.
fn experiment() {
    let definition = Definition {
        model: "m".parse().ok(),
        unit: "header:x-user".parse().ok(),
        variants: [("a", "1"), ("b", "2")]
            .map(|(name, serve)| (name.into(), serve.parse().expect("a version")))
            .into(),
        metric: "squared_error".parse().ok(),
        planned_units: 5000,
        confidence: "95%".parse().expect("a share"),
        ..Definition::default()
    };
    let experiment =
        definition.check(&"e".parse().expect("a name")).expect("a definition that holds together");
    let track = Arc::new(Track::new(experiment, vec![Some(1), Some(2)]));
    let mut records = Records::default();
    let mut recorder = records.recorder();
    let spec = TensorSpec { name: "y".into(), datatype: Datatype::Fp32, shape: vec![-1, 1], labels: None };
    let signature = Signature { inputs: Vec::new(), outputs: vec![spec] };
    let labels = Labels::of(&signature, 0);
    let output = Tensor::new(&[1, 1], Data::Fp32(vec![0.5]));
    let requests: Vec<Given> = (0..1000)
        .map(|unit| Given { headers: vec![("x-user".into(), format!("user-{unit:08}"))], ..Given::default() })
        .collect();
    let ruling = Ruling::default();
    let mut ours = || {
        for request in &requests {
            let decision = track.experiment.decide_under(&ruling, request);
            let (slot, unit) = decision.unit.expect("everybody is enrolled");
            let variant = decision.variant.expect("every slot is somebody's");
            let predictions = Predictions::of(black_box(&output), &labels);
            let id = sidegate::monitor::request_id(b"0192f3a4-0000-7000-8000-000000000000");
            let (track, version, at) = (Some(track.clone()), 1, recorder.millis(Instant::now()));
            let (seconds, variant, failed) = (1e-5, variant as u8, false);
            recorder.record(Record {
                track,
                version,
                unit,
                id,
                at,
                seconds,
                predictions,
                slot,
                variant,
                failed,
            });
        }
        records.drain(drop);
    };
    let mut reference = || {
        for request in &requests {
            black_box(track.experiment.decide_under(&ruling, request));
        }
    };
    row("experiment x1000 / deciding alone", &mut ours, &mut reference);
}

/// A thousand requests of 100 features shown to the monitor, against copying as many bytes; and not shown.
fn tap() {
    let spec = |name: &str, width| TensorSpec {
        name: name.into(),
        datatype: Datatype::Fp32,
        shape: vec![-1, width],
        labels: None,
    };
    let signature = Signature { inputs: vec![spec("x", 100)], outputs: vec![spec("y", 1)] };
    let watch = Watch::new(Layout::of(&signature, &[], 0), None);
    let inputs = [Tensor::new(&[1, 100], Data::Fp32(values(100)))];
    let outputs = [Tensor::new(&[1, 1], Data::Fp32(vec![0.5]))];
    let mut taps = Taps::default();
    let mut tap = taps.tap();
    let mut shown = |every| {
        watch.ask(every);
        for _ in 0..1000 {
            tap.offer(black_box(&watch), (&signature, 0), black_box(&inputs), black_box(&outputs));
        }
        taps.drain(|_, row| {
            black_box(row.len());
        });
    };
    let (source, mut target) = (values(100), Vec::with_capacity(100));
    let mut reference = || {
        for _ in 0..1000 {
            target.clear();
            target.extend_from_slice(black_box(&source));
            black_box(&target);
        }
    };
    row("tap 100 features x1000, taken / copied", &mut || shown(1), &mut reference);
    row("tap 100 features x1000, every 1000th / copied", &mut || shown(1000), &mut reference);
}

/// A thousand requests of 100 features left for the prediction log, whose next ones need buffers of their own, against
/// refilling those that are there.
fn prediction_log() {
    let signature = Signature {
        inputs: vec![spec("x", Datatype::Fp32, &[-1, 100])],
        outputs: vec![spec("y", Datatype::Fp32, &[-1, 1])],
    };
    let metrics = Arc::new(Metrics::new().expect("every metric has a name of its own"));
    let config = Arc::new(ArcSwap::from_pointee(Config::defaults(&Machine::default())));
    let (log, left) = Log::alone(config, metrics.clone());
    let labels = VersionLabels { model: "m", version: "1", stage: "None", engine: "trees", digest: "" };
    let version = Arc::new(ServedVersion {
        model: "m".parse().expect("a name"),
        version: Version::FIRST,
        format: Format::Onnx,
        session: Box::new(Nothing),
        engine: EngineKind::Trees,
        engine_reason: String::new(),
        digest: Digest::of(b"", &mut || ()),
        created: None,
        columns: Vec::new(),
        prediction: 0,
        labels: Labels::default(),
        answer_prefix: Vec::new(),
        load_time: Duration::ZERO,
        memory_bytes: 0,
        metrics: metrics.version(&labels, 100),
        statistics: Statistics::default(),
        circuit: Circuit::default(),
        row_nanos: AtomicU64::new(0),
        watch: Watch::new(Layout::of(&signature, &[], 0), None),
        signature,
    });
    let source = values(100);
    let id = b"0192f3a4-0000-7000-8000-000000000000";
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    let mut ours = || {
        for _ in 0..1000 {
            inputs.push(Tensor::new(&[1, 100], Data::Fp32(black_box(&source).clone())));
            outputs.push(Tensor::new(&[1, 1], Data::Fp32(vec![0.5])));
            let Some(key) = log.wants(&version.model, black_box(id)) else { continue };
            let logged = Logged {
                version: version.clone(),
                arm: None,
                part: None,
                fell_back: false,
                outcome: Outcome::Ok,
                error: None,
                arrived: Instant::now(),
                times: StageNanos::default(),
                id: id.to_vec(),
                key,
            };
            log.send(logged, &mut inputs, &mut outputs, Hand::Over);
        }
        assert_eq!(left.clear(), 1000, "nothing is dropped");
    };
    let mut target = Vec::with_capacity(100);
    let mut reference = || {
        for _ in 0..1000 {
            target.clear();
            target.extend_from_slice(black_box(&source));
            black_box(&target);
        }
    };
    row("prediction log x1000 / refilled", &mut ours, &mut reference);
}

/// A session that is never asked.
struct Nothing;

impl Session for Nothing {
    fn run(&self, _: &[Tensor], _: &mut Scratch, _: &mut Vec<Tensor>) -> Result<(), RunError> {
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        0
    }
}

/// A thousand receipts signed, against a digest of as many bytes.
fn receipts() {
    let receipts = Receipts::new(&["a-key-that-every-replica-has".to_owned()]);
    let receipt = Receipt {
        phase: 1,
        variant: 1,
        version: 7,
        slot: 5,
        unit: 9,
        id: 11,
        at: 1_764_000_000_000,
        propensity: 0.5,
        predictions: [Predicted::Probability(0.25)].into_iter().collect(),
        model: "flight-delay".into(),
    };
    let mut out = Vec::with_capacity(256);
    let mut ours = || {
        for _ in 0..1000 {
            out.clear();
            receipts.push(black_box(&receipt), &mut out);
            black_box(&out);
        }
    };
    let bytes = [7_u8; 96];
    let mut reference = || {
        for _ in 0..1000 {
            black_box(blake3::hash(black_box(&bytes)));
        }
    };
    row("receipt x1000 / BLAKE3 of 96 bytes", &mut ours, &mut reference);
}

fn main() {
    sidegate::native::prepare_environment();
    statistics();
    experiment();
    receipts();
    tap();
    prediction_log();
    decoding();
    encoding();
    for model in ["breast-cancer", "wine"] {
        whole(&format!("{}/models/{model}/1/model.onnx", env!("CARGO_MANIFEST_DIR")));
    }
}
