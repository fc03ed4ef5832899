//! Admin and ops ports: metrics, probes, models, status and the few verbs. hyper and tower, away from the data path.

mod drift;
mod experiments;
mod performance;
mod verbs;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceBuilder, ServiceExt};

use super::settings::Tokens;
use super::{Addresses, Gateway};
use verbs::Verb;

/// Connections of one of these ports.
const MAX_CONNECTIONS: usize = 16;
/// Requests answered at once; a scrape is the dearest of them.
const MAX_CONCURRENT: usize = 4;
/// Total time of a request.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a port offers.
#[derive(Clone)]
pub struct Port {
    /// The gateway it tells of.
    pub gateway: Arc<Gateway>,
    /// Where that listens.
    pub addresses: Addresses,
    /// Bearer tokens; `None` is open.
    pub tokens: Option<Tokens>,
    /// Metrics and probes only, for a port that others can reach.
    pub read_only: bool,
}

type Answer = Response<Full<Bytes>>;

/// Serves a port until the process ends.
pub async fn serve(listener: TcpListener, port: Port) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // Requests beyond the limit wait here, not in the data path; what waits too long is given up. Probes do not wait.
    let probes = port.clone();
    let answer = move |request: Request<Incoming>| {
        let port = port.clone();
        async move { Ok::<_, BoxError>(port.answer(request).await) }
    };
    let limited = ServiceBuilder::new().concurrency_limit(MAX_CONCURRENT).service_fn(answer);
    let service: BoxCloneSyncService<Request<Incoming>, Answer, BoxError> = BoxCloneSyncService::new(limited);
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "an admin connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (service, probes) = (service.clone(), probes.clone());
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let (service, probes) = (service.clone(), probes.clone());
            async move {
                if is_probe(request.uri().path()) {
                    return Ok::<_, Infallible>(probes.answer(request).await);
                }
                let busy =
                    || failure(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "the admin port is overloaded");
                let answer = tokio::time::timeout(TIMEOUT, service.oneshot(request)).await;
                Ok(answer.ok().and_then(Result::ok).unwrap_or_else(busy))
            }
        });
        crate::task::spawn("admin", async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(10))
                .max_buf_size(64 << 10)
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away is no event.
            drop(tokio::time::timeout(Duration::from_secs(600), connection).await);
            drop(place);
        });
    }
}

/// What tells an orchestrator how this process is.
fn is_probe(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz" | "/startupz")
}

