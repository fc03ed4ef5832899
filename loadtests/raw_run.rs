//! The engine alone, in process, without HTTP: what the load tests subtract from a server's processor time.
//!
//! `raw_run MODEL_FILE [--rows N] [--engine auto|trees|ort|tract]` prints one JSON line.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;
use sidegate::config::{Config, EngineChoice, Machine};
use sidegate::engine::{self, LoadOptions, Scratch};
use sidegate::format::{Format, Model};
use sidegate::serving::admission::probe;

/// How long is measured.
const MEASURED: Duration = Duration::from_millis(800);
/// Runs whose times are taken together, so that reading the clock does not count.
const BATCH: u32 = 16;

#[derive(Parser)]
struct Args {
    model: PathBuf,
    #[arg(long, default_value_t = 1)]
    rows: usize,
    #[arg(long, default_value = "auto")]
    engine: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    sidegate::native::prepare_environment();
    let args = Args::parse();
    let choices = [EngineChoice::Auto, EngineChoice::Trees, EngineChoice::Ort, EngineChoice::Tract];
    let choice = choices
        .into_iter()
        .find(|c| c.name() == args.engine)
        .ok_or("--engine is auto, trees, ort or tract")?;
    engine::configure(&Config::defaults(&Machine::default()).engine);
    let format = Format::of(args.model.as_ref()).ok_or("the model is .onnx, .ubj, .json or .txt")?;
    let model = Model::parse(format, std::fs::read(&args.model)?)?;
    let loaded = engine::load(&model, choice, &LoadOptions { workers: 1 })?;
    let inputs = probe(model.signature(), args.rows, 1).ok_or("the inputs are too large to make up")?;
    let (mut scratch, mut outputs) = (Scratch::new(0), Vec::new());
    let mut run = || -> Result<f64, Box<dyn Error>> {
        let start = Instant::now();
        for _ in 0..BATCH {
            loaded.session.run(&inputs, &mut scratch, &mut outputs)?;
        }
        Ok(start.elapsed().as_secs_f64() * 1e6 / f64::from(BATCH))
    };
    let warm = Instant::now();
    while warm.elapsed() < MEASURED / 8 {
        run()?;
    }
    let mut samples = Vec::new();
    let start = Instant::now();
    while start.elapsed() < MEASURED || samples.len() < 5 {
        samples.push(run()?);
    }
    let mean = samples.iter().sum::<f64>() / samples.len() as f64;
    samples.sort_by(f64::total_cmp);
    let p50 = samples[samples.len() / 2];
    let line = json!({"engine": loaded.kind.name(), "rows": args.rows, "p50_us": p50, "mean_us": mean});
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}
