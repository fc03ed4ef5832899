//! `sidegate registry sign`: signatures, and the key to make them with.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::place::WriterArgs;
use super::{changed, print};
use crate::cli::failure::Failure;
use crate::model::{ModelName, Version};
use crate::registry::operations::sign;
use crate::registry::signature::{Kind, SigningKey};

pub(super) const EXAMPLES: &str = "\
Examples:
  sidegate registry sign --generate-key release.pem  the private key, and release.pem.pub beside it
  sidegate registry sign churn 7 --key release.pem   its content, and its promotion where it is in a stage

Readers with registry.require_signature load only what a key in registry.public_keys_dir has signed. A key of
`openssl genpkey -algorithm ed25519` does as well.";

/// Flags of `sidegate registry sign`.
#[derive(Clone, Debug, clap::Args)]
pub struct SignArgs {
    /// The model
    #[arg(value_name = "MODEL", required_unless_present = "generate_key")]
    pub model: Option<ModelName>,
    /// The version
    #[arg(value_name = "VERSION", required_unless_present = "generate_key")]
    pub version: Option<Version>,
    /// Private key to sign with
    #[arg(long, value_name = "FILE", required_unless_present = "generate_key")]
    pub key: Option<PathBuf>,
    /// Make a private key that only its owner can read, and the public one beside it as FILE.pub
    #[arg(long, value_name = "FILE", conflicts_with_all = ["model", "version", "key", "registry", "config", "by"])]
    pub generate_key: Option<PathBuf>,
    /// Where, and who.
    #[command(flatten)]
    pub writer: WriterArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Carries the command out.
pub(super) fn run(args: &SignArgs) -> Result<(), Failure> {
    if let Some(file) = &args.generate_key {
        return generate(file, args.json);
    }
    let (Some(model), Some(version), Some(key)) = (&args.model, args.version, &args.key) else {
        return Ok(());
    };
    let key = SigningKey::load(key)?;
    let done = sign(&args.writer.open()?, model, version, &key)?;
    let (done, added) = done.split();
    let done = done.with(json!({"version": version.get(), "key": key.id(), "signed": added}));
    print(args.json, &changed(model, &done), || {
        let what = match (added.contains(&Kind::Version), added.contains(&Kind::Promotion)) {
            (true, true) => ": its content and its promotion",
            (true, false) => ": its content",
            (false, true) => ": its promotion",
            (false, false) => " already; nothing was changed",
        };
        format!("version {version} of {model} is signed by key {}{what}\n", key.id())
    });
    Ok(())
}

/// Makes a pair of keys; files that are there stay.
fn generate(file: &Path, as_json: bool) -> Result<(), Failure> {
    let key = SigningKey::generate();
    let mut public = file.as_os_str().to_owned();
    public.push(".pub");
    let public = PathBuf::from(public);
    let text = |error: crate::registry::signature::KeyError| Failure::Failed(error.to_string());
    // The public one first: a private key without it would be in the way of the next attempt.
    write(&public, 0o644, &key.public_pem().map_err(text)?)?;
    if let Err(failure) = key.to_pem().map_err(text).and_then(|pem| write(file, 0o600, &pem)) {
        drop(std::fs::remove_file(&public));
        return Err(failure);
    }
    let value = json!({"private": file, "public": public, "key": key.id()});
    print(as_json, &value, || {
        format!(
            "private key {}, for those who publish\npublic key {}, for registry.public_keys_dir of those who read\n\
             signatures name it {}\n",
            file.display(),
            public.display(),
            key.id()
        )
    });
    Ok(())
}

fn write(path: &Path, mode: u32, text: &str) -> Result<(), Failure> {
    let made = File::options().write(true).create_new(true).mode(mode).open(path);
    made.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| Failure::Failed(format!("{}: {error}; nothing was changed", path.display())))
}
