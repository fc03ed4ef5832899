//! An endpoint of SageMaker, as deploy/terraform/sagemaker.tf makes it: each version's folder of the registry is a model as
//! it is, laid at /opt/ml/model of the sidegate image. Models and configurations of endpoints never change there, so
//! their names carry a digest of what they are: the same deployment made twice is one.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sidegate::config::RegistryUrl;
use sidegate::model::Version;
use sidegate::registry::digest::Digest;

use super::plan::{Call, Plan, Step};
use super::subject::Subject;
use super::{DeployArgs, dashed};
use crate::failure::Failure;

/// Where the archives of an endpoint of many models are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Archives {
    bucket: String,
    /// Without `/` at its ends.
    prefix: String,
}

/// Seconds until a container has to answer /ping.
const STARTUP_SECONDS: u32 = 120;

/// The requests.
///
/// # Errors
/// For what SageMaker would not take.
pub(super) fn plan(args: &DeployArgs, subject: &Subject) -> Result<Plan, Failure> {
    let (bucket, prefix) = subject.bucket()?;
    let root = if prefix.is_empty() { format!("s3://{bucket}") } else { format!("s3://{bucket}/{prefix}") };
    let versions: BTreeSet<Version> = subject.files.keys().copied().collect();
    let mut steps = Vec::new();
    for version in &versions {
        let file = match &args.multi_model {
            Some(archives) => {
                steps.push(archives.pack(&format!("{root}/{}/{version}", subject.model), subject, *version));
                "create-model.json".to_owned()
            }
            None => format!("create-model-{version}.json"),
        };
        let request = create_model(args, subject, &root, *version)?;
        let name = text(&request, "ModelName");
        steps.push(Step {
            probe: Some(Call::new(&["aws", "sagemaker", "describe-model", "--model-name", &name])),
            settled: None,
            make: vec![Call::aws("sagemaker", "create-model", &file, request)],
            change: Vec::new(),
        });
    }
    let request = create_endpoint_config(args, subject, &root)?;
    let config = text(&request, "EndpointConfigName");
    let describe = ["aws", "sagemaker", "describe-endpoint-config", "--endpoint-config-name", &config];
    steps.push(Step {
        probe: Some(Call::new(&describe)),
        settled: None,
        make: vec![Call::aws("sagemaker", "create-endpoint-config", "create-endpoint-config.json", request)],
        change: Vec::new(),
    });
    let endpoint = args.name()?;
    let what = ["--query", "EndpointConfigName", "--output", "text"];
    let ask = [&["aws", "sagemaker", "describe-endpoint", "--endpoint-name", &endpoint][..], &what].concat();
    steps.push(Step {
        probe: Some(Call::new(&ask)),
        settled: Some(config.clone()),
        make: vec![Call::aws(
            "sagemaker",
            "create-endpoint",
            "create-endpoint.json",
            json!({ "EndpointName": endpoint, "EndpointConfigName": config }),
        )],
        change: vec![Call::aws(
            "sagemaker",
            "update-endpoint",
            "update-endpoint.json",
            update_endpoint(args, subject, &endpoint, &config),
        )],
    });
    let target = match (&args.multi_model, versions.first()) {
        (Some(_), Some(version)) => {
            format!("; the model is asked for by --target-model {}", archive(subject, *version))
        }
        _ => String::new(),
    };
    let next = format!(
        "endpoint {endpoint} is on its way; wait for it: aws sagemaker wait endpoint-in-service --endpoint-name \
         {endpoint}{target}"
    );
    Ok(Plan { steps, next })
}

/// What a version is called below the prefix.
fn archive(subject: &Subject, version: Version) -> String {
    format!("{}-{version}.tar.gz", subject.model)
}

/// One version as a model, or as one of many.
fn create_model(
    args: &DeployArgs,
    subject: &Subject,
    root: &str,
    version: Version,
) -> Result<Value, Failure> {
    if let Some(archives) = &args.multi_model {
        return Ok(json!({
            "ModelName": model_name(args, subject, root, version)?,
            "ExecutionRoleArn": args.role()?,
            "EnableNetworkIsolation": true,
            "PrimaryContainer": {
                "Image": args.image()?,
                "Mode": "MultiModel",
                "ModelDataUrl": format!("{}/", archives.url()),
                // SageMaker says by a variable of its own that there are many. What they may take is memory's matter.
                "Environment": {
                    "SIDEGATE_HTTP__LISTEN": "0.0.0.0:8080",
                    "SIDEGATE_REGISTRY__MAX_MODELS": "1000",
                },
            },
        }));
    }
    let file = subject.files.get(&version).map_or("model.onnx", String::as_str);
    Ok(json!({
        "ModelName": model_name(args, subject, root, version)?,
        "ExecutionRoleArn": args.role()?,
        // It needs nothing beyond its folder.
        "EnableNetworkIsolation": true,
        "PrimaryContainer": {
            "Image": args.image()?,
            "Environment": {
                "SIDEGATE_HTTP__LISTEN": "0.0.0.0:8080",
                "SIDEGATE_REGISTRY__URL": format!("/opt/ml/model/{file}"),
            },
            "ModelDataSource": { "S3DataSource": {
                "S3Uri": format!("{root}/{}/{version}/", subject.model),
                "S3DataType": "S3Prefix",
                "CompressionType": "None",
            } },
        },
        "Tags": [
            { "Key": "sidegate:model", "Value": subject.model.as_str() },
            { "Key": "sidegate:version", "Value": version.to_string() },
        ],
    }))
}