impl Port {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        if let Err(answer) = self.check(&request, is_probe(&path)) {
            return answer;
        }
        if (method == Method::GET || method == Method::HEAD)
            && let Some(answer) = self.read(&path)
        {
            return answer;
        }
        if self.read_only {
            return not_found();
        }
        match (&method, path.as_str()) {
            (&Method::GET, "/models") => {
                let models =
                    serde_json::to_value(&self.gateway.serving.status.load().models).unwrap_or_default();
                text(StatusCode::OK, &models)
            }
            (&Method::GET, "/status") => text(StatusCode::OK, &self.status()),
            (&Method::GET, _)
                if let Some(seen) = drift::asked(&path, request.uri().query().unwrap_or_default()) =>
            {
                drift::answer(&self.gateway, seen).await
            }
            (&Method::GET, _) if let Some(model) = path.strip_prefix("/performance/") => {
                performance::answer(&self.gateway, model, request.uri().query().unwrap_or_default()).await
            }
            (&Method::GET, _) if let Some(name) = experiments::reported(&path) => {
                experiments::report(&self.gateway, name).await
            }
            (&Method::GET, _)
                if let Some(answer) =
                    experiments::answer(&self.gateway, &path, request.uri().query().unwrap_or_default()) =>
            {
                answer
            }
            _ if let Some(verb) = Verb::of(&method, &path) => verb.perform(&self.gateway, request).await,
            (
                _,
                "/models" | "/status" | "/experiments" | "/drift" | "/metrics" | "/livez" | "/readyz"
                | "/startupz",
            ) => failure(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this path takes another method",
            ),
            _ => not_found(),
        }
    }

    /// Who may ask: holders of a token, and nobody by way of a browser.
    #[expect(clippy::result_large_err, reason = "an answer, moved once, away from the data path")]
    fn check(&self, request: &Request<Incoming>, probe: bool) -> Result<(), Answer> {
        let header = |name| request.headers().get(name).map(hyper::header::HeaderValue::as_bytes);
        if !self.read_only {
            // A page in a browser on this host must not reach the verbs: it sends Origin or Sec-Fetch-Site,
            // and after DNS rebinding a Host that is a name.
            let foreign = header("sec-fetch-site")
                .is_some_and(|site| site != b"none" && site != b"same-origin")
                || (request.method() != Method::GET && header("origin").is_some());
            let host =
                header(HOST.as_str()).and_then(|host| std::str::from_utf8(host).ok()).unwrap_or_default();
            if foreign || !(local_host(host) || self.tokens.is_some()) {
                return Err(failure(
                    StatusCode::FORBIDDEN,
                    "forbidden",
                    "this port is not for browsers; use its address as Host",
                ));
            }
        }
        match &self.tokens {
            Some(tokens) if !probe && !tokens.allow(header(AUTHORIZATION.as_str())) => Err(failure(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "a bearer token of admin.token_file is needed",
            )),
            _ => Ok(()),
        }
    }

    /// What both kinds of port offer.
    fn read(&self, path: &str) -> Option<Answer> {
        let gateway = &self.gateway;
        Some(match path {
            "/livez" => text(StatusCode::OK, &json!({"live": true})),
            "/readyz" | "/startupz" => match gateway.not_ready() {
                None => text(StatusCode::OK, &json!({"ready": true})),
                Some(reason) => {
                    text(StatusCode::SERVICE_UNAVAILABLE, &json!({"ready": false, "reason": reason}))
                }
            },
            "/metrics" => {
                let metrics = &gateway.metrics;
                metrics.inflight.set(gateway.inflight.load(Relaxed) as i64);
                metrics.connections.set(gateway.connections.load(Relaxed) as i64);
                let seen = gateway.serving.status.load().registry_seen.unwrap_or(gateway.started);
                metrics.registry_staleness.set(seen.elapsed().as_secs_f64());
                respond(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics.render())
            }
            _ => return None,
        })
    }

    fn status(&self) -> Value {
        let gateway = &self.gateway;
        let config = gateway.config.load();
        let status = gateway.serving.status.load();
        let reloads = gateway.reloads.load();
        let not_ready = gateway.not_ready();
        let onnxruntime = crate::engine::onnxruntime_status().map_or(Value::Null, |library| match library {
            Ok((path, version)) => json!({"path": path, "version": version}),
            Err(error) => json!({"error": error}),
        });
        json!({
            "name": "sidegate",
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": gateway.started.elapsed().as_secs_f64(),
            "live": true,
            "ready": not_ready.is_none(),
            "reason": not_ready,
            "draining": gateway.draining.load(Relaxed),
            "http": self.addresses.http.to_string(),
            "uds": self.addresses.uds,
            "admin": self.addresses.admin.to_string(),
            "ops": self.addresses.ops.map(|a| a.to_string()),
            "workers": config.http.workers,
            "connections": gateway.connections.load(Relaxed),
            "inflight": gateway.inflight.load(Relaxed),
            "registry": {
                "url": config.registry.url.to_string(),
                "up": status.registry_up,
                "staleness_seconds": status.registry_seen.map(|at| at.elapsed().as_secs_f64()),
                "models": status.models.len(),
            },
            "config": {
                "file": reloads.file,
                "reloads": reloads.count,
                "last_error": reloads.last_error,
                "pending_restart": reloads.pending_restart,
            },
            "onnxruntime": onnxruntime,
            "memory": {
                "rss_bytes": crate::process::resident_bytes(),
                "budget_bytes": config.memory.budget_bytes,
            },
            "models": serde_json::to_value(&status.models).unwrap_or_default(),
            "experiments": serde_json::to_value(&status.experiments).unwrap_or_default(),
        })
    }
}

/// Whether a Host field is a loopback name or any literal address: names can be rebound, addresses cannot.
fn local_host(host: &str) -> bool {
    let name = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(host, |(n, _)| n);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok()
}

fn not_found() -> Answer {
    failure(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path")
}

fn failure(status: StatusCode, code: &str, message: &str) -> Answer {
    text(status, &json!({"error": message, "code": code}))
}

fn text(status: StatusCode, value: &Value) -> Answer {
    respond(status, "application/json", value.to_string().into_bytes())
}

fn respond(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_cannot_be_rebound() {
        for good in ["127.0.0.1:8002", "localhost", "LOCALHOST:1", "[::1]:8002", "10.0.0.7:8002"] {
            assert!(local_host(good), "{good}");
        }
        for bad in ["", "evil.example", "evil.example:8002", "localhost.evil.example", "127.0.0.1.nip.io"] {
            assert!(!local_host(bad), "{bad}");
        }
    }
}
