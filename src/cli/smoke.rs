//! `sidegate smoke`: every endpoint of a sidegate that was just deployed, and the golden examples of what it serves.

mod examples;
mod report;
mod walk;
mod ways;

use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::admin_client::{Client, reachable};
use super::failure::Failure;
use super::peer::connection::{Connection, Peer};
use super::{AdminArgs, FAILURE, say, store};
use crate::config::{self, Config, Sources, read_tokens};
use crate::model::ModelName;
use examples::Golden;
use report::Report;
use walk::Walk;

pub(super) const EXAMPLES: &str = "\
Examples:
  sidegate smoke                                   what the configuration says runs here, its admin port too
  sidegate smoke http://127.0.0.1:8000 --admin 127.0.0.1:8002
  sidegate smoke https://models.example.org --registry s3://models/production --header \"authorization: Bearer $TOKEN\"
  sidegate smoke --require-golden                  in a pipeline: what was not compared with known answers fails
  sidegate smoke http://127.0.0.1:8000 --wait 60 --json | jq '.checks[] | select(.verdict == \"failed\")'

Every endpoint that tells something is asked; those that change something (pin, sync, rollback, load) are not. Models are
asked the golden examples of their version in the registry (rows of zeros where there are none, which proves no answer right)
in every protocol: tensors as JSON and binary, /predict, /invocations. Nothing is changed; predictions count in metrics,
windows and the prediction log like any other.
Exit codes: 0 everything answered as it should, 1 something did not or a version could not be asked, 2 wrong usage.";

/// Between two questions whether it is ready.
const PAUSE: Duration = Duration::from_millis(200);

/// Flags of `sidegate smoke`.
#[derive(Clone, Debug, clap::Args)]
pub struct SmokeArgs {
    /// Where it serves, http or https [default: the data port of the configuration]
    #[arg(value_name = "URL")]
    pub url: Option<String>,
    /// Only this model; may be repeated [default: all that it lists]
    #[arg(long = "model", value_name = "NAME")]
    pub models: Vec<ModelName>,
    /// Registry that has the golden examples [default: that of the configuration]
    #[arg(long, value_name = "URL")]
    pub registry: Option<String>,
    /// Fail where zeros were asked because a version's golden examples could not be read
    #[arg(long)]
    pub require_golden: bool,
    /// Header of every request to the data port, as `name: value`; may be repeated
    #[arg(long = "header", value_name = "HEADER")]
    pub headers: Vec<String>,
    /// Seconds to wait until it is ready
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub wait: u64,
    /// Seconds that an answer may take
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
    /// Its admin or ops port, which is asked where it is given, or the URL is not.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Carries the command out.
pub(super) fn run(args: &SmokeArgs) -> ExitCode {
    match examine(args) {
        Ok(report) => {
            say(&if args.json { report.json() } else { report.text() });
            if report.passed() { ExitCode::SUCCESS } else { FAILURE.into() }
        }
        Err(failure) => failure.exit(),
    }
}

fn examine(args: &SmokeArgs) -> Result<Report, Failure> {
    let flags = args.registry.iter().map(|url| ("registry.url".to_owned(), url.clone())).collect();
    let config = config::load(&Sources { file: args.admin.config.clone(), ..Sources::from_process(flags) })?;
    let peer = peer(args, &config)?;
    let admin = match (&args.url, &args.admin.admin) {
        (Some(_), None) => None,
        _ => Some(Client::new(&args.admin)?),
    };
    let golden = store::open(&config.registry, 2).map(|store| Golden::new(store, &config.registry.url));
    wait(&peer, Duration::from_secs(args.wait));
    let mut walk = Walk::new(&peer, args.require_golden).map_err(Failure::Failed)?;
    walk.server();
    walk.models(&args.models, golden.map_err(|error| error.to_string()));
    walk.refusals();
    walk.outcomes();
    if let Some(admin) = admin {
        walk.admin(&admin);
    }
    Ok(walk.report)
}

/// The data port: that of the URL, else that of the configuration with its token.
fn peer(args: &SmokeArgs, config: &Config) -> Result<Peer, Failure> {
    let patience = Duration::from_secs(args.timeout);
    let Some(url) = &args.url else {
        let url = format!("http://{}", reachable(config.http.listen, "http.listen", "as URL")?);
        let tokens = config.auth.token_file.as_deref().map(read_tokens).transpose();
        let tokens = tokens.map_err(|error| Failure::Usage(error.to_string()))?;
        let token = tokens.and_then(|tokens| tokens.into_iter().next());
        let headers = token.map(|token| format!("authorization: Bearer {token}"));
        let headers: Vec<String> = args.headers.iter().cloned().chain(headers).collect();
        return Ok(Peer::at(&url, &headers, patience).map_err(Failure::Usage)?.0);
    };
    let usage = |text: String| Failure::Usage(format!("{url}: {text}"));
    let (peer, path) = Peer::at(url, &args.headers, patience).map_err(usage)?;
    if path.len() > 1 {
        return Err(usage("name the server alone, without a path".into()));
    }
    Ok(peer)
}

/// Until it says that it is ready, or the time is over: what it lacks then is what the report says.
fn wait(peer: &Peer, limit: Duration) {
    let end = Instant::now() + limit;
    let ready = || {
        let answer = Connection::open(peer)
            .and_then(|mut connection| connection.ask(&peer.request("GET", walk::READY, "", b"")));
        answer.is_ok_and(|answer| answer.status == 200)
    };
    while Instant::now() < end && !ready() {
        sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests;
