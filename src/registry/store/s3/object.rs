//! What is asked of a bucket in one answer: lists, a look at an object, small objects, deletion.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;

use super::fault::{Asked, Failure};
use super::transfer::{Clock, Part};
use super::{Fault, Read, Session, Stat};
use crate::registry::store::SETTLED;

/// More pages than a registry has; a server that never comes to an end must not keep the loader.
const MOST_PAGES: usize = 10_000;

// === impl Session ===

impl Session<'_> {
    /// Names of the folders directly below `prefix`.
    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<String>, Fault> {
        let folder = self.folder(prefix);
        let mut names = Vec::new();
        self.pages(&folder, Some("/"), |page| {
            let found = page.common_prefixes().iter().filter_map(|common| common.prefix());
            let found = found.filter_map(|common| common.strip_prefix(&folder)?.strip_suffix('/'));
            names.extend(found.filter(|name| !name.is_empty()).map(str::to_owned));
        })
        .await?;
        Ok(names)
    }

    /// Keys of everything below `prefix`.
    pub(super) async fn keys(&self, prefix: &str) -> Result<Vec<String>, Fault> {
        let folder = self.folder(prefix);
        let root = self.folder("");
        let mut keys = Vec::new();
        self.pages(&folder, None, |page| {
            let found = page.contents().iter().filter_map(|object| object.key()?.strip_prefix(&root));
            // Some tools make empty objects that stand for folders.
            keys.extend(found.filter(|key| !key.is_empty() && !key.ends_with('/')).map(str::to_owned));
        })
        .await?;
        Ok(keys)
    }

    async fn pages(
        &self,
        folder: &str,
        delimiter: Option<&str>,
        mut take: impl FnMut(&ListObjectsV2Output),
    ) -> Result<(), Fault> {
        let mut next: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let request = self
                .client
                .list_objects_v2()
                .bucket(&self.options.bucket)
                .set_prefix(Some(folder.to_owned()).filter(|folder| !folder.is_empty()))
                .set_delimiter(delimiter.map(str::to_owned))
                .set_continuation_token(next.clone());
            let page = Box::pin(request.send())
                .await
                .map_err(|error| self.fault(Failure::of(error), Asked::List))?;
            take(&page);
            match page.next_continuation_token() {
                Some(token) if page.is_truncated() == Some(true) => next = Some(token.to_owned()),
                _ => return Ok(()),
            }
        }
        Err(Fault::Refused(format!("a list of more than {MOST_PAGES} pages")))
    }

    /// Size, ETag and age.
    pub(super) async fn stat(&self, key: &str) -> Result<Option<Stat>, Fault> {
        let date = ServerDate::default();
        let request = self.client.head_object().bucket(&self.options.bucket).key(self.key(key));
        let head =
            match Box::pin(request.customize().interceptor(date.clone()).send()).await.map_err(Failure::of) {
                Ok(head) => head,
                // The answer to a HEAD has no body: it does not say whether it is the bucket that is missing.
                Err(failure) if failure.status() == 404 => return Ok(None),
                Err(failure) => return Err(self.fault(failure, Asked::Get)),
            };
        let written = head.last_modified().and_then(|time| SystemTime::try_from(*time).ok());
        // By the server's own clock, where it shows one.
        let age =
            date.get().zip(written).map(|(now, written)| now.duration_since(written).unwrap_or_default());
        Ok(Some(Stat {
            bytes: length(head.content_length())?,
            token: token(head.e_tag())?,
            settled: age.is_none_or(|age| age >= SETTLED),
        }))
    }

    /// A small object, as a whole.
    pub(super) async fn read(&self, key: &str, max: u64, known: Option<&str>) -> Result<Read, Fault> {
        let request = self.client.get_object().bucket(&self.options.bucket).key(self.key(key));
        let request = request.set_if_none_match(known.map(str::to_owned));
        let answer = match Box::pin(request.send()).await.map_err(Failure::of) {
            Ok(answer) => answer,
            Err(failure) if failure.status() == 304 => return Ok(Read::Unchanged),
            Err(failure) if failure.is_absent() => return Ok(Read::Absent),
            Err(failure) => return Err(self.fault(failure, Asked::Get)),
        };
        let token = token(answer.e_tag())?;
        // Not every server knows the condition.
        if known == Some(&token) {
            return Ok(Read::Unchanged);
        }
        let size = length(answer.content_length())?;
        if size > max {
            return Err(Fault::TooLarge { bytes: size, max });
        }
        let part = Part { key, token: &token, range: 0..size, of: size };
        let mut bytes = Vec::new();
        self.fill(&part, Some(answer.body), &mut bytes, &Clock::default()).await?;
        Ok(Read::Object { bytes, token })
    }

    /// Deletes an object.
    pub(super) async fn delete(&self, key: &str) -> Result<(), Fault> {
        let request = self.client.delete_object().bucket(&self.options.bucket).key(self.key(key));
        match Box::pin(request.send()).await.map_err(Failure::of) {
            Ok(_) => Ok(()),
            Err(failure) if failure.is_absent() => Ok(()),
            Err(failure) => Err(self.fault(failure, Asked::Delete)),
        }
    }
}

/// The size that an answer promises.
pub(super) fn length(promised: Option<i64>) -> Result<u64, Fault> {
    let length = promised.and_then(|length| u64::try_from(length).ok());
    length.ok_or_else(|| Fault::Refused("an answer without its length".into()))
}

/// The ETag of an answer.
pub(super) fn token(etag: Option<&str>) -> Result<String, Fault> {
    etag.map(str::to_owned).ok_or_else(|| Fault::Refused("an answer without an ETag".into()))
}

/// The header `date` of an answer, which the SDK does not hand on.
#[derive(Clone, Debug, Default)]
struct ServerDate(Arc<Mutex<Option<SystemTime>>>);

// === impl ServerDate ===

impl ServerDate {
    fn get(&self) -> Option<SystemTime> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for ServerDate {
    fn name(&self) -> &'static str {
        "ServerDate"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date =
            context.response().headers().get("date").and_then(|date| httpdate::parse_http_date(date).ok());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date;
        Ok(())
    }
}