/// Another image, role or bucket is another model.
fn model_name(args: &DeployArgs, subject: &Subject, root: &str, version: Version) -> Result<String, Failure> {
    if let Some(archives) = &args.multi_model {
        let what = format!("{} {} {}", archives.url(), args.image()?, args.role()?);
        return Ok(format!("{}-{}", dashed(&args.name()?, 50), short(&what)));
    }
    let what = format!("{root} {} {} {}", subject.model, args.image()?, args.role()?);
    Ok(format!("{}-{version}-{}", dashed(subject.model.as_str(), 32), short(&what)))
}

fn create_endpoint_config(args: &DeployArgs, subject: &Subject, root: &str) -> Result<Value, Failure> {
    let variant = |name: &str, version: Version, weight: f64| {
        Ok::<_, Failure>(json!({
            "VariantName": name,
            "ModelName": model_name(args, subject, root, version)?,
            "InstanceType": args.instance_type,
            "InitialInstanceCount": args.instances,
            "InitialVariantWeight": weight,
            "ContainerStartupHealthCheckTimeoutInSeconds": STARTUP_SECONDS,
        }))
    };
    let parts = subject.parts.iter().map(|part| variant(&part.name, part.version, part.weight));
    let mut request = json!({ "ProductionVariants": parts.collect::<Result<Vec<_>, _>>()? });
    if let Some(version) = subject.shadow {
        request["ShadowProductionVariants"] = json!([variant("shadow", version, 1.0)?]);
    }
    let name = format!("{}-{}", dashed(&args.name()?, 50), short(&request.to_string()));
    request["EndpointConfigName"] = json!(name);
    Ok(request)
}

/// With an alarm that takes it back, a tenth of the traffic goes first. SageMaker does that for one variant without a
/// shadow, and where a tenth of the instances is one at least and half at most; else the new fleet takes over when it is
/// healthy.
fn update_endpoint(args: &DeployArgs, subject: &Subject, endpoint: &str, config: &str) -> Value {
    let mut request = json!({ "EndpointName": endpoint, "EndpointConfigName": config });
    if args.alarm.is_empty() || subject.parts.len() > 1 || subject.shadow.is_some() {
        return request;
    }
    let routing = if args.instances > 1 {
        json!({
            "Type": "CANARY",
            "WaitIntervalInSeconds": 300,
            "CanarySize": { "Type": "CAPACITY_PERCENT", "Value": 10 },
        })
    } else {
        json!({ "Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 300 })
    };
    let alarms: Vec<Value> = args.alarm.iter().map(|name| json!({ "AlarmName": name })).collect();
    request["DeploymentConfig"] = json!({
        "BlueGreenUpdatePolicy": { "TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 300 },
        "AutoRollbackConfiguration": { "Alarms": alarms },
    });
    request
}

fn text(request: &Value, key: &str) -> String {
    request[key].as_str().unwrap_or_default().to_owned()
}

// === impl Archives ===

impl Archives {
    /// Reads `s3://bucket/prefix`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match RegistryUrl::parse(text)? {
            RegistryUrl::S3 { bucket, prefix } if !prefix.is_empty() => Ok(Self { bucket, prefix }),
            _ => Err("expected s3://bucket/prefix, a place where nothing is but archives".to_owned()),
        }
    }

    fn url(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix)
    }

    /// The folder of a version as an archive, unless it is there: versions never change.
    fn pack(&self, folder: &str, subject: &Subject, version: Version) -> Step {
        let name = archive(subject, version);
        let key = format!("{}/{name}", self.prefix);
        let (loose, packed) =
            (format!("{}/{}-{version}", Call::FOLDER, subject.model), format!("{}/{name}", Call::FOLDER));
        Step {
            probe: Some(Call::new(&["aws", "s3api", "head-object", "--bucket", &self.bucket, "--key", &key])),
            settled: None,
            make: vec![
                Call::new(&["aws", "s3", "cp", "--recursive", "--only-show-errors", folder, &loose]),
                Call::new(&["tar", "-czf", &packed, "-C", &loose, "."]),
                Call::new(&[
                    "aws",
                    "s3",
                    "cp",
                    "--only-show-errors",
                    &packed,
                    &format!("{}/{name}", self.url()),
                ]),
            ],
            change: Vec::new(),
        }
    }
}

/// Enough of a digest to tell two apart.
fn short(text: &str) -> String {
    // Behind `sha256:`.
    Digest::of(text.as_bytes(), &mut || {}).to_string()[7..15].to_owned()
}
