//! How the keys of the prediction log are read and shown.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use super::RegistryUrl;
use super::key::Scope;
use super::setting::{Named, Setting, texts};
use super::value::{Value, quoted};
use crate::model::ModelName;

/// What is not to be logged: a column, an input or an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redaction {
    /// The model; `None` is every model.
    pub model: Option<ModelName>,
    /// The name; `*` is every input.
    pub name: String,
}

// === impl Redaction ===

impl Redaction {
    /// Every input.
    pub const INPUTS: &str = "*";

    fn parse(text: &str) -> Result<Self, String> {
        // What is before the first colon names a model, if it is such a name: `:a:b` is the column `a:b`.
        let (model, name) = match text.split_once(':') {
            Some(("", name)) => (None, name),
            Some((model, name)) => model.parse().map_or((None, text), |model| (Some(model), name)),
            None => (None, text),
        };
        if name.is_empty() {
            return Err(format!("expected NAME or MODEL:NAME, got `{}`", crate::model::shorten(text)));
        }
        Ok(Self { model, name: name.to_owned() })
    }
}

impl fmt::Display for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.model {
            Some(model) => write!(f, "{model}:{}", self.name),
            None if self.name.contains(':') => write!(f, ":{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl Setting for Vec<Redaction> {
    fn read(value: &Value, scope: &Scope<'_>) -> Result<Self, String> {
        let texts = texts(value, scope, "a list of names")?;
        texts.iter().map(|text| Redaction::parse(text)).collect()
    }

    fn write(&self) -> String {
        let items: Vec<String> = self.iter().map(|item| quoted(&item.to_string())).collect();
        format!("[{}]", items.join(", "))
    }
}

// === impl Named ===

/// A log is a folder whatever it is called.
impl Named for RegistryUrl {
    const EXPECTED: &str = "a folder, as a path or a file: URL, or a bucket, s3://bucket/prefix";

    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text).map(|url| match url {
            Self::SingleFile(path) => Self::File(path),
            other => other,
        })
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

/// Whether what is written to a log would be seen as models: it is where they are, and not below a name that begins
/// with `_`, which no model has.
pub(super) fn is_among_models(log: &RegistryUrl, registry: &RegistryUrl) -> bool {
    let inside = |log: &Path, registry: &Path| {
        let rest = log.strip_prefix(registry).ok().map(|rest| rest.components().next());
        rest.is_some_and(|first| match first {
            Some(Component::Normal(name)) => !name.as_encoded_bytes().starts_with(b"_"),
            _ => true,
        })
    };
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    match (log, registry) {
        (RegistryUrl::File(log), RegistryUrl::File(registry)) => inside(&absolute(log), &absolute(registry)),
        (RegistryUrl::S3 { bucket: log, prefix }, RegistryUrl::S3 { bucket: registry, prefix: models }) => {
            log == registry && inside(Path::new(prefix), Path::new(models))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redaction_is_of_every_model_or_of_one() {
        for (text, model, name) in [
            ("age", None, "age"),
            ("churn:age", Some("churn"), "age"),
            (":a:b", None, "a:b"),
            ("no model:b", None, "no model:b"),
            ("churn:*", Some("churn"), "*"),
        ] {
            let read = Redaction::parse(text).unwrap();
            assert_eq!((read.model.as_ref().map(ModelName::as_str), read.name.as_str()), (model, name));
            assert_eq!(Redaction::parse(&read.to_string()).unwrap(), read, "{text}");
        }
        for bad in ["", "churn:", ":"] {
            assert!(Redaction::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_log_is_no_model() {
        let url = |text: &str| <RegistryUrl as Named>::parse(text).unwrap();
        for (log, registry, among) in [
            ("models", "models", true),
            ("models/", "./models", true),
            ("models/log", "models", true),
            ("models/_log", "models", false),
            ("models2", "models", false),
            ("log", "models", false),
            ("models/log.onnx", "models", true),
        ] {
            assert_eq!(is_among_models(&url(log), &url(registry)), among, "{log} {registry}");
        }
        let bucket =
            |bucket: &str, prefix: &str| RegistryUrl::S3 { bucket: bucket.into(), prefix: prefix.into() };
        assert!(is_among_models(&bucket("b", "team/log"), &bucket("b", "team")));
        assert!(is_among_models(&bucket("b", "log"), &bucket("b", "")));
        assert!(!is_among_models(&bucket("b", "team/_log"), &bucket("b", "team")));
        assert!(!is_among_models(&bucket("c", "team"), &bucket("b", "team")));
    }
}
