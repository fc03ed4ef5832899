//! The command line.

use std::path::PathBuf;
use std::time::Duration;

/// Load generator for HTTP/1.1 servers on loopback; prints one line of JSON.
#[derive(Debug, clap::Parser)]
#[command(
    name = "loadgen",
    after_help = "Example: loadgen --url http://127.0.0.1:8000/v2/models/gbt/infer --body gbt.json -c 8 --pid 4711"
)]
pub(crate) struct Args {
    /// Loopback URL, for example http://127.0.0.1:8000/v2/models/gbt/infer
    #[arg(long, required_unless_present = "uds", conflicts_with = "uds")]
    pub(crate) url: Option<String>,
    /// Unix domain socket instead of TCP
    #[arg(long, requires = "path")]
    pub(crate) uds: Option<PathBuf>,
    /// Path of the request when --uds is used
    #[arg(long, conflicts_with = "url")]
    pub(crate) path: Option<String>,
    /// File with the request's body (POST); without it GET
    #[arg(long)]
    pub(crate) body: Option<PathBuf>,
    /// Extra request header, for example 'Authorization: Bearer t' (repeatable)
    #[arg(long = "header", value_name = "K: V")]
    pub(crate) headers: Vec<String>,
    /// Binary tensors: length of the JSON part of the body (Inference-Header-Content-Length)
    #[arg(long, value_name = "N", requires = "body")]
    pub(crate) header_length: Option<usize>,
    /// Concurrent connections
    #[arg(short = 'c', long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) connections: u32,
    /// Seconds measured
    #[arg(long, default_value = "5", value_parser = seconds)]
    pub(crate) duration: Duration,
    /// Seconds of load before the measured part
    #[arg(long, default_value = "1", value_parser = seconds)]
    pub(crate) warmup: Duration,
    /// Open loop: requests per second on a fixed schedule, latency counted from the scheduled time; 0 = closed loop
    #[arg(long, default_value_t = 0.0, value_parser = rate)]
    pub(crate) rate: f64,
    /// A new connection for every request
    #[arg(long)]
    pub(crate) no_keepalive: bool,
    /// Never sleep while waiting for an answer (takes the generator's wake-up out of the latency; needs a core)
    #[arg(long)]
    pub(crate) spin: bool,
    /// Process id of the server: adds its processor time per answer, memory and throttled periods
    #[arg(long)]
    pub(crate) pid: Option<u32>,
    /// Status of a good answer
    #[arg(long, default_value_t = 200)]
    pub(crate) expect_status: u16,
    /// Every good answer's body must contain the bytes of this file
    #[arg(long, value_name = "FILE")]
    pub(crate) expect_body: Option<PathBuf>,
    /// Stop after this many requests
    #[arg(long, value_name = "N")]
    pub(crate) max_requests: Option<u64>,
    /// Stop as soon as this file exists
    #[arg(long, value_name = "FILE")]
    pub(crate) stop_file: Option<PathBuf>,
    /// Seconds after which a request counts as timed out
    #[arg(long, default_value = "10", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if seconds <= 86_400.0 => Ok(duration),
        _ => Err("out of range (0 to 86400)".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.0..=10_000_000.0).contains(&rate) => Ok(rate),
        _ => Err("not a rate (0 to 10000000 requests per second)".to_owned()),
    }
}
