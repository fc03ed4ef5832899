//! What each command takes.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::ValueEnum;

use super::trial::Protocol;
use crate::config::{MODEL_FILE, PredictionRange, Sources};
use crate::score::{Task, Threshold};

/// Flags of `sidegate serve`. Values are texts: the configuration checks them along with everything else, so that
/// all problems are listed at once.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ServeArgs {
    /// One model file to serve by itself, as version 1 of a model named after it: .onnx, .ubj or .json of XGBoost,
    /// .txt of LightGBM
    #[arg(value_name = "MODEL_FILE", conflicts_with = "registry")]
    pub model_file: Option<String>,
    /// Configuration file [default: config/sidegate.toml if it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of models, as a path or a file: URL
    #[arg(long, value_name = "URL")]
    pub registry: Option<String>,
    /// Address of the data port; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    pub http: Option<String>,
    /// Address of the admin port; beyond loopback it needs admin.token_file
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<String>,
    /// Serve on a Unix domain socket too
    #[arg(long, value_name = "PATH")]
    pub uds: Option<String>,
    /// Engine of the models that choose none: auto, trees, ort or tract
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<String>,
    /// Number of data-path threads
    #[arg(long, value_name = "N")]
    pub workers: Option<String>,
    /// Form of the log: text or json
    #[arg(long, value_name = "FORMAT")]
    pub log: Option<String>,
}

/// Flags of `sidegate check`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct CheckArgs {
    /// Those of `sidegate serve`, to see what they would do.
    #[command(flatten)]
    pub serve: ServeArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `sidegate test`.
#[derive(Clone, Debug, clap::Args)]
pub struct TestArgs {
    /// A model file, or the folder of a version (its manifest.json and golden.json are tested too)
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Rows to test with, as CSV with a header; without it rows are made up
    #[arg(long, value_name = "FILE.csv")]
    pub data: Option<PathBuf>,
    /// Column of the data that holds what should be predicted
    #[arg(long, value_name = "COLUMN", requires = "data")]
    pub target: Option<String>,
    /// Value that a metric must reach, such as r2=0.5 or rmse=10; may be repeated. Metrics: rmse mae mse r2,
    /// accuracy precision recall f1 auc log_loss, latency_p50_us latency_p99_us (of one row)
    #[arg(long, value_name = "METRIC=NUMBER")]
    pub threshold: Vec<Threshold>,
    /// What is predicted: regression or classification [default: what outputs and target look like]
    #[arg(long, value_name = "TASK", value_parser = task)]
    pub task: Option<Task>,
    /// Where all predictions must lie, ends included; either may be left out
    #[arg(long, value_name = "MIN..MAX", allow_hyphen_values = true)]
    pub range: Option<PredictionRange>,
    /// Output that holds the predictions [default: that of the manifest, else the first]
    #[arg(long, value_name = "OUTPUT")]
    pub prediction: Option<String>,
    /// Number of rows that are made up
    #[arg(long, value_name = "N", default_value = "64", value_parser = rows)]
    pub rows: usize,
    /// What made-up rows start from: the same seed makes the same rows
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,
    /// Engine: auto, trees, ort or tract [default: engine.default of the configuration]
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<String>,
    /// Configuration file that names engines [default: config/sidegate.toml if it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    /// Write the report as JSON to a file
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Write the report as JUnit XML to a file, for CI
    #[arg(long, value_name = "FILE.xml")]
    pub junit: Option<PathBuf>,
}

/// How to reach a running sidegate.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct AdminArgs {
    /// Address of the admin port [default: that of the configuration]
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<String>,
    /// File with the token of the admin port [default: that of the configuration]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Configuration file that names both [default: config/sidegate.toml if it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Flags of the commands that print what the admin port says.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ShowArgs {
    /// Where to ask.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Print the JSON of the admin port
    #[arg(long)]
    pub json: bool,
}

