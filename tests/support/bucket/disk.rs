//! s3s-fs with what it lacks of S3: conditions of reads, atomic writes, folders that are no objects.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use s3s::auth::{S3Auth, SecretKey};
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, ETagCondition, GetObjectInput, GetObjectOutput, HeadObjectInput,
    HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output, PutObjectInput, PutObjectOutput,
};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use tokio::sync::RwLock;

use super::State;

pub(crate) struct Disk {
    pub(crate) files: FileSystem,
    pub(crate) root: PathBuf,
    pub(crate) state: Arc<State>,
    /// s3s-fs writes an object and its ETag one after the other.
    pub(crate) lock: RwLock<()>,
}

/// The credentials that count.
pub(crate) struct Guard(pub(crate) Arc<State>);

impl Disk {
    /// Says whether there is such an object, and forgets an ETag that is older than its file.
    fn look(&self, bucket: &str, key: &str) -> S3Result<bool> {
        if !self.root.join(bucket).is_dir() {
            return Err(s3_error!(NoSuchBucket));
        }
        let file = State::path(&self.root, bucket, key);
        let Ok(meta) = fs::metadata(&file) else { return Ok(false) };
        // Its name there is of the kind `.bucket-….object-….internal.json`.
        let encode = |text: &str| base64(text.as_bytes());
        let info = format!(".bucket-{}.object-{}.internal.json", encode(bucket), encode(key));
        let info = self.root.join(info);
        let stale = |info: &PathBuf| Some(fs::metadata(info).ok()?.modified().ok()? < meta.modified().ok()?);
        if stale(&info) == Some(true) {
            drop(fs::remove_file(&info));
        }
        Ok(meta.is_file())
    }
}

#[async_trait::async_trait]
impl S3 for Disk {
    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let _lock = self.lock.write().await;
        let (wanted, known) = (request.input.if_match.clone(), request.input.if_none_match.clone());
        if !self.look(&request.input.bucket, &request.input.key)? {
            return Err(s3_error!(NoSuchKey));
        }
        let answer = self.files.get_object(request).await?;
        let is = |condition: Option<ETagCondition>| match condition {
            Some(ETagCondition::ETag(tag)) => Some(answer.output.e_tag.as_ref() == Some(&tag)),
            _ => None,
        };
        if is(wanted) == Some(false) {
            return Err(s3_error!(PreconditionFailed));
        }
        if is(known) == Some(true) && self.state.not_modified.load(Ordering::SeqCst) {
            return Err(s3_error!(NotModified));
        }
        Ok(answer)
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let _lock = self.lock.write().await;
        if !self.look(&request.input.bucket, &request.input.key)? {
            return Err(s3_error!(NoSuchKey));
        }
        self.files.head_object(request).await
    }

    async fn put_object(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let _lock = self.lock.write().await;
        self.look(&request.input.bucket, &request.input.key)?;
        if self.state.ignores_conditions() {
            (request.input.if_match, request.input.if_none_match) = (None, None);
        }
        self.files.put_object(request).await
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let _lock = self.lock.write().await;
        let bucket = self.root.join(&request.input.bucket);
        let file = State::path(&self.root, &request.input.bucket, &request.input.key);
        let answer = self.files.delete_object(request).await?;
        // A bucket has no empty folders.
        let folders = file.ancestors().skip(1).take_while(|folder| *folder != bucket);
        for folder in folders {
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(answer)
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let _lock = self.lock.write().await;
        self.files.list_objects_v2(request).await
    }
}

#[async_trait::async_trait]
impl S3Auth for Guard {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let pairs = self.0.credentials.lock().unwrap();
        let secret = pairs.iter().find(|(key, _)| key == access_key).map(|(_, secret)| secret.clone());
        secret.map(Into::into).ok_or_else(|| s3_error!(InvalidAccessKeyId))
    }
}

/// URL-safe, without padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for position in 0..=chunk.len() {
            text.push(LETTERS[(word >> (18 - 6 * position) & 63) as usize].into());
        }
    }
    text
}
