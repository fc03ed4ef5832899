//! The Runtime API of AWS Lambda, version 2018-06-01: invocations, and what became of them.

use std::time::{Duration, SystemTime};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Bytes;
use tokio::net::TcpStream;

use super::http::{Sender, exchange, open};
use super::reply::{Fault, Reply};

/// Where an error's kind stands beside the body, for CloudWatch.
const ERROR_TYPE: &str = "lambda-runtime-function-error-type";
/// What newer APIs number invocations by, beside the id that a retry has too; answers have it as well.
const INVOCATION_ID: &str = "lambda-runtime-invocation-id";

/// The Runtime API, over a connection that is kept.
pub struct Api {
    authority: String,
    connection: Option<Sender>,
}

/// One invocation of the function.
#[derive(Debug)]
pub struct Invocation {
    /// Its name in logs and answers; a retry of an asynchronous invocation has the same.
    pub id: String,
    /// When Lambda ends it, by the wall clock.
    pub deadline: Option<SystemTime>,
    /// The event, JSON.
    pub payload: Bytes,
    number: Option<HeaderValue>,
}

/// What makes the Runtime API unusable; a new process is needed.
#[derive(Debug, thiserror::Error)]
#[error("the Runtime API of AWS Lambda at {authority}: {problem}")]
pub struct Broken {
    authority: String,
    problem: String,
}

// === impl Api ===

impl Api {
    /// The API at `HOST:PORT`, as AWS_LAMBDA_RUNTIME_API has it.
    pub fn new(authority: &str) -> Self {
        Self { authority: authority.to_owned(), connection: None }
    }

    /// Waits for the next invocation, for as long as it takes.
    ///
    /// # Errors
    /// When there will be none.
    pub async fn next(&mut self) -> Result<Invocation, Broken> {
        let answer = self.call(Method::GET, "invocation/next", None, Bytes::new()).await?;
        if answer.status() != StatusCode::OK {
            return Err(self.broken(&refused("invocation/next", &answer)));
        }
        let field = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let Some(id) = field("lambda-runtime-aws-request-id") else {
            return Err(self.broken(&"an invocation without Lambda-Runtime-Aws-Request-Id"));
        };
        let deadline = field("lambda-runtime-deadline-ms").and_then(|millis| millis.parse().ok());
        let deadline = deadline.map(|millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis));
        let number = answer.headers().get(INVOCATION_ID).cloned();
        Ok(Invocation { id: id.to_owned(), deadline, number, payload: answer.into_body() })
    }

    /// Says what became of an invocation.
    ///
    /// # Errors
    /// When nothing more can be said to Lambda. An answer that it does not take is in the log.
    pub async fn reply(&mut self, invocation: &Invocation, reply: Reply) -> Result<(), Broken> {
        let Invocation { id, number, .. } = invocation;
        let number = number.as_ref().map(|number| (INVOCATION_ID, number.clone()));
        let answer = match reply {
            Reply::Payload(payload) => {
                self.call(Method::POST, &format!("invocation/{id}/response"), number, payload).await?
            }
            Reply::Fault(fault) => self.tell(&format!("invocation/{id}/error"), number, &fault).await?,
        };
        match answer.status() {
            status if status.is_success() => Ok(()),
            // Lambda's own state cannot be recovered: the process is to end.
            status if status.is_server_error() => Err(self.broken(&refused("an answer", &answer))),
            // It was late or too large; the next may do better.
            _ => {
                tracing::error!(id, problem = refused("an answer", &answer), "Lambda did not take it");
                Ok(())
            }
        }
    }

    /// Says that this function cannot start; it is over then, so nothing can be done about a failure but to log it.
    pub async fn refuse_start(&mut self, fault: &Fault) {
        match self.tell("init/error", None, fault).await {
            Ok(answer) if answer.status().is_success() => {}
            Ok(answer) => tracing::error!(problem = refused("init/error", &answer), "Lambda did not take it"),
            Err(error) => tracing::error!(%error, "Lambda was not told"),
        }
    }

    async fn tell(
        &mut self,
        what: &str,
        number: Option<(&str, HeaderValue)>,
        fault: &Fault,
    ) -> Result<Response<Bytes>, Broken> {
        let kind = HeaderValue::from_str(&fault.kind).ok().map(|kind| (ERROR_TYPE, kind));
        self.call(Method::POST, what, number.into_iter().chain(kind), fault.payload()).await
    }

    async fn call(
        &mut self,
        method: Method,
        what: &str,
        fields: impl IntoIterator<Item = (&str, HeaderValue)>,
        body: impl Into<Bytes>,
    ) -> Result<Response<Bytes>, Broken> {
        let mut request = Request::builder().method(&method).uri(format!("/2018-06-01/runtime/{what}"));
        request = request.header(header::HOST, &self.authority);
        request = request.header(header::USER_AGENT, concat!("sidegate/", env!("CARGO_PKG_VERSION")));
        if method == Method::POST {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in fields {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body.into())).map_err(|error| self.broken(&error))?;
        if let Some(mut kept) = self.connection.take()
            && kept.ready().await.is_ok()
            && let Ok(answer) = exchange(&mut kept, request.clone()).await
        {
            self.connection = Some(kept);
            return Ok(answer);
        }
        // None was kept, or the one that was had been closed while the function slept.
        let stream = TcpStream::connect(&self.authority).await.map_err(|error| self.broken(&error))?;
        stream.set_nodelay(true).map_err(|error| self.broken(&error))?;
        let mut fresh = open(stream).await.map_err(|error| self.broken(&error))?;
        let answer = exchange(&mut fresh, request).await.map_err(|error| self.broken(&error))?;
        self.connection = Some(fresh);
        Ok(answer)
    }

    fn broken(&self, problem: &dyn std::fmt::Display) -> Broken {
        Broken { authority: self.authority.clone(), problem: problem.to_string() }
    }
}

/// What the API said, in short.
fn refused(what: &str, answer: &Response<Bytes>) -> String {
    let text = String::from_utf8_lossy(answer.body());
    let text: String = text.chars().filter(|c| !c.is_control()).take(300).collect();
    format!("{what}: {}: {text}", answer.status())
}
