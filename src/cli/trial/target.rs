//! The other side: where it is, which protocol it speaks, and what it calls its inputs.

use std::time::Duration;

use clap::ValueEnum;
use serde_json::Value;

use crate::cli::failure::Failure;
use crate::cli::peer::connection::Peer;
use crate::cli::peer::described::Description;
use crate::cli::peer::reply::excerpt;

/// What a service speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// Open Inference Protocol v2: POST …/v2/models/NAME/infer (Triton, KServe, MLServer, sidegate)
    Oip,
    /// KServe v1 and TF Serving: POST …/v1/models/NAME:predict
    V1,
    /// MLflow and SageMaker: POST …/invocations
    Invocations,
    /// Anything else that takes JSON rows: POST …/predict
    Predict,
}

/// Ends of paths that tell the protocol.
const ENDINGS: [(&str, Protocol); 4] = [
    ("/infer", Protocol::Oip),
    (":predict", Protocol::V1),
    ("/invocations", Protocol::Invocations),
    ("/predict", Protocol::Predict),
];

/// A service that can be asked.
#[derive(Debug)]
pub(super) struct Target {
    /// As a person would write it.
    pub(super) url: String,
    pub(super) path: String,
    pub(super) protocol: Protocol,
    pub(super) peer: Peer,
}

// === impl Protocol ===

impl Protocol {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Oip => "OIP v2",
            Self::V1 => "KServe v1",
            Self::Invocations => "/invocations",
            Self::Predict => "JSON",
        }
    }

    /// The forms to try, the likeliest first.
    pub(super) const fn forms(self, one_matrix: bool) -> &'static [&'static str] {
        match (self, one_matrix) {
            (Self::Oip, _) => &[],
            (Self::V1, true) => &["instances", "instances-records"],
            (Self::V1, false) => &["instances-records", "instances"],
            (Self::Invocations, _) => &["split", "inputs", "csv", "instances"],
            (Self::Predict, _) => &["records", "record", "rows", "instances", "data", "features"],
        }
    }
}

// === impl Target ===

impl Target {
    /// Reads the URL, and asks the server where it only names the server. Of `own_bodies`, which the user gave, any
    /// path may take JSON.
    ///
    /// # Errors
    /// [`Failure::Usage`] for what cannot be a service, [`Failure::Failed`] when nobody answers.
    pub(super) fn find(
        url: &str,
        forced: Option<Protocol>,
        own_bodies: bool,
        headers: &[String],
        patience: Duration,
        model: &str,
    ) -> Result<Self, Failure> {
        let usage = |text: String| Failure::Usage(format!("--against {url}: {text}"));
        let (peer, path) = Peer::at(url, headers, patience).map_err(usage)?;
        let path = path.as_str();
        let (path, protocol) = match (known(path), forced) {
            (Some((path, protocol)), None) => (path, protocol),
            (_, Some(protocol)) if path.len() > 1 => (with_ending(path, protocol), protocol),
            (None, _) if path.len() > 1 && own_bodies => (path.to_owned(), Protocol::Predict),
            (None, _) if path.len() > 1 => {
                return Err(usage(
                    "its path tells no protocol; --protocol oip|v1|invocations|predict does, or --body says what it takes"
                        .into(),
                ));
            }
            _ => look_around(&peer, forced, model).map_err(|error| match error {
                Failure::Usage(text) => usage(text),
                other => Failure::Failed(format!("{url}: {other}")),
            })?,
        };
        Ok(Self { url: format!("{}{path}", peer.origin()), path, protocol, peer })
    }

    /// What the server says of its inputs and outputs; nothing where it says nothing.
    pub(super) fn described(&self) -> Description {
        let path = self.path.split('?').next().and_then(|path| path.strip_suffix("/infer"));
        let answer = path.and_then(|path| self.peer.ask("GET", path, b"").ok());
        let body = answer.filter(|answer| answer.status == 200).map(|answer| answer.body).unwrap_or_default();
        Description::of(&serde_json::from_slice(&body).unwrap_or_default())
    }
}

/// A path that tells its protocol, with what it lacks.
fn known(path: &str) -> Option<(String, Protocol)> {
    let plain = path.split('?').next().unwrap_or_default().trim_end_matches('/');
    if let Some((_, protocol)) = ENDINGS.iter().find(|(ending, _)| plain.ends_with(ending)) {
        return Some((path.to_owned(), *protocol));
    }
    let model = |prefix: &str| plain.find(prefix).is_some_and(|at| plain.len() > at + prefix.len());
    [("/v2/models/", Protocol::Oip), ("/v1/models/", Protocol::V1)]
        .into_iter()
        .find(|(prefix, _)| model(prefix))
        .map(|(_, protocol)| (with_ending(plain, protocol), protocol))
}

fn with_ending(path: &str, protocol: Protocol) -> String {
    let plain = path.split('?').next().unwrap_or_default().trim_end_matches('/');
    match protocol {
        Protocol::Oip if plain.contains("/v2/models/") && !plain.ends_with("/infer") => {
            format!("{plain}/infer")
        }
        Protocol::V1 if plain.contains("/v1/models/") && !plain.ends_with(":predict") => {
            format!("{plain}:predict")
        }
        _ => path.to_owned(),
    }
}

