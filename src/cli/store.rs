//! The store and the cache that a configuration names.

use crate::config::{MlflowCredentials, Registry, RegistryUrl};
use crate::mlflow::Server;
use crate::registry::cache::Cache;
#[cfg(not(feature = "s3"))]
use crate::registry::store::Fault;
use crate::registry::store::{Folder, Mlflow, Shelf, SingleFile, Store, StoreError};
#[cfg(feature = "s3")]
use crate::registry::store::{S3, S3Options};

/// The store of a registry, asked `attempts` times before it counts as out of reach.
///
/// # Errors
/// When this build cannot speak to it.
pub(crate) fn open(registry: &Registry, attempts: u32) -> Result<Box<dyn Store>, StoreError> {
    Ok(match &registry.url {
        RegistryUrl::File(folder) => Box::new(Folder::new(folder)),
        RegistryUrl::SingleFile(file) => Box::new(SingleFile::new(file)),
        RegistryUrl::SageMaker(root) => Box::new(Shelf::new(root)),
        RegistryUrl::S3 { bucket, prefix } => return self::bucket(registry, bucket, prefix, attempts),
        RegistryUrl::Mlflow(url) => {
            let server = Server::new(url.clone(), MlflowCredentials::from_process()).attempts(attempts);
            // A version that was registered from a bucket is read there, as the registry's keys say.
            let registry = registry.clone();
            let bucket = move |name: &str, prefix: &str| bucket(&registry, name, prefix, attempts);
            Box::new(Mlflow::new(server, Box::new(bucket)))
        }
    })
}

/// The store of a registry, as the commands open it.
///
/// # Errors
/// When this build cannot speak to it.
pub fn open_store(registry: &Registry) -> Result<Box<dyn Store>, StoreError> {
    open(registry, 3)
}

/// The folder of the cache for this registry, which relative paths and equal buckets of two servers must not share.
pub(crate) fn cache(registry: &Registry) -> Option<Cache> {
    let identity = match &registry.url {
        RegistryUrl::File(path) | RegistryUrl::SingleFile(path) => {
            std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string()
        }
        RegistryUrl::Mlflow(url) => url.to_string(),
        url @ RegistryUrl::S3 { .. } => format!("{:?} {url}", registry.endpoint),
        // It begins with no model, and what was asked of a process before is nobody's wish any more.
        RegistryUrl::SageMaker(_) => return None,
    };
    registry.cache_dir.as_ref().map(|dir| Cache::new(dir, &identity))
}

#[cfg(feature = "s3")]
fn bucket(
    registry: &Registry,
    bucket: &str,
    prefix: &str,
    attempts: u32,
) -> Result<Box<dyn Store>, StoreError> {
    Ok(Box::new(S3::new(S3Options {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        endpoint: registry.endpoint.as_ref().map(|endpoint| endpoint.as_str().to_owned()),
        region: registry.region.as_ref().map(|region| region.as_str().to_owned()),
        path_style: registry.path_style,
        attempts,
    })))
}

#[cfg(not(feature = "s3"))]
fn bucket(_: &Registry, _: &str, _: &str, _: u32) -> Result<Box<dyn Store>, StoreError> {
    Err(StoreError::new("", Fault::Refused("this build was made without the feature `s3`".into())))
}
