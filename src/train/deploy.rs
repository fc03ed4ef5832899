//! `sidegate-train deploy`: the requests or manifests that put a registered version where it is served. They are data,
//! made and shown before anything is sent; `--apply` hands them to the `aws` or `kubectl` that is installed.

mod kubernetes;
mod lambda;
mod of_run;
mod plan;
mod sagemaker;
mod subject;

use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::{Value, json};
use sidegate::config::{self, Sources};
use sidegate::model::{Reference, Selector};

pub(crate) use of_run::{after, foresee};

use crate::cli::print;
use crate::failure::Failure;
use plan::Plan;
use subject::{Subject, Variant};

pub(crate) const EXAMPLES: &str = "\
Examples:
  sidegate-train deploy churn --target sagemaker --image $IMAGE --role $ROLE --out deploy/churn
  sidegate-train deploy churn@7 --target sagemaker --image $IMAGE --role $ROLE --out deploy/churn --apply
  sidegate-train deploy churn --target sagemaker --image $IMAGE --role $ROLE --variant live=6:9 --variant new=7:1
  sidegate-train deploy churn --target sagemaker --image $IMAGE --role $ROLE --shadow staging
  sidegate-train deploy churn --target sagemaker --image $IMAGE --role $ROLE --name many --multi-model s3://models/many
  sidegate-train deploy churn --target lambda --image $IMAGE --role $ROLE --require auc=0.8 --require log_loss=0.4
  sidegate-train deploy churn --target kubernetes --out deploy/churn && kubectl apply --filename deploy/churn

Without --out they are printed, one JSON object by file name. Nothing is sent without --apply, which asks `aws` and
`kubectl`, with the credentials that those find, and prints each command. SageMaker serves the version that is named;
Lambda and Kubernetes follow the registry, so that there a promotion is the deployment of the next version.

Exit codes: 0 clean, 1 a command failed, 2 usage, 4 a metric or the gate refuses, 6 the registry, or a hold.";

/// Where a model is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Target {
    /// An endpoint of SageMaker.
    Sagemaker,
    /// A Deployment and a Service.
    Kubernetes,
    /// A function of AWS Lambda.
    Lambda,
}

/// Flags of `sidegate-train deploy`.
#[derive(clap::Args)]
pub(crate) struct DeployArgs {
    /// The model, and which version: churn, churn@7, churn@staging [default: what the plain name means]
    #[arg(value_name = "MODEL[@REF]")]
    model: Reference,
    /// Where it is put
    #[arg(long, value_enum, value_name = "TARGET")]
    target: Target,
    /// Folder of the requests; without it they are printed
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Send them, by the `aws` or `kubectl` of the PATH
    #[arg(long)]
    apply: bool,
    /// The image; for AWS one of its own registry, by digest best [default for kubernetes: sidegate:VERSION]
    #[arg(long, value_name = "URI")]
    image: Option<String>,
    /// Role that the container (sagemaker, lambda) has
    #[arg(long, value_name = "ARN")]
    role: Option<String>,
    /// What the endpoint, function or Deployment is called [default: the model]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// A metric of the version and what it must reach, in its better direction; may be repeated
    #[arg(long, value_name = "METRIC=LIMIT", value_parser = limit)]
    require: Vec<(String, f64)>,
    /// sagemaker: a version that shares the traffic, such as new=7:0.1; may be repeated
    #[arg(long, value_name = "NAME=REF:WEIGHT", value_parser = Variant::parse)]
    variant: Vec<Variant>,
    /// sagemaker: a version that gets a copy of the traffic and answers nobody
    #[arg(long, value_name = "REF", value_parser = selector)]
    shadow: Option<Selector>,
    /// sagemaker: the endpoint has many models, whose archives are below this prefix; the version is put there as one
    #[arg(long, value_name = "S3_URL", value_parser = sagemaker::Archives::parse)]
    multi_model: Option<sagemaker::Archives>,
    /// sagemaker: an alarm of CloudWatch that takes an update back; may be repeated
    #[arg(long, value_name = "NAME")]
    alarm: Vec<String>,
    /// sagemaker: type of the instances
    #[arg(long, value_name = "TYPE", default_value = "ml.m5.xlarge")]
    instance_type: String,
    /// sagemaker: instances of each variant; kubernetes: pods
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1000))]
    instances: u32,
    /// lambda: memory in MB, by which goes its processor time
    #[arg(long, value_name = "MB", default_value = "3008", value_parser = clap::value_parser!(u32).range(128..=10240))]
    memory: u32,
    /// lambda: seconds that an answer may take
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = clap::value_parser!(u32).range(1..=900))]
    timeout: u32,
    /// lambda: processor of the image
    #[arg(long, value_name = "NAME", default_value = "x86_64", value_parser = ["x86_64", "arm64"])]
    architecture: String,
    /// The registry: s3://bucket/prefix [default: that of the configuration]
    #[arg(long, value_name = "URL")]
    registry: Option<String>,
    /// The gateway's configuration [default: config/sidegate.toml if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Carries the command out.
