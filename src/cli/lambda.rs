//! `sidegate lambda`: the same gateway, asked by AWS Lambda instead of over ports.

use std::path::PathBuf;
use std::process::ExitCode;

use super::failure::Failure;
use super::start::{Prepared, prepare};
use super::{ServeArgs, runtime_error};
use crate::gateway;
use crate::lambda::{self, Api, Embedded, Fault};

pub(super) const EXAMPLES: &str = "\
Examples:
  sidegate lambda                                  the command of a function made from the image; its environment configures it
  sidegate lambda ./model.onnx                     one file that the image holds
  sidegate lambda --registry s3://models/prod      what SIDEGATE_REGISTRY__URL says as well
  sidegate lambda --embedded-metrics sidegate      and CloudWatch counts predictions in that namespace

It answers HTTP APIs and function URLs (payload format 2.0), REST APIs and load balancers (1.0), and direct invocations,
whose payload is what POST /invocations takes, with the model's name under `model`. Nothing listens: ports, admin and ops
are left out. The models are loaded before the first invocation is asked for: a required model that cannot be served is an
init error with its reason. docs/deploy/lambda.md has the steps.
Exit codes: 0 ended by a signal, 1 an init error or no Runtime API, 2 wrong usage or configuration.";

/// Times that the registry is asked: a function that sleeps has no back-off to wait for.
const ATTEMPTS: u32 = 3;

/// Stands for ports that are not opened, so that no rule about open ones applies.
const NOWHERE: &str = "127.0.0.1:0";

/// Flags of `sidegate lambda`: those of `sidegate serve` that are not about ports.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LambdaArgs {
    /// One model file to serve by itself, as for `sidegate serve`
    #[arg(value_name = "MODEL_FILE", conflicts_with = "registry")]
    pub model_file: Option<String>,
    /// Configuration file [default: config/sidegate.toml if it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder or bucket of models
    #[arg(long, value_name = "URL")]
    pub registry: Option<String>,
    /// Engine of the models that choose none: auto, trees, ort or tract
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<String>,
    /// Form of the log: text or json
    #[arg(long, value_name = "FORMAT")]
    pub log: Option<String>,
    /// Write what was predicted, and how long it took, to the log in CloudWatch's embedded metric format, for metrics of this
    /// namespace, by model, version and outcome: CloudWatch charges each of them [default: no]
    #[arg(long, value_name = "NAMESPACE")]
    pub embedded_metrics: Option<String>,
}

/// Carries the command out.
pub(super) fn run(args: LambdaArgs) -> ExitCode {
    let LambdaArgs { model_file, config, registry, engine, log, embedded_metrics } = args;
    let embedded = match embedded_metrics.as_deref().map(Embedded::new).transpose() {
        Ok(embedded) => embedded,
        Err(error) => return Failure::Usage(format!("--embedded-metrics: {error}")).exit(),
    };
    // What the image or a file says of ports is for others.
    let (http, admin) = (Some(NOWHERE.to_owned()), Some(NOWHERE.to_owned()));
    let args = ServeArgs { model_file, config, registry, engine, log, http, admin, ..ServeArgs::default() };
    let sources = args.sources();
    let Some(api) = sources.lambda_api() else {
        let text = "AWS_LAMBDA_RUNTIME_API is not set: this command is for AWS Lambda, which sets it; elsewhere there is \
                    `sidegate serve`";
        return Failure::Usage(text.into()).exit();
    };
    let mut api = Api::new(api);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return runtime_error(&error),
    };
    // Stores have runtimes of their own, which are not made within another.
    let prepared = prepare(&sources, ATTEMPTS);
    let ended = runtime.block_on(async {
        let started = prepared.and_then(|prepared| {
            let Prepared { config, registry, cache, stores, .. } = prepared;
            gateway::start_unlisted(config, registry, cache, stores)
                .map_err(|error| Failure::Failed(error.to_string()))
        });
        match started {
            Ok(running) => {
                let served = lambda::serve(running, api, embedded, super::say).await;
                served.map_err(|error| Failure::Failed(error.to_string()))
            }
            Err(failure) => {
                let kind = match failure {
                    Failure::Usage(_) => "Sidegate.Configuration",
                    _ => "Sidegate.Start",
                };
                api.refuse_start(&Fault { kind: kind.into(), message: failure.to_string() }).await;
                Err(failure)
            }
        }
    });
    // A thread stuck in an engine must not keep the process.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit(),
    }
}
