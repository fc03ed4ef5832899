//! Where models come from, as a URL or a plain path.

use std::fmt;
use std::path::PathBuf;

use super::bucket;
use super::key::Scope;
use super::mlflow::MlflowUrl;
use super::setting::Setting;
use super::value::{Value, quoted};
use crate::format::Format;
use crate::model::{ModelName, shorten};

/// The place that models are served from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryUrl {
    /// A folder of models.
    File(PathBuf),
    /// One model file, version 1 of a model named after its stem.
    SingleFile(PathBuf),
    /// A bucket of models.
    S3 {
        /// Its name.
        bucket: String,
        /// What every key begins with, without `/` at its ends; empty is the whole bucket.
        prefix: String,
    },
    /// The registry of an MLflow server, which is only read.
    Mlflow(MlflowUrl),
    /// A folder below which SageMaker lays models and asks for them one by one.
    SageMaker(PathBuf),
}

// === impl RegistryUrl ===

impl RegistryUrl {
    /// Whether it is across a network.
    pub fn is_remote(&self) -> bool {
        matches!(self, Self::S3 { .. } | Self::Mlflow(_))
    }

    /// Whether something can be written there.
    pub fn is_writable(&self) -> bool {
        !matches!(self, Self::SingleFile(_) | Self::Mlflow(_) | Self::SageMaker(_))
    }

    /// The name of the only model of a single file.
    pub fn single_model(&self) -> Option<ModelName> {
        match self {
            Self::File(_) | Self::S3 { .. } | Self::Mlflow(_) | Self::SageMaker(_) => None,
            Self::SingleFile(path) => {
                Some(ModelName::sanitized(&path.file_stem().unwrap_or_default().to_string_lossy()))
            }
        }
    }

    /// The file that a command names to be served by itself.
    pub(super) fn model_file(text: &str) -> Result<Self, String> {
        let path = PathBuf::from(text);
        let shown = shorten(text);
        if path.is_dir() {
            return Err(format!("`{shown}` is a folder; serve its models with --registry {shown}"));
        }
        if Format::of(&path).is_none() {
            return Err(format!(
                "`{shown}` is no model file: .onnx, .ubj and .json of XGBoost and .txt of LightGBM are served"
            ));
        }
        match std::fs::metadata(&path) {
            Ok(meta) if meta.is_file() => Ok(Self::SingleFile(path)),
            Ok(_) => Err(format!("`{shown}` is not a regular file")),
            Err(error) => Err(format!("`{shown}` cannot be read: {error}")),
        }
    }

    /// Reads a URL or a plain path.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let path = match scheme(text) {
            None => text.to_owned(),
            Some(("file", rest)) => file_path(rest)?,
            Some(("sagemaker", rest)) => {
                let root = file_path(rest)?;
                let usable = root.starts_with('/') && !root.contains('\0');
                return usable.then(|| Self::SageMaker(root.into())).ok_or_else(|| {
                    "expected a folder with its whole path, as in sagemaker:///opt/ml/models".to_owned()
                });
            }
            Some(("s3", rest)) => {
                let (bucket, prefix) = bucket::bucket(rest)?;
                if cfg!(not(feature = "s3")) {
                    return Err("this build has no buckets: it was made without the feature `s3`".into());
                }
                return Ok(Self::S3 { bucket, prefix });
            }
            Some(("mlflow+http" | "mlflow+https", _)) => {
                return MlflowUrl::parse(text.trim_start_matches("mlflow+"))
                    .map(Self::Mlflow)
                    .map_err(|error| format!("behind mlflow+ {error}"));
            }
            Some((scheme, _)) => {
                return Err(format!(
                    "`{scheme}:` is not supported by this version; name a folder, as a path or a file: URL, a bucket, \
                     s3://bucket/prefix, or an MLflow server, mlflow+http://host:5000"
                ));
            }
        };
        if path.is_empty() || path.contains('\0') {
            return Err("expected a folder, as a path or a file: URL".into());
        }
        let path = PathBuf::from(path);
        // A folder may be called anything; a file that is not there yet is still meant as a file.
        if Format::of(&path).is_some() && !path.is_dir() {
            Ok(Self::SingleFile(path))
        } else {
            Ok(Self::File(path))
        }
    }
}

impl Setting for RegistryUrl {
    fn read(value: &Value, scope: &Scope<'_>) -> Result<Self, String> {
        Self::parse(&String::read(value, scope)?)
    }

    fn write(&self) -> String {
        quoted(&self.to_string())
    }
}

/// The URL, whose path is escaped just enough to read back as the same.
impl fmt::Display for RegistryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, path) = match self {
            Self::File(path) | Self::SingleFile(path) => ("file", path.to_string_lossy()),
            Self::SageMaker(root) => ("sagemaker", root.to_string_lossy()),
            Self::S3 { bucket, prefix } if prefix.is_empty() => return write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => return write!(f, "s3://{bucket}/{prefix}"),
            Self::Mlflow(url) => return write!(f, "mlflow+{url}"),
        };
        let authority = if path.starts_with('/') { "//" } else { "" };
        write!(f, "{scheme}:{authority}{}", path.replace('%', "%25"))
    }
}

