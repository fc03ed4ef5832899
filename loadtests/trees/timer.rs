//! Times one engine on one model, call by call, for `loadtests/trees/run.py`: no HTTP, no Python.
//!
//! `trees_timer MODEL --rows ROWS.f32 [--engine trees|ort|auto] [--onnxruntime LIBRARY]` loads the model and
//! obeys one command per line on standard input, with one JSON line each as the answer:
//!
//! - `run ROWS SECONDS`: calls of that many rows for that long → `median_ns`, `min_ns` (per call), `calls`
//! - `load REPEATS`: from the file's bytes to a session → `parse_ns`, `build_ns`, medians
//! - `outputs ROWS COUNT FILE`: the first COUNT rows in calls of ROWS; writes the last output as raw float64
//!
//! Between commands it waits without work, so that competitors can take turns on one core.

use std::collections::HashMap;
use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::{Value, json};
use sidegate::config::{Config, EngineChoice, Machine};
use sidegate::engine::{self, LoadOptions, Loaded, Scratch};
use sidegate::format::{FORMATS, Format, Model};
use sidegate::tensor::{Data, Datatype, Tensor};

/// Calls whose times are taken together, so that reading the clock does not count. `driver.c` has the same.
const BATCH: Duration = Duration::from_micros(50);

#[derive(Parser)]
struct Args {
    #[arg(required_unless_present = "formats")]
    model: Option<PathBuf>,
    /// Rows as raw float32, one after another; as many columns as the model takes.
    #[arg(long, required_unless_present = "formats")]
    rows: Option<PathBuf>,
    #[arg(long, default_value = "trees")]
    engine: String,
    /// libonnxruntime, for `--engine ort`.
    #[arg(long)]
    onnxruntime: Option<PathBuf>,
    /// Print the kinds of files that can be loaded, and stop.
    #[arg(long)]
    formats: bool,
}

type Failure = Box<dyn Error>;

struct Timer {
    format: Format,
    bytes: Vec<u8>,
    choice: EngineChoice,
    model: Model,
    loaded: Loaded,
    columns: usize,
    rows: Vec<f32>,
    /// The rows cut into calls, by rows per call: made once, so that a call copies nothing.
    calls: HashMap<usize, Vec<[Tensor; 1]>>,
    /// The next call; a command goes on where the last one ended.
    at: usize,
    scratch: Scratch,
    outputs: Vec<Tensor>,
}

impl Timer {
    fn open(file: &Path, rows: &Path, choice: EngineChoice) -> Result<Self, Failure> {
        let format = Format::of(file).ok_or("no model file's name")?;
        let bytes = std::fs::read(file)?;
        let model = Model::parse(format, bytes.clone())?;
        let loaded = engine::load(&model, choice, &LoadOptions { workers: 1 })?;
        let [input] = model.signature().inputs.as_slice() else {
            return Err("the model has several inputs".into());
        };
        let columns = input.shape.get(1).and_then(|&n| usize::try_from(n).ok()).ok_or("how many columns?")?;
        let rows: Vec<f32> =
            std::fs::read(rows)?.as_chunks::<4>().0.iter().map(|b| f32::from_ne_bytes(*b)).collect();
        Ok(Self {
            format,
            bytes,
            choice,
            model,
            loaded,
            columns,
            rows,
            calls: HashMap::new(),
            at: 0,
            scratch: Scratch::new(0),
            outputs: Vec::new(),
        })
    }

    /// All the rows, in calls of `rows`; what is left over at the end is not used.
    fn cut(&mut self, rows: usize) -> Result<(), Failure> {
        let datatype = self.model.signature().inputs[0].datatype;
        let tensor = |values: &[f32]| {
            let data = match datatype {
                Datatype::Fp32 => Data::Fp32(values.to_vec()),
                Datatype::Fp64 => Data::Fp64(values.iter().map(|&v| f64::from(v)).collect()),
                other => return Err(format!("rows of {other} are not supported")),
            };
            Ok([Tensor::new(&[rows, self.columns], data)])
        };
        if !self.calls.contains_key(&rows) {
            let calls = self
                .rows
                .chunks_exact((rows * self.columns).max(1))
                .map(tensor)
                .collect::<Result<Vec<_>, _>>()?;
            if calls.is_empty() {
                return Err(format!("the file has fewer than {rows} rows").into());
            }
            self.calls.insert(rows, calls);
        }
        Ok(())
    }

