//! Answers a file of reference vectors: `cargo run --release --example stats_eval -- CASES.json > ANSWERS.json`.

mod answer;

use std::error::Error;
use std::io::Write;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: stats_eval CASES.json > ANSWERS.json")?;
    let cases = serde_json::from_slice(&std::fs::read(path)?)?;
    writeln!(std::io::stdout(), "{}", answer::answers(&cases))?;
    Ok(())
}
