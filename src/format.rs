//! Model files: which formats there are, and a file of any of them, read and checked.

use std::path::Path;

use crate::booster::{self, Booster};
use crate::model::{LoadError, Reason, Signature};
use crate::onnx;

/// What a model file is; its name says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.onnx`
    Onnx,
    /// XGBoost's `.ubj`, its default.
    XgboostUbj,
    /// XGBoost's `.json`
    XgboostJson,
    /// LightGBM's `.txt`
    LightgbmText,
}

/// Every format, for those who look for a model file.
pub const FORMATS: [Format; 4] =
    [Format::Onnx, Format::XgboostUbj, Format::XgboostJson, Format::LightgbmText];

/// A model of any format.
#[derive(Clone, Debug)]
pub enum Model {
    /// A graph.
    Onnx(Box<onnx::Model>),
    /// Trees of XGBoost or LightGBM.
    Booster(Box<Booster>),
}

// === impl Format ===

impl Format {
    /// The name of such a file in a version's folder.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Onnx => "model.onnx",
            Self::XgboostUbj => "model.ubj",
            Self::XgboostJson => "model.json",
            Self::LightgbmText => "model.txt",
        }
    }

    /// The ending of such a file's name, without the dot.
    pub fn extension(self) -> &'static str {
        self.file_name().trim_start_matches("model.")
    }

    /// What the Open Inference Protocol calls a model's platform: framework and format.
    pub const fn platform(self) -> &'static str {
        match self {
            Self::Onnx => "onnx_onnxv1",
            Self::XgboostUbj => "xgboost_ubj",
            Self::XgboostJson => "xgboost_json",
            Self::LightgbmText => "lightgbm_text",
        }
    }

    /// The format that a file's name stands for.
    pub fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?;
        FORMATS.into_iter().find(|format| extension.eq_ignore_ascii_case(format.extension()))
    }
}

// === impl Model ===

impl Model {
    /// What an engine of others reads: the ONNX file. Trees of XGBoost and LightGBM are read by our own code alone.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Onnx(model) => Some(&model.bytes),
            Self::Booster(_) => None,
        }
    }

    /// Reads and checks a model file.
    ///
    /// # Errors
    /// As [`onnx::parse`] and [`booster::parse`].
    pub fn parse(format: Format, bytes: Vec<u8>) -> Result<Self, LoadError> {
        let booster = |library| booster::parse(library, &bytes).map(|booster| Self::Booster(booster.into()));
        match format {
            Format::Onnx => onnx::parse(bytes).map(Self::from),
            Format::XgboostUbj => booster(booster::Source::XgboostUbj),
            Format::XgboostJson => booster(booster::Source::XgboostJson),
            Format::LightgbmText => booster(booster::Source::LightgbmText),
        }
    }

    /// Inputs and outputs.
    pub fn signature(&self) -> &Signature {
        match self {
            Self::Onnx(model) => &model.signature,
            Self::Booster(booster) => &booster.signature,
        }
    }

    /// The graph, for engines that know nothing else.
    ///
    /// # Errors
    /// [`Reason::Unsupported`] for boosted trees.
    pub fn onnx(&self) -> Result<&onnx::Model, LoadError> {
        match self {
            Self::Onnx(model) => Ok(model),
            Self::Booster(_) => Err(LoadError::new(
                Reason::Unsupported,
                "this engine reads ONNX only; models of XGBoost and LightGBM need engine auto or trees",
            )),
        }
    }

    /// The family it belongs to, in a few words; of a graph, by the operators that only that family has.
    pub fn family(&self) -> &'static str {
        const FAMILIES: &[(&str, &str)] = &[
            ("TreeEnsemble", "tree ensemble"),
            ("SVM", "support vector machine"),
            ("Linear", "linear model"),
            ("Conv", "neural network"),
            ("Gemm", "dense graph"),
            ("MatMul", "dense graph"),
        ];
        let Self::Onnx(model) = self else { return "boosted trees" };
        let has = |prefix: &str| model.graph.nodes.iter().any(|node| node.op_type.starts_with(prefix));
        FAMILIES.iter().find(|(prefix, _)| has(prefix)).map_or("graph", |(_, family)| family)
    }

    /// The names of the only input's columns, where the file itself has them.
    pub fn columns(&self) -> &[String] {
        match self {
            Self::Onnx(_) => &[],
            Self::Booster(booster) => &booster.columns,
        }
    }
}

impl From<onnx::Model> for Model {
    fn from(model: onnx::Model) -> Self {
        Self::Onnx(model.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_a_format() {
        for format in FORMATS {
            assert_eq!(Format::of(Path::new(format.file_name())), Some(format));
        }
        assert_eq!(Format::of(Path::new("a/My Model.UBJ")), Some(Format::XgboostUbj));
        assert!(
            ["model", "model.pkl", "onnx", ".onnx", "model.onnx.bak"]
                .iter()
                .all(|name| Format::of(Path::new(name)).is_none())
        );
    }
}