///
/// # Errors
/// What the registry, a metric, the flags or a program that was asked have against it; the text of a command that failed
/// says how to go on by hand.
pub(crate) fn run(args: &DeployArgs) -> Result<(), Failure> {
    carry_out(args, &made(args)?)
}

/// What is to be sent.
fn made(args: &DeployArgs) -> Result<Plan, Failure> {
    args.check()?;
    let flags = args.registry.iter().map(|url| ("registry.url".to_owned(), url.clone())).collect();
    let sources = Sources { file: args.config.clone(), ..Sources::from_process(flags) };
    let loaded = config::load(&sources).map_err(|problems| Failure::Config(problems.to_string()))?;
    let subject = Subject::read(args, loaded.registry)?;
    match args.target {
        Target::Sagemaker => sagemaker::plan(args, &subject),
        Target::Lambda => lambda::plan(args, &subject),
        Target::Kubernetes => kubernetes::plan(args, &subject),
    }
}

fn carry_out(args: &DeployArgs, plan: &Plan) -> Result<(), Failure> {
    let Some(folder) = &args.out else {
        if !args.apply {
            print(&format!("{:#}\n", plan.files()));
            return Ok(());
        }
        let scratch = tempfile::tempdir()
            .map_err(|error| Failure::Failed(format!("a folder for the requests: {error}")))?;
        plan.write(scratch.path())?;
        // The command that goes on by hand names what is there.
        return plan.apply(scratch.path()).inspect_err(|_| drop(scratch.keep()));
    };
    plan.write(folder)?;
    if args.apply { plan.apply(folder) } else { plan.explain(folder) }
}

// === impl DeployArgs ===

impl DeployArgs {
    /// Refuses what no version could be deployed with.
    fn foresee(&self) -> Result<(), Failure> {
        self.check()?;
        if self.target != Target::Kubernetes {
            self.image()?;
            self.role()?;
        }
        self.name().map(drop)
    }

    /// Refuses what does not go together.
    fn check(&self) -> Result<(), Failure> {
        let refuse = |text: &str| Err(Failure::Config(text.to_owned()));
        let shared = !self.variant.is_empty() || self.shadow.is_some();
        if self.target != Target::Sagemaker
            && (shared || !self.alarm.is_empty() || self.multi_model.is_some())
        {
            return refuse("--variant, --shadow, --alarm and --multi-model are for --target sagemaker");
        }
        if self.multi_model.is_some() && shared {
            return refuse(
                "--multi-model: who asks names the version by its archive; leave out --variant and --shadow",
            );
        }
        if self.multi_model.is_some() && self.name.is_none() {
            return refuse("--multi-model needs --name: the endpoint is that of many models");
        }
        if !self.variant.is_empty() && self.model.selector != Selector::Default {
            return refuse("a version is named behind MODEL's `@` and by --variant; leave one out");
        }
        if self.shadow.is_some() && self.variant.len() > 1 {
            return refuse("--shadow: SageMaker takes a shadow beside exactly one production variant");
        }
        let mut names: Vec<&str> = self.variant.iter().map(|variant| variant.name.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return refuse("--variant: two variants have the same name");
        }
        Ok(())
    }

    /// The image, which AWS has no default for.
    fn image(&self) -> Result<&str, Failure> {
        self.image.as_deref().filter(|image| !image.is_empty()).ok_or_else(|| {
            Failure::Config(
                "--image is missing: the sidegate image in ECR, ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME@sha256:…"
                    .to_owned(),
            )
        })
    }

