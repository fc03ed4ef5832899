//! `sidegate outcomes`: posts outcomes from a file, for jobs that learn them in batches.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

use super::admin_client::Client;
use super::csv_file::CsvFile;
use super::failure::Failure;
use super::{complain, say};

pub(super) const EXAMPLES: &str = "\
Examples:
  sidegate outcomes labels.csv                     columns id,actual or receipt,actual: what was true of predictions
  sidegate outcomes purchases.csv --metric revenue columns unit,value: what units did
  sidegate outcomes labels.parquet --http 10.0.0.7:8000

Columns are id or receipt with actual (and row, where a request had several), or unit with value and metric (or --metric),
and t (RFC 3339) and model where they are known; others are ignored. Rows by id or receipt count once
however often they are posted, rows by unit every time.
Exit codes: 0 all were accepted, 1 some were not (which ones is shown), 2 wrong usage.";

/// Outcomes of one request.
const BATCH: usize = 2000;
/// Rejections that are shown.
const SHOWN: usize = 10;
/// What outcomes have.
const FIELDS: [&str; 9] = ["id", "receipt", "actual", "row", "model", "unit", "metric", "value", "t"];

/// Flags of `sidegate outcomes`.
#[derive(Clone, Debug, clap::Args)]
pub struct OutcomesArgs {
    /// The file: CSV with a header, or Parquet
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Name of what units did, for files without a column metric
    #[arg(long, value_name = "NAME")]
    pub metric: Option<String>,
    /// Address of the data port [default: that of the configuration]
    #[arg(long, value_name = "ADDR")]
    pub http: Option<String>,
    /// Configuration file that names it and its token [default: config/sidegate.toml if it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Carries the command out.
pub(super) fn run(args: &OutcomesArgs) -> ExitCode {
    match post(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => super::FAILURE.into(),
        Err(failure) => failure.exit(),
    }
}

/// Whether all were accepted.
fn post(args: &OutcomesArgs) -> Result<bool, Failure> {
    let file = CsvFile::read(&args.file, usize::MAX).map_err(Failure::Failed)?;
    let columns: Vec<(usize, &str)> = FIELDS
        .iter()
        .filter_map(|field| Some((file.first.iter().position(|name| name == field)?, *field)))
        .collect();
    if !columns.iter().any(|(_, field)| ["id", "receipt", "unit"].contains(field)) {
        let text = format!("{} has no column id, receipt or unit; line 1 names the columns", file.name);
        return Err(Failure::Usage(text));
    }
    let client = Client::of_data(args.http.as_deref(), &super::monitor::configuration(args.config.clone())?)?;
    let bar = if std::io::stderr().is_terminal() {
        ProgressBar::new(file.records.len() as u64)
    } else {
        ProgressBar::hidden()
    };
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} outcomes, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut rejected: Vec<Value> = Vec::new();
    for (number, batch) in file.records.chunks(BATCH).enumerate() {
        let items: Vec<Value> =
            batch.iter().map(|record| item(record, &columns, args.metric.as_deref())).collect();
        let answer = client.post("/outcomes", &Value::from(items).to_string())?;
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if !matches!(answer.status, 200 | 202) {
            let posted = number * BATCH;
            let said = value["error"].as_str().unwrap_or("no reason given");
            return Err(Failure::Failed(format!(
                "after {posted} outcomes: status {}: {said}",
                answer.status
            )));
        }
        for (name, count) in value["counts"].as_object().into_iter().flatten() {
            *counts.entry(name.clone()).or_default() += count.as_u64().unwrap_or(0);
        }
        let results = value["results"].as_array().into_iter().flatten().enumerate();
        for (at, result) in results.filter(|(_, result)| !result["error"].is_null()) {
            // Line 1 is the header.
            let line = number * BATCH + at + 2;
            rejected.push(json!({"line": line, "status": result["status"], "error": result["error"]}));
        }
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    if args.json {
        say(&format!(
            "{:#}\n",
            json!({"outcomes": file.records.len(), "counts": counts, "rejected": rejected})
        ));
    } else {
        let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
        say(&format!("{} outcomes: {}\n", file.records.len(), counts.join(", ")));
        for row in rejected.iter().take(SHOWN) {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            complain(&format!(
                "{}, line {}: {}: {}\n",
                file.name,
                row["line"],
                text(&row["status"]),
                text(&row["error"])
            ));
        }
        if rejected.len() > SHOWN {
            complain(&format!("and {} more; --json lists all\n", rejected.len() - SHOWN));
        }
    }
    Ok(rejected.is_empty())
}

/// An outcome of a line.
fn item(record: &csv::StringRecord, columns: &[(usize, &str)], metric: Option<&str>) -> Value {
    let mut item = Map::new();
    for (place, field) in columns {
        let text = record.get(*place).unwrap_or_default().trim();
        if text.is_empty() {
            continue;
        }
        let number = || match text {
            "true" | "True" | "TRUE" => Some(json!(1)),
            "false" | "False" | "FALSE" => Some(json!(0)),
            text => {
                text.parse::<u64>().map(Value::from).or_else(|_| text.parse::<f64>().map(Value::from)).ok()
            }
        };
        // What is no number is for the gateway to refuse, by its line.
        let value = if ["actual", "row", "value"].contains(field) { number() } else { None };
        item.insert((*field).to_owned(), value.unwrap_or_else(|| text.into()));
    }
    if let Some(metric) = metric.filter(|_| !item.contains_key("metric")) {
        item.insert("metric".into(), metric.into());
    }
    item.into()
}
