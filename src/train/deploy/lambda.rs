//! A function of AWS Lambda, as deploy/terraform/lambda.tf makes it: the sidegate image, started as `lambda`, which follows
//! the registry.

use serde_json::{Value, json};

use super::plan::{Call, Plan, Step};
use super::subject::Subject;
use super::{DeployArgs, following};
use crate::failure::Failure;

/// The only place that a function may write to.
const CACHE: &str = "/tmp/sidegate";

/// The requests.
///
/// # Errors
/// When image or role are missing.
pub(super) fn plan(args: &DeployArgs, subject: &Subject) -> Result<Plan, Failure> {
    let (name, image) = (args.name()?, args.image()?);
    // What a function is made with, and what may be changed of it later.
    let configuration = json!({
        "FunctionName": name,
        "Role": args.role()?,
        "MemorySize": args.memory,
        "Timeout": args.timeout,
        "ImageConfig": { "Command": ["lambda"] },
        "Environment": { "Variables": following(subject, CACHE) },
        "TracingConfig": { "Mode": "Active" },
    });
    let code = json!({ "FunctionName": name, "ImageUri": image, "Architectures": [args.architecture] });
    let made = with(
        &configuration,
        json!({
            "PackageType": "Image",
            "Code": { "ImageUri": image },
            "Architectures": [args.architecture],
            "Tags": { "sidegate:model": subject.model.as_str() },
        }),
    );
    // A function is not changed while it is changing.
    let updated = Call::new(&["aws", "lambda", "wait", "function-updated-v2", "--function-name", &name]);
    let step = Step {
        probe: Some(Call::new(&["aws", "lambda", "get-function", "--function-name", &name])),
        settled: None,
        make: vec![Call::aws("lambda", "create-function", "create-function.json", made)],
        change: vec![
            Call::aws(
                "lambda",
                "update-function-configuration",
                "update-function-configuration.json",
                configuration,
            ),
            updated,
            Call::aws("lambda", "update-function-code", "update-function-code.json", code),
        ],
    };
    let next = format!(
        "function {name} is on its way; wait for it: aws lambda wait function-active-v2 --function-name {name}"
    );
    Ok(Plan { steps: vec![step], next })
}

fn with(request: &Value, more: Value) -> Value {
    let mut both = request.clone();
    if let (Value::Object(both), Value::Object(more)) = (&mut both, more) {
        both.extend(more);
    }
    both
}
