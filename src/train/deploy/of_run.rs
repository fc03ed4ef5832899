//! What `[deployment]` asks of a run whose version is promoted: the same as `sidegate-train deploy` by hand, whose flags
//! it becomes.

use std::path::Path;

use clap::Parser;
use sidegate::model::Version;

use super::DeployArgs;
use super::plan::typed;
use crate::config::{Config, RegistryConfig};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::registry;

/// The flags alone, to be read as those of the command are.
#[derive(Parser)]
#[command(name = "sidegate-train deploy")]
struct Line {
    #[command(flatten)]
    args: DeployArgs,
}

/// Refuses a target that the promoted version could not be put on.
///
/// # Errors
/// Names the key, or the flag that it becomes.
pub(crate) fn foresee(config: &Config) -> Result<(), Failure> {
    let first = Version::new(1).map(|version| flags(config, version, Path::new("deployment")));
    let Some(flags) = first.flatten() else {
        let deployment = &config.deployment;
        let unheard = [
            ("sagemaker_role", deployment.sagemaker_role.is_some()),
            ("image", deployment.image.is_some()),
            ("apply", deployment.apply),
        ];
        return match unheard.into_iter().find(|(_, said)| *said) {
            Some((key, _)) => Err(Failure::Config(format!(
                "deployment.{key} is for the targets sagemaker, lambda and kubernetes; say deployment.target, or leave it out"
            ))),
            None => Ok(()),
        };
    };
    let args = read(&flags)?;
    args.foresee()?;
    let url = registry::url(&config.registry)?;
    if url.is_remote() {
        return Ok(());
    }
    Err(Failure::Config(format!(
        "deployment.target: {url} is on this machine, where `{}` cannot read it; name a bucket with registry.url",
        config.deployment.target.as_deref().unwrap_or_default()
    )))
}

/// Writes what puts the promoted version on its target into the run's folder, and sends it where that is asked for.
///
/// # Errors
/// Those of [`super::run`].
pub(crate) fn after(
    config: &Config,
    version: Version,
    folder: &Path,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let folder = folder.join("deployment");
    let Some(flags) = flags(config, version, &folder) else { return Ok(()) };
    let plan = super::made(&read(&flags)?)?;
    plan.write(&folder)?;
    let target = config.deployment.target.as_deref().unwrap_or_default();
    let by_hand = format!("sidegate-train deploy {} --apply", typed(flags));
    let (words, sent) = if config.deployment.apply {
        // The run is over but for this.
        plan.apply(&folder).map_err(|error| {
            Failure::Failed(format!(
                "version {version} is promoted, but not on {target}: {error}; then: {by_hand}"
            ))
        })?;
        (format!("version {version} is on {target}"), true)
    } else {
        (format!("not sent to {target}: {by_hand}"), false)
    };
    let told = serde_json::json!({ "target": target, "folder": folder.display().to_string(), "sent": sent });
    progress.say("deploy", &words, told);
    Ok(())
}

/// The flags of `sidegate-train deploy`; none where gateways find the version by themselves.
fn flags(config: &Config, version: Version, folder: &Path) -> Option<Vec<String>> {
    let deployment = &config.deployment;
    let target = deployment.target.as_deref().filter(|target| *target != "registry")?;
    let RegistryConfig { url, config: file, .. } = &config.registry;
    let file = file.as_ref().map(|file| file.display().to_string());
    let given = [
        ("--target", Some(target.to_owned())),
        ("--image", deployment.image.clone()),
        ("--role", deployment.sagemaker_role.clone()),
        ("--registry", url.clone()),
        ("--config", file),
        ("--out", Some(folder.display().to_string())),
    ];
    let flags = given.into_iter().filter_map(|(flag, value)| Some([flag.to_owned(), value?])).flatten();
    Some(std::iter::once(format!("{}@{version}", config.name)).chain(flags).collect())
}

fn read(flags: &[String]) -> Result<DeployArgs, Failure> {
    let line = std::iter::once("deploy").chain(flags.iter().map(String::as_str));
    let line =
        Line::try_parse_from(line).map_err(|error| Failure::Config(format!("[deployment]: {error}")))?;
    Ok(line.args)
}