/// Flags of `sidegate probe`.
#[derive(Clone, Debug, clap::Args)]
pub struct ProbeArgs {
    /// What to ask
    #[arg(value_enum, default_value = "ready")]
    pub probe: Probe,
    /// Where to ask.
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// Flags of `sidegate try`.
#[derive(Clone, Debug, clap::Args)]
pub struct TryArgs {
    /// The model file, as for `sidegate serve`, or the folder of a version
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Where the model is served today; without it sidegate is measured alone, and ONNX Runtime judges its answers (of
    /// ONNX files)
    #[arg(long, value_name = "URL")]
    pub against: Option<String>,
    /// Rows from a CSV file, by the names in its header or in order; empty cells are missing values
    #[arg(long, value_name = "FILE.csv", conflicts_with = "requests")]
    pub data: Option<PathBuf>,
    /// Columns of --data that are no features, such as the target
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "data")]
    pub drop: Vec<String>,
    /// Request bodies, one in each line, sent as they are to --against
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rows_per_request", "body"])]
    pub requests: Option<PathBuf>,
    /// What --against speaks, where its path does not tell [default there: predict, with --body or --requests]
    #[arg(long, value_name = "NAME", requires = "against")]
    pub protocol: Option<Protocol>,
    /// The body that --against takes: a template such as '{"features": {{row}}}', or records, record, rows, instances,
    /// instances-records, split, inputs, data, features, csv [default: those of the protocol, until one is accepted]
    #[arg(long, value_name = "FORM", requires = "against")]
    pub body: Option<String>,
    /// Outputs to ask --against for (OIP v2) [default: what it gives unasked]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "against")]
    pub outputs: Vec<String>,
    /// A header for --against, such as 'authorization: Bearer …'; may be given several times
    #[arg(long = "header", value_name = "HEADER", requires = "against")]
    pub headers: Vec<String>,
    /// Number of different requests [default: 1000, or as many as a slow service answers in 10 s]
    #[arg(short = 'n', long, value_name = "N")]
    pub requests_count: Option<NonZeroUsize>,
    /// Rows of each request
    #[arg(long, value_name = "N", default_value = "1")]
    pub rows_per_request: NonZeroUsize,
    /// Keep-alive connections to each side
    #[arg(long, value_name = "N", default_value = "1")]
    pub connections: NonZeroUsize,
    /// Turns that each side takes
    #[arg(long, value_name = "N", default_value = "5")]
    pub rounds: NonZeroUsize,
    /// Time for all turns together
    #[arg(long, value_name = "SECONDS", default_value = "5")]
    pub seconds: f64,
    /// Time for one answer
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    pub timeout: f64,
    /// Two numbers are equal when |a-b| <= tolerance * max(1, |b|)
    #[arg(long, value_name = "NUMBER", default_value = "1e-5")]
    pub tolerance: f64,
    /// Chooses the generated rows
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,
    /// Engine of sidegate: auto, trees, ort or tract
    #[arg(long, value_name = "ENGINE", default_value = "auto")]
    pub engine: String,
    /// Data-path threads of sidegate
    #[arg(long, value_name = "N", default_value = "1")]
    pub workers: NonZeroUsize,
    /// Process of the other side, where it cannot be found by its port (a container's, say)
    #[arg(long, value_name = "PID", requires = "against")]
    pub pid: Option<u32>,
    /// Write the page as HTML too
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The probes of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Probe {
    /// Does it run?
    Live,
    /// May it be sent requests?
    Ready,
    /// Has it come up?
    Startup,
}

fn task(text: &str) -> Result<Task, String> {
    let tasks = [Task::Regression, Task::Classification];
    tasks
        .into_iter()
        .find(|task| task.name() == text)
        .ok_or_else(|| "regression or classification".to_owned())
}

fn rows(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|rows| (1..=100_000).contains(rows));
    number.ok_or_else(|| "a whole number from 1 to 100000".to_owned())
}

// === impl ServeArgs ===

impl ServeArgs {
    /// The layers of the configuration, with the environment and machine of this process.
    pub fn sources(&self) -> Sources {
        Sources { file: self.config.clone(), ..Sources::from_process(self.flags()) }
    }

    /// The keys that were given a flag.
    pub(super) fn flags(&self) -> Vec<(String, String)> {
        let flags = [
            (MODEL_FILE, &self.model_file),
            ("registry.url", &self.registry),
            ("http.listen", &self.http),
            ("admin.listen", &self.admin),
            ("http.uds", &self.uds),
            ("engine.default", &self.engine),
            ("http.workers", &self.workers),
            ("log.format", &self.log),
        ];
        let given = flags.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)));
        given.collect()
    }
}