    fn run(&mut self, rows: usize, seconds: f64) -> Result<Value, Failure> {
        self.cut(rows)?;
        let Self { calls, at, loaded, scratch, outputs, .. } = self;
        let inputs = &calls[&rows];
        let mut batch = |size: u32| -> Result<Duration, Failure> {
            let start = Instant::now();
            for _ in 0..size {
                *at = if *at + 1 < inputs.len() { *at + 1 } else { 0 };
                loaded.session.run(&inputs[*at], scratch, outputs)?;
            }
            Ok(start.elapsed())
        };
        // A fifth of the time to warm up: caches are cold, another competitor ran before. It also tells the cost of a call.
        let (warm, mut warmed, start) = (Duration::from_secs_f64(seconds / 5.0), 0, Instant::now());
        while warmed == 0 || start.elapsed() < warm {
            batch(1)?;
            warmed += 1;
        }
        let call = start.elapsed() / warmed;
        let size = u32::try_from(BATCH.as_nanos() / call.as_nanos().max(1))?.max(1);
        let (mut samples, start) = (Vec::new(), Instant::now());
        while samples.len() < 3 || start.elapsed().as_secs_f64() < seconds {
            samples.push(batch(size)?.as_nanos() as f64 / f64::from(size));
        }
        let calls = samples.len() as u64 * u64::from(size);
        let (median, min) = median_and_min(&mut samples);
        Ok(json!({"median_ns": median, "min_ns": min, "calls": calls}))
    }

    fn load(&self, repeats: u32) -> Result<Value, Failure> {
        let (mut parsing, mut building) = (Vec::new(), Vec::new());
        for _ in 0..repeats.max(1) {
            let bytes = self.bytes.clone();
            let start = Instant::now();
            let model = Model::parse(self.format, bytes)?;
            let parsed = start.elapsed();
            let loaded = engine::load(&model, self.choice, &LoadOptions { workers: 1 })?;
            building.push((start.elapsed() - parsed).as_nanos() as f64);
            parsing.push(parsed.as_nanos() as f64);
            drop(loaded);
        }
        let memory = self.loaded.session.memory_bytes();
        let (parse, build) = (median_and_min(&mut parsing).0, median_and_min(&mut building).0);
        Ok(json!({"parse_ns": parse, "build_ns": build, "memory_bytes": memory}))
    }

    fn outputs(&mut self, rows: usize, count: usize, file: &str) -> Result<Value, Failure> {
        self.cut(rows)?;
        let mut all: Vec<u8> = Vec::new();
        for input in self.calls[&rows].iter().take(count / rows) {
            self.loaded.session.run(input, &mut self.scratch, &mut self.outputs)?;
            match &self.outputs.last().ok_or("no output")?.data {
                Data::Fp32(values) => all.extend(values.iter().flat_map(|&v| f64::from(v).to_ne_bytes())),
                Data::Fp64(values) => all.extend(values.iter().flat_map(|v| v.to_ne_bytes())),
                other => return Err(format!("the last output is {}", other.datatype()).into()),
            }
        }
        std::fs::write(file, all)?;
        Ok(json!({"rows": count / rows * rows}))
    }

    fn obey(&mut self, line: &str) -> Result<Value, Failure> {
        match line.trim().splitn(4, ' ').collect::<Vec<_>>().as_slice() {
            ["run", rows, seconds] => self.run(rows.parse()?, seconds.parse()?),
            ["load", repeats] => self.load(repeats.parse()?),
            ["outputs", rows, count, file] => self.outputs(rows.parse()?, count.parse()?, file),
            _ => Err("run ROWS SECONDS, load REPEATS, or outputs ROWS COUNT FILE".into()),
        }
    }
}

fn median_and_min(samples: &mut [f64]) -> (f64, f64) {
    samples.sort_by(f64::total_cmp);
    (samples[samples.len() / 2], samples[0])
}

fn main() -> Result<(), Failure> {
    sidegate::native::prepare_environment();
    let args = Args::parse();
    let mut out = std::io::stdout();
    let (Some(model), Some(rows), false) = (args.model, args.rows, args.formats) else {
        return Ok(writeln!(out, "{}", json!(FORMATS.map(Format::extension)))?);
    };
    let choices = [EngineChoice::Auto, EngineChoice::Trees, EngineChoice::Ort];
    let choice =
        choices.into_iter().find(|c| c.name() == args.engine).ok_or("--engine is auto, trees or ort")?;
    let mut config = Config::defaults(&Machine::default()).engine;
    config.onnxruntime = args.onnxruntime;
    engine::configure(&config);
    let mut timer = Timer::open(&model, &rows, choice)?;
    writeln!(out, "{}", json!({"engine": timer.loaded.kind.name(), "columns": timer.columns}))?;
    for line in std::io::stdin().lines() {
        let answer = timer.obey(&line?).unwrap_or_else(|error| json!({"error": error.to_string()}));
        writeln!(out, "{answer}")?;
    }
    Ok(())
}
