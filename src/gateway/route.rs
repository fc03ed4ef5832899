//! Paths to what they ask for. A route borrows from the path; nothing is allocated.

use super::http::Method;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    Infer {
        model: &'a str,
        version: Option<&'a str>,
    },
    Predict,
    Invocations,
    Outcomes,
    Ping,
    Health,
    ModelInfo,
    ServerMetadata,
    ServerLive,
    ServerReady,
    Models,
    ModelMetadata {
        model: &'a str,
        version: Option<&'a str>,
    },
    ModelReady {
        model: &'a str,
        version: Option<&'a str>,
    },
    ModelConfig {
        model: &'a str,
        version: Option<&'a str>,
    },
    ModelStatistics {
        model: Option<&'a str>,
        version: Option<&'a str>,
    },
    RepositoryIndex,
    RepositoryLoad {
        model: &'a str,
    },
    RepositoryUnload {
        model: &'a str,
    },
    /// What is loaded, where models come by request.
    Shelf(Shelved<'a>),
    /// A prediction of such a model.
    Invoke {
        model: &'a str,
    },
    /// Part of the protocol's extensions that this gateway does not have.
    Unsupported,
}

/// What is asked of a shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shelved<'a> {
    List,
    Load,
    Show { model: &'a str },
    Unload { model: &'a str },
}

/// Why a path leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoute {
    /// 404
    NotFound,
    /// 405
    MethodNotAllowed,
}

/// Finds the route of a request; `shelf` says whether models come by request.
///
/// # Errors
/// [`NoRoute`], which tells an unknown path from a wrong method.
#[inline]
pub(super) fn route(method: Method, path: &str, shelf: bool) -> Result<Route<'_>, NoRoute> {
    // The targets of CONNECT and `OPTIONS *` are no paths; it is the method that is wrong.
    let nowhere = if path.starts_with('/') { NoRoute::NotFound } else { NoRoute::MethodNotAllowed };
    let own = find(path).or_else(|| if shelf { find_shelved(method, path) } else { None });
    let route = own.ok_or(nowhere)?;
    let wanted = match route {
        Route::Infer { .. }
        | Route::Predict
        | Route::Invocations
        | Route::Outcomes
        | Route::RepositoryIndex
        | Route::RepositoryLoad { .. }
        | Route::RepositoryUnload { .. }
        | Route::Shelf(Shelved::Load)
        | Route::Invoke { .. } => method == Method::Post,
        Route::Shelf(Shelved::Unload { .. }) => method == Method::Delete,
        Route::Unsupported => !matches!(method, Method::Delete | Method::Other),
        _ => matches!(method, Method::Get | Method::Head),
    };
    if wanted { Ok(route) } else { Err(NoRoute::MethodNotAllowed) }
}

fn find(path: &str) -> Option<Route<'_>> {
    if let Some(rest) = path.strip_prefix("/v2") {
        return find_v2(rest);
    }
    match path {
        "/predict" => Some(Route::Predict),
        "/invocations" => Some(Route::Invocations),
        "/actuals" | "/outcomes" => Some(Route::Outcomes),
        "/ping" => Some(Route::Ping),
        "/health" => Some(Route::Health),
        "/model/info" => Some(Route::ModelInfo),
        _ => None,
    }
}

fn find_v2(rest: &str) -> Option<Route<'_>> {
    if let Some(rest) = rest.strip_prefix("/models/") {
        return find_model(rest);
    }
    match rest {
        "" | "/" => Some(Route::ServerMetadata),
        "/health/live" => Some(Route::ServerLive),
        "/health/ready" => Some(Route::ServerReady),
        "/models" => Some(Route::Models),
        "/repository/index" => Some(Route::RepositoryIndex),
        _ if rest.starts_with("/systemsharedmemory") || rest.starts_with("/cudasharedmemory") => {
            Some(Route::Unsupported)
        }
        _ if rest.starts_with("/trace/") || rest == "/logging" => Some(Route::Unsupported),
        _ => {
            let (model, verb) = rest.strip_prefix("/repository/models/")?.split_once('/')?;
            match verb {
                "load" => Some(Route::RepositoryLoad { model }),
                "unload" => Some(Route::RepositoryUnload { model }),
                _ => None,
            }
        }
    }
}

fn find_model(rest: &str) -> Option<Route<'_>> {
    let (model, rest) = rest.split_once('/').unwrap_or((rest, ""));
    if model == "stats" && rest.is_empty() {
        return Some(Route::ModelStatistics { model: None, version: None });
    }
    let (version, verb) = match rest.strip_prefix("versions/") {
        Some(rest) => {
            let (version, verb) = rest.split_once('/').unwrap_or((rest, ""));
            (Some(version), verb)
        }
        None => (None, rest),
    };
    if model.is_empty() {
        return None;
    }
    match verb {
        "infer" => Some(Route::Infer { model, version }),
        "" => Some(Route::ModelMetadata { model, version }),
        "ready" => Some(Route::ModelReady { model, version }),
        "config" => Some(Route::ModelConfig { model, version }),
        "stats" => Some(Route::ModelStatistics { model: Some(model), version }),
        "generate" | "generate_stream" | "trace/setting" => Some(Route::Unsupported),
        _ => None,
    }
}

/// What SageMaker asks of a container with many models; which it is depends on the method too.
fn find_shelved(method: Method, path: &str) -> Option<Route<'_>> {
    let rest = path.strip_prefix("/models")?;
    if rest.is_empty() {
        return Some(Route::Shelf(if method == Method::Post { Shelved::Load } else { Shelved::List }));
    }
    let rest = rest.strip_prefix('/')?;
    let (model, verb) = rest.split_once('/').map_or((rest, None), |(model, verb)| (model, Some(verb)));
    match (verb, method) {
        _ if model.is_empty() => None,
        (Some("invoke"), _) => Some(Route::Invoke { model }),
        (Some(_), _) => None,
        (None, Method::Delete) => Some(Route::Shelf(Shelved::Unload { model })),
        (None, _) => Some(Route::Shelf(Shelved::Show { model })),
    }
}

