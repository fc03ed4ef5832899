//! Writing on conditions, where an answer that never came must not be taken for a refusal.

use aws_sdk_s3::primitives::ByteStream;
use tokio::time::sleep;

use super::client::patient;
use super::fault::{Asked, Failure};
use super::object::token;
use super::{Body, Condition, Fault, Session};

// === impl Session ===

impl Session<'_> {
    /// Writes an object. Repetition is decided here and not by the SDK: what stands in the way of the second attempt
    /// may be the first.
    pub(super) async fn write(
        &self,
        key: &str,
        body: Body<'_>,
        condition: Condition<'_>,
    ) -> Result<String, Fault> {
        let mut unsure = None;
        let mut attempt = 1;
        loop {
            let fault = match self.put(key, body, condition).await {
                Ok(token) => return Ok(token),
                Err(fault) => fault,
            };
            if !fault.may_have_happened() {
                return Err(unsure.unwrap_or(fault));
            }
            if attempt >= self.options.attempts {
                return Err(fault);
            }
            unsure = Some(fault);
            sleep(self.limits.pause * attempt).await;
            attempt += 1;
        }
    }

    async fn put(&self, key: &str, body: Body<'_>, condition: Condition<'_>) -> Result<String, Fault> {
        let (size, body) = match body {
            Body::Bytes(bytes) => (bytes.len() as u64, ByteStream::from(bytes.to_vec())),
            Body::File(path) => {
                let size = std::fs::metadata(path).map_err(Fault::Local)?.len();
                let body = ByteStream::from_path(path).await;
                (size, body.map_err(|error| Fault::Local(std::io::Error::other(error)))?)
            }
        };
        let request = self.client.put_object().bucket(&self.options.bucket).key(self.key(key)).body(body);
        let (request, asked) = match condition {
            Condition::None => (request, Asked::Put),
            Condition::Absent => (request.if_none_match("*"), Asked::Put),
            Condition::Token(token) => (request.if_match(token), Asked::Replace),
        };
        let request = request.customize().config_override(patient(self.limits, size));
        match Box::pin(request.send()).await.map_err(Failure::of) {
            Ok(answer) => token(answer.e_tag()),
            // 409: another write of this object was under way. 404: there is nothing that could have the token.
            Err(failure) if matches!(failure.status(), 409 | 412) || failure.is_absent() => {
                Err(Fault::Conflict)
            }
            Err(failure) => Err(self.fault(failure, asked)),
        }
    }
}
