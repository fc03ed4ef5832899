//! Which registry is meant, and who changes it.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;

use super::named::{self, Named};
use crate::cli::failure::Failure;
use crate::cli::store;
use crate::config::{self, RegistryUrl, Sources};
use crate::model::ModelName;
use crate::registry::Registry;
use crate::registry::layout;
use crate::registry::signature::SigningKey;
use crate::registry::store::Store;
use crate::registry::writer::Writer;

/// A person waits, so a store is asked more than once.
const ATTEMPTS: u32 = 3;

/// Where the registry is.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PlaceArgs {
    /// The registry: a folder, as a path or a file: URL, or s3://bucket/prefix [default: that of the configuration]
    #[arg(long, value_name = "URL")]
    pub registry: Option<String>,
    /// Configuration file that names it and how to reach it [default: config/sidegate.toml if it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Where the registry is, and who changes it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct WriterArgs {
    /// Where it is.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Who does this, as the audit will say (default: user@host)
    #[arg(long, value_name = "WHO", value_parser = NonEmptyStringValueParser::new())]
    pub by: Option<String>,
}

/// The writing half of a registry, as the commands open it; `by` is who the audit will name, `user` who that is otherwise.
///
/// # Errors
/// In words, when there can be none.
pub fn open_registry(
    config: config::Registry,
    by: Option<&str>,
    user: Option<String>,
) -> Result<Writer, String> {
    let place = Place { config, user };
    place.writer(by).map_err(|failure| failure.to_string())
}

/// A registry as the configuration has it.
pub(super) struct Place {
    pub(super) config: config::Registry,
    user: Option<String>,
}

// === impl PlaceArgs ===

impl PlaceArgs {
    /// The registry that is meant.
    pub(super) fn find(&self) -> Result<Place, Failure> {
        let flags = self.registry.iter().map(|url| ("registry.url".to_owned(), url.clone())).collect();
        let sources = Sources { file: self.config.clone(), ..Sources::from_process(flags) };
        let config = config::load(&sources)?.registry;
        Ok(Place { config, user: sources.user().map(str::to_owned) })
    }

    /// The flags that another command needs to mean the same registry.
    pub(super) fn again(&self) -> String {
        let registry = self.registry.as_ref().map(|url| format!(" --registry {url}"));
        let config = self.config.as_ref().map(|file| format!(" --config {}", file.display()));
        registry.into_iter().chain(config).collect()
    }
}

// === impl Place ===

impl Place {
    /// Its store, for those who only read.
    pub(super) fn store(&self) -> Result<Box<dyn Store>, Failure> {
        let place = named::place(&self.config);
        if let RegistryUrl::File(folder) = &self.config.url
            && !folder.is_dir()
        {
            return Err(Failure::Failed(format!("{place} is not there, or is no folder")));
        }
        Ok(Box::new(Named::reader(store::open(&self.config, ATTEMPTS)?, place)))
    }

    /// The reading half, without a cache: what is shown is what is there.
    pub(super) fn reader(&self) -> Result<Registry, Failure> {
        Ok(Registry::new(self.store()?, None))
    }

    /// The writing half.
    pub(super) fn writer(&self, by: Option<&str>) -> Result<Writer, Failure> {
        if let RegistryUrl::SingleFile(_) = self.config.url {
            let url = &self.config.url;
            return Err(Failure::Usage(format!(
                "{url} is one model file; a registry is a folder or a bucket"
            )));
        }
        if let RegistryUrl::SageMaker(_) = self.config.url {
            return Err(Failure::Usage("what SageMaker lays there is only read".to_owned()));
        }
        if let RegistryUrl::Mlflow(url) = &self.config.url {
            return Err(Failure::Usage(format!(
                "the registry of an MLflow server is only read; register and promote there, at {url}"
            )));
        }
        let by = by.map_or_else(|| self.who(), str::to_owned);
        let store = Named::writer(store::open(&self.config, ATTEMPTS)?, named::place(&self.config));
        Ok(Writer::new(Box::new(store), by).single_writer(self.config.single_writer))
    }

    /// `user@host`; where the environment names no user, as in many containers, its number.
    fn who(&self) -> String {
        let number =
            || std::fs::metadata("/proc/self").map_or("unknown".into(), |me| format!("uid{}", me.uid()));
        let user = self.user.clone().unwrap_or_else(number);
        if self.config.pod.is_empty() { user } else { format!("{user}@{}", self.config.pod) }
    }
}

// === impl WriterArgs ===

impl WriterArgs {
    /// The writing half of the registry that is meant.
    pub(super) fn open(&self) -> Result<Writer, Failure> {
        self.place.find()?.writer(self.by.as_deref())
    }
}

/// The key to sign with, if one is named.
pub(in crate::cli) fn key(path: Option<&Path>) -> Result<Option<SigningKey>, Failure> {
    Ok(path.map(SigningKey::load).transpose()?)
}

/// Every model that has a `model.json`, in order.
pub(super) fn managed(store: &dyn Store) -> Result<Vec<ModelName>, Failure> {
    let mut models = Vec::new();
    for model in store.list("")?.iter().filter_map(|name| name.parse().ok()) {
        if store.stat(&layout::index(&model))?.is_some() {
            models.push(model);
        }
    }
    models.sort();
    Ok(models)
}