/// Finds the endpoint of a server of which only the address is given.
fn look_around(peer: &Peer, forced: Option<Protocol>, model: &str) -> Result<(String, Protocol), Failure> {
    let json = |method: &str, path: &str| -> Result<Option<Value>, Failure> {
        // MLServer wants a body where one is optional.
        let body: &[u8] = if method == "POST" { b"{}" } else { b"" };
        let answer = peer.ask(method, path, body).map_err(Failure::Failed)?;
        Ok(if answer.status == 200 { serde_json::from_slice(&answer.body).ok() } else { None })
    };
    let wanted = |protocol| forced.is_none_or(|forced| forced == protocol);
    if wanted(Protocol::Oip) {
        for (method, path) in [("POST", "/v2/repository/index"), ("GET", "/v2/models")] {
            if let Some(list) = json(method, path)?
                && let Some(name) = choose(&names(&list), model)?
            {
                return Ok((format!("/v2/models/{name}/infer"), Protocol::Oip));
            }
        }
    }
    if wanted(Protocol::V1)
        && let Some(list) = json("GET", "/v1/models")?
        && let Some(name) = choose(&names(&list), model)?
    {
        return Ok((format!("/v1/models/{name}:predict"), Protocol::V1));
    }
    // FastAPI describes itself.
    if let Some(described) = json("GET", "/openapi.json")? {
        let posts = described["paths"]
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(path, verbs)| !verbs["post"].is_null() && !path.contains('{'));
        let posts: Vec<&String> = posts.map(|(path, _)| path).collect();
        let telling = posts.iter().filter_map(|path| known(path)).find(|(_, protocol)| wanted(*protocol));
        match (telling, posts.as_slice()) {
            (Some(found), _) => return Ok(found),
            (None, [only]) if wanted(Protocol::Predict) => return Ok(((*only).clone(), Protocol::Predict)),
            _ => {}
        }
    }
    if wanted(Protocol::Invocations) && peer.ask("GET", "/ping", b"").is_ok_and(|answer| answer.status == 200)
    {
        return Ok(("/invocations".into(), Protocol::Invocations));
    }
    let root = peer.ask("GET", "/", b"").map_err(Failure::Failed)?;
    Err(Failure::Usage(format!(
        "the server does not say what it serves (GET / answers {} {}); give the whole URL that the app calls, such as \
         …/v2/models/NAME/infer, …/v1/models/NAME:predict, …/invocations or …/predict",
        root.status,
        excerpt(&root.body)
    )))
}

/// Names of models in a list of any of the known forms.
fn names(list: &Value) -> Vec<String> {
    let items = list.as_array().or_else(|| list["models"].as_array());
    let name = |item: &Value| item.as_str().or_else(|| item["name"].as_str()).map(str::to_owned);
    let mut names: Vec<String> = items.into_iter().flatten().filter_map(name).collect();
    names.dedup();
    names
}

/// The only model, or the one of this name.
fn choose(names: &[String], model: &str) -> Result<Option<String>, Failure> {
    match names {
        [] => Ok(None),
        [only] => Ok(Some(only.clone())),
        several => match several.iter().find(|name| *name == model) {
            Some(name) => Ok(Some(name.clone())),
            None => Err(Failure::Usage(format!(
                "it serves {}; give the URL of one of them, …/v2/models/NAME/infer",
                several.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(", ")
            ))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(url: &str, forced: Option<Protocol>) -> Result<(String, Protocol), String> {
        let found = Target::find(url, forced, false, &[], Duration::from_secs(1), "m");
        found.map(|target| (target.path, target.protocol)).map_err(|failure| match failure {
            Failure::Usage(text) => text,
            Failure::Failed(text) | Failure::Refused { text, .. } => format!("failed: {text}"),
        })
    }

    #[test]
    fn the_path_tells_the_protocol() {
        for (path, expected, protocol) in [
            ("/v2/models/m/infer", "/v2/models/m/infer", Protocol::Oip),
            ("/v2/models/m/versions/7", "/v2/models/m/versions/7/infer", Protocol::Oip),
            ("/x/v2/models/m/", "/x/v2/models/m/infer", Protocol::Oip),
            ("/v1/models/m:predict", "/v1/models/m:predict", Protocol::V1),
            ("/v1/models/m", "/v1/models/m:predict", Protocol::V1),
            ("/invocations", "/invocations", Protocol::Invocations),
            ("/api/predict?model=m", "/api/predict?model=m", Protocol::Predict),
        ] {
            assert_eq!(
                find(&format!("http://127.0.0.1:1{path}"), None).unwrap(),
                (expected.into(), protocol)
            );
        }
        let forced = find("http://127.0.0.1/score", Some(Protocol::Predict)).unwrap();
        assert_eq!(forced, ("/score".into(), Protocol::Predict));
        for (path, protocol) in [("/score", Protocol::Predict), ("/invocations", Protocol::Invocations)] {
            let url = format!("http://127.0.0.1{path}");
            let found = Target::find(&url, None, true, &[], Duration::from_secs(1), "m").unwrap();
            assert_eq!((found.path.as_str(), found.protocol), (path, protocol));
        }
    }

    #[test]
    fn what_cannot_be_asked_says_what_can() {
        for (url, part) in [
            ("ftp://127.0.0.1/predict", "begins with http:// or https://"),
            ("127.0.0.1:80/predict", "begins with http://"),
            ("http:///predict", "is no URL"),
            ("http://127.0.0.1:1/score", "--protocol"),
            ("http://no such host/predict", "is no URL"),
            ("http://127.0.0.1:1", "failed: http://127.0.0.1:1: no connection"),
        ] {
            let error = find(url, None).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn lists_of_models_are_read_in_every_form() {
        for list in [r#"[{"name":"a","version":"1"},{"name":"a","version":"2"}]"#, r#"{"models":["a"]}"#] {
            assert_eq!(names(&serde_json::from_str(list).unwrap()), ["a"]);
        }
        let all: Vec<String> = ["a", "b"].map(str::to_owned).to_vec();
        assert_eq!(choose(&all, "b").ok().flatten().as_deref(), Some("b"));
        assert!(matches!(choose(&all, "c"), Err(Failure::Usage(_))));
        assert!(matches!(choose(&[], "c"), Ok(None)));
    }
}