/// The value of a query parameter, percent-decoded; `None` when it is not given.
///
/// # Errors
/// When the value is given twice or is no valid text.
pub(super) fn query<'a>(query: &'a str, name: &str) -> Result<Option<std::borrow::Cow<'a, str>>, String> {
    let mut found = None;
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if key == name && found.replace(value).is_some() {
            return Err(format!("query parameter `{name}` is given twice"));
        }
    }
    found
        .map(|value| decode(value).ok_or_else(|| format!("query parameter `{name}` is not valid text")))
        .transpose()
}

/// Percent-decodes a part of a query; none for what is no valid text.
pub(super) fn decode(text: &str) -> Option<std::borrow::Cow<'_, str>> {
    unescape(text, b' ')
}

/// The same of a path, where a plus sign is one.
pub(super) fn decode_path(text: &str) -> Option<std::borrow::Cow<'_, str>> {
    unescape(text, b'+')
}

fn unescape(text: &str, plus: u8) -> Option<std::borrow::Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(text.into());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'+' => bytes.push(plus),
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                let digit = |b: u8| (b as char).to_digit(16);
                bytes.push((digit(digits[0])? << 4 | digit(digits[1])?) as u8);
                rest = after;
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_found_by_its_method() {
        let (model, version) = ("m", Some("7"));
        for (method, path, expected) in [
            (Method::Post, "/v2/models/m/infer", Route::Infer { model, version: None }),
            (Method::Post, "/v2/models/m/versions/7/infer", Route::Infer { model, version }),
            (Method::Get, "/v2", Route::ServerMetadata),
            (Method::Get, "/v2/", Route::ServerMetadata),
            (Method::Head, "/v2/health/live", Route::ServerLive),
            (Method::Get, "/v2/models", Route::Models),
            (Method::Get, "/v2/models/m", Route::ModelMetadata { model, version: None }),
            (Method::Get, "/v2/models/m/versions/7", Route::ModelMetadata { model, version }),
            (Method::Get, "/v2/models/m/versions/7/ready", Route::ModelReady { model, version }),
            (Method::Get, "/v2/models/stats", Route::ModelStatistics { model: None, version: None }),
            (Method::Get, "/v2/models/m/stats", Route::ModelStatistics { model: Some(model), version: None }),
            (Method::Post, "/v2/repository/index", Route::RepositoryIndex),
            (Method::Post, "/v2/repository/models/m/unload", Route::RepositoryUnload { model }),
            (Method::Post, "/predict", Route::Predict),
            (Method::Post, "/actuals", Route::Outcomes),
            (Method::Post, "/outcomes", Route::Outcomes),
            (Method::Get, "/model/info", Route::ModelInfo),
        ] {
            for shelf in [false, true] {
                assert_eq!(route(method, path, shelf), Ok(expected), "{path}");
            }
        }
        assert_eq!(route(Method::Get, "/predict", false), Err(NoRoute::MethodNotAllowed));
        assert_eq!(route(Method::Other, "/v2", false), Err(NoRoute::MethodNotAllowed));
        assert_eq!(route(Method::Delete, "/v2/logging", false), Err(NoRoute::MethodNotAllowed));
        for path in [
            "/",
            "/v2x",
            "/v2/models/",
            "/v2/models//infer",
            "/v2/models/a/b/infer",
            "/metrics",
            "/v1/models",
            "/models",
        ] {
            assert_eq!(route(Method::Post, path, false), Err(NoRoute::NotFound), "{path}");
        }
    }

    #[test]
    fn models_come_by_request_only_where_there_is_a_shelf() {
        let model = "a%2Fb";
        for (method, path, expected) in [
            (Method::Get, "/models", Route::Shelf(Shelved::List)),
            (Method::Head, "/models", Route::Shelf(Shelved::List)),
            (Method::Post, "/models", Route::Shelf(Shelved::Load)),
            (Method::Get, "/models/a%2Fb", Route::Shelf(Shelved::Show { model })),
            (Method::Delete, "/models/a%2Fb", Route::Shelf(Shelved::Unload { model })),
            (Method::Post, "/models/a%2Fb/invoke", Route::Invoke { model }),
        ] {
            assert_eq!(route(method, path, true), Ok(expected), "{path}");
            assert_eq!(route(method, path, false), Err(NoRoute::NotFound), "{path}");
        }
        for (method, path) in
            [(Method::Delete, "/models"), (Method::Post, "/models/a"), (Method::Get, "/models/a/invoke")]
        {
            assert_eq!(route(method, path, true), Err(NoRoute::MethodNotAllowed), "{path}");
        }
        for path in ["/models/", "/models//invoke", "/models/a/b/invoke", "/models/a/", "/modelsx"] {
            assert_eq!(route(Method::Post, path, true), Err(NoRoute::NotFound), "{path}");
        }
        assert_eq!(decode_path("a%2Fb+c").unwrap(), "a/b+c");
        assert_eq!(decode_path("%ff"), None);
    }

    #[test]
    fn query_parameters_are_decoded() {
        assert_eq!(query("model=m%407&x=1", "model").unwrap().unwrap(), "m@7");
        assert_eq!(query("x=1", "model").unwrap(), None);
        assert!(query("model=a&model=b", "model").is_err());
        assert!(query("model=%f", "model").is_err());
        assert!(query("model=%ff", "model").is_err());
    }
}
