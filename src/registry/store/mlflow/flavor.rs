//! `MLmodel`: what is said beside a model's file about it, as far as it says which file that is.

use std::path::Path;

use crate::format::Format;

/// The file that says it.
pub(super) const FILE: &str = "MLmodel";

/// Flavors whose files are served, and what those are whose names do not say so.
const SERVED: [(&str, &str, Format); 3] = [
    ("onnx", "onnx", Format::Onnx),
    ("xgboost", "xgb", Format::XgboostUbj),
    ("lightgbm", "lgb", Format::LightgbmText),
];

/// A model file among a version's artifacts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ModelFile {
    /// Below the version's folder.
    pub(super) path: String,
    /// What it is.
    pub(super) format: Format,
}

/// What a file that a flavor's library wrote is.
fn format(own: &str, fallback: Format, path: &str) -> Option<Format> {
    let named = Format::of(Path::new(path));
    let extension = Path::new(path).extension()?;
    named.or_else(|| extension.eq_ignore_ascii_case(own).then_some(fallback))
}

/// The file that is served, of the flavors that a model has; else their names.
///
/// # Errors
/// The names of all flavors, where none of them is served.
pub(super) fn model_file(text: &str) -> Result<ModelFile, Vec<String>> {
    let flavors = flavors(text);
    let served = SERVED.iter().find_map(|(name, own, fallback)| {
        let (_, data) = flavors.iter().find(|(flavor, _)| flavor == name)?;
        let path = data.clone().filter(|path| is_below(path))?;
        Some(ModelFile { format: format(own, *fallback, &path)?, path })
    });
    served.ok_or_else(|| {
        let told = |(flavor, data): (String, Option<String>)| match data {
            Some(data) => format!("{flavor} ({data})"),
            None => flavor,
        };
        flavors.into_iter().map(told).collect()
    })
}

/// Whether a path stays below the folder that it is in.
pub(super) fn is_below(path: &str) -> bool {
    !path.starts_with('/') && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// The flavors with their `data`. It is YAML as MLflow writes it: one key a line, two spaces a level.
fn flavors(text: &str) -> Vec<(String, Option<String>)> {
    let mut found: Vec<(String, Option<String>)> = Vec::new();
    let lines = text.lines().skip_while(|line| line.trim_end() != "flavors:").skip(1);
    for line in lines.take_while(|line| line.starts_with(' ')) {
        let key = line.trim_start();
        let Some((key, value)) = key.split_once(':') else { continue };
        match (line.len() - line.trim_start().len(), found.last_mut()) {
            (2, _) => found.push((key.to_owned(), None)),
            (4, Some((_, data))) if key == "data" => {
                let value = value.trim().trim_matches(['\'', '"']);
                *data = Some(value.to_owned()).filter(|value| !matches!(value.as_str(), "" | "null" | "~"));
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As MLflow 3.17.2 wrote it, shortened.
    const XGBOOST: &str = "artifact_path: model\nflavors:\n  python_function:\n    data: model.xgb\n    env:\n      \
                           conda: conda.yaml\n    loader_module: mlflow.xgboost\n  xgboost:\n    code: null\n    data: \
                           model.xgb\n    model_class: xgboost.core.Booster\n    model_format: xgb\nmlflow_version: \
                           3.17.2\n";

    #[track_caller]
    fn check(text: &str, expected: Result<(&str, Format), &[&str]>) {
        let found = model_file(text);
        match expected {
            Ok((path, format)) => assert_eq!(found, Ok(ModelFile { path: path.into(), format })),
            Err(names) => assert_eq!(found.unwrap_err(), names),
        }
    }

    #[test]
    fn a_flavor_names_the_file_and_what_it_is() {
        check(XGBOOST, Ok(("model.xgb", Format::XgboostUbj)));
        check(&XGBOOST.replace("model.xgb", "model.json"), Ok(("model.json", Format::XgboostJson)));
        check("flavors:\n  lightgbm:\n    data: model.lgb\n", Ok(("model.lgb", Format::LightgbmText)));
        check("flavors:\n  onnx:\n    data: \"a/model.onnx\"\n", Ok(("a/model.onnx", Format::Onnx)));
    }

    #[test]
    fn other_flavors_are_named() {
        check(
            "flavors:\n  lightgbm:\n    data: model.pkl\n  sklearn:\n    pickled_model: model.pkl\n",
            Err(&["lightgbm (model.pkl)", "sklearn"]),
        );
        check("no yaml", Err(&[]));
        check(
            "flavors:\n  onnx:\n    data: ../../other/model.onnx\n",
            Err(&["onnx (../../other/model.onnx)"]),
        );
        check("flavors:\n  onnx:\n    data: null\nx: 1\n  xgboost:\n    data: model.xgb\n", Err(&["onnx"]));
    }
}