/// Splits `scheme:rest` (RFC 3986); a plain path has none.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    valid.then_some((scheme, rest))
}

/// The path of a file: URL (RFC 8089): `file:relative`, `file:/absolute`, `file:///absolute`.
fn file_path(rest: &str) -> Result<String, String> {
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(rest) => match rest.split_once('/') {
            Some(("" | "localhost", _)) => &rest[rest.find('/').unwrap_or_default()..],
            _ => return Err("a file: URL names no host; write file:folder or file:///folder".into()),
        },
    };
    let mut bytes = Vec::with_capacity(path.len());
    let mut parts = path.split('%');
    bytes.extend(parts.next().unwrap_or_default().bytes());
    for part in parts {
        let code = part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let Some(code) = code else {
            return Err(
                "`%` in a file: URL is followed by two hexadecimal digits; `%25` is the sign itself".into()
            );
        };
        bytes.push(code);
        bytes.extend(part.bytes().skip(2));
    }
    String::from_utf8(bytes).map_err(|_| "a file: URL is UTF-8".into())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<RegistryUrl, &str>) {
        match (RegistryUrl::parse(text), expected) {
            (Ok(url), Ok(expected)) => {
                assert_eq!(url, expected, "{text}");
                assert_eq!(RegistryUrl::parse(&url.to_string()), Ok(url), "{text}: as shown");
            }
            (Err(message), Err(part)) => assert!(message.contains(part), "{text}: {message}"),
            (got, expected) => panic!("{text}: {got:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn plain_paths_and_file_urls_are_folders() {
        for (text, path) in [
            ("models", "models"),
            ("./a b", "./a b"),
            ("/srv/models", "/srv/models"),
            ("file:models", "models"),
            ("file:/srv/models", "/srv/models"),
            ("file:///srv/models", "/srv/models"),
            ("file://localhost/srv/models", "/srv/models"),
            ("file:///a%20b%25", "/a b%"),
            ("./100%:x", "./100%:x"),
        ] {
            check(text, Ok(RegistryUrl::File(path.into())));
        }
    }

    #[test]
    fn one_onnx_file_is_a_registry_of_one_model() {
        let url = RegistryUrl::SingleFile("/srv/my model.onnx".into());
        assert_eq!(url.single_model().unwrap().as_str(), "my-model");
        check("/srv/my model.onnx", Ok(url));
    }

    #[test]
    fn a_bucket_is_a_registry_where_the_build_has_them() {
        let url = |bucket: &str, prefix: &str| {
            let url = RegistryUrl::S3 { bucket: bucket.into(), prefix: prefix.into() };
            if cfg!(feature = "s3") { Ok(url) } else { Err("feature `s3`") }
        };
        check("s3://bucket", url("bucket", ""));
        check("s3://bucket/team/models/", url("bucket", "team/models"));
        check("s3://bucket/m.onnx", url("bucket", "m.onnx"));
        check("s3://bucket/..", Err("`/../`"));
    }

    #[test]
    fn an_mlflow_server_is_a_registry() {
        let url = MlflowUrl::parse("http://host:5000/team").unwrap();
        check("mlflow+http://host:5000/team/", Ok(RegistryUrl::Mlflow(url)));
        check("mlflow+http://", Err("behind mlflow+ expected an http:"));
        check("mlflow+http://u:secret@host", Err("environment"));
        check("mlflow://host", Err("mlflow+http://host:5000"));
    }

    #[test]
    fn models_may_come_by_request() {
        let url = |root: &str| Ok(RegistryUrl::SageMaker(root.into()));
        check("sagemaker:///opt/ml/models", url("/opt/ml/models"));
        check("sagemaker:/a%20b%25/m.onnx", url("/a b%/m.onnx"));
        for wrong in ["sagemaker:models", "sagemaker:", "sagemaker:///a%00"] {
            check(wrong, Err("with its whole path"));
        }
    }

    #[test]
    fn other_places_are_refused_by_name() {
        check("gs://host", Err("`gs:` is not supported by this version"));
        check("file://host/x", Err("names no host"));
        check("file:///a%2", Err("hexadecimal"));
        check("file:", Err("expected a folder"));
        check("", Err("expected a folder"));
    }

    #[test]
    fn a_model_file_must_be_there_and_be_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("m.onnx");
        std::fs::write(&file, b"x").unwrap();
        let model_file = |path: &Path| RegistryUrl::model_file(path.to_str().unwrap());
        assert_eq!(model_file(&file), Ok(RegistryUrl::SingleFile(file.clone())));
        assert!(model_file(dir.path()).unwrap_err().contains("--registry"));
        assert!(model_file(&dir.path().join("n.onnx")).unwrap_err().contains("cannot be read"));
        assert!(model_file(&dir.path().join("m.pkl")).unwrap_err().contains("no model file"));
        assert!(model_file(&dir.path().join("m.ubj")).unwrap_err().contains("cannot be read"));
    }
}