    /// The role of the container.
    fn role(&self) -> Result<&str, Failure> {
        let Some(role) = self.role.as_deref() else {
            let text = "--role is missing: the role that the container has, arn:aws:iam::ACCOUNT:role/NAME \
                        (deploy/terraform makes one)";
            return Err(Failure::Config(text.to_owned()));
        };
        let parts: Vec<&str> = role.split(':').collect();
        let fits = matches!(parts[..], ["arn", partition, "iam", "", account, resource]
            if partition.starts_with("aws") && account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit())
                && resource.starts_with("role/"));
        if fits {
            return Ok(role);
        }
        Err(Failure::Config(format!("--role: `{role}` is none: arn:aws:iam::ACCOUNT:role/NAME")))
    }

    /// What the thing that is made is called: the flag as it is, or the model's name with `-` for what is not taken there.
    ///
    /// # Errors
    /// For a flag that is no such name.
    fn name(&self) -> Result<String, Failure> {
        let fits = |name: &str| {
            (1..=63).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && name.starts_with(|c: char| c.is_ascii_lowercase())
                && !name.ends_with('-')
        };
        let Some(name) = &self.name else { return Ok(dashed(self.model.name.as_str(), 50)) };
        // What all three targets take.
        if fits(name) || (self.target != Target::Kubernetes && fits(&name.to_ascii_lowercase())) {
            return Ok(name.clone());
        }
        Err(Failure::Config(format!(
            "--name: `{name}` is none: a letter, then letters, digits and hyphens, 63 in all; lower-case on Kubernetes"
        )))
    }
}

/// A name of the registry as names are elsewhere: small letters, digits and hyphens, a letter first, at most so long.
fn dashed(name: &str, most: usize) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let text: String = name.chars().map(plain).collect();
    let text = if text.starts_with(|c: char| c.is_ascii_lowercase()) { text } else { format!("m-{text}") };
    text[..text.len().min(most)].trim_end_matches('-').to_owned()
}

/// Variables of a container that follows the registry, as deploy/terraform/lambda.tf gives them.
fn following(subject: &Subject, cache: &str) -> Value {
    let registry = &subject.registry;
    let mut variables = json!({
        "SIDEGATE_REGISTRY__URL": registry.url.to_string(),
        "SIDEGATE_REGISTRY__MODELS": subject.model.as_str(),
        "SIDEGATE_REGISTRY__CACHE_DIR": cache,
        "SIDEGATE_LOG__FORMAT": "json",
    });
    if let Some(endpoint) = &registry.endpoint {
        variables["SIDEGATE_REGISTRY__ENDPOINT"] = json!(endpoint.as_str());
    }
    if let Some(region) = &registry.region {
        variables["SIDEGATE_REGISTRY__REGION"] = json!(region.as_str());
    }
    variables
}

fn selector(text: &str) -> Result<Selector, String> {
    text.parse().map_err(|error: sidegate::model::InvalidName| error.to_string())
}

fn limit(text: &str) -> Result<(String, f64), String> {
    let refused = || "a metric, `=` and a number, such as auc=0.8".to_owned();
    let (name, number) = text.split_once('=').ok_or_else(refused)?;
    let number: f64 = number.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(refused)?;
    if crate::evaluate::named_metric(name).is_none() {
        return Err(crate::evaluate::unknown_metric(name, std::iter::empty()));
    }
    Ok((name.to_owned(), number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_such_as_every_target_takes() {
        for (name, wanted) in [("Churn_v2.x", "churn-v2-x"), ("7up", "m-7up"), ("a--", "a")] {
            assert_eq!(dashed(name, 50), wanted);
        }
        assert_eq!(dashed(&"a.".repeat(32), 50).len(), 49);
    }

    #[test]
    fn a_limit_names_a_metric_that_there_is() {
        assert_eq!(limit("auc=0.8"), Ok(("auc".into(), 0.8)));
        assert!(limit("rmsee=1").unwrap_err().contains("rmse"));
        assert!(limit("auc=nan").unwrap_err().contains("a number"));
        assert!(limit("auc").unwrap_err().contains("`=`"));
    }
}
